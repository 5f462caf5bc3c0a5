"""What a command does with the terminal, or with whatever takes its place."""

import contextlib
import errno
import io
import logging
import os
import sys
import tempfile
import time

from kvzoo import process, progress
from kvzoo.signals import command

log = logging.getLogger("kvzoo")
_level = logging.INFO  # what the terminal shows of our log; --quiet and --verbose set it

# What writing answers where the reader of a pipe, or the terminal, is gone.
GONE = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ECONNRESET, errno.ENXIO)


def prepare() -> None:
    """Make output safe, keep the backends' start-up chatter off the terminal, and put our own log on it."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _patient(stream))
    for name, value in {"TF_CPP_MIN_LOG_LEVEL": "3", "GRPC_VERBOSITY": "ERROR", "GLOG_minloglevel": "3"}.items():
        os.environ.setdefault(name, value)
    # A notebook names a module that is not installed elsewhere, without which not even Keras would import.
    os.environ["MPLBACKEND"] = "agg"
    log.setLevel(logging.DEBUG)
    log.propagate = False
    handler = _Terminal()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    set_level(logging.INFO)


def set_level(level: int) -> None:
    """Show messages of a level and above: WARNING also hides progress and what `say` prints, DEBUG shows the debug log."""
    global _level
    _level, progress.silent = level, level > logging.INFO


def say(message: str) -> None:
    """Print a line that --quiet hides: what was written, not the figures that a person asked for."""
    if _level <= logging.INFO:
        print(message, flush=True)


def refuse(message: str, code: int) -> int:
    """Print an error in one line; return the exit code."""
    print(f"kvzoo: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return code


def lost() -> str:
    """Return why a part of standard output was not written, such as a full disk; "" where all was, or nobody reads."""
    with contextlib.suppress(ValueError):  # closed by somebody
        sys.stdout.flush()
    file = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return getattr(file, "error", "")


class _Patient(io.FileIO):
    """A terminal, pipe or file that may go away or fill its disk: the work goes on, and what cannot be written is dropped.

    Attributes:
        error: why, where somebody may miss it.
    """

    error = ""

    def write(self, data) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in GONE:
                self.error = error.strerror
            return len(data)


def _patient(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """Return a stream like `stream` that outlives its reader, and prints what its encoding lacks as escapes."""
    if os.name != "posix":  # a console has a class of its own
        stream.reconfigure(errors="backslashreplace")
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_Patient(stream.fileno(), "w", closefd=False)),
        stream.encoding,
        "backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


@contextlib.contextmanager
def backend_starts():
    """Hold back what a backend's libraries print while they load; show it if they do not load, or with --verbose."""
    begin = time.perf_counter()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as chatter:
        kept, loaded = os.dup(2), False
        os.dup2(chatter.fileno(), 2)
        try:
            with command.loading():
                with process.without_side_packages():
                    import keras
                yield
                # Grain warns while it loads where JAX is not installed; most verbs load it later than here.
                import grain  # noqa: F401

                # Finding its devices is when a backend prints what it misses.
                keras.ops.convert_to_numpy(keras.ops.zeros(()))
            loaded = True
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            if not loaded or _level <= logging.DEBUG:
                chatter.seek(0)
                sys.stderr.buffer.write(chatter.read())
                sys.stderr.flush()
    log.debug(
        "Keras %s on %s, loaded in %.1f s", keras.__version__, keras.backend.backend(), time.perf_counter() - begin
    )


class _Terminal(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < _level:
            return
        # `print`, not click's echo: a live line on the terminal catches it and stays below. A
        # traceback goes to the log only; the interpreter prints its own.
        # What is read by programs (--json) stays free of debug messages.
        stream = sys.stdout if record.levelno == logging.INFO else sys.stderr
        try:
            print(record.getMessage(), file=stream, flush=True)
        except Exception:
            # Nothing that is only shown may end a training; what is left in the stream's buffer goes nowhere.
            with contextlib.suppress(Exception):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
