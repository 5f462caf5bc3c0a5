"""VideoGAN: a generator of clips that paints a moving foreground over a still background.

The foreground stream generates a clip and its mask by 3D convolutions, the background stream one
image by 2D convolutions; the mask says where which of them is visible. A discriminator of 3D
convolutions learns to tell generated clips from real ones.

Source: Vondrick, Pirsiavash, Torralba, "Generating Videos with Scene Dynamics", NIPS 2016, and its
code, cvondrick/videogan (Torch). Geometry, batch-norm constants and initialisers are the original's;
weights carry over exactly.
What differs: the discriminator has one logit in place of two; other sizes than 32 frames of 64x64 change the
first and the last kernel; the two heads of the foreground are one layer, and a transposed convolution
of a single point is a matrix product, with the same weights, because both are faster.

    noise (Z,)
      foreground    to T/16 x H/16 x W/16 x 8w              batch norm + ReLU
                    4x4x4 transposed conv, stride 2         4w, 2w, w; batch norm + ReLU
                    4x4x4 transposed conv, stride 2         foreground: C, tanh; mask: 1, sigmoid
      background    the same in 2D, to C, tanh              one image
      clip          mask * foreground + (1 - mask) * background

    clip (T, H, W, C)
      discriminator 4x4x4 conv, stride 2   w, 2w, 4w, 8w    batch norm, not on the first; leaky ReLU
                    T/16 x H/16 x W/16 conv to the logit

`videogan_label` generates a clip of a class (the article's extension). The label joins
the noise of the foreground alone, one-hot, because a class says what happens and not where. Its entry
is sqrt(Z), so that label and noise begin with the same weight in the first layer; an embedding in
its place would be one more matrix before that layer's. Its discriminator has a second head that names the class.

`videogan_image` continues a still image (the original's conditional version): a 2D encoder takes the
place of the noise, w is 128.

    image (H, W, C)
      encoder       4x4 conv, stride 2     w, 2w, 4w, 8w    batch norm, not on the first; ReLU
      foreground    T/16 x 1 x 1 transposed conv to 8w, batch norm + ReLU; then as above
      background    as above from 4w on
"""

import keras
from keras import layers, ops

from kvzoo import deprecations


def normal() -> keras.initializers.Initializer:
    """The original's weights: N(0, 0.01). A new initialiser for each layer, or all would draw the same."""
    return keras.initializers.RandomNormal(0.0, 0.01)


def batch_norm(x, name: str, epsilon: float = 1e-5):
    """Batch norm with the original's constants; its scale starts at N(1, 0.02)."""
    scale = keras.initializers.RandomNormal(1.0, 0.02)
    return layers.BatchNormalization(momentum=0.9, epsilon=epsilon, gamma_initializer=scale, name=name)(x)


def norm_relu(x, name: str):
    return layers.ReLU()(batch_norm(x, f"{name}_norm"))


def downsample(x, filters: int, name: str):
    """Convolution of size 4 and stride 2 over all of time and space; "same" is the original's padding 1."""
    conv = layers.Conv3D if len(x.shape) == 5 else layers.Conv2D
    return conv(filters, 4, 2, "same", kernel_initializer=normal(), name=name)(x)


def upsample(x, filters: int, name: str):
    """Transposed convolution of size 4 and stride 2 over all of time and space."""
    conv = layers.Conv3DTranspose if len(x.shape) == 5 else layers.Conv2DTranspose
    return conv(filters, 4, 2, "same", kernel_initializer=normal(), name=name)(x)


def unfold(x, equation: str, shape: tuple[int, ...], name: str):
    """Transposed convolution that meets one point along each new axis: a matrix product and a bias per filter."""
    return layers.EinsumDense(equation, shape, bias_axes="f", kernel_initializer=normal(), name=name)(x)


def foreground_stream(x, width: int, channels: int, mask: bool):
    """Return the clip (B, T, H, W, C) in -1..1 and its mask (B, T, H, W, 1) in 0..1, None without one."""
    for i, filters in enumerate((4 * width, 2 * width, width), 2):
        x = norm_relu(upsample(x, filters, f"foreground_{i}"), f"foreground_{i}")
    x = upsample(x, channels + mask, "foreground_heads")
    clip = layers.Activation("tanh", name="foreground")(x[..., :channels])
    return clip, layers.Activation("sigmoid", name="mask")(x[..., channels:]) if mask else None


def background_stream(x, width: int, channels: int):
    """Return one still frame (B, 1, H, W, C) in -1..1."""
    for i, filters in enumerate((4 * width, 2 * width, width), 2):
        x = norm_relu(upsample(x, filters, f"background_{i}"), f"background_{i}")
    x = upsample(x, channels, "background_head")
    return layers.Activation("tanh", name="background")(ops.expand_dims(x, 1))


def paint(foreground, mask, background):
    """Return mask * foreground + (1 - mask) * background; the still frame is broadcast over time."""
    return background + mask * (foreground - background)


