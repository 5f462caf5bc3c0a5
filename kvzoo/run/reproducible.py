"""Seeds and deterministic ops while kvzoo needs them; the process's own state comes back afterwards."""

import random
import sys
import threading
from contextlib import contextmanager

import keras
import numpy as np

from kvzoo.kernels import private

_SEEDS, _OPS = threading.RLock(), threading.Lock()
_runs = 0  # that need deterministic ops
_before: tuple[bool | None, int | None] = (None, None)


@contextmanager
def seeded(seed: int):
    """Seed Python, NumPy, Keras and the backend, and restore their random state on exit.

    One thread at a time: Python's and NumPy's state belong to the whole process.
    """
    with _SEEDS:
        restore = [(random.setstate, random.getstate()), (np.random.set_state, np.random.get_state())]
        if torch := sys.modules.get("torch"):
            restore.append((torch.set_rng_state, torch.get_rng_state()))
            if torch.cuda.is_available() and torch.cuda.is_initialized():
                restore.append((torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all()))
        restore_keras, tf_seed = private.keras_random_state(), _tf_seed()
        keras.utils.set_random_seed(seed)
        try:
            yield
        finally:
            for put_back, state in restore:
                put_back(state)
            restore_keras()
            _set_tf_seed(tf_seed)


@contextmanager
def deterministic_ops():
    """Run TensorFlow's ops deterministically, and switch back on exit, when the last run that needs it ends.

    TensorFlow keeps the switch for the whole process: meanwhile it holds for other threads as well.
    """
    global _runs, _before
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    with _OPS:
        if not _runs:
            _before = private.op_determinism(), _tf_seed()
            tf.config.experimental.enable_op_determinism()
            # Random ops without any seed are errors then.
            _set_tf_seed(0 if _before[1] is None else _before[1])
        _runs += 1
    try:
        yield
    finally:
        with _OPS:
            _runs -= 1
            if not _runs:
                if _before[0] is False:
                    private.disable_op_determinism()
                _set_tf_seed(_before[1])


def _tf_seed() -> int | None:
    """Return TensorFlow's global seed; None where it has none or is not loaded."""
    return private.tf_seed() if sys.modules.get("tensorflow") is not None else None


def _set_tf_seed(seed: int | None) -> None:
    if tf := sys.modules.get("tensorflow"):
        tf.random.set_seed(seed)
