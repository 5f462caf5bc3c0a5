"""The frozen network in whose features generated clips are judged: `tiny_c3d`, trained on `stick_actions`.

Its weights are shipped with kvzoo (140,566 numbers) and named by their hash. A Fréchet distance in its features
compares with no other network's, and not with the FVD of papers, which is of I3D trained on Kinetics.
"""

import hashlib
from importlib import resources

import keras
import numpy as np

from kvzoo import zoo

WEIGHTS = "tiny_c3d_stick_actions.keras"
BATCH = 16


class FrozenFeatures:
    """tiny_c3d's 64 features of clips of one size.

    Attributes:
        name: of network and training data, with the weights' hash.
    """

    def __init__(self, frames: int, image_size: int):
        with resources.as_file(resources.files("kvzoo") / "assets" / WEIGHTS) as file:
            model = zoo.get("tiny_c3d", weights=file, compile=False, frames=frames, image_size=image_size)
            digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        self.name = f"tiny_c3d trained on stick_actions (sha256 {digest})"
        self._network = keras.Model(model.network.input, model.network.get_layer("features").output)

    def __call__(self, clips: np.ndarray) -> np.ndarray:
        """Return the features (N, 64) of clips uint8 (N, T, H, W, C); grey ones are given thrice."""
        if clips.shape[-1] == 1:
            clips = clips.repeat(3, axis=-1)
        parts = [
            np.asarray(self._network.predict_on_batch(clips[i : i + BATCH].astype("float32") / 127.5 - 1.0))
            for i in range(0, len(clips), BATCH)
        ]
        return np.concatenate(parts)
