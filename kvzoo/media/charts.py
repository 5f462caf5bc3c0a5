"""Curves as places in a drawing of 480 by 260, for a page's SVG (chart.html.j2)."""

import math
from collections.abc import Sequence
from typing import Any

BOX = (48, 468, 12, 220)  # left, right, top, bottom
DOTS = 30  # points of a curve that are shown one by one at most

Curve = tuple[Sequence[float], Sequence[float]]


def chart(curves: Sequence[Curve], log: bool = False) -> dict[str, Any] | None:
    """Return the places of curves, axes and ticks; None where there is no finite point.

    Args:
        curves: each (steps, values).
        log: whether the vertical axis is logarithmic, where all values are above 0.
    """
    points = [[(x, y) for x, y in zip(*curve, strict=True) if math.isfinite(y)] for curve in curves]
    every = [point for curve in points for point in curve]
    if not every:
        return None
    left, right, top, bottom = BOX
    end = max(1, max(x for x, _ in every))
    low, high = min(y for _, y in every), max(y for _, y in every)
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
    """Return four to eight round numbers that hold low and high between them."""
    span = max(high - low, 1e-3 * max(abs(high), 1.0))
    power = 10.0 ** math.floor(math.log10(span / 4))
    width = next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= 5)
    first, last = math.floor(low / width), math.ceil(high / width)
    return [round(i * width, 10) for i in range(first, max(last, first + 1) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers, evenly enough apart on a logarithmic axis, that hold low and high between them."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 2 else (1,)
    every = max(1, (last - first) // 6)
    numbers = [m * 10.0**power for power in range(first, last + every, every) for m in steps]
    start = max(i for i, number in enumerate(numbers) if number <= low)
    stop = next((i for i, number in enumerate(numbers) if number >= high), len(numbers) - 1)
    return numbers[start : stop + 1]
