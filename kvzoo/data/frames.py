"""The source `frames`: a folder of image sequences, each a folder of images, as MOT Challenge has them."""

import configparser
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from kvzoo.data.images import BROKEN, ENDINGS, pixels, reason_of, size_of
from kvzoo.data.source import BrokenVideo, Skipped, Source, Video, files_under, label_of, square

# MOT Challenge keeps the images of SEQUENCE in SEQUENCE/img1, and its frame rate in SEQUENCE/seqinfo.ini.
INNER = "img1"
INFO = "seqinfo.ini"


class Frames(Source):
    """Image sequences: every folder that holds images is one, its images in natural order (9 before 10).

    PNG, JPEG, BMP, TIFF or WebP; grey, RGB or RGBA; 8 or 16 bits. A folder `img1` belongs to the folder around it. A
    sequence is its own group; its label is the folder that it is in. Opening looks at the first image of each.

    Args:
        path: folder of sequences, searched with its subfolders.
        native_fps: frames a second of all of them; None for what a sequence's `seqinfo.ini` says, or else 25.

    Raises:
        InputError: no image.
    """

    def __init__(self, path: str, native_fps: float | None = None):
        folder, sequences, videos, skipped = Path(path), {}, [], []
        for file in files_under(folder, ENDINGS):
            sequences.setdefault(file.parent, []).append(file)
        for inner, files in sequences.items():
            outer = inner.parent if inner.name == INNER and inner != folder else inner
            name = outer.relative_to(folder).as_posix() if outer != folder else folder.name
            try:
                with Image.open(files[0]):
                    pass
            except BROKEN as error:
                skipped.append(Skipped(name, f"{files[0].name}: {reason_of(error)}"))
                continue
            ordered = tuple(map(str, sorted(files, key=lambda file: natural(file.name))))
            fps = native_fps or _stated_fps(outer / INFO) or 25.0
            label = label_of(outer, folder) if outer != folder else ""
            videos.append(Video(name, len(files), fps, group=name, label=label, key=ordered))
        super().__init__(videos, skipped)

    def size_of(self, video: Video) -> str:
        return size_of(video.key[0])

    def files_of(self, video: Video) -> Sequence[str]:
        return video.key

    def decode(self, video: Video, start: int, stop: int, image_size: int, channels: int) -> np.ndarray:
        out = []
        for file in video.key[start:stop]:
            try:
                out.append(square(pixels(file), image_size, channels, self.whole))
            except BROKEN as error:
                raise BrokenVideo(f"{Path(file).name}: {reason_of(error)}") from None
        return np.stack(out)


def natural(name: str) -> list:
    """Return a key that sorts names by the numbers in them: 9 before 10."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]


def _stated_fps(file: Path) -> float | None:
    """Return the frame rate that a `seqinfo.ini` states; None where there is none."""
    info = configparser.ConfigParser()
    try:
        info.read(file, encoding="utf-8")
        fps = info.getfloat("Sequence", "frameRate", fallback=None)
    except (configparser.Error, UnicodeDecodeError, ValueError):
        return None
    return fps if fps and 0 < fps < 1000 else None
