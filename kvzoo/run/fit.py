"""Train a recipe: open the data, build the model, train, save."""

import logging
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import keras

from kvzoo import catalog, process, zoo
from kvzoo.data.pipeline import Data, open_data
from kvzoo.errors import InputError, Interrupted, KvzooError, TrainingFailed, WriteError, did_you_mean
from kvzoo.files import writing
from kvzoo.kernels.compiled import keep_compiled
from kvzoo.losses.arrays import checked
from kvzoo.losses.base import VideoModel
from kvzoo.media.plots import write_curves
from kvzoo.progress import plural
from kvzoo.recipe.resolve import Recipe, load
from kvzoo.run import checkpoint, feed, folder, samples
from kvzoo.run.history import History, metric_of, panels
from kvzoo.run.log import logged
from kvzoo.run.progress import Progress
from kvzoo.run.provenance import fingerprint, log_data, provenance
from kvzoo.run.report import duration, write_report
from kvzoo.run.reproducible import deterministic_ops, seeded
from kvzoo.run.resume import change_in_words, changes_rates, check_changes, check_data, check_unfinished
from kvzoo.run.tracking import tracked
from kvzoo.run.training import Loop, averaged, callback_states
from kvzoo.signals import Signals, undone

log = logging.getLogger("kvzoo")


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
    """Train a recipe and save the result in a run folder.

    While it runs, TensorFlow's ops are deterministic in the whole process; that, and the random state of Python, NumPy
    and the backend, are afterwards what they were before.

    Args:
        recipe: a recipe file, the name of one that kvzoo ships, a run's lock file, or a resolved recipe.
        overrides: "key=value" strings, such as "fit.steps=50".
        out: the run folder; runs/RECIPE-N when None. It must be empty or not exist.
        smoke: shrink everything to under a minute.

    Raises:
        InputError: something in the recipe, the data or the folder cannot be used; nothing is left behind.
        TrainingFailed: a loss is not finite.
        Interrupted: a signal; progress is saved. Before the first step it is a KeyboardInterrupt, and nothing is left.

    Example:

        >>> import kvzoo
        >>> run = kvzoo.fit("gru_ae", ["data.videos=12"], smoke=True)
        >>> [row["step"] for row in run.history]
        [0, 3, 6]
        >>> (run.path / "model.keras").is_file()
        True
    """
    if not isinstance(recipe, Recipe):
        recipe = load(recipe, overrides, smoke)
    folder.planned(recipe.name, out)
    model, initial_weights = _model(recipe)
    data = _data(recipe, model)
    callbacks = _callbacks(recipe)
    # Another run may have taken its number meanwhile.
    path = folder.planned(recipe.name, out)
    run_folder = folder.create(path)
    try:
        with undone(lambda: _remove_untrained(run_folder)):
            run_folder.write_lock({**recipe.values, "lock": provenance(recipe, data)})
            return _train(recipe, model, data, callbacks, run_folder, remark=initial_weights)
    except (InputError, KeyboardInterrupt) as error:
        if not _remove_untrained(run_folder):
            raise  # what was trained is kept
        if isinstance(error, WriteError):
            raise InputError(f"--out {path}: cannot be written to: {error.strerror}") from None
        raise
    finally:
        run_folder.release()


