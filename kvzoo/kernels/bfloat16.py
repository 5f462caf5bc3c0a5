"""bfloat16 on a CPU, where oneDNN's kernels for it read memory that nothing has written.

With one seed a small GAN's gradients are finite once and infinite the next time (PyTorch 2.13, TensorFlow 2.21); without oneDNN
equal seeds give equal bits. PyTorch can do without it for a while, TensorFlow decides when it is imported.
"""

import functools
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import keras

from kvzoo.process import ONEDNN

log = logging.getLogger("kvzoo")

_one_at_a_time = threading.RLock()


@contextmanager
def steady_bfloat16(compute_dtype: str) -> Iterator[None]:
    """Within, networks that compute in bfloat16 do so without oneDNN where PyTorch runs on a CPU.

    oneDNN is on or off for the whole process, so there one thread computes at a time, in whatever precision: a backward
    pass without it cannot follow a forward pass with it.
    """
    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    if torch.cuda.is_available():
        yield
        return
    with _one_at_a_time:
        if compute_dtype != "bfloat16":
            yield
            return
        with torch.backends.mkldnn.flags(enabled=False), _contiguous_kernels()():
            yield


@functools.cache  # a step enters it, and the class is the same each time
def _contiguous_kernels() -> type:
    """Return a context in which PyTorch's 2D convolutions get contiguous kernels; without oneDNN no other has a gradient."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Contiguous(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function in (torch.conv2d, torch.conv_transpose2d) and len(args) > 1:
                args = (args[0], args[1].contiguous(), *args[2:])
            return function(*args, **(kwargs or {}))

    return Contiguous


def warn_of_bfloat16(compute_dtype: str) -> None:
    """Warn where gradients may be infinite at random: bfloat16 in TensorFlow on a CPU with oneDNN."""
    if keras.backend.backend() != "tensorflow" or compute_dtype != "bfloat16" or os.environ.get(ONEDNN) == "0":
        return
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        log.warning(
            "mixed_bfloat16 on a CPU: oneDNN's kernels may give infinite gradients at random; "
            "set %s=0, or take float32, which is no slower here",
            ONEDNN,
        )
