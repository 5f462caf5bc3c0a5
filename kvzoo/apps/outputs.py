"""Shared by the apps for their outputs: validation before any work, display times of frames, sound."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kvzoo.data.videos import Stream
from kvzoo.errors import InputError
from kvzoo.media.audio import Sound, has_sound, kept_sound

LONGEST_NAME = 255  # bytes of a file name
LONGEST_STEM = 200  # bytes of a name derived from a video's, so that endings still fit


def check_file(
    out: str | os.PathLike, endings: Iterable[str], overwrite: bool, video: str | os.PathLike | None = None
) -> None:
    """Check that a file can be written in the end.

    Raises:
        InputError: `out` has another ending, is a folder or the video itself, exists without `overwrite`, or its
            folder does not exist or is not writable.
    """
    out, endings = Path(out), tuple(endings)
    if out.suffix.lower() not in endings:
        raise InputError(f"--out {out}: must end in {' or '.join(endings)}")
    _check_name(out, f"--out {out}")
    if not os.path.isdir(out.parent):
        raise InputError(f"--out {out}: no such folder: {out.parent}")
    if os.path.isdir(out):
        raise InputError(f"--out {out}: is a folder")
    if video is not None and os.path.exists(out) and os.path.exists(video) and out.samefile(video):
        raise InputError(f"--out {out}: is the video itself")
    if os.path.exists(out) and not overwrite:
        raise InputError(f"--out {out}: already exists; use --overwrite to replace it")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise InputError(f"--out {out}: {out.parent} is not writable")


def check_folder(out: str | os.PathLike) -> None:
    """Check that a folder is empty, or can be created.

    Raises:
        InputError: the folder is not empty, is a file, or cannot be created or written to.
    """
    out = Path(out)
    if os.path.lexists(out) and not os.path.isdir(out):
        raise InputError(f"--out {out}: is a file")
    check_creatable(out, f"--out {out}")
    if os.path.isdir(out) and os.listdir(out):
        raise InputError(f"--out {out}: is not empty")


def check_creatable(folder: str | os.PathLike, option: str) -> None:
    """Check that a folder is writable or can be created; `option` names it in messages, with its value."""
    place = Path(folder).absolute()
    while not os.path.lexists(place):
        _check_name(place, option)
        place = place.parent
    if not os.path.isdir(place) or not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"{option}: {place} is not a writable folder")


def _check_name(file: Path, option: str) -> None:
    if (length := len(os.fsencode(file.name))) > LONGEST_NAME:
        raise InputError(f"{option}: a file name must have at most {LONGEST_NAME} bytes. Received: {length}")


def unique_stem(name: str, taken: set[str]) -> str:
    """Return a unique file name without ending for a video, and add it to `taken`.

    A name that is too long ends in a hash of the whole name. Names that differ only in case count as equal.

    Example:

        >>> from kvzoo.apps.outputs import unique_stem
        >>> taken = set()
        >>> unique_stem("walk/1.mp4", taken), unique_stem("walk_1.avi", taken)
        ('walk_1', 'walk_1-2')
    """
    stem = Path(name).with_suffix("").as_posix().strip("./").replace("/", "_") or "video"
    if len(encoded := os.fsencode(stem)) > LONGEST_STEM:
        head = encoded[:LONGEST_STEM].decode("utf-8", "ignore")
        stem = f"{head}-{hashlib.sha256(encoded).hexdigest()[:8]}"
    plain, number = stem, 2
    while stem.lower() in taken:
        stem, number = f"{plain}-{number}", number + 1
    taken.add(stem.lower())
    return stem


def edges_of(stream: Stream, frames: int) -> np.ndarray:
    """Return the display times of the first frames and the end of the last, (frames + 1,) seconds."""
    times = stream.seconds[:frames]
    return np.append(times, times[-1] + 1 / stream.fps)


def sound_of(stream: Stream) -> Sound:
    """Return the sound for a video's frames at their own times."""
    return kept_sound(stream.path, stream.start)


def left_out(stream: Stream, why: str) -> Sound:
    """Return no sound, and a note on why it is left out, such as "in slow motion"."""
    return Sound(None, f"its sound is left out {why}" if has_sound(stream.path) else "")
