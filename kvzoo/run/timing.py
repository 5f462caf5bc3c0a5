"""What the steps of a run cost: timing.json."""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable

import keras

from kvzoo.files import writing, written_whole
from kvzoo.run.folder import RunFolder

LAST = 20  # steps that a rate is the mean of


class Timing:
    """timing.json: what the steps cost. Not in history.csv, which is the same file for equal runs.

    wall_s counts training, validation, samples and checkpoints up to `steps`, over all the processes that
    made them; the rest is of the last process. step_s is the median of the intervals' mean seconds a step, data
    included, without validation, samples, checkpoints and the first step, which traces and compiles. waiting is the
    share of these steps' time in which the next batch was not there yet.
    """

    def __init__(self, folder: RunFolder, step: int):
        self._path = folder.path / "timing.json"
        self._before = {"wall_s": 0.0}
        if step:
            # What an older version began has no wall time that could be added to.
            self._before = json.loads(self._path.read_text()) if self._path.is_file() else {"wall_s": None}
        self._started = self._last = time.perf_counter()
        self._first, self._steps, self._intervals = True, [], []
        self._waits: list[float] = []
        self._taken = 0.0

    def go(self) -> None:
        """Count from here on: what was done since the last step is not part of one."""
        self._last = time.perf_counter()

    def step(self, ready: Callable[[float], float]) -> None:
        """Note the end of a step; ready(start) says when its batch was there."""
        if not self._first:
            now = time.perf_counter()
            self._steps.append(now - self._last)
            self._waits.append(min(max(ready(self._last) - self._last, 0.0), now - self._last))
        self._first = False
        self.go()

    def pace(self) -> tuple[float, float] | None:
        """Return the mean seconds of the last steps, and the share of them that was waiting; None before there is one."""
        steps, waits = self._steps[-LAST:], self._waits[-LAST:]
        return (statistics.fmean(steps), sum(waits[-len(steps) :]) / (sum(steps) or 1.0)) if steps else None

    def interval(self) -> None:
        """Note the end of an interval."""
        if self._steps:
            self._intervals.append(statistics.fmean(self._steps))
            self._taken += sum(self._steps)
        self._steps = []

    def write(self, steps: int) -> None:
        wall, means = self._before["wall_s"], self._intervals or self._steps
        taken = self._taken + sum(self._steps)
        record = {
            "steps": steps,
            "wall_s": None if wall is None else wall + time.perf_counter() - self._started,
            "step_s": statistics.median(means) if means else self._before.get("step_s"),
            "waiting": sum(self._waits) / taken if taken else self._before.get("waiting"),
            "peak_memory_mb": _peak_memory_mb(),
            "backend": keras.backend.backend(),
            "device": _device(),
            "cores": os.cpu_count(),
        }
        with writing(self._path), written_whole(self._path) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n")


def _peak_memory_mb() -> float | None:
    """Return the most main memory that this process has held, in MiB; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


def _device() -> str:
    """Return the kind of device that trains: cpu, gpu or tpu."""
    # Where an array lands; keras.distribution lists no devices on PyTorch.
    place = str(keras.ops.zeros(()).device).lower()
    return next((kind for word, kind in (("tpu", "tpu"), ("gpu", "gpu"), ("cuda", "gpu")) if word in place), "cpu")
