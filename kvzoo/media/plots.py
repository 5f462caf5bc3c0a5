"""Plots of arrays, written to files without a screen."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from kvzoo.media.clips import written_whole


def write_curves(path: str | os.PathLike, panels: Mapping[str, Mapping[str, tuple[Sequence, Sequence]]]) -> None:
    """Write curves over training steps, a panel a unit.

    Args:
        path: of the PNG.
        panels: label of the vertical axis, to curves by name, each (steps, values).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(panels), 3.4), layout="constrained")
    for axes, (unit, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        values = [v for _, ys in curves.values() for v in ys]
        for name, (steps, ys) in curves.items():
            axes.plot(steps, ys, label=name, marker="." if len(ys) < 30 else None)
        if "loss" in unit and values and min(values) > 0:
            axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel(unit)
        axes.grid(alpha=0.3)
        axes.legend()
    with written_whole(path) as beside:
        figure.savefig(beside, dpi=120)


def write_scores(
    path: str | os.PathLike,
    title: str,
    scores: Sequence[float],
    fps: float,
    labels: Sequence[int] | None = None,
    threshold: float | None = None,
    frames: Mapping[int, np.ndarray] | None = None,
) -> None:
    """Write a score over time, and frames of the video above it.

    Args:
        path: of the PNG.
        title: the video's name.
        scores: one a frame.
        fps: frames a second.
        labels: 1 where a frame is anomalous: shaded.
        threshold: a line, and what is above it is marked.
        frames: pictures uint8 (H, W, C) by frame number: shown above, with lines to where they are.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import ConnectionPatch

    seconds, frames = np.arange(len(scores)) / fps, frames or {}
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
    axes.set_xlim(0, max(seconds[-1], 1 / fps))
    axes.set_ylim(bottom=min(0.0, float(np.min(scores))))
    axes.grid(alpha=0.3)
    pictures = rows[0].subplots(1, len(frames), squeeze=False)[0] if frames else []
    for above, (number, frame) in zip(pictures, frames.items(), strict=True):
        above.imshow(frame if frame.shape[2] == 3 else frame[..., 0], cmap="gray", vmin=0, vmax=255)
        above.set_title(f"{number / fps:.2f} s", fontsize=8)
        above.set_axis_off()
        figure.add_artist(
            ConnectionPatch(
                (0.5, 0), (number / fps, scores[number]), "axes fraction", "data", axesA=above, axesB=axes,
                color="gray", linewidth=0.8, alpha=0.7,
            )
        )  # fmt: skip
    figure.suptitle(title, fontsize=9)
    with written_whole(path) as beside:
        figure.savefig(beside, dpi=110)


def write_roc(path: str | os.PathLike, curves: Mapping[str, tuple[Sequence, Sequence]]) -> None:
    """Write ROC curves: by name, each (false-alarm rates, hit rates)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="gray", linewidth=0.8, linestyle=":")
    for name, (alarms, hits) in curves.items():
        axes.plot(alarms, hits, label=name)
    axes.set_xlabel("share of normal frames above the threshold")
    axes.set_ylabel("share of anomalous frames above the threshold")
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    with written_whole(path) as beside:
        figure.savefig(beside, dpi=110)


def write_captioned(
    path: str | os.PathLike, images: Sequence[np.ndarray], captions: Sequence[str], columns: int = 4
) -> None:
    """Write pictures uint8 (H, W, C) side by side, so many a row, with a caption above each."""
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
        axes.set_title(caption, fontsize=8)
    with written_whole(path) as beside:
        figure.savefig(beside, dpi=110)


def write_speed(path: str | os.PathLike, title: str, sped_up: np.ndarray, rates: Sequence[float], fps: float) -> None:
    """Write P(sped up) over time at the first rate, and below it at every rate.

    Args:
        path: of the PNG.
        title: the video's name.
        sped_up: (rates, frames).
        rates: rising, the first 1.
        fps: frames a second.
    """
    from matplotlib.figure import Figure

    seconds = sped_up.shape[1] / fps
    figure = Figure(figsize=(9, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
    above.plot((np.arange(sped_up.shape[1]) + 0.5) / fps, sped_up[0], linewidth=1.2)
    above.axhline(0.5, color="gray", linewidth=0.8, linestyle=":")
    above.set_ylabel("P(sped up) at 1x")
    above.set_ylim(0, 1)
    above.grid(alpha=0.3)
    image = below.imshow(
        sped_up, aspect="auto", origin="lower", extent=(0, seconds, -0.5, len(rates) - 0.5),
        cmap="viridis_r", vmin=0, vmax=1, interpolation="nearest",
    )  # fmt: skip
    below.set_yticks(range(len(rates)), [f"{rate:.2f}x" for rate in rates])
    below.set_xlabel("seconds")
    figure.colorbar(image, ax=below, label="P(sped up)")
    figure.suptitle(title, fontsize=9)
    with written_whole(path) as beside:
        figure.savefig(beside, dpi=110)


def write_speedup(
    path: str | os.PathLike,
    title: str,
    allowed: Sequence[float],
    speeds: Sequence[float],
    rate: float,
    threshold: float,
    fps: float,
) -> None:
    """Write the speed that each frame plays at, and the one that it allows.

    Args:
        path: of the PNG.
        title: the video's name.
        allowed: one a frame.
        speeds: one a frame.
        rate: the speed on the whole: a line.
        threshold: of P(normal), for the legend.
        fps: frames a second.
    """
    from matplotlib.figure import Figure

    seconds = (np.arange(len(speeds)) + 0.5) / fps
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(seconds, allowed, linewidth=0.8, alpha=0.6, label=f"fastest with P(normal) above {threshold:g}")
    axes.plot(seconds, speeds, linewidth=1.6, label="adaptive")
    axes.axhline(rate, color="gray", linewidth=1, linestyle="--", label=f"uniform, {rate:g}x")
    axes.set_xlabel("seconds of the original")
    axes.set_ylabel("times as fast")
    axes.set_xlim(0, len(speeds) / fps)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.suptitle(title, fontsize=9)
    with written_whole(path) as beside:
        figure.savefig(beside, dpi=110)
