"""The loss `mse`: the mean squared error of a clip's reconstruction, on values in -1..1."""

import keras
from keras import ops

from kvzoo.losses import arrays
from kvzoo.losses.base import VideoModel, to_unit_range


class MeanSquaredError(VideoModel):
    """Trains a reconstructor: `.fit(clips)` with clips (N, T, H, W, C), uint8 or float -1..1.

    Keras's own train step runs it. `.fit(inputs, targets)` trains the model to return other clips than it receives.
    Metrics: `loss`, and `psnr`, the mean of the clips' PSNR in dB on values scaled to 0..1.

    Example:
        >>> import kvzoo, numpy as np
        >>> model = kvzoo.get("gru_ae", frames=2, image_size=16, latent_dim=4, units=4, width=1)
        >>> logs = model.train_on_batch(np.zeros((2, 2, 16, 16, 1), "uint8"), return_dict=True)
        >>> sorted(logs)
        ['loss', 'psnr']
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.psnr = keras.metrics.Mean("psnr")

    def check_example(self, where, x, y, weights, look=True):
        super().check_example(where, x, y, weights, look)
        if y is not None:
            self.check_clips(f"{where}: targets", y, self.network.output_shape[1:], look, arrays.count_of(x))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        error = _error_of_clips(x if y is None else y, y_pred)
        return ops.mean(error if sample_weight is None else error * sample_weight)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        # A square error on -1..1 is four times that on 0..1.
        target = to_unit_range(x if y is None else y)
        error = _error_of_clips(target, y_pred) / 4.0
        self.psnr.update_state(-10.0 * ops.log10(ops.maximum(error, 1e-10)), sample_weight)
        return super().compute_metrics(x, target, ops.cast(y_pred, "float32"), sample_weight)


def _error_of_clips(target, prediction):
    """Return the mean squared error of each clip, (N,)."""
    return ops.mean(ops.square(ops.cast(prediction, "float32") - to_unit_range(target)), axis=(1, 2, 3, 4))
