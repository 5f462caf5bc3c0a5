"""How fast a video seems to a run's speed network: the probability of "sped up" over time, at eleven rates.

    exact   a window of as many frames as the network was trained on at each place, every one a pass of its own
    fast    long chunks, whose convolutions all windows share (kvzoo/models/sliding.py), lifted or lowered to what a
            few separate windows say

A window's answer belongs to its middle; between windows it is interpolated, before the first and after the last it
is theirs.
"""

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kvzoo.apps.outputs import check_folder, edges_of
from kvzoo.apps.streams import ahead, batches, windows_at_rates
from kvzoo.data.source import square
from kvzoo.data.videos import Stream, open_video
from kvzoo.errors import InputError, did_you_mean
from kvzoo.media.clips import writing, written_whole
from kvzoo.recipe.resolve import Recipe
from kvzoo.run.folder import RunFolder

RATES = tuple(1.25**i for i in range(11))  # 1 to 9.31, of SpeedNet's adaptive speed-up
MODES = ("exact", "fast")
BATCH = 8  # windows a pass
PINS = 4  # windows' lengths from one separate window to the next, in the fast mode
FRESH = 128  # frames of a chunk that are not shared with its neighbours, at least


@dataclass(frozen=True)
class Speed:
    """What was seen of one video.

    Attributes:
        frames: how many, at rate 1.
        fps: frames a second.
        rates: those at which the video has frames enough for a window.
        left_out: the others.
        sped_up: float64 (rates, frames): probability that the video at this rate is sped up, by frame of the video
            at rate 1.
        windows: for each rate (places in frames of the video at rate 1, logits) of its windows.
        edges: (frames + 1,) seconds at which frames are shown, and the last one ends.
        broken: what was wrong with the video; "" where nothing was.
    """

    frames: int
    fps: float
    rates: tuple[float, ...]
    left_out: tuple[float, ...]
    sped_up: np.ndarray = field(repr=False)
    windows: list[tuple[np.ndarray, np.ndarray]] = field(repr=False)
    edges: np.ndarray = field(repr=False)
    broken: str = ""


