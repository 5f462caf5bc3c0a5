"""Pyramid interpolator: the frames between two, by motion that is matched over a pyramid of any height.

For each time t between two frames, motion is estimated at t itself, coarse to fine: both frames' features are warped
to t by what is known so far, matched against each other around each pixel, and the velocities corrected. The levels of
the pyramid share their weights, so that a network trained on small crops gets further levels for the larger motion of
larger frames. Both frames are warped at full size, blended by visibility and repaired.

Source: the warped features, the matching around each pixel and the correction over a pyramid follow PWC-Net (Sun et
al., CVPR 2018, arXiv 1709.02371); matching both frames at the time between them follows BMBC (Park et al., ECCV 2020,
arXiv 2007.12622); one network for all levels SPyNet (Ranjan and Black, CVPR 2017, arXiv 1611.00850) and, for
interpolation, EBME (Jin et al., WACV 2023, arXiv 2206.08572); repair from warped frames RIFE (Huang et al., ECCV
2022, arXiv 2011.06294).
What differs: small, for processors (27,000 multiply-accumulates a pixel); the most likely displacement of the matching
is added to the velocities directly, so that even a fresh network matches blocks and only learns to do it better;
velocities are the same for all times where motion is steady: (t to 0) = -t v0, (t to 1) = (1 - t) v1. No layer is told the
time, so that what is learned at one serves all.

    frames 0 and 1 (H, W, C), and at 1/2, 1/4, … of their size
      each: features at its 1/2 and 1/4             w / 2, w; the same weights for all
      coarsest to finest, at 1/4 of each size:
        features warped to t, their matches         (2 * REACH + 1)^2 displacements
        velocities, visibility, hidden features     4, 1, w; the same weights for all
      1/2: frames and features warped, matched, velocities corrected
      full: both frames warped
      1/2: visibility, trust and repair, up by a transposed convolution
      full: blended by visibility, mixed with the cross-fade by trust, repaired
    middle frames (m, H, W, C)
"""

import keras
from keras import layers, ops

from kvzoo.models.warp import warp

REACH = 3  # displacements that are matched, in pixels of a level; 1 at half the size
AROUND = 7  # pixels in which one displacement is looked for
LOCAL = 9  # pixels whose mean features are taken off before features are matched
SHARPNESS = 20.0  # of the choice among displacements
COARSEST = 6  # pixels of the shorter side, at least, where the motion is first looked for


