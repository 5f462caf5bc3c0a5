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
        once = _Once()
        inner.apply = types.MethodType(once.apply, inner)
        inner.update_step = types.MethodType(once.update_step, inner)
    return optimizer


class _Once:
    """What the updates of all weights in one `apply` share: computed once, it is fewer nodes to trace and to optimise."""

    def __init__(self):
        self._shared: dict | None = None

    def apply(self, optimizer, grads, trainable_variables=None):
        self._shared = {}
        try:
            return type(optimizer).apply(optimizer, grads, trainable_variables)
        finally:
            self._shared = None

    def update_step(self, optimizer, gradient, variable, learning_rate):
        import tensorflow as tf

        slots = private.adam_slots(optimizer, variable)
        if slots is None or isinstance(gradient, tf.IndexedSlices):
            return type(optimizer).update_step(optimizer, gradient, variable, learning_rate)
        momentum, velocity = slots
        return tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=momentum.value.handle,
            v=velocity.value.handle,
            **self._scalars(optimizer, variable.dtype, learning_rate),
            grad=tf.cast(gradient, variable.dtype),
        )

    def _scalars(self, optimizer, dtype: str, learning_rate) -> dict:
        import tensorflow as tf

        # A branch of a condition is a graph of its own, and sees no other branch's tensors.
        key = dtype, id(tf.compat.v1.get_default_graph()), id(learning_rate)
        shared = {} if self._shared is None else self._shared
        if key not in shared:
            step = tf.cast(optimizer.iterations + 1, dtype)
            shared[key] = {
                "beta1_power": tf.pow(tf.cast(optimizer.beta_1, dtype), step),
                "beta2_power": tf.pow(tf.cast(optimizer.beta_2, dtype), step),
                "lr": tf.cast(learning_rate, dtype),
                "beta1": tf.constant(optimizer.beta_1, dtype),
                "beta2": tf.constant(optimizer.beta_2, dtype),
                "epsilon": tf.constant(optimizer.epsilon, dtype),
            }
        return shared[key]
