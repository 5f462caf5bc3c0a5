"""Progress of a run: one live line on a terminal, plain lines elsewhere and in the log."""

import logging
import time

from kvzoo.progress import Live, clock, rate_in_words
from kvzoo.run.report import duration

log = logging.getLogger("kvzoo")

EVERY = 60  # seconds between lines of progress within a long interval


class Progress:
    """One live line on a terminal; elsewhere and in the log a line an interval, and one a minute within long ones.

    Attributes:
        pace: seconds per step and the share of them spent waiting for data, over the last steps; None when not known.
    """

    def __init__(self, total: int, step: int, console=None):
        self._total, self._live = total, Live(total, console)
        self._last_line = time.perf_counter()
        self.pace: tuple[float, float] | None = None
        self._live.show(step, f"step {step}/{total}", "starting", "")

    def __enter__(self) -> "Progress":
        self._live.__enter__()
        return self

    def __exit__(self, *_) -> None:
        self._live.__exit__()

    def step(self, step: int, logs: dict[str, float]) -> None:
        rate, waiting, left = self._pace_in_words(step)
        remarks = (waiting, waiting.removesuffix(" for data"), "")
        self._live.show(step, f"step {step}/{self._total}", rate, clock(left) if rate else "", remarks, _in_words(logs))
        if time.perf_counter() - self._last_line > EVERY:
            pace = f"  {rate}, {waiting}, {duration(left)} left" if rate else ""
            level = logging.DEBUG if self._live.shown else logging.INFO
            log.log(level, "step %d/%d  %s%s", step, self._total, _in_words(logs), pace)
            self._last_line = time.perf_counter()

    def interval(self, row: dict[str, float], seconds: float | None) -> None:
        """Log one row of history; `seconds` per step, validation included, None where unknown."""
        values = {k: v for k, v in row.items() if k != "step"}
        waiting = f", {self.pace[1]:.0%} waiting for data" if self.pace and self.pace[1] > 0.005 else ""
        left = (self._total - row["step"]) * (seconds or 0.0)
        end = f", {duration(left)} left" if left > 0 else ""
        rate = f"  {seconds:.3f} s/step{waiting}{end}" if seconds else ""
        log.info("step %d/%d  %s%s", row["step"], self._total, _in_words(values), rate)
        self._last_line = time.perf_counter()

    def _pace_in_words(self, step: int) -> tuple[str, str, float]:
        """Return the rate, the share of waiting, and the seconds left; before they are known the rate is ""."""
        if self.pace is None:
            return "", "", 0.0
        seconds, waiting = self.pace
        return (
            rate_in_words(1 / max(seconds, 1e-9), "step"),
            f"{waiting:.0%} waiting for data",
            (self._total - step) * seconds,
        )


def _in_words(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())
