"""Progress of long work: one live line on a terminal, else a plain line every minute."""

import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, contextmanager

from kvzoo.signals import undone

WIDE = 100  # columns; narrower terminals have no room for a bar
BAR = 12
EVERY = 60.0  # seconds between plain lines
WINDOW = 30.0  # seconds that a rate averages over, at least two marks
STALL = 0.1  # seconds without a unit, after which the next ones belong to another batch
FLOW = 3.0  # seconds of units without a stall, after which they are not a batch

silent = False  # whether progress is hidden; `kvzoo --quiet` sets it


class Rate:
    """Recent units per second, not counting the first one, which waits for networks to compile.

    Units come in bursts, a batch at a time: the time from burst to burst counts, not the time within one.

    Example:

        >>> from kvzoo.progress import Rate
        >>> rate = Rate()
        >>> for second, units in enumerate([4, 8, 12]):
        ...     rate.note(units, now=float(second))
        >>> rate.per_second
        4.0
    """

    def __init__(self):
        self._marks: deque[tuple[float, int]] = deque()
        self._last = 0.0

    def note(self, done: int, now: float) -> None:
        """Record the number of finished units at a time in seconds."""
        if not self._marks or now - self._last > STALL or now - self._marks[-1][0] > FLOW:
            self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] > WINDOW:
            self._marks.popleft()
        self._last = now

    @property
    def per_second(self) -> float | None:
        """Units per second; None until there is more than one burst."""
        if len(self._marks) < 2:
            return None
        (began, before), (now, done) = self._marks[0], self._marks[-1]
        return (done - before) / (now - began)


def rate_in_words(per_second: float, unit: str) -> str:
    """Return "4.17 steps/s", or "12 s/step" for a unit that takes longer than a second.

    Example:

        >>> from kvzoo.progress import rate_in_words
        >>> rate_in_words(4.171, "step"), rate_in_words(1 / 12, "step")
        ('4.17 steps/s', '12 s/step')
    """
    return f"{per_second:.3g} {unit}s/s" if per_second > 1 else f"{1 / per_second:.3g} s/{unit}"


def plural(count: int, noun: str) -> str:
    """Return a count and its noun.

    Example:
        >>> plural(1, "group"), plural(2, "group")
        ('1 group', '2 groups')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def clock(seconds: float) -> str:
    """Return a duration as h:mm:ss.

    Example:

        >>> from kvzoo.progress import clock
        >>> clock(3723.4)
        '1:02:03'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


class Live:
    """A line at the bottom of a terminal; does nothing if standard error is not a terminal.

    Args:
        total: total number of units; None if unknown.
        console: a `rich.console.Console` to show the line on.

    Attributes:
        shown: whether there is a line.
    """

    def __init__(self, total: int | None, console=None):
        self._total, self._bar, self._stack = total, None, ExitStack()
        if console is None and (silent or not sys.stderr.isatty()):
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        self._console = console or Console(stderr=True)
        if self._console.is_dumb_terminal:
            return
        text = TextColumn(
            "{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
        )
        self._with_bar = total is not None and self._console.width >= WIDE
        self._bar = Progress(
            *((BarColumn(bar_width=BAR), text) if self._with_bar else (text,)),
            console=self._console,
            transient=True,
            expand=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task = self._bar.add_task("", total=total)

    @property
    def shown(self) -> bool:
        return self._bar is not None

    def __enter__(self) -> "Live":
        if self._bar:
            self._stack.enter_context(undone(_show_cursor))
            self._stack.enter_context(self._bar)
        return self

    def __exit__(self, *_) -> None:
        self._stack.close()

    def show(
        self, done: int, count: str, rate: str, remaining: str, remarks: Sequence[str] = ("",), detail: str = ""
    ) -> None:
        """Show count, rate, the first remark that fits, time left, and as much of `detail` as fits."""
        if not self._bar:
            return
        room = self._console.width - (BAR + 1 if self._with_bar else 0)
        for remark in remarks:
            words = " ".join(filter(None, (count, ", ".join(filter(None, (rate, remark))), remaining)))
            if len(words) <= room:
                break
        self._bar.update(self._task, completed=done, description=f"{words} {detail}".rstrip())


def _show_cursor() -> None:
    os.write(2, b"\x1b[?25h")


@contextmanager
def progress(total: int | None, unit: str = "frame", out: object = ""):
    """Show the progress of a command; yields a function to call with the number of newly finished units.

    Args:
        total: total number of units; None if unknown.
        unit: name of the unit, in the singular.
        out: where the result is written.
    """
    rate, done, last_print = Rate(), 0, time.perf_counter()
    to = f"to {out}" if out else ""

    def words() -> tuple[str, str, float | None]:
        speed = rate.per_second
        remaining = (total - done) / speed if total is not None and speed else None
        of = "" if total is None else f"/{total}"
        return f"{done}{of} {unit}s", rate_in_words(speed, unit) if speed else "", remaining

    def advance(count: int = 1) -> None:
        nonlocal done, last_print
        done += count
        now = time.perf_counter()
        rate.note(done, now)
        status, speed, remaining = words()
        live.show(done, status, speed, "" if remaining is None else clock(remaining), detail=to)
        if not live.shown and not silent and now - last_print > EVERY:
            last_print = now
            parts = (f"{status} {to}".rstrip(), speed, "" if remaining is None else f"{clock(remaining)} left")
            print(", ".join(filter(None, parts)), file=sys.stderr, flush=True)

    with Live(total) as live:
        live.show(0, words()[0], "starting", "", detail=to)
        yield advance
