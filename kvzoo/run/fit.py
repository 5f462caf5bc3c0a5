"""A recipe becomes a run: open, build, train, keep."""

import logging
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grain
import keras

import kvzoo
from kvzoo import catalog, zoo
from kvzoo.data.pipeline import Clips, Data, batches, open_data
from kvzoo.errors import InputError, KvzooError
from kvzoo.losses.base import VideoModel
from kvzoo.media.plots import write_curves
from kvzoo.recipe.resolve import Recipe, load
from kvzoo.run import checkpoint, folder, samples
from kvzoo.run.training import History, Loop, Progress, Signals, _duration, callback_states, save_network

log = logging.getLogger("kvzoo")

SHOWN = 10  # skipped files named on the terminal; the log has all
# What metrics' names begin or end with, and the panel that they share.
PANELS = (
    ("psnr", "PSNR in dB"),
    ("g_loss", "loss"),
    ("d_loss", "loss"),
    ("loss", "loss"),
    ("accuracy", "accuracy"),
    ("g_norm", "gradient norm"),
    ("d_norm", "gradient norm"),
)


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        path: its folder.
        history: rows of history.csv, one an interval.
        model: with its trained weights.
    """

    path: Path
    history: list[dict[str, float]]
    model: VideoModel


def fit(
    recipe: str | os.PathLike | Recipe,
    overrides: Iterable[str] = (),
    *,
    out: str | os.PathLike | None = None,
    smoke: bool = False,
) -> Run:
    """Train what a recipe says and keep it in a run folder.

    Args:
        recipe: a recipe file, the name of one that kvzoo ships, a run's lock file, or a resolved recipe.
        overrides: "key=value" strings, such as "fit.steps=50".
        out: the run folder; runs/RECIPE-N when None. It must be empty or not there.
        smoke: shrink everything to under a minute.

    Raises:
        InputError: something in the recipe, the data or the folder cannot be used; nothing is left behind.
        TrainingFailed: a loss is not finite.
        Interrupted: a signal; all is saved.
    """
    if not isinstance(recipe, Recipe):
        recipe = load(recipe, overrides, smoke)
    path = folder.planned(recipe.name, out)
    model, data, said = _prepare(recipe, fresh=True)
    run_folder = folder.create(path)
    try:
        run_folder.write_lock({**recipe.values, "lock": _lock(recipe, data)})
        return _train(recipe, model, data, run_folder, None, said)
    except InputError:
        if checkpoint.found(run_folder.checkpoints):
            raise  # what was trained is kept
        run_folder.leave()
        shutil.rmtree(path, ignore_errors=True)
        latest = path.parent / "latest"
        if latest.is_symlink() and not latest.exists():
            latest.unlink()
        raise
    finally:
        run_folder.leave()


def resume(run: str | os.PathLike, overrides: Iterable[str] = ()) -> Run:
    """Go on with a run from its newest whole checkpoint, to the same bits as if it had not been cut.

    Args:
        run: a run folder.
        overrides: changes that are meant, such as "fit.steps=2000" to train longer.

    Raises:
        InputError: no run, no checkpoint, changed data, or nothing left to do.
    """
    run_folder = folder.RunFolder(run)
    recipe = run_folder.recipe(tuple(overrides))
    run_folder.take()
    try:
        newest = checkpoint.read_newest(run_folder.checkpoints)
        if newest is None:
            raise InputError(
                f"{run_folder.path}: no checkpoint yet; start again with kvzoo fit {run_folder.path / folder.LOCK}"
            )
        done, total = newest[0]["step"], recipe["fit"]["steps"]
        if total and done >= total:
            raise InputError(f"{run_folder.path}: done already, at step {done}; -o fit.steps=… trains on")
        model, data, _ = _prepare(recipe, fresh=False)
        known, now = recipe.lock.get("data"), fingerprint(data)
        if known != now:
            raise InputError(
                f"{run_folder.path}: the data changed since the run began (fingerprint {known}, now {now})"
            )
        checkpoint.restore(model, newest[1])
        return _train(recipe, model, data, run_folder, newest[0])
    finally:
        run_folder.leave()


def fingerprint(data: Data) -> str:
    """Return a hash over what the data holds."""
    clips = [data.training, *data.tests.values()]
    return "+".join(part.source.fingerprint() for part in clips)


def _prepare(recipe: Recipe, fresh: bool) -> tuple[VideoModel, Data, str | None]:
    """Build the model, then open the data: what a builder refuses is refused before any file is read.

    A run that is not fresh has its weights in a checkpoint. The third value says what others it began with.
    """
    settings = recipe["fit"]
    keras.utils.set_random_seed(settings["seed"])
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    with zoo.dtype_policy(settings["precision"]):
        model = zoo.get(recipe["model"]["name"], loss=recipe["loss"], compile=False, **recipe.model_options)
    said = None
    if fresh and (weights := recipe["model"].get("weights")):
        loaded, left = zoo.transfer(model, Path(weights))
        said = f"weights of {len(loaded)} layers are those of {weights}; new: {', '.join(left) or 'none'}"
    if recipe["model"].get("trainable") == "head":
        zoo.freeze_trunk(model)
    zoo.compile_model(model, settings["optimizer"], settings["l2"], settings["jit_compile"])
    data = open_data(recipe["data"], model.clip_shapes, settings["seed"], model.wanted_classes)
    return model, data, said


def _train(
    recipe: Recipe,
    model: VideoModel,
    data: Data,
    run_folder: folder.RunFolder,
    record: dict | None,
    said: str | None = None,
) -> Run:
    settings = recipe["fit"]
    started, step = time.perf_counter(), record["step"] if record else 0
    total = settings["steps"] or settings["epochs"] * max(1, len(data.training.videos) // settings["batch_size"])
    handler = logging.FileHandler(run_folder.log, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handlers = [handler]
    if not log.hasHandlers():
        # Called from Python where nobody set logging up: progress goes to where `print` goes.
        handlers.append(logging.StreamHandler(sys.stdout))
        handlers[-1].setLevel(logging.INFO)
    for each in handlers:
        log.addHandler(each)
    log.setLevel(logging.DEBUG)
    try:
        log.info("run %s", run_folder.path)
        if said:
            log.info("%s", said)
        _report_data(data)
        if record is None and recipe.lock.get("data", now := fingerprint(data)) != now:
            log.warning(
                "the data is not what the lock file's run had (fingerprint %s, now %s)", recipe.lock["data"], now
            )
        history = History(run_folder, upto=step if record else None)
        held_out = data.validation or data.training
        shown = samples.fixed_clips(held_out)

        validation = data.validation and data.validation.arrays(settings["validation_clips"])
        tests = {name: clips.arrays(settings["validation_clips"]) for name, clips in data.tests.items()}

        def measured(part: str, arrays: tuple) -> dict[str, float]:
            found = model.evaluate(*arrays, batch_size=settings["batch_size"], verbose=0, return_dict=True)
            return {f"{part}_{name}": float(value) for name, value in found.items()}

        def sample(at: int) -> dict[str, float]:
            row = samples.draw(model, shown, run_folder.samples / f"step-{at:06d}")
            for name, arrays in tests.items():
                row |= measured(f"test_{name}", arrays)
            return row

        user_callbacks = [_callback(c) for c in recipe["callbacks"]]
        if record:
            for callback, state in zip(user_callbacks, record["callbacks"], strict=True):
                if hasattr(callback, "set_state"):
                    callback.set_state(state)
        with Signals() as signals, Progress(total, step) as progress:
            loop = Loop(
                run_folder,
                history,
                step,
                total,
                settings["checkpoint_every"],
                sample,
                signals,
                lambda: {"callbacks": callback_states(user_callbacks)},
                progress,
            )
            if record is None:
                row = {"step": 0, **sample(0)}
                if validation is not None:
                    row |= measured("val", validation)
                if len(row) > 1:
                    history.add(row)
                    progress.interval(row, 0.0)
            elif step % settings["sample_every"]:
                loop.metrics_at_start = [keras.ops.convert_to_numpy(v) for v in model.metrics_variables]
            _fit_intervals(model, data, recipe, total, loop, validation, user_callbacks)
        save_network(model.network, run_folder)
        parts = {"val": "held out", **{f"test_{name}": name for name in tests}}
        _draw_history(history, run_folder, parts)
        _say_done(history, run_folder, parts, total, time.perf_counter() - started)
        return Run(run_folder.path, history.rows, model)
    except KvzooError as error:
        log.debug("%s", error)  # for the log file; the terminal is told by the command line
        raise
    except Exception:
        log.exception("a fault of kvzoo's")
        raise
    finally:
        for each in handlers:
            log.removeHandler(each)
        handler.close()


def _fit_intervals(model, data: Data, recipe: Recipe, total: int, loop: Loop, validation, callbacks: list) -> None:
    """Call `model.fit` for the rest of a cut interval, the whole ones, and the last short one."""
    settings = recipe["fit"]
    every = settings["sample_every"]
    while loop.step < total and not model.stop_training:
        within = loop.step % every
        steps = min(every - within if within else every, total - loop.step)
        count = 1 if steps < every else (total - loop.step) // every

        loop.interval = steps
        examples = _Examples(
            _training_batches(data.training, settings["batch_size"], settings["seed"], loop.step),
            data.training.sampler.sizes_vary,
        )
        with examples, _not_the_end(model.optimizer, loop.step + count * steps < total):
            model.fit(
                examples.for_fit(),
                steps_per_epoch=steps,
                initial_epoch=loop.step // every,
                epochs=loop.step // every + count,
                validation_data=validation,
                validation_batch_size=settings["batch_size"],
                callbacks=[*callbacks, loop],
                shuffle=False,
                verbose=0,
            )


def _training_batches(clips: Clips, batch_size: int, seed: int, start: int):
    """Return the endless batches of a run from step `start` on."""
    if getattr(clips.source, "reader", "native") == "tfio":
        if keras.backend.backend() != "tensorflow":
            raise InputError(f"data.reader: tfio wants KERAS_BACKEND=tensorflow, this is {keras.backend.backend()}")
        from kvzoo.run.tfio import stream

        return stream(clips, batch_size, seed, start)
    return batches(clips, batch_size, seed, start=start)


@contextmanager
def _not_the_end(optimizer: keras.optimizers.Optimizer, more: bool):
    """Keep `fit` from overwriting the weights by their moving average while more of the run is to come."""
    if more:
        optimizer.finalize_variable_values = lambda variables: None
    try:
        yield
    finally:
        if more:
            del optimizer.finalize_variable_values


class _Examples:
    """A Grain dataset as `fit` likes it best: as it is, but on TensorFlow.

    Keras would wrap it in tf.data with autotuning on, whose thread has nothing to tune here and can
    hold the end of `fit` up for a quarter of a minute. And tf.data would wrap an InputError, which
    leaving this context brings back.
    """

    def __init__(self, dataset, sizes_vary: bool = False):
        self._dataset = dataset
        self._sizes_vary = sizes_vary
        self._error: InputError | None = None

    def for_fit(self):
        if keras.backend.backend() != "tensorflow" or not isinstance(self._dataset, grain.IterDataset):
            return self._dataset
        import tensorflow as tf

        signature = tuple(tf.TensorSpec(self._shape(array), array.dtype) for array in next(iter(self._dataset)))
        options = tf.data.Options()
        options.autotune.enabled = False
        return (
            tf.data.Dataset.from_generator(self._watched, output_signature=signature).prefetch(2).with_options(options)
        )

    def _shape(self, array) -> tuple[int | None, ...]:
        varying = self._sizes_vary and array.ndim == 5
        return (*array.shape[:2], None, None, array.shape[4]) if varying else array.shape

    def _watched(self):
        try:
            yield from self._dataset
        except InputError as error:
            self._error = error
            raise

    def __enter__(self) -> "_Examples":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if error is not None and self._error is not None:
            raise self._error from None


def _callback(named: dict) -> keras.callbacks.Callback:
    options = dict(named)
    return catalog.CALLBACKS.get(options.pop("name")).load()(**options)


def _lock(recipe: Recipe, data: Data) -> dict:
    return {
        "recipe": recipe.name,
        "kvzoo": kvzoo.__version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "data": fingerprint(data),
        "fps": data.training.videos[0].fps,
        **({"classes": list(data.training.classes)} if data.training.classes else {}),
    }


def _report_data(data: Data) -> None:
    held_out = len(data.validation.videos) if data.validation else 0
    groups = len({v.group for v in data.training.videos})
    log.info(
        "data: %d videos of %d groups to train on, %d held out, %d skipped",
        len(data.training.videos),
        groups,
        held_out,
        len(data.skipped),
    )
    for skipped in data.skipped[:SHOWN]:
        log.warning("skipped %s: %s", skipped.name, skipped.reason)
    for skipped in data.skipped[SHOWN:]:
        log.debug("skipped %s: %s", skipped.name, skipped.reason)
    if len(data.skipped) > SHOWN:
        log.warning("skipped %d more; the log names them", len(data.skipped) - SHOWN)


def _draw_history(history: History, run_folder: folder.RunFolder, parts: dict[str, str]) -> None:
    names = list(dict.fromkeys(name for row in history.rows for name in row if name != "step"))
    panels: dict[str, dict] = {}
    for name in names:
        metric, part = _metric_of(name, parts)
        for ending, unit in PANELS:
            if metric.startswith(ending) or metric.endswith(ending):
                panels.setdefault(unit, {})[f"{metric}, {part}" if unit != metric else part] = history.curve(name)
                break
        else:
            panels.setdefault(metric, {})[part] = history.curve(name)
    if panels:
        write_curves(run_folder.path / "loss.png", panels)


def _metric_of(name: str, parts: dict[str, str]) -> tuple[str, str]:
    """Return the metric behind a column of history, and the part of the data that it is of."""
    # The longest first: one test set's name may begin another's.
    for prefix in sorted(parts, key=len, reverse=True):
        if name.startswith(f"{prefix}_"):
            return name.removeprefix(f"{prefix}_"), parts[prefix]
    return name, "training"


def _say_done(
    history: History, run_folder: folder.RunFolder, parts: dict[str, str], total: int, seconds: float
) -> None:
    last = [(*_metric_of(name, parts), value) for name, value in (history.rows[-1] if history.rows else {}).items()]
    result = "".join(f", {metric} {value:.4g} {part}" for metric, part, value in last if part != "training")
    newest = sorted(run_folder.samples.glob("*.png"))[-1]
    log.info("done: %d steps in %s%s", total, _duration(seconds), result)
    log.info("look at  %s", newest)
    log.info("curves   %s", run_folder.path / "loss.png")
    log.info("model    %s", run_folder.model)
