"""A video made shorter where nobody minds: SpeedNet's adaptive speed-up.

The video is judged at eleven rates. For a threshold, the speed that a moment allows is the fastest rate that still
seems normal there. A smooth curve near those speeds is lifted or lowered until the video is as short as asked; of
nine thresholds the one is taken whose curve has to be moved least.

Benaim et al., CVPR 2020, section 4. Its weights alpha and beta are not published: SMOOTH and BETA are chosen here.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np

from kvzoo.apps.outputs import check_file, edges_of
from kvzoo.apps.speed import RATES, check_run_and_video, judge
from kvzoo.data.videos import Stream, open_video
from kvzoo.errors import InputError
from kvzoo.media.audio import Sound, stretched_sound
from kvzoo.media.clips import is_steady, write_mp4, writing, written_whole
from kvzoo.media.pages import render
from kvzoo.recipe.resolve import Recipe

THRESHOLDS = tuple(i / 10 for i in range(1, 10))
FASTEST = RATES[-1]
# Seconds in which the curve follows a step of the wanted speeds by 1 - 1/e: alpha is the square of it in frames.
SMOOTH = 0.5
# Times the number of frames: how much the mean weighs against one frame. As the smoothing keeps the mean, it moves
# the whole curve and nothing else, and what the search for the duration ends at does not depend on it.
BETA = 1.0


@dataclass(frozen=True)
class Speedup:
    """What was written.

    Attributes:
        frames: of the video, and of the shorter one.
        fps: frames a second of both.
        threshold: the one that was taken.
        allowed: V, the speed that each frame allows, (N,).
        speeds: S, the speed that each frame plays at, (N,).
        sound: whether the sound came along.
        left_out: rates at which the video has too few frames to be judged.
        broken: what was wrong with the video; "" where nothing was.
        files: what was written.
        note: what of its sound is left out unasked, in words; "" where nothing is.
    """

    frames: tuple[int, int]
    fps: float
    threshold: float
    allowed: np.ndarray = field(repr=False)
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
    """Write a video `rate` times as fast on the whole, faster where that seems natural, and a plot of its speed.

    Frames are left out, none is repeated or mixed; the sound is stretched with them, its pitch kept.

    Args:
        run: a run folder of a network trained with binary_speed.
        video: a video file.
        out: the file to write, .mp4; the plot goes beside it, as .png.
        rate: 1 to FASTEST, the video's duration over that of the result.
        mode: of the windows, as `speed` has it.
        stride: of the windows, as `speed` has it.
        smooth: seconds in which the speed follows what the video allows.
        sound: whether to keep it.
        compare: write the uniform speed-up, too, and a page that shows both without saying which is which.
        overwrite: whether the files may be there already.
        progress: called with the number of frames since the last call: each of the video once as it is judged, and
            once for every time that it is written.

    Raises:
        InputError: what `speed` refuses of run and video, a rate or a smoothness that cannot be, files that cannot be
            written as wanted.
    """
    _, stream = check(run, video, out, rate, mode, stride, smooth, compare, overwrite)
    from kvzoo import zoo
    from kvzoo.media.plots import write_speedup

    seen = judge(zoo.load(run), stream, RATES, mode, stride, progress)
    edges = edges_of(stream, seen.frames)
    threshold, wanted, speeds = curve(1 - seen.sped_up, seen.rates, rate, smooth * seen.fps, np.diff(edges) * seen.fps)
    files = written(out, compare)
    kept, heard, note = _write(stream, files[0], speeds, sound, progress)
    write_speedup(files[1], Path(video).name, wanted, speeds, rate, threshold, edges)
    if compare:
        _write(stream, files[2], np.full(len(speeds), rate), sound, progress)
        _write_page(files, Path(video).name, rate)
    return Speedup(
        (seen.frames, kept), seen.fps, threshold, wanted, speeds, heard, seen.left_out, seen.broken, tuple(files), note
    )


def check(
    run, video, out, rate, mode="exact", stride=None, smooth=SMOOTH, compare=False, overwrite=False
) -> tuple[Recipe, Stream]:
    """Return a run's recipe and the opened video; refuses what can be refused without Keras."""
    if not 1 <= rate <= FASTEST:
        raise InputError(f"--rate: from 1 to {FASTEST:.2f} is wanted. Received: {rate:g}")
    if not smooth > 0:
        raise InputError(f"--smooth: more than 0 seconds are wanted. Received: {smooth:g}")
    check_file(out, (".mp4",), overwrite, video)
    for file in written(out, compare)[1:]:
        check_file(file, (file.suffix,), overwrite)
    return check_run_and_video("speedup", run, video, mode, stride)


