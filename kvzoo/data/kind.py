"""What a path holds: videos, image sequences, strips or a store."""

import os
from itertools import islice
from pathlib import Path

from PIL import Image

from kvzoo.data import images, videos
from kvzoo.data.images import BROKEN
from kvzoo.data.source import files_under
from kvzoo.errors import InputError

LOOKED_AT = 20  # images, for whether they are strips


def source_for(path: str | os.PathLike) -> str:
    """Return the name of the source that reads a path.

    Videos count before images beside them. Images whose longer side is a multiple of the shorter one are strips.

    Raises:
        InputError: nothing there that a source reads.
    """
    path = Path(path)
    if path.is_file():
        by_ending = {".h5": "hdf5", ".hdf5": "hdf5", ".npy": "npy"}
        if name := by_ending.get(path.suffix.lower()):
            return name
        raise InputError(f"{path}: a folder, or a file that ends in {' '.join(by_ending)}, is wanted")
    files = files_under(path, videos.ENDINGS + images.ENDINGS)
    if any(file.suffix.lower() in videos.ENDINGS for file in files):
        return "videos"
    sizes = list(islice(filter(None, map(_size, files)), LOOKED_AT))
    return "strips" if sizes and all(max(s) > min(s) and max(s) % min(s) == 0 for s in sizes) else "frames"


def _size(file: Path) -> tuple[int, int] | None:
    try:
        with Image.open(file) as image:
            return image.size
    except BROKEN:
        return None
