"""The callbacks of a run: history, samples, checkpoints, progress, signals, the check for NaN.

A Keras epoch is one interval of `sample_every` steps here: at its end the model is validated, a row
of history written and a sample drawn.
"""

import json
import logging
import math
import shlex
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager

import keras

from kvzoo.errors import Interrupted, TrainingFailed
from kvzoo.files import writing, written_whole
from kvzoo.run import checkpoint
from kvzoo.run.folder import RunFolder, checkpoints_in
from kvzoo.run.history import History
from kvzoo.run.progress import Progress
from kvzoo.run.timing import Timing
from kvzoo.signals import Signals

log = logging.getLogger("kvzoo")


LOGS_STEPS, LOGS_SECONDS = 16, 0.2  # logs stay on the device for so many steps, or so long
INTERVALS = 3  # so many in a row beyond a bound are a collapse
LEAST_DIVERSITY = 0.1  # of the sample's clips, in parts of the real ones'
LEAST_DISCRIMINATOR_LOSS = 0.05  # below it a discriminator is nearly always right, and its gradient says little


def collapses(rows: list[dict[str, float]]) -> list[str]:
    """Return what the last row of a generator's history gives reason to warn of, in words; each is said once."""
    warnings = []
    names = [name for name in rows[-1] if name == "diversity" or name.startswith("d_loss")]
    for name in names:
        bound = LEAST_DIVERSITY if name == "diversity" else LEAST_DISCRIMINATOR_LOSS
        # A loss below 0 is a Wasserstein critic's, which has no such bound. At step 0 nothing is learned yet.
        beyond = [0 <= row.get(name, bound) < bound for row in rows if row["step"]]
        if len(beyond) >= INTERVALS and all(beyond[-INTERVALS:]) and not any(beyond[-INTERVALS - 1 : -INTERVALS]):
            alike = name == "diversity"
            meaning = "the samples are nearly all alike" if alike else "discriminator accuracy is near 100 %"
            warnings.append(
                f"{name} is {rows[-1][name]:.3g}, under {bound:g} for {INTERVALS} intervals: {meaning}; "
                "the generator may have collapsed"
            )
    return warnings