def written(out: str | os.PathLike, compare: bool) -> list[Path]:
    """Return the files that are written: video and plot, and with `compare` the uniform video and the page."""
    out = Path(out)
    beside = [out.with_name(f"{out.stem}_uniform.mp4"), out.with_name(f"{out.stem}_compare.html")]
    return [out, out.with_suffix(".png"), *(beside if compare else [])]


def curve(
    normal: np.ndarray, rates: tuple[float, ...], rate: float, decay: float, spans: np.ndarray | float = 1.0
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return (threshold, V, S): the speed that each frame allows and the one that it gets, (N,) each.

    Args:
        normal: (rates, N) probability that the video at a rate is at normal speed.
        rates: rising, the first 1.
        rate: the video's duration over that of the result.
        decay: mean frames in which S follows a step of V by 1 - 1/e.
        spans: (N,) how long each frame is shown, in mean frames.
    """
    found = []
    for threshold in THRESHOLDS:
        wanted = allowed(normal, rates, threshold)
        free = smoothed(wanted, decay, spans=spans)
        speeds = lifted(free, rate, spans)
        found.append((np.abs(speeds - free).mean(), threshold, wanted, speeds))
    return min(found, key=lambda each: each[:2])[1:]


def allowed(normal: np.ndarray, rates: tuple[float, ...], threshold: float) -> np.ndarray:
    """Return V: for each frame the fastest rate that seems normal, 1 where none does."""
    return np.where(normal > threshold, np.asarray(rates)[:, None], 1.0).max(0)


def smoothed(
    wanted: np.ndarray,
    decay: float,
    rate: float | None = None,
    beta: float = BETA,
    spans: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Return the S that minimises sum (S - V)^2 + alpha sum (S')^2 + beta N (mean S - R)^2, sums being over time.

    The first two terms make a tridiagonal system; the third adds a matrix of rank one, for which Sherman and Morrison
    have a formula. As the tridiagonal matrix keeps constants, it comes down to lifting or lowering the curve.

    Args:
        wanted: V, (N,).
        decay: the square root of alpha, in mean frames.
        rate: R; without the third term when None.
        beta: its weight, times N.
        spans: (N,) how long each frame is shown, in mean frames.
    """
    from scipy.linalg import solve_banded

    count, spans = len(wanted), np.broadcast_to(np.asarray(spans, float), len(wanted))
    if count == 1:
        free = wanted.astype(float)
    else:
        ties = decay**2 / spans[:-1]  # between each frame and the next
        bands = np.zeros((3, count))
        bands[0, 1:] = bands[2, :-1] = -ties
        bands[1] = spans + np.append(ties, 0) + np.append(0, ties)
        free = solve_banded((1, 1), bands, spans * wanted)
    return free if rate is None else free + beta / (1 + beta) * (rate - np.average(free, weights=spans))


def lifted(free: np.ndarray, rate: float, spans: np.ndarray | float = 1.0) -> np.ndarray:
    """Return a curve lifted or lowered, and kept within 1 and FASTEST, so that the video plays `rate` times as fast."""
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


def shown(speeds: np.ndarray) -> np.ndarray:
    """Return the numbers of the frames that are kept, rising: in the middle of each frame's time the one then shown."""
    ends = np.cumsum(1 / speeds)
    count = max(1, round(ends[-1]))
    return np.minimum(np.searchsorted(ends, np.arange(count) + 0.5, side="right"), len(speeds) - 1)


def _write(stream: Stream, out: Path, speeds: np.ndarray, sound: bool, progress) -> tuple[int, bool, str]:
    """Write a video at changing speed; return how many frames it has, whether it has sound, and a note on it."""
    kept, edges, times = shown(speeds), edges_of(stream, len(speeds)), None
    if not is_steady(edges, stream.fps):
        # Frames that are kept are shown as fast as the video passes there.
        ends = np.concatenate([[0.0], np.cumsum(np.diff(edges) / speeds)])
        times = np.append(ends[kept], ends[-1])
        times[0] = 0.0
    heard = stretched_sound(stream.path, stream.start + edges, speeds) if sound else Sound()
    write_mp4(out, _even(_chosen(stream, kept, len(speeds), progress)), stream.fps, heard.frames, times)
    return len(kept), heard.frames is not None, heard.note


def _chosen(stream: Stream, kept: np.ndarray, frames: int, progress) -> Iterator[np.ndarray]:
    wanted = set(kept.tolist())
    for number, frame in zip(range(frames), stream, strict=False):
        if number in wanted:
            yield frame
        if progress:
            progress(1)


def _even(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield frames without the last row and column where their number is odd, which H.264 does not take."""
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
    with writing(page), written_whole(page) as beside:
        beside.write_text(text, encoding="utf-8")


def _address(file: Path) -> str:
    return quote(os.fsencode(file.name))
