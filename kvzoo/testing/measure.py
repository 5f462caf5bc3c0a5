"""What a model gives for fixed weights and examples, to be compared between backends."""

import keras
import numpy as np

from kvzoo.kernels import private
from kvzoo.losses.base import VideoModel


def loss_of(logs: dict):
    """Return the loss of logs or of a history: of a GAN the generator's."""
    return logs["loss"] if "loss" in logs else logs["g_loss"]


def measure(model: VideoModel, examples: tuple[np.ndarray, ...]) -> dict:
    """Evaluate a compiled model, train it for a few steps, and return what came out as plain numbers.

    Returns:
        "score": the loss of the examples, of a generator the mean of what it makes; "losses": before and
        after a step, of a generator the mean of each clip; "fit": what `fit` reports.
    """
    if model.spec.kind == "generator":
        # Its steps draw noise, which the backends do not share; what it makes of the same noise they do.
        clips, given = examples[0], {}
        names = {x.name for x in model.network.inputs}
        if "label" in names:
            given["labels"] = examples[-1]
        if "image" in names:
            given["images"] = clips[:, 0]
        made = model.generate(len(clips), seed=1, **given).astype(float)
        score, losses = made.mean(), made.mean((1, 2, 3, 4)).tolist()
    else:
        score = loss_of(model.evaluate(*examples, verbose=0, return_dict=True))
        _same_draws(model)
        # After one step and no more: a tiny network's batch norms make a hundredfold of rounding with each step of Adam.
        losses = [float(loss_of(model.train_on_batch(*examples, return_dict=True))) for _ in range(2)]
    fit = loss_of(model.fit(*examples, batch_size=2, verbose=0).history)
    return {"score": float(score), "losses": losses, "fit": [float(x) for x in fit]}


def _same_draws(model: VideoModel) -> None:
    """Put the same draws into layers that are random in training: the backends have no common random numbers."""
    for layer in private.layers_of(model):
        if isinstance(layer, keras.layers.GaussianNoise):
            layer.call = _noise(layer.stddev)
        elif isinstance(layer, (keras.layers.Dropout, keras.layers.SpatialDropout2D, keras.layers.SpatialDropout3D)):
            layer.call = _dropped(layer.rate)


def _noise(stddev: float):
    def call(x, training=False):
        draws = np.random.default_rng(1).normal(0.0, stddev, (1, *x.shape[1:])).astype("float32")
        return x + keras.ops.convert_to_tensor(draws) if training else x

    return call


def _dropped(rate: float):
    def call(x, training=False):
        kept = (np.random.default_rng(1).random((1, *x.shape[1:])) >= rate).astype("float32") / (1.0 - rate)
        return x * keras.ops.convert_to_tensor(kept) if training else x

    return call
