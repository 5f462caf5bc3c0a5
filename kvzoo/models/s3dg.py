"""S3D-G, a table of Inception blocks over clips, and the trunk of SpeedNet and its I3D (`speednet.py`).

S3D-G: Xie et al., "Rethinking Spatiotemporal Feature Learning", ECCV 2018, arXiv 1712.04851.
I3D, with full convolutions and no gates: Carreira and Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017, arXiv 1705.07750.
Padding is k // 2 on both sides, as PyTorch has it, so that weights carry over (kernels turned by 180 degrees, see
below). What differs from the papers: kernels begin as He's, gates at a half, and batch norm's momentum is 0.98 where
the authors' code has a truncated normal of 0.01 and 0.999, which is too slow for short runs; `width` scales all
filters; convolutions that read the same input are one, and so are the gates' means, which gives the same numbers.

    clip (T, H, W, C)
      separable 7, stride 1x2x2       64                    separable k: 1xkxk, then kx1x1
      max pool 1x3x3, stride 1x2x2
      1x1x1                           64
      separable 3                     192, gate             gate: x * sigmoid(W mean of x over time and space)
      max pool 1x3x3, stride 1x2x2
      Inception 3b 3c                 256, 480              each branch with a gate
      max pool 1x3x3, stride 1x2x2
      Inception 4b 4c 4d 4e 4f        512, 512, 512, 528, 832
      Inception 5b 5c                 832, 1024: the map (T, H/16, W/16, 1024)

That is SpeedNet's trunk. As a classifier of its own S3D-G halves time in the stem, before 4b and before 5b, space
before 5b as well, and takes the map's mean. Batch norm (epsilon 1e-3) and ReLU follow every convolution.
"""

import keras
from keras import layers, ops

# 1x1x1 of branch 0; 1x1x1 and 3 of branch 1; the same of branch 2; 1x1x1 of branch 3, after a max pool of 3
BLOCKS = {
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}


def unit(x, filters: int, kernel: int | tuple, name: str, strides: int | tuple = 1):
    """Convolution without bias, batch norm, ReLU."""
    x = layers.Conv3D(
        filters, kernel, strides, "same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
    )(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.98, epsilon=1e-3, name=f"{name}_norm")(x))


def separable(x, filters: int, size: int, name: str, strides: tuple = (1, 1, 1)):
    """A convolution over space, then one over time."""
    time, *space = strides
    x = unit(x, filters, (1, size, size), f"{name}_space", (1, *space))
    return unit(x, filters, (size, 1, 1), f"{name}_time", (time, 1, 1))


def full(x, filters: int, size: int, name: str, strides: tuple = (1, 1, 1)):
    """A convolution over space and time at once."""
    return unit(x, filters, size, name, strides)


CONVOLUTIONS = {"separable": separable, "full": full}


def gate(x, sizes: list[int], name: str):
    """Self-gating of branches that lie side by side in x, each by its own matrix; `sizes` are their channels."""
    means = layers.GlobalAveragePooling3D(keepdims=True)(x)
    half_open = keras.initializers.TruncatedNormal(stddev=0.01)
    gates, start = [], 0
    for i, size in enumerate(sizes):
        dense = layers.Dense(size, use_bias=False, kernel_initializer=half_open, name=f"{name}_gate{i}")
        gates.append(dense(means[..., start : start + size]))
        start += size
    return x * ops.sigmoid(ops.concatenate(gates, axis=-1))


def inception(x, sizes: list[int], name: str, convolution, gates: bool):
    """Four branches side by side."""
    b0, r1, b1, r2, b2, b3 = sizes
    # One convolution for the three branches that begin with 1x1x1.
    joint = unit(x, b0 + r1 + r2, 1, f"{name}_in")
    first, second, third = ops.split(joint, [b0, b0 + r1], axis=-1)
    # The maximum over 3x3x3 in two steps, which are faster.
    maximum = layers.MaxPooling3D((3, 1, 1), 1, "same")(layers.MaxPooling3D((1, 3, 3), 1, "same")(x))
    branches = [
        first,
        convolution(second, b1, 3, f"{name}_b1"),
        convolution(third, b2, 3, f"{name}_b2"),
        unit(maximum, b3, 1, f"{name}_b3"),
    ]
    x = ops.concatenate(branches, axis=-1)
    return gate(x, [b0, b1, b2, b3], name) if gates else x


