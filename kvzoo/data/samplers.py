"""Samplers: which frames of a video make one example, and what becomes of them on the way to a batch.

A sampler draws a *plan*: a tuple of arrays of frame indices, one for each clip that is read.
"""

import cv2
import numpy as np

from kvzoo.errors import InputError

Plan = tuple[np.ndarray, ...]
Arrays = tuple[np.ndarray, ...]


class Sampler:
    """Base of all samplers: an example is what its plan reads.

    Attributes:
        needs: frames that a video must have.
        classes: names of the labels that the sampler itself gives to examples, 0 first; empty where it gives none.
        sizes_vary: whether batches come in several sizes.
    """

    needs: int
    classes: tuple[str, ...] = ()
    sizes_vary = False

    def draw(self, length: int, rng: np.random.Generator) -> Plan:
        """Return a random plan for a video of `length` frames."""
        raise NotImplementedError

    def cover(self, length: int) -> list[Plan]:
        """Return the plans that evaluation reads, evenly over a video of `length` frames."""
        raise NotImplementedError

    def read_size(self, image_size: int) -> int:
        """Return the size that frames are read at in training; larger where `example` crops them."""
        return image_size

    def example(self, clips: Arrays, rng: np.random.Generator | None) -> Arrays:
        """Return the example that a plan's clips make; `rng` is None in evaluation, where nothing is random."""
        return clips

    def batch(self, arrays: Arrays, rng: np.random.Generator | None) -> Arrays:
        """Return what `fit` is given for a batch of stacked examples; `rng` is None in evaluation."""
        return arrays


class Window(Sampler):
    """`frames` consecutive frames, anywhere in the video: an example is one clip.

    Evaluation reads windows side by side, from the first frame on.
    """

    def __init__(self, frames: int):
        self.needs = frames

    def draw(self, length: int, rng: np.random.Generator) -> Plan:
        start = int(rng.integers(length - self.needs + 1))
        return (np.arange(start, start + self.needs),)

    def cover(self, length: int) -> list[Plan]:
        return [(np.arange(start, start + self.needs),) for start in range(0, length - self.needs + 1, self.needs)]


class SpeedPair(Sampler):
    """The same frames at normal speed and sped up: an example is two clips (2, T, H, W, C), labels (2,) 0 and 1.

    From 3T consecutive frames each clip skips every frame with probability 1 - 1/f and keeps the first T that remain,
    f from 1 to 1.2 for the normal one and from 1.7 to 2.2 for the other; where fewer remain both are drawn again.
    A batch of B examples is 2B clips, all resized to a size that is drawn for each batch. Evaluation takes every frame
    and every second one, at the model's own size.

    Source: SpeedNet, Benaim et al., CVPR 2020, arXiv 2004.06130, section 3; it resizes to 64 to 336 at 224 pixels.

    Args:
        frames: T.
        same_batch: both clips are in the batch; else one of the two, at random: B clips.
        temporal: f is random; else exactly 1 and 2, by regular skipping.
        spatial: sizes vary; else they are the model's own.
        sizes: pixels that a batch may be resized to; None for SIZES, in proportion to the model's own.

    Raises:
        InputError: a size under 1, or none.
    """

    NORMAL, SPED_UP = (1.0, 1.2), (1.7, 2.2)
    SIZES = (64, 112, 160, 224, 280, 336)  # where the model's own is 224
    classes = ("normal speed", "sped up")

    def __init__(
        self,
        frames: int,
        same_batch: bool = True,
        temporal: bool = True,
        spatial: bool = True,
        sizes: list[int] | None = None,
    ):
        if sizes is not None and (not sizes or min(sizes) < 1):
            raise InputError(f"sampler speed_pair: sizes: a list of pixels from 1 is wanted. Received: {sizes}")
        self.needs = 3 * frames
        self.frames, self.same_batch, self.temporal, self.sizes_vary = frames, same_batch, temporal, spatial
        self._sizes = sizes

    def draw(self, length: int, rng: np.random.Generator) -> Plan:
        start = int(rng.integers(length - self.needs + 1))
        if not self.temporal:
            return (start + self._regular(),)
        pair = []
        for bounds in (self.NORMAL, self.SPED_UP):
            kept = np.empty(0, int)
            while len(kept) < self.frames:
                kept = np.flatnonzero(rng.random(self.needs) < 1 / rng.uniform(*bounds))
            pair.append(kept[: self.frames])
        return (start + np.concatenate(pair),)

    def cover(self, length: int) -> list[Plan]:
        return [(start + self._regular(),) for start in range(0, length - 2 * self.frames + 1, 2 * self.frames)]

    def _regular(self) -> np.ndarray:
        return np.concatenate([np.arange(self.frames), 2 * np.arange(self.frames)])

    def read_size(self, image_size: int) -> int:
        if not self.sizes_vary:
            return image_size
        return max(self._sizes) if self._sizes else round(max(self.SIZES) / 224 * image_size)

    def example(self, clips: Arrays, rng: np.random.Generator | None) -> Arrays:
        (both,) = clips
        pair, labels = both.reshape(2, self.frames, *both.shape[1:]), np.arange(2, dtype=np.int32)
        if rng is None or self.same_batch:
            return pair, labels
        one = int(rng.integers(2))
        return pair[one : one + 1], labels[one : one + 1]

    def batch(self, arrays: Arrays, rng: np.random.Generator | None) -> Arrays:
        clips, labels = (array.reshape(-1, *array.shape[2:]) for array in arrays)
        if rng is None or not self.sizes_vary:
            return clips, labels
        largest = clips.shape[2]
        sizes = self._sizes or [max(1, round(size / max(self.SIZES) * largest)) for size in self.SIZES]
        return _resized(clips, int(rng.choice(sizes))), labels


def _resized(clips: np.ndarray, size: int) -> np.ndarray:
    """Return clips (N, T, H, W, C) at (N, T, size, size, C), by area averaging: they are no smaller."""
    count, frames, height, width, channels = clips.shape
    if (height, width) == (size, size):
        return clips
    out = np.empty((count * frames, size, size, channels), np.uint8)
    for place, frame in zip(out, clips.reshape(-1, height, width, channels), strict=True):
        place[:] = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA).reshape(place.shape)
    return out.reshape(count, frames, size, size, channels)
