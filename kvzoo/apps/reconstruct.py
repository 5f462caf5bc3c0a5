"""Reconstruct a video with a run's model: every input frame above its reconstruction.

Decoding, the forward pass and encoding each have a thread, with a few batches between them: they
overlap, and memory does not grow with the video.
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

# Minimum side of an image in pixels: a network's 64 are too few to look at.
SIDES = {".mp4": 256, ".gif": 128}
# A GIF is kept in memory until its last frame.
GIF_FRAMES = 1000


@dataclass(frozen=True)
class Reconstruction:
    """The result of `reconstruct`.

    Attributes:
        frames: number of frames written, one for each of the video.
        fps: frames per second: the video's average rate.
        broken: what is wrong with the video, in words; "" if nothing is.
        sound: what is left out of its sound, in words; "" if nothing is.
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
    """Write a video's centred square above its reconstruction by a run's model.

    The video is read at its own rate, in adjacent windows of the model's length; the last one overlaps the
    one before if the video's length is not a multiple of it. The file has a frame for each of the video's, at its
    time (a GIF merges equal neighbours, and has at most 50 per second), and its sound.

    Args:
        run: a run folder.
        video: a video file.
        out: the file to write, .mp4 or .gif.
        overwrite: replace `out` if it exists.
        progress: called with the number of frames written since the last call.

    Raises:
        InputError: `run` is not a run folder, has no model yet, or its model is not a reconstructor; the video
            cannot be decoded or has fewer frames than the model needs; or the file cannot be written.
    """
    _, stream = check_request(run, video, out, overwrite)
    from kvzoo import zoo

    model = zoo.load(run)
    length, image_size, _, channels = model.clip_shape

    ending, count = Path(out).suffix.lower(), 0
    # Copied, as a frame that needs no resizing is still the decoder's memory.
    frames = (square(frame, image_size, channels).copy() for frame in stream)
    clips = ahead(batches(windows(frames, length, length)))
    pairs = ahead(_forward(model, clips))

    def pictures() -> Iterator[np.ndarray]:
        nonlocal count
        for inputs, outputs in pairs:
            for above, below in zip(inputs, outputs, strict=True):
                yield _picture(above, below, SIDES[ending])
                count += 1
                if progress:
                    progress(1)
        if not count:
            raise _too_short(video, stream.broken or f"has {stream.frames} frames", length)

    images = pictures()
    sound = left_out(stream, "of a GIF") if ending == ".gif" else sound_of(stream)
    try:
        if ending == ".gif":
            write_gif(out, images, stream.fps, stream.seconds)
        else:
            write_mp4(out, images, stream.fps, sound.frames, stream.seconds + sound.delay)
    finally:
        images.close()
        pairs.close()
    return Reconstruction(count, stream.fps, stream.broken, sound.note)


def check_request(
    run: str | os.PathLike, video: str | os.PathLike, out: str | os.PathLike, overwrite: bool = False
) -> tuple[Recipe, Stream]:
    """Validate the arguments without Keras and return the run's recipe and the opened video."""
    recipe = RunFolder(run).trained("reconstruct")
    check_file(out, SIDES, overwrite, video)

    stream = open_video(video)
    length = recipe["model"].get("frames", 1)
    if stream.frames < length:
        raise _too_short(video, f"has {stream.frames} frames", length)
    if Path(out).suffix.lower() == ".gif" and stream.frames > GIF_FRAMES:
        raise InputError(
            f"--out {out}: a GIF supports at most {GIF_FRAMES} frames, but {video} has {stream.frames}; "
            f"use --out {Path(out).with_suffix('.mp4')}"
        )
    return recipe, stream


def _too_short(video: str | os.PathLike, has: str, length: int) -> InputError:
    return InputError(f"{video}: {has}; the model needs at least {length}")


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
    """Return two frames (H, W, C) stacked as RGB, each enlarged by an integer factor to at least `side`."""
    times = math.ceil(side / len(above))
    # Encoders need even heights and widths.
    times += times % 2 * any(length % 2 for length in above.shape[:2])
    large = [frame.repeat(times, axis=0).repeat(times, axis=1) for frame in (above, below)]
    picture = stack(large, axis=0)
    return picture.repeat(3, axis=2) if picture.shape[2] == 1 else picture