def trunk(clip, width: float, convolution=separable, gates: bool = True, temporal_stride: int = 1, spatial_stride=16):
    """Return the map (B, T, H/16, W/16, 1024 * width) of clips (B, T, H, W, C), all rounded up."""

    def scaled(filters: int) -> int:
        return max(1, round(filters * width))

    halving = 2 if temporal_stride == 8 else 1  # of time, at each of the three places
    # At stride 2 PyTorch pads before, "same" behind: on clips turned round the two agree.
    x = ops.flip(clip, (1, 2, 3))
    x = convolution(x, scaled(64), 7, "stem", (halving, 2, 2))
    x = layers.MaxPooling3D((1, 3, 3), (1, 2, 2), "same")(x)
    x = unit(x, scaled(64), 1, "2b")
    x = convolution(x, scaled(192), 3, "2c")
    if gates:
        x = gate(x, [scaled(192)], "2c")
    x = layers.MaxPooling3D((1, 3, 3), (1, 2, 2), "same")(x)
    for name, sizes in BLOCKS.items():
        if name == "4b":
            x = layers.MaxPooling3D((3 if halving == 2 else 1, 3, 3), (halving, 2, 2), "same")(x)
        if name == "5b" and (halving == 2 or spatial_stride == 32):
            space = 2 if spatial_stride == 32 else 1
            x = layers.MaxPooling3D((halving, space, space), (halving, space, space), "same")(x)
        x = inception(x, [scaled(filters) for filters in sizes], name, convolution, gates)
    return layers.Identity(name="map")(ops.flip(x, (1, 2, 3)))


def s3dg(
    frames: int = 64,
    image_size: int = 224,
    channels: int = 3,
    classes: int = 400,
    width: float = 1.0,
    temporal_stride: int = 8,
    spatial_stride: int = 32,
    gates: bool = True,
    convolutions: str = "separable",
) -> keras.Model:
    """Build S3D-G, a classifier.

    Args:
        frames: T, frames of the clips that it is trained on; the network takes any number.
        image_size: their height and width in pixels; the network takes any.
        channels: 1 (grey) or 3 (RGB).
        classes: K, the number of classes.
        width: factor of every convolution's filters.
        temporal_stride: 8 as in the paper, or 1 as in SpeedNet.
        spatial_stride: 32 as in the paper, or 16 as in SpeedNet.
        gates: false is S3D without self-gating.
        convolutions: "separable", or "full", which without gates is I3D, the trunk of speednet_i3d.

    Returns:
        A functional model, clips (B, T, H, W, C) in -1..1 to logits (B, K). The layer `map` gives
        (B, T', H', W', 1024 * width), `features` (B, 1024 * width): its mean.

    Raises:
        ValueError: a size under 1, a width that is not positive, an unknown stride or kind of convolution.

    Example:
        >>> s3dg(frames=4, image_size=32, classes=3, width=0.0625).output_shape
        (None, 3)
    """
    check_sizes("s3dg", frames, image_size, width)
    for option, value, legal in (
        ("temporal_stride", temporal_stride, (1, 8)),
        ("spatial_stride", spatial_stride, (16, 32)),
        ("convolutions", convolutions, tuple(CONVOLUTIONS)),
    ):
        if value not in legal:
            raise ValueError(f"s3dg: {option} must be {legal[0]} or {legal[1]}. Received: {value}")
    clip = keras.Input((None, None, None, channels), name="clip")
    map_ = trunk(clip, width, CONVOLUTIONS[convolutions], gates, temporal_stride, spatial_stride)
    features = layers.GlobalAveragePooling3D(name="features")(map_)
    return keras.Model(clip, layers.Dense(classes, name="logits")(features), name="s3dg")


def check_sizes(name: str, frames: int, image_size: int, width: float) -> None:
    """Check sizes.

    Raises:
        ValueError: a size under 1, or a width that is not positive.
    """
    for option, value in (("frames", frames), ("image_size", image_size)):
        if value < 1:
            raise ValueError(f"{name}: {option} must be at least 1. Received: {value}")
    if not width > 0:
        raise ValueError(f"{name}: width must be positive. Received: {width}")
