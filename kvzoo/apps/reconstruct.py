"""A video through a run's model: every frame as the model saw it above, as it gives it back below.

Decoding, the forward pass and encoding each have a thread, with a few batches between them: they
overlap, and what is held does not grow with the video.
"""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kvzoo.apps.outputs import check_file, left_out, sound_of
from kvzoo.apps.streams import ahead, batches, windows
from kvzoo.data.source import square
from kvzoo.data.videos import Stream, open_video
from kvzoo.errors import InputError
from kvzoo.media.clips import stack, write_gif, write_mp4
from kvzoo.recipe.resolve import Recipe
from kvzoo.run.folder import RunFolder

# Smallest side of a picture in pixels: a network's 64 are too few to look at.
SIDES = {".mp4": 256, ".gif": 128}
# A GIF is held in memory until its last frame.
GIF_FRAMES = 1000


@dataclass(frozen=True)
class Reconstruction:
    """What was written.

    Attributes:
        frames: how many, one for each of the video.
        fps: frames a second: the video's average rate.
        broken: what was wrong with the video, in words; "" where nothing was.
        sound: what of its sound is left out, in words; "" where nothing is.
    """

    frames: int
    fps: float
    broken: str
    sound: str = ""


def reconstruct(
    run: str | os.PathLike,
    video: str | os.PathLike,
    out: str | os.PathLike,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Reconstruction:
    """Write a video's centred square, and below it what a run's model makes of it.

    The video is taken at its own rate, in windows of as many frames as the model takes, side by side; the
    last one overlaps the one before where the video's length is no multiple of that. The file has a frame
    for each of the video's, at its time (a GIF shows equal neighbours as one, and at most 50 a second), and its sound.

    Args:
        run: a run folder.
        video: a video file.
        out: the file to write, .mp4 or .gif.
        overwrite: whether `out` may be there already.
        progress: called with the number of frames written since the last call.

    Raises:
        InputError: no run, no model yet, a model that is no reconstructor, no such video or nothing in it
            that can be decoded, fewer frames than the model takes, a file that cannot be written as wanted.
    """
    _, stream = check(run, video, out, overwrite)
    from kvzoo import zoo

    model = zoo.load(run)
    length, image_size, _, channels = model.clip_shape

    ending, written = Path(out).suffix.lower(), 0
    # Copied, as a frame that needs no resizing is still the decoder's memory.
    seen = (square(frame, image_size, channels).copy() for frame in stream)
    decoded = ahead(batches(windows(seen, length, length)))
    pairs = ahead(_forward(model, decoded))

    def pictures() -> Iterator[np.ndarray]:
        nonlocal written
        for inputs, outputs in pairs:
            for above, below in zip(inputs, outputs, strict=True):
                yield _picture(above, below, SIDES[ending])
                written += 1
                if progress:
                    progress(1)
        if not written:
            raise _too_short(video, stream.broken or f"has {stream.frames} frames", length)

    shown = pictures()
    sound = left_out(stream, "of a GIF") if ending == ".gif" else sound_of(stream)
    try:
        if ending == ".gif":
            write_gif(out, shown, stream.fps, stream.seconds)
        else:
            write_mp4(out, shown, stream.fps, sound.frames, stream.seconds + sound.delay)
    finally:
        shown.close()
        pairs.close()
    return Reconstruction(written, stream.fps, stream.broken, sound.note)


def check(
    run: str | os.PathLike, video: str | os.PathLike, out: str | os.PathLike, overwrite: bool = False
) -> tuple[Recipe, Stream]:
    """Return a run's recipe and the opened video; refuses what can be refused without Keras."""
    recipe = RunFolder(run).trained("reconstruct")
    check_file(out, SIDES, overwrite, video)

    stream = open_video(video)
    length = recipe["model"].get("frames", 1)
    if stream.frames < length:
        raise _too_short(video, f"has {stream.frames} frames", length)
    if Path(out).suffix.lower() == ".gif" and stream.frames > GIF_FRAMES:
        raise InputError(
            f"--out {out}: a GIF of at most {GIF_FRAMES} frames is wanted, {video} has {stream.frames}; "
            f"--out {Path(out).with_suffix('.mp4')} takes any number"
        )
    return recipe, stream


def _too_short(video: str | os.PathLike, has: str, length: int) -> InputError:
    return InputError(f"{video}: {has}; the model takes {length} frames at once, at least as many are wanted")


def _forward(model, clips: Iterator[tuple[np.ndarray, list[int]]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the new frames of each batch of windows, input and output, uint8 (N, H, W, C)."""
    from kvzoo.losses.base import to_uint8

    try:
        for batch, new in clips:
            output = to_uint8(model.predict_on_batch(batch))
            yield tuple(
                np.concatenate([clip[-count:] for clip, count in zip(each, new, strict=True)])
                for each in (batch, output)
            )
    finally:
        clips.close()


def _picture(above: np.ndarray, below: np.ndarray, side: int) -> np.ndarray:
    """Return two frames (H, W, C) one above the other as RGB, each enlarged by a whole number to at least `side`."""
    times = math.ceil(side / len(above))
    # Encoders want even heights and widths.
    times += times % 2 * any(length % 2 for length in above.shape[:2])
    large = [frame.repeat(times, axis=0).repeat(times, axis=1) for frame in (above, below)]
    picture = stack(large, axis=0)
    return picture.repeat(3, axis=2) if picture.shape[2] == 1 else picture
