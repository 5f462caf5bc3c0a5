"""ConvLSTM autoencoder: an autoencoder whose code is a sequence of small pictures.

Every frame is encoded by convolutions, three convolutional LSTMs run over the sequence of maps, and each of their
outputs is decoded to a frame. Trained on what is normal, it draws what is not badly.

Source: Chong and Tay, "Abnormal Event Detection in Videos using Spatiotemporal Autoencoder", ISNN 2017, arXiv
1701.01546, section 3 and figure 2; the convolutional LSTM is Shi et al., NIPS 2015, arXiv 1506.04214, without peepholes,
as Keras has it. What differs: the last layer has a tanh, as all others have, so that clips come back in -1..1 (the
paper normalises its input otherwise); `width` scales the network; and sizes other than 11 + 8 k, which the paper's
convolutions without padding fit (227, 55, 26, 55, 227), are padded ("same") and cropped on the way back (64, 16, 8, 16, 64).

    clip (T, H, W, C)
      frames        11x11 conv, stride 4     2w           tanh
                    5x5 conv, stride 2       w            tanh
      sequence      3x3 ConvLSTM             w
                    3x3 ConvLSTM             w/2          (T, h, w, w/2): the code
                    3x3 ConvLSTM             w
      frames        5x5 transposed, stride 2     2w       tanh
                    11x11 transposed, stride 4   C        tanh
    clip
"""

import keras
from keras import layers, ops


def convlstm_ae(
    frames: int = 10,
    image_size: int = 227,
    channels: int = 1,
    width: int = 64,
) -> keras.Model:
    """Build the ConvLSTM autoencoder.

    Args:
        frames: T, frames of a clip (paper: 10).
        image_size: height and width of a frame in pixels, at least 8; without padding from 27 on where it is 11 + 8 k
            (paper: 227).
        channels: 1 (grey) or 3 (RGB) (paper: 1).
        width: channels of the maps that the first and last ConvLSTM give, even (paper: 64).

    Returns:
        A functional model, clips (B, T, H, W, C) in -1..1 to clips of the same shape in -1..1. The layer `code` gives
        (B, T, h, w, width / 2) in -1..1, where h = w = image_size / 8, rounded up, or (image_size - 19) / 8 without padding.

    Raises:
        ValueError: an image_size under 8, or an odd width.
    """
    if image_size < 8:
        raise ValueError(f"convlstm_ae: image_size must be at least 8. Received: {image_size}")
    if width < 2 or width % 2:
        raise ValueError(f"convlstm_ae: width must be even. Received: {width}")

    padding = "valid" if image_size >= 27 and image_size % 8 == 3 else "same"
    clip = keras.Input((frames, image_size, image_size, channels), name="clip")
    x = ops.reshape(clip, (-1, image_size, image_size, channels))
    x = layers.Conv2D(2 * width, 11, 4, padding, activation="tanh")(x)
    side = x.shape[1]
    x = layers.Conv2D(width, 5, 2, padding, activation="tanh")(x)

    x = ops.reshape(x, (-1, frames, *x.shape[1:]))
    x = layers.ConvLSTM2D(width, 3, padding="same", return_sequences=True)(x)
    x = layers.ConvLSTM2D(width // 2, 3, padding="same", return_sequences=True, name="code")(x)
    x = layers.ConvLSTM2D(width, 3, padding="same", return_sequences=True)(x)

    x = ops.reshape(x, (-1, *x.shape[2:]))
    x = layers.Conv2DTranspose(2 * width, 5, 2, padding, activation="tanh")(x)[:, :side, :side]
    x = layers.Conv2DTranspose(channels, 11, 4, padding, activation="tanh", name="frames")(x)[
        :, :image_size, :image_size
    ]
    return keras.Model(clip, ops.reshape(x, (-1, *clip.shape[1:])), name="convlstm_ae")