def from_noise(noise, label, frames: int, image_size: int, channels: int, width: int, two_stream: bool):
    """Return the clip that both streams paint from noise (B, Z); label (B, K), or None, joins the foreground's."""
    small, top = image_size // 16, 8 * width
    moving = noise if label is None else layers.Concatenate()([noise, label])
    x = unfold(moving, "bz,zthwf->bthwf", (frames // 16, small, small, top), "foreground_1")
    foreground, mask = foreground_stream(norm_relu(x, "foreground_1"), width, channels, two_stream)
    if not two_stream:
        return foreground
    x = unfold(noise, "bz,zhwf->bhwf", (small, small, top), "background_1")
    return paint(foreground, mask, background_stream(norm_relu(x, "background_1"), width, channels))


def discriminator_trunk(clip, width: int):
    """Return a clip's features (B, T/16 * H/16 * W/16 * 8w)."""
    x = layers.LeakyReLU(0.2)(downsample(clip, width, "discriminator_1"))
    for i, filters in enumerate((2 * width, 4 * width, 8 * width), 2):
        x = batch_norm(downsample(x, filters, f"discriminator_{i}"), f"discriminator_{i}_norm", epsilon=1e-3)
        x = layers.LeakyReLU(0.2)(x)
    # A convolution as large as what it sees is a dense layer.
    return layers.Flatten(name="features")(x)


def logits(x, units: int, name: str):
    return layers.Dense(units, kernel_initializer=normal(), name=name)(x)


def check_sizes(model: str, frames: int, image_size: int) -> None:
    """Check that sizes can be halved four times.

    Raises:
        ValueError: frames or image_size is not a positive multiple of 16.
    """
    for option, size in (("frames", frames), ("image_size", image_size)):
        if size < 16 or size % 16:
            raise ValueError(f"{model}: {option} must be a positive multiple of 16. Received: {size}")


def videogan(
    frames: int = 32,
    image_size: int = 64,
    channels: int = 3,
    noise_dim: int = 100,
    width: int = 64,
    two_stream: bool = True,
) -> keras.Model:
    """Build VideoGAN's generator.

    Args:
        frames: T, frames of a clip, divisible by 16.
        image_size: height and width of a frame in pixels, divisible by 16.
        channels: 1 (grey) or 3 (RGB).
        noise_dim: Z, size of the noise (reference: 100).
        width: filters of the last hidden layer; the first has 8 times as many (reference: 64).
        two_stream: whether to paint a background behind; False is the paper's one-stream network,
            the foreground alone, which has no mask.

    Returns:
        A functional model, `noise` (B, Z) of N(0, 1) to clips (B, T, H, W, C) in -1..1. The layers
        `foreground` (B, T, H, W, C), `mask` (B, T, H, W, 1) in 0..1 and `background` (B, 1, H, W, C)
        give what the clip is composed of.

    Raises:
        ValueError: frames or image_size is not a positive multiple of 16.

    Example:
        >>> generator = videogan(frames=16, image_size=16, width=1)
        >>> generator.input_shape, generator.output_shape
        ([(None, 100)], (None, 16, 16, 16, 3))
    """
    check_sizes("videogan", frames, image_size)
    noise = keras.Input((noise_dim,), name="noise")
    clip = from_noise(noise, None, frames, image_size, channels, width, two_stream)
    # Inputs in a list can be given by name too, one or several.
    return keras.Model([noise], clip, name="videogan")


def videogan_discriminator(
    frames: int = 32,
    image_size: int = 64,
    channels: int = 3,
    noise_dim: int = 100,
    width: int = 64,
    two_stream: bool = True,
) -> keras.Model:
    """Build VideoGAN's discriminator.

    Args:
        frames, image_size, channels: the shape of a clip, as the generator's.
        width: filters of the first layer; the last has 8 times as many (reference: 64).
        noise_dim, two_stream: the generator's; not used here.

    Returns:
        A functional model, `clip` (B, T, H, W, C) in -1..1 to logits (B, 1), positive where it looks
        real. The layer `features` gives the input of the logit's layer.

    Raises:
        ValueError: frames or image_size is not a positive multiple of 16.

    Example:
        >>> videogan_discriminator(frames=16, image_size=16, width=1).output_shape
        (None, 1)
    """
    check_sizes("videogan", frames, image_size)
    clip = keras.Input((frames, image_size, image_size, channels), name="clip")
    return keras.Model(clip, logits(discriminator_trunk(clip, width), 1, "score"), name="videogan_discriminator")


def videogan_label(
    frames: int = 32,
    image_size: int = 64,
    channels: int = 3,
    noise_dim: int = 100,
    width: int = 64,
    two_stream: bool = True,
    classes: int = 4,
) -> keras.Model:
    """Build the generator of a clip of a class: `videogan` with a label in its foreground.

    Args:
        frames, image_size, channels, noise_dim, width, two_stream: as for `videogan`.
        classes: K, the number of classes.

    Returns:
        A functional model, `noise` (B, Z) of N(0, 1) and `label` (B,) int32 in 0..K-1 to clips
        (B, T, H, W, C) in -1..1, with the layers of `videogan`. The background does not see the label.

    Raises:
        ValueError: frames or image_size is not a positive multiple of 16.
    """
    check_sizes("videogan_label", frames, image_size)
    noise = keras.Input((noise_dim,), name="noise")
    label = keras.Input((), name="label", dtype="int32")
    # As strong as all of the noise together; a 1 among 100 normal numbers would hardly count at first.
    one_hot = ops.one_hot(label, classes) * noise_dim**0.5
    clip = from_noise(noise, one_hot, frames, image_size, channels, width, two_stream)
    return keras.Model([noise, label], clip, name="videogan_label")


def videogan_label_discriminator(
    frames: int = 32,
    image_size: int = 64,
    channels: int = 3,
    noise_dim: int = 100,
    width: int = 64,
    two_stream: bool = True,
    classes: int = 4,
) -> keras.Model:
    """Build the discriminator of `videogan_label`: `videogan_discriminator` with a second head that names the class.

    Source of the head: Odena, Olah, Shlens, "Conditional Image Synthesis with Auxiliary Classifier
    GANs", ICML 2017.

    Args:
        frames, image_size, channels, noise_dim, width, two_stream: as for `videogan_discriminator`.
        classes: K, the number of classes.

    Returns:
        A functional model, `clip` (B, T, H, W, C) in -1..1 to {"score": logits (B, 1), "classes":
        logits (B, K)}.

    Raises:
        ValueError: frames or image_size is not a positive multiple of 16.
    """
    check_sizes("videogan_label", frames, image_size)
    clip = keras.Input((frames, image_size, image_size, channels), name="clip")
    features = discriminator_trunk(clip, width)
    heads = {"score": logits(features, 1, "score"), "classes": logits(features, classes, "classes")}
    return keras.Model(clip, heads, name="videogan_label_discriminator")


def videogan_image(
    frames: int = 32,
    image_size: int = 64,
    channels: int = 3,
    width: int = 128,
    two_stream: bool = True,
) -> keras.Model:
    """Build the generator that continues a still image.

    Args:
        frames, image_size, channels, two_stream: as for `videogan`.
        width: filters of the last hidden layer and of the encoder's first (reference: 128).

    Returns:
        A functional model, `image` (B, H, W, C) in -1..1 to clips (B, T, H, W, C) in -1..1 that
        begin with it, with the layers of `videogan`.

    Raises:
        ValueError: frames or image_size is not a positive multiple of 16.
    """
    check_sizes("videogan_image", frames, image_size)
    image = keras.Input((image_size, image_size, channels), name="image")
    x = layers.ReLU()(downsample(image, width, "encoder_1"))
    for i, filters in enumerate((2 * width, 4 * width, 8 * width), 2):
        x = batch_norm(downsample(x, filters, f"encoder_{i}"), f"encoder_{i}_norm", epsilon=1e-3)
        x = layers.ReLU()(x)

    start = unfold(x, "bhwc,ctf->bthwf", (frames // 16, *x.shape[1:3], 8 * width), "foreground_1")
    clip, mask = foreground_stream(norm_relu(start, "foreground_1"), width, channels, two_stream)
    if two_stream:
        clip = paint(clip, mask, background_stream(x, width, channels))
    return keras.Model([image], clip, name="videogan_image")


def videogan_image_discriminator(
    frames: int = 32,
    image_size: int = 64,
    channels: int = 3,
    width: int = 128,
    two_stream: bool = True,
) -> keras.Model:
    """Build the discriminator of `videogan_image`: `videogan_discriminator` at twice the width. It sees the clip alone.

    Args:
        frames, image_size, channels, width, two_stream: as for `videogan_discriminator`, width's reference is 128.

    Returns:
        A functional model, `clip` (B, T, H, W, C) in -1..1 to logits (B, 1).

    Raises:
        ValueError: frames or image_size is not a positive multiple of 16.
    """
    check_sizes("videogan_image", frames, image_size)
    clip = keras.Input((frames, image_size, image_size, channels), name="clip")
    return keras.Model(clip, logits(discriminator_trunk(clip, width), 1, "score"), name="videogan_image_discriminator")


def mask_l1(inputs: dict, outputs: dict):
    """Return the mean of |mask| over the batch, a scalar: what is not foreground is left to the background.

    Args:
        inputs: not used.
        outputs: "mask" (B, T, H, W, 1).
    """
    return ops.mean(ops.abs(outputs["mask"]))


def first_frame_l1(inputs: dict, outputs: dict):
    """Return the mean absolute difference between each clip's first frame and the image that it continues.

    Args:
        inputs: "image" (B, H, W, C).
        outputs: "clip" (B, T, H, W, C).
    """
    return ops.mean(ops.abs(outputs["clip"][:, 0] - inputs["image"]))


__getattr__ = deprecations.old_objects(__name__)
