"""What a model gives for fixed weights and examples, to be compared between backends."""

import keras
import numpy as np

from kvzoo import zoo
from kvzoo.kernels import private
from kvzoo.losses.base import VideoModel
from kvzoo.tasks.base import loss_of, task_of


def measure(model: VideoModel, examples: tuple[np.ndarray, ...]) -> dict:
    """Evaluate a model compiled with its reference optimizer, train it for a few steps, and return what came out as plain numbers.

    Returns:
        "score" and "losses": as the task's `outcome` says, mostly the loss of the examples and that before and after a
        step; "fit": what `fit` reports.
    """
    score, losses = task_of(model).outcome(model, examples)
    if losses is None:
        _same_draws(model)
        # SGD moves a weight in proportion to its gradient. Adam's first step has the same size for any gradient, also for
        # one that is nothing but rounding, as before a batch norm, and what it gives differs between processors.
        zoo.compile_model(model, {"name": "sgd", "learning_rate": 1e-3, "global_clipnorm": 1.0}, l2=0.0)
        losses = [float(loss_of(model.train_on_batch(*examples, return_dict=True))) for _ in range(2)]
        zoo.compile_model(model, dict(model.spec.optimizer), model.spec.l2)
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
        mask = (np.random.default_rng(1).random((1, *x.shape[1:])) >= rate).astype("float32") / (1.0 - rate)
        return x * keras.ops.convert_to_tensor(mask) if training else x

    return call
