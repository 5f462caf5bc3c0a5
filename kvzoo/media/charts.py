"""Curves as coordinates in an SVG drawing of 480 by 260 (chart.html.j2)."""

import math
from collections.abc import Sequence
from typing import Any

BOX = (48, 468, 12, 220)  # left, right, top, bottom
DOTS = 30  # curves with more points are drawn without dots

Curve = tuple[Sequence[float], Sequence[float]]


def chart(curves: Sequence[Curve], log: bool = False) -> dict[str, Any] | None:
    """Return the coordinates of curves, axes and ticks; None if there is no finite point.

    Args:
        curves: each (steps, values).
        log: use a logarithmic vertical axis if all values are positive.
    """
    points = [[(x, y) for x, y in zip(*curve, strict=True) if math.isfinite(y)] for curve in curves]
    all_points = [point for curve in points for point in curve]
    if not all_points:
        return None
    left, right, top, bottom = BOX
    end = max(1, max(x for x, _ in all_points))
    low, high = min(y for _, y in all_points), max(y for _, y in all_points)
    log = log and low > 0 and high / low > 3
    values = log_ticks(low, high) if log else ticks(low, high)
    scale = math.log10 if log else float

    def place(x: float, y: float) -> tuple[float, float]:
        height = (scale(y) - scale(values[0])) / (scale(values[-1]) - scale(values[0]))
        return round(left + (right - left) * x / end, 1), round(bottom - (bottom - top) * height, 1)

    return {
        "curves": [[(*place(x, y), f"step {x:,}: {y:.4g}") for x, y in curve] for curve in points],
        "dots": max(map(len, points)) <= DOTS,
        "steps": [(place(x, values[0])[0], f"{x:,.6g}") for x in ticks(0, end) if x <= end],
        "values": [(place(0, y)[1], f"{y:g}") for y in values],
        "box": BOX,
    }


def ticks(low: float, high: float) -> list[float]:
    """Return four to eight round numbers that enclose low and high.

    Example:

        >>> from kvzoo.media.charts import ticks
        >>> ticks(3, 21)
        [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]
    """
    span = max(high - low, 1e-3 * max(abs(high), 1.0))
    power = 10.0 ** math.floor(math.log10(span / 4))
    width = next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= 5)
    first, last = math.floor(low / width), math.ceil(high / width)
    return [round(i * width, 10) for i in range(first, max(last, first + 1) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers, roughly evenly spaced on a logarithmic axis, that enclose low and high.

    Example:

        >>> from kvzoo.media.charts import log_ticks
        >>> log_ticks(2, 30)
        [2.0, 5.0, 10.0, 20.0, 50.0]
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 2 else (1,)
    every = max(1, (last - first) // 6)
    numbers = [m * 10.0**power for power in range(first, last + every, every) for m in steps]
    start = max(i for i, number in enumerate(numbers) if number <= low)
    stop = next((i for i, number in enumerate(numbers) if number >= high), len(numbers) - 1)
    return numbers[start : stop + 1]
