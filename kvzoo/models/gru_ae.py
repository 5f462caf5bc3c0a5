"""GRU-AE: an autoencoder whose code is a sequence.

Every frame is encoded to a latent vector, a GRU runs over the sequence of latents, and each
of its outputs is decoded to a frame.

Source: the article "video reconstruction with GRU and autoencoder" and its code,
satolab12/GRU-Autoencoder (PyTorch). Geometry, batch-norm constants and initialisers are
PyTorch's, so that weights carry over exactly (kernels turned by 180 degrees, see below). What
differs: nothing in the network; a `width` argument scales the convolutions.

    clip (T, H, W, C)
      frames        3x3 conv  w, 2w/2, 4w/2, 8w/2, 16w/2      batch norm + ReLU, none on the last
      latents       dense to latent_dim                       (T, latent_dim): the code
      GRU           units, N(0, 1) initial state in training, zero at inference
      frames        dense to H/16 x W/16 x 16w, 3x3 transposed conv 8w, 4w, 2w, w
      clip          3x3 conv to C, tanh
"""

import keras
from keras import layers, ops

from kvzoo.models.blocks import batch_norm_relu, dense, uniform


def conv(x, filters: int, strides: int = 1, name: str | None = None):
    """3x3 convolution without bias, PyTorch's padding 1 (on frames turned by 180 degrees)."""
    kernel = uniform(9 * x.shape[-1])
    return layers.Conv2D(filters, 3, strides, "same", use_bias=False, kernel_initializer=kernel, name=name)(x)


def conv_transpose(x, filters: int):
    """3x3 transposed convolution of stride 2 without bias; PyTorch's padding 1, output padding 1."""
    # PyTorch counts the fan-in of a transposed convolution over its outputs.
    kernel = uniform(9 * filters)
    return layers.Conv2DTranspose(filters, 3, 2, "same", use_bias=False, kernel_initializer=kernel)(x)


def gru_ae(
    frames: int = 4,
    image_size: int = 64,
    channels: int = 1,
    latent_dim: int = 64,
    units: int = 100,
    width: int = 32,
) -> keras.Model:
    """Build GRU-AE.

    Args:
        frames: T, frames of a clip, at least 1.
        image_size: height and width of a frame in pixels, divisible by 16.
        channels: 1 (grey) or 3 (RGB).
        latent_dim: size of a frame's latent vector (reference: 64).
        units: size of the GRU's state (reference: 100).
        width: filters of the first convolution; the last has 16 times as many (reference: 32).

    Returns:
        A functional model, clips (B, T, H, W, C) in -1..1 to clips of the same shape in -1..1.
        The layer `latents` gives the code, (B, T, latent_dim).

    Raises:
        ValueError: image_size is not a positive multiple of 16.

    Example:
        >>> gru_ae(frames=2, image_size=16, latent_dim=4, units=4, width=1).output_shape
        (None, 2, 16, 16, 1)
    """
    if image_size < 16 or image_size % 16:
        raise ValueError(f"gru_ae: image_size must be a positive multiple of 16. Received: {image_size}")
    small = image_size // 16
    clip_shape = (frames, image_size, image_size, channels)

    clip = keras.Input(clip_shape, name="clip")
    # At stride 2 PyTorch pads before the frame, "same" behind it. Turning the frames by 180 degrees
    # at both ends makes them agree at no cost; padding and cropping took a quarter of the step.
    x = ops.flip(ops.reshape(clip, (-1, *clip_shape[1:])), (1, 2))
    x = batch_norm_relu(conv(x, width))
    for filters in (2 * width, 4 * width, 8 * width):
        x = batch_norm_relu(conv(x, filters, strides=2))
    x = layers.ReLU()(conv(x, 16 * width, strides=2))
    x = dense(layers.Flatten()(x), latent_dim)
    latents = layers.Identity(name="latents")(ops.reshape(x, (-1, frames, latent_dim)))

    # Noise on zeros is N(0, 1) in training and zero at inference: the reference's initial state.
    zeros = ops.zeros_like(latents[:, 0, :1])
    start = layers.GaussianNoise(1.0, name="initial_state")(ops.repeat(zeros, units, axis=-1))
    init = uniform(units)
    states = layers.GRU(
        units,
        return_sequences=True,
        kernel_initializer=init,
        recurrent_initializer=init,
        bias_initializer=init,
        name="gru",
    )(latents, initial_state=start)

    x = ops.reshape(states, (-1, units))
    x = layers.Reshape((small, small, 16 * width))(dense(x, small * small * 16 * width))
    for filters in (8 * width, 4 * width, 2 * width, width):
        x = batch_norm_relu(conv_transpose(x, filters))
    x = ops.flip(ops.tanh(conv(x, channels, name="frames")), (1, 2))
    return keras.Model(clip, ops.reshape(x, (-1, *clip_shape)), name="gru_ae")
