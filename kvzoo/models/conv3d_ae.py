"""3D-CNN autoencoder: an autoencoder whose code is one point.

The whole clip is encoded to a single latent vector by 3D convolutions, and decoded from it.

Source: the article "3D-CNNを用いたAutoencoderによる動画像の再構成" and its code,
satolab12/3D-CNN-Autoencoder (PyTorch). Geometry, batch-norm constants and initialisers are
PyTorch's, so that weights carry over exactly.
What differs: nothing in the network; a `width` argument scales the convolutions.

    clip (T, H, W, C)
      4x4x4 conv, stride 2             w, 2w, 4w, 8w            batch norm + ReLU
      dense to latent_dim, ReLU        (latent_dim,): the code
      dense to T/16 x H/16 x W/16 x 8w, ReLU
      4x4x4 transposed conv, stride 2  4w, 2w, w                batch norm + ReLU
      4x4x4 transposed conv, stride 2  to C, tanh
    clip
"""

import math

import keras
from keras import layers, ops

from kvzoo.models.blocks import batch_norm_relu, dense, uniform


def downsample(x, filters: int):
    """4x4x4 convolution of stride 2 without bias; "same" on even sizes is PyTorch's padding 1."""
    kernel = uniform(4**3 * x.shape[-1])
    return layers.Conv3D(filters, 4, 2, "same", use_bias=False, kernel_initializer=kernel)(x)


def upsample(x, filters: int, name: str | None = None):
    """4x4x4 transposed convolution of stride 2 without bias; "same" is PyTorch's padding 1."""
    # PyTorch counts the fan-in of a transposed convolution over its outputs.
    kernel = uniform(4**3 * filters)
    return layers.Conv3DTranspose(filters, 4, 2, "same", use_bias=False, kernel_initializer=kernel, name=name)(x)


def conv3d_ae(
    frames: int = 16,
    image_size: int = 128,
    channels: int = 1,
    latent_dim: int = 128,
    width: int = 64,
) -> keras.Model:
    """Build the 3D-CNN autoencoder.

    Args:
        frames: T, frames of a clip, divisible by 16.
        image_size: height and width of a frame in pixels, divisible by 16.
        channels: 1 (grey) or 3 (RGB).
        latent_dim: size of a clip's latent vector (reference: 128).
        width: filters of the first convolution; the last has 8 times as many (reference: 64).

    Returns:
        A functional model, clips (B, T, H, W, C) in -1..1 to clips of the same shape in -1..1.
        The layer `latent` gives the code, (B, latent_dim), not negative.

    Raises:
        ValueError: frames or image_size is not a positive multiple of 16.

    Example:
        >>> conv3d_ae(frames=16, image_size=16, latent_dim=4, width=1).output_shape
        (None, 16, 16, 16, 1)
    """
    for option, size in (("frames", frames), ("image_size", image_size)):
        if size < 16 or size % 16:
            raise ValueError(f"conv3d_ae: {option} must be a positive multiple of 16. Received: {size}")

    clip = keras.Input((frames, image_size, image_size, channels), name="clip")
    x = clip
    for filters in (width, 2 * width, 4 * width, 8 * width):
        x = batch_norm_relu(downsample(x, filters))
    small = x.shape[1:]

    latent = dense(layers.Flatten()(x), latent_dim, "relu", name="latent")
    x = layers.Reshape(small)(dense(latent, math.prod(small), "relu"))

    for filters in (4 * width, 2 * width, width):
        x = batch_norm_relu(upsample(x, filters))
    return keras.Model(clip, ops.tanh(upsample(x, channels, name="frames")), name="conv3d_ae")
