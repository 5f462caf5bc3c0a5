"""Handle Ctrl-C and the other signals that end a process: at once, with nothing left half-written.

A command goes through three phases:

1. It loads libraries. A signal ends the process at once: an exception would be lost in the import of a library that
   catches everything.
2. It works. A signal raises KeyboardInterrupt, so that files are closed and temporary ones removed. Where the main
   thread does not end within GRACE seconds, because a library computes on or has swallowed the exception, the process
   is ended from outside.
3. It trains (`Signals`). A signal sets a flag, and the run is saved after the current step.

Standard library only, as this is loaded before everything else.
"""

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress

# SIGHUP: the terminal was closed; SIGUSR1: SLURM's warning before the time limit. Windows has neither.
NUMBERS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name))
FIRM = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 130
MOMENT = 1.0  # seconds within which another signal is the same one: a terminal and GNU timeout both send it
PATIENCE = 0.3  # seconds for the main thread to answer by itself
GRACE = 5.0  # seconds for the main thread to close its files

_undo: list[Callable[[], object]] = []


@contextmanager
def undone(undo: Callable[[], object]):
    """Call `undo` if a signal ends the process within this context without unwinding the stack."""
    _undo.append(undo)
    try:
        yield
    finally:
        with suppress(ValueError):  # the process is ending
            _undo.remove(undo)


@contextmanager
def without_ctrl_c():
    """Start processes within this context that Ctrl-C does not reach; this process ends them itself.

    An interruption waits for the end of the context: a process that was started, but not noted yet, could not be ended.
    """
    if os.name != "posix":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with command.holding():
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _takes(number: int) -> bool:
    """Return whether to handle a signal: nohup ignores SIGHUP, and a caller may use SIGUSR1 itself."""
    return number in FIRM or signal.getsignal(number) == signal.SIG_DFL


class Signals:
    """While open, turn signals into a flag once there is something to save; before that they interrupt as usual.

    During the first step, which compiles, Ctrl-C interrupts and the other signals wait: the sender, a scheduler
    for instance, will want to resume the run. A second SIGINT or SIGTERM, unless it comes within a moment of the first,
    stops at once.

    Attributes:
        trains: whether the first step has begun.
        saves: whether there is something to save; set after the first step.
        received: the name of the first signal; None before there is one.
    """

    def __init__(self):
        self.trains = self.saves = False
        self.received: str | None = None
        self._firm_since: float | None = None  # when the first signal arrived that a person may repeat
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Signals":
        if command.active:
            command.training = self
        elif threading.current_thread() is threading.main_thread():
            for number in filter(_takes, NUMBERS):
                self._before[number] = signal.signal(number, self._interrupt)
        return self

    def __exit__(self, *_) -> None:
        command.training = None
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def waits(self, number: int) -> bool:
        """Return whether a signal is answered by saving after the current step."""
        return self.saves or (self.trains and (number != signal.SIGINT or self.received is not None))

    def flag(self, number: int) -> bool:
        """Record a signal; return whether it asks to stop at once, without saving."""
        now = time.monotonic()
        if self._firm_since is not None:
            return now - self._firm_since > MOMENT
        if number in FIRM:
            self._firm_since = now
        self.received = self.received or signal.Signals(number).name
        return False

    def _interrupt(self, number: int, _frame) -> None:
        if not self.waits(number) or self.flag(number):
            raise KeyboardInterrupt


class Command:
    """The signals of a process that runs a kvzoo command.

    Attributes:
        active: whether this process runs a command.
        training: the open `Signals`, if any.
        received: whether a signal has asked the command to end.
    """

    def __init__(self):
        self.active = self.received = False
        self.training: Signals | None = None
        self._works = self._ended = self._raises = self._holds = False
        self._since = 0.0
        self._terminal = 2
        self._pipe: int | None = None  # that the interpreter writes the numbers of signals to

    def begin(self) -> None:
        """Start to handle signals."""
        if self.active or threading.current_thread() is not threading.main_thread():
            return
        self.active = True
        # Standard error is redirected while a backend loads.
        self._terminal = os.dup(2)
        for number in filter(_takes, NUMBERS):
            signal.signal(number, self._in_main)
        if os.name != "posix":
            return
        self._pipe, write = os.pipe()
        os.set_blocking(self._pipe, False)
        os.set_blocking(write, False)
        # The interpreter writes a signal's number to the pipe at once, and calls the handler when the main thread is
        # back from what it computes in C. The thread that reads a number answers it.
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        threading.Thread(target=self._beside_main, daemon=True).start()

    @contextmanager
    def loading(self):
        """Let a signal end the process at once within this context, where nothing can be lost."""
        before, self._works = self._works, False
        try:
            yield
        finally:
            self._works = before

    @contextmanager
    def working(self):
        """Let a signal raise KeyboardInterrupt within this context."""
        before, self._works = self._works, True
        try:
            yield
        finally:
            self._works = before

    @contextmanager
    def holding(self):
        """Raise KeyboardInterrupt at the end of this context if a signal came within it."""
        self._holds = True
        try:
            yield
        finally:
            self._holds = False
            if self._raises:
                self._raises = False
                raise KeyboardInterrupt

    def end(self) -> None:
        """Remove half-written files and end the process with the exit code of an interruption."""
        if self._ended:
            return
        self._ended = True
        while _undo:
            with suppress(Exception):
                _undo.pop()()
        os._exit(INTERRUPTED)

    def _in_main(self, number: int, _frame) -> None:
        if self._pipe is None:
            self._answer(number)
        else:
            self._read_and_answer()
        if self._raises and not self._holds:
            self._raises = False
            raise KeyboardInterrupt

    def _beside_main(self) -> None:
        while True:
            select.select([self._pipe], [], [])
            time.sleep(PATIENCE)
            self._read_and_answer()

    def _read_and_answer(self) -> None:
        with suppress(BlockingIOError):
            for number in os.read(self._pipe, 64):
                if number in NUMBERS:
                    self._answer(number)

    def _answer(self, number: int) -> None:
        now = time.monotonic()
        if self.training and self.training.waits(number):
            first = self.training.received is None
            if not self.training.flag(number):
                if first:
                    step = "this step" if self.training.saves else "the first step"
                    self._say(f"Interrupted; saving after {step}. Ctrl-C again stops without saving")
                return
            self._say("Stopped without saving")
            self.end()
        if self.received and now - self._since < MOMENT:
            return
        again, self.received, self._since = self.received, True, now
        if not again:
            self._say("Interrupted" + (" before the first step; there is nothing to save" if self.training else ""))
        if again or not self._works:
            self.end()
        timer = threading.Timer(GRACE, self.end)
        timer.daemon = True
        timer.start()
        self._raises = True  # by the handler, which runs in the main thread

    def _say(self, message: str) -> None:
        # Past Python's streams, whose locks may be held. A live line of progress gives way.
        clear = "\r\x1b[K" if os.isatty(self._terminal) else ""
        with suppress(OSError):
            os.write(self._terminal, f"{clear}kvzoo: {message}\n".encode())


command = Command()
