"""MemAE: an autoencoder that can draw only what it remembers.

A clip is encoded by 3D convolutions to a small map. Each place of the map, the query, is replaced by a mixture of a few
items of a memory that training has filled with what is normal; the decoder sees nothing else. What is not normal
comes back as something normal, and the error shows it.

Source: Gong et al., "Memorizing Normality to Detect Anomaly: Memory-augmented Deep Autoencoder for Unsupervised Anomaly
Detection", ICCV 2019, arXiv 1904.02639, and its code, donggong1/memae-anomaly-detection (PyTorch), which differs
from the text: a query addresses items by its dot product, not its cosine, and the shrinkage is 0.0025 (5/N), not 1/N to
3/N. Both are options; the code's are the defaults, as its figures are the paper's.
What differs: the output has a tanh; convolutions before a batch norm have no bias, which batch norm makes idle; padding
is "same", which at stride 2 pads behind a clip, not before it; `width` scales the network.

    clip (T, H, W, C)
      3x3x3 conv, stride 1x2x2       w                    batch norm + LeakyReLU 0.2
      3x3x3 conv, stride 2           4w/3, 8w/3, 8w/3     batch norm + LeakyReLU 0.2
      queries                        T/8 x H/16 x W/16, each of 8w/3 numbers
      addressing                     softmax(query . item) over N items, those up to `shrink` 0, sum 1 again
      recalled                       the items' sum by these weights
      3x3x3 transposed, stride 2     8w/3, 4w/3, w        batch norm + LeakyReLU 0.2
      3x3x3 transposed, 1x2x2        C, tanh
    clip

The memory is the kernel of an EinsumDense layer that is shown a 1, so that the network consists of stock Keras.
"""

import keras
from keras import layers, ops


def conv(x, filters: int, strides):
    """3x3x3 convolution, batch norm, LeakyReLU."""
    return norm(layers.Conv3D(filters, 3, strides, "same", use_bias=False)(x))


def conv_transpose(x, filters: int):
    """3x3x3 transposed convolution of stride 2, batch norm, LeakyReLU."""
    return norm(layers.Conv3DTranspose(filters, 3, 2, "same", use_bias=False)(x))


def norm(x):
    """Batch norm with PyTorch's constants, then LeakyReLU."""
    return layers.LeakyReLU(0.2)(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))


def memory(like, items: int):
    """The memory (N, F): the product of 1 and a kernel; `like` (B, …, F) tells F and what a 1 is made from."""
    size = like.shape[-1]
    one = ops.reshape(ops.ones_like(like[0, 0, 0, 0, :1]), (1, 1))
    init = keras.initializers.RandomUniform(-(size**-0.5), size**-0.5)
    kept = layers.EinsumDense("bi,inf->bnf", (items, size), kernel_initializer=init, name="memory")(one)
    return ops.reshape(kept, (items, size))


def recall(query, items: int, shrink: float, similarity: str):
    """Return what the memory gives back for queries (B, …, F)."""
    kept = memory(query, items)
    asked, keys = query, kept
    if similarity == "cosine":
        asked, keys = ops.normalize(query, axis=-1, epsilon=1e-6), ops.normalize(kept, axis=-1, epsilon=1e-6)
    weights = ops.softmax(ops.matmul(asked, ops.transpose(keys)), axis=-1)
    if shrink:
        weights = ops.hard_shrink(weights, shrink)
        # Where nothing is above the threshold nothing is recalled.
        weights = weights / ops.maximum(ops.sum(weights, axis=-1, keepdims=True), 1e-6)
    weights = layers.Identity(name="addressing")(weights)
    return layers.Identity(name="recalled")(ops.matmul(weights, kept))


def memae(
    frames: int = 16,
    image_size: int = 256,
    channels: int = 1,
    items: int = 2000,
    shrink: float = 0.0025,
    similarity: str = "dot",
    width: int = 96,
) -> keras.Model:
    """Build MemAE.

    Args:
        frames: T, frames of a clip, divisible by 8 (paper: 16).
        image_size: height and width of a frame in pixels, divisible by 16 (paper: 256).
        channels: 1 (grey) or 3 (RGB) (paper: 1).
        items: N, how many the memory holds (paper: 2000; its figures hardly change from 500 on).
        shrink: weights up to this become 0 (code: 0.0025); 0 keeps all.
        similarity: "dot" (code) or "cosine" (paper's text), of a query and an item.
        width: filters of the first convolution, divisible by 3 (paper: 96).

    Returns:
        A functional model, clips (B, T, H, W, C) in -1..1 to clips of the same shape in -1..1. The layer `addressing`
        gives the weights (B, T/8, H/16, W/16, N), not negative, of sum 1, or 0 where all were shrunk; `recalled`
        what the decoder sees (B, T/8, H/16, W/16, 8/3 width).

    Raises:
        ValueError: a size that does not divide, an unknown similarity.
    """
    for option, value, factor in (("frames", frames, 8), ("image_size", image_size, 16), ("width", width, 3)):
        if value < factor or value % factor:
            raise ValueError(f"memae: {option} must be a positive multiple of {factor}. Received: {value}")
    if similarity not in ("dot", "cosine"):
        raise ValueError(f"memae: similarity must be dot or cosine. Received: {similarity!r}")
    w4, w8 = 4 * width // 3, 8 * width // 3

    clip = keras.Input((frames, image_size, image_size, channels), name="clip")
    x = conv(clip, width, (1, 2, 2))
    for filters in (w4, w8, w8):
        x = conv(x, filters, 2)

    x = recall(x, items, shrink, similarity)

    for filters in (w8, w4, width):
        x = conv_transpose(x, filters)
    x = layers.Conv3DTranspose(channels, 3, (1, 2, 2), "same", name="frames")(x)
    return keras.Model(clip, ops.tanh(x), name="memae")
