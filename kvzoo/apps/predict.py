"""A video goes on: frames that a network predicts from the last ones, and from what it has predicted."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from kvzoo.apps import translators
from kvzoo.apps.outputs import sound_of
from kvzoo.apps.streams import ahead
from kvzoo.apps.translators import from_network, to_network, write
from kvzoo.data.videos import Stream
from kvzoo.errors import InputError
from kvzoo.recipe.resolve import Recipe


@dataclass(frozen=True)
class Prediction:
    """What was written.

    Attributes:
        frames: how many, given and new ones.
        fps: frames a second: the video's average rate.
        broken: what was wrong with the video, in words; "" where nothing was.
        sound: what of its sound is left out, in words; "" where nothing is.
    """

    frames: int
    fps: float
    broken: str
    sound: str = ""


def predict(
    run: str | os.PathLike,
    video: str | os.PathLike,
    out: str | os.PathLike,
    frames: int,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Prediction:
    """Write a video with new frames after its last one.

    The network predicts some frames at a time, each time from the last ones that there are. It works on whole frames
    at its own size; what it gives is resized. Given frames are passed on as they are, with their sound.

    Args:
        run: a run folder of a translator that was trained to predict.
        video: a video file.
        out: the file to write, .mp4 or .mkv.
        frames: how many new ones.
        overwrite: whether `out` may be there already.
        progress: called with the number of frames written since the last call.

    Raises:
        InputError: a run that cannot predict, fewer frames than its network takes, a file that cannot be written as
            wanted.
    """
    _, stream = check(run, video, out, frames, overwrite)
    from kvzoo import zoo
    from kvzoo.losses.base import to_uint8

    model = zoo.load(run)
    (length, height, width, channels), _ = model.clip_shapes
    written = 0

    def shown() -> Iterator[np.ndarray]:
        past: deque[np.ndarray] = deque(maxlen=length)
        given = ahead(frame.copy() for frame in stream)
        try:
            for frame in given:
                past.append(to_network(frame, (height, width), channels))
                yield frame
        finally:
            given.close()
        if len(past) < length:
            raise _too_short(video, stream.broken or f"has {stream.frames} frames", length)
        left = frames
        while left:
            future = to_uint8(model.predict_on_batch(np.stack(past)[None]))[0][:left]
            for predicted in future:
                yield from_network(predicted, frame)
            past.extend(future)
            left -= len(future)

    def counted() -> Iterator[np.ndarray]:
        nonlocal written
        for frame in shown():
            yield frame
            written += 1
            if progress:
                progress(1)

    sound = sound_of(stream)
    write(out, counted(), stream.fps, continued(stream.seconds, frames), sound)
    return Prediction(written, stream.fps, stream.broken, sound.note)


def continued(times: np.ndarray, frames: int) -> np.ndarray:
    """Return times (N,) and those of `frames` more, as far apart as the others mostly are."""
    gap = np.median(np.diff(times)) if len(times) > 1 else 1.0
    return np.concatenate([times, times[-1] + gap * np.arange(1, frames + 1)])


def check(
    run: str | os.PathLike, video: str | os.PathLike, out: str | os.PathLike, frames: int, overwrite: bool = False
) -> tuple[Recipe, Stream]:
    """Return a run's recipe and the opened video; refuses what can be refused without Keras."""
    recipe, stream = translators.check("predict", run, video, out, overwrite)
    if frames < 1:
        raise InputError(f"--frames {frames}: a whole number from 1 on is wanted")
    if stream.frames < recipe["model"]["frames_in"]:
        raise _too_short(video, f"has {stream.frames} frames", recipe["model"]["frames_in"])
    return recipe, stream


def _too_short(video: str | os.PathLike, has: str, wanted: int) -> InputError:
    return InputError(f"{video}: {has}; the model predicts from {wanted}")
