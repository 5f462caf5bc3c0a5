"""Speed up a video adaptively, as in SpeedNet: faster where it still looks natural.

The speed is estimated at eleven rates. For a threshold, the speed limit of a moment is the fastest rate that still
looks normal there. A smooth curve near the limits is shifted until the video has the requested duration; of nine
thresholds, the one whose curve is shifted least is used.

Benaim et al., CVPR 2020, section 4. Its weights alpha and beta are not published: SMOOTH and BETA were chosen for kvzoo.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np

from kvzoo.apps.outputs import check_file, edges_of
from kvzoo.apps.speed import RATES, check_run_and_video, estimate_speed
from kvzoo.data.videos import Stream, open_video
from kvzoo.errors import InputError
from kvzoo.files import writing, written_whole
from kvzoo.media.audio import Sound, stretched_sound
from kvzoo.media.clips import is_steady, write_mp4
from kvzoo.media.pages import render
from kvzoo.recipe.resolve import Recipe

THRESHOLDS = tuple(i / 10 for i in range(1, 10))
FASTEST = RATES[-1]
# Seconds in which the curve follows a step of the limits by 1 - 1/e: alpha is its square in frames.
SMOOTH = 0.5
# Times the number of frames: how much the mean weighs against one frame. As the smoothing keeps the mean, it moves
# the whole curve and nothing else, and what the search for the duration ends at does not depend on it.
BETA = 1.0


@dataclass(frozen=True)
class Speedup:
    """The result of `speedup`.

    Attributes:
        frames: number of frames of the video and of the result.
        fps: frames per second of both.
        threshold: the threshold used.
        limits: V, the speed limit of each frame, (N,).
        speeds: S, the speed of each frame, (N,).
        sound: whether the result has sound.
        left_out: rates at which the video has too few frames for an estimate.
        broken: what is wrong with the video; "" if nothing is.
        files: the files written.
        note: what is left out of its sound though it was requested, in words; "" if nothing is.
    """

    frames: tuple[int, int]
    fps: float
    threshold: float
    limits: np.ndarray = field(repr=False)
    speeds: np.ndarray = field(repr=False)
    sound: bool
    left_out: tuple[float, ...]
    broken: str
    files: tuple[Path, ...]
    note: str = ""


def speedup(
    run: str | os.PathLike,
    video: str | os.PathLike,
    out: str | os.PathLike,
    rate: float = 2.0,
    *,
    mode: str = "exact",
    stride: int | None = None,
    smooth: float = SMOOTH,
    sound: bool = True,
    compare: bool = False,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Speedup:
    """Write a video `rate` times as fast overall, faster where that looks natural, and a plot of its speed.

    Frames are dropped, never repeated or blended; the sound is stretched with them and keeps its pitch.

    Args:
        run: a run folder of a network trained with binary_speed.
        video: a video file.
        out: the file to write, .mp4; the plot is written next to it, as .png.
        rate: the video's duration divided by the result's, 1 to FASTEST.
        mode: as for `speed`.
        stride: as for `speed`.
        smooth: seconds in which the speed follows the limits.
        sound: whether to keep the sound.
        compare: also write a uniform speed-up, and a page for a blind comparison of both.
        overwrite: replace existing files.
        progress: called with the number of frames since the last call; each frame counts once for the estimate, and
            once for each video written.

    Raises:
        InputError: as for `speed`, `rate` or `smooth` is out of range, or a file cannot be written.
    """
    _, stream = check_request(run, video, out, rate, mode, stride, smooth, compare, overwrite)
    from kvzoo import zoo
    from kvzoo.media.plots import write_speedup

    estimate = estimate_speed(zoo.load(run), stream, RATES, mode, stride, progress)
    edges, fps = edges_of(stream, estimate.frames), estimate.fps
    threshold, limits, speeds = curve(1 - estimate.sped_up, estimate.rates, rate, smooth * fps, np.diff(edges) * fps)
    files = output_files(out, compare)
    frames, has_sound, note = _write(stream, files[0], speeds, sound, progress)
    write_speedup(files[1], Path(video).name, limits, speeds, rate, threshold, edges)
    if compare:
        _write(stream, files[2], np.full(len(speeds), rate), sound, progress)
        _write_page(files, Path(video).name, rate)
    return Speedup(
        (estimate.frames, frames),
        estimate.fps,
        threshold,
        limits,
        speeds,
        has_sound,
        estimate.left_out,
        estimate.broken,
        tuple(files),
        note,
    )


def check_request(
    run, video, out, rate, mode="exact", stride=None, smooth=SMOOTH, compare=False, overwrite=False
) -> tuple[Recipe, Stream]:
    """Validate the arguments without Keras and return the run's recipe and the opened video."""
    if not 1 <= rate <= FASTEST:
        raise InputError(f"--rate: must be from 1 to {FASTEST:.2f}. Received: {rate:g}")
    if not smooth > 0:
        raise InputError(f"--smooth: must be greater than 0. Received: {smooth:g}")
    check_file(out, (".mp4",), overwrite, video)
    for file in output_files(out, compare)[1:]:
        check_file(file, (file.suffix,), overwrite)
    return check_run_and_video("speedup", run, video, mode, stride)


def output_files(out: str | os.PathLike, compare: bool) -> list[Path]:
    """Return the files to write: video and plot, and with `compare` the uniform video and the page."""
    out = Path(out)
    extra = [out.with_name(f"{out.stem}_uniform.mp4"), out.with_name(f"{out.stem}_compare.html")]
    return [out, out.with_suffix(".png"), *(extra if compare else [])]


