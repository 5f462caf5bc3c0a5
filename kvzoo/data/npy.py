"""The source `npy`: clips in one array file, as Moving-MNIST is published."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kvzoo.data.source import BrokenVideo, Source, Video, square
from kvzoo.errors import InputError

AXES = ("auto", "tnhw", "nthw", "nthwc")


class Npy(Source):
    """Clips of a `.npy` file of uint8: (T, N, H, W) as in Moving-MNIST, (N, T, H, W), or (N, T, H, W, C).

    The file is memory-mapped, not loaded. Each clip is its own group.

    Args:
        path: the file.
        axes: "tnhw", "nthw" or "nthwc"; "auto": five axes are nthwc, of four the shorter of the first two is time.
        native_fps: frames per second.

    Raises:
        InputError: the file does not exist or has no such array.
    """

    def __init__(self, path: str, axes: str = "auto", native_fps: float = 10.0):
        try:
            array = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError, SyntaxError) as error:
            reason = getattr(error, "strerror", None) or "not a .npy file, damaged, or an array of Python objects"
            raise InputError(f"{path}: {reason}") from None
        if axes == "auto" and array.ndim in (4, 5):
            axes = "nthwc" if array.ndim == 5 else "tnhw" if array.shape[0] < array.shape[1] else "nthw"
        channels = array.shape[-1] if axes == "nthwc" else 1
        if array.dtype != np.uint8 or array.ndim != len(axes) or channels not in (1, 3) or not array.size:
            raise InputError(
                f"{path}: must be uint8 (T, N, H, W), (N, T, H, W) or (N, T, H, W, 1 or 3). "
                f"Received: {array.dtype} {array.shape}"
            )
        self.path, self.axes = str(path), axes
        self.shape = (array.swapaxes(0, 1) if axes == "tnhw" else array).shape
        name = Path(path).stem
        digits = len(str(self.shape[0] - 1))
        names = [f"{name}_{i:0{digits}d}" for i in range(self.shape[0])]
        super().__init__(Video(each, self.shape[1], native_fps, group=each, key=i) for i, each in enumerate(names))

    def size_of(self, video: Video) -> str:
        return f"{self.shape[3]}x{self.shape[2]}"

    def files_of(self, video: Video) -> Sequence[str]:
        return (str(self.path),)

    def decode(self, video: Video, start: int, stop: int, image_size: int, channels: int) -> np.ndarray:
        try:
            array = np.load(self.path, mmap_mode="r")
            frames = array[start:stop, video.key] if self.axes == "tnhw" else array[video.key, start:stop]
            return np.stack([square(np.asarray(frame), image_size, channels, self.whole) for frame in frames])
        except (OSError, ValueError, IndexError) as error:
            raise BrokenVideo(getattr(error, "strerror", None) or "the array has changed") from None
