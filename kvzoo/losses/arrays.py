"""Checks of the arrays passed to models, the same for every loss and every method; errors are one line.

Shapes and dtypes are checked wherever they are known, values where they are available: in arrays and eager tensors, and
in the first batch of a dataset.
"""

import math
import sys
import types
from collections.abc import Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import numpy as np

from kvzoo.errors import InputError

SLACK = 0.01  # beyond -1..1, as resizing and half precision overshoot

_CHECKED: ContextVar[bool] = ContextVar("checked", default=False)


@contextmanager
def checked():
    """Skip the checks within: the values have been checked, or are kvzoo's own."""
    before = _CHECKED.set(True)
    try:
        yield
    finally:
        _CHECKED.reset(before)


def already_checked() -> bool:
    """Return whether the checks are skipped here, within `checked`."""
    return _CHECKED.get()


def check_clips(
    what: str, value: Any, shape: Sequence[int | None], look: bool = True, count: int | None = None
) -> bool:
    """Check a batch of clips or frames.

    Args:
        what: the name of the argument in messages.
        value: an array or tensor.
        shape: of one clip; None where any size is legal.
        look: whether to check values, besides shape and type.
        count: N; None where any number is legal.

    Returns:
        Whether the values are floats in 0..1, which may be a mistake.

    Raises:
        InputError: another shape or type, or values beyond uint8 0..255 and float -1..1.

    Example:
        >>> check_clips("clips", np.zeros((2, 4, 8, 8, 3), "uint8"), (4, 8, 8, 3))
        False
    """
    dtype = _dtype(what, value)
    _check_shape(what, value, shape)
    if None not in (count, count_of(value)) and count_of(value) != count:
        raise InputError(f"{what}: {count} are required, as many as inputs. Received: {count_of(value)}")
    if dtype == "uint8":
        return False
    legal = "integers 0..255 or floats -1..1 are required"
    whole = dtype.startswith(("int", "uint"))
    if not whole and "float" not in dtype:
        raise InputError(f"{what}: {legal}. Received: {dtype}")
    ends = _extremes(value) if look else None
    if ends is None:
        return False
    low, high = ends
    if math.isnan(low) or math.isnan(high):
        raise InputError(f"{what}: {legal}. Received: NaN among {dtype}")
    least, most = (0, 255) if whole else (-1 - SLACK, 1 + SLACK)
    if low < least or high > most:
        raise InputError(f"{what}: {legal}. Received: {dtype} from {low:g} to {high:g}")
    return not whole and 0 <= low < high


def check_labels(what: str, value: Any, count: int | None, classes: int | None, look: bool = True) -> None:
    """Check a batch of classes, integers from 0 of the shape (N,) or (N, 1).

    Args:
        what, value, look: as for clips.
        count: N; None where it is not known.
        classes: how many there are; None where any number is legal.

    Raises:
        InputError: another shape or type, another number of labels, or values that are no classes.

    Example:
        >>> check_labels("labels", np.array([0, 2]), count=2, classes=3)
    """
    legal = f"integers from 0{f' to {classes - 1}' if classes else ''}, one for each clip, are required"
    values = _one_each(what, value, count, legal, look)
    if not _dtype(what, value).startswith(("int", "uint")):
        raise InputError(f"{what}: {legal}. Received: {_dtype(what, value)}")
    if values is not None and (wrong := values[(values < 0) | (values >= (classes or math.inf))]).size:
        raise InputError(f"{what}: {legal}. Received: {wrong[0]}")


def check_zeros_and_ones(what: str, value: Any, count: int | None, legal: str, look: bool = True) -> None:
    """Check labels that are 0 or 1, of any type; arguments and errors as `check_labels`.

    Example:
        >>> check_zeros_and_ones("labels", np.array([0.0, 1.0]), 2, "0 or 1 is required")
    """
    values = _one_each(what, value, count, legal, look)
    if values is not None and (wrong := values[(values != 0) & (values != 1)]).size:
        raise InputError(f"{what}: {legal}. Received: {wrong[0]}")


def check_weights(what: str, value: Any, count: int | None, look: bool = True) -> None:
    """Check weights of clips, finite numbers of the shape (N,) or (N, 1); arguments and errors as `check_labels`.

    Example:
        >>> check_weights("weights", np.array([0.5, 1.0]), count=2)
    """
    legal = "a number for each clip is required"
    values = _one_each(what, value, count, legal, look)
    if not any(kind in _dtype(what, value) for kind in ("float", "int", "bool")):
        raise InputError(f"{what}: {legal}. Received: {_dtype(what, value)}")
    if values is not None and (wrong := values[~np.isfinite(values.astype("float64"))]).size:
        raise InputError(f"{what}: {legal}. Received: {wrong[0]}")


