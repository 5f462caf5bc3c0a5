"""Continue a video: a network predicts frames from the last ones, and from its own predictions."""

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
    """The result of `predict`.

    Attributes:
        frames: number of frames written, original and predicted.
        fps: frames per second: the video's average rate.
        broken: what is wrong with the video, in words; "" if nothing is.
        sound: what is left out of its sound, in words; "" if nothing is.
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
    """Write a video followed by predicted frames.

    The network predicts a few frames at a time, each time from the latest ones. It works on whole frames at its own
    size; its predictions are resized. The original frames and their sound are kept unchanged.

    Args:
        run: a run folder of a translator that was trained to predict.
        video: a video file.
        out: the file to write, .mp4 or .mkv.
        frames: number of frames to predict.
        overwrite: replace `out` if it exists.
        progress: called with the number of frames written since the last call.

    Raises:
        InputError: the run was not trained to predict, the video has fewer frames than its network needs, or the file
            cannot be written.
    """
    _, stream = check_request(run, video, out, frames, overwrite)
    from kvzoo import zoo
    from kvzoo.losses.base import to_uint8

    model = zoo.load(run)
    (length, height, width, channels), _ = model.clip_shapes
    count = 0

    def output_frames() -> Iterator[np.ndarray]:
        past: deque[np.ndarray] = deque(maxlen=length)
        originals = ahead(frame.copy() for frame in stream)
        try:
            for frame in originals:
                past.append(to_network(frame, (height, width), channels))
                yield frame
        finally:
            originals.close()
        if len(past) < length:
            raise _too_short(video, stream.broken or f"has {stream.frames} frames", length)
        remaining = frames
        while remaining:
            future = to_uint8(model.predict_on_batch(np.stack(past)[None]))[0][:remaining]
            for image in future:
                yield from_network(image, frame)
            past.extend(future)
            remaining -= len(future)

    def count_frames() -> Iterator[np.ndarray]:
        nonlocal count
        for frame in output_frames():
            yield frame
            count += 1
            if progress:
                progress(1)

    sound = sound_of(stream)
    write(out, count_frames(), stream.fps, extend_times(stream.seconds, frames), sound)
    return Prediction(count, stream.fps, stream.broken, sound.note)


def extend_times(times: np.ndarray, frames: int) -> np.ndarray:
    """Return times (N,) extended by `frames` more, at the median distance of the others.

    Example:

        >>> import numpy as np
        >>> from kvzoo.apps.predict import extend_times
        >>> extend_times(np.array([0.0, 2.0, 4.0]), frames=2).tolist()
        [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    gap = np.median(np.diff(times)) if len(times) > 1 else 1.0
    return np.concatenate([times, times[-1] + gap * np.arange(1, frames + 1)])


def check_request(
    run: str | os.PathLike, video: str | os.PathLike, out: str | os.PathLike, frames: int, overwrite: bool = False
) -> tuple[Recipe, Stream]:
    """Validate the arguments without Keras and return the run's recipe and the opened video."""
    recipe, stream = translators.check_translation("predict", run, video, out, overwrite)
    if frames < 1:
        raise InputError(f"--frames: must be a positive integer. Received: {frames}")
    if stream.frames < recipe["model"]["frames_in"]:
        raise _too_short(video, f"has {stream.frames} frames", recipe["model"]["frames_in"])
    return recipe, stream


def _too_short(video: str | os.PathLike, has: str, length: int) -> InputError:
    return InputError(f"{video}: {has}; the model needs at least {length}")
