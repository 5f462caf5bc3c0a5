"""The loss `binary_speed`: is a clip sped up, or at its normal speed? Binary cross-entropy, in nats.

Source: SpeedNet, Benaim et al., CVPR 2020, arXiv 2004.06130. No labels are needed: the sampler `speed_pair` makes both
kinds of clip from the same frames.
"""

import keras
import numpy as np
from keras import ops

from kvzoo.errors import InputError
from kvzoo.losses.base import VideoModel


class BinarySpeed(VideoModel):
    """Trains a classifier with one logit: `.fit(clips, labels)` with clips (N, T, H, W, C), labels (N,): 1 = sped up.

    Keras's own train step runs it. Beside the loss, in nats, it reports `accuracy`, the share of clips on whose
    side of 0 the logit is. Labels are checked where they come as arrays.

    Raises:
        InputError: a network with more than one logit.
    """

    takes_labels = True
    classes = 2
    # The sampler makes the labels; those of the data have no use.
    wanted_classes = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.network.output_shape[1:] != (1,):
            raise InputError(
                f"model {self.spec.name}: binary_speed wants one logit (B, 1). Received: {self.network.output_shape}"
            )
        self.accuracy = keras.metrics.BinaryAccuracy("accuracy", threshold=0.0)

    def fit(self, x=None, y=None, *args, **kwargs):
        _check(y)
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        _check(y)
        return super().evaluate(x, y, *args, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if y is None:
            raise InputError(
                f"fit: {self.spec.name} is trained with labels, 1 = sped up: .fit(clips, labels) is wanted"
            )
        logit, label = self._flat(y_pred, y)
        entropy = ops.softplus(logit) - logit * label
        return ops.mean(entropy if sample_weight is None else entropy * sample_weight)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        logit, label = self._flat(y_pred, y)
        # As columns: the metric takes the mean over what lies in a row.
        self.accuracy.update_state(label[:, None], logit[:, None], sample_weight)
        return self.get_metrics_result()

    @staticmethod
    def _flat(y_pred, y):
        return ops.reshape(ops.cast(y_pred, "float32"), (-1,)), ops.reshape(ops.cast(y, "float32"), (-1,))


def _check(labels) -> None:
    """Refuse labels other than 0 and 1, where they can be seen before training."""
    if labels is None or not hasattr(labels, "__array__"):
        return
    values = np.unique(np.asarray(labels))
    if wrong := [value for value in values.tolist() if value not in (0, 1)]:
        raise InputError(f"fit: labels are 0 (normal) or 1 (sped up). Received: {wrong[0]!r}")