def check_numbers(what: str, value: Any, shape: Sequence[int | None], look: bool = True) -> None:
    """Check finite numbers of a shape, such as noise; arguments and errors as `check_clips`.

    Example:
        >>> check_numbers("noise", np.zeros((2, 100)), (100,))
    """
    dtype = _dtype(what, value)
    _check_shape(what, value, shape)
    if "float" not in dtype and "int" not in dtype:
        raise InputError(f"{what}: numbers are required. Received: {dtype}")
    ends = _extremes(value) if look else None
    if ends and not (math.isfinite(ends[0]) and math.isfinite(ends[1])):
        raise InputError(
            f"{what}: finite numbers are required. Received: {next(e for e in ends if not math.isfinite(e))}"
        )


def count_of(value: Any) -> int | None:
    """Return how many examples a batch has; None where that is not known.

    Example:
        >>> count_of(np.zeros((2, 3)))
        2
    """
    shape = getattr(value, "shape", None)
    return None if shape is None or not _rank(value) or not isinstance(shape[0], int) else shape[0]


def first_batch(data: Any) -> tuple[Any, Any]:
    """Return the first batch of a dataset, and the dataset to use from here on: a generator gives its first batch once.

    A tf.data pipeline of uint8 alone is not run, because its specification is enough. The batch is None for an array, an
    empty dataset, and anything unknown.

    Example:
        >>> batch, data = first_batch(i for i in (1, 2))
        >>> batch, list(data)
        (1, [1, 2])
    """
    if isinstance(data, types.GeneratorType):
        batch = next(data, None)
        return (None, data) if batch is None else (batch, _restored(batch, data))
    if isinstance(data, keras.utils.PyDataset):
        return data[0], data
    tf, torch = sys.modules.get("tensorflow"), sys.modules.get("torch")
    if tf and isinstance(data, tf.data.Dataset):
        specs = tf.nest.flatten(data.element_spec)
        if all(getattr(spec, "dtype", None) == tf.uint8 for spec in specs):
            return data.element_spec, data
        return next(iter(data), None), data
    if torch and isinstance(data, torch.utils.data.DataLoader):
        with torch.random.fork_rng(devices=()):  # or the look would change the order of what follows
            return next(iter(data), None), data
    if type(data).__module__.partition(".")[0] == "grain":
        return next(iter(data), None), data
    return None, data


def _restored(batch, rest):
    yield batch
    yield from rest


def _one_each(what: str, value: Any, count: int | None, legal: str, look: bool) -> np.ndarray | None:
    """Return the values of the shape (N,) where they are looked at."""
    _dtype(what, value)
    rank, shape = _rank(value), tuple(value.shape) if _rank(value) is not None else ()
    if rank is not None and not (rank == 1 or (rank == 2 and shape[1] in (1, None))):
        hint = "; labels.argmax(-1) makes them of one-hot rows" if rank == 2 and legal.startswith("integers") else ""
        raise InputError(f"{what}: {legal}, shape (N,){hint}. Received: shape {shape}")
    if rank and None not in (count, count_of(value)) and count_of(value) != count:
        raise InputError(f"{what}: {legal}. Received: {count_of(value)} for {count} clips")
    values = _to_numpy(value) if look else None
    return None if values is None else values.reshape(-1)


def _check_shape(what: str, value: Any, shape: Sequence[int | None]) -> None:
    if _rank(value) is None:
        return
    received = tuple(value.shape)
    fits = len(received) == len(shape) + 1 and all(
        None in (size, legal) or size == legal for size, legal in zip(received[1:], shape, strict=True)
    )
    if not fits:
        legal = ", ".join(["N", *("any" if size is None else str(size) for size in shape)])
        raise InputError(f"{what}: shape ({legal}) is required. Received: {received}")
    if received[0] == 0:
        raise InputError(f"{what}: at least one is required. Received: shape {received}")


def _rank(value: Any) -> int | None:
    """Return the number of axes; None where a tf.data pipeline does not say."""
    rank = getattr(value.shape, "rank", 0)
    return None if rank is None else len(value.shape)


def _dtype(what: str, value: Any) -> str:
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        raise InputError(f"{what}: an array is required. Received: {type(value).__name__}")
    try:
        return keras.backend.standardize_dtype(value.dtype)
    except ValueError:
        return str(value.dtype)


def _to_numpy(value: Any) -> np.ndarray | None:
    """Return an array's or a tensor's values; None where it is symbolic and has none."""
    for convert in (np.asarray, keras.ops.convert_to_numpy):
        try:
            values = convert(value)
        except Exception:  # each backend has errors of its own
            continue
        return values if values.dtype != object else None
    return None


def _extremes(value: Any) -> tuple[float, float] | None:
    """Return the least and the greatest value, NaN where there is one; None where a tensor is symbolic."""
    # NumPy's, JAX's and PyTorch's are reduced where they are; PyTorch does not know all types.
    for read in (lambda: value if hasattr(value, "min") else None, lambda: _to_numpy(value)):
        try:
            return float((values := read()).min()), float(values.max())
        except Exception:  # each backend has errors of its own
            continue
    return None
