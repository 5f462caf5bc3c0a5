"""tiny_c3d: a small 3D convolutional clip classifier.

Source: C3D, Tran et al., "Learning Spatiotemporal Features with 3D Convolutional Networks", ICCV 2015, arXiv
1412.0767: 3x3x3 convolutions all the way, time kept in the first block and halved after it.
What differs: four convolutions instead of eight, strides instead of pooling, batch norm, and a mean over time and
space instead of two layers of 4,096 units, so that clips of any length and size can be classified.

    clip (T, H, W, C)
      3x3x3 conv, stride 1x2x2             w                  batch norm + ReLU
      3x3x3 conv, stride 2x2x2             2w, 3w, 4w         batch norm + ReLU
      mean over time and space             (4w,): the features
      dense                                classes
    logits
"""

import keras
from keras import layers

from kvzoo.models.blocks import batch_norm_relu


def tiny_c3d(
    frames: int = 16,
    image_size: int = 64,
    channels: int = 3,
    classes: int = 6,
    width: int = 16,
) -> keras.Model:
    """Build the classifier.

    Args:
        frames: T, frames of a clip.
        image_size: height and width of a frame in pixels.
        channels: 1 (grey) or 3 (RGB).
        classes: K, the number of classes.
        width: filters of the first convolution; the last has 4 times as many.

    Returns:
        A functional model, clips (B, T, H, W, C) in -1..1 to logits (B, K). The layer `features` gives
        (B, 4 * width), not negative.

    Raises:
        ValueError: a size under 1, or fewer than two classes.

    Example:
        >>> tiny_c3d(frames=4, image_size=16, width=2, classes=3).output_shape
        (None, 3)
    """
    for option, value, minimum in (("frames", frames, 1), ("image_size", image_size, 1), ("classes", classes, 2)):
        if value < minimum:
            raise ValueError(f"tiny_c3d: {option} must be at least {minimum}. Received: {value}")
    clip = keras.Input((frames, image_size, image_size, channels), name="clip")
    x = clip
    for times in (1, 2, 3, 4):
        stride = (1, 2, 2) if times == 1 else 2
        x = batch_norm_relu(layers.Conv3D(times * width, 3, stride, "same", use_bias=False)(x))
    features = layers.GlobalAveragePooling3D(name="features")(x)
    return keras.Model(clip, layers.Dense(classes, name="logits")(features), name="tiny_c3d")