@deterministic_ops()
def resume(run: str | os.PathLike, overrides: Iterable[str] = (), *, new_data: bool = False) -> Run:
    """Resume a run from its newest intact checkpoint, bit-exactly as if it had not been interrupted.

    Args:
        run: a run folder.
        overrides: "key=value" strings, such as "fit.steps=2000" to train longer.
        new_data: whether to resume even if the data has changed.

    Raises:
        InputError: no run, no checkpoint, a recipe or data that changed, or a finished run.
        TrainingFailed: a loss is not finite.
        Interrupted: a signal; progress is saved. Before the first step it is a KeyboardInterrupt.

    Example:

        >>> import kvzoo
        >>> run = kvzoo.resume("runs/latest", ["fit.steps=9"])
        >>> [row["step"] for row in run.history]
        [0, 3, 6, 9]
    """
    run_folder = folder.RunFolder(run)
    if run_folder.model == run_folder.best:
        raise InputError(f"{run}: a run resumes from its newest checkpoint; use kvzoo resume {run_folder.path}")
    recipe = run_folder.recipe(tuple(overrides))
    last = run_folder.state()
    run_folder.acquire()
    try:
        with logged(run_folder):
            if last.state == "killed":
                log.info("process %s on %s, the last to write to this run, no longer exists", last.pid, last.host)
            newest = checkpoint.read_newest(run_folder.checkpoints, aside=True)
            if newest is None:
                raise InputError(
                    f"{run_folder.path}: no checkpoint yet; start again with: kvzoo fit {run_folder.path / folder.LOCK}"
                )
            record, arrays = newest
            changes = check_changes(run_folder, recipe, record, new_data)
            history = History(run_folder, upto=record["step"])
            # A run that was killed at its very end still has something to do.
            ended = last.state in ("done", "unknown")
            check_unfinished(run_folder, recipe["fit"], recipe["fit"]["steps"], history, record["step"], ended)
            model, _ = _model(recipe, begins=False)
            data = _data(recipe, model)
            callbacks = _callbacks(recipe)
            check_unfinished(run_folder, recipe["fit"], _total(recipe, data), history, record["step"], ended)
            _check_monitors(recipe["fit"], history.names(), model)
            other_data = check_data(run_folder, recipe, data, new_data)
            # The model was built with the recipe's learning rates: where they changed, those of the checkpoint are left out.
            checkpoint.restore(model, arrays, learning_rates=not changes_rates(changes))
            if any(keys[:2] == ("fit", "best") for keys in changes):
                record["best_from"] = record["step"]
            remarks = [*map(change_in_words, changes.items()), *filter(None, [other_data])]
            for remark in remarks:
                log.info("%s", remark)
            for setting in process.prepare():
                if (before := recipe.lock.get("process", {}).get(setting.name, setting.value)) != setting.value:
                    log.info(
                        "%s: was %s when the run began, now %s: results may differ",
                        setting.name,
                        before,
                        setting.value,
                    )
            log.info("resuming from step %d", record["step"])
        lock = {**recipe.values, "lock": {**recipe.lock, **provenance(recipe, data)}} if remarks else None
        return _train(recipe, model, data, callbacks, run_folder, record, lock)
    except WriteError as error:
        raise InputError(f"{run_folder.path}: cannot be written to: {error.strerror}") from None
    finally:
        run_folder.release()


def _model(recipe: Recipe, begins: bool = True) -> tuple[VideoModel, str]:
    """Build and compile the model; return it, and in words what weights it begins with where they are others'.

    It is built before the data is opened, so that what a builder refuses is refused before any file is read. A run that
    does not begin has its weights in a checkpoint.
    """
    settings, remark = recipe["fit"], ""
    keep_compiled()
    with seeded(settings["seed"]):
        with zoo.dtype_policy(settings["precision"]):
            model = zoo.get(recipe["model"]["name"], loss=recipe["loss"], compile=False, **recipe.model_options)
        if begins and (weights := recipe["model"].get("weights")):
            loaded, other = zoo.transfer(model, Path(weights))
            remark = (
                f"loaded {plural(len(loaded), 'layer')} from {weights}; newly initialized: {', '.join(other) or 'none'}"
            )
        if recipe["model"].get("trainable") == "head":
            zoo.freeze_trunk(model)
        zoo.compile_model(model, settings["optimizer"], settings["l2"], settings["jit_compile"])
    return model, remark


def _data(recipe: Recipe, model: VideoModel) -> Data:
    return open_data(recipe["data"], model.clip_shapes, recipe["fit"]["seed"], model.wanted_classes)


def _callbacks(recipe: Recipe) -> list[keras.callbacks.Callback]:
    callbacks = [dict(options) for options in recipe["callbacks"]]
    return [catalog.CALLBACKS.get(options.pop("name")).load()(**options) for options in callbacks]


