"""Samplers: which frames of a video make one example, and what becomes of them on the way to a batch.

A sampler draws a *plan*: a tuple of arrays of frame indices, one for each clip that is read.
"""

from collections.abc import Sequence

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
        truth: whether training examples carry the true motion, which the source must know.
    """

    needs: int
    classes: tuple[str, ...] = ()
    sizes_vary = False
    truth = False

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


class Pair(Sampler):
    """An example is two clips of one window: what a network is given, and what it shall make of it.

    Evaluation reads windows side by side, from the first frame on, without jitter and mirror.

    Args:
        inputs, targets: places in the window, from 0.
        window: its length in frames.
        jitter: pixels; training frames are read at a size so much larger and cut at a random place, the same for all
            frames of an example (pix2pix: 286 to 256, the article 132 to 128).
        mirror: whether half of the training examples are mirrored, left to right.
    """

    def __init__(
        self, inputs: Sequence[int], targets: Sequence[int], window: int, jitter: int = 0, mirror: bool = False
    ):
        self.inputs, self.targets, self.needs = np.asarray(inputs), np.asarray(targets), window
        self.jitter, self.mirror = jitter, mirror

    def draw(self, length: int, rng: np.random.Generator) -> Plan:
        start = int(rng.integers(length - self.needs + 1))
        return start + self.inputs, start + self.targets

    def cover(self, length: int) -> list[Plan]:
        starts = range(0, length - self.needs + 1, self.needs)
        return [(start + self.inputs, start + self.targets) for start in starts]

    def read_size(self, image_size: int) -> int:
        return image_size + self.jitter

    def example(self, clips: Arrays, rng: np.random.Generator | None) -> Arrays:
        if rng is None:
            return clips
        if self.jitter:
            top, left = rng.integers(self.jitter + 1, size=2)
            size = clips[0].shape[1] - self.jitter
            clips = tuple(clip[:, top : top + size, left : left + size] for clip in clips)
        return self.mirrored(clips, rng)

    def mirrored(self, clips: Arrays, rng: np.random.Generator) -> Arrays:
        """Return the clips, half of the time left to right where that is wanted, as arrays of their own."""
        if self.mirror and rng.integers(2):
            clips = tuple(clip[:, :, ::-1] for clip in clips)
        return tuple(np.ascontiguousarray(clip) for clip in clips)


class Interpolate(Pair):
    """Inputs are the first and the last frame of frames_out + 2, targets those between.

    Args:
        frames_in: 2.
        frames_out: frames between.
        jitter, mirror: as above.
        pan: in half of the training examples the crop slides by up to so many pixels a frame, down and to the right,
            as if the camera moved, slow pans more often than fast ones; `jitter` must leave room for it.
        zoom: by up to so much the crop grows or shrinks a frame, too, as a share of its size.

    Raises:
        InputError: a network that is not given two frames, a pan without room, a zoom that is none.
    """

    def __init__(
        self,
        frames_in: int,
        frames_out: int,
        jitter: int = 0,
        mirror: bool = False,
        pan: float = 0.0,
        zoom: float = 0.0,
    ):
        if frames_in != 2:
            raise InputError(
                f"the sampler interpolate gives the first and the last frame: a network with frames_in 2 is wanted, "
                f"this one has {frames_in}; the sampler offsets takes any"
            )
        if pan < 0 or not 0 <= zoom <= 0.09:
            raise InputError(
                f"the sampler interpolate: a pan from 0 and a zoom from 0 to 0.09 are wanted. Received: pan {pan:g}, "
                f"zoom {zoom:g}"
            )
        if pan * (frames_out + 1) > jitter:
            raise InputError(
                f"the sampler interpolate: a pan of {pan:g} over {frames_out + 2} frames wants a jitter of at "
                f"least {pan * (frames_out + 1):g}. Received: {jitter}"
            )
        super().__init__([0, frames_out + 1], range(1, frames_out + 1), frames_out + 2, jitter, mirror)
        self.pan, self.zoom = pan, zoom

    def example(self, clips: Arrays, rng: np.random.Generator | None) -> Arrays:
        if rng is None or not (self.pan or self.zoom) or rng.integers(2):
            return super().example(clips, rng)
        size = clips[0].shape[1] - self.jitter
        velocity, growth = self.pan * rng.uniform(-1, 1, 2) * rng.uniform(), self.zoom * rng.uniform(-1, 1)
        way = velocity * (self.needs - 1)
        start = rng.uniform(np.maximum(0, -way), self.jitter - np.maximum(0, way))

        def seen(frame: np.ndarray, place: int) -> np.ndarray:
            scale = (1 + growth) ** (place - (self.needs - 1) / 2)
            y, x = start + velocity * place + (1 - scale) * (size - 1) / 2
            # Bilinear sampling would blur each frame of a pan differently.
            how = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
            matrix = np.array([[scale, 0, x], [0, scale, y]])
            return cv2.warpAffine(frame, matrix, (size, size), flags=how, borderMode=cv2.BORDER_REFLECT_101)

        moved = tuple(
            np.stack([seen(frame, place) for frame, place in zip(clip, places, strict=True)]).reshape(
                len(clip), size, size, -1
            )
            for clip, places in zip(clips, (self.inputs, self.targets), strict=True)
        )
        return self.mirrored(moved, rng)


class Predict(Pair):
    """Inputs are frames_in consecutive frames, targets the frames_out that follow."""

    def __init__(self, frames_in: int, frames_out: int, jitter: int = 0, mirror: bool = False):
        window = frames_in + frames_out
        super().__init__(range(frames_in), range(frames_in, window), window, jitter, mirror)


class Offsets(Pair):
    """Any places in a window.

    Raises:
        InputError: not as many places as the network has frames, or places outside the window.
    """

    def __init__(
        self,
        frames_in: int,
        frames_out: int,
        inputs: Sequence[int],
        targets: Sequence[int],
        window: int | None = None,
        jitter: int = 0,
        mirror: bool = False,
    ):
        places = [*inputs, *targets]
        for name, given, count in (("inputs", inputs, frames_in), ("targets", targets, frames_out)):
            if len(given) != count:
                raise InputError(
                    f"the sampler offsets: {name}: {count} places are wanted, as the network has frames. "
                    f"Received: {list(given)}"
                )
        window = max(places) + 1 if window is None else window
        for name, given in (("inputs", inputs), ("targets", targets)):
            if outside := [place for place in given if not 0 <= place < window]:
                raise InputError(
                    f"the sampler offsets: {name}: places from 0 to {window - 1}, within the window, are wanted. "
                    f"Received: {outside[0]}"
                )
        super().__init__(inputs, targets, window, jitter, mirror)


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
