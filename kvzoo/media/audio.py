"""Sound of a video for another one: as it is, or at a speed that changes (FFmpeg's atempo), through PyAV."""

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

RATE = 48_000  # samples a second
PIECE = RATE // 2  # samples that are stretched at one speed
AROUND = RATE // 10  # samples beyond a piece at each end that the filter hears with it
FADE = RATE // 100  # samples in which a piece passes into the next
GAP = 0.05  # seconds by which times may be off before silence is put in, or sound left out
PAUSE = 3600.0  # seconds; a longer silence is a mistake of the file

# What is copied into the containers that `write_mp4` writes; everything else is decoded and encoded as AAC.
COPIED = {"aac", "alac", "mp3", "ac3", "eac3", "opus", "flac"}
IN_PACKETS = {"mp3", "ac3", "eac3"}  # their packets say themselves what the others' headers do
STREAMED = {"mpegts", "mpeg", "avi"}  # containers in which rate and layout may change midway, or packets lack times
AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}  # by channels


@dataclass(frozen=True)
class Sound:
    """A file's sound, for another video.

    Attributes:
        frames: for `write_mp4`, in seconds from the first frame of the file's video on; None where there is none.
        note: what of it is left out, in words; "" where nothing is.
        delay: seconds by which it begins before the first frame, where that is more than GAP; times of `frames` then
            count from its own beginning.
    """

    frames: Iterator[av.AudioFrame | av.Packet] | None = None
    note: str = ""
    delay: float = 0.0


def has_sound(path: str | os.PathLike) -> bool:
    """Return whether a file has a sound track."""
    with open_container(path) as container:
        return bool(container.streams.audio)


def kept_sound(path: str | os.PathLike, begin: float) -> Sound:
    """Return the sound of a file as it is: copied where .mp4 and .mkv hold it, else for encoding.

    Args:
        path: of the file.
        begin: when its first frame is shown, in the file's own time.
    """
    with open_container(path) as container:
        stream, note = _sound_stream(container)
        if stream is None:
            return Sound(None, note)
        first = begin if stream.start_time is None else float(stream.start_time * stream.time_base)
        context, name = stream.codec_context, stream.codec_context.codec.canonical_name
        copied = name in COPIED and (context.extradata or name in IN_PACKETS) and container.format.name not in STREAMED
        rate = context.sample_rate if context.sample_rate in AAC_RATES else RATE
        layout = LAYOUTS.get(context.layout.nb_channels, "stereo")
    delay = begin - first if begin - first > GAP else 0.0
    sound = _copied(path, begin - delay) if copied else _decoded(path, begin - delay, rate, layout)
    return _peeked(sound, note, delay)


def stretched_sound(path: str | os.PathLike, seconds: np.ndarray, speeds: np.ndarray) -> Sound:
    """Return the sound of a file at a speed that changes; the arguments are those of `stretched`."""
    with open_container(path) as container:
        stream, note = _sound_stream(container)
    return Sound(None, note) if stream is None else _peeked(stretched(path, seconds, speeds), note)


def _peeked(sound: Iterator, note: str, delay: float = 0.0) -> Sound:
    first = next(sound, None)
    if first is None:
        return Sound(None, "its sound cannot be decoded and is left out")
    return Sound(chain([first], sound), note, delay)


