"""The private names of Keras that the kernels use. Where one is gone, its kernel steps back to stock Keras and says so once."""

import logging

import keras

log = logging.getLogger("kvzoo")

FLATTEN_LAYERS = getattr(keras.Model, "_flatten_layers", None)
VARIABLE_INDEX = getattr(keras.optimizers.Adam, "_get_variable_index", None)
ADAM_SLOTS = ("_momentums", "_velocities")

_warned: set[str] = set()


def layers_of(network: keras.Model) -> list[keras.Layer] | None:
    """Return all layers of a network, those within its layers included; None where Keras no longer lists them."""
    if FLATTEN_LAYERS is None:
        _warn("kernels for layers", "Model._flatten_layers")
        return None
    return list(FLATTEN_LAYERS(network))


def adam_slots(optimizer: keras.optimizers.Adam, variable) -> tuple | None:
    """Return the two moving averages that Adam keeps of a variable; None where Keras no longer keeps them so."""
    if VARIABLE_INDEX is None:
        _warn("fused Adam", "Adam._get_variable_index")
        return None
    if missing := [name for name in ADAM_SLOTS if not hasattr(optimizer, name)]:
        _warn("fused Adam", f"Adam.{missing[0]}")
        return None
    index = VARIABLE_INDEX(optimizer, variable)
    return tuple(getattr(optimizer, name)[index] for name in ADAM_SLOTS)


def _warn(kernel: str, name: str) -> None:
    if kernel not in _warned:
        _warned.add(kernel)
        log.warning(
            "%s: Keras %s has no %s; kvzoo uses stock Keras instead, which is slower", kernel, keras.__version__, name
        )
