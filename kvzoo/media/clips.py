"""Write clips as PNG strips, animated GIFs and mp4 files. All arrays are uint8 (T, H, W, C), with C 1 or 3."""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from kvzoo.errors import WriteError
from kvzoo.files import writing, written_whole

GAP = 2  # pixels between images
PAPER = 255

TICKS = 90_000  # per second, in a video of variable rate
MS = 1e-3  # seconds; the unit of time of Matroska, FLV and WebM
BITS = 96_000  # per second and channel, of encoded sound
LONGEST_DELAY = 65_535  # of a GIF's frame, in hundredths of a second


def strip(clip: np.ndarray) -> np.ndarray:
    """Return the frames of a clip (T, H, W, C) side by side, (H, T * W, C).

    Example:

        >>> import numpy as np
        >>> from kvzoo.media.clips import strip
        >>> strip(np.zeros((5, 8, 8, 3), np.uint8)).shape
        (8, 40, 3)
    """
    return np.concatenate(list(clip), axis=1)


def stack(images: Sequence[np.ndarray], axis: int, gap: int = GAP) -> np.ndarray:
    """Return images of equal size next to each other along an axis, with a white gap between them."""
    first = images[0]
    shape = list(first.shape)
    shape[axis] = gap
    paper = np.full(shape, PAPER, np.uint8)
    parts = [part for image in images for part in (image, paper)]
    return np.concatenate(parts[:-1], axis=axis)


def write_png(path: str | os.PathLike, image: np.ndarray, note: Mapping | None = None) -> None:
    """Write an image (H, W, C); `note`, plain JSON values that describe it, is stored in the file (see `read_note`)."""
    text = PngInfo()
    text.add_text("Description", json.dumps(note or {}))
    with writing(path), written_whole(path) as temporary:
        _pil(image).save(temporary, pnginfo=text)


def read_note(path: str | os.PathLike) -> dict:
    """Return the note that `write_png` stored in an image; {} if it has none."""
    with Image.open(path) as image, suppress(ValueError, AttributeError):
        note = json.loads(image.text["Description"]) if "Description" in image.text else {}
        return note if isinstance(note, dict) else {}
    return {}


def write_gif(
    path: str | os.PathLike, clip: Iterable[np.ndarray], fps: float, times: Sequence[float] | None = None
) -> None:
    """Write frames (H, W, C) as a GIF that loops forever.

    GIF counts in hundredths of a second, and viewers slow down frames under 20 ms: the limit is 50 per second.

    Args:
        path: the file.
        clip: its frames.
        fps: frames per second.
        times: display times of the frames in seconds, increasing, if the rate varies.
    """
    frames = [_pil(frame) for frame in clip]
    if times is None or len(frames) < 2:
        ends = (np.arange(len(frames)) + 1) / min(fps, 50.0)
    else:
        times = np.asarray(times, float)[: len(frames)]
        ends = np.append(times, 2 * times[-1] - times[-2])[1:] - times[0]
    # Delays are rounded so that their sum is the right duration.
    ends, delays, elapsed = [round(100 * end) for end in ends], [], 0
    for end in ends:
        delays.append(min(max(end - elapsed, 2), LONGEST_DELAY))
        elapsed += delays[-1]
    with writing(path), written_whole(path) as temporary:
        durations = [10 * delay for delay in delays]
        frames[0].save(temporary, save_all=True, append_images=frames[1:], duration=durations, loop=0)


def write_mp4(
    path: str | os.PathLike,
    frames: Iterable[np.ndarray],
    fps: float,
    sound: Iterable | None = None,
    times: Sequence[float] | None = None,
) -> None:
    """Write frames, uint8 RGB (H, W, 3), as H.264 in .mp4 or .mkv; height and width must be even.

    Colours are tagged as ITU-R BT.709 in frames of 1280 or more columns or more than 576 rows, and as BT.601 in
    smaller ones, as players assume for files without tags.

    Args:
        path: the file.
        frames: the frames in order; those of another size than the first are scaled to its size.
        fps: frames per second.
        sound: `av.AudioFrame`s of one rate and layout, encoded as AAC, or `av.Packet`s of one stream, copied.
        times: display times of the frames in seconds, increasing, the first at least 0. Without a time for the end,
            the last frame lasts as long as the one before. None for a constant rate.

    Raises:
        WriteError: the file cannot be written. Errors raised by `frames` and `sound` are passed on unchanged.
    """
    import av.error

    foreign = None

    def watch(items: Iterable) -> Iterator:
        nonlocal foreign
        try:
            yield from items
        except BaseException as error:
            foreign = error
            raise

    try:
        with written_whole(path) as temporary:
            _encode(temporary, watch(frames), fps, watch(sound or ()), times)
    except (OSError, av.error.FFmpegError) as error:
        if error is foreign:
            raise
        raise WriteError(path, error) from error


