"""The errors that kvzoo raises on purpose, each with the exit code that the command line gives it."""

import difflib
import errno
import os
import re
from collections.abc import Iterable


class KvzooError(Exception):
    """Base of the errors below; the command line prints it in one line, without a traceback."""

    exit_code = 1


class InputError(KvzooError, ValueError):
    """What the user gave cannot be used: a name, a value, a file, a folder."""

    exit_code = 2


class WriteError(InputError, OSError):
    """A file that cannot be written: `filename`, `errno` and `strerror` tell which one and why."""

    __str__ = Exception.__str__

    def __init__(self, path: str | os.PathLike, error: Exception):
        in_text = errno_in(error)
        number, reason = getattr(error, "errno", None) or in_text, getattr(error, "strerror", None)
        # What h5py says is long, and names the file once more.
        if in_text or not reason:
            text = (str(error) or type(error).__name__).splitlines()[0]
            reason = os.strerror(number or errno.EIO) + ("" if number else f" ({text})")
        super().__init__(f"{path}: cannot be written: {reason}")
        self.errno, self.strerror, self.filename = number or errno.EIO, reason, os.fspath(path)


class UnknownNameError(InputError, KeyError):
    """A name that nothing is registered under."""

    __str__ = Exception.__str__


class PluginError(InputError):
    """An installed plugin that cannot be loaded."""


class TrainingFailed(KvzooError):
    """Training cannot go on: a loss is not finite."""

    exit_code = 3


class Interrupted(KvzooError):
    """Training was stopped by a signal, with its state saved."""

    exit_code = 130


def errno_in(error: Exception) -> int | None:
    """Return the number in an error's text: h5py raises a RuntimeError, or an OSError without one of its own."""
    match = re.search(r"errno = (\d+)", str(error))
    return int(match[1]) if match else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return '; did you mean a or b?' for the nearest known names, '' where none is near."""
    near = difflib.get_close_matches(name, list(known), n=2, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else ""
