"""How far apart two sets of clips are in the features of a network, and how far apart the clips of one set are."""

import numpy as np

from kvzoo.errors import InputError


def frechet_distance(features: np.ndarray, others: np.ndarray) -> float:
    """Return the squared Fréchet distance between normal distributions with the sets' means and covariances.

    |m - n|^2 + tr(C + D - 2 (C D)^(1/2)); Dowson and Landau, 1982, as the Fréchet inception distance has it
    (Heusel et al., NIPS 2017, arXiv 1706.08500). The distance of small sets is overestimated, more so with more
    features: compare distances only between sets of the same sizes.

    Args:
        features: (N, F), N at least 2.
        others: (M, F), M at least 2.

    Raises:
        InputError: arrays of other shapes, or values that are not finite.

    Example:
        >>> frechet_distance([[0.0], [2.0]], [[1.0], [3.0]])
        1.0
    """
    features, others = _checked(features), _checked(others)
    if features.shape[1] != others.shape[1]:
        raise InputError(f"both sets must have equally many features. Received: {features.shape}, {others.shape}")
    difference = features.mean(0) - others.mean(0)
    one, other = (np.cov(each, rowvar=False, ddof=1).reshape(each.shape[1], -1) for each in (features, others))
    # C D has the eigenvalues of C^(1/2) D C^(1/2), which are real and not negative.
    roots = np.sqrt(np.linalg.eigvals(one @ other).real.clip(0))
    return float(max(difference @ difference + np.trace(one) + np.trace(other) - 2 * roots.sum(), 0.0))


def mean_distance(features: np.ndarray) -> float:
    """Return the mean Euclidean distance between two clips of a set, which says how diverse it is.

    Args:
        features: (N, F), N at least 2.

    Raises:
        InputError: an array of another shape, or values that are not finite.

    Example:
        >>> mean_distance([[0.0, 0.0], [3.0, 4.0]])
        5.0
    """
    from scipy.spatial.distance import pdist

    return float(pdist(_checked(features)).mean())


def _checked(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) < 2:
        raise InputError(f"features must have the shape (N, F), N at least 2. Received: {features.shape}")
    if not np.isfinite(features).all():
        raise InputError("features must be finite")
    return features
