"""A recipe becomes a run: open, build, train, keep."""

import errno
import json
import logging
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras

import kvzoo
from kvzoo import catalog, zoo
from kvzoo.data.pipeline import Clips, Data, batches, open_data
from kvzoo.errors import InputError, Interrupted, KvzooError, TrainingFailed, did_you_mean
from kvzoo.losses.arrays import checked
from kvzoo.losses.base import VideoModel
from kvzoo.media.plots import write_curves
from kvzoo.recipe.explain import explained_run
from kvzoo.recipe.resolve import Recipe, load
from kvzoo.recipe.text import dotted
from kvzoo.run import checkpoint, folder, samples
from kvzoo.run.history import History, metric_of, panels
from kvzoo.run.report import duration, write_report
from kvzoo.run.reproducible import deterministic_ops, seeded
from kvzoo.run.tracking import tracked
from kvzoo.run.training import Loop, Progress, Signals, averaged, callback_states

log = logging.getLogger("kvzoo")

SHOWN = 10  # skipped files named on the terminal; the log has all


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


@deterministic_ops()
def fit(
    recipe: str | os.PathLike | Recipe,
    overrides: Iterable[str] = (),
    *,
    out: str | os.PathLike | None = None,
    smoke: bool = False,
) -> Run:
    """Train what a recipe says and keep it in a run folder.

    While it runs, TensorFlow's ops are deterministic in the whole process; that, and the random state of Python, NumPy
    and the backend, are afterwards what they were before.

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
    folder.planned(recipe.name, out)
    model, data, said = _prepare(recipe, fresh=True)
    # Another run may have taken its number meanwhile.
    path = folder.planned(recipe.name, out)
    run_folder = folder.create(path)
    try:
        run_folder.write_lock({**recipe.values, "lock": _lock(recipe, data)})
        return _train(recipe, model, data, run_folder, None, said)
    except (InputError, OSError) as error:
        if run_folder.saved():
            raise  # what was trained is kept
        run_folder.leave()
        shutil.rmtree(path, ignore_errors=True)
        latest = path.parent / "latest"
        if latest.is_symlink() and not latest.exists():
            latest.unlink()
        if said := _disk_says(error):
            raise InputError(f"--out {path}: cannot be written to: {said}") from None
        raise
    finally:
        run_folder.leave()


@deterministic_ops()
def resume(run: str | os.PathLike, overrides: Iterable[str] = (), *, new_data: bool = False) -> Run:
    """Go on with a run from its newest whole checkpoint, to the same bits as if it had not been cut.

    Args:
        run: a run folder.
        overrides: changes that are meant, such as "fit.steps=2000" to train longer.
        new_data: whether the data may be other than it was.

    Raises:
        InputError: no run, no checkpoint, a recipe or data that changed, or nothing left to do.
        TrainingFailed: a loss is not finite.
        Interrupted: a signal; all is saved.
    """
    run_folder = folder.RunFolder(run)
    if run_folder.model == run_folder.best:
        raise InputError(f"{run}: a run goes on from its newest checkpoint; `kvzoo resume {run_folder.path}` does")
    overrides = tuple(overrides)
    recipe = run_folder.recipe(overrides)
    last = run_folder.state()
    run_folder.take()
    try:
        with _logged(run_folder):
            if last.state == "killed":
                log.info("process %s on %s, which wrote to this run last, is gone", last.pid, last.host)
            newest = checkpoint.read_newest(run_folder.checkpoints, aside=True)
            if newest is None:
                raise InputError(
                    f"{run_folder.path}: no checkpoint yet; start again with kvzoo fit {run_folder.path / folder.LOCK}"
                )
            record, arrays = newest
            changed = _check_changes(run_folder, recipe, record, overrides, new_data)
            history = History(run_folder, upto=record["step"])
            # A run that was killed at its very end has still something to do.
            ended = last.state in ("done", "unknown")
            if ended:
                _check_unfinished(run_folder, recipe["fit"], recipe["fit"]["steps"], history, record["step"])
            model, data, _ = _prepare(recipe, fresh=False)
            if ended:
                _check_unfinished(run_folder, recipe["fit"], _total(recipe, data), history, record["step"])
            known, now = recipe.lock.get("data"), fingerprint(data)
            if known != now:
                said = (
                    f"the data changed since the run began ({_in_short(recipe.lock.get('videos', {}))} with fingerprint "
                    f"{known}, now {_in_short(_summary(data))} with {now})"
                )
                if not new_data:
                    raise InputError(f"{run_folder.path}: {said}; --new-data goes on with it")
                changed.append(said)
            checkpoint.restore(model, arrays)
            rate = recipe["fit"]["optimizer"]["learning_rate"]
            if any(override.startswith("fit.optimizer.learning_rate=") for override in overrides):
                model.optimizer.learning_rate = rate  # the checkpoint has the one before
            for each in changed:
                log.info("%s", each)
            if changed:
                run_folder.write_lock({**recipe.values, "lock": {**recipe.lock, **_lock(recipe, data)}})
            log.info("going on from step %d", record["step"])
        return _train(recipe, model, data, run_folder, record)
    finally:
        run_folder.leave()


# Values that another one may take the place of while a run is under way: by their keys, or how these begin.
MAY_CHANGE = (
    "fit.steps",
    "fit.epochs",
    "fit.checkpoint_every",
    "fit.keep",
    "fit.best",
    "fit.early_stopping",
    "fit.validation_freq",
    "fit.validation_clips",
    "fit.jit_compile",
    "fit.optimizer.learning_rate",
    "track",
)


def _check_changes(
    run_folder: folder.RunFolder, recipe: Recipe, record: dict, overrides: Sequence[str], new_data: bool
) -> list[str]:
    """Return what is other than when the run was cut, in words.

    Raises:
        InputError: something is that was not asked for, or that a run cannot go on with.
    """
    if "recipe" not in record:
        return []  # a checkpoint of an older version
    before, now = (_flat(values) for values in (record["recipe"], json.loads(json.dumps(recipe.values))))
    told = [override.partition("=")[0].strip() for override in overrides]
    said = []
    for key in sorted(before.keys() | now.keys()):
        was, is_ = before.get(key), now.get(key)
        if was == is_:
            continue
        change = f"{key} is {json.dumps(is_)}, and was {json.dumps(was)} when the run was cut"
        schedule = isinstance(recipe["fit"]["optimizer"]["learning_rate"], dict) and key.startswith(MAY_CHANGE[-2])
        of_data = key.startswith("data.")
        if schedule or not (of_data or any(key == may or key.startswith(f"{may}.") for may in MAY_CHANGE)):
            raise InputError(
                f"{run_folder.path}: {change}; a run goes on with what it began with; "
                f"kvzoo fit {run_folder.path / folder.LOCK} begins another"
            )
        if not (new_data and of_data) and not any(key == name or key.startswith(f"{name}.") for name in told):
            raise InputError(f"{run_folder.path}: {change}; if that is meant: -o {key}={json.dumps(is_)}")
        said.append(change)
    return said


def _flat(value: Any, keys: tuple[str, ...] = ()) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {".".join(keys): value}
    return {name: leaf for key, inner in value.items() for name, leaf in _flat(inner, (*keys, key)).items()}


def _check_unfinished(
    run_folder: folder.RunFolder, settings: Mapping, total: int | None, history: History, step: int
) -> None:
    if total and step >= total:
        raise InputError(f"{run_folder.path}: done already, at step {step}; -o fit.steps=… trains on")
    watched = settings["early_stopping"]
    # Within an interval it was not stopped, whatever its last row says.
    at_end = history.rows and history.rows[-1]["step"] == step
    if watched and at_end and (why := history.stops_early(watched)):
        raise InputError(
            f"{run_folder.path}: stopped early at step {step}: {why}; -o fit.early_stopping=null trains on"
        )


def _total(recipe: Recipe, data: Data) -> int:
    settings = recipe["fit"]
    return settings["steps"] or settings["epochs"] * max(1, len(data.training.videos) // settings["batch_size"])


def _in_short(videos: Mapping) -> str:
    """Return a summary of the data in words."""
    parts = [f"{part.get('videos')} videos {name}" for name, part in videos.items() if isinstance(part, dict)]
    return ", ".join(parts) or "unknown videos"


def fingerprint(data: Data) -> str:
    """Return a hash over what the data holds."""
    clips = [data.training, *data.tests.values()]
    return "+".join(part.source.fingerprint() for part in clips)


def _prepare(recipe: Recipe, fresh: bool) -> tuple[VideoModel, Data, str | None]:
    """Build the model, then open the data: what a builder refuses is refused before any file is read.

    A run that is not fresh has its weights in a checkpoint. The third value says what others it began with.
    """
    settings = recipe["fit"]
    said = None
    with seeded(settings["seed"]):
        with zoo.dtype_policy(settings["precision"]):
            model = zoo.get(recipe["model"]["name"], loss=recipe["loss"], compile=False, **recipe.model_options)
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
    started, step, total = time.perf_counter(), record["step"] if record else 0, _total(recipe, data)
    try:
        with _logged(run_folder), tracked(recipe["track"], run_folder, step, tuple(data.tests)) as trackers:
            log.info("run %s", run_folder.path)
            run_folder.note("running", step, total)
            if said:
                log.info("%s", said)
            _report_data(data)
            if record is None and recipe.lock.get("data", now := fingerprint(data)) != now:
                log.warning(
                    "the data is not what the lock file's run had (fingerprint %s, now %s)", recipe.lock["data"], now
                )
            history = History(run_folder, upto=step if record else None)
            shown = samples.fixed_clips(data.validation or data.training)
            validation = data.validation and data.validation.arrays(settings["validation_clips"])
            tests = {name: clips.arrays(settings["validation_clips"]) for name, clips in data.tests.items()}

            def measured(part: str, arrays: tuple) -> dict[str, float]:
                found = model.evaluate(*arrays, batch_size=settings["batch_size"], verbose=0, return_dict=True)
                return {f"{part}_{name}": float(value) for name, value in found.items()}

            def sample(at: int) -> dict[str, float]:
                with averaged(model):
                    row = samples.draw(model, shown, run_folder.samples / f"step-{at:06d}")
                    # As Keras counts intervals, of which the last may be a short one.
                    if -(-at // settings["sample_every"]) % settings["validation_freq"] == 0:
                        for name, arrays in tests.items():
                            row |= measured(f"test_{name}", arrays)
                return row

            user_callbacks = [_callback(c) for c in recipe["callbacks"]]
            if record:
                for callback, state in zip(user_callbacks, record["callbacks"], strict=True):
                    if hasattr(callback, "set_state"):
                        callback.set_state(state)

            def kept() -> dict:
                return {"callbacks": callback_states(user_callbacks), "recipe": recipe.values}

            with Signals() as signals, Progress(total, step) as progress:
                loop = Loop(run_folder, history, step, total, settings, sample, signals, kept, progress, trackers)
                if record is None:
                    row = {"step": 0, **sample(0)}
                    if validation is not None:
                        row |= measured("val", validation)
                    _check_monitors(settings, row, model)
                    if len(row) > 1:
                        loop.add(row, 0.0)
                else:
                    if step % settings["sample_every"]:
                        loop.metrics_at_start = [keras.ops.convert_to_numpy(v) for v in model.metrics_variables]
                    loop.set_model(model)
                    loop.go_on()
                _fit_intervals(model, data, recipe, total, loop, validation, user_callbacks)
            # The moving average of the weights takes their place, where the optimizer keeps one.
            model.optimizer.finalize_variable_values(model.trainable_variables)
            if curves := panels(history, tuple(tests)):
                write_curves(run_folder.path / "loss.png", curves)
            if loop.stopped:
                log.info("stopped early at step %d: %s", loop.step, loop.stopped)
            run_folder.note("done", loop.step, total, loop.stopped and f"stopped early: {loop.stopped}")
            write_report(run_folder)
            _say_done(history, run_folder, tuple(tests), loop.step, time.perf_counter() - started)
            return Run(run_folder.path, history.rows, model)
    except KvzooError as error:
        _note_end(run_folder, "interrupted" if isinstance(error, Interrupted) else "failed", total, str(error))
        raise
    except Exception as error:
        said = _disk_says(error)
        message = f"cannot be written to: {said}" if said else f"a fault of kvzoo's: {type(error).__name__}"
        _note_end(run_folder, "failed", total, message)
        if not said or not (saved := run_folder.saved()):
            raise
        raise TrainingFailed(
            f"{run_folder.path}: {message}; all up to step {folder.step_of(saved[-1])} is whole in {saved[-1]}; "
            f"once there is room, go on with: kvzoo resume {run_folder.path}"
        ) from None


# What a disk that is full, gone or not ours to write to answers.
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG, errno.ENOENT)


def _disk_says(error: Exception) -> str | None:
    """Return what a disk says that takes no more; None where an error is something else."""
    if isinstance(error, OSError) and error.errno in DISK:
        return error.strerror
    # HDF5 has errors of its own.
    return next((os.strerror(n) for n in DISK if f"errno = {n}," in str(error)), None)


def _check_monitors(settings: Mapping, row: Mapping, model: VideoModel) -> None:
    """Refuse metrics that this run will not have."""
    known = {*row, *(metric.name for metric in model.metrics)} - {"step"}
    for key in ("best", "early_stopping"):
        wanted = settings[key] and settings[key]["monitor"]
        if wanted and wanted not in known:
            raise InputError(
                f"fit.{key}: no metric {wanted!r}{did_you_mean(wanted, known)}; known: {', '.join(sorted(known))}"
            )


class _LogFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing: a full disk is said by what stops the run."""


