"""PyTorch's bfloat16 on a CPU, without oneDNN.

There PyTorch 2.13's oneDNN convolutions read memory that nothing has written: with one seed a small GAN's gradients are finite
once and infinite the next time. Without oneDNN equal seeds give equal bits.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def steady_bfloat16(compute_dtype: str) -> Iterator[None]:
    """Within, networks that compute in bfloat16 do so without oneDNN where PyTorch runs on a CPU."""
    if keras.backend.backend() != "torch" or compute_dtype != "bfloat16":
        yield
        return
    import torch

    if torch.cuda.is_available():
        yield
        return
    with torch.backends.mkldnn.flags(enabled=False):
        yield
