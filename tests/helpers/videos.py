"""Videos and strips that tests write, and what their frames show."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from kvzoo.data.source import Source, Video


def write_strip(path: Path, frames: np.ndarray, vertical: bool = False, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.concatenate(list(frames), axis=0 if vertical else 1))
    (image.convert(mode) if mode else image).save(path)
    return path


def picture(i: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Return a picture with the number i in it: six patches, white for a bit that is 1, in its middle square."""
    side = min(height, width)
    image = np.full((height, width, 3), 90, np.uint8)
    top, left, patch = (height - side) // 2, (width - side) // 2, side // 3
    for bit in range(6):
        y, x = top + patch * (bit // 3), left + patch * (bit % 3)
        image[y : y + patch, x : x + patch] = 255 * (i >> bit & 1)
    return image


def number(frame: np.ndarray) -> int:
    """Return the number in a square picture."""
    patch = frame.shape[0] // 3
    middles = [(patch * (bit // 3) + patch // 2, patch * (bit % 3) + patch // 2) for bit in range(6)]
    return sum(int(frame[y - 2 : y + 3, x - 2 : x + 3].mean() > 127) << bit for bit, (y, x) in enumerate(middles))


def write_video(
    path: Path,
    count: int = 30,
    *,
    codec: str = "libx264",
    size: tuple[int, int] = (48, 64),
    pixels: str = "yuv420p",
    times=None,
    fps: int = 25,
    codec_options: dict | None = None,
    options: dict | None = None,
    noise: int = 0,
) -> Path:
    rng = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=codec_options or {})
        stream.height, stream.width, stream.pix_fmt = *size, pixels
        for i, time in enumerate(range(count) if times is None else times):
            image = np.clip(picture(i, *size) + rng.integers(-noise, noise + 1, (*size, 1)), 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def x264(key_distance: int, b_frames: int = 3, extra: str = "") -> dict:
    settings = f"keyint={key_distance}:min-keyint={key_distance}:scenecut=0:bframes={b_frames}:b-adapt=0{extra}"
    return {"x264-params": settings, "preset": "veryfast"}


def numbers(source: Source, video: Video) -> list[int]:
    return [number(frame) for frame in source.read(video, np.arange(video.frames), 48, 3)]


def damage(path: Path, frames: range) -> None:
    """Overwrite the stored data of some of a file's frames."""
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for i in frames:
        at, size = packets[i]
        data[at : at + size] = b"\xaa" * size
    path.write_bytes(data)
