"""A speed network over a long chunk at once: what all windows of it would say, for little more than one pass.

A window's logit is a mean over its frames. So the network is run over the chunk as it is, with its convolutions shared
by all windows and each gate's mean over the clip replaced by a running mean over as many frames as a window has; what
the head says of each frame is averaged by the caller over the frames of each window.

That is not the same as separate windows. A window of its own is padded with zeros at both ends, and the network's
field (27 frames) reaches beyond a short window everywhere; a gate of a window is one for all of its frames, here it
moves along. The first is made up for on average: each tap of a temporal kernel is weighed by the share of windows in
which it meets a frame and not padding, 1 - d / window for the tap d frames away from the middle.
"""

import keras
import numpy as np
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
        A network, chunk (B, T, H, W, channels) of any T in -1..1 to (B, T). It has weights of its own.
    """

    def replaced(layer):
        if isinstance(layer, layers.GlobalAveragePooling3D):
            return RunningMean(window, name=layer.name)
        if isinstance(layer, layers.Conv3D) and layer.kernel_size[0] > 1:
            return _without_ends(layer, window)
        return layer

    map_ = network.get_layer(map_layer).output
    trunk = keras.models.clone_model(keras.Model(network.input, map_), clone_function=replaced)
    return keras.Model(trunk.input, _Head(network.layers[-1], over_space=True)(trunk.output))


def _without_ends(layer, window: int):
    """Return a temporal convolution with each tap weighed by the share of windows in which it meets a frame."""
    copy = type(layer).from_config(layer.get_config())
    copy.build(layer.input.shape)
    kernel, *others = layer.get_weights()
    distance = np.abs(np.arange(len(kernel)) - len(kernel) // 2)
    share = np.maximum(1 - distance / window, 0).reshape(-1, 1, 1, 1, 1)
    copy.set_weights([kernel * share, *others])
    return copy
