"""Frames that need no model: what a translator has to beat.

Inputs are (N, n, H, W, C), `given` their times in order of the array, `wanted` the times of the frames to be made; all
return (N, m, H, W, C) of the inputs' type.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np


def cross_fade(inputs: np.ndarray, given: Sequence[int], wanted: Sequence[int]) -> np.ndarray:
    """Return the linear blend of the input before and the input after each time."""
    given, order = np.asarray(given), np.argsort(given)
    out = []
    for time in wanted:
        after = int(np.searchsorted(given[order], time))
        a, b = order[max(after - 1, 0)], order[min(after, len(order) - 1)]
        share = (time - given[a]) / (given[b] - given[a]) if given[b] != given[a] else 0.0
        out.append((1.0 - share) * inputs[:, a] + share * inputs[:, b])
    return np.stack(out, axis=1)


def nearest(inputs: np.ndarray, given: Sequence[int], wanted: Sequence[int]) -> np.ndarray:
    """Return the input nearest in time, the earlier one of two."""
    order = np.argsort(given, kind="stable")
    sorted_times = np.asarray(given)[order]
    return inputs[:, [order[np.argmin(np.abs(sorted_times - time))] for time in wanted]]


def copy_last(inputs: np.ndarray, given: Sequence[int], wanted: Sequence[int]) -> np.ndarray:
    """Return the latest input, for every time."""
    return inputs[:, [int(np.argmax(given))] * len(wanted)]


def baselines(given: Sequence[int], wanted: Sequence[int]) -> Mapping[str, Callable]:
    """Return those that fit the times: for frames between inputs, behind them, or neither."""
    if min(given) < min(wanted) and max(wanted) < max(given):
        return {"cross_fade": cross_fade, "nearest": nearest}
    if max(given) < min(wanted):
        return {"copy_last": copy_last}
    return {"nearest": nearest}
