"""The loss `mse_entropy`: the mean squared error of a clip, and the entropy of how the network's memory is addressed.

    mean (x - x')^2 + entropy_weight * mean over places of  - sum over items of w log w

Source: Gong et al., ICCV 2019, arXiv 1904.02639, equations 9 and 10, with the weight 2e-4; values in -1..1, as in the
authors' code. It trains any reconstructor with a layer `addressing` that gives weights (B, …, N) over N items.
"""

import keras
from keras import ops

from kvzoo.errors import InputError
from kvzoo.losses.base import to_unit_range
from kvzoo.losses.mse import MeanSquaredError

FORGETS = 0.99  # a step's share of the running mean of use that the next one keeps


class MeanSquaredErrorAndEntropy(MeanSquaredError):
    """Trains a reconstructor with a memory: `.fit(clips)` with clips (N, T, H, W, C), uint8 or float -1..1.

    Beside `loss` and `psnr` it reports `entropy`, in nats, the mean over places: exp of it is about the number of
    items that one place mixes.

    Attributes:
        use: (N,), the share of all reading that each item had, a running mean over training steps.

    Raises:
        InputError: the network has no layer `addressing`.
    """

    def __init__(self, networks, spec, config, loss_name, entropy_weight: float = 2e-4):
        super().__init__(networks, spec, config, loss_name)
        try:
            weights = self.network.get_layer("addressing").output
        except ValueError:
            raise InputError(
                f"model {spec.name}: the loss {loss_name} wants a memory: a layer named addressing, weights (B, …, items)"
            ) from None
        view = keras.Model(self.network.inputs, [self.network.output, weights])
        # In a function, so that Keras does not take it for one more part of the model.
        self._see = lambda x, training: view(x, training=training)
        self.entropy_weight = entropy_weight
        self.entropy = keras.metrics.Mean("entropy")
        self.use = self.add_weight(
            shape=(weights.shape[-1],),
            initializer="zeros",
            trainable=False,
            dtype="float32",
            autocast=False,
            name="use",
        )

    def call(self, x, training=None):
        clip, weights = self._see(to_unit_range(x), training)
        weights = ops.cast(weights, "float32")
        self.add_loss(ops.mean(-ops.sum(weights * ops.log(weights + 1e-12), axis=-1)))
        if training:
            read = ops.mean(weights, axis=tuple(range(len(weights.shape) - 1)))
            self.use.assign(FORGETS * self.use + (1.0 - FORGETS) * read)
        return clip

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        (entropy,) = self.losses
        self.entropy.update_state(entropy, ops.shape(x)[0])
        return super().compute_loss(x, y, y_pred, sample_weight, training) + self.entropy_weight * entropy
