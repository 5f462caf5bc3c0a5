"""pix2pix on frames: n frames to m frames by a U-Net, and the discriminator of patches that it is trained against.

Source: Isola, Zhu, Zhou and Efros, "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017,
arXiv 1611.07004, appendix 6.1; as the article on frame interpolation uses it (code pekatuu/pix2pix-tensorflow, branch
multi_A): frames are stacked on the channel axis.
What differs: convolutions before a batch norm carry no bias, which would change nothing; the depth follows from the
image size, so that the bottleneck is 1x1 at all of them (the paper's sizes: 256).

    inputs (n, H, W, C), stacked to H x W x nC
      encoder    4x4 conv, stride 2, to 1x1      w, 2w, 4w, 8w, 8w, …     leaky ReLU 0.2 before each but the first;
                                                                          batch norm, not on the first and the last
      decoder    4x4 transposed conv, stride 2   the encoder's, backwards ReLU before each; batch norm; dropout on the
                                                                          first three; then the encoder's output of
                                                                          that size appended
                 4x4 transposed conv, stride 2   mC', tanh
    outputs (m, H, W, C')

    inputs and targets, stacked to H x W x (nC + mC')
      discriminator
                 4x4 conv, stride 2              w, 2w, 4w, 8w, …         leaky ReLU 0.2; batch norm, not on the first
                 4x4 conv, stride 1              twice the last, 8w at most; the same
                 4x4 conv, stride 1              1, a logit a patch

The number of strided convolutions of the discriminator sets the patch that a logit sees: 16 pixels with one, 34 with
two, 70 with three, 142 with four, 286 with five. The discriminator of single pixels has 1x1 convolutions of w and 2w.
"""

import random

import keras
from keras import layers

from kvzoo import deprecations

# Pixels that a logit of the discriminator sees, and the strided convolutions that make it so; 1 has none.
PATCHES = {1: 0, 16: 1, 34: 2, 70: 3, 142: 4, 286: 5}
SIZES = (32, 64, 128, 256, 512)


def normal() -> keras.initializers.Initializer:
    """The paper's weights: N(0, 0.02). An initialiser of its own for each layer, or they would draw the same."""
    return keras.initializers.RandomNormal(0.0, 0.02)


def batch_norm(x, name: str):
    """Batch norm with the original's constants."""
    scale = keras.initializers.RandomNormal(1.0, 0.02)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=scale, name=name)(x)


def stacked(clip):
    """Return frames (B, T, H, W, C) stacked on the channel axis, (B, H, W, T * C)."""
    frames, height, width, channels = clip.shape[1:]
    if frames == 1:
        return layers.Reshape((height, width, channels))(clip)
    return layers.Reshape((height, width, frames * channels))(layers.Permute((2, 3, 1, 4))(clip))


