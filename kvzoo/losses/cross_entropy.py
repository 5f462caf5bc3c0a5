"""The loss `cross_entropy`: a classifier's, from clips and their classes."""

import keras
from keras import ops

from kvzoo.errors import InputError
from kvzoo.losses import arrays
from kvzoo.losses.base import VideoModel


class CrossEntropy(VideoModel):
    """Trains a classifier: `.fit(clips, labels)` with clips (N, T, H, W, C), labels (N,) integers from 0.

    Keras's own train step runs it. Metrics: `loss`, in nats, and `accuracy`.

    Example:
        >>> import kvzoo, numpy as np
        >>> model = kvzoo.get("tiny_c3d", frames=4, image_size=16, width=2, classes=3)
        >>> logs = model.train_on_batch(np.zeros((2, 4, 16, 16, 3), "uint8"), np.array([0, 2]), return_dict=True)
        >>> sorted(logs)
        ['accuracy', 'loss']
    """

    takes_labels = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.classes = self.network.output_shape[-1]
        self.accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")

    def check_example(self, where, x, y, weights, look=True):
        super().check_example(where, x, y, weights, look)
        if y is None:
            raise InputError(f"{where}: {self.spec.name} requires labels: .fit(clips, labels)")
        arrays.check_labels(f"{where}: labels", y, arrays.count_of(x), self.classes, look)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        labels = ops.reshape(y, (-1,))
        entropy = keras.losses.sparse_categorical_crossentropy(labels, ops.cast(y_pred, "float32"), from_logits=True)
        return ops.mean(entropy if sample_weight is None else entropy * sample_weight)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        labels = ops.reshape(y, (-1,))
        self.accuracy.update_state(labels, y_pred, sample_weight)
        return super().compute_metrics(x, labels, ops.cast(y_pred, "float32"), sample_weight)