def curve(
    normal: np.ndarray, rates: tuple[float, ...], rate: float, decay: float, spans: np.ndarray | float = 1.0
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return (threshold, V, S): the speed limit and the speed of each frame, (N,) each.

    Args:
        normal: (rates, N) probability that the video at a rate is at normal speed.
        rates: increasing, the first 1.
        rate: the video's duration divided by the result's.
        decay: mean frames in which S follows a step of V by 1 - 1/e.
        spans: (N,) durations of the frames, in mean frames.
    """
    candidates = []
    for threshold in THRESHOLDS:
        limits = speed_limits(normal, rates, threshold)
        free = smooth_curve(limits, decay, spans=spans)
        speeds = fit_rate(free, rate, spans)
        candidates.append((np.abs(speeds - free).mean(), threshold, limits, speeds))
    return min(candidates, key=lambda candidate: candidate[:2])[1:]


def speed_limits(normal: np.ndarray, rates: tuple[float, ...], threshold: float) -> np.ndarray:
    """Return V: for each frame the fastest rate that looks normal, 1 if none does.

    Example:

        >>> import numpy as np
        >>> from kvzoo.apps.speedup import speed_limits
        >>> normal = np.array([[0.9, 0.9, 0.2], [0.8, 0.3, 0.1]])  # (rates, frames)
        >>> speed_limits(normal, rates=(1.0, 2.0), threshold=0.5).tolist()
        [2.0, 1.0, 1.0]
    """
    return np.where(normal > threshold, np.asarray(rates)[:, None], 1.0).max(0)


def smooth_curve(
    limits: np.ndarray,
    decay: float,
    rate: float | None = None,
    beta: float = BETA,
    spans: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Return the S that minimises sum (S - V)^2 + alpha sum (S')^2 + beta N (mean S - R)^2, sums being over time.

    The first two terms make a tridiagonal system; the third adds a matrix of rank one, for which Sherman and Morrison
    have a formula. As the tridiagonal matrix keeps constants, it shifts the curve by a constant.

    Args:
        limits: V, (N,).
        decay: the square root of alpha, in mean frames.
        rate: R; None to omit the third term.
        beta: its weight, times N.
        spans: (N,) durations of the frames, in mean frames.
    """
    from scipy.linalg import solve_banded

    count, spans = len(limits), np.broadcast_to(np.asarray(spans, float), len(limits))
    if count == 1:
        free = limits.astype(float)
    else:
        ties = decay**2 / spans[:-1]  # between each frame and the next
        bands = np.zeros((3, count))
        bands[0, 1:] = bands[2, :-1] = -ties
        bands[1] = spans + np.append(ties, 0) + np.append(0, ties)
        free = solve_banded((1, 1), bands, spans * limits)
    return free if rate is None else free + beta / (1 + beta) * (rate - np.average(free, weights=spans))


def fit_rate(free: np.ndarray, rate: float, spans: np.ndarray | float = 1.0) -> np.ndarray:
    """Return a curve shifted, and clipped to 1 and FASTEST, so that the video plays `rate` times as fast."""
    from scipy.optimize import brentq

    spans = np.broadcast_to(spans, len(free))

    def speeds(by: float) -> np.ndarray:
        return np.clip(free + by, 1.0, FASTEST)

    def too_slow(by: float) -> float:
        return np.average(1 / speeds(by), weights=spans) - 1 / rate

    lowest, highest = 1.0 - free.max(), FASTEST - free.min()
    if too_slow(lowest) <= 0:
        return speeds(lowest)
    if too_slow(highest) >= 0:
        return speeds(highest)
    return speeds(brentq(too_slow, lowest, highest, xtol=1e-9))


def frame_numbers(speeds: np.ndarray) -> np.ndarray:
    """Return the numbers of the frames to keep, increasing: those displayed at the middle of each output frame."""
    ends = np.cumsum(1 / speeds)
    count = max(1, round(ends[-1]))
    return np.minimum(np.searchsorted(ends, np.arange(count) + 0.5, side="right"), len(speeds) - 1)


def _write(stream: Stream, out: Path, speeds: np.ndarray, sound: bool, progress) -> tuple[int, bool, str]:
    """Write a video at varying speed; return its number of frames, whether it has sound, and a note on the sound."""
    numbers, edges, times = frame_numbers(speeds), edges_of(stream, len(speeds)), None
    if not is_steady(edges, stream.fps):
        # Kept frames have the times at which the sped-up video passes them.
        ends = np.concatenate([[0.0], np.cumsum(np.diff(edges) / speeds)])
        times = np.append(ends[numbers], ends[-1])
        times[0] = 0.0
    audio = stretched_sound(stream.path, stream.start + edges, speeds) if sound else Sound()
    write_mp4(out, _even(_select(stream, numbers, len(speeds), progress)), stream.fps, audio.frames, times)
    return len(numbers), audio.frames is not None, audio.note


def _select(stream: Stream, numbers: np.ndarray, frames: int, progress) -> Iterator[np.ndarray]:
    chosen = set(numbers.tolist())
    for number, frame in zip(range(frames), stream, strict=False):
        if number in chosen:
            yield frame
        if progress:
            progress(1)


def _even(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield frames of even size, as H.264 requires: an odd last row or column is cropped."""
    for frame in frames:
        height, width = frame.shape[:2]
        yield frame[: height - height % 2, : width - width % 2]


def _write_page(files: list[Path], name: str, rate: float) -> None:
    adaptive, plot, uniform, page = files
    with contextlib.closing(iter(open_video(adaptive))) as frames:
        height, width = next(frames).shape[:2]
    text = render(
        "apps/speedup.html.j2",
        name=name,
        rate=f"{rate:g}",
        adaptive=_address(adaptive),
        uniform=_address(uniform),
        plot=_address(plot),
        ratio=f"{width} / {height}",
    )
    with writing(page), written_whole(page) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _address(file: Path) -> str:
    return quote(os.fsencode(file.name))
