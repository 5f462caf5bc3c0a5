"""Plots of arrays, written to files without a screen."""

import os
from collections.abc import Mapping, Sequence

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
