"""Estimate how fast a video plays: the probability of "sped up" over time, at eleven rates.

    exact   separate windows of the network's length, one forward pass each
    fast    long chunks, whose convolutions are shared by all windows (kvzoo/models/sliding.py), shifted to agree with
            a few separate windows

The probability of a window belongs to its middle; it is interpolated between windows and constant before the first and
after the last.
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
from kvzoo.files import writing, written_whole
from kvzoo.recipe.resolve import Recipe
from kvzoo.run.folder import RunFolder

RATES = tuple(1.25**i for i in range(11))  # 1 to 9.31, of SpeedNet's adaptive speed-up
MODES = ("exact", "fast")
BATCH = 8  # windows per forward pass
PINS = 4  # distance of separate windows in the fast mode, in lengths of a window
FRESH = 128  # minimum frames of a chunk that are not shared with its neighbours


@dataclass(frozen=True)
class Speed:
    """The estimated speed of one video.

    Attributes:
        frames: number of frames, at rate 1.
        fps: frames per second.
        rates: the rates at which the video has enough frames for a window.
        left_out: the other rates.
        sped_up: float64 (rates, frames): probability that the video at this rate is sped up, by frame of the video
            at rate 1.
        windows: for each rate (places in frames of the video at rate 1, logits) of its windows.
        edges: (frames + 1,) display times of the frames in seconds, and the end of the last.
        broken: what is wrong with the video; "" if nothing is.
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
    _, stream = check_request(run, video, out, mode, stride)
    from kvzoo import zoo
    from kvzoo.media.plots import write_speed

    result = estimate_speed(zoo.load(run), stream, RATES, mode, stride, progress)
    folder = Path(out)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _write_csv(folder / "speed.csv", result)
    write_speed(folder / "speed.png", Path(video).name, result.sped_up, result.rates, result.edges)
    return result


def check_request(run, video, out, mode: str = "exact", stride: int | None = None) -> tuple[Recipe, Stream]:
    """Validate the arguments without Keras and return the run's recipe and the opened video."""
    recipe, stream = check_run_and_video("speed", run, video, mode, stride)
    check_folder(out)
    return recipe, stream


def check_run_and_video(verb: str, run, video, mode: str = "exact", stride: int | None = None) -> tuple[Recipe, Stream]:
    """Return a speed run's recipe and the opened video.

    Raises:
        InputError: as for `speed`.
    """
    recipe = RunFolder(run).trained(verb)
    length = recipe["model"]["frames"]
    if mode not in MODES:
        raise InputError(f"mode: unknown {mode!r}{did_you_mean(mode, MODES) or '; known: ' + ', '.join(MODES)}")
    if stride is not None and not 1 <= stride <= length:
        raise InputError(f"stride: must be from 1 to the network's {length} frames. Received: {stride}")
    if mode == "fast" and stride is not None:
        raise InputError(f"stride: the mode fast does not support it, as it has every window. Received: {stride}")
    stream = open_video(video)
    if stream.frames < length:
        raise too_short(video, f"has {stream.frames} frames", length)
    return recipe, stream


def too_short(video: str | os.PathLike, has: str, length: int) -> InputError:
    return InputError(f"{video}: {has}; the network needs at least {length}")


