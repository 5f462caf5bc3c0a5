"""Transfer the sound of a video to another one, unchanged or at a varying speed (FFmpeg's atempo), through PyAV."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

import av
import av.error
import numpy as np

from kvzoo.media.containers import open_container

RATE = 48_000  # samples per second
PIECE = RATE // 2  # samples that are stretched at one speed
AROUND = RATE // 10  # samples of context for the filter at each end of a piece
FADE = RATE // 100  # samples of cross-fade between pieces
GAP = 0.05  # seconds; larger gaps are filled with silence, larger overlaps are cut
PAUSE = 3600.0  # seconds; a longer silence is an error of the file

# Codecs that `write_mp4` copies into its containers; all others are decoded and encoded as AAC.
COPIED = {"aac", "alac", "mp3", "ac3", "eac3", "opus", "flac"}
IN_PACKETS = {"mp3", "ac3", "eac3"}  # their packets contain what the headers of the others do
STREAMED = {"mpegts", "mpeg", "avi"}  # containers in which rate and layout may change midway, or packets lack times
AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}  # by channels


@dataclass(frozen=True)
class Sound:
    """The sound of a file, for another video.

    Attributes:
        frames: for `write_mp4`, with times in seconds from the first frame of the video; None if there is no sound.
        note: what is left out of the sound, in words; "" if nothing is.
        delay: seconds by which the sound begins before the first frame, if more than GAP; times of `frames` then
            count from the beginning of the sound.
    """

    frames: Iterator[av.AudioFrame | av.Packet] | None = None
    note: str = ""
    delay: float = 0.0


def has_sound(path: str | os.PathLike) -> bool:
    """Return whether a file has a sound track."""
    with open_container(path) as container:
        return bool(container.streams.audio)


def kept_sound(path: str | os.PathLike, begin: float) -> Sound:
    """Return the sound of a file unchanged: as packets if .mp4 and .mkv support its codec, else decoded.

    Args:
        path: the file.
        begin: time of its first frame, on the file's own clock.
    """
    with open_container(path) as container:
        stream, note = _sound_stream(container)
        if stream is None:
            return Sound(None, note)
        first = begin if stream.start_time is None else float(stream.start_time * stream.time_base)
        context, name = stream.codec_context, stream.codec_context.codec.canonical_name
        copies = name in COPIED and (context.extradata or name in IN_PACKETS) and container.format.name not in STREAMED
        rate = context.sample_rate if context.sample_rate in AAC_RATES else RATE
        layout = LAYOUTS.get(context.layout.nb_channels, "stereo")
    delay = begin - first if begin - first > GAP else 0.0
    sound = _copy(path, begin - delay) if copies else _decode(path, begin - delay, rate, layout)
    return _with_first_frame(sound, note, delay)


def stretched_sound(path: str | os.PathLike, seconds: np.ndarray, speeds: np.ndarray) -> Sound:
    """Return the sound of a file at a varying speed; the arguments are those of `stretch`."""
    with open_container(path) as container:
        stream, note = _sound_stream(container)
    return Sound(None, note) if stream is None else _with_first_frame(stretch(path, seconds, speeds), note)


def _with_first_frame(sound: Iterator, note: str, delay: float = 0.0) -> Sound:
    first = next(sound, None)
    if first is None:
        return Sound(None, "its sound cannot be decoded and is left out")
    return Sound(chain([first], sound), note, delay)


def stretch(path: str | os.PathLike, seconds: np.ndarray, speeds: np.ndarray) -> Iterator[av.AudioFrame]:
    """Yield a file's sound at a varying speed with its pitch preserved: stereo float at RATE.

    Each PIECE is stretched separately, at its mean speed and to its exact length, so that errors do not add up.

    Args:
        path: a file with a decodable sound track.
        seconds: (N + 1,) increasing times in the file; the sound begins at the first and ends at the last.
        speeds: (N,) speeds of the spans between the times, 0.5 to 100.
    """
    ends = np.concatenate([[0.0], np.cumsum(np.diff(seconds) / speeds)])
    fade, previous, position = np.linspace(0, 1, FADE, dtype=np.float32)[:, None], None, 0
    for first, last, sound in _pieces(path, seconds[0], seconds[-1]):
        begin, end = np.interp(seconds[0] + np.array([first, last]) / RATE, seconds, ends)
        count = round(end * RATE) - position
        if not count:
            continue
        speed = (last - first) / RATE / (end - begin)
        piece = np.zeros((count + FADE, 2), np.float32)
        whole = _at_speed(sound, speed)[round(AROUND / speed) :][: len(piece)]
        piece[: len(whole)] = whole
        if previous is not None:
            overlap = min(FADE, count)
            piece[:overlap] = fade[:overlap] * piece[:overlap] + (1 - fade[:overlap]) * previous[:overlap]
        previous = piece[count:]
        frame = av.AudioFrame.from_ndarray(piece[:count].reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, position, Fraction(1, RATE)
        position += count
        yield frame


def _at_speed(sound: np.ndarray, speed: float) -> np.ndarray:
    """Return sound (N, 2) at another speed, by FFmpeg's atempo."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=RATE, format="flt", layout="stereo", time_base=Fraction(1, RATE))
    # Above 2 one filter would skip samples; several in a row blend them.
    number = max(1, math.ceil(math.log2(speed)))
    steps = [graph.add("atempo", f"{speed ** (1 / number):.6f}") for _ in range(number)]
    graph.link_nodes(source, *steps, graph.add("abuffersink")).configure()
    frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="flt", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
    graph.push(frame)
    graph.push(None)
    parts = []
    while True:
        try:
            parts.append(graph.pull().to_ndarray().reshape(-1, 2))
        except (av.error.BlockingIOError, av.error.EOFError):
            return np.concatenate(parts)


