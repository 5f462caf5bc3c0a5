"""Classification of clips."""

import keras
import numpy as np

from kvzoo.losses.base import to_probabilities
from kvzoo.tasks.base import Examples, ExtraMetrics, Task, check_shape
from kvzoo.tasks.measured import Measured
from kvzoo.tasks.samples import Drawn, Shown


class Classification(Task):
    """Metrics of plugins receive (probabilities float64 (N, K), classes int (N,))."""

    def draw(self, model, shown):
        """Draw the middle frame of each clip, captioned with its prediction."""
        from kvzoo.media.plots import write_captioned

        captions = captions_of(model, shown)
        frames = [clip[len(clip) // 2] for clip in shown.clips]
        return Drawn({".png": lambda path: write_captioned(path, frames, captions)})

    def evaluate(self, model, clips, examples, batch_size, options):
        """Measure the accuracy and cross-entropy."""
        from sklearn.metrics import balanced_accuracy_score, log_loss

        extra = ExtraMetrics(self.spec)
        probabilities, labels = probabilities_of(model, examples, batch_size)
        extra.add(probabilities, labels)
        metrics = {
            "accuracy": float((probabilities.argmax(1) == labels).mean()),
            "balanced_accuracy": float(balanced_accuracy_score(labels, probabilities.argmax(1))),
            "cross_entropy": float(log_loss(labels, probabilities, labels=np.arange(probabilities.shape[1]))),
        }
        return Measured(metrics | extra.means(), {"value_range": "logits"})

    def check_shapes(self, model, inputs, output):
        config = model.config
        size, classes = config.get("image_size"), model.classes or config.get("classes")
        check_shape(model, "an input", inputs, (config.get("frames"), size, size, config.get("channels")))
        # One logit is the second of two classes'.
        check_shape(model, "the output", output, (2, 1 if classes == 2 and output[-1] == 1 else classes))


def captions_of(model, shown: Shown) -> list[str]:
    """Return each clip's predicted class and its probability, and the true class where it differs."""
    # A few clips do not pay for the tracing of a graph, which would keep the first step waiting for seconds.
    eagerly = keras.backend.backend() == "tensorflow"
    logits = model(shown.clips, training=False) if eagerly else model.predict_on_batch(shown.clips)
    captions = []
    for label, probabilities in zip(shown.labels, to_probabilities(logits), strict=True):
        predicted = int(probabilities.argmax())
        correction = "" if predicted == label else f"\nis {shown.classes[label]}"
        captions.append(f"{shown.classes[predicted]} {probabilities[predicted]:.0%}{correction}")
    return captions


def probabilities_of(model, examples: Examples, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities of the classes, (N, K), and the classes, (N,)."""
    rows = [(to_probabilities(model.predict_on_batch(clips)), labels) for clips, labels in examples.batches(batch_size)]
    probabilities, labels = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    return probabilities, labels