def unstacked(x, frames: int):
    """Return (B, H, W, T * C) as frames (B, T, H, W, C)."""
    height, width, channels = x.shape[1:]
    if frames == 1:
        return layers.Reshape((1, height, width, channels))(x)
    x = layers.Reshape((height, width, frames, channels // frames))(x)
    return layers.Permute((3, 1, 2, 4))(x)


def downsample(x, filters: int, name: str, bias: bool = False):
    """Convolution of size 4 and stride 2; "same" is PyTorch's padding 1."""
    return layers.Conv2D(filters, 4, 2, "same", use_bias=bias, kernel_initializer=normal(), name=name)(x)


def upsample(x, filters: int, name: str, bias: bool = False):
    """Transposed convolution of size 4 and stride 2."""
    return layers.Conv2DTranspose(filters, 4, 2, "same", use_bias=bias, kernel_initializer=normal(), name=name)(x)


def check_size(image_size: int) -> None:
    """Check that a size halves down to one pixel.

    Raises:
        ValueError: image_size is none of SIZES.
    """
    if image_size not in SIZES:
        raise ValueError(f"pix2pix: image_size must be one of {', '.join(map(str, SIZES))}. Received: {image_size}")


def pix2pix(
    frames_in: int = 2,
    frames_out: int = 5,
    image_size: int = 128,
    channels: int = 3,
    channels_out: int | None = None,
    width: int = 64,
    dropout: float = 0.5,
    patch: int = 70,
) -> keras.Model:
    """Build pix2pix's U-Net.

    Args:
        frames_in: n, input frames.
        frames_out: m, output frames.
        image_size: height and width of a frame in pixels, a power of two from 32 to 512; the encoder halves it to 1.
        channels: C of an input frame.
        channels_out: C' of an output frame; C when None.
        width: filters of the first convolution; 8 times as many at most (paper: 64).
        dropout: share of the decoder's first three layers that is dropped in training (paper: 0.5).
        patch: the discriminator's; not used here.

    Returns:
        A functional model, `inputs` (B, n, H, W, C) in -1..1 to frames (B, m, H, W, C') in -1..1. The layer
        `bottleneck` (B, 1, 1, 8 * width) is the output of the last convolution of the encoder.

    Raises:
        ValueError: image_size is no power of two from 32 to 512.

    Example:
        >>> pix2pix(frames_in=2, frames_out=3, image_size=32, width=1).output_shape
        (None, 3, 32, 32, 3)
    """
    check_size(image_size)
    channels_out = channels if channels_out is None else channels_out
    depth = image_size.bit_length() - 1
    widths = [width * min(2**i, 8) for i in range(depth)]

    inputs = keras.Input((frames_in, image_size, image_size, channels), name="inputs")
    x, skips = stacked(inputs), []
    for i, filters in enumerate(widths[:-1]):
        x = downsample(x if i == 0 else layers.LeakyReLU(0.2)(x), filters, f"encoder_{i + 1}", bias=i == 0)
        x = batch_norm(x, f"encoder_{i + 1}_norm") if i else x
        skips.append(x)
    x = downsample(layers.LeakyReLU(0.2)(x), widths[-1], "bottleneck", bias=True)
    for i, skip in enumerate(reversed(skips)):
        x = batch_norm(upsample(layers.ReLU()(x), skip.shape[-1], f"decoder_{i + 1}"), f"decoder_{i + 1}_norm")
        if i < 3 and dropout:
            # Without a seed PyTorch draws from a generator that no checkpoint keeps; this one is drawn as weights are.
            x = layers.Dropout(dropout, seed=random.randrange(2**31), name=f"decoder_{i + 1}_dropout")(x)
        x = layers.Concatenate()([x, skip])
    x = upsample(layers.ReLU()(x), frames_out * channels_out, "head", bias=True)
    return keras.Model(inputs, unstacked(layers.Activation("tanh")(x), frames_out), name="pix2pix")


def pix2pix_discriminator(
    frames_in: int = 2,
    frames_out: int = 5,
    image_size: int = 128,
    channels: int = 3,
    channels_out: int | None = None,
    width: int = 64,
    dropout: float = 0.5,
    patch: int = 70,
) -> keras.Model:
    """Build pix2pix's discriminator of patches.

    Args:
        frames_in, frames_out, image_size, channels, channels_out: the shapes of the frames, as the U-Net's.
        width: filters of the first convolution; 8 times as many at most (paper: 64).
        patch: pixels that a logit sees: 1, 16, 34, 70, 142 or 286 (paper: 70).
        dropout: the U-Net's; not used here.

    Returns:
        A functional model, `inputs` (B, n, H, W, C) and `targets` (B, m, H, W, C') in -1..1 to logits (B, h, w, 1),
        one a patch, positive where the pair looks real. 128 pixels with patches of 70 give 14x14.

    Raises:
        ValueError: image_size is no power of two from 32 to 512, an unknown patch, or frames too small for it.

    Example:
        >>> pix2pix_discriminator(image_size=128, width=1).output_shape
        (None, 14, 14, 1)
    """
    check_size(image_size)
    if patch not in PATCHES:
        raise ValueError(f"pix2pix: patch must be one of {', '.join(map(str, PATCHES))}. Received: {patch}")
    halvings = PATCHES[patch]
    if image_size < 4 * 2**halvings:
        raise ValueError(
            f"pix2pix: patch {patch} requires an image_size of at least {4 * 2**halvings}. Received: {image_size}"
        )
    channels_out = channels if channels_out is None else channels_out
    inputs = keras.Input((frames_in, image_size, image_size, channels), name="inputs")
    targets = keras.Input((frames_out, image_size, image_size, channels_out), name="targets")
    x = layers.Concatenate()([stacked(inputs), stacked(targets)])

    def flat(x, filters: int, name: str, bias: bool = False):
        """Convolution of stride 1; of size 4 it takes a row and a column away."""
        size, x = (4, layers.ZeroPadding2D(1)(x)) if halvings else (1, x)
        return layers.Conv2D(filters, size, use_bias=bias, kernel_initializer=normal(), name=name)(x)

    x = (downsample if halvings else flat)(x, width, "discriminator_1", bias=True)
    for i in range(1, max(1, halvings) + 1):
        convolve = downsample if i < halvings else flat
        x = convolve(layers.LeakyReLU(0.2)(x), width * min(2**i, 8), f"discriminator_{i + 1}")
        x = batch_norm(x, f"discriminator_{i + 1}_norm")
    x = flat(layers.LeakyReLU(0.2)(x), 1, "score", bias=True)
    return keras.Model([inputs, targets], x, name="pix2pix_discriminator")


__getattr__ = deprecations.old_objects(__name__)
