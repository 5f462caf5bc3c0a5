"""Find out what a path contains: videos, image sequences, strips or a store."""

import logging
import os
from itertools import islice
from pathlib import Path

from kvzoo.data import images, videos
from kvzoo.data.images import BROKEN, size_and_pages
from kvzoo.data.source import files_under
from kvzoo.errors import InputError

log = logging.getLogger("kvzoo")

SAMPLE = 20  # images that are checked for being strips


def source_for(path: str | os.PathLike) -> str:
    """Return the name of the source that reads a path.

    Videos take precedence over images next to them. Images whose longer side is a multiple of the shorter one are strips.

    Raises:
        InputError: no source reads the path.
    """
    path = Path(path)
    if path.is_file():
        by_ending = {".h5": "hdf5", ".hdf5": "hdf5", ".npy": "npy"}
        if name := by_ending.get(path.suffix.lower()):
            return name
        raise InputError(f"{path}: must be a folder, or a file that ends in {' '.join(by_ending)}")
    files = files_under(path, videos.ENDINGS + images.ENDINGS)
    if count := sum(file.suffix.lower() in videos.ENDINGS for file in files):
        if count < len(files):
            log.warning("%s: its %d images are ignored; use the source frames to read them", path, len(files) - count)
        return "videos"
    sizes = list(islice(filter(None, map(_size, files)), SAMPLE))
    return "strips" if sizes and all(max(s) > min(s) and max(s) % min(s) == 0 for s in sizes) else "frames"


def _size(file: Path) -> tuple[int, int] | None:
    try:
        return size_and_pages(file)[:2]
    except BROKEN:
        return None
