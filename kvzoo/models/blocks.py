"""Blocks that more than one family of models uses: PyTorch's initialisers and constants."""

import keras
from keras import layers


def uniform(fan_in: int) -> keras.initializers.Initializer:
    """PyTorch's default for weights and biases: uniform within 1 / sqrt(fan_in)."""
    bound = fan_in**-0.5
    return keras.initializers.RandomUniform(-bound, bound)


def batch_norm_relu(x):
    """Batch norm with PyTorch's constants, then ReLU."""
    # PyTorch's momentum 0.1 is 0.9 in Keras's terms.
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    return layers.ReLU()(x)


def dense(x, units: int, activation: str | None = None, name: str | None = None):
    """Dense layer with PyTorch's initialisers."""
    init = uniform(x.shape[-1])
    return layers.Dense(units, activation, kernel_initializer=init, bias_initializer=init, name=name)(x)