@contextmanager
def _logged(run_folder: folder.RunFolder):
    """Write what is logged within to the run's log, and where nobody set logging up, to where `print` goes."""
    handler = _LogFile(run_folder.log, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handlers: list[logging.Handler] = [handler]
    if not log.hasHandlers():
        handlers.append(logging.StreamHandler(sys.stdout))
        handlers[-1].setLevel(logging.INFO)
    for each in handlers:
        log.addHandler(each)
    level = log.level
    log.setLevel(logging.DEBUG)
    try:
        yield
    except KvzooError as error:
        log.debug("%s", error)  # for the log file; the terminal is told by the command line
        raise
    except Exception:
        log.debug("stopped by an error", exc_info=True)
        raise
    finally:
        for each in handlers:
            log.removeHandler(each)
        log.setLevel(level)
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
        loop.ready = examples.ready
        with examples, _not_the_end(model.optimizer), checked():
            model.fit(
                examples.for_fit(),
                steps_per_epoch=steps,
                initial_epoch=loop.step // every,
                epochs=loop.step // every + count,
                validation_data=validation,
                validation_batch_size=settings["batch_size"],
                validation_freq=settings["validation_freq"],
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
def _not_the_end(optimizer: keras.optimizers.Optimizer):
    """Keep `fit` from overwriting the weights by their moving average: more of the run may be to come."""
    optimizer.finalize_variable_values = lambda variables: None
    try:
        yield
    finally:
        del optimizer.finalize_variable_values


class _Examples:
    """A Grain dataset as `fit` likes it best: as it is, but on TensorFlow.

    Keras would wrap it in tf.data with autotuning on, whose thread has nothing to tune here and can
    hold the end of `fit` up for a quarter of a minute. And tf.data would wrap an InputError, which
    leaving this context brings back. Notes when each batch was there.
    """

    def __init__(self, dataset, sizes_vary: bool = False):
        self._dataset = dataset
        self._sizes_vary = sizes_vary
        self._error: InputError | None = None
        self._ready: list[float] = []
        self._ahead = keras.backend.backend() == "tensorflow"  # batches are made before they are asked for

    def ready(self, batch: int, start: float) -> float:
        """Return when a batch was there, by its number in this `fit`, for the step that began at `start`."""
        if self._ahead:
            return self._ready[batch] if batch < len(self._ready) else start
        # Others ask within the step, and once more before the first one.
        return self._ready[-1] if self._ready else start

    def for_fit(self):
        if not self._ahead:
            return self._dataset.map(self._noted)
        import tensorflow as tf

        if isinstance(self._dataset, tf.data.Dataset):
            return self._dataset
        signature = tuple(tf.TensorSpec(self._shape(array), array.dtype) for array in next(iter(self._dataset)))
        options = tf.data.Options()
        options.autotune.enabled = False
        return (
            tf.data.Dataset.from_generator(self._watched, output_signature=signature).prefetch(2).with_options(options)
        )

    def _shape(self, array) -> tuple[int | None, ...]:
        varying = self._sizes_vary and array.ndim == 5
        return (*array.shape[:2], None, None, array.shape[4]) if varying else array.shape

    def _noted(self, example):
        self._ready.append(time.perf_counter())
        return example

    def _watched(self):
        self._ready.clear()
        try:
            yield from map(self._noted, self._dataset)
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
        keras.backend.backend(): version(keras.backend.backend()),
        "data": fingerprint(data),
        "fps": data.training.videos[0].fps,
        **({"classes": list(data.training.classes)} if data.training.classes else {}),
        "videos": _summary(data),
        "origins": {dotted(keys): origin for keys, _, origin in explained_run(recipe)},
    }


def _summary(data: Data) -> dict:
    """Return what the data holds in numbers, by part."""
    parts = {"training": data.training, "held out": data.validation, **data.tests}
    numbers = {
        name: {
            "videos": len(clips.videos),
            "groups": len({video.group for video in clips.videos}),
            "frames": sum(video.frames for video in clips.videos),
            "seconds": round(sum(video.frames / video.fps for video in clips.videos), 1),
        }
        for name, clips in parts.items()
        if clips
    }
    return {**numbers, "skipped": len(data.skipped)}


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


def _note_end(run_folder: folder.RunFolder, state: str, total: int, message: str) -> None:
    """Note why a run ended before its end, and write its report, as well as that goes."""
    saved = run_folder.saved()
    if not saved:
        return
    try:
        run_folder.note(state, folder.step_of(saved[-1]), total, message)
        write_report(run_folder)
    except OSError as error:
        log.debug("no report: %s", error)


def _say_done(
    history: History, run_folder: folder.RunFolder, tests: tuple[str, ...], total: int, seconds: float
) -> None:
    last = [(*metric_of(name, tests), value) for name, value in (history.rows[-1] if history.rows else {}).items()]
    result = "".join(f", {metric} {value:.4g} {part}" for metric, part, value in last if part != "training")
    newest = sorted(run_folder.samples.glob("*.png"))[-1]
    log.info("done: %d steps in %s%s", total, duration(seconds), result)
    log.info("look at  %s", newest)
    log.info("report   %s", run_folder.report)
    log.info("model    %s", run_folder.model)