class Loop(keras.callbacks.Callback):
    """Keeps a run's folder while `fit` runs.

    Args:
        folder: of the run.
        history: of the run.
        step: steps done before.
        total: steps at the end.
        settings: a recipe's `fit`.
        sample: draws a sample, given the step, and returns its figures.
        signals: asked after each step.
        record: what checkpoints keep beside the arrays.
        progress: told of each step and interval.
        trackers: told of each row of history.
    """

    def __init__(
        self,
        folder: RunFolder,
        history: History,
        step: int,
        total: int,
        settings: Mapping,
        sample: Callable[[int], dict[str, float]],
        signals: Signals,
        record: Callable[[], dict],
        progress: Progress,
        trackers: Sequence[Callable[[dict], None]] = (),
    ):
        super().__init__()
        self.folder, self.history, self.step, self.total = folder, history, step, total
        self.settings, self.sample, self.signals = settings, sample, signals
        self.record, self.progress, self.trackers = record, progress, trackers
        self.ready: Callable[[int, float], float] = lambda batch, start: start  # of the `fit` that runs now
        self.stopped = ""  # why it stopped early
        self.best_from = 0  # the step where `fit.best` last changed: what was best before is so by another metric
        self.timing = Timing(folder, step)
        self.interval = 0  # steps of the intervals that run now; set before `fit`
        self.metrics_at_start: list | None = None
        self._saved_at = step
        self._clock: tuple[float, int] | None = None  # when steps of the interval began to count, and after which
        self._batches = 0  # of this `fit`
        self._average = None
        self._pending: list[tuple[int, Mapping]] = []  # steps and their logs that were not looked at yet
        self._logs: dict[str, float] = {}  # the last ones that were
        self._looked = time.perf_counter()
        self._keeps_logs, self._take_step = False, None

    def on_train_begin(self, logs=None):
        self._batches, self.signals.trains = 0, True
        if self._keeps_logs:
            self._take_step, self.model.train_function = self.model.train_function, self._step_without_logs

    def on_test_begin(self, logs=None):
        self._average = averaged(self.model)
        self._average.__enter__()

    def on_test_end(self, logs=None):
        self._average.__exit__(None, None, None)

    def on_epoch_begin(self, epoch, logs=None):
        if self.metrics_at_start is not None:
            # The run was cut within this interval: its means go on from where they were.
            for variable, value in zip(self.model.metrics_variables, self.metrics_at_start, strict=True):
                variable.assign(value)
            self.metrics_at_start = None
        self._interval_end = self.step + self.interval
        self.timing.go()
        if self._clock:
            self._clock = (time.perf_counter(), self.step)

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self.signals.saves = True
        if logs:
            self._pending.append((self.step, logs))
        due = self.step % self.settings["checkpoint_every"] == 0 or self.signals.received
        if (
            due
            or self.step == self._interval_end
            or len(self._pending) >= LOGS_STEPS
            or time.perf_counter() - self._looked > LOGS_SECONDS
        ):
            self._look_at_logs()
        self.timing.step(lambda start: self.ready(self._batches, start))
        if self._clock is None:
            self._clock = (time.perf_counter(), self.step)  # the first step compiles
        self._batches += 1
        self.progress.pace = self.timing.pace()
        self.progress.step(self.step, self._logs)
        if self.step == self._interval_end:
            return  # on_epoch_end saves, with the interval's row of history written
        if due or self.signals.received:
            self._look_at_logs()
            self.save()
        self._stop_if_told()
        self.timing.go()

    def _look_at_logs(self) -> None:
        """Wait for the steps that were dispatched, and see whether their logs are finite."""
        for step, logs in self._pending:
            self._logs = {name: float(keras.ops.convert_to_numpy(value)) for name, value in logs.items()}
            for name, value in self._logs.items():
                if not math.isfinite(value):
                    raise TrainingFailed(self._explain_nan(name, value, step))
        self._pending.clear()
        self._looked = time.perf_counter()

    @contextmanager
    def logs_on_device(self, callbacks: Sequence[keras.callbacks.Callback]):
        """Within, a step's logs come here as they are, and the device need not be waited for after every step.

        Keras turns them into numbers for its callbacks each time. The last step of an interval returns them as ever, and
        so do all where one of `callbacks` has something to do in between.
        """
        hooks = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
        stock = [getattr(keras.callbacks.Callback, hook) for hook in hooks]
        self._keeps_logs = all(
            getattr(getattr(c, hook), "__func__", None) is f
            for c in callbacks
            for hook, f in zip(hooks, stock, strict=True)
        )
        try:
            yield
        finally:
            if self._take_step:
                self.model.train_function, self._take_step = self._take_step, None

    def _step_without_logs(self, *arguments):
        result, with_state = self._take_step(*arguments), keras.backend.backend() == "jax"
        if self.step + 1 == self._interval_end:
            return result
        self._pending.append((self.step + 1, result[0] if with_state else result))
        return ({}, *result[1:]) if with_state else {}

    def on_epoch_end(self, epoch, logs=None):
        self.timing.interval()
        now = time.perf_counter()
        then, step = self._clock
        row = {"step": self.step, **{k: float(v) for k, v in (logs or {}).items()}, **self.sample(self.step)}
        self.add(row, (now - then) / (self.step - step) if self.step > step else None)
        for warning in collapses(self.history.rows):
            log.warning("step %d: %s", self.step, warning)
        best = self.best_here()
        self.stop_early()
        due = self.step % self.settings["checkpoint_every"] == 0
        if due or best or self.model.stop_training or self.signals.received or self.step == self.total:
            self.save()
        if best:
            self.keep_best()
        if self.step < self.total and not self.stopped:
            self._stop_if_told()

    def add(self, row: dict[str, float], seconds: float | None = None) -> None:
        """Write a row of history and tell everybody of it; `seconds` a step, None where they are not known."""
        self.history.add(row)
        self.progress.interval(row, seconds)
        for tracker in self.trackers:
            tracker(row)

    def best_here(self) -> bool:
        """Return whether the metric that `fit.best` names is at its best at this step."""
        monitored = self.settings["best"]
        best = self.history.best(monitored, since=self.best_from) if monitored else None
        return best is not None and best[1] == self.step

    def keep_best(self) -> None:
        """Keep this step's checkpoint and network as the best ones."""
        checkpoint.keep_best(checkpoints_in(self.folder.checkpoints)[-1])
        with writing(self.folder.best), written_whole(self.folder.best) as temporary:
            shutil.copyfile(self.folder.model, temporary)

    def save(self) -> None:
        """Write a checkpoint and the plain network, unless this step has one."""
        if self._saved_at == self.step:
            return
        checkpoint.save(self.folder.checkpoints, self.model, self.step, self.record(), self.settings["keep"])
        self.save_network()
        self.timing.write(self.step)
        self._saved_at = self.step

    def save_network(self) -> None:
        """Write the plain network, whole or not at all."""
        with averaged(self.model), writing(self.folder.model), written_whole(self.folder.model) as temporary:
            self.model.network.save(temporary)

    def stop_early(self) -> None:
        """Stop where the last row of history is the one too many for `fit.early_stopping`."""
        if early_stopping := self.settings["early_stopping"]:
            self.stopped = self.history.stops_early(early_stopping) or ""
        if self.stopped:
            self.model.stop_training = True

    def go_on(self) -> None:
        """Do what a process that was killed just after its last checkpoint had still to do."""
        self.save_network()
        if self.best_here():
            self.keep_best()
        if self.history.rows and self.history.rows[-1]["step"] == self.step:
            self.stop_early()

    def _stop_if_told(self) -> None:
        if self.signals.received:
            by = "" if self.signals.received == "SIGINT" else f" by {self.signals.received}"
            raise Interrupted(
                f"Interrupted{by} at step {self.step}; progress saved. "
                f"Resume with: kvzoo resume {shlex.quote(str(self.folder.path))}"
            )

    def _explain_nan(self, name: str, value: float, step: int) -> str:
        saved = checkpoints_in(self.folder.checkpoints)
        good = f"the last good checkpoint is {saved[-1]}" if saved else "there is no checkpoint yet"
        return f"{name} is {value} at step {step}; {good}"


@contextmanager
def averaged(model: keras.Model):
    """Within, the weights are their moving average, where the optimizer keeps one (`use_ema`)."""
    optimizer, weights = model.optimizer, model.trainable_variables
    players = getattr(optimizer, "players", None)
    owners = [(p, optimizer.owned(n, weights)) for n, p in players.items()] if players else [(optimizer, weights)]
    owners = [(getattr(player, "inner_optimizer", player), owned) for player, owned in owners]
    # Before the first update an average is of nothing.
    owners = [(o, owned) for o, owned in owners if o.use_ema and int(keras.ops.convert_to_numpy(o.iterations))]
    before = [(v, keras.ops.convert_to_numpy(v)) for _, owned in owners for v in owned]
    for player, owned in owners:
        # The class's own: `fit` is kept from calling the instance's within a run.
        type(player).finalize_variable_values(player, owned)
    try:
        yield
    finally:
        for variable, value in before:
            variable.assign(value)


def callback_states(callbacks: list[keras.callbacks.Callback]) -> list[dict]:
    """Return what callbacks that have a `get_state` want kept, as plain JSON values."""
    return [json.loads(json.dumps(c.get_state())) if hasattr(c, "get_state") else {} for c in callbacks]
