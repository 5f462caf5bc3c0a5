"""The loss `cross_entropy`: a classifier's, from clips and the classes that they are of."""

import keras
from keras import ops

from kvzoo.errors import InputError
from kvzoo.losses.base import VideoModel


class CrossEntropy(VideoModel):
    """Trains a classifier: `.fit(clips, labels)` with clips (N, T, H, W, C), labels (N,) integers from 0.

    Keras's own train step runs it. Beside the loss, in nats, it reports `accuracy`.
    """

    takes_labels = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.classes = self.network.output_shape[-1]
        self.accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if y is None:
            raise InputError(f"fit: {self.spec.name} is trained with labels: .fit(clips, labels) is wanted")
        entropy = keras.losses.sparse_categorical_crossentropy(y, ops.cast(y_pred, "float32"), from_logits=True)
        return ops.mean(entropy if sample_weight is None else entropy * sample_weight)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.accuracy.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()
