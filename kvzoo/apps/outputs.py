"""What apps share about their outputs: what is refused before any work, when frames are shown, the sound."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kvzoo.data.videos import Stream
from kvzoo.errors import InputError
from kvzoo.media.audio import Sound, has_sound, kept_sound

LONGEST_NAME = 255  # bytes, of a file
LONGEST_STEM = 200  # bytes, of a name made from a video's, so that endings still fit


def check_file(
    out: str | os.PathLike, endings: Iterable[str], overwrite: bool, video: str | os.PathLike | None = None
) -> None:
    """Refuse a file that could not be written in the end.

    Raises:
        InputError: another ending, a folder, the video itself, a file that is there and may not be replaced, or a
            folder around it that is not there or cannot be written to.
    """
    out, endings = Path(out), tuple(endings)
    if out.suffix.lower() not in endings:
        raise InputError(f"--out {out}: a name that ends in {' or '.join(endings)} is wanted")
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
        raise InputError(f"--out {out}: {out.parent} cannot be written to")


def check_folder(out: str | os.PathLike) -> None:
    """Refuse a folder that is not empty, or that cannot be made or written to.

    Raises:
        InputError: it holds something, is a file, or lies where nothing can be written.
    """
    out = Path(out)
    if os.path.lexists(out) and not os.path.isdir(out):
        raise InputError(f"--out {out}: is a file")
    check_makeable(out, f"--out {out}")
    if os.path.isdir(out) and os.listdir(out):
        raise InputError(f"--out {out}: is not empty")


def check_makeable(folder: str | os.PathLike, option: str) -> None:
    """Refuse a folder that neither can be written to nor can be made; `option` is what names it, with its value."""
    place = Path(folder).absolute()
    while not os.path.lexists(place):
        _check_name(place, option)
        place = place.parent
    if not os.path.isdir(place) or not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"{option}: {place} is no folder that can be written to")


def _check_name(file: Path, option: str) -> None:
    if (length := len(os.fsencode(file.name))) > LONGEST_NAME:
        raise InputError(f"{option}: a name has at most {LONGEST_NAME} bytes. Received: {length}")


def unique_stem(name: str, taken: set[str]) -> str:
    """Return a file name without ending for a video, and add it to those that are taken.

    A name that is too long for a file ends in a hash of the whole. Names that differ only in case count as the same.
    """
    stem = Path(name).with_suffix("").as_posix().strip("./").replace("/", "_") or "video"
    if len(encoded := os.fsencode(stem)) > LONGEST_STEM:
        kept = encoded[:LONGEST_STEM].decode("utf-8", "ignore")
        stem = f"{kept}-{hashlib.sha256(encoded).hexdigest()[:8]}"
    plain, number = stem, 2
    while stem.lower() in taken:
        stem, number = f"{plain}-{number}", number + 1
    taken.add(stem.lower())
    return stem


def edges_of(stream: Stream, frames: int) -> np.ndarray:
    """Return when each of the first frames is shown, and when the last of them ends, (frames + 1,) seconds."""
    times = stream.seconds[:frames]
    return np.append(times, times[-1] + 1 / stream.fps)


def sound_of(stream: Stream) -> Sound:
    """Return the sound that goes with a video's frames where they are shown at their own times."""
    return kept_sound(stream.path, stream.start)


def left_out(stream: Stream, why: str) -> Sound:
    """Return no sound, and a note on what is left out, such as "in slow motion"."""
    return Sound(None, f"its sound is left out {why}" if has_sound(stream.path) else "")