def stretched(path: str | os.PathLike, seconds: np.ndarray, speeds: np.ndarray) -> Iterator[av.AudioFrame]:
    """Yield a file's sound at a speed that changes, its pitch kept: stereo float at RATE.

    Each PIECE is stretched by itself, at its own mean speed and to its own length, so that what is off never adds up.

    Args:
        path: a file with a sound track that can be decoded.
        seconds: (N + 1,) times in the file, rising; the sound begins at the first and ends at the last.
        speeds: (N,) of the spans between them, 0.5 to 100.
    """
    ends = np.concatenate([[0.0], np.cumsum(np.diff(seconds) / speeds)])
    fade, before, made = np.linspace(0, 1, FADE, dtype=np.float32)[:, None], None, 0
    for first, last, sound in _pieces(path, seconds[0], seconds[-1]):
        begin, end = np.interp(seconds[0] + np.array([first, last]) / RATE, seconds, ends)
        count = round(end * RATE) - made
        if not count:
            continue
        speed = (last - first) / RATE / (end - begin)
        piece = np.zeros((count + FADE, 2), np.float32)
        whole = _at_speed(sound, speed)[round(AROUND / speed) :][: len(piece)]
        piece[: len(whole)] = whole
        if before is not None:
            shared = min(FADE, count)
            piece[:shared] = fade[:shared] * piece[:shared] + (1 - fade[:shared]) * before[:shared]
        before = piece[count:]
        frame = av.AudioFrame.from_ndarray(piece[:count].reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, made, Fraction(1, RATE)
        made += count
        yield frame


def _at_speed(sound: np.ndarray, speed: float) -> np.ndarray:
    """Return a sound (N, 2) as FFmpeg's atempo plays it."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=RATE, format="flt", layout="stereo", time_base=Fraction(1, RATE))
    # Above 2 one filter would leave samples out where several in a row blend them.
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
    """Yield (first, last, sound): a piece of a file's sound from a time to another, with AROUND more on each side."""
    total, first = round((end - begin) * RATE), 0
    held = np.zeros((AROUND, 2), np.float32)
    for samples in chain(_samples(path, begin), [None]):
        if samples is not None:
            held = np.concatenate([held, samples])
        known = first + len(held) - AROUND
        while first < min(total, known) and (samples is None or known >= first + PIECE + AROUND):
            last = min(first + PIECE, total, known)
            sound = held[: last - first + 2 * AROUND]
            yield first, last, np.pad(sound, ((0, last - first + 2 * AROUND - len(sound)), (0, 0)))
            held, first = held[last - first :], last
        if first >= total:
            return


def _copied(path: str | os.PathLike, begin: float) -> Iterator[av.Packet]:
    """Yield the packets of a file's sound, with times from `begin` on."""
    with open_container(path) as container:
        stream, _ = _sound_stream(container)
        shift, last = round(begin / stream.time_base), -1
        for packet in _packets(container, stream):
            # Containers refuse times that do not rise; times before 0 would move all frames.
            if packet.size and packet.pts is not None and not packet.is_corrupt and packet.pts - shift > last:
                last = packet.pts = packet.dts = packet.pts - shift
                yield packet


def _decoded(path: str | os.PathLike, begin: float, rate: int, layout: str) -> Iterator[av.AudioFrame]:
    """Yield a file's sound from a time on, at one rate and in one layout whatever changes in it."""
    done = 0
    for samples in _samples(path, begin, rate, layout):
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, done, Fraction(1, rate)
        done += len(samples)
        yield frame


def _samples(path: str | os.PathLike, begin: float, rate: int = RATE, layout: str = "stereo") -> Iterator[np.ndarray]:
    """Yield a file's sound from a time on, float32 (N, channels): silence where it has none, each sample in its time."""
    channels, done, offset = av.AudioLayout(layout).nb_channels, 0, 0
    with open_container(path) as container:
        stream, _ = _sound_stream(container)
        for time, samples, changed in _resampled(_packets(container, stream), rate, layout, channels):
            place = done if time is None else round((time - begin) * rate) - offset
            if not changed and abs(place - done) < GAP * rate:
                place = done
            if place - done > PAUSE * rate:
                offset, place = offset + place - done, done
            while place > done:
                silence = np.zeros((min(place - done, rate), channels), np.float32)
                done += len(silence)
                yield silence
            samples = samples[done - place :]
            if len(samples):
                done += len(samples)
                yield samples


def _resampled(
    packets: Iterator, rate: int, layout: str, channels: int
) -> Iterator[tuple[float | None, np.ndarray, bool]]:
    """Yield the time of each decoded frame, its samples (N, channels), and whether rate or layout change with it.

    What comes of a damaged packet is left out.
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
    """Yield a stream's packets, as far as the file can be read."""
    try:
        yield from container.demux(stream)
    except (OSError, av.error.FFmpegError):
        return


def _sound_stream(container) -> tuple[av.AudioStream | None, str]:
    """Return a file's first sound track that can be decoded, and what is left out, in words."""
    tracks = container.streams.audio
    stream = next((each for each in tracks if each.codec_context is not None), None)
    if tracks and stream is None:
        return None, "there is no decoder for its sound, which is left out"
    left_out = len(tracks) - 1
    note = f"its first sound track is kept; {left_out} more {'is' if left_out == 1 else 'are'} left out"
    return stream, note if left_out > 0 else ""
