"""3D transposed convolutions of size 4 and stride 2 with few filters, run forward as plain ones on the coarse grid.

A convolution of size 2 makes, for each place of the input, the 2x2x2 outputs beside it as so many channels, which are then laid
out. oneDNN computes the transposed one as the gradient of a convolution with as few inputs as this has filters, and runs that
at a tenth of the machine's rate: 156 ms of the processor against 27 for the last layer of the 3D autoencoder. Gradients come from
the kernels that they come from anyway. The layers stay Keras's own, so that what is saved loads anywhere.
"""

import types
from collections.abc import Iterable

import keras

FEW = 4  # filters; with more the transposed kernel is the faster one


def widen(layers: Iterable[keras.Layer]) -> None:
    """Let 3D transposed convolutions with few filters run as plain ones, on TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        return
    for layer in layers:
        if (
            type(layer) is keras.layers.Conv3DTranspose
            and layer.filters <= FEW
            and layer.kernel_size == (4, 4, 4)
            and layer.strides == (2, 2, 2)
            and layer.dilation_rate == (1, 1, 1)
            and layer.padding == "same"
            and layer.output_padding is None
            and layer.data_format == "channels_last"
        ):
            layer.call = types.MethodType(_call, layer)


def _call(self, inputs):
    if inputs.dtype != "float32":
        return type(self).call(self, inputs)
    import tensorflow as tf

    x = tf.custom_gradient(_transposed)(inputs, tf.convert_to_tensor(self.kernel))
    if self.use_bias:
        x = x + tf.convert_to_tensor(self.bias)
    return self.activation(x) if self.activation is not None else x


def _transposed(inputs, kernel):
    """Return the transposed convolution of (N, D, H, W, channels), and its pullback."""
    import tensorflow as tf

    filters, channels = kernel.shape[-2:]
    batch, *sizes = tf.unstack(tf.shape(inputs))[:-1]
    # Tap 2 * t + p of an axis is what the input t places before gives to phase p of its two outputs.
    taps = tf.reverse(tf.reshape(kernel, (2, 2, 2, 2, 2, 2, filters, channels)), (0, 2, 4))
    taps = tf.reshape(tf.transpose(taps, (0, 2, 4, 7, 1, 3, 5, 6)), (2, 2, 2, channels, 8 * filters))
    x = tf.nn.conv3d(tf.pad(inputs, ((0, 0), (1, 1), (1, 1), (1, 1), (0, 0))), taps, (1, 1, 1, 1, 1), "VALID")
    x = tf.reshape(x, (batch, *(size + 1 for size in sizes), 2, 2, 2, filters))
    x = tf.transpose(x, (0, 1, 4, 2, 5, 3, 6, 7))
    x = tf.reshape(x, (batch, *(2 * size + 2 for size in sizes), filters))[:, 1:-1, 1:-1, 1:-1]
    x = tf.ensure_shape(x, (inputs.shape[0], *(size and 2 * size for size in inputs.shape[1:-1]), filters))

    def pullback(gradient):
        options = {"strides": (1, 2, 2, 2, 1), "padding": "SAME"}
        return tf.nn.conv3d(gradient, kernel, **options), tf.raw_ops.Conv3DBackpropFilterV2(
            input=gradient, filter_sizes=kernel.shape, out_backprop=inputs, **options
        )

    return x, pullback
