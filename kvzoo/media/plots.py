"""Plot arrays to files; no display is needed."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from kvzoo.files import writing, written_whole
from kvzoo.media.pages import legible

LONGEST = 60  # characters of a name, at most


def plain(text: str, longest: int = LONGEST) -> str:
    """Return a name as one line of text for a plot.

    Dollar signs are escaped, a leading underscore does not hide it from a legend, characters missing in the font become
    squares, and the middle of a long name is omitted.
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font

    text, font = " ".join(legible(text).split()), get_font(findfont(FontProperties()))
    if len(text) > longest:
        text = f"{text[: longest // 2]}…{text[-longest // 2 :]}"
    text = "".join(each if font.get_char_index(ord(each)) else "\N{WHITE SQUARE}" for each in text)
    return f"{'' if text and text[0] != '_' else ' '}{text}".replace("$", r"\$")


def _save(path: str | os.PathLike, figure, dpi: int = 110) -> None:
    with writing(path), written_whole(path) as temporary:
        figure.savefig(temporary, dpi=dpi)


def write_curves(path: str | os.PathLike, panels: Mapping[str, Mapping[str, tuple[Sequence, Sequence]]]) -> None:
    """Plot curves over training steps, one panel per unit.

    Args:
        path: the PNG file.
        panels: label of the vertical axis to curves by name, each (steps, values).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(panels), 3.4), layout="constrained")
    for axes, (unit, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        values = [v for _, ys in curves.values() for v in ys]
        for name, (steps, ys) in curves.items():
            axes.plot(steps, ys, label=plain(name, 32), marker="." if len(ys) < 30 else None)
        if "loss" in unit and values and min(values) > 0:
            axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel(plain(unit))
        axes.grid(alpha=0.3)
        axes.legend()
    _save(path, figure, 120)


def write_scores(
    path: str | os.PathLike,
    title: str,
    scores: Sequence[float],
    seconds: np.ndarray,
    labels: Sequence[int] | None = None,
    threshold: float | None = None,
    frames: Mapping[int, np.ndarray] | None = None,
) -> None:
    """Plot a score over time, with frames of the video above it.

    Args:
        path: the PNG file.
        title: name of the video.
        scores: one per frame.
        seconds: (frames,) display times, from 0.
        labels: 1 for anomalous frames, which are shaded.
        threshold: drawn as a line.
        frames: images, uint8 (H, W, C), by frame number; shown above, with lines to their times.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import ConnectionPatch

    frames = frames or {}
    figure = Figure(figsize=(9, 5 if frames else 3.2), layout="constrained")
    rows = figure.subfigures(2, 1, height_ratios=(2, 3)) if frames else [None, figure]
    axes = rows[1].subplots()
    axes.plot(seconds, scores, linewidth=1.2)
    if labels is not None:
        axes.fill_between(
            seconds, 0, 1, where=np.asarray(labels) > 0, step="mid", transform=axes.get_xaxis_transform(),
            color="tab:red", alpha=0.15, label="labelled anomalous",
        )  # fmt: skip
    if threshold is not None:
        axes.axhline(threshold, color="tab:red", linewidth=1, linestyle="--", label=f"threshold {threshold:.3g}")
    if labels is not None or threshold is not None:
        axes.legend(loc="upper left", fontsize=8)
    axes.set_xlabel("seconds")
    axes.set_ylabel("score")
    axes.set_xlim(0, seconds[-1] or 1.0)
    axes.set_ylim(bottom=min(0.0, float(np.min(scores))))
    axes.grid(alpha=0.3)
    pictures = rows[0].subplots(1, len(frames), squeeze=False)[0] if frames else []
    for above, (number, frame) in zip(pictures, frames.items(), strict=True):
        above.imshow(frame if frame.shape[2] == 3 else frame[..., 0], cmap="gray", vmin=0, vmax=255)
        above.set_title(f"{seconds[number]:.2f} s", fontsize=8)
        above.set_axis_off()
        figure.add_artist(
            ConnectionPatch(
                (0.5, 0), (seconds[number], scores[number]), "axes fraction", "data", axesA=above, axesB=axes,
                color="gray", linewidth=0.8, alpha=0.7,
            )
        )  # fmt: skip
    figure.suptitle(plain(title), fontsize=9)
    _save(path, figure)


