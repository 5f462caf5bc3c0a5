"""How far two sets of clips are apart in the features of a network, and how far the clips of one set are."""

import numpy as np

from kvzoo.errors import InputError


def frechet_distance(features: np.ndarray, others: np.ndarray) -> float:
    """Return the squared Fréchet distance between normal distributions with the sets' means and covariances.

    |m - n|^2 + tr(C + D - 2 (C D)^(1/2)); Dowson and Landau, 1982, as the Fréchet inception distance has it
    (Heusel et al., NIPS 2017, arXiv 1706.08500). Small sets are judged too far apart, the more so the more
    features there are: distances compare where the sets are of the same sizes.

    Args:
        features: (N, F), N at least 2.
        others: (M, F), M at least 2.

    Raises:
        InputError: arrays of other shapes.
    """
    features, others = _checked(features), _checked(others)
    if features.shape[1] != others.shape[1]:
        raise InputError(f"as many features are wanted in both. Received: {features.shape}, {others.shape}")
    between = features.mean(0) - others.mean(0)
    one, other = (np.cov(each, rowvar=False, ddof=1).reshape(each.shape[1], -1) for each in (features, others))
    # C D has the eigenvalues of C^(1/2) D C^(1/2), which are real and not negative.
    roots = np.sqrt(np.linalg.eigvals(one @ other).real.clip(0))
    return float(max(between @ between + np.trace(one) + np.trace(other) - 2 * roots.sum(), 0.0))


def mean_distance(features: np.ndarray) -> float:
    """Return the mean Euclidean distance between two of (N, F), N at least 2: how diverse a set is."""
    from scipy.spatial.distance import pdist

    return float(pdist(_checked(features)).mean())


def _checked(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) < 2:
        raise InputError(f"features (N, F) of at least two clips are wanted. Received: {features.shape}")
    if not np.isfinite(features).all():
        raise InputError("features must be finite")
    return features
