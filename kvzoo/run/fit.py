"""A recipe becomes a run: open, build, train, keep."""

import json
import logging
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras

import kvzoo
from kvzoo import catalog, process, zoo
from kvzoo.data.pipeline import Clips, Data, FixedExamples, batches, open_data
from kvzoo.errors import InputError, Interrupted, KvzooError, TrainingFailed, did_you_mean
from kvzoo.kernels.compiled import keep_compiled
from kvzoo.losses.arrays import checked
from kvzoo.losses.base import VideoModel
from kvzoo.media.plots import write_curves
from kvzoo.recipe.explain import explained_run
from kvzoo.recipe.resolve import Recipe, load
from kvzoo.recipe.text import dotted
from kvzoo.run import checkpoint, folder, samples
from kvzoo.run.feed import HeldOutExamples, TrainingExamples
from kvzoo.run.folder import WriteError, writing
from kvzoo.run.history import History, metric_of, panels
from kvzoo.run.report import duration, write_report
from kvzoo.run.reproducible import deterministic_ops, seeded
from kvzoo.run.tracking import tracked
from kvzoo.run.training import Loop, Progress, averaged, callback_states
from kvzoo.signals import Signals, undone

log = logging.getLogger("kvzoo")

HOLD = 256 << 20  # bytes of each part's validation examples that stay in memory; more are read again every time
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
        Interrupted: a signal; all is saved. Before the first step it is a KeyboardInterrupt, and nothing is left.

    Example:

        >>> import kvzoo
        >>> run = kvzoo.fit("gru_ae", ["data.videos=12"], smoke=True)
        >>> [row["step"] for row in run.history]
        [3, 6]
        >>> (run.path / "model.keras").is_file()
        True
    """
    if not isinstance(recipe, Recipe):
        recipe = load(recipe, overrides, smoke)
    folder.planned(recipe.name, out)
    model, data, said = _prepare(recipe, fresh=True)
    callbacks = [_callback(c) for c in recipe["callbacks"]]
    # Another run may have taken its number meanwhile.
    path = folder.planned(recipe.name, out)
    run_folder = folder.create(path)
    try:
        with undone(lambda: _remove_untrained(run_folder)):
            run_folder.write_lock({**recipe.values, "lock": _lock(recipe, data)})
            return _train(recipe, model, data, callbacks, run_folder, said=said)
    except (InputError, WriteError, KeyboardInterrupt) as error:
        if not _remove_untrained(run_folder):
            raise  # what was trained is kept
        if isinstance(error, WriteError):
            raise InputError(f"--out {path}: cannot be written to: {error.strerror}") from None
        raise
    finally:
        run_folder.leave()


def _remove_untrained(run_folder: folder.RunFolder) -> bool:
    """Remove a run that has no checkpoint yet; return whether it had none."""
    if run_folder.saved():
        return False
    run_folder.leave()
    shutil.rmtree(run_folder.path, ignore_errors=True)
    latest = run_folder.path.parent / "latest"
    if latest.is_symlink() and not latest.exists():
        latest.unlink()
    return True


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
        Interrupted: a signal; all is saved. Before the first step it is a KeyboardInterrupt.

    Example:

        >>> import kvzoo
        >>> run = kvzoo.resume("runs/latest", ["fit.steps=9"])
        >>> [row["step"] for row in run.history]
        [3, 6, 9]
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
            changes = _check_changes(run_folder, recipe, record, new_data)
            changed = [_in_words(change) for change in changes.items()]
            history = History(run_folder, upto=record["step"])
            # A run that was killed at its very end has still something to do.
            ended = last.state in ("done", "unknown")
            _check_unfinished(run_folder, recipe["fit"], recipe["fit"]["steps"], history, record["step"], ended)
            model, data, _ = _prepare(recipe, fresh=False)
            callbacks = [_callback(c) for c in recipe["callbacks"]]
            _check_unfinished(run_folder, recipe["fit"], _total(recipe, data), history, record["step"], ended)
            _check_monitors(recipe["fit"], history.names(), model)
            known, now = recipe.lock.get("data"), fingerprint(data)
            if known != now:
                said = (
                    f"the data changed since the run began ({_in_short(recipe.lock.get('videos', {}))} with fingerprint "
                    f"{known}, now {_in_short(_summary(data))} with {now})"
                )
                if not new_data:
                    raise InputError(f"{run_folder.path}: {said}; --new-data goes on with it")
                changed.append(said)
            # The model was built with the recipe's learning rates: where they changed, those of the checkpoint are left out.
            rates = any(keys[: len(rate)] == rate for keys in changes for rate in RATES)
            checkpoint.restore(model, arrays, learning_rates=not rates)
            if any(keys[:2] == ("fit", "best") for keys in changes):
                record["best_from"] = record["step"]
            for each in changed:
                log.info("%s", each)
            for setting in process.prepare():
                if (before := recipe.lock.get("process", {}).get(setting.name, setting.value)) != setting.value:
                    log.info("%s: %s when the run began, now %s: bits may differ", setting.name, before, setting.value)
            log.info("going on from step %d", record["step"])
        lock = {**recipe.values, "lock": {**recipe.lock, **_lock(recipe, data)}} if changed else None
        return _train(recipe, model, data, callbacks, run_folder, record, lock)
    except WriteError as error:
        raise InputError(f"{run_folder.path}: cannot be written to: {error.strerror}") from None
    finally:
        run_folder.leave()


# Where the learning rates of a run stand in its recipe.
RATES = (("fit", "optimizer", "learning_rate"), ("loss", "critic_learning_rate"))
# Values that a resumed run may change, by their keys or the first ones of them.
MAY_CHANGE = (
    *(
        ("fit", key)
        for key in (
            "steps",
            "epochs",
            "checkpoint_every",
            "keep",
            "best",
            "early_stopping",
            "validation_freq",
            "validation_clips",
            "jit_compile",
        )
    ),
    *RATES,
    ("track",),
    ("data",),
)

Changes = dict[tuple[str, ...], tuple[Any, Any]]


def _check_changes(run_folder: folder.RunFolder, recipe: Recipe, record: dict, new_data: bool) -> Changes:
    """Return each value that is not what it was at the checkpoint, before and now, by its keys.

    Raises:
        InputError: one changed that no override asks for, or that a run cannot change.
    """
    # A checkpoint of an older version has no recipe; the run's lock file then says how it was.
    before = record.get("recipe") or run_folder.recipe(check_paths=False).values
    before, now = (_flat(values) for values in (before, json.loads(json.dumps(recipe.values))))
    changes = {
        keys: (before.get(keys), now.get(keys))
        for keys in sorted(before.keys() | now.keys())
        if before.get(keys) != now.get(keys)
    }
    for keys, change in changes.items():
        said = f"{run_folder.path}: {_in_words((keys, change))}"
        if not any(keys[: len(may)] == may for may in MAY_CHANGE):
            raise InputError(
                f"{said}; a run goes on with what it began with; "
                f"kvzoo fit {run_folder.path / folder.LOCK} begins another"
            )
        if not (new_data and keys[0] == "data") and not _asked_for(recipe, keys):
            raise InputError(f"{said}; if that is meant: -o {dotted(keys)}={json.dumps(change[1])}")
    return changes


def _in_words(change: tuple[tuple[str, ...], tuple[Any, Any]]) -> str:
    keys, (was, is_) = change
    return f"{dotted(keys)} is {json.dumps(is_)}, and was {json.dumps(was)} when the run was cut"


def _asked_for(recipe: Recipe, keys: tuple[str, ...]) -> bool:
    """Return whether an override set a value, or the section that it is in or was in."""
    while keys and keys not in recipe.origins:
        keys = keys[:-1]
    return keys in recipe.origins and recipe.origins[keys].where.startswith("-o ")


def _flat(value: Any, keys: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if not isinstance(value, dict) or not value:
        return {keys: value}
    return {name: leaf for key, inner in value.items() for name, leaf in _flat(inner, (*keys, key)).items()}


def _check_unfinished(
    run_folder: folder.RunFolder, settings: Mapping, total: int | None, history: History, step: int, ended: bool
) -> None:
    """Refuse a run that has nothing left to do; one that did not come to its end has, at its last step too."""
    if total and step > total - ended:
        raise InputError(f"{run_folder.path}: done already, at step {step}; -o fit.steps=… trains on")
    watched = ended and settings["early_stopping"]
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
    keep_compiled()
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
    callbacks: list[keras.callbacks.Callback],
    run_folder: folder.RunFolder,
    record: dict | None = None,
    lock: dict | None = None,
    said: str | None = None,
) -> Run:
    """Train to the end and return the run.

    Args:
        recipe, model, data, callbacks: the model restored where the run is resumed.
        run_folder: taken.
        record: of the checkpoint that the run is resumed from; None of a new run.
        lock: what the lock file is to hold from now on; None where it stays as it is.
        said: on the weights that a new run begins with.
    """
    settings = recipe["fit"]
    started, step, total = time.perf_counter(), record["step"] if record else 0, _total(recipe, data)
    begun = record is None  # what is refused before a resumed run trains leaves its state as it is
    try:
        with _logged(run_folder), tracked(recipe["track"], run_folder, step, tuple(data.tests)) as trackers:
            log.info("run %s", run_folder.path)
            if lock:
                run_folder.write_lock(lock)
            run_folder.note("running", step, total)
            begun = True
            if said:
                log.info("%s", said)
            _report_data(data)
            if record is None and recipe.lock.get("data", now := fingerprint(data)) != now:
                log.warning(
                    "the data is not what the lock file's run had (fingerprint %s, now %s)", recipe.lock["data"], now
                )
            history = History(run_folder, upto=step if record else None)
            shown = samples.fixed_clips(data.validation or data.training)
            validation = data.validation and _held_out(data.validation, settings)
            tests = {name: _held_out(clips, settings) for name, clips in data.tests.items()}

            def measured(part: str, examples: HeldOutExamples) -> dict[str, float]:
                with examples, checked():
                    found = model.evaluate(examples.for_fit(), steps=examples.steps, verbose=0, return_dict=True)
                return {f"{part}_{name}": float(value) for name, value in found.items()}

            def sample(at: int) -> dict[str, float]:
                with averaged(model):
                    row = samples.draw(model, shown, run_folder.samples / f"step-{at:06d}")
                    # As Keras counts intervals, of which the last may be a short one.
                    if -(-at // settings["sample_every"]) % settings["validation_freq"] == 0:
                        for name, examples in tests.items():
                            row |= measured(f"test_{name}", examples)
                return row

            if record:
                for callback, state in zip(callbacks, record["callbacks"], strict=True):
                    if hasattr(callback, "set_state"):
                        callback.set_state(state)

            def kept() -> dict:
                return {
                    "callbacks": callback_states(callbacks),
                    "recipe": recipe.values,
                    "best_from": loop.best_from,
                }

            with Signals() as signals, Progress(total, step) as progress:
                loop = Loop(run_folder, history, step, total, settings, sample, signals, kept, progress, trackers)
                loop.best_from = record.get("best_from", 0) if record else 0
                if record is None:
                    row = {"step": 0, **sample(0)}
                    if validation:
                        row |= measured("val", validation)
                    _check_monitors(settings, row, model)
                    if len(row) > 1:
                        loop.add(row)
                else:
                    if step % settings["sample_every"]:
                        loop.metrics_at_start = [keras.ops.convert_to_numpy(v) for v in model.metrics_variables]
                    loop.set_model(model)
                    loop.go_on()
                _fit_intervals(model, data, recipe, total, loop, validation, callbacks)
            # The moving average of the weights takes their place, where the optimizer keeps one.
            model.optimizer.finalize_variable_values(model.trainable_variables)
            if curves := panels(history, tuple(tests)):
                with writing(run_folder.path / "loss.png"):
                    write_curves(run_folder.path / "loss.png", curves)
            if loop.stopped:
                log.info("stopped early at step %d: %s", loop.step, loop.stopped)
            run_folder.note("done", loop.step, total, loop.stopped and f"stopped early: {loop.stopped}")
            write_report(run_folder)
            _say_done(history, run_folder, tuple(tests), loop.step, time.perf_counter() - started)
            return Run(run_folder.path, history.rows, model)
    except KeyboardInterrupt:
        if begun:
            _note_end(run_folder, "interrupted", total, "interrupted")
        raise
    except KvzooError as error:
        if begun:
            _note_end(run_folder, "interrupted" if isinstance(error, Interrupted) else "failed", total, str(error))
        raise
    except WriteError as error:
        message = f"cannot be written to: {error.strerror}"
        if begun:
            _note_end(run_folder, "failed", total, message)
        if not (saved := run_folder.saved()):
            raise
        raise TrainingFailed(
            f"{run_folder.path}: {message}; all up to step {folder.step_of(saved[-1])} is whole in {saved[-1]}; "
            f"once there is room, go on with: kvzoo resume {run_folder.path}"
        ) from None
    except BaseException as error:
        # Whatever it is, of a callback, a plugin or ours: it is shown as it is, and the run's state tells of it.
        if begun:
            _note_end(run_folder, "failed", total, ": ".join(filter(None, (type(error).__name__, str(error)))))
        raise


def _check_monitors(settings: Mapping, names: Iterable[str], model: VideoModel) -> None:
    """Refuse metrics that this run will not have: neither among `names` nor the model's own."""
    known = {*names, *(metric.name for metric in model.metrics)} - {"step"}
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
    with writing(run_folder.log):
        handler = _LogFile(run_folder.log, encoding="utf-8")
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
    except BaseException:
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
        examples = TrainingExamples(
            _training_batches(data.training, settings["batch_size"], settings["seed"], loop.step),
            data.training.sampler.sizes_vary,
        )
        loop.ready = examples.ready
        with (
            examples,
            checked(),
            validation or nullcontext(),
            _not_the_end(model.optimizer),
            loop.logs_on_device(callbacks),
        ):
            model.fit(
                examples.for_fit(),
                steps_per_epoch=steps,
                initial_epoch=loop.step // every,
                epochs=loop.step // every + count,
                validation_data=validation and validation.for_fit(),
                validation_steps=validation and validation.steps,
                validation_freq=settings["validation_freq"],
                callbacks=[*callbacks, loop],
                shuffle=False,
                verbose=0,
            )


def _held_out(clips: Clips, settings: Mapping) -> HeldOutExamples:
    """Return the examples of a part that every validation reads."""
    return HeldOutExamples(FixedExamples(clips, settings["validation_clips"], HOLD), settings["batch_size"])


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
        "process": {setting.name: setting.value for setting in process.prepare()},
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
    try:
        run_folder.note(state, folder.step_of(saved[-1]) if saved else 0, total, " ".join(message.split()))
        write_report(run_folder)
    except Exception as error:
        log.debug("no report: %s", error)  # why the run ended must not be hidden by it


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