def _pieces(path: str | os.PathLike, begin: float, end: float) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (first, last, sound) for each piece of a file's sound, with AROUND more samples on each side."""
    total, first = round((end - begin) * RATE), 0
    buffer = np.zeros((AROUND, 2), np.float32)
    for samples in chain(_samples(path, begin), [None]):
        if samples is not None:
            buffer = np.concatenate([buffer, samples])
        available = first + len(buffer) - AROUND
        while first < min(total, available) and (samples is None or available >= first + PIECE + AROUND):
            last = min(first + PIECE, total, available)
            sound = buffer[: last - first + 2 * AROUND]
            yield first, last, np.pad(sound, ((0, last - first + 2 * AROUND - len(sound)), (0, 0)))
            buffer, first = buffer[last - first :], last
        if first >= total:
            return


def _copy(path: str | os.PathLike, begin: float) -> Iterator[av.Packet]:
    """Yield the packets of a file's sound, with times relative to `begin`."""
    with open_container(path) as container:
        stream, _ = _sound_stream(container)
        shift, last = round(begin / stream.time_base), -1
        for packet in _packets(container, stream):
            # Containers require increasing times; times before 0 would shift all frames.
            if packet.size and packet.pts is not None and not packet.is_corrupt and packet.pts - shift > last:
                last = packet.pts = packet.dts = packet.pts - shift
                yield packet


def _decode(path: str | os.PathLike, begin: float, rate: int, layout: str) -> Iterator[av.AudioFrame]:
    """Yield a file's sound from `begin` on, at one rate and in one layout even if they change in the file."""
    position = 0
    for samples in _samples(path, begin, rate, layout):
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, position, Fraction(1, rate)
        position += len(samples)
        yield frame


def _samples(path: str | os.PathLike, begin: float, rate: int = RATE, layout: str = "stereo") -> Iterator[np.ndarray]:
    """Yield a file's sound from `begin` on, float32 (N, channels), with silence in its gaps so that times are kept."""
    channels, position, offset = av.AudioLayout(layout).nb_channels, 0, 0
    with open_container(path) as container:
        stream, _ = _sound_stream(container)
        for time, samples, changed in _resample(_packets(container, stream), rate, layout, channels):
            place = position if time is None else round((time - begin) * rate) - offset
            if not changed and abs(place - position) < GAP * rate:
                place = position
            if place - position > PAUSE * rate:
                offset, place = offset + place - position, position
            while place > position:
                silence = np.zeros((min(place - position, rate), channels), np.float32)
                position += len(silence)
                yield silence
            samples = samples[position - place :]
            if len(samples):
                position += len(samples)
                yield samples


def _resample(
    packets: Iterator, rate: int, layout: str, channels: int
) -> Iterator[tuple[float | None, np.ndarray, bool]]:
    """Yield the time of each decoded frame, its samples (N, channels), and whether rate or layout change with it.

    Damaged packets are skipped.
    """
    resampler = form = None
    for packet in packets:
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        for frame in frames:
            if changed := form != (frame.format.name, frame.layout.name, frame.sample_rate):
                form = frame.format.name, frame.layout.name, frame.sample_rate
                resampler = av.AudioResampler(format="flt", layout=layout, rate=rate)
            parts = [part.to_ndarray().reshape(-1, channels) for part in resampler.resample(frame)]
            if parts:
                yield frame.time, np.concatenate(parts), changed


def _packets(container, stream) -> Iterator[av.Packet]:
    """Yield a stream's packets as far as the file can be read."""
    try:
        yield from container.demux(stream)
    except (OSError, av.error.FFmpegError):
        return


def _sound_stream(container) -> tuple[av.AudioStream | None, str]:
    """Return a file's first decodable sound track, and what is left out, in words."""
    tracks = container.streams.audio
    stream = next((each for each in tracks if each.codec_context is not None), None)
    if tracks and stream is None:
        return None, "there is no decoder for its sound, which is left out"
    left_out = len(tracks) - 1
    note = f"its first sound track is kept; {left_out} more {'is' if left_out == 1 else 'are'} left out"
    return stream, note if left_out > 0 else ""
