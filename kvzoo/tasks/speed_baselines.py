"""Baselines that tell sped-up clips from normal ones: logistic regressions on three simple features.

    mean_frame          the clip's mean frame, grey, 16x16: what it looks like, without motion; near chance on pairs
    frame_difference    mean absolute difference of a frame and the next one
    optical_flow        mean length of Farneback's optical flow from a frame to the next one (OpenCV)

The paper gives the third: 55.8 % on Kinetics, 55.0 % on Need for Speed (Benaim et al., CVPR 2020).
"""

from collections.abc import Mapping

import cv2
import numpy as np

SIDE = 64  # pixels at which the flow is measured: more costs time, and changes its mean by little


class Features:
    """The three features of clips, and their labels, gathered batch by batch.

    Attributes:
        labels: of all clips, 1 = sped up.
    """

    def __init__(self):
        self.labels: list[int] = []
        self._rows: dict[str, list] = {"mean_frame": [], "frame_difference": [], "optical_flow": []}

    def add(self, clips: np.ndarray, labels: np.ndarray) -> None:
        """Add clips uint8 (N, T, H, W, C) and their labels (N,)."""
        self.labels += labels.tolist()
        for clip in clips:
            colour = clip.shape[-1] == 3
            grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if colour else frame[..., 0] for frame in clip]
            mean = np.mean(grey, axis=0, dtype=np.float32)
            self._rows["mean_frame"].append(cv2.resize(mean, (16, 16), interpolation=cv2.INTER_AREA).ravel())
            pairs = list(zip(grey, grey[1:], strict=False))
            self._rows["frame_difference"].append([np.mean([cv2.absdiff(a, b).mean() for a, b in pairs] or [0.0])])
            self._rows["optical_flow"].append([np.mean([_flow(a, b) for a, b in pairs] or [0.0])])

    def values(self) -> dict[str, np.ndarray]:
        """Return the features (N, K) by name."""
        return {name: np.asarray(rows, np.float64) for name, rows in self._rows.items()}


def accuracies(training: Features, tests: Mapping[str, Features]) -> dict[str, dict[str, float]]:
    """Fit each regression on training clips and return its accuracy on each test set.

    Args:
        training: features of training clips.
        tests: those of test sets by name.

    Returns:
        By test set and feature, 0 to 1.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    out: dict[str, dict[str, float]] = {name: {} for name in tests}
    for feature, values in training.values().items():
        regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        regression.fit(values, training.labels)
        for name, test in tests.items():
            out[name][feature] = float(regression.score(test.values()[feature], test.labels))
    return out


def _flow(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean length of the optical flow between two grey frames, in parts of their side."""
    if a.shape != (SIDE, SIDE):
        a, b = (cv2.resize(x, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for x in (a, b))
    flow = cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, 1.2, 0)
    return float(np.linalg.norm(flow, axis=-1).mean() / SIDE)
