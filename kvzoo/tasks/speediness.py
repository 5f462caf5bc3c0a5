"""Speediness: tell sped-up clips from clips at normal speed (SpeedNet, Benaim et al., CVPR 2020)."""

import numpy as np

from kvzoo.media.clips import stack, strip, write_gif
from kvzoo.tasks.base import ExtraMetrics
from kvzoo.tasks.classification import Classification, captions_of, probabilities_of
from kvzoo.tasks.measured import Measured
from kvzoo.tasks.samples import Drawn
from kvzoo.tasks.speed_baselines import Features, accuracies

FRAMES = 5  # shown of each clip


class Speediness(Classification):
    """Metrics of plugins receive (probabilities of being sped up (N,), labels int (N,)); pairs follow each other."""

    def draw(self, model, shown):
        """Draw frames over the course of each clip, captioned with its prediction."""
        from kvzoo.media.plots import write_captioned

        captions = captions_of(model, shown)
        at = np.linspace(0, len(shown.clips[0]) - 1, FRAMES).round().astype(int)
        strips, moving = [strip(clip[at]) for clip in shown.clips], stack(list(shown.clips), axis=2)
        return Drawn(
            {
                ".png": lambda path: write_captioned(path, strips, captions, columns=2),
                ".gif": lambda path: write_gif(path, moving, shown.fps),
            }
        )

    def evaluate(self, model, clips, examples, batch_size, options):
        """Measure how well sped-up clips are told from normal ones; pairs follow each other."""
        from sklearn.metrics import log_loss

        extra = ExtraMetrics(self.spec)
        probabilities, labels = probabilities_of(model, examples, batch_size)
        sped_up = probabilities[:, 1]
        extra.add(sped_up, labels)
        metrics = {
            "accuracy": float(((sped_up > 0.5) == labels).mean()),
            "pair_accuracy": float((sped_up[1::2] > sped_up[::2]).mean()),
            "cross_entropy": float(log_loss(labels, sped_up, labels=np.arange(2))),
        }
        conditions = {"value_range": "logits", "speeds": "f = 1 and 2 by regular skipping"}
        return Measured(metrics | extra.means(), conditions)

    def features(self):
        return Features()

    def fit_baselines(self, training, parts):
        """Logistic regressions on three simple features."""
        figures = {
            part: {f"{feature}_accuracy": value for feature, value in values.items()}
            for part, values in accuracies(training, parts).items()
        }
        return figures, f"fitted on {len(training.labels)} training clips at f = 1 and 2 (scikit-learn)"
