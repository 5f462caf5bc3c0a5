"""The source `strips`: a folder of images, one per clip, with its frames side by side or stacked."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from kvzoo.data.images import BROKEN, ENDINGS, pixels, reason_of, size_and_pages, size_of
from kvzoo.data.source import BrokenVideo, Skipped, Source, Video, find_files, label_of, square
from kvzoo.errors import InputError


class Strips(Source):
    """Images of whole clips: PNG, JPEG, BMP, TIFF, WebP and others; grey, RGB or RGBA; 8 or 16 bits.

    An alpha channel is dropped, 16 bits become 8, an image is rotated upright according to its EXIF data. Labels are
    the folders of the images; each image is its own group unless a recipe sets `data.group`.

    Args:
        path: folder of images, searched with its subfolders.
        layout: direction of the frames: "horizontal", "vertical", or "auto" (along the longer side).
        frames_per_image: frames in an image; by default as many as `order` has, else square frames.
        order: time of each frame in the order of the image. [1, 2, 3, 4, 5, 0, 6]: the image begins
            with the frames of times 1 to 5, then those of times 0 and 6. By default 0, 1, 2, …
        native_fps: frames per second of the clips.

    Raises:
        InputError: no image, or `order` is not a permutation of the frames.
    """

    travels = ("_places",)

    def __init__(
        self,
        path: str,
        layout: str = "auto",
        frames_per_image: int | None = None,
        order: list[int] | None = None,
        native_fps: float = 25.0,
    ):
        if order is not None:
            count = frames_per_image or len(order)
            if sorted(order) != list(range(count)) or not order:
                legal = f"contain each of 0 to {count - 1} once" if count else "list the frames' times"
                raise InputError(f"data.order: must {legal}. Received: {order}")
            frames_per_image = count
        self._places = None if order is None else np.argsort(order)
        folder, videos = Path(path), []
        files, skipped = find_files(folder, ENDINGS)
        for file in files:
            name = file.relative_to(folder).as_posix()
            try:
                vertical, frames, pages = _geometry(file, layout, frames_per_image)
            except BROKEN as error:
                skipped.append(Skipped(name, reason_of(error)))
                continue
            if pages > 1:
                skipped.append(Skipped(name, f"further pages ignored: {pages - 1}"))
            label = label_of(file, folder)
            videos.append(Video(name, frames, native_fps, group=name, label=label, key=(str(file), vertical, frames)))
        super().__init__(videos, skipped)

    def size_of(self, video: Video) -> str:
        return size_of(video.key[0])

    def files_of(self, video: Video) -> Sequence[str]:
        return (video.key[0],)

    def decode(self, video: Video, start: int, stop: int, image_size: int, channels: int) -> np.ndarray:
        path, vertical, count = video.key
        try:
            image = pixels(path)
            frames = np.split(image, count, axis=0 if vertical else 1)
        except BROKEN as error:
            raise BrokenVideo(reason_of(error)) from None
        if self._places is not None:
            frames = [frames[place] for place in self._places]
        return np.stack([square(frame, image_size, channels, self.whole) for frame in frames[start:stop]])


def _geometry(file: Path, layout: str, frames: int | None) -> tuple[bool, int, int]:
    """Return whether frames are stacked, how many there are, and the image's pages; checks what is cheap to check."""
    if not file.stat().st_size:
        raise ValueError("the file is empty")
    width, height, pages = size_and_pages(file)
    with Image.open(file) as image:
        image.verify()
    vertical = layout == "vertical" or (layout == "auto" and height > width)
    along, across = (height, width) if vertical else (width, height)
    if along % (frames or across):
        raise ValueError(f"{width}x{height} pixels cannot be divided into {frames or 'square'} frames")
    return vertical, frames or along // across, pages
