"""Backward warping: images sampled bilinearly where flows point to, on every backend.

Plain `keras.ops` on tensors or KerasTensors, so that a network that warps is saved and loaded as stock
Keras. Four gathers of whole pixels; `ops.image.map_coordinates` would gather sixteen times.
"""

from keras import ops


def warp(image, flow):
    """Sample images where flows point to.

    Bilinear between pixels; outside an image its border is extended, as in
    `scipy.ndimage.map_coordinates(order=1, mode="nearest")`. Both arguments have gradients, except coordinates outside.

    Args:
        image: (B, H, W, C), float.
        flow: (B, n, H, W, 2), n flows of each image: for each pixel how many pixels down and to the right
            its source lies.

    Returns:
        (B, n, H, W, C) in the image's dtype; coordinates are float32 whatever that is.

    Example:
        >>> image = ops.reshape(ops.arange(3.0), (1, 1, 3, 1))
        >>> flow = ops.ones((1, 1, 1, 3, 2))
        >>> ops.convert_to_numpy(warp(image, flow)).ravel().tolist()
        [1.0, 2.0, 2.0]
    """
    height, width, channels = image.shape[1:]
    flow = ops.cast(flow, "float32")
    # Running sums of ones: rows, columns, and the images of a batch whose size is not known yet.
    ones = ops.ones_like(flow[..., 0])
    y = ops.clip(ops.cumsum(ones, axis=2) - 1.0 + flow[..., 0], 0.0, height - 1.0)
    x = ops.clip(ops.cumsum(ones, axis=3) - 1.0 + flow[..., 1], 0.0, width - 1.0)
    # The last pixel is sampled from the one before it, whose share is then 0.
    top = ops.minimum(ops.floor(y), max(height - 2.0, 0.0))
    left = ops.minimum(ops.floor(x), max(width - 2.0, 0.0))
    down = ops.expand_dims(ops.cast(y - top, image.dtype), -1)
    right = ops.expand_dims(ops.cast(x - left, image.dtype), -1)

    index = ops.cast(ops.cumsum(ones[:, :1, :1, :1], axis=0), "int32") - 1
    corner = (index * height + ops.cast(top, "int32")) * width + ops.cast(left, "int32")
    pixels = ops.reshape(image, (-1, channels))
    one_down, one_right = width * (height > 1), int(width > 1)
    upper = ops.take(pixels, corner, 0) * (1.0 - right) + ops.take(pixels, corner + one_right, 0) * right
    lower = (
        ops.take(pixels, corner + one_down, 0) * (1.0 - right)
        + ops.take(pixels, corner + one_down + one_right, 0) * right
    )
    return upper * (1.0 - down) + lower * down
