"""Blocks of several families of models, with PyTorch's initialisers and constants."""

import keras
from keras import layers


def uniform(fan_in: int) -> keras.initializers.Initializer:
    """Return PyTorch's default initialiser of weights and biases: uniform within 1 / sqrt(fan_in).

    Example:
        >>> uniform(4).maxval
        0.5
    """
    bound = fan_in**-0.5
    return keras.initializers.RandomUniform(-bound, bound)


def batch_norm_relu(x):
    """Apply batch norm with PyTorch's constants, then ReLU."""
    # PyTorch's momentum 0.1 is 0.9 in Keras's terms.
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    return layers.ReLU()(x)


def dense(x, units: int, activation: str | None = None, name: str | None = None):
    """Apply a dense layer with PyTorch's initialisers; shapes and arguments as `keras.layers.Dense`."""
    init = uniform(x.shape[-1])
    return layers.Dense(units, activation, kernel_initializer=init, bias_initializer=init, name=name)(x)
