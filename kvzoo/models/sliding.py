"""A trained speed network on a long chunk of video: a logit for each frame, or for each position of its map.

A window's logit is a mean over its frames. So that windows need not be run one by one, the network runs once over a
chunk: its convolutions are shared by all windows, and each gate's mean over the clip becomes a running mean over as
many frames as a window has. The caller averages the head's outputs over the frames of each window.

The result differs from that of separate windows. A separate window is padded with zeros at both ends, and the network's
receptive field of 27 frames extends beyond a short window everywhere; and its gates are the same for all its frames,
while here they change from frame to frame.
"""

import keras
from keras import layers, ops

FIELD = 13  # frames to each side that the trunk sees: 3 of the stem, 1 of 2c, 1 of each of nine Inception blocks


class RunningMean(layers.Layer):
    """Mean over space, and over `window` frames around each: (B, T, H, W, C) to (B, T, 1, 1, C).

    Near an end of the chunk it is the mean over the frames within the chunk.

    Args:
        window: frames.

    Example:
        >>> x = ops.reshape(ops.arange(4.0), (1, 4, 1, 1, 1))
        >>> ops.convert_to_numpy(RunningMean(3)(x)).ravel().tolist()
        [0.5, 1.0, 2.0, 2.5]
    """

    def __init__(self, window: int, **options):
        super().__init__(**options)
        self.window = window

    def call(self, x):
        means = ops.mean(ops.cast(x, "float32"), axis=(2, 3), keepdims=True)
        frames = ops.shape(means)[1]
        sums = ops.concatenate([ops.zeros_like(means[:, :1]), ops.cumsum(means, axis=1)], axis=1)
        index = ops.arange(frames)
        first = ops.maximum(index - (self.window - 1) // 2, 0)
        last = ops.minimum(index + self.window // 2 + 1, frames)
        count = ops.reshape(ops.cast(last - first, "float32"), (1, -1, 1, 1, 1))
        return ops.cast((ops.take(sums, last, axis=1) - ops.take(sums, first, axis=1)) / count, x.dtype)


class _Head(layers.Layer):
    """The head at each position of a map, (B, T, h, w, C) to (B, T, h, w), or on its maximum over space, to (B, T)."""

    def __init__(self, head, over_space: bool):
        super().__init__(name="head_on_map")
        self.head, self.over_space = head, over_space

    def call(self, x):
        return self.head(ops.max(x, axis=(2, 3)) if self.over_space else x)[..., 0]


def map_logits(network: keras.Model, map_layer: str) -> keras.Model:
    """Return a speed network's class activation map: clips (B, T, H, W, channels) to logits (B, T, h, w).

    Args:
        network: a speed network; its last layer must be the head.
        map_layer: name of the layer that gives the map (B, T, h, w, C).
    """
    map_ = network.get_layer(map_layer).output
    return keras.Model(network.input, _Head(network.layers[-1], over_space=False)(map_))


def sliding(network: keras.Model, map_layer: str, window: int) -> keras.Model:
    """Return a network that gives a logit for each frame of a chunk; a window's logit is their mean.

    Args:
        network: a speed network; every GlobalAveragePooling3D below its map must be a gate's mean, and its last layer
            the head.
        map_layer: name of the layer that gives the map (B, T, h, w, C).
        window: frames of a window.

    Returns:
        A network with the same weights, chunks (B, T, H, W, channels) of any T in -1..1 to (B, T).

    Example:
        >>> from kvzoo.models.speednet import speednet
        >>> network = sliding(speednet(width=0.0625), "map", window=8)
        >>> network.output_shape
        (None, None)
    """

    def moving(layer):
        gate = isinstance(layer, layers.GlobalAveragePooling3D)
        return RunningMean(window, name=layer.name) if gate else layer

    trunk = keras.Model(network.input, network.get_layer(map_layer).output)
    trunk = keras.models.clone_model(trunk, clone_function=moving)
    return keras.Model(trunk.input, _Head(network.layers[-1], over_space=True)(trunk.output))
