"""New frames between a video's own: N times its frame rate, or slow motion.

A network that maps motion (`flow` and `visibility` in its spec) estimates it on small frames and at any number of
times; the frames themselves are sampled and blended at their full size, and mixed with the cross-fade as the map
`trust` says, where there is one. Any other network paints its frames at its
own size and at the times that it was trained for. Given frames are passed on as they are.

Decoding, the network, the making of frames and encoding each have a thread, with a few frames between them.
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
MORE_MAPS = ("trust", "repair")  # of networks that have them
MOST = 32  # times the rate, of networks that map motion
BATCH = 16  # frames that a network makes at once, but for one pair's
PAIRS = 4  # at once, at most: they are held at full size
LUMA = np.array([0.299, 0.587, 0.114])  # of RGB, ITU-R BT.601

# Cuts are seen on frames of this size. In four real videos the five cuts have a change of 0.26 and more, everything
# else 0.07 at most; 400 pairs of frames of different shots have 0.16 and more.
CUT_SIZE = (32, 32)
CUT = 0.1
BINS = 8  # a channel, of the colour histograms


@dataclass(frozen=True)
class Interpolation:
    """What was written.

    Attributes:
        frames: how many, given and new ones.
        fps: frames a second.
        cuts: between how many given frames nothing was blended.
        broken: what was wrong with the video, in words; "" where nothing was.
        sound: what of its sound is left out, in words; "" where nothing is.
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
    """Write a video with `factor - 1` new frames after each of its own but the last.

    Of n frames it makes (n - 1) * factor + 1, at `factor` times the rate: frames keep their times, new ones divide the
    time between evenly. New frames have the mean luminance that lies between their neighbours'. Where the picture is
    cut, the frame that is nearer is repeated. The sound is kept, but for slow motion.

    Args:
        run: a run folder of a translator that was trained to interpolate.
        video: a video file.
        out: the file to write, .mp4 or .mkv.
        factor: how many times the frame rate, from 2 on.
        keep_rate: play at the video's own rate: slow motion.
        overwrite: whether `out` may be there already.
        progress: called with the number of frames written since the last call.

    Raises:
        InputError: a run that cannot interpolate, or not by this factor, a video with fewer than two frames, a file
            that cannot be written as wanted.
    """
    _, stream = check(run, video, out, factor, overwrite)
    from kvzoo import zoo

    model = zoo.load(run)
    method = Moved(model, factor, _shape(stream)) if moves(model.spec) else Painted(model)
    pairs = ahead(_estimated(ahead(_pairs(stream, method, min(PAIRS, max(1, BATCH // (factor - 1))))), method))
    made = ahead(_made(pairs, method, factor), 2 * factor)
    written = cuts = 0

    def shown() -> Iterator[np.ndarray]:
        nonlocal written, cuts
        try:
            for frame, cut in made:
                yield frame
                written, cuts = written + 1, cuts + cut
                if progress:
                    progress(1)
        finally:
            made.close()
        if not written:
            raise _too_short(video, stream.broken or f"has {stream.frames} frames")

    fps = stream.fps if keep_rate else factor * stream.fps
    times = divided(stream.seconds, factor)
    sound = left_out(stream, "in slow motion") if keep_rate else sound_of(stream)
    write(out, shown(), fps, factor * times if keep_rate else times, sound)
    return Interpolation(written, fps, cuts, stream.broken, sound.note)


def check(
    run: str | os.PathLike, video: str | os.PathLike, out: str | os.PathLike, factor: int, overwrite: bool = False
) -> tuple[Recipe, Stream]:
    """Return a run's recipe and the opened video; refuses what can be refused without Keras."""
    recipe, stream = translators.check("interpolate", run, video, out, overwrite)
    name, between = recipe.model_spec.name, recipe["model"]["frames_out"]
    if not moves(recipe.model_spec) and factor != between + 1:
        raise InputError(
            f"--factor {factor}: {name} was trained to make {between} frames between two; "
            f"--factor {between + 1} is what it can"
        )
    if not 2 <= factor <= MOST:
        raise InputError(f"--factor {factor}: a whole number from 2 to {MOST} is wanted")
    if stream.frames < 2:
        raise _too_short(video, "has 1 frame")
    return recipe, stream


def moves(spec: ModelSpec) -> bool:
    """Return whether a model maps motion, so that frames can be made at any time and size."""
    return set(MAPS) <= set(spec.maps)


def _too_short(video: str | os.PathLike, has: str) -> InputError:
    return InputError(f"{video}: {has}; two at least are wanted to make frames between them")


class Painted:
    """Frames as a network paints them, at its own size and at the times that it was trained for."""

    def __init__(self, model):
        self._model = model
        (_, height, width, self.channels), _ = model.clip_shapes
        self.size = (height, width)

    def estimate(self, pairs: np.ndarray) -> np.ndarray:
        """Return the middle frames of pairs uint8 (B, 2, h, w, C): uint8 (B, m, h, w, C)."""
        from kvzoo.losses.base import to_uint8

        return to_uint8(self._model.predict_on_batch(pairs))

    def make(self, first: np.ndarray, last: np.ndarray, painted: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the frames (H, W, 3) between two, as many as `painted` has."""
        for time, frame in zip(_times(len(painted)), painted, strict=True):
            yield from_network(frame, cv2.addWeighted(first, 1 - time, last, time, 0))


class Moved:
    """Frames sampled where they come from: motion from a network on small frames, pictures at full size.

    What `trust` does not cover is the cross-fade; `repair` is added. Both are optional.

    Args:
        model: maps `flow` (B, m, h, w, 4) and `visibility` (B, m, h, w, 1); its builder takes a pair as `image_size`,
            and its weights depend on neither that nor `frames_out`.
        factor: times the rate.
        shape: height and width of the frames.
    """

    def __init__(self, model, factor: int, shape: tuple[int, int]):
        from kvzoo import zoo

        self.channels = model.config["channels"]
        self.size = estimated_size(model.config["image_size"], *shape)
        between = {**model.config, "frames_out": factor - 1, "image_size": self.size}
        network = zoo.build(model.spec, between)["network"]
        network.set_weights(model.network.get_weights())
        self.maps = (*MAPS, *(name for name in MORE_MAPS if name in model.spec.maps))
        self._network = zoo.part(network, *self.maps)

    def estimate(self, pairs: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        """Return the maps of each of the pairs uint8 (B, 2, h, w, C)."""
        return list(zip(*self._network.predict_on_batch(pairs / np.float32(127.5) - 1), strict=True))

    def make(self, first: np.ndarray, last: np.ndarray, found: tuple[np.ndarray, ...]) -> Iterator[np.ndarray]:
        """Yield the frames (H, W, 3) between two, as many as there are flows."""
        height, width = first.shape[:2]
        scale = np.array([height / self.size[0], width / self.size[1]], np.float32)
        rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)

        def sampled(frame: np.ndarray, flow: np.ndarray) -> np.ndarray:
            flow = cv2.resize(flow * scale, (width, height))
            return cv2.remap(
                frame, columns + flow[..., 1], rows + flow[..., 0], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )

        times = _times(len(found[0]))
        for time, flow, visibility, *more in zip(times, *found, strict=True):
            share = cv2.resize(visibility, (width, height))
            frame = cv2.blendLinear(sampled(first, flow[..., :2]), sampled(last, flow[..., 2:]), share, 1 - share)
            others = {
                name: cv2.resize(x, (width, height)) for name, x in zip(self.maps[len(MAPS) :], more, strict=True)
            }
            if (trust := others.get("trust")) is not None:
                frame = cv2.blendLinear(frame, cv2.addWeighted(first, 1 - time, last, time, 0), trust, 1 - trust)
            if (repair := others.get("repair")) is not None:
                # From -1..1 to 0..255, beyond which it is cut off.
                frame = cv2.add(frame, (127.5 * repair).reshape(height, width, -1), dtype=cv2.CV_8U)
            yield frame


def estimated_size(image_size: int | Sequence[int], height: int, width: int) -> tuple[int, int]:
    """Return the height and width that motion is estimated at, multiples of 8.

    The shorter side is twice what the network was trained on, or the frame's own where that is less.
    """
    trained_on = image_size if isinstance(image_size, int) else min(image_size)
    scale = min(1.0, 2 * trained_on / min(height, width))
    return tuple(max(8, 8 * round(side * scale / 8)) for side in (height, width))


def _shape(stream: Stream) -> tuple[int, int]:
    with contextlib.closing(iter(stream)) as frames:
        return next(frames).shape[:2]


def divided(times: np.ndarray, factor: int) -> np.ndarray:
    """Return times (N,) with `factor - 1` more between each and the next, evenly."""
    places = np.arange(factor * (len(times) - 1) + 1) / factor
    return np.interp(places, np.arange(len(times)), times)


def _times(count: int) -> list[float]:
    return [(k + 1) / (count + 1) for k in range(count)]


def _pairs(stream: Stream, method: Painted | Moved, count: int) -> Iterator[list[tuple]]:
    """Yield `count` pairs of neighbours at a time: both frames, both at the network's size, whether cut between."""
    held, before = [], None
    for frame in stream:
        # Copied, as a frame is the decoder's memory until the next one.
        frame = frame.copy()
        now = frame, to_network(frame, method.size, method.channels), shrunk(frame)
        if before:
            held.append((before[0], frame, np.stack([before[1], now[1]]), is_cut(before[2], now[2])))
        before = now
        if len(held) == count:
            yield held
            held = []
    if held:
        yield held


def _estimated(batches: Iterator[list[tuple]], method: Painted | Moved) -> Iterator[tuple]:
    """Yield each pair of frames and what the network makes of them, None where the picture is cut between."""
    try:
        for batch in batches:
            whole = [small for *_, small, cut in batch if not cut]
            found = iter(method.estimate(np.stack(whole)) if whole else ())
            for first, last, _, cut in batch:
                yield first, last, None if cut else next(found)
    finally:
        batches.close()


def _made(pairs: Iterator[tuple], method: Painted | Moved, factor: int) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield all frames in order, and whether a cut follows: the given ones as they are, those between them new."""
    last = None
    try:
        for first, last, found in pairs:
            yield first, found is None
            if found is None:
                yield from ((first if time < 0.5 else last, False) for time in _times(factor - 1))
                continue
            levels = luminance(first), luminance(last)
            for time, frame in zip(_times(factor - 1), method.make(first, last, found), strict=True):
                yield with_luminance(frame, (1 - time) * levels[0] + time * levels[1]), False
        if last is not None:
            yield last, False
    finally:
        pairs.close()


def luminance(frame: np.ndarray) -> float:
    """Return the mean luma of an RGB frame, 0..255."""
    return float(LUMA @ cv2.mean(frame)[:3])


def with_luminance(frame: np.ndarray, wanted: float) -> np.ndarray:
    """Return a frame with another mean luma: darkened towards black or brightened towards white, so nothing clips."""
    has = luminance(frame)
    levels = np.arange(256)
    if has > wanted:
        levels = levels * (wanted / has)
    elif has < wanted:
        levels = 255 - (255 - levels) * ((255 - wanted) / (255 - has))
    return cv2.LUT(frame, levels.round().astype(np.uint8))


def shrunk(frame: np.ndarray) -> np.ndarray:
    """Return an RGB frame at the size at which cuts are seen."""
    return cv2.resize(frame, CUT_SIZE, interpolation=cv2.INTER_AREA)


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    """Return whether two small RGB frames of one size are of different scenes.

    Their change is what their colour histograms do not share, times how little their pictures correlate: camera
    motion leaves the colours, light leaves the picture.
    """
    histograms = [np.bincount(_bins(frame), minlength=BINS**3) / frame[..., 0].size for frame in (before, after)]
    foreign = 1 - np.minimum(*histograms).sum()
    pictures = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in (before, after)]
    spread = [picture.std() for picture in pictures]
    if min(spread) < 1:
        # An even picture correlates with nothing.
        return bool(foreign > 0.5)
    alike = np.mean((pictures[0] - pictures[0].mean()) * (pictures[1] - pictures[1].mean())) / np.prod(spread)
    return bool(foreign * (1 - alike) > CUT)


def _bins(frame: np.ndarray) -> np.ndarray:
    """Return the colour bin of each pixel."""
    r, g, b = (frame.reshape(-1, 3).astype(np.int64) * BINS // 256).T
    return (r * BINS + g) * BINS + b