def speed(
    run: str | os.PathLike,
    video: str | os.PathLike,
    out: str | os.PathLike,
    *,
    mode: str = "exact",
    stride: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Speed:
    """Write a video's P(sped up) over time, at 1x and at each of RATES, as speed.csv and speed.png.

    Args:
        run: a run folder of a network trained with binary_speed.
        video: a video file; its centred square is looked at.
        out: the folder; it must be empty or not there.
        mode: one of MODES.
        stride: frames from window to window, at each rate, of the exact mode; an eighth of a window when None.
        progress: called with the number of frames seen since the last call.

    Raises:
        InputError: no run, no model yet, a run of another kind, no such video or fewer frames in it than the network
            takes, an unknown mode, a stride that does not fit, a folder that cannot be written.
    """
    _, stream = check(run, video, out, mode, stride)
    from kvzoo import zoo
    from kvzoo.media.plots import write_speed

    seen = judge(zoo.load(run), stream, RATES, mode, stride, progress)
    folder = Path(out)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _write_csv(folder / "speed.csv", seen)
    write_speed(folder / "speed.png", Path(video).name, seen.sped_up, seen.rates, seen.edges)
    return seen


def check(run, video, out, mode: str = "exact", stride: int | None = None) -> tuple[Recipe, Stream]:
    """Return a run's recipe and the opened video; refuses what can be refused without Keras."""
    recipe, stream = check_run_and_video("speed", run, video, mode, stride)
    check_folder(out)
    return recipe, stream


def check_run_and_video(verb: str, run, video, mode: str = "exact", stride: int | None = None) -> tuple[Recipe, Stream]:
    """Return a speed run's recipe and the opened video.

    Raises:
        InputError: what `speed` says of them.
    """
    recipe = RunFolder(run).trained(verb)
    length = recipe["model"]["frames"]
    if mode not in MODES:
        raise InputError(f"mode: unknown {mode!r}{did_you_mean(mode, MODES) or '; known: ' + ', '.join(MODES)}")
    if stride is not None and not 1 <= stride <= length:
        raise InputError(f"stride: from 1 to the network's {length} frames. Received: {stride}")
    if mode == "fast" and stride is not None:
        raise InputError(f"stride: belongs to the exact mode; the fast one has every window. Received: {stride}")
    stream = open_video(video)
    if stream.frames < length:
        raise too_short(video, f"has {stream.frames} frames", length)
    return recipe, stream


def too_short(video: str | os.PathLike, has: str, length: int) -> InputError:
    return InputError(f"{video}: {has}; the network takes {length} frames at once, at least as many are wanted")


def judge(
    model,
    stream: Stream,
    rates: Sequence[float] = RATES,
    mode: str = "exact",
    stride: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Speed:
    """Return what a speed model says of a video at several rates, the first of which is 1.

    Raises:
        InputError: fewer frames than the model takes can be decoded.
    """
    length = model.clip_shape[0]
    if mode == "exact":
        windows = _exact(model, stream, rates, stride or max(1, length // 8), progress)
    else:
        from kvzoo.models.sliding import sliding

        windows = _fast(model, sliding(model.network, model.spec.map_layer, length), stream, rates, progress)
    if not len(windows[0][1]):
        raise too_short(stream.path, stream.broken or f"has {stream.frames} frames", length)
    frames = int(windows[0][0][-1]) + length
    used = [i for i, (_, logits) in enumerate(windows) if len(logits)]
    # The middle of the window at k is frame k + (T - 1) / 2 of the sped-up video.
    windows = [(rates[i] * (windows[i][0] + (length - 1) / 2), windows[i][1]) for i in used]
    sped_up = np.stack([np.interp(np.arange(frames), places, _sigmoid(logits)) for places, logits in windows])
    left_out = tuple(rate for i, rate in enumerate(rates) if i not in used)
    edges = edges_of(stream, frames)
    return Speed(frames, stream.fps, tuple(rates[i] for i in used), left_out, sped_up, windows, edges, stream.broken)


def _exact(model, stream, rates, stride: int, progress=None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each rate (first frames, logits) of separate windows."""
    found = [([], []) for _ in rates]
    length = model.clip_shape[0]
    decoded = ahead(batches(windows_at_rates(_seen(model, stream), rates, length, stride), BATCH))
    for batch, tags in _closing(decoded):
        # The last batch is filled up: another size would be compiled anew.
        filled = np.concatenate([batch, np.repeat(batch[-1:], BATCH - len(batch), axis=0)])
        logits = np.asarray(model.predict_on_batch(filled), np.float64)[: len(batch), 0]
        for (i, first, new), logit in zip(tags, logits, strict=True):
            found[i][0].append(first)
            found[i][1].append(logit)
            if i == 0 and progress:
                progress(new)
    return [(np.array(firsts, int), np.array(logits)) for firsts, logits in found]


def _fast(model, sliding, stream, rates, progress=None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each rate (first frames, logits) of all windows: from shared chunks, lifted to PINS separate ones."""
    length = model.clip_shape[0]
    pins = _exact(model, stream, rates, PINS * length)
    found = []
    for (at, logits), (firsts, shared) in zip(pins, _shared(model, sliding, stream, rates, progress), strict=True):
        # Both end where the video ends, unless it broke at another frame this time.
        at, logits = at[at < len(shared)], logits[at < len(shared)]
        found.append((firsts, shared + np.interp(firsts, at, logits - shared[at]) if len(at) else shared))
    return found


def _shared(model, sliding, stream, rates, progress=None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each rate (first frames, logits) of all windows, from chunks that they share."""
    from kvzoo.models.sliding import FIELD

    length = model.clip_shape[0]
    # What a chunk says of frames near its ends is taken from its neighbours.
    margin = FIELD + length // 2
    chunk = 2 * margin + max(FRESH, 2 * length)
    said: list[list[float]] = [[] for _ in rates]
    decoded = ahead(windows_at_rates(_seen(model, stream), rates, chunk, chunk - 2 * margin, least=length))
    for clip, (i, first, new) in _closing(decoded):
        values = np.asarray(sliding.predict_on_batch(clip[None].astype("float32") / 127.5 - 1.0), np.float64)[0]
        skip = margin if first else 0
        said[i][first + skip :] = values[skip:].tolist()
        if i == 0 and progress:
            progress(new)
    sums = [np.concatenate([[0.0], np.cumsum(values)]) for values in said]
    logits = [(each[length:] - each[:-length]) / length for each in sums]
    return [(np.arange(len(each)), each) for each in logits]


def _seen(model, stream: Stream) -> Iterator[np.ndarray]:
    _, image_size, _, channels = model.clip_shape
    # Copied, as a frame that needs no resizing is still the decoder's memory.
    return (square(frame, image_size, channels).copy() for frame in stream)


def _closing(items: Iterator) -> Iterator:
    """Yield what a generator gives, and close it at the end, whatever that is."""
    try:
        yield from items
    finally:
        items.close()


def _sigmoid(x: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return expit(x)


def _write_csv(file: Path, seen: Speed) -> None:
    with writing(file), written_whole(file) as beside, open(beside, "w", newline="", encoding="utf-8") as text:
        rows = csv.writer(text)
        rows.writerow(["frame", "seconds", *(f"p_{rate:.2f}x" for rate in seen.rates)])
        for number, values in enumerate(seen.sped_up.T):
            rows.writerow([number, f"{seen.edges[number]:.3f}", *(f"{p:.4f}" for p in values)])
