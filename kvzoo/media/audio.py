"""Sound that follows a video whose speed changes: FFmpeg's atempo, through PyAV."""

import math
import os
from collections.abc import Iterator
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
GAP = RATE // 10  # samples by which times may be off before silence is put in, or sound left out


def has_sound(path: str | os.PathLike) -> bool:
    """Return whether a file has a sound track that can be decoded."""
    with open_container(path) as container:
        return _sound_stream(container) is not None


def stretched(path: str | os.PathLike, seconds: np.ndarray, speeds: np.ndarray) -> Iterator[av.AudioFrame]:
    """Yield a file's sound at a speed that changes, its pitch kept: stereo float at RATE.

    Each PIECE is stretched by itself, at its own mean speed and to its own length, so that what is off never adds up.

    Args:
        path: a file of which `has_sound` is true.
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


def _samples(path: str | os.PathLike, begin: float) -> Iterator[np.ndarray]:
    """Yield a file's sound from a time on, float32 (N, 2) at RATE: silence where it has none, each sample in its time."""
    with open_container(path) as container:
        stream = _sound_stream(container)
        resampler, given = av.AudioResampler(format="flt", layout="stereo", rate=RATE), 0
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue
            for frame in frames:
                samples = np.concatenate([part.to_ndarray().reshape(-1, 2) for part in resampler.resample(frame)])
                late = given if frame.time is None else round((frame.time - begin) * RATE)
                if given and abs(late - given) < GAP:
                    late = given
                if late > given:
                    yield np.zeros((late - given, 2), np.float32)
                    given = late
                samples = samples[given - late :]
                given += len(samples)
                yield samples


def _sound_stream(container) -> av.AudioStream | None:
    return next((stream for stream in container.streams.audio if stream.codec_context is not None), None)
