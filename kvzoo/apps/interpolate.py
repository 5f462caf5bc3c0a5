"""Interpolate new frames between a video's own, for N times its frame rate or slow motion.

A network that maps motion (`flow` and `visibility` in its spec) estimates it on small frames and at any number of
times; the frames themselves are sampled and blended at full size, and mixed with the cross-fade according to the map
`trust`, if there is one. Any other network paints its frames at its own size and at the times that it was trained for.
Original frames are kept unchanged.

Decoding, the network, the computation of frames and encoding each have a thread, with a few frames between them.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from kvzoo.apps import translators
from kvzoo.apps.outputs import left_out, sound_of
from kvzoo.apps.streams import ahead
from kvzoo.apps.translators import from_network, to_network, write
from kvzoo.data.videos import Stream
from kvzoo.errors import InputError
from kvzoo.recipe.resolve import Recipe
from kvzoo.registry import ModelSpec

MAPS = ("flow", "visibility")
MOST = 32  # maximum factor, for networks that map motion
BATCH = 16  # frames that a network computes at once, unless one pair has more
PAIRS = 4  # maximum pairs at once: they are kept at full size
LUMA = np.array([0.299, 0.587, 0.114])  # of RGB, ITU-R BT.601

# Cuts are detected on frames of this size. In four real videos the five cuts have a change of at least 0.26, everything
# else at most 0.07; 400 pairs of frames of different shots have at least 0.16.
CUT_SIZE = (32, 32)
CUT = 0.1
BINS = 8  # per channel of the colour histograms


@dataclass(frozen=True)
class Interpolation:
    """The result of `interpolate`.

    Attributes:
        frames: number of frames written, original and new.
        fps: frames per second.
        cuts: number of cuts, across which nothing was blended.
        broken: what is wrong with the video, in words; "" if nothing is.
        sound: what is left out of its sound, in words; "" if nothing is.
    """

    frames: int
    fps: float
    cuts: int
    broken: str
    sound: str = ""


def interpolate(
    run: str | os.PathLike,
    video: str | os.PathLike,
    out: str | os.PathLike,
    factor: int,
    keep_rate: bool = False,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Interpolation:
    """Write a video with `factor - 1` new frames after each of its own except the last.

    n frames become (n - 1) * factor + 1, at `factor` times the rate: frames keep their times, new ones are evenly spaced
    between them. The mean luminance of new frames is interpolated between their neighbours'. At cuts the nearest frame is
    repeated. The sound is kept, except in slow motion.

    Args:
        run: a run folder of a translator that was trained to interpolate.
        video: a video file.
        out: the file to write, .mp4 or .mkv.
        factor: multiple of the frame rate, at least 2.
        keep_rate: play at the video's own rate: slow motion.
        overwrite: replace `out` if it exists.
        progress: called with the number of frames written since the last call.

    Raises:
        InputError: the run was not trained to interpolate, or not by this factor; the video has fewer than two frames;
            or the file cannot be written.
    """
    _, stream = check_request(run, video, out, factor, overwrite)
    from kvzoo import zoo

    model = zoo.load(run)
    method = WarpedFrames(model, factor, _shape(stream)) if moves(model.spec) else PaintedFrames(model)
    pairs = ahead(_estimate(ahead(_pairs(stream, method, min(PAIRS, max(1, BATCH // (factor - 1))))), method))
    all_frames = ahead(_all_frames(pairs, method, factor), 2 * factor)
    count = cuts = 0

    def output_frames() -> Iterator[np.ndarray]:
        nonlocal count, cuts
        try:
            for frame, cut in all_frames:
                yield frame
                count, cuts = count + 1, cuts + cut
                if progress:
                    progress(1)
        finally:
            all_frames.close()
        if not count:
            raise _too_short(video, stream.broken or f"has {stream.frames} frames")

    fps = stream.fps if keep_rate else factor * stream.fps
    times = divide_times(stream.seconds, factor)
    sound = left_out(stream, "in slow motion") if keep_rate else sound_of(stream)
    write(out, output_frames(), fps, factor * times if keep_rate else times, sound)
    return Interpolation(count, fps, cuts, stream.broken, sound.note)


def check_request(
    run: str | os.PathLike, video: str | os.PathLike, out: str | os.PathLike, factor: int, overwrite: bool = False
) -> tuple[Recipe, Stream]:
    """Validate the arguments without Keras and return the run's recipe and the opened video."""
    recipe, stream = translators.check_translation("interpolate", run, video, out, overwrite)
    name, between = recipe.model_spec.name, recipe["model"]["frames_out"]
    if not moves(recipe.model_spec) and factor != between + 1:
        raise InputError(
            f"--factor: {name} supports only {between + 1}, as it was trained to make {between} frames between two. "
            f"Received: {factor}"
        )
    if not 2 <= factor <= MOST:
        raise InputError(f"--factor: must be an integer from 2 to {MOST}. Received: {factor}")
    if stream.frames < 2:
        raise _too_short(video, "has 1 frame")
    return recipe, stream


