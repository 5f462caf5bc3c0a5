"""How well scores separate anomalous frames, labelled 1, from normal ones, labelled 0: higher is more anomalous."""

from collections.abc import Sequence

import numpy as np

from kvzoo.errors import InputError


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the area under the ROC curve; NaN where frames are of one class only.

    It is the probability that an anomalous frame scores higher than a normal one, a tie counting half.

    Args:
        scores: (frames,), any scale.
        labels: (frames,), 0 or 1.

    Raises:
        InputError: arrays of different lengths, scores that are not finite, or labels other than 0 and 1.

    Example:
        >>> auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
        0.75
    """
    scores, labels = _checked(scores, labels)
    if not _both(labels):
        return float("nan")
    from sklearn.metrics import roc_auc_score  # a second to import

    return float(roc_auc_score(labels, scores))


def roc(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the ROC curve as (false_alarm_rates, hit_rates, thresholds), from (0, 0) to (1, 1).

    Rates are the shares of normal and of anomalous frames whose score is at or above a threshold; the first
    threshold is infinite. Points on a straight line between others are omitted.

    Args:
        scores, labels: as for `auroc`.

    Raises:
        InputError: as `auroc`, or frames of one class only.

    Example:
        >>> false_alarm_rates, hit_rates, thresholds = roc([0.1, 0.2, 0.9], [0, 0, 1])
        >>> hit_rates.tolist()
        [0.0, 1.0, 1.0]
    """
    scores, labels = _checked(scores, labels)
    if not _both(labels):
        raise InputError(
            f"roc: both normal and anomalous frames are required. Received: {len(labels)} frames of one class"
        )
    from sklearn.metrics import roc_curve

    return roc_curve(labels, scores)


def micro_auroc(scores: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> float:
    """Return the area under the ROC curve of all videos' frames together; NaN where all are of one class.

    Args:
        scores: one array (frames,) per video.
        labels: the same, 0 or 1.

    Raises:
        InputError: as `auroc`, in any video.

    Example:
        >>> micro_auroc([[0.1, 0.9], [0.2]], [[0, 1], [0]])
        1.0
    """
    pairs = _videos(scores, labels)
    if not pairs:
        return float("nan")
    return auroc(*map(np.concatenate, zip(*pairs, strict=True)))


def macro_auroc(scores: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> tuple[float, int]:
    """Return the mean area under the ROC curves of the videos that have both classes, and the number of these videos.

    Videos of one class have no curve and are omitted; the mean is NaN where no video is left.

    Args:
        scores: one array (frames,) per video.
        labels: the same, 0 or 1.

    Raises:
        InputError: as `auroc`, in any video.

    Example:
        >>> macro_auroc([[0.1, 0.9], [0.2]], [[0, 1], [0]])
        (1.0, 1)
    """
    areas = [auroc(*pair) for pair in _videos(scores, labels) if _both(pair[1])]
    return (float(np.mean(areas)) if areas else float("nan")), len(areas)


def threshold(scores: np.ndarray, false_alarms: float) -> float:
    """Return the smallest threshold such that at most a share `false_alarms` of normal scores lies above it.

    A frame is an alarm where its score is above the threshold, not at it. The threshold is one of the scores.

    Args:
        scores: (frames,), of normal frames.
        false_alarms: 0 or more, less than 1.

    Raises:
        InputError: no score, scores that are not finite, or a share out of range.

    Example:
        >>> threshold([0.1, 0.2, 0.3, 0.4], false_alarms=0.25)
        0.3
    """
    scores = _finite(scores)
    if not len(scores):
        raise InputError("threshold: scores of normal frames are required. Received: none")
    if not 0 <= false_alarms < 1:
        raise InputError(f"false alarms must be at least 0 and less than 1. Received: {false_alarms}")
    # Shares are compared, not counts: 0.29 * 100 is less than 29 in floating point.
    above = np.searchsorted(np.arange(len(scores)) / len(scores), false_alarms, side="right") - 1
    return float(np.sort(scores)[::-1][above])


def _videos(scores: Sequence, labels: Sequence) -> list[tuple[np.ndarray, np.ndarray]]:
    if len(scores) != len(labels):
        raise InputError(f"scores and labels must be of equally many videos. Received: {len(scores)}, {len(labels)}")
    return [_checked(*pair) for pair in zip(scores, labels, strict=True)]


def _checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = _finite(scores), np.asarray(labels)
    if scores.shape != labels.shape:
        raise InputError(f"each score requires one label. Received: {scores.shape}, {labels.shape}")
    if not np.isin(labels, (0, 1)).all():
        raise InputError(f"labels must be 0 or 1. Received: {labels[~np.isin(labels, (0, 1))][0]}")
    return scores, labels.astype(np.uint8)


def _finite(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1:
        raise InputError(f"scores must have the shape (frames,). Received: {scores.shape}")
    if not np.isfinite(scores).all():
        raise InputError(f"scores must be finite. Received: {scores[~np.isfinite(scores)][0]}")
    return scores


def _both(labels: np.ndarray) -> bool:
    return 0 < np.count_nonzero(labels) < len(labels)
