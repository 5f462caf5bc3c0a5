"""The errors that kvzoo raises on purpose, each with the exit code that the command line gives it."""

import difflib
import os
from collections.abc import Iterable


class KvzooError(Exception):
    """Base of the errors below; the command line prints it in one line, without a traceback."""

    exit_code = 1


class InputError(KvzooError, ValueError):
    """What the user gave cannot be used: a name, a value, a file, a folder."""

    exit_code = 2


class WriteError(InputError, OSError):
    """A file that cannot be written, and the error that says why."""

    __str__ = Exception.__str__

    def __init__(self, path: str | os.PathLike, error: OSError):
        super().__init__(f"{path}: cannot be written: {error.strerror or error}")
        self.errno, self.strerror, self.filename = error.errno, error.strerror, os.fspath(path)


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


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return '; did you mean a or b?' for the nearest known names, '' where none is near."""
    near = difflib.get_close_matches(name, list(known), n=2, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else ""
