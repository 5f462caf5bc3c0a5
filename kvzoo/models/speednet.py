"""SpeedNet: is a clip at normal speed, or sped up? And the paper's comparison, SpeedNet on I3D.

Benaim et al., "SpeedNet: Learning the Speediness in Videos", CVPR 2020, arXiv 2004.06130; no official code.
I3D: Carreira and Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017, arXiv 1705.07750.

    clip (T, H, W, C)
      trunk of S3D-G (`s3dg.py`), no stride in time     the map (T, H/16, W/16, 1024)
      maximum over space, mean over time                1024 features
      dense                                             one logit: sped up

On I3D the trunk has full 3x3x3 convolutions (7x7x7 the first) and no gates.
"""

import keras
from keras import layers, ops

from kvzoo.models.s3dg import check_sizes, full, trunk


def speednet(
    frames: int = 64, image_size: int = 224, channels: int = 3, width: float = 1.0, name: str = "speednet", **options
) -> keras.Model:
    """Build SpeedNet.

    Args:
        frames: T, frames of the clips that it is trained on; the network takes any number.
        image_size: their height and width in pixels; the network takes any.
        channels: 1 (grey) or 3 (RGB).
        width: factor of every convolution's filters.
        name: of the network.
        options: of the trunk.

    Returns:
        A functional model, clips (B, T, H, W, C) in -1..1 to one logit (B, 1), positive for sped up. The layer
        `map` gives (B, T, H/16, W/16, 1024 * width), `features` (B, 1024 * width).

    Raises:
        ValueError: a size under 1, or a width that is not positive.

    Example:
        >>> speednet(frames=4, image_size=16, width=0.0625).output_shape
        (None, 1)
    """
    check_sizes(name, frames, image_size, width)
    clip = keras.Input((None, None, None, channels), name="clip")
    x = ops.mean(ops.max(trunk(clip, width, **options), axis=(2, 3)), axis=1)
    features = layers.Identity(name="features")(x)
    return keras.Model(clip, layers.Dense(1, name="logit")(features), name=name)


def speednet_i3d(frames: int = 64, image_size: int = 224, channels: int = 3, width: float = 1.0) -> keras.Model:
    """Build SpeedNet on I3D instead of S3D-G, the paper's comparison; arguments, returns and raises as `speednet`."""
    return speednet(frames, image_size, channels, width, "speednet_i3d", convolution=full, gates=False)
