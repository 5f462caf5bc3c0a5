"""Models broken on purpose, one fault each, and a sound one: dense layers over the pixels of small clips."""

import functools

import keras
import numpy as np
from keras import layers, ops

from kvzoo.registry import ModelSpec, Option

# row of the battery that must fail: what is broken
FAULTS = {
    "spec": "the feature layer that the spec names is not in the network",
    "parameters": "the spec counts one too many",
    "shape": "a little of the other clips of its batch",
    "finite": "divides by the standard deviation, which a black clip has not",
    "gradients": "a layer behind a stopped gradient",
    "loss": "an output that hardly leaves 0",
    "causal": "a mean over all frames, and the spec says causal",
    "config": "an option whose default is another one after JSON",
    "precision": "a layer for float32 only",
    "resume": "noise of which no variable knows",
    "save": "a layer that Keras cannot make again",
    "backends": "another network on TensorFlow",
}


@keras.saving.register_keras_serializable("broken_models")
class Float32Only(layers.Layer):
    def call(self, x):
        if keras.backend.standardize_dtype(x.dtype) != "float32":
            raise TypeError(f"float32 is wanted. Received: {x.dtype}")
        return x


@keras.saving.register_keras_serializable("broken_models")
class Unsteady(layers.Layer):
    def call(self, x, training=None):
        return x * float(1 + 1e-5 * np.random.default_rng().random()) if training else x


class NotMadeAgain(layers.Layer):
    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return x * self.factor


def build(fault: str, frames: int = 2, image_size: int = 8, sizes=None, width: int = 8) -> keras.Model:
    """Build the network with one of FAULTS, "" for none."""
    clip = keras.Input((frames, image_size, image_size, 1), name="clip")
    x = clip
    if fault == "finite":
        x = x / ops.std(x, axis=(1, 2, 3, 4), keepdims=True)
    x = layers.Dense(width, "relu", name="hidden")(x)
    if fault == "shape":
        x = x + 0.05 * ops.flip(x, 0)
    if fault == "gradients":
        x = x + ops.stop_gradient(layers.Dense(width, name="dead")(clip))
    if fault == "causal":
        x = x + ops.mean(x, axis=1, keepdims=True)
    if fault == "precision":
        x = Float32Only()(x)
    if fault == "resume":
        x = Unsteady()(x)
    if fault == "save":
        x = NotMadeAgain(1.0)(x)
    if fault == "backends" and keras.backend.backend() == "tensorflow":
        x = x + 0.5
    x = layers.Dense(1, "tanh", name="frames")(x)
    return keras.Model(clip, 1e-3 * x if fault == "loss" else x)


for _fault in ("", *FAULTS):
    # `sizes` means nothing; its default is a tuple where the spec's is.
    _sizes = (1, 2) if _fault == "config" else [1, 2]
    globals()[f"build_{_fault}"] = functools.partial(build, _fault, sizes=_sizes)


def spec(fault: str) -> ModelSpec:
    """Return the spec of the model with one of FAULTS, "" for none."""
    counted = 25 + 16 * (fault == "gradients") + (fault == "parameters")
    return ModelSpec(
        name=f"broken_{fault}" if fault else "sound",
        builder=f"broken_models:build_{fault}",
        options={
            "frames": Option("int", 2, "frames of a clip", minimum=1),
            "image_size": Option("int", 8, "height and width in pixels", minimum=1),
            "sizes": Option("list[int]", (1, 2) if fault == "config" else [1, 2]),
            "width": Option("int", 8, "of the hidden layer", minimum=1),
        },
        parameters={"network": counted},
        feature_layer="not_there" if fault == "spec" else "hidden",
        causal=fault in ("causal", ""),
    )