def estimate_speed(
    model,
    stream: Stream,
    rates: Sequence[float] = RATES,
    mode: str = "exact",
    stride: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Speed:
    """Return the estimated speed of a video at several rates, of which the first is 1.

    Raises:
        InputError: fewer frames can be decoded than the model needs.
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
    usable = [i for i, (_, logits) in enumerate(windows) if len(logits)]
    # The middle of the window at k is frame k + (T - 1) / 2 of the sped-up video.
    windows = [(rates[i] * (windows[i][0] + (length - 1) / 2), windows[i][1]) for i in usable]
    sped_up = np.stack([np.interp(np.arange(frames), places, _sigmoid(logits)) for places, logits in windows])
    left_out = tuple(rate for i, rate in enumerate(rates) if i not in usable)
    edges = edges_of(stream, frames)
    return Speed(frames, stream.fps, tuple(rates[i] for i in usable), left_out, sped_up, windows, edges, stream.broken)


def _exact(model, stream, rates, stride: int, progress=None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each rate (first frames, logits) of separate windows."""
    results = [([], []) for _ in rates]
    length = model.clip_shape[0]
    clips = ahead(batches(windows_at_rates(_frames(model, stream), rates, length, stride), BATCH))
    for batch, tags in _closing(clips):
        # The last batch is padded: another size would be compiled again.
        full_batch = np.concatenate([batch, np.repeat(batch[-1:], BATCH - len(batch), axis=0)])
        logits = np.asarray(model.predict_on_batch(full_batch), np.float64)[: len(batch), 0]
        for (i, first, new), logit in zip(tags, logits, strict=True):
            results[i][0].append(first)
            results[i][1].append(logit)
            if i == 0 and progress:
                progress(new)
    return [(np.array(firsts, int), np.array(logits)) for firsts, logits in results]


def _fast(model, sliding, stream, rates, progress=None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each rate (first frames, logits) of all windows: from chunks, shifted to the PINS separate windows."""
    length = model.clip_shape[0]
    pins = _exact(model, stream, rates, PINS * length)
    results = []
    for (at, logits), (firsts, chunk_logits) in zip(
        pins, _from_chunks(model, sliding, stream, rates, progress), strict=True
    ):
        # Both end with the video, unless it broke at another frame this time.
        at, logits = at[at < len(chunk_logits)], logits[at < len(chunk_logits)]
        results.append(
            (firsts, chunk_logits + np.interp(firsts, at, logits - chunk_logits[at]) if len(at) else chunk_logits)
        )
    return results


def _from_chunks(model, sliding, stream, rates, progress=None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each rate (first frames, logits) of all windows, from chunks that they share."""
    from kvzoo.models.sliding import FIELD

    length = model.clip_shape[0]
    # Frames near the ends of a chunk take their values from its neighbours.
    margin = FIELD + length // 2
    chunk = 2 * margin + max(FRESH, 2 * length)
    values_of_rates: list[list[float]] = [[] for _ in rates]
    chunks = ahead(windows_at_rates(_frames(model, stream), rates, chunk, chunk - 2 * margin, least=length))
    for clip, (i, first, new) in _closing(chunks):
        values = np.asarray(sliding.predict_on_batch(clip[None].astype("float32") / 127.5 - 1.0), np.float64)[0]
        skip = margin if first else 0
        values_of_rates[i][first + skip :] = values[skip:].tolist()
        if i == 0 and progress:
            progress(new)
    sums = [np.concatenate([[0.0], np.cumsum(values)]) for values in values_of_rates]
    logits = [(rate_logits[length:] - rate_logits[:-length]) / length for rate_logits in sums]
    return [(np.arange(len(rate_logits)), rate_logits) for rate_logits in logits]


def _frames(model, stream: Stream) -> Iterator[np.ndarray]:
    _, image_size, _, channels = model.clip_shape
    # Copied, because a frame that needs no resizing is still the decoder's memory.
    return (square(frame, image_size, channels).copy() for frame in stream)


def _closing(items: Iterator) -> Iterator:
    """Yield the items of a generator, and always close it."""
    try:
        yield from items
    finally:
        items.close()


def _sigmoid(x: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return expit(x)


def _write_csv(file: Path, result: Speed) -> None:
    with writing(file), written_whole(file) as temporary, open(temporary, "w", newline="", encoding="utf-8") as text:
        rows = csv.writer(text)
        rows.writerow(["frame", "seconds", *(f"p_{rate:.2f}x" for rate in result.rates)])
        for number, values in enumerate(result.sped_up.T):
            rows.writerow([number, f"{result.edges[number]:.3f}", *(f"{p:.4f}" for p in values)])
