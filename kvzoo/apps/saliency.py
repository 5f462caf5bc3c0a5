"""Show where and when a video seems slow or fast: a class activation map over its frames.

The head's weights are applied to the map before pooling: each place and frame has the logit of a clip that looks
everywhere and always like it. Frames in two windows have the mean of both.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from kvzoo.apps.outputs import check_file, sound_of
from kvzoo.apps.speed import check_run_and_video, too_short
from kvzoo.apps.streams import ahead, batches, windows
from kvzoo.data.source import square
from kvzoo.data.videos import Stream
from kvzoo.media.clips import write_mp4
from kvzoo.recipe.resolve import Recipe

SLOW, FAST = (255, 214, 0), (0, 64, 255)  # yellow and blue
MOST = 0.65  # maximum opacity of the overlay
STRONG = 95  # percentile of the map's absolute values that has the maximum opacity
SIDES = (256, 720)  # minimum and maximum side of the output in pixels


@dataclass(frozen=True)
class Saliency:
    """The result of `saliency`.

    Attributes:
        maps: (frames, h, w) logits, positive for sped up.
        strongest: absolute value shown with the maximum opacity.
        fps: frames per second.
        broken: what is wrong with the video; "" if nothing is.
        sound: what is left out of its sound, in words; "" if nothing is.
    """

    maps: np.ndarray = field(repr=False)
    strongest: float
    fps: float
    broken: str
    sound: str = ""


def saliency(
    run: str | os.PathLike,
    video: str | os.PathLike,
    out: str | os.PathLike,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Saliency:
    """Write a video's centred square overlaid with its class activation map: yellow seems slow, blue sped up.

    Args:
        run: a run folder of a network trained with binary_speed.
        video: a video file.
        out: the file to write, .mp4.
        overwrite: replace `out` if it exists.
        progress: called with the number of frames since the last call; each frame counts twice.

    Raises:
        InputError: `run` is not a run folder, has no model yet, or was trained with another loss; the video cannot be
            read or has fewer frames than the network needs; or the file cannot be written.
    """
    _, stream = check_request(run, video, out, overwrite)
    from kvzoo import zoo

    maps = _maps(zoo.load(run), stream, progress)
    strongest = float(np.percentile(np.abs(maps), STRONG)) or 1.0
    sound, times = sound_of(stream), stream.seconds
    pictures = _pictures(stream, maps / strongest, progress)
    write_mp4(out, pictures, stream.fps, sound.frames, times + sound.delay)
    return Saliency(maps, strongest, stream.fps, stream.broken, sound.note)


def check_request(run, video, out, overwrite: bool = False) -> tuple[Recipe, Stream]:
    """Validate the arguments without Keras and return the run's recipe and the opened video."""
    check_file(out, (".mp4",), overwrite, video)
    return check_run_and_video("saliency", run, video)


def _maps(model, stream: Stream, progress) -> np.ndarray:
    """Return the class activation map of every frame, (N, h, w)."""
    from kvzoo.models.sliding import map_logits

    network = map_logits(model.network, model.spec.map_layer)
    length, image_size, _, channels = model.clip_shape
    # Copied, because a frame that needs no resizing is still the decoder's memory.
    frames = (square(frame, image_size, channels).copy() for frame in stream)
    total, count = [], []
    clips = ahead(batches(windows(frames, length, max(1, length // 2))))
    try:
        for batch, new in clips:
            logits = np.asarray(network.predict_on_batch(batch.astype("float32") / 127.5 - 1.0), np.float32)
            for clip_logits, fresh in zip(logits, new, strict=True):
                total += [0.0] * fresh
                count += [0] * fresh
                for i, frame in enumerate(clip_logits, len(total) - length):
                    total[i], count[i] = total[i] + frame, count[i] + 1
                if progress:
                    progress(fresh)
    finally:
        clips.close()
    if not total:
        raise too_short(stream.path, stream.broken or f"has {stream.frames} frames", length)
    return np.stack(total) / np.asarray(count)[:, None, None]


def _pictures(stream: Stream, maps: np.ndarray, progress) -> Iterator[np.ndarray]:
    for frame, map_ in zip(stream, maps, strict=False):
        side = int(np.clip(min(frame.shape[:2]), *SIDES)) // 2 * 2
        yield overlay_map(square(frame, side, 3), map_)
        if progress:
            progress(1)


def overlay_map(frame: np.ndarray, map_: np.ndarray) -> np.ndarray:
    """Return a frame, uint8 (H, W, 3), overlaid with a map (h, w): yellow at -1 and below, blue at 1 and above."""
    height, width = frame.shape[:2]
    value = np.clip(cv2.resize(map_.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR), -1, 1)
    colour = np.where(value[..., None] > 0, np.float32(FAST), np.float32(SLOW))
    share = MOST * np.abs(value[..., None])
    return (frame * (1 - share) + colour * share).astype(np.uint8)