def write_roc(path: str | os.PathLike, curves: Mapping[str, tuple[Sequence, Sequence]]) -> None:
    """Plot ROC curves by name, each (false-alarm rates, hit rates)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="gray", linewidth=0.8, linestyle=":")
    for name, (alarms, hits) in curves.items():
        axes.plot(alarms, hits, label=plain(name))
    axes.set_xlabel("share of normal frames above the threshold")
    axes.set_ylabel("share of anomalous frames above the threshold")
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    _save(path, figure)


def write_captioned(
    path: str | os.PathLike, images: Sequence[np.ndarray], captions: Sequence[str], columns: int = 4
) -> None:
    """Write images, uint8 (H, W, C), in a grid of `columns`, with a caption above each."""
    from matplotlib.figure import Figure

    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height, width = images[0].shape[:2]
    figure = Figure(figsize=(8.8, rows * (8.8 / columns * height / width + 0.4)), layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in places:
        axes.set_axis_off()
    for axes, image, caption in zip(places, images, captions, strict=False):
        axes.imshow(image if image.shape[2] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=255)
        axes.set_title(plain(caption), fontsize=8)
    _save(path, figure)


def write_speed(
    path: str | os.PathLike, title: str, sped_up: np.ndarray, rates: Sequence[float], edges: np.ndarray
) -> None:
    """Plot P(sped up) over time at the first rate, and at every rate below it.

    Args:
        path: the PNG file.
        title: name of the video.
        sped_up: (rates, frames) probabilities.
        rates: increasing, the first 1.
        edges: (frames + 1,) display times of the frames in seconds, and the end of the last.
    """
    from matplotlib.figure import Figure

    middles = (edges[:-1] + edges[1:]) / 2
    # The columns of an image are equally wide: those of a longer frame are repeated.
    columns = np.searchsorted(edges, edges[-1] * (np.arange(len(middles)) + 0.5) / len(middles), side="right") - 1
    figure = Figure(figsize=(9, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
    above.plot(middles, sped_up[0], linewidth=1.2)
    above.axhline(0.5, color="gray", linewidth=0.8, linestyle=":")
    above.set_ylabel("P(sped up) at 1x")
    above.set_ylim(0, 1)
    above.grid(alpha=0.3)
    image = below.imshow(
        sped_up[:, columns], aspect="auto", origin="lower", extent=(0, edges[-1], -0.5, len(rates) - 0.5),
        cmap="viridis_r", vmin=0, vmax=1, interpolation="nearest",
    )  # fmt: skip
    below.set_yticks(range(len(rates)), [f"{rate:.2f}x" for rate in rates])
    below.set_xlabel("seconds")
    figure.colorbar(image, ax=below, label="P(sped up)")
    figure.suptitle(plain(title), fontsize=9)
    _save(path, figure)


def write_speedup(
    path: str | os.PathLike,
    title: str,
    limits: Sequence[float],
    speeds: Sequence[float],
    rate: float,
    threshold: float,
    edges: np.ndarray,
) -> None:
    """Plot the speed at which each frame plays, and the fastest one that it allows.

    Args:
        path: the PNG file.
        title: name of the video.
        limits: fastest speed allowed, one per frame.
        speeds: chosen speed, one per frame.
        rate: overall speed, drawn as a line.
        threshold: threshold on P(normal), for the legend.
        edges: (frames + 1,) display times of the frames in seconds, and the end of the last.
    """
    from matplotlib.figure import Figure

    seconds = (edges[:-1] + edges[1:]) / 2
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(seconds, limits, linewidth=0.8, alpha=0.6, label=f"fastest with P(normal) above {threshold:g}")
    axes.plot(seconds, speeds, linewidth=1.6, label="adaptive")
    axes.axhline(rate, color="gray", linewidth=1, linestyle="--", label=f"uniform, {rate:g}x")
    axes.set_xlabel("seconds of the original")
    axes.set_ylabel("speed (x)")
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.suptitle(plain(title), fontsize=9)
    _save(path, figure)