def _total(recipe: Recipe, data: Data) -> int:
    """Return the steps that a run has at its end."""
    settings = recipe["fit"]
    return settings["steps"] or settings["epochs"] * max(1, len(data.training.videos) // settings["batch_size"])


def _check_monitors(settings: Mapping, names: Iterable[str], model: VideoModel) -> None:
    """Refuse metrics that this run will not have: neither among `names` nor the model's own."""
    known = {*names, *(metric.name for metric in model.metrics)} - {"step"}
    for key in ("best", "early_stopping"):
        monitor = settings[key] and settings[key]["monitor"]
        if monitor and monitor not in known:
            raise InputError(
                f"fit.{key}: no metric {monitor!r}{did_you_mean(monitor, known)}; known: {', '.join(sorted(known))}"
            )


def _remove_untrained(run_folder: folder.RunFolder) -> bool:
    """Remove a run that has no checkpoint yet; return whether it had none."""
    if run_folder.saved():
        return False
    run_folder.release()
    shutil.rmtree(run_folder.path, ignore_errors=True)
    latest = run_folder.path.parent / "latest"
    if latest.is_symlink() and not latest.exists():
        latest.unlink()
    return True


def _train(
    recipe: Recipe,
    model: VideoModel,
    data: Data,
    callbacks: list[keras.callbacks.Callback],
    run_folder: folder.RunFolder,
    record: dict | None = None,
    lock: dict | None = None,
    remark: str = "",
) -> Run:
    """Train to the end and return the run.

    Args:
        recipe, model, data, callbacks: the model restored where the run is resumed.
        run_folder: acquired.
        record: of the checkpoint that the run is resumed from; None of a new run.
        lock: what the lock file is to hold from now on; None where it stays as it is.
        remark: on the weights that a new run begins with.
    """
    settings = recipe["fit"]
    started, step, total = time.perf_counter(), record["step"] if record else 0, _total(recipe, data)
    with (
        # What is refused before a resumed run trains leaves its state as it is.
        _End(run_folder, total, noted=record is None) as end,
        logged(run_folder),
        tracked(recipe["track"], run_folder, step, tuple(data.tests)) as trackers,
    ):
        log.info("run %s", run_folder.path)
        if lock:
            run_folder.write_lock(lock)
        run_folder.note("running", step, total)
        end.noted = True
        if remark:
            log.info("%s", remark)
        log_data(data)
        if record is None and recipe.lock.get("data", now := fingerprint(data)) != now:
            log.warning(
                "the data has changed since the run of the lock file (fingerprint %s, now %s)", recipe.lock["data"], now
            )
        history = History(run_folder, upto=step if record else None)
        measures = _Measures(model, data, settings, run_folder)
        if record:
            _restore_callbacks(callbacks, record["callbacks"])

        def callback_record() -> dict:
            return {"callbacks": callback_states(callbacks), "recipe": recipe.values, "best_from": loop.best_from}

        with Signals() as signals, Progress(total, step) as progress:
            loop = Loop(
                run_folder,
                history,
                step,
                total,
                settings,
                measures.sample,
                signals,
                callback_record,
                progress,
                trackers,
            )
            if record is None:
                _begin(loop, measures)
            else:
                loop.best_from = record.get("best_from", 0)
                if step % settings["sample_every"]:
                    loop.metrics_at_start = [keras.ops.convert_to_numpy(v) for v in model.metrics_variables]
                loop.set_model(model)
                loop.go_on()
            _fit_intervals(model, data, settings, loop, measures.validation, callbacks)
        # The moving average of the weights takes their place, where the optimizer keeps one.
        model.optimizer.finalize_variable_values(model.trainable_variables)
        _finish(run_folder, history, loop, tuple(data.tests), time.perf_counter() - started)
        return Run(run_folder.path, history.rows, model)


class _Measures:
    """What a run is measured by: its samples, and the examples of its validation and of its test sets.

    Attributes:
        validation: held-out examples; None where nothing is held out.
    """

    def __init__(self, model: VideoModel, data: Data, settings: Mapping, run_folder: folder.RunFolder):
        self.model, self.settings, self._folder = model, settings, run_folder.samples
        self._shown = samples.fixed_clips(data.validation or data.training)
        self.validation = data.validation and feed.held_out(data.validation, settings)
        self._tests = {f"test_{name}": feed.held_out(clips, settings) for name, clips in data.tests.items()}

    def sample(self, step: int) -> dict[str, float]:
        """Draw the sample of a step; return its figures, and those of the test sets where they are due."""
        with averaged(self.model):
            row = samples.draw(self.model, self._shown, self._folder / f"step-{step:06d}")
            # As Keras counts intervals, of which the last may be a short one.
            if -(-step // self.settings["sample_every"]) % self.settings["validation_freq"] == 0:
                for name, examples in self._tests.items():
                    row |= self.evaluate(name, examples)
        return row

    def evaluate(self, name: str, examples: feed.HeldOutExamples) -> dict[str, float]:
        """Return the model's metrics on held-out examples, each named after them."""
        with examples, checked():
            metrics = self.model.evaluate(examples.for_fit(), steps=examples.steps, verbose=0, return_dict=True)
        return {f"{name}_{metric}": float(value) for metric, value in metrics.items()}


def _begin(loop: Loop, measures: _Measures) -> None:
    """Write the row of history of step 0."""
    row = {"step": 0, **measures.sample(0)}
    if measures.validation:
        row |= measures.evaluate("val", measures.validation)
    _check_monitors(measures.settings, row, measures.model)
    if len(row) > 1:
        loop.add(row)


def _restore_callbacks(callbacks: list[keras.callbacks.Callback], states: list[dict]) -> None:
    for callback, state in zip(callbacks, states, strict=True):
        if hasattr(callback, "set_state"):
            callback.set_state(state)


def _fit_intervals(model, data: Data, settings: Mapping, loop: Loop, validation, callbacks: list) -> None:
    """Call `model.fit` for the rest of an interrupted interval, the whole ones, and the last short one."""
    every, total = settings["sample_every"], loop.total
    while loop.step < total and not model.stop_training:
        within = loop.step % every
        steps = min(every - within if within else every, total - loop.step)
        count = 1 if steps < every else (total - loop.step) // every

        loop.interval = steps
        examples = feed.training(data.training, settings["batch_size"], settings["seed"], loop.step)
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


@contextmanager
def _not_the_end(optimizer: keras.optimizers.Optimizer):
    """Keep `fit` from overwriting the weights with their moving average: the run may continue."""
    optimizer.finalize_variable_values = lambda variables: None
    try:
        yield
    finally:
        del optimizer.finalize_variable_values


def _finish(run_folder: folder.RunFolder, history: History, loop: Loop, tests: tuple[str, ...], seconds: float) -> None:
    """Draw the curves, note that the run is done, write its report, and say where things are."""
    if curves := panels(history, tests):
        with writing(run_folder.path / "loss.png"):
            write_curves(run_folder.path / "loss.png", curves)
    if loop.stopped:
        log.info("stopped early at step %d: %s", loop.step, loop.stopped)
    run_folder.note("done", loop.step, loop.total, loop.stopped and f"stopped early: {loop.stopped}")
    write_report(run_folder)
    last = [(*metric_of(name, tests), value) for name, value in (history.rows[-1] if history.rows else {}).items()]
    result = "".join(f", {metric} {value:.4g} {part}" for metric, part, value in last if part != "training")
    newest = sorted(run_folder.samples.glob("*.png"))[-1]
    log.info("done: %s in %s%s", plural(loop.step, "step"), duration(seconds), result)
    log.info("samples  %s", newest)
    log.info("report   %s", run_folder.report)
    log.info("model    %s", run_folder.model)


class _End:
    """Notes why a run ended early, and tries to write its report.

    Args:
        run_folder: of the run.
        total: steps that it is to have.
        noted: whether an end is noted; may be set later.

    Raises:
        TrainingFailed: on leaving, in place of a WriteError, where a checkpoint is left.
    """

    def __init__(self, run_folder: folder.RunFolder, total: int, noted: bool):
        self._folder, self._total, self.noted = run_folder, total, noted

    def __enter__(self) -> "_End":
        return self

    def __exit__(self, kind, error: BaseException | None, traceback) -> None:
        if error is None:
            return
        if isinstance(error, (KeyboardInterrupt, Interrupted)):
            self._note("interrupted", str(error) if isinstance(error, Interrupted) else "interrupted")
        elif isinstance(error, WriteError):
            self._note("failed", message := f"cannot be written to: {error.strerror}")
            if saved := self._folder.saved():
                raise TrainingFailed(
                    f"{self._folder.path}: {message}; saved up to step {folder.step_of(saved[-1])} in {saved[-1]}; "
                    f"once it can be written to again, resume with: kvzoo resume {self._folder.path}"
                ) from None
        elif isinstance(error, KvzooError):
            self._note("failed", str(error))
        else:
            # Of a callback, a plugin or ours: it is shown as it is, and the run's state tells of it.
            self._note("failed", ": ".join(filter(None, (type(error).__name__, str(error)))))

    def _note(self, state: str, message: str) -> None:
        if not self.noted:
            return
        saved = self._folder.saved()
        try:
            step = folder.step_of(saved[-1]) if saved else 0
            self._folder.note(state, step, self._total, " ".join(message.split()))
            write_report(self._folder)
        except Exception as error:
            log.debug("no report: %s", error)  # why the run ended must not be hidden by it
