"""Frames that need no model: the baselines of a translator.

Inputs are (N, n, H, W, C), `input_times` their times in the order of the array, `target_times` the m times to predict; all
functions return (N, m, H, W, C).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np


def cross_fade(inputs: np.ndarray, input_times: Sequence[int], target_times: Sequence[int]) -> np.ndarray:
    """Return the linear blend of the input before and the input after each time, float.

    Example:
        >>> inputs = np.array([0.0, 1.0]).reshape(1, 2, 1, 1, 1)
        >>> cross_fade(inputs, [0, 4], [1, 2]).ravel().tolist()
        [0.25, 0.5]
    """
    input_times, order = np.asarray(input_times), np.argsort(input_times)
    frames = []
    for time in target_times:
        after = int(np.searchsorted(input_times[order], time))
        a, b = order[max(after - 1, 0)], order[min(after, len(order) - 1)]
        start, end = input_times[a], input_times[b]
        share = (time - start) / (end - start) if end != start else 0.0
        frames.append((1.0 - share) * inputs[:, a] + share * inputs[:, b])
    return np.stack(frames, axis=1)


def nearest(inputs: np.ndarray, input_times: Sequence[int], target_times: Sequence[int]) -> np.ndarray:
    """Return the input nearest in time, the earlier of two equally near ones; of the inputs' type.

    Example:
        >>> inputs = np.array([0.0, 1.0]).reshape(1, 2, 1, 1, 1)
        >>> nearest(inputs, [0, 4], [1, 3]).ravel().tolist()
        [0.0, 1.0]
    """
    order = np.argsort(input_times, kind="stable")
    sorted_times = np.asarray(input_times)[order]
    return inputs[:, [order[np.argmin(np.abs(sorted_times - time))] for time in target_times]]


def copy_last(inputs: np.ndarray, input_times: Sequence[int], target_times: Sequence[int]) -> np.ndarray:
    """Return the latest input, for every time; of the inputs' type.

    Example:
        >>> inputs = np.array([0.0, 1.0]).reshape(1, 2, 1, 1, 1)
        >>> copy_last(inputs, [0, 1], [2, 3]).ravel().tolist()
        [1.0, 1.0]
    """
    return inputs[:, [int(np.argmax(input_times))] * len(target_times)]


def baselines(input_times: Sequence[int], target_times: Sequence[int]) -> Mapping[str, Callable]:
    """Return the baselines by name that fit the times: for frames between the inputs, after them, or neither.

    Example:
        >>> list(baselines([0, 4], [1, 2, 3])), list(baselines([0, 1], [2]))
        (['cross_fade', 'nearest'], ['copy_last'])
    """
    if min(input_times) < min(target_times) and max(target_times) < max(input_times):
        return {"cross_fade": cross_fade, "nearest": nearest}
    if max(input_times) < min(target_times):
        return {"copy_last": copy_last}
    return {"nearest": nearest}