def _encode(file: Path, frames: Iterator, fps: float, sound: Iterator, times) -> None:
    import av
    from av.video.reformatter import VideoReformatter

    from kvzoo.media.containers import create_container

    first, piece = next(frames, None), next(sound, None)
    if first is None:
        return
    base, stamps = _clock(fps, times)
    with create_container(file) as container:
        stream = container.add_stream("libx264", rate=_rate(fps))
        stream.height, stream.width = first.shape[:2]
        # With a variable rate, frames stored out of order would make the stream's duration wrong.
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "18"} | ({"bf": "0"} if base == Fraction(1, TICKS) else {})
        stream.codec_context.time_base = base
        matrix = _tag_colours(stream.codec_context)
        copies = isinstance(piece, av.Packet)
        track = piece and _sound_track(container, piece)
        converter, durations = VideoReformatter(), {}  # of frames in the encoder, by time stamp

        def mux(frame: av.VideoFrame | None) -> None:
            for packet in stream.encode(frame):
                packet.duration = durations.pop(packet.pts)
                container.mux(packet)

        def mux_sound(until: float) -> None:
            nonlocal piece
            while piece is not None and _seconds(piece) < until:
                if copies:
                    piece.stream = track
                container.mux(piece if copies else track.encode(piece))
                piece = next(sound, None)

        for number, image in enumerate(chain([first], frames)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame = converter.reformat(
                frame, stream.width, stream.height, "yuv420p", dst_colorspace=matrix, dst_color_range="MPEG"
            )
            begin, end = stamps(number), stamps(number + 1)
            frame.pts, frame.time_base, durations[begin] = begin, base, end - begin
            mux(frame)
            # A container holds packets back until all its streams have reached the same time.
            mux_sound(end * base)
        mux(None)
        mux_sound(math.inf)
        if track and not copies:
            container.mux(track.encode())


def _seconds(piece) -> float:
    return float(piece.pts * piece.time_base)


def _sound_track(container, piece):
    """Add the stream for copying packets or encoding frames of sound, given the first one."""
    import av

    if isinstance(piece, av.Packet):
        return container.add_stream_from_template(piece.stream)
    track = container.add_stream("aac", rate=piece.sample_rate, layout=piece.layout.name)
    track.bit_rate = BITS * piece.layout.nb_channels
    return track


def _tag_colours(context) -> str:
    """Tag a stream's colours as players assume for its size; return the matrix for converting them."""
    hd = context.width >= 1280 or context.height > 576
    context.color_range = 1  # 16 to 235
    context.colorspace = context.color_primaries = context.color_trc = 1 if hd else 6  # BT.709, or SMPTE 170M: BT.601
    return "ITU709" if hd else "ITU601"


def _clock(fps: float, times: Sequence[float] | None) -> tuple[Fraction, Callable[[int], int]]:
    """Return the seconds per time stamp, and a function from frame number to stamp; the last is the end."""
    rate = _rate(fps)
    if times is None:
        return 1 / rate, int
    times = np.asarray(times, float)
    if is_steady(times, fps):
        return 1 / rate, int
    numbers = np.arange(len(times))
    stamps = np.maximum.accumulate(np.round(times * TICKS).astype(np.int64) - numbers) + numbers
    last = int(stamps[-1] - stamps[-2]) if len(stamps) > 1 else round(TICKS / fps)
    return Fraction(1, TICKS), [*stamps.tolist(), int(stamps[-1]) + last].__getitem__


def is_steady(times: np.ndarray, fps: float) -> bool:
    """Return whether display times in seconds are those of a constant rate, except for rounding."""
    rate = float(_rate(fps))
    return bool(np.abs(times - np.arange(len(times)) / rate).max() <= MS + 0.01 / rate)


def _rate(fps: float) -> Fraction:
    ntsc = Fraction(1000 * round(fps), 1001)  # 29.97 and its like
    if abs(ntsc - fps) < 1e-5 * fps:
        return ntsc
    return Fraction(fps).limit_denominator(1001) or Fraction(fps).limit_denominator(10**6)


def _pil(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
