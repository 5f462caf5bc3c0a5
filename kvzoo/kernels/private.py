"""The private names of Keras and TensorFlow that kvzoo uses, all of them here.

Each is looked up when it is used. Where one is gone, what needs it does with public names, or does without, and one
warning says so.
"""

import importlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

log = logging.getLogger("kvzoo")

FLATTEN_LAYERS = "_flatten_layers"  # of a layer
OUTBOUND_NODES = "_outbound_nodes"  # of a layer
LEARNING_RATE = "_learning_rate"  # of an optimizer
VARIABLE_INDEX = "_get_variable_index"  # of an optimizer
ADAM_SLOTS = ("_momentums", "_velocities")
GLOBAL_STATE = "keras.src.backend.common.global_state"
SEEDS = ("global_random_seed", "global_seed_generator")  # in Keras's global state
UNINITIALIZED = "uninitialized_variables"  # in Keras's global state
TF_CONFIG = "tensorflow.python.framework.config"
TF_CONTEXT = "tensorflow.python.eager.context"

_INNER = ("layer", "forward_layer", "backward_layer", "cell")  # public attributes of layers around others
_ACCESS = ("get_global_attribute", "set_global_attribute")
_warned: set[str] = set()


def layers_of(network: keras.Layer, include_self: bool = True) -> list[keras.Layer]:
    """Return all layers of a network, those within its layers included; itself the first one where asked for."""
    if flatten := getattr(network, FLATTEN_LAYERS, None):
        return list(flatten(include_self=include_self))
    _warn(f"Layer.{FLATTEN_LAYERS}", "looks for layers in public attributes instead")
    layers: dict[int, keras.Layer] = {}
    _collect(network, layers)
    return list(layers.values())[0 if include_self else 1 :]


def _collect(layer: keras.Layer, layers: dict[int, keras.Layer]) -> None:
    if id(layer) not in layers:
        layers[id(layer)] = layer
        inner = [getattr(layer, name, None) for name in _INNER]
        for each in [*getattr(layer, "layers", ()), *inner]:
            if isinstance(each, keras.Layer):
                _collect(each, layers)


def consumers_of(layer: keras.Layer) -> list[keras.Operation]:
    """Return the operations that take what a layer puts out; none where Keras no longer tells."""
    if (nodes := getattr(layer, OUTBOUND_NODES, None)) is None:
        _warn(f"Layer.{OUTBOUND_NODES}", "does not know which layer follows another")
        return []
    return [node.operation for node in nodes]


def learning_rate_of(optimizer: keras.optimizers.Optimizer) -> Any:
    """Return what an optimizer's learning rate comes from: a schedule, a function, a variable or a number."""
    if (rate := getattr(optimizer, LEARNING_RATE, None)) is not None:
        return rate
    _warn(f"Optimizer.{LEARNING_RATE}", "makes schedules anew from the optimizer's configuration instead")
    rate = optimizer.get_config()["learning_rate"]
    return keras.saving.deserialize_keras_object(rate) if isinstance(rate, dict) else rate


def adam_slots(optimizer: keras.optimizers.Adam, variable) -> tuple | None:
    """Return the two moving averages that Adam keeps of a variable; None where Keras no longer keeps them so."""
    if missing := [name for name in (VARIABLE_INDEX, *ADAM_SLOTS) if not hasattr(optimizer, name)]:
        _warn(f"Adam.{missing[0]}", "uses stock Keras's Adam instead, which is slower")
        return None
    index = getattr(optimizer, VARIABLE_INDEX)(variable)
    return tuple(getattr(optimizer, name)[index] for name in ADAM_SLOTS)


def keras_random_state() -> Callable[[], None]:
    """Return a function that gives Keras the global seed and the seed generator back that it has now."""
    if (state := _module(GLOBAL_STATE, "does not give Keras its own seed back", *_ACCESS)) is None:
        return lambda: None
    values = [(name, state.get_global_attribute(name)) for name in SEEDS]

    def restore() -> None:
        for name, value in values:
            state.set_global_attribute(name, value)

    return restore


@contextmanager
def uninitialized_variables() -> Iterator[list[keras.Variable] | None]:
    """Yield a list to which each variable is added that is made within, in a stateless scope that initializes none.

    It is None where Keras no longer keeps such a list.
    """
    instead = "does not compare a network's size with its file's before it is built"
    if (state := _module(GLOBAL_STATE, instead, *_ACCESS)) is None:
        yield None
        return
    # Variables made in a stateless scope wait in a list, by thread, for the end of the outermost one.
    waiting, variables = state.get_global_attribute(UNINITIALIZED), []
    state.set_global_attribute(UNINITIALIZED, variables)
    try:
        yield variables
    finally:
        state.set_global_attribute(UNINITIALIZED, waiting)


def op_determinism() -> bool | None:
    """Return whether TensorFlow's ops are deterministic; None where it does not tell, or could not be told to stop."""
    instead = "leaves TensorFlow's ops deterministic once they are"
    if (config := _module(TF_CONFIG, instead, "is_op_determinism_enabled", "disable_op_determinism")) is None:
        return None
    return config.is_op_determinism_enabled()


def disable_op_determinism() -> None:
    """Let TensorFlow's ops be as they are without `enable_op_determinism`; only where `op_determinism` tells."""
    importlib.import_module(TF_CONFIG).disable_op_determinism()


def tf_seed() -> int | None:
    """Return TensorFlow's global seed; None where it has none, or does not tell."""
    context = _module(TF_CONTEXT, "does not give TensorFlow its own seed back", "global_seed")
    return None if context is None else context.global_seed()


def _module(name: str, instead: str, *functions: str) -> Any:
    """Return a private module with the functions that are wanted of it; None where it, or one of them, is gone."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        _warn(name, instead)
        return None
    if missing := [function for function in functions if not hasattr(module, function)]:
        _warn(f"{name}.{missing[0]}", instead)
        return None
    return module


def _warn(name: str, instead: str) -> None:
    if name not in _warned:
        _warned.add(name)
        if name.startswith("tensorflow."):
            import tensorflow as tf

            library = f"TensorFlow {tf.__version__}"
        else:
            library = f"Keras {keras.__version__}"
        log.warning("%s has no %s; kvzoo %s", library, name, instead)