def pyramid_interpolator(
    frames_in: int = 2,
    frames_out: int = 1,
    image_size: int | tuple[int, int] = 128,
    channels: int = 3,
    channels_out: int | None = None,
    width: int = 32,
    levels: int | None = None,
) -> keras.Model:
    """Build the pyramid interpolator.

    Weights depend on width and channels only.

    Args:
        frames_in: 2, the first and the last frame.
        frames_out: m, middle frames at equal distances.
        image_size: height and width of a frame in pixels; a pair where they differ.
        channels: 1 (grey) or 3 (RGB).
        channels_out: the same as `channels`, which None stands for.
        width: filters at a quarter of the size; twice as many where motion is corrected.
        levels: of the pyramid; as many as the size allows when None.

    Returns:
        A functional model, "inputs" (B, 2, H, W, C) in -1..1 to (B, m, H, W, C) in -1..1. Of its layers,
        `flow` gives the flows (B, m, H, W, 4) in pixels, down and right, to the first frame and to the last;
        `visibility` (B, m, H, W, 1) the first frame's share of the blend; `trust` (B, m, H, W, 1) what is not the
        cross-fade's share; `warped` (B, m, H, W, C) both before the repair, `repair` what that adds;
        `estimates` (B, m, H/2, W/2, levels + 1, 4) the flows of all levels, coarse to fine, in pixels of half the size.

    Raises:
        ValueError: frames_in is not 2, sizes under 8, other channels out than in.
    """
    height, across = (image_size, image_size) if isinstance(image_size, int) else image_size
    if frames_in != 2:
        raise ValueError(f"pyramid_interpolator: frames_in must be 2, the first and the last. Received: {frames_in}")
    if channels_out not in (None, channels):
        raise ValueError(f"pyramid_interpolator: channels_out must be channels, {channels}. Received: {channels_out}")
    if min(height, across) < 8 or height % 4 or across % 4:
        raise ValueError(
            f"pyramid_interpolator: image_size must be a multiple of 4, at least 8. Received: {image_size}"
        )
    if levels is None:
        levels = 1
        while min(height, across) / 2 ** (levels + 2) >= COARSEST:
            levels += 1

    features, correct, refine, finish = encoder(width), corrector(width), refiner(width), finisher(width, channels)
    times = [(k + 1) / (frames_out + 1) for k in range(frames_out)]
    inputs = keras.Input((2, height, across, channels), name="inputs")
    unit = 4 * 2 ** (levels - 1)  # a size that every level halves is a multiple of it
    padding = ((0, 0), (0, -height % unit), (0, -across % unit), (0, 0))
    padded = folded(inputs)
    pads = any(sum(pad) for pad in padding)
    if pads:
        padded = ops.pad(padded, padding, mode="symmetric")
    rows, columns = padded.shape[1:3]

    pyramid, frame = [], padded
    for level in range(levels):
        if level:
            frame = ops.average_pool(frame, 2, 2)
        pyramid.append(features(frame))

    state, estimates = None, []
    for level in reversed(range(levels)):
        _, quarter = pyramid[level]
        if state is None:
            ones = ops.ones_like(unfolded(quarter, 2)[:, :1, :, :, :1])
            plane = folded(ops.repeat(ones, frames_out, axis=1))
            motion, hidden = ops.repeat(0.0 * plane, 5, axis=-1), ops.repeat(0.0 * plane, width, axis=-1)
        else:
            motion, hidden = state
            motion, hidden = faster(double(motion)), double(hidden)
        state = correct(unfolded(quarter, 2), motion, hidden, times)
        estimates.append(enlarged(state[0], 2 ** (level + 1), frames_out))

    motion, hidden = (double(x) for x in state)
    half = unfolded(ops.average_pool(padded, 2, 2), 2), unfolded(pyramid[0][0], 2)
    motion, hidden = refine(*half, faster(motion), hidden, times)
    estimates.append(enlarged(motion, 1, frames_out))
    stacked = span(span(ops.stack(estimates, axis=4), 0, height // 2, 2), 0, across // 2, 3)
    estimates = layers.Identity(name="estimates", dtype="float32")(stacked)

    # The finest of them in pixels of the full size.
    flow = unfolded(2.0 * double(folded(ops.unstack(estimates, levels + 1, axis=4)[-1])), frames_out)
    flow = layers.Identity(name="flow", dtype="float32")(flow)
    before, after = split(flow, 2, 2)
    first, last = warp(inputs[:, 0], before), warp(inputs[:, 1], after)

    # Below, frames are padded again to what half the size wants.
    both = folded(ops.concatenate([first, last], axis=-1))
    if pads:
        both = ops.pad(both, padding, mode="symmetric")
    blocks = ops.reshape(both, (-1, rows // 2, 2, columns // 2, 2, 2 * channels))
    blocks = ops.reshape(ops.transpose(blocks, (0, 1, 3, 2, 4, 5)), (-1, rows // 2, columns // 2, 8 * channels))
    last_words = finish(ops.concatenate([blocks, motion, hidden], axis=-1))
    last_words = ops.concatenate([last_words, double(split(motion, 4, 1)[1])], axis=-1)
    last_words = unfolded(ops.cast(last_words, "float32"), frames_out)
    last_words = span(span(last_words, 0, height, 2), 0, across, 3)
    blend, mix, repair, evidence = split(last_words, 1, 1, channels, 1)

    time = ops.reshape(ops.convert_to_tensor(times, "float32"), (1, frames_out, 1, 1, 1))
    # Without evidence the nearer frame counts more.
    seen = evidence + blend + ops.log((1.0 - time) / time)
    visibility = layers.Activation("sigmoid", name="visibility", dtype="float32")(seen)
    trust = layers.Activation("sigmoid", name="trust", dtype="float32")(mix + 3.0)
    warped = visibility * first + (1.0 - visibility) * last
    fade = (1.0 - time) * inputs[:, :1] + time * inputs[:, 1:]
    warped = layers.Identity(name="warped", dtype="float32")(trust * warped + (1.0 - trust) * fade)
    repair = layers.Identity(name="repair", dtype="float32")(repair)
    outputs = ops.clip(warped + repair, -1.0, 1.0)
    return keras.Model(inputs, outputs, name="pyramid_interpolator")


# Blocks. Each is made once and called on every level.


def conv(filters: int, size: int = 3, strides: int = 1, dilation: int = 1):
    """Return a convolution with a leaky ReLU."""
    one = layers.Conv2D(filters, size, strides, "same", dilation_rate=dilation, kernel_initializer="he_normal")
    return lambda x: ops.leaky_relu(one(x), 0.1)


def head(filters: int):
    """Return a 3x3 convolution that begins at zero."""
    return layers.Conv2D(filters, 3, padding="same", kernel_initializer="zeros")


def encoder(width: int):
    """Return features(frames (N, H, W, C)) -> at half and at a quarter of the size, width / 2 and width channels."""
    steps = conv(width // 2, 3, 2), conv(width, 3, 2), conv(width)

    def features(frames):
        half = steps[0](frames)
        return half, steps[2](steps[1](half))

    return features


def corrector(width: int):
    """Return correct(features (B, 2, h, w, C), motion, hidden, times) -> motion, hidden of one level."""
    squeeze, steps = conv(2 * width, 1), [conv(2 * width), conv(2 * width, dilation=2), conv(2 * width)]
    remember, change, gate = conv(width), head(5), head(1)

    def correct(pairs, motion, hidden, times):
        first, last = warped_pair(pairs, motion, times)
        matched, displacement = matches(first, last, times)
        x = ops.concatenate([first, last, matched, displacement, motion, hidden], axis=-1)
        x = squeeze(x)
        for step in steps:
            x = step(x)
        return corrected(motion, gate(x), displacement, change(x)), remember(x)

    return correct


def refiner(width: int):
    """Return refine(frames, features (B, 2, h, w, C), motion, hidden, times) -> motion, hidden at half the size."""
    squeeze, steps, change, gate = conv(width, 1), [conv(width), conv(width)], head(5), head(1)

    def refine(frames, pairs, motion, hidden, times):
        first, last = warped_pair(pairs, motion, times)
        matched, displacement = matches(first, last, times, 1)
        pictures = warped_pair(frames, motion, times)
        x = ops.concatenate([*pictures, first, last, matched, displacement, motion, hidden], axis=-1)
        x = squeeze(x)
        for step in steps:
            x = step(x)
        return corrected(motion, gate(x), displacement, change(x)), x

    return refine


def finisher(width: int, channels: int):
    """Return finish(what is known (N, h, w, C)) -> logits of visibility and trust, and the repair, at twice the size."""
    steps = [conv(width), conv(width)]
    up = layers.Conv2DTranspose(2 + channels, 4, 2, "same", kernel_initializer="zeros")

    def finish(x):
        for step in steps:
            x = step(x)
        return up(x)

    return finish


# Functions of tensors. Times of a pair lie in the batch: (B * m, h, w, C).


def folded(x):
    """(B, n, H, W, C) to (B * n, H, W, C)."""
    return ops.reshape(x, (-1, *x.shape[2:]))


def unfolded(x, count: int):
    """(B * n, H, W, C) to (B, n, H, W, C)."""
    return ops.reshape(x, (-1, count, *x.shape[1:]))


def split(x, *sizes: int):
    """Split channels into parts of these sizes; a slice's gradient is slow on TensorFlow, a split's is not."""
    ends = [sum(sizes[:i]) for i in range(1, len(sizes))]
    return ops.split(x, ends, axis=-1)


def span(x, start: int, size: int, axis: int):
    """Return x[…, start : start + size, …] along an axis, for the same reason."""
    whole = x.shape[axis]
    ends = [start, start + size]
    return ops.split(x, ends, axis=axis)[1] if size < whole else x


def double(x):
    """Twice the size, bilinearly."""
    return layers.UpSampling2D(2, interpolation="bilinear")(x)


def faster(motion):
    """Velocities of twice the size: twice as many pixels."""
    return motion * ops.convert_to_tensor([2.0, 2.0, 2.0, 2.0, 1.0], motion.dtype)


def enlarged(motion, times_larger: int, count: int):
    """Return the flows of a level as the pixels of a larger one have them, (B, m, H, W, 4)."""
    flow = float(times_larger) * flows(motion, [(k + 1) / (count + 1) for k in range(count)])
    if times_larger > 1:
        flow = layers.UpSampling2D(times_larger, interpolation="nearest")(flow)
    return unfolded(flow, count)


def time_plane(like, times: list[float]):
    """Return the time of each pixel, (B * m, h, w, 1)."""
    ones = unfolded(ops.ones_like(like[..., :1]), len(times))
    return folded(ones * ops.cast(ops.reshape(ops.convert_to_tensor(times), (1, -1, 1, 1, 1)), ones.dtype))


def flows(motion, times: list[float]):
    """Return the flows from t to 0 and to 1, (B * m, h, w, 4), of motion (B * m, h, w, 5)."""
    time = time_plane(motion, times)
    before, after, _ = split(motion, 2, 2, 1)
    return ops.concatenate([-time * before, (1.0 - time) * after], axis=-1)


def corrected(motion, gate, displacement, change):
    """Return motion with the displacement that matching found, as far as its gate is open, and a change of all."""
    found = ops.sigmoid(gate) * displacement
    return motion + ops.concatenate([found, found, 0.0 * gate], axis=-1) + change


def warped_pair(pairs, motion, times: list[float]):
    """Return both frames' features as they are at each time, two tensors (B * m, h, w, C)."""
    before, after = split(unfolded(flows(motion, times), len(times)), 2, 2)
    first, last = ops.unstack(pairs, 2, axis=1)
    return folded(warp(first, before)), folded(warp(last, after))


def matches(first, last, times: list[float], reach: int = REACH):
    """Match features warped to a time, (B * m, h, w, C), with each other around each pixel.

    Returns:
        Correlations (B * m, h, w, (2 * reach + 1)^2) of what moves by each displacement, to the last frame from the
        first, and passes the pixel at the time; and the most likely displacement (B * m, h, w, 2), down and right.
    """
    rows, columns, channels = first.shape[1:]
    count, side = len(times), 2 * reach + 1
    wide = columns + 2 * reach
    # Their mean product is a correlation.
    first, last = (normalized(x) for x in (first, last))
    first = ops.pad(first, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    last = ops.pad(last, ((0, 0), (2 * reach, 2 * reach), (2 * reach, 2 * reach), (0, 0)))
    firsts, lasts = (ops.unstack(unfolded(x, count), count, axis=1) for x in (first, last))
    volumes = []
    for k, time in enumerate(times):
        # Before the time by so many pixels, after it by the rest.
        before = [int((time * d + reach) // 1) - reach for d in range(-reach, reach + 1)]
        a = ops.stack([span(firsts[k], reach - s, rows, 1) for s in before], axis=1)
        b = ops.stack([span(lasts[k], reach - s + i, rows, 1) for i, s in enumerate(before)], axis=1)
        # Rows against rows: of all products the diagonals are wanted, which a longer row lays one below the other.
        product = ops.matmul(a, ops.swapaxes(b, -1, -2)) / channels
        product = ops.reshape(product, (-1, side, rows, wide * (wide + 2 * reach)))
        product = ops.pad(product, ((0, 0), (0, 0), (0, 0), (0, wide)))
        product = span(ops.reshape(product, (-1, side, rows, wide, wide + 2 * reach + 1)), 0, side, -1)
        product = ops.unstack(product, side, axis=-1)
        volumes.append(ops.stack([span(product[i], reach - s, columns, 3) for i, s in enumerate(before)], axis=-1))
    volume = ops.stack(volumes, axis=1)  # B, m, displacement down, h, w, across
    volume = ops.reshape(ops.transpose(volume, (0, 1, 3, 4, 2, 5)), (-1, rows, columns, side * side))
    # Pixels around agree on where they go, mostly.
    share = ops.softmax(SHARPNESS * ops.average_pool(volume, AROUND, 1, "same"), axis=-1)
    offsets = [[d, e] for d in range(-reach, reach + 1) for e in range(-reach, reach + 1)]
    return volume, ops.matmul(share, ops.convert_to_tensor(offsets, share.dtype))


def normalized(x):
    """Return features as they differ from those around, of zero mean and unit variance over their channels."""
    x = x - ops.average_pool(x, LOCAL, 1, "same")
    x = x - ops.mean(x, axis=-1, keepdims=True)
    return x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + 1e-3)


# Terms of its loss


def flow_error(inputs, outputs):
    """How far the flows of all levels are from the true ones, in pixels, large errors counting less: (e + 0.01)^0.7."""
    error = ops.abs(outputs["estimates"] - ops.expand_dims(inputs["flow"], 4))
    return ops.mean(ops.power(ops.sum(error, axis=-1) / 2.0 + 0.01, 0.7))


def visibility_error(inputs, outputs):
    """The cross-entropy of the frame that a pixel is visible in, of those that are in one only, per pixel of all."""
    seen = ops.average_pool(folded(outputs["visibility"]), 2, 2)
    first, last = (folded(inputs["visible"][..., k : k + 1]) for k in range(2))
    right = first * (1.0 - last) * ops.log(seen + 1e-4) + last * (1.0 - first) * ops.log(1.0 - seen + 1e-4)
    return -ops.mean(right)


def laplacian(inputs, outputs):
    """The absolute error of what each of four sizes adds to the next smaller one, of the frames."""
    error, total = folded(outputs["clip"] - inputs["targets"]), 0.0
    for level in range(4):
        small = ops.average_pool(error, 2, 2)
        total = total + 2.0**level * ops.mean(ops.abs(error - layers.UpSampling2D(2)(small)))
        error = small
    return total / 4.0


def warped_l1(inputs, outputs):
    """The absolute error of the blend before its repair."""
    return ops.mean(ops.abs(outputs["warped"] - inputs["targets"]))
