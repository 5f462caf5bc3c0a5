"""The one door to the kernels. KVZOO_STOCK=1 closes it: then all layers and optimizers run as Keras has them."""

import os

import keras

from kvzoo.errors import InputError
from kvzoo.kernels import private
from kvzoo.kernels.few_filters import widen
from kvzoo.kernels.flat_layers import flatten
from kvzoo.kernels.fused_adam import fuse_adam
from kvzoo.kernels.fused_batch_norm import fuse_batch_norm


def accelerate(network: keras.Model) -> None:
    """Let the layers of a network run on kvzoo's kernels, where there is one that gives the same numbers.

    The layers stay Keras's own, so that what is saved loads anywhere.

    Raises:
        InputError: KVZOO_STOCK is neither 0 nor 1.
    """
    if stock():
        return
    layers = private.layers_of(network)
    fuse_batch_norm(layers)
    flatten(layers)
    widen(layers)


def accelerate_optimizer(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Let an optimizer run on kvzoo's kernels, where there is one that gives the same numbers, and return it.

    Raises:
        InputError: KVZOO_STOCK is neither 0 nor 1.
    """
    return optimizer if stock() else fuse_adam(optimizer)


def stock() -> bool:
    """Return whether KVZOO_STOCK turns the kernels off."""
    value = os.environ.get("KVZOO_STOCK", "")
    if value not in ("", "0", "1"):
        raise InputError(f"KVZOO_STOCK: 0 (kvzoo's kernels) or 1 (stock Keras). Received: {value!r}")
    return value == "1"
