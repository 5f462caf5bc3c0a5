"""TensorFlow's fused kernel behind Keras's Adam.

Keras writes the step of each weight as some twenty single operations, each a pass over memory and a node to trace. The fused
kernel gives the same numbers in one. The optimizer stays Keras's own, with its slots and its name.
"""

import types

import keras

from kvzoo.kernels import private


def fuse_adam(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Let an Adam or AdamW use the fused kernel, where there is one, and return the optimizer."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    stock = type(inner).update_step is keras.optimizers.Adam.update_step
    if keras.backend.backend() == "tensorflow" and stock and not inner.amsgrad:
        inner.update_step = types.MethodType(_update_step, inner)
    return optimizer


def _update_step(self, gradient, variable, learning_rate):
    import tensorflow as tf

    slots = private.adam_slots(self, variable)
    if slots is None or isinstance(gradient, tf.IndexedSlices):
        return type(self).update_step(self, gradient, variable, learning_rate)
    momentum, velocity = slots
    step = tf.cast(self.iterations + 1, variable.dtype)
    return tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=momentum.value.handle,
        v=velocity.value.handle,
        beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
        beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
        lr=tf.cast(learning_rate, variable.dtype),
        beta1=self.beta_1,
        beta2=self.beta_2,
        epsilon=self.epsilon,
        grad=tf.cast(gradient, variable.dtype),
    )
