"""Samplers: which frames of a video make an example, and how examples become a batch.

A sampler draws a *plan*: a tuple of arrays of frame indices, one for each clip of the example.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from kvzoo.errors import InputError

Plan = tuple[np.ndarray, ...]
Arrays = tuple[np.ndarray, ...]


class Sampler:
    """Base class of all samplers: by default an example is the clips of its plan.

    Attributes:
        needs: minimum number of frames of a video.
        classes: names of the labels that the sampler adds to examples, 0 first; empty if it adds none.
        sizes_vary: whether batches have varying image sizes.

    Example:

        >>> import numpy as np
        >>> from kvzoo.data.samplers import Predict
        >>> sampler = Predict(frames_in=2, frames_out=1)
        >>> [indices.tolist() for indices in sampler.cover(length=6)[0]]
        [[0, 1], [2]]
        >>> [indices.tolist() for indices in sampler.draw(length=3, rng=np.random.default_rng(0))]
        [[0, 1], [2]]
    """

    needs: int
    classes: tuple[str, ...] = ()
    sizes_vary = False

    def draw(self, length: int, rng: np.random.Generator) -> Plan:
        """Return a random plan for a video of `length` frames."""
        raise NotImplementedError

    def cover(self, length: int) -> list[Plan]:
        """Return the plans for evaluation, evenly spaced over a video of `length` frames."""
        raise NotImplementedError

    def read_size(self, image_size: int) -> int:
        """Return the image size for reading frames in training; larger if `example` crops them."""
        return image_size

    def example(self, clips: Arrays, rng: np.random.Generator | None) -> Arrays:
        """Return the example made of a plan's clips; `rng` is None in evaluation, where nothing is random."""
        return clips

    def batch(self, arrays: Arrays, rng: np.random.Generator | None) -> Arrays:
        """Return the arrays that `fit` receives for a batch of stacked examples; `rng` is None in evaluation."""
        return arrays


class Window(Sampler):
    """`frames` consecutive frames from anywhere in the video: an example is one clip.

    Evaluation reads adjacent windows, beginning at the first frame.
    """

    def __init__(self, frames: int):
        self.needs = frames

    def draw(self, length: int, rng: np.random.Generator) -> Plan:
        start = int(rng.integers(length - self.needs + 1))
        return (np.arange(start, start + self.needs),)

    def cover(self, length: int) -> list[Plan]:
        return [(np.arange(start, start + self.needs),) for start in range(0, length - self.needs + 1, self.needs)]


class Pair(Sampler):
    """An example is two clips of one window: the input and the target of a network.

    Evaluation reads adjacent windows, beginning at the first frame, without jitter and mirror.

    Args:
        inputs, targets: places in the window, from 0.
        window: its length in frames.
        jitter: read training frames at image_size + jitter pixels, then crop at random, at the same place for all
            frames of an example (pix2pix: 286 to 256, the article 132 to 128).
        mirror: mirror half of the training examples, left to right.
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
        """Return the clips as contiguous arrays, mirrored half of the time if `mirror` is set."""
        if self.mirror and rng.integers(2):
            clips = tuple(clip[:, :, ::-1] for clip in clips)
        return tuple(np.ascontiguousarray(clip) for clip in clips)


class Interpolate(Pair):
    """Inputs are the first and the last of frames_out + 2 frames, targets the frames between them.

    Args:
        frames_in: must be 2.
        frames_out: number of frames between.
        jitter, mirror: as for `Pair`.
        pan: in half of the training examples the crop moves by up to this many pixels per frame, as if the camera
            panned, more often slowly than fast; `jitter` must leave room for it.
        zoom: the crop also grows or shrinks by up to this fraction of its size per frame.

    Raises:
        InputError: frames_in is not 2, `pan` or `zoom` is out of range, or `jitter` is too small for `pan`.
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
                f"the sampler interpolate gives the first and the last frame, so frames_in must be 2. Received: {frames_in}; "
                "the sampler offsets supports any"
            )
        if pan < 0 or not 0 <= zoom <= 0.09:
            raise InputError(
                f"the sampler interpolate: pan must be at least 0 and zoom from 0 to 0.09. Received: pan {pan:g}, zoom {zoom:g}"
            )
        if pan * (frames_out + 1) > jitter:
            raise InputError(
                f"the sampler interpolate: jitter must be at least {pan * (frames_out + 1):g} for a pan of {pan:g} over "
                f"{frames_out + 2} frames. Received: {jitter}"
            )
        super().__init__([0, frames_out + 1], range(1, frames_out + 1), frames_out + 2, jitter, mirror)
        self.pan, self.zoom = pan, zoom

    def example(self, clips: Arrays, rng: np.random.Generator | None) -> Arrays:
        if rng is None or not (self.pan or self.zoom) or rng.integers(2):
            return super().example(clips, rng)
        size = clips[0].shape[1] - self.jitter
        velocity, growth = self.pan * rng.uniform(-1, 1, 2) * rng.uniform(), self.zoom * rng.uniform(-1, 1)
        shift = velocity * (self.needs - 1)
        start = rng.uniform(np.maximum(0, -shift), self.jitter - np.maximum(0, shift))

        def crop_at(frame: np.ndarray, place: int) -> np.ndarray:
            scale = (1 + growth) ** (place - (self.needs - 1) / 2)
            y, x = start + velocity * place + (1 - scale) * (size - 1) / 2
            # Bilinear sampling would blur each frame of a pan differently.
            flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
            matrix = np.array([[scale, 0, x], [0, scale, y]])
            return cv2.warpAffine(frame, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REFLECT_101)

        crops = tuple(
            np.stack([crop_at(frame, place) for frame, place in zip(clip, places, strict=True)]).reshape(
                len(clip), size, size, -1
            )
            for clip, places in zip(clips, (self.inputs, self.targets), strict=True)
        )
        return self.mirrored(crops, rng)


