"""Flow interpolator: the frames between two, sampled along motion instead of painted.

For each middle time t the network estimates how the image moved, coarse to fine, samples both input frames
where that motion comes from, blends them by visibility and repairs the rest. All middle times pass through
the same weights, with t as a plane of the input: weights depend neither on their number nor on the size.

Source: the intermediate flows, their refinement from coarse to fine by warped features and the repair follow
RIFE (Huang et al., ECCV 2022, arXiv 2011.06294); visibility that blends by nearness in time follows Super
SloMo (Jiang et al., CVPR 2018, arXiv 1712.00080).
What differs: correlations of features around each place, as in PWC-Net (Sun et al., CVPR 2018, arXiv
1709.02371), find the motion, and a feature pyramid shared by all times stands for RIFE's images at several scales;
no teacher; where the two warped frames do not agree better than the inputs themselves, their motion is not trusted and
the cross-fade shows through, so that on frames unlike its training data the network is no worse than the cross-fade. Each
flow is predicted as a velocity, so that times share what they learn: (t to 0) = -t v0, (t to 1) = (1 - t) v1. The heads
begin at zero, so a new network returns the cross-fade.

    frames 0 and 1 (H, W, C)
      features at 1/2, 1/4, 1/8                w, 2w, 4w; once a frame
      1/4: correlations of both                (2 * 4 + 1)^2 displacements, once a pair
      1/8: all of it, joined                   4w; once a pair
      1/8: velocities, visibility of time t
      1/4, 1/2: the same, corrected by the features warped so far
      full: both frames warped, blended by visibility; a gate, near 0 where nothing moves, on motion and repair
      1/2: the repair, 3x3 convolutions, up by a transposed one
      full: mixed with the cross-fade by trust
    middle frames (m, H, W, C)
"""

import keras
from keras import layers, ops

from kvzoo.models.warp import warp

REACH = 4  # displacements that are matched, in pixels of a quarter of the size
SHARPNESS = 10.0  # of the choice among them
AROUND = 9  # pixels in which two frames are compared


def conv(x, filters: int, strides: int = 1):
    """3x3 convolution and leaky ReLU."""
    x = layers.Conv2D(filters, 3, strides, "same", kernel_initializer="he_normal")(x)
    return layers.LeakyReLU(0.1)(x)


def head(x, filters: int):
    """3x3 convolution that begins at zero."""
    return layers.Conv2D(filters, 3, padding="same", kernel_initializer="zeros")(x)


def double(x):
    """Twice the size, bilinearly."""
    return layers.UpSampling2D(2, interpolation="bilinear")(x)


def fold(x):
    """Return (B, n, H, W, C) as (B * n, H, W, C)."""
    return ops.reshape(x, (-1, *x.shape[2:]))


def unfold(x, count: int):
    """Return (B * n, H, W, C) as (B, n, H, W, C)."""
    return ops.reshape(x, (-1, count, *x.shape[1:]))


def times(like, count: int):
    """Return the plane of each middle time, k / (count + 1), (B * count, H, W, 1), as large as a folded tensor."""
    ones = unfold(ops.ones_like(like[..., :1]), count)
    return fold(ops.cumsum(ones, axis=1) / (count + 1.0))


def flows(velocities, time):
    """Return the flows from t to 0 and to 1, each (N, H, W, 2), of velocities (N, H, W, 4)."""
    return -time * velocities[..., :2], (1.0 - time) * velocities[..., 2:]


def matches(first, last):
    """Return how well each pixel of a frame's features matches those around it in the other frame, both ways.

    Two tensors (B, H, W, (2 * REACH + 1)^2): a softmax over the correlations at all displacements up to REACH. Training
    is short because matching need not be learned from concatenated features.
    """
    height, width = first.shape[1:3]
    # Features of zero mean and unit variance: their mean product is a correlation.
    first, last = (layers.LayerNormalization(center=False, scale=False, dtype="float32")(x) for x in (first, last))

    def one_way(x, other):
        padded = ops.pad(other, ((0, 0), (REACH, REACH), (REACH, REACH), (0, 0)))
        shifts = range(2 * REACH + 1)
        rows = ops.stack([padded[:, dy : dy + height] for dy in shifts], axis=1)
        correlations = [ops.mean(ops.expand_dims(x, 1) * rows[:, :, :, dx : dx + width], axis=-1) for dx in shifts]
        return ops.softmax(SHARPNESS * ops.moveaxis(ops.concatenate(correlations, axis=1), 1, -1), axis=-1)

    return one_way(first, last), one_way(last, first)


def distance(a, b):
    """Return the mean absolute difference of images (B, n, H, W, C) around each pixel, (B, n, H, W, 1)."""
    difference = ops.mean(ops.abs(a - b), axis=-1, keepdims=True)
    return unfold(ops.average_pool(fold(difference), AROUND, 1, "same"), difference.shape[1])


