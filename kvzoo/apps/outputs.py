"""What apps ask of the place that they are to write to, before they do any work."""

import os
from collections.abc import Iterable
from pathlib import Path

from kvzoo.errors import InputError


def check_file(out: str | os.PathLike, endings: Iterable[str], overwrite: bool) -> None:
    """Refuse a file that could not be written in the end.

    Raises:
        InputError: another ending, a folder, a file that is there and may not be replaced, or a folder around it
            that is not there or cannot be written to.
    """
    out, endings = Path(out), tuple(endings)
    if out.suffix.lower() not in endings:
        raise InputError(f"--out {out}: a name that ends in {' or '.join(endings)} is wanted")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: no such folder: {out.parent}")
    if out.is_dir():
        raise InputError(f"--out {out}: is a folder")
    if out.exists() and not overwrite:
        raise InputError(f"--out {out}: is there already; --overwrite replaces it")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise InputError(f"--out {out}: {out.parent} cannot be written to")


def check_folder(out: str | os.PathLike) -> None:
    """Refuse a folder that is not empty.

    Raises:
        InputError: it holds something, or is a file.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: {'is not empty' if out.is_dir() else 'is a file'}")
