"""Backward warping: pictures sampled where flows point to, bilinearly, on every backend.

Plain `keras.ops` on tensors or KerasTensors, so that a network that warps is saved and loaded as stock
Keras. Four gathers of whole pixels; `ops.image.map_coordinates` would gather sixteen times.
"""

from keras import ops


def warp(image, flow):
    """Sample pictures where flows point to.

    Between pixels it is bilinear; outside a picture its border goes on, as in
    `scipy.ndimage.map_coordinates(order=1, mode="nearest")`. Gradients go to both arguments, but for a
    coordinate outside, which has none.

    Args:
        image: (B, H, W, C), float.
        flow: (B, n, H, W, 2), n flows of each picture: for each pixel how many pixels down and to the right
            its source lies.

    Returns:
        (B, n, H, W, C) in the image's dtype; coordinates are float32 whatever that is.
    """
    height, width, channels = image.shape[1:]
    flow = ops.cast(flow, "float32")
    # Running sums of ones: rows, columns, and the pictures of a batch whose size is not known yet.
    ones = ops.ones_like(flow[..., 0])
    # A slice's gradient is slow on TensorFlow, where a split's is a concatenation.
    dy, dx = ops.unstack(flow, 2, axis=-1)
    y = ops.clip(ops.cumsum(ones, axis=2) - 1.0 + dy, 0.0, height - 1.0)
    x = ops.clip(ops.cumsum(ones, axis=3) - 1.0 + dx, 0.0, width - 1.0)
    # The last pixel is reached from the one before it, whose share is then nothing.
    top = ops.minimum(ops.floor(y), max(height - 2.0, 0.0))
    left = ops.minimum(ops.floor(x), max(width - 2.0, 0.0))
    down = ops.expand_dims(ops.cast(y - top, image.dtype), -1)
    right = ops.expand_dims(ops.cast(x - left, image.dtype), -1)

    picture = ops.cast(ops.cumsum(ones[:, :1, :1, :1], axis=0), "int32") - 1
    corner = (picture * height + ops.cast(top, "int32")) * width + ops.cast(left, "int32")
    pixels = ops.reshape(image, (-1, channels))
    below, beside = width * (height > 1), int(width > 1)
    upper = ops.take(pixels, corner, 0) * (1.0 - right) + ops.take(pixels, corner + beside, 0) * right
    lower = ops.take(pixels, corner + below, 0) * (1.0 - right) + ops.take(pixels, corner + below + beside, 0) * right
    return upper * (1.0 - down) + lower * down