class Predict(Pair):
    """Inputs are frames_in consecutive frames, targets the frames_out that follow."""

    def __init__(self, frames_in: int, frames_out: int, jitter: int = 0, mirror: bool = False):
        window = frames_in + frames_out
        super().__init__(range(frames_in), range(frames_in, window), window, jitter, mirror)


class Offsets(Pair):
    """Any places in a window.

    Raises:
        InputError: the number of places differs from the network's frames, or a place is outside the window.
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
        for name, clip_places, count in (("inputs", inputs, frames_in), ("targets", targets, frames_out)):
            if len(clip_places) != count:
                raise InputError(
                    f"the sampler offsets: {name}: must have {count} places, one for each frame of the network. "
                    f"Received: {list(clip_places)}"
                )
        window = max(places) + 1 if window is None else window
        for name, clip_places in (("inputs", inputs), ("targets", targets)):
            if outside := [place for place in clip_places if not 0 <= place < window]:
                raise InputError(
                    f"the sampler offsets: {name}: must be places from 0 to {window - 1}, within the window. "
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
        same_batch: put both clips in the batch; otherwise one of the two at random, so that it has B clips.
        temporal: draw f at random; otherwise it is exactly 1 and 2, by regular skipping.
        spatial: vary the size of batches; otherwise it is the model's own.
        sizes: sizes in pixels that a batch may be resized to; by default SIZES, in proportion to the model's own.

    Raises:
        InputError: `sizes` is empty or contains a size below 1.
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
            raise InputError(f"the sampler speed_pair: sizes: must be a list of positive integers. Received: {sizes}")
        self.needs = 3 * frames
        self.frames, self.same_batch, self.temporal, self.sizes_vary = frames, same_batch, temporal, spatial
        self._sizes = sizes

    def draw(self, length: int, rng: np.random.Generator) -> Plan:
        start = int(rng.integers(length - self.needs + 1))
        if not self.temporal:
            return (start + self._regular(),)
        pair = []
        for bounds in (self.NORMAL, self.SPED_UP):
            indices = np.empty(0, int)
            while len(indices) < self.frames:
                indices = np.flatnonzero(rng.random(self.needs) < 1 / rng.uniform(*bounds))
            pair.append(indices[: self.frames])
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
        return _resize(clips, int(rng.choice(sizes))), labels


def _resize(clips: np.ndarray, size: int) -> np.ndarray:
    """Return clips (N, T, H, W, C) at (N, T, size, size, C), by area averaging; they must not be smaller."""
    count, frames, height, width, channels = clips.shape
    if (height, width) == (size, size):
        return clips
    out = np.empty((count * frames, size, size, channels), np.uint8)
    for place, frame in zip(out, clips.reshape(-1, height, width, channels), strict=True):
        place[:] = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA).reshape(place.shape)
    return out.reshape(count, frames, size, size, channels)
