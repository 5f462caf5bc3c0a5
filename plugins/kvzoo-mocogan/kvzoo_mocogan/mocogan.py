"""MoCoGAN: a generator whose clip is one content and a path of motions, judged by two discriminators.

A clip's content code is drawn once; a GRU turns noise of each frame into a path of motion codes; a picture
generator draws each frame from both. One discriminator judges single frames, the other the clip.

Source: Tulyakov, Liu, Yang and Kautz, "MoCoGAN: Decomposing Motion and Content for Video Generation", CVPR 2018, arXiv
1707.04993; sizes of layers as in the authors' code (sergeytulyakov/mocogan, PatchImageDiscriminator and
PatchVideoDiscriminator), of which nothing is copied.
What differs: the code of a motion's class (their InfoGAN term) is left out; the picture generator's weights begin with
Keras's initialisers; other image sizes than 64 change its first kernel; the generator makes one batch of clips a step,
and the image discriminator sees a random frame of each, where the authors draw a second batch for it.

    noise (content_dim + (T + 1) motion_dim,)
      content       the first content_dim numbers
      motions       GRU of motion_dim units over T noises, from a drawn state           (T, motion_dim)
      frames        content and motion to H/16 x W/16 x 8w                              batch norm + ReLU
                    4x4 transposed conv, stride 2     4w, 2w, w; batch norm + ReLU
                    4x4 transposed conv, stride 2     C, tanh
    clip (T, H, W, C)

      image discriminator  a random frame; 4x4 conv, stride 2: w, 2w, 4w, scores of patches      (H/16, W/16)
      video discriminator  4x4x4 conv, stride 1x2x2: w, 2w, 4w, scores of patches                (T - 12, H/16, W/16)
                    batch norm but on the first and the scores; LeakyReLU 0.2; no biases
"""

import keras
from keras import layers, ops


def norm(x):
    """Batch norm with PyTorch's constants."""
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def mocogan(
    frames: int = 16,
    image_size: int = 64,
    channels: int = 3,
    content_dim: int = 50,
    motion_dim: int = 10,
    width: int = 64,
    noise_sigma: float = 0.0,
) -> keras.Model:
    """Build the generator.

    Args:
        frames: T, frames of a clip, at least 13 (paper: 16).
        image_size: height and width of a frame in pixels, divisible by 16 (paper: 64).
        channels: 1 (grey) or 3 (RGB).
        content_dim: numbers of the content code (paper: 50).
        motion_dim: numbers of a motion code, and units of the GRU (paper: 10).
        width: filters of the last hidden layer; the first has 8 times as many (authors' code: 64).
        noise_sigma: of the discriminators.

    Returns:
        A functional model, noise (B, content_dim + (T + 1) motion_dim) to clips (B, T, H, W, C) in -1..1. Its layers
        `content` (B, content_dim) and `motions` (B, T, motion_dim) give the codes.

    Raises:
        ValueError: fewer than 13 frames, or an image_size that 16 does not divide.
    """
    _check(frames, image_size)
    noise = keras.Input((content_dim + (frames + 1) * motion_dim,), name="noise")
    content = layers.Identity(name="content")(noise[:, :content_dim])
    start, steps = noise[:, content_dim : content_dim + motion_dim], noise[:, content_dim + motion_dim :]
    steps = ops.reshape(steps, (-1, frames, motion_dim))
    motions = layers.GRU(motion_dim, return_sequences=True, name="motions")(steps, initial_state=start)

    x = ops.concatenate([ops.repeat(content[:, None], frames, axis=1), motions], axis=-1)
    x = ops.reshape(x, (-1, content_dim + motion_dim))
    small = image_size // 16
    # A transposed convolution of a single point is a matrix product.
    x = layers.Dense(small * small * 8 * width, use_bias=False)(x)
    x = layers.ReLU()(norm(layers.Reshape((small, small, 8 * width))(x)))
    for filters in (4 * width, 2 * width, width):
        x = layers.ReLU()(norm(layers.Conv2DTranspose(filters, 4, 2, "same", use_bias=False)(x)))
    x = ops.tanh(layers.Conv2DTranspose(channels, 4, 2, "same", use_bias=False, name="frames")(x))
    return keras.Model(noise, ops.reshape(x, (-1, frames, image_size, image_size, channels)), name="mocogan")


def image_discriminator(
    frames: int = 16,
    image_size: int = 64,
    channels: int = 3,
    content_dim: int = 50,
    motion_dim: int = 10,
    width: int = 64,
    noise_sigma: float = 0.0,
) -> keras.Model:
    """Build the discriminator of single frames; takes the generator's arguments.

    Returns:
        A functional model, clips (B, T, H, W, C) in -1..1 to scores (B, H/16, W/16, 1) of patches of one frame: a
        random one of each clip in training, the middle one at inference.
    """
    _check(frames, image_size)
    clip = keras.Input((frames, image_size, image_size, channels), name="clip")
    # The largest of T draws is anyone's; without noise all are 0 and the first counts as the largest.
    draws = layers.GaussianNoise(1.0, name="draws")(ops.zeros_like(clip[:, :, 0, 0, 0]))
    chosen = (ops.argmax(draws, axis=1) + frames // 2) % frames
    x = ops.sum(clip * ops.one_hot(chosen, frames)[:, :, None, None, None], axis=1)
    for filters in (width, 2 * width, 4 * width):
        x = layers.Conv2D(filters, 4, 2, "same", use_bias=False)(noisy(x, noise_sigma))
        x = layers.LeakyReLU(0.2)(x if filters == width else norm(x))
    scores = layers.Conv2D(1, 4, 2, "same", use_bias=False, name="scores")(noisy(x, noise_sigma))
    return keras.Model(clip, scores, name="mocogan_image_discriminator")


def video_discriminator(
    frames: int = 16,
    image_size: int = 64,
    channels: int = 3,
    content_dim: int = 50,
    motion_dim: int = 10,
    width: int = 64,
    noise_sigma: float = 0.0,
) -> keras.Model:
    """Build the discriminator of clips; takes the generator's arguments.

    Returns:
        A functional model, clips (B, T, H, W, C) in -1..1 to scores (B, T - 12, H/16, W/16, 1) of patches.
    """
    _check(frames, image_size)
    clip = keras.Input((frames, image_size, image_size, channels), name="clip")
    x = clip
    for filters in (width, 2 * width, 4 * width):
        x = layers.Conv3D(filters, 4, (1, 2, 2), use_bias=False)(padded(noisy(x, noise_sigma)))
        x = layers.LeakyReLU(0.2)(x if filters == width else norm(x))
    scores = layers.Conv3D(1, 4, (1, 2, 2), use_bias=False, name="scores")(padded(x))
    return keras.Model(clip, scores, name="mocogan_video_discriminator")


def padded(x):
    """Padding by 1 in space, none in time: no frame of zeros is shown to the discriminator."""
    return layers.ZeroPadding3D((0, 1, 1))(x)


def noisy(x, sigma: float):
    """Gaussian noise in training (Sønderby et al., ICLR 2017, arXiv 1610.04490)."""
    return layers.GaussianNoise(sigma)(x) if sigma else x


def _check(frames: int, image_size: int) -> None:
    if frames < 13:
        raise ValueError(
            f"mocogan: frames must be at least 13, the video discriminator's field in time. Received: {frames}"
        )
    if image_size < 16 or image_size % 16:
        raise ValueError(f"mocogan: image_size must be a positive multiple of 16. Received: {image_size}")
