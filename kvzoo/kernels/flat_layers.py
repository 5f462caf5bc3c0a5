"""Three-dimensional layers that are two-dimensional at heart, run as such.

A 1xkxk convolution or max pool is one over frames, a kx1x1 one is one over pixels' courses. Every backend's
two-dimensional kernels are the faster ones on a CPU. The layers stay Keras's own, so that what is saved loads anywhere.
"""

import types
from collections.abc import Iterable

import keras
from keras import ops


def flatten(layers: Iterable[keras.Layer]) -> None:
    """Let flat 3D convolutions and max pools run as 2D ones."""
    for layer in layers:
        if type(layer) is keras.layers.Conv3D:
            size, plain = layer.kernel_size, layer.groups == 1 and set(layer.dilation_rate) == {1}
        elif type(layer) is keras.layers.MaxPooling3D:
            size, plain = layer.pool_size, True
        else:
            continue
        if plain and layer.data_format == "channels_last" and layer.padding == "same":
            if size[0] == 1 and layer.strides[0] == 1:
                layer.call = types.MethodType(_over_frames, layer)
            elif size[1:] == (1, 1) and layer.strides[1:] == (1, 1):
                layer.call = types.MethodType(_over_courses, layer)


def _over_frames(self, inputs):
    batch, time, *frame = ops.shape(inputs)
    x = _run(self, ops.reshape(inputs, (-1, *frame)), slice(1, 3))
    return ops.reshape(x, (batch, time, *ops.shape(x)[1:]))


def _over_courses(self, inputs):
    batch, time, height, width, channels = ops.shape(inputs)
    x = _run(self, ops.reshape(inputs, (batch, time, height * width, channels)), slice(0, 2))
    return ops.reshape(x, (batch, -1, height, width, x.shape[-1]))


def _run(self, x, axes: slice):
    """Run the layer on frames (N, H, W, C), or on courses (N, T, H * W, C), along two of its axes."""
    strides = self.strides[axes]
    if isinstance(self, keras.layers.MaxPooling3D):
        return ops.max_pool(x, self.pool_size[axes], strides, "same", data_format="channels_last")
    kernel = ops.squeeze(ops.convert_to_tensor(self.kernel), 0 if axes.start else 2)
    x = ops.conv(x, kernel, strides, "same", data_format="channels_last")
    if self.use_bias:
        x = x + ops.convert_to_tensor(self.bias)
    return self.activation(x) if self.activation is not None else x
