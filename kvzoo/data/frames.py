"""The source `frames`: a folder of image sequences, each a folder of images, as MOT Challenge has them."""

import configparser
import logging
import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path

import numpy as np

from kvzoo.data.images import BROKEN, ENDINGS, pages, reason_of, size_and_pages, size_of
from kvzoo.data.source import CHUNK, BrokenVideo, Skipped, Source, Video, find_files, label_of, square

log = logging.getLogger("kvzoo")

# MOT Challenge keeps the images of SEQUENCE in SEQUENCE/img1, and its frame rate in SEQUENCE/seqinfo.ini.
INNER = "img1"
INFO = "seqinfo.ini"
PAGED = (".tif", ".tiff", ".webp", ".gif", ".apng")  # endings of images that may have several pages


class Frames(Source):
    """Image sequences: every folder that contains images is one, its images in natural order (9 before 10).

    PNG, JPEG, BMP, TIFF, WebP, GIF and others; grey, RGB or RGBA; 8 or 16 bits; rotated upright according to their EXIF
    data. The pages of an image are frames. A folder `img1` belongs to its parent. A sequence is its own group; its label
    is its parent folder. An image that cannot be read is replaced by the one before it. Where numbers are missing
    between images, a warning is logged and the frames follow one another.

    Args:
        path: folder of sequences, searched with its subfolders.
        native_fps: frames per second of all sequences; by default from each `seqinfo.ini`, else 25.

    Raises:
        InputError: no image.
    """

    def __init__(self, path: str, native_fps: float | None = None):
        folder, sequences, videos, gaps = Path(path), {}, [], []
        files, skipped = find_files(folder, ENDINGS)
        for file in files:
            sequences.setdefault(file.parent, []).append(file)
        for inner, files in sequences.items():
            outer = inner.parent if inner.name == INNER and inner != folder else inner
            name = outer.relative_to(folder).as_posix() if outer != folder else folder.name
            files.sort(key=lambda file: natural(file.name))
            if reason := _nothing_readable(files):
                skipped.append(Skipped(name, reason))
                continue
            if gap := missing_numbers([file.name for file in files]):
                gaps.append(f"{name}: {gap}")
            key = tuple((str(file), page) for file in files for page in range(_page_count(file)))
            fps = native_fps or _stated_fps(outer / INFO) or 25.0
            label = label_of(outer, folder) if outer != folder else ""
            videos.append(Video(name, len(key), fps, group=name, label=label, key=key))
        if gaps:
            log.warning("numbers are missing in %d of %d sequences, such as %s", len(gaps), len(videos), gaps[0])
        super().__init__(videos, skipped)

    def size_of(self, video: Video) -> str:
        return next(filter(None, (size_of(file) for file, _ in video.key)), "")

    def files_of(self, video: Video) -> Sequence[str]:
        return list(dict.fromkeys(file for file, _ in video.key))

    def decode(self, video: Video, start: int, stop: int, image_size: int, channels: int) -> np.ndarray:
        frames, faults, missing = [], {}, 0
        for index, (name, image, fault) in enumerate(_read(video.key[start:stop]), start):
            if image is None:
                missing, fault = missing + 1, f"{fault}; replaced by the frame before"
                frames.append(frames[-1] if frames else None)
            else:
                frames.append(square(image, image_size, channels, self.whole))
            if fault:
                faults[index] = f"{name}: {fault}"
        # A short rest of a sequence may be missing entirely: the last good frame is repeated.
        if 2 * missing > min(CHUNK, len(video.key)):
            some = next(iter(faults.values())).partition(";")[0]
            raise BrokenVideo(f"{missing} of the frames {start} to {stop - 1} cannot be read, such as {some}")
        self.note_faults(video, faults)
        if frames[0] is None:
            # The frame before is in another chunk; the very first one has none.
            earlier = (image for _, image, _ in _read(video.key[:start][::-1]) if image is not None)
            fallback = next((square(image, image_size, channels, self.whole) for image in earlier), None)
            if fallback is None:
                fallback = next((frame for frame in frames if frame is not None), None)
            if fallback is None:
                raise BrokenVideo(faults[start].partition(";")[0])
            frames = [fallback if frame is None else frame for frame in frames]
        return np.stack(frames)


def natural(name: str) -> list:
    """Return a key that sorts names by the numbers in them: 9 before 10."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]


def missing_numbers(names: Sequence[str]) -> str:
    """Return which numbers are missing between names in natural order, in a few words; "" if none are.

    Numbers may increase by any step, if most steps are equal; timestamps, for example, are not a numbering.
    """
    matches = [re.fullmatch(r"(.*?)(\d+)(\D*)", Path(name).stem, re.DOTALL) for name in names]
    pairs = [
        (name, int(after[2]) - int(before[2]))
        for name, (before, after) in zip(names, pairwise(matches), strict=False)
        if before and after and (before[1], before[3]) == (after[1], after[3])
    ]
    if not pairs:
        return ""
    (step, count), *_ = Counter(difference for _, difference in pairs).most_common(1)
    gaps = [(name, difference // step - 1) for name, difference in pairs if step and difference > step]
    if not gaps or 2 * count < len(pairs):
        return ""
    return f"{sum(missing for _, missing in gaps)} missing, the first after {gaps[0][0]}"


def _read(entries: Sequence[tuple[str, int]]):
    """Yield (name, image or None, fault); all pages of a file are read in one opening."""
    for file, group in groupby(entries, key=itemgetter(0)):
        for image, fault in pages(file, [page for _, page in group]):
            yield Path(file).name, image, fault


def _nothing_readable(files: Sequence[Path]) -> str:
    """Return the fault of the first image if none can be opened, else ""."""
    first = ""
    for file in files:
        try:
            size_and_pages(file)
            return ""
        except BROKEN as error:
            first = first or f"{file.name}: {reason_of(error)}"
    return first


def _page_count(file: Path) -> int:
    if file.suffix.lower() not in PAGED:
        return 1
    try:
        return size_and_pages(file)[2]
    except BROKEN:
        return 1


def _stated_fps(file: Path) -> float | None:
    """Return the frame rate in a `seqinfo.ini`; None if it has none."""
    info = configparser.ConfigParser()
    try:
        info.read(file, encoding="utf-8")
        fps = info.getfloat("Sequence", "frameRate", fallback=None)
    except (configparser.Error, UnicodeDecodeError, ValueError):
        return None
    return fps if fps and 0 < fps < 1000 else None