def moves(spec: ModelSpec) -> bool:
    """Return whether a model maps motion, so that frames can be made at any time and size."""
    return set(MAPS) <= set(spec.maps)


def _too_short(video: str | os.PathLike, has: str) -> InputError:
    return InputError(f"{video}: {has}; at least 2 are required to make frames between them")


class PaintedFrames:
    """Frames painted by a network, at its own size and at the times that it was trained for."""

    def __init__(self, model):
        self._model = model
        (_, height, width, self.channels), _ = model.clip_shapes
        self.size = (height, width)

    def estimate(self, pairs: np.ndarray) -> np.ndarray:
        """Return the middle frames of pairs uint8 (B, 2, h, w, C): uint8 (B, m, h, w, C)."""
        from kvzoo.losses.base import to_uint8

        return to_uint8(self._model.predict_on_batch(pairs))

    def make(self, first: np.ndarray, last: np.ndarray, middle_frames: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the frames (H, W, 3) between two, as many as `middle_frames` has."""
        for time, frame in zip(_times(len(middle_frames)), middle_frames, strict=True):
            yield from_network(frame, cv2.addWeighted(first, 1 - time, last, time, 0))


class WarpedFrames:
    """Frames warped from the original ones: motion from a network on small frames, images at full size.

    Args:
        model: maps `flow` (B, m, h, w, 4) and `visibility` (B, m, h, w, 1); its builder takes a pair as `image_size`,
            and its weights depend on neither that nor `frames_out`.
        factor: multiple of the frame rate.
        shape: height and width of the frames.
    """

    def __init__(self, model, factor: int, shape: tuple[int, int]):
        from kvzoo import zoo

        self.channels = model.config["channels"]
        self.size = estimated_size(model.config["image_size"], *shape)
        between = {**model.config, "frames_out": factor - 1, "image_size": self.size}
        network = zoo.build(model.spec, between)["network"]
        network.set_weights(model.network.get_weights())
        self._network = zoo.part(network, *MAPS, *(("trust",) if "trust" in model.spec.maps else ()))

    def estimate(self, pairs: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        """Return the maps of each of the pairs uint8 (B, 2, h, w, C)."""
        return list(zip(*self._network.predict_on_batch(pairs / np.float32(127.5) - 1), strict=True))

    def make(self, first: np.ndarray, last: np.ndarray, maps: tuple[np.ndarray, ...]) -> Iterator[np.ndarray]:
        """Yield the frames (H, W, 3) between two, as many as there are flows."""
        height, width = first.shape[:2]
        scale = np.array([height / self.size[0], width / self.size[1]], np.float32)
        rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)

        def sample(frame: np.ndarray, flow: np.ndarray) -> np.ndarray:
            flow = cv2.resize(flow * scale, (width, height))
            return cv2.remap(
                frame, columns + flow[..., 1], rows + flow[..., 0], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )

        times = _times(len(maps[0]))
        for time, flow, visibility, *trusts in zip(times, *maps, strict=True):
            share = cv2.resize(visibility, (width, height))
            frame = cv2.blendLinear(sample(first, flow[..., :2]), sample(last, flow[..., 2:]), share, 1 - share)
            for trust in trusts:
                trust = cv2.resize(trust, (width, height))
                frame = cv2.blendLinear(frame, cv2.addWeighted(first, 1 - time, last, time, 0), trust, 1 - trust)
            yield frame


def estimated_size(image_size: int | Sequence[int], height: int, width: int) -> tuple[int, int]:
    """Return the height and width for estimating motion, multiples of 8.

    The shorter side is twice the network's training size, or the frame's own if that is less.
    """
    trained_on = image_size if isinstance(image_size, int) else min(image_size)
    scale = min(1.0, 2 * trained_on / min(height, width))
    return tuple(max(8, 8 * round(side * scale / 8)) for side in (height, width))


def _shape(stream: Stream) -> tuple[int, int]:
    with contextlib.closing(iter(stream)) as frames:
        return next(frames).shape[:2]


def divide_times(times: np.ndarray, factor: int) -> np.ndarray:
    """Return times (N,) with `factor - 1` more, evenly spaced, between each and the next.

    Example:

        >>> import numpy as np
        >>> from kvzoo.apps.interpolate import divide_times
        >>> divide_times(np.array([0.0, 2.0, 3.0]), factor=2).tolist()
        [0.0, 1.0, 2.0, 2.5, 3.0]
    """
    places = np.arange(factor * (len(times) - 1) + 1) / factor
    return np.interp(places, np.arange(len(times)), times)


def _times(count: int) -> list[float]:
    return [(k + 1) / (count + 1) for k in range(count)]


def _pairs(stream: Stream, method: PaintedFrames | WarpedFrames, count: int) -> Iterator[list[tuple]]:
    """Yield `count` pairs of neighbours at a time: both frames, both at the network's size, whether a cut is between."""
    batch, previous = [], None
    for frame in stream:
        # Copied, because a frame is the decoder's memory until the next one.
        frame = frame.copy()
        now = frame, to_network(frame, method.size, method.channels), shrunk(frame)
        if previous:
            batch.append((previous[0], frame, np.stack([previous[1], now[1]]), is_cut(previous[2], now[2])))
        previous = now
        if len(batch) == count:
            yield batch
            batch = []
    if batch:
        yield batch


def _estimate(batches: Iterator[list[tuple]], method: PaintedFrames | WarpedFrames) -> Iterator[tuple]:
    """Yield each pair of frames and the network's estimate, None if a cut is between them."""
    try:
        for batch in batches:
            whole = [small for *_, small, cut in batch if not cut]
            estimates = iter(method.estimate(np.stack(whole)) if whole else ())
            for first, last, _, cut in batch:
                yield first, last, None if cut else next(estimates)
    finally:
        batches.close()


def _all_frames(
    pairs: Iterator[tuple], method: PaintedFrames | WarpedFrames, factor: int
) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield all frames in order, original and new, and whether a cut follows."""
    last = None
    try:
        for first, last, estimate in pairs:
            yield first, estimate is None
            if estimate is None:
                yield from ((first if time < 0.5 else last, False) for time in _times(factor - 1))
                continue
            levels = luminance(first), luminance(last)
            for time, frame in zip(_times(factor - 1), method.make(first, last, estimate), strict=True):
                yield with_luminance(frame, (1 - time) * levels[0] + time * levels[1]), False
        if last is not None:
            yield last, False
    finally:
        pairs.close()


def luminance(frame: np.ndarray) -> float:
    """Return the mean luma of an RGB frame, 0..255."""
    return float(LUMA @ cv2.mean(frame)[:3])


def with_luminance(frame: np.ndarray, target: float) -> np.ndarray:
    """Return a frame with another mean luma, scaled towards black or white so that nothing clips."""
    has = luminance(frame)
    levels = np.arange(256)
    if has > target:
        levels = levels * (target / has)
    elif has < target:
        levels = 255 - (255 - levels) * ((255 - target) / (255 - has))
    return cv2.LUT(frame, levels.round().astype(np.uint8))


def shrunk(frame: np.ndarray) -> np.ndarray:
    """Return an RGB frame at the size for detecting cuts."""
    return cv2.resize(frame, CUT_SIZE, interpolation=cv2.INTER_AREA)


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    """Return whether two small RGB frames of equal size are of different scenes.

    Their change is the part that their colour histograms do not share, times one minus their correlation: camera
    motion preserves the colours, changes of light preserve the correlation.
    """
    histograms = [np.bincount(_bins(frame), minlength=BINS**3) / frame[..., 0].size for frame in (before, after)]
    foreign = 1 - np.minimum(*histograms).sum()
    images = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in (before, after)]
    deviations = [image.std() for image in images]
    if min(deviations) < 1:
        # A uniform image correlates with nothing.
        return bool(foreign > 0.5)
    alike = np.mean((images[0] - images[0].mean()) * (images[1] - images[1].mean())) / np.prod(deviations)
    return bool(foreign * (1 - alike) > CUT)


def _bins(frame: np.ndarray) -> np.ndarray:
    """Return the colour bin of each pixel."""
    r, g, b = (frame.reshape(-1, 3).astype(np.int64) * BINS // 256).T
    return (r * BINS + g) * BINS + b
