"""TensorFlow's fused kernel behind Keras's batch normalisation, in training.

Keras computes batch normalisation from single operations. The fused kernel gives the same numbers
three times as fast on a CPU, a quarter of GRU-AE's step. The layers stay Keras's own, so that what
is saved loads anywhere.
"""

import types
from collections.abc import Iterable

import keras


def fuse_batch_norm(layers: Iterable[keras.Layer]) -> None:
    """Let batch-norm layers use the fused kernel in training, where there is one."""
    if keras.backend.backend() != "tensorflow":
        return
    for layer in layers:
        if type(layer) is keras.layers.BatchNormalization:
            layer.call = types.MethodType(_call, layer)


def _call(self, inputs, training=None, mask=None):
    rank = len(inputs.shape)
    fits = (
        training
        and self.trainable
        and mask is None
        and rank in (4, 5)
        and self.axis in (-1, rank - 1)
        and self.scale
        and self.center
        and not self.synchronized
        and inputs.dtype == "float32"
    )
    if not fits:
        return type(self).call(self, inputs, training=training, mask=mask)
    import tensorflow as tf

    # The kernel takes four axes; how the ones before the channels are grouped is all the same to it.
    x = inputs if rank == 4 else tf.reshape(inputs, [1, -1, 1, inputs.shape[-1]])
    x, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=self.gamma.value,
        offset=self.beta.value,
        mean=[],
        variance=[],
        epsilon=self.epsilon,
        is_training=True,
    )
    # The kernel returns the unbiased variance; Keras's running average is of the biased one.
    count = tf.cast(tf.size(inputs) // inputs.shape[-1], variance.dtype)
    variance = variance * (count - 1) / count
    momentum = self.momentum
    self.moving_mean.assign(self.moving_mean * momentum + mean * (1.0 - momentum))
    self.moving_variance.assign(self.moving_variance * momentum + variance * (1.0 - momentum))
    return x if rank == 4 else tf.reshape(x, tf.shape(inputs))
