"""Clips as PNG strips, animated GIFs and mp4 files. All arrays are uint8 (T, H, W, C), C 1 or 3."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from kvzoo.files import written_whole

GAP = 2  # pixels between clips in a picture
PAPER = 255


def strip(clip: np.ndarray) -> np.ndarray:
    """Return a clip's frames side by side, (H, T * W, C)."""
    return np.concatenate(list(clip), axis=1)


def stack(images: Sequence[np.ndarray], axis: int, gap: int = GAP) -> np.ndarray:
    """Return pictures of equal size one beside the other along an axis, with paper between."""
    first = images[0]
    shape = list(first.shape)
    shape[axis] = gap
    paper = np.full(shape, PAPER, np.uint8)
    parts = [part for image in images for part in (image, paper)]
    return np.concatenate(parts[:-1], axis=axis)


def write_png(path: str | os.PathLike, image: np.ndarray, note: Mapping | None = None) -> None:
    """Write a picture (H, W, C); `note`, plain JSON values that say what is on it, goes into the file (`read_note`)."""
    text = PngInfo()
    text.add_text("Description", json.dumps(note or {}))
    with written_whole(path) as beside:
        _pil(image).save(beside, pnginfo=text)


def read_note(path: str | os.PathLike) -> dict:
    """Return what `write_png` noted of a picture; {} where there is no note."""
    with Image.open(path) as image, suppress(ValueError, AttributeError):
        note = json.loads(image.text["Description"]) if "Description" in image.text else {}
        return note if isinstance(note, dict) else {}
    return {}


def write_gif(path: str | os.PathLike, clip: Iterable[np.ndarray], fps: float) -> None:
    """Write frames (H, W, C) as a GIF that repeats for ever.

    GIF counts in hundredths of a second and viewers slow frames under 20 ms down: at most 50 a second.
    """
    frames = [_pil(frame) for frame in clip]
    # Delays are rounded one by one so that the whole lasts as long as it should.
    ends = [round(100 * (i + 1) / min(fps, 50.0)) for i in range(len(frames))]
    delays = [10 * (end - start) for start, end in zip([0, *ends], ends, strict=False)]
    with written_whole(path) as beside:
        frames[0].save(beside, save_all=True, append_images=frames[1:], duration=delays, loop=0)


def write_mp4(path: str | os.PathLike, frames: Iterable[np.ndarray], fps: float, sound: Iterable = ()) -> None:
    """Write frames (H, W, 3), uint8 RGB, as H.264; height and width must be even.

    Args:
        path: of the file.
        frames: one after the other.
        fps: frames a second.
        sound: stereo `av.AudioFrame`s at one rate, with times that begin at 0; written as AAC.
    """
    import av

    from kvzoo.media.containers import create_container

    with written_whole(path) as beside, create_container(beside) as container:
        stream = track = None
        sound = iter(sound)
        heard = next(sound, None)
        for number, frame in enumerate(frames):
            if stream is None:
                stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.options = {"crf": "18"}
                if heard is not None:
                    track = container.add_stream("aac", rate=heard.sample_rate)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
            # A container holds packets back until all its streams have come as far.
            while heard is not None and heard.time < (number + 1) / fps:
                container.mux(track.encode(heard))
                heard = next(sound, None)
        while heard is not None and track is not None:
            container.mux(track.encode(heard))
            heard = next(sound, None)
        for each in (stream, track):
            if each is not None:
                container.mux(each.encode())


def _pil(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
