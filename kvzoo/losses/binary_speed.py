"""The loss `binary_speed`: is a clip sped up, or at normal speed? Binary cross-entropy, in nats.

Source: SpeedNet, Benaim et al., CVPR 2020, arXiv 2004.06130. No labels are needed: the sampler `speed_pair` cuts both
kinds of clip from the same frames.
"""

import keras
from keras import ops

from kvzoo.errors import InputError
from kvzoo.losses import arrays
from kvzoo.losses.base import VideoModel


class BinarySpeed(VideoModel):
    """Trains a classifier with one logit: `.fit(clips, labels)` with clips (N, T, H, W, C), labels (N,): 1 = sped up.

    Keras's own train step runs it. Metrics: `loss`, in nats, and `accuracy`, the share of clips whose logit is on the
    right side of 0.

    Raises:
        InputError: a network with more than one logit.

    Example:
        >>> import kvzoo, numpy as np
        >>> model = kvzoo.get("speednet", frames=4, image_size=16, width=0.0625)
        >>> logs = model.train_on_batch(np.zeros((2, 4, 16, 16, 3), "uint8"), np.array([0, 1]), return_dict=True)
        >>> sorted(logs)
        ['accuracy', 'loss']
    """

    takes_labels = True
    classes = 2
    # The sampler makes the labels; those of the data are not used.
    wanted_classes = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.network.output_shape[1:] != (1,):
            raise InputError(
                f"model {self.spec.name}: binary_speed requires one logit (B, 1). Received: {self.network.output_shape}"
            )
        self.accuracy = keras.metrics.BinaryAccuracy("accuracy", threshold=0.0)

    def check_example(self, where, x, y, weights, look=True):
        super().check_example(where, x, y, weights, look)
        if y is None:
            raise InputError(f"{where}: {self.spec.name} requires labels, 1 = sped up: .fit(clips, labels)")
        legal = "one for each clip, 0 (normal) or 1 (sped up), is required"
        arrays.check_zeros_and_ones(f"{where}: labels", y, arrays.count_of(x), legal, look)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        logit, label = self._flat(y_pred, y)
        entropy = ops.softplus(logit) - logit * label
        return ops.mean(entropy if sample_weight is None else entropy * sample_weight)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        logit, label = self._flat(y_pred, y)
        # As columns: the metric takes the mean over what lies in a row.
        self.accuracy.update_state(label[:, None], logit[:, None], sample_weight)
        return super().compute_metrics(x, label[:, None], logit[:, None], sample_weight)

    @staticmethod
    def _flat(y_pred, y):
        return ops.reshape(ops.cast(y_pred, "float32"), (-1,)), ops.reshape(ops.cast(y, "float32"), (-1,))
