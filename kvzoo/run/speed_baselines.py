"""What tells sped-up clips from normal ones without a network: logistic regressions on three simple features.

    mean_frame          the clip's mean frame, grey, 16x16: what it looks like, without motion; near chance on pairs
    frame_difference    mean absolute difference of a frame and the next one
    optical_flow        mean length of Farneback's optical flow from a frame to the next one (OpenCV)

The paper gives the third: 55.8 % on Kinetics, 55.0 % on Need for Speed (Benaim et al., CVPR 2020).
"""

from collections.abc import Mapping

import cv2
import numpy as np

SIDE = 64  # pixels at which the flow is measured: more costs time, and changes its mean by little


def accuracies(training: tuple, tests: Mapping[str, tuple]) -> dict[str, dict[str, float]]:
    """Fit each regression on training clips and return its accuracy on each test set.

    Args:
        training: clips uint8 (N, T, H, W, C) and labels (N,), 1 = sped up.
        tests: the same by name.

    Returns:
        By test set and feature, 0 to 1.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    out: dict[str, dict[str, float]] = {name: {} for name in tests}
    seen = {name: _features(clips) for name, (clips, _) in tests.items()}
    known, labels = _features(training[0]), training[1]
    for feature, values in known.items():
        regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)).fit(values, labels)
        for name, (_, truth) in tests.items():
            out[name][feature] = float(regression.score(seen[name][feature], truth))
    return out


def _features(clips: np.ndarray) -> dict[str, np.ndarray]:
    """Return the features (N, K) of clips by name."""
    rows: dict[str, list] = {"mean_frame": [], "frame_difference": [], "optical_flow": []}
    for clip in clips:
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.shape[-1] == 3 else frame[..., 0] for frame in clip]
        mean = np.mean(grey, axis=0, dtype=np.float32)
        rows["mean_frame"].append(cv2.resize(mean, (16, 16), interpolation=cv2.INTER_AREA).ravel())
        pairs = list(zip(grey, grey[1:], strict=False))
        rows["frame_difference"].append([np.mean([cv2.absdiff(a, b).mean() for a, b in pairs] or [0.0])])
        rows["optical_flow"].append([np.mean([_flow(a, b) for a, b in pairs] or [0.0])])
    return {name: np.asarray(values, np.float64) for name, values in rows.items()}


def _flow(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean length of the optical flow between two grey frames, in parts of their side."""
    if a.shape != (SIDE, SIDE):
        a, b = (cv2.resize(x, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for x in (a, b))
    flow = cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, 1.2, 0)
    return float(np.linalg.norm(flow, axis=-1).mean() / SIDE)