def flow_interpolator(
    frames_in: int = 2,
    frames_out: int = 5,
    image_size: int | tuple[int, int] = 64,
    channels: int = 3,
    channels_out: int | None = None,
    width: int = 32,
) -> keras.Model:
    """Build the flow interpolator.

    Args:
        frames_in: 2, the first and the last frame.
        frames_out: m, middle frames at equal distances.
        image_size: height and width of a frame in pixels, a multiple of 8; a pair where they differ.
        channels: 1 (grey) or 3 (RGB).
        channels_out: the same as `channels`, or None.
        width: filters at half the size; 4 times as many at an eighth.

    Returns:
        A functional model, "inputs" (B, 2, H, W, C) in -1..1 to (B, m, H, W, C) in -1..1. Of its layers,
        `flow` gives the flows (B, m, H, W, 4) in pixels, down and right, to the first frame and to the last;
        `visibility` (B, m, H, W, 1) the first frame's share of the blend; `warped` (B, m, H, W, C) the blend
        before the repair; `trust` (B, m, H, W, 1) its share of the output, the rest of which is the cross-fade.

    Raises:
        ValueError: frames_in is not 2, sizes that are not positive multiples of 8, other channels out than in.

    Example:
        >>> flow_interpolator(frames_out=3, image_size=(16, 24), width=2).output_shape
        (None, 3, 16, 24, 3)
    """
    height, size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if frames_in != 2:
        raise ValueError(f"flow_interpolator: frames_in must be 2, the first and the last. Received: {frames_in}")
    if channels_out not in (None, channels):
        raise ValueError(f"flow_interpolator: channels_out must be channels, {channels}. Received: {channels_out}")
    if min(height, size) < 8 or height % 8 or size % 8:
        raise ValueError(f"flow_interpolator: image_size must be a positive multiple of 8. Received: {image_size}")

    inputs = keras.Input((2, height, size, channels), name="inputs")
    pyramid, x = [], fold(inputs)
    for filters in (width, 2 * width, 4 * width):
        x = conv(conv(x, filters, 2), filters)
        pairs = unfold(x, 2)
        pyramid.append((pairs[:, 0], pairs[:, 1]))

    matching = conv(ops.concatenate([*pyramid[1], *matches(*pyramid[1])], axis=-1), 4 * width, 2)
    joint = ops.concatenate([*pyramid[2], matching], axis=-1)
    for _ in range(2):
        joint = conv(joint, 4 * width)
    hidden = fold(ops.repeat(ops.expand_dims(joint, 1), frames_out, axis=1))
    time = times(hidden, frames_out)
    hidden = conv(ops.concatenate([hidden, time], axis=-1), 4 * width)
    motion = head(hidden, 5)

    for level in (1, 0):
        motion, hidden = double(motion), double(conv(hidden, width * 2**level))
        # Velocities are in pixels of their level.
        velocities, logit = 2.0 * motion[..., :4], motion[..., 4:]
        time = times(motion, frames_out)
        warped = [
            fold(warp(features, unfold(flow, frames_out)))
            for features, flow in zip(pyramid[level], flows(velocities, time), strict=True)
        ]
        hidden = conv(ops.concatenate([hidden, *warped, velocities, logit, time], axis=-1), width * 2**level)
        hidden = conv(hidden, width * 2**level)
        motion = ops.concatenate([velocities, logit], axis=-1) + head(hidden, 5)

    # Where nothing moves, the output must equal the input: there the gate multiplies both motion and repair by 0.
    gate = ops.cast(double(ops.sigmoid(head(hidden, 1))), "float32")
    motion = ops.cast(double(motion), "float32") * ops.concatenate([gate] * 5, axis=-1)
    time = times(motion, frames_out)
    flow = unfold(ops.concatenate(flows(2.0 * motion[..., :4], time), axis=-1), frames_out)
    flow = layers.Identity(name="flow", dtype="float32")(flow)
    # Without evidence the nearer frame counts more: at a logit of 0 the blend is the cross-fade.
    logit = unfold(motion[..., 4:] + ops.log((1.0 - time) / time), frames_out)
    visibility = layers.Activation("sigmoid", name="visibility", dtype="float32")(logit)
    first, last = warp(inputs[:, 0], flow[..., :2]), warp(inputs[:, 1], flow[..., 2:])
    warped = visibility * first + (1.0 - visibility) * last
    warped = layers.Identity(name="warped", dtype="float32")(warped)

    evidence = fold(ops.concatenate([first, last, warped, visibility], axis=-1))
    x = conv(ops.concatenate([conv(evidence, width, 2), hidden], axis=-1), width)
    repair = layers.Conv2DTranspose(channels, 4, 2, "same", kernel_initializer="zeros", dtype="float32")(x)
    repaired = warped + unfold(repair * gate, frames_out)

    still, moved = (ops.square(distance(*pair)) + 1e-5 for pair in ((inputs[:, :1], inputs[:, 1:]), (first, last)))
    trust = layers.Identity(name="trust", dtype="float32")(still / (still + moved))
    time = unfold(time, frames_out)
    outputs = trust * repaired + (1.0 - trust) * ((1.0 - time) * inputs[:, :1] + time * inputs[:, 1:])
    outputs = ops.clip(outputs, -1.0, 1.0)
    return keras.Model(inputs, outputs, name="flow_interpolator")


def warped_l1(inputs, outputs):
    """Return the mean absolute error of the blend before its repair, at four sizes, each half of the last; a scalar.

    The sizes have the weights 1, 2, 4 and 8, over 4. A thin limb that is moved to a wrong place overlaps with the true one
    only in a small image: there its flow has a gradient.

    Args:
        inputs: "targets" (B, m, H, W, C).
        outputs: "warped" (B, m, H, W, C).
    """
    error, total = fold(outputs["warped"] - inputs["targets"]), 0.0
    for level in range(4):
        total = total + 2.0**level * ops.mean(ops.abs(error))
        # Without its strides Keras 3.15 takes the size twice on JAX.
        error = ops.average_pool(error, 2, 2, "same", data_format="channels_last")
    return total / 4.0


def smoothness(inputs, outputs):
    """Return the mean absolute difference between the flows of neighbouring pixels, in pixels, a scalar.

    Args:
        inputs: not used.
        outputs: "flow" (B, m, H, W, 4).
    """
    flow = outputs["flow"]
    down, right = flow[:, :, 1:] - flow[:, :, :-1], flow[:, :, :, 1:] - flow[:, :, :, :-1]
    return ops.mean(ops.abs(down)) + ops.mean(ops.abs(right))
