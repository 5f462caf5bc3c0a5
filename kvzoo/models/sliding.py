"""A trained speed network taken apart: what it says of each frame of a long chunk, and of each place of its map.

A window's logit is a mean over its frames. So that windows need not be run one by one, the network is run over a chunk
as it is: its convolutions are shared by all windows, and each gate's mean over the clip becomes a running mean over as
many frames as a window has. What the head says of each frame is averaged by the caller over the frames of each window.

That is not the same as separate windows. One of its own is padded with zeros at both ends, and the network's field of
27 frames reaches beyond a short window everywhere; and its gates are the same for all its frames, here they move along.
"""

import keras
from keras import layers, ops

FIELD = 13  # frames to each side that the trunk sees: 3 of the stem, 1 of 2c, 1 of each of nine Inception blocks


class RunningMean(layers.Layer):
    """Mean over space, and over `window` frames around each: (B, T, H, W, C) to (B, T, 1, 1, C).

    Near an end of the chunk it is the mean over those of the frames that there are.
    """

    def __init__(self, window: int, **options):
        super().__init__(**options)
        self.window = window

    def call(self, x):
        still = ops.mean(ops.cast(x, "float32"), axis=(2, 3), keepdims=True)
        frames = ops.shape(still)[1]
        sums = ops.concatenate([ops.zeros_like(still[:, :1]), ops.cumsum(still, axis=1)], axis=1)
        at = ops.arange(frames)
        first = ops.maximum(at - (self.window - 1) // 2, 0)
        last = ops.minimum(at + self.window // 2 + 1, frames)
        count = ops.reshape(ops.cast(last - first, "float32"), (1, -1, 1, 1, 1))
        return ops.cast((ops.take(sums, last, axis=1) - ops.take(sums, first, axis=1)) / count, x.dtype)


class _Head(layers.Layer):
    """What the head says of each place of a map, (B, T, h, w, C) to (B, T, h, w), or of its maximum over space."""

    def __init__(self, head, over_space: bool):
        super().__init__(name="head_on_map")
        self.head, self.over_space = head, over_space

    def call(self, x):
        return self.head(ops.max(x, axis=(2, 3)) if self.over_space else x)[..., 0]


def map_logits(network: keras.Model, map_layer: str) -> keras.Model:
    """Return a speed network's class activation map: clips (B, T, H, W, channels) to logits (B, T, h, w)."""
    map_ = network.get_layer(map_layer).output
    return keras.Model(network.input, _Head(network.layers[-1], over_space=False)(map_))


def sliding(network: keras.Model, map_layer: str, window: int) -> keras.Model:
    """Return a network that says for each frame of a chunk what its windows' logits are means of.

    Args:
        network: a speed network; every GlobalAveragePooling3D below its map is taken for a gate's mean, and its last
            layer for the head.
        map_layer: name of the layer that gives the map (B, T, h, w, C).
        window: frames of a window.

    Returns:
        A network with the same weights, chunks (B, T, H, W, channels) of any T in -1..1 to (B, T).
    """

    def moving(layer):
        gate = isinstance(layer, layers.GlobalAveragePooling3D)
        return RunningMean(window, name=layer.name) if gate else layer

    trunk = keras.Model(network.input, network.get_layer(map_layer).output)
    trunk = keras.models.clone_model(trunk, clone_function=moving)
    return keras.Model(trunk.input, _Head(network.layers[-1], over_space=True)(trunk.output))
