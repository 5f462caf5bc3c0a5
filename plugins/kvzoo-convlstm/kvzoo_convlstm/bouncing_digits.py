"""The source `bouncing_digits`: handwritten digits that drift over black and bounce off the picture's edges.

After Moving MNIST (Srivastava et al., "Unsupervised Learning of Video Representations using LSTMs", ICML 2015, arXiv
1502.04681), on which convolutional LSTMs were first tried, but with the 1,797 digits of 8x8 pixels that come with
scikit-learn (the test part of UCI's "Optical Recognition of Handwritten Digits", Alpaydin and Kaynak, 1998, CC BY
4.0), so that nothing is downloaded. Positions are parts of the picture's side, so that all sizes show the same video.
"""

from functools import lru_cache

import cv2
import numpy as np
from sklearn.datasets import load_digits

from kvzoo.data.source import Source, Video

FPS = 10.0
SIDE = 0.44  # of a digit's picture: Moving MNIST's 28 of 64 pixels
PACE = (0.3, 0.8)  # parts of the picture's side a second


class BouncingDigits(Source):
    """Videos of a few handwritten digits, white on black, that go straight on and bounce, at 10 frames a second.

    Labels are the digits in order, such as "37"; groups are pools of handwritten images: a video takes all its digits
    from one pool, so that no image is in training and in validation.

    Args:
        videos: how many; pools take turns.
        seconds: length of a video.
        digits: how many a video has.
        pools: how many parts the images fall into.
        seed: of digits and paths.
    """

    version = 1

    def __init__(self, videos: int = 240, seconds: float = 2.0, digits: int = 2, pools: int = 12, seed: int = 0):
        self._seed, self._pools, self._digits = seed, pools, digits
        frames, values = max(1, round(seconds * FPS)), load_digits().target
        listed = []
        for i in range(videos):
            chosen = self._chosen(i)
            label = "".join(map(str, sorted(values[chosen])))
            pool = f"pool{i % pools:02d}"
            listed.append(Video(f"{label}/{pool}_{i:05d}", frames, FPS, pool, label, key=i))
        super().__init__(listed)

    def decode(self, video: Video, start: int, stop: int, image_size: int, channels: int) -> np.ndarray:
        side = max(1, round(SIDE * image_size))
        pictures = [
            cv2.resize(_images()[i], (side, side), interpolation=cv2.INTER_CUBIC) for i in self._chosen(video.key)
        ]
        rng = np.random.default_rng((self._seed, 1, video.key))
        frames = np.zeros((stop - start, image_size, image_size), np.float32)
        times = np.arange(start, stop) / FPS
        for picture in pictures:
            angle, pace = rng.uniform(0, 2 * np.pi), rng.uniform(*PACE)
            where = rng.uniform(0, 1, 2)[:, None] + np.outer([np.sin(angle), np.cos(angle)], pace * times) / (1 - SIDE)
            # A wave between the edges: 0 to 1 and back.
            where = 1 - np.abs(where % 2 - 1)
            for frame, (y, x) in zip(frames, where.T * (image_size - side), strict=True):
                # Between pixels, so that slow digits do not jump.
                shift = np.float32([[1, 0, x], [0, 1, y]])
                moved = cv2.warpAffine(picture, shift, (image_size, image_size), flags=cv2.INTER_LINEAR)
                np.maximum(frame, moved, out=frame)
        frames = (frames.clip(0, 1) * 255).round().astype(np.uint8)
        return np.repeat(frames[..., None], channels, axis=-1)

    def fingerprint(self) -> str:
        return f"{super().fingerprint()}-seed{self._seed}-pools{self._pools}-digits{self._digits}"

    def _chosen(self, index: int) -> np.ndarray:
        """Return which of the 1,797 images a video shows."""
        pool = np.array_split(np.arange(len(_images())), self._pools)[index % self._pools]
        return np.random.default_rng((self._seed, 0, index)).choice(pool, self._digits, replace=False)


@lru_cache
def _images() -> np.ndarray:
    """Return the handwritten digits, float32 (1797, 8, 8) in 0..1."""
    return (load_digits().images / 16.0).astype(np.float32)
