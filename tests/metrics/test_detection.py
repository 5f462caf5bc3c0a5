"""Detection metrics against counting, and what must hold whatever the scores."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvzoo.errors import InputError
from kvzoo.metrics.detection import auroc, macro_auroc, micro_auroc, roc, threshold

# few values, so that ties are common, and any finite ones
SCORES = st.sampled_from([-1.0, 0.0, 0.1, 0.5, 1e9]) | st.floats(allow_nan=False, allow_infinity=False, width=32)
FRAMES = st.lists(st.tuples(SCORES, st.integers(0, 1)), min_size=1, max_size=30)


def arrays(frames: list[tuple[float, int]]) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = zip(*frames, strict=True)
    return np.array(scores), np.array(labels)


def counted(scores, labels) -> float:
    """The share of pairs of an anomalous and a normal frame in which the anomalous one scores higher."""
    pairs = [(a > n) + 0.5 * (a == n) for a in scores[labels == 1] for n in scores[labels == 0]]
    return float(np.mean(pairs)) if pairs else math.nan


@pytest.mark.parametrize(
    ("scores", "labels", "wanted"),
    [
        ([1, 2, 3, 4], [0, 0, 1, 1], 1.0),
        ([4, 3, 2, 1], [0, 0, 1, 1], 0.0),
        ([1, 1, 1], [0, 1, 1], 0.5),
        ([1, 2, 2, 3], [0, 0, 1, 1], 0.875),
        ([1, 2, 3], [True, False, True], 0.5),
    ],
)
def test_known_areas(scores, labels, wanted):
    assert auroc(np.array(scores), np.array(labels)) == pytest.approx(wanted)


@given(FRAMES)
def test_area_is_the_share_of_pairs(frames):
    scores, labels = arrays(frames)
    assert auroc(scores, labels) == pytest.approx(counted(scores, labels), nan_ok=True)


@given(FRAMES)
def test_only_the_order_of_scores_counts(frames):
    scores, labels = arrays(frames)
    ranks = np.unique(scores, return_inverse=True)[1]
    assert auroc(scores, labels) == pytest.approx(auroc(ranks**3.0, labels), nan_ok=True)
    assert auroc(scores, labels) == pytest.approx(1 - auroc(-scores, labels), nan_ok=True)


@given(FRAMES)
def test_curve_is_what_counting_gives_at_each_threshold(frames):
    scores, labels = arrays(frames)
    if labels.min() == labels.max():
        with pytest.raises(InputError, match=f"{len(labels)} frames of one class"):
            roc(scores, labels)
        return
    false_alarms, hits, thresholds = roc(scores, labels)
    assert (false_alarms[0], hits[0], false_alarms[-1], hits[-1]) == (0, 0, 1, 1)
    for rate, label in ((false_alarms, 0), (hits, 1)):
        np.testing.assert_allclose(rate, [np.mean(scores[labels == label] >= at) for at in thresholds])
        assert (np.diff(rate) >= 0).all()
    area = np.sum(np.diff(false_alarms) * (hits[1:] + hits[:-1]) / 2)
    assert area == pytest.approx(auroc(scores, labels))


@given(st.lists(FRAMES, max_size=5))
def test_micro_is_of_all_frames_and_macro_of_the_videos_with_both_classes(videos):
    scores, labels = zip(*map(arrays, videos), strict=True) if videos else ((), ())
    if videos:
        together = counted(np.concatenate(scores), np.concatenate(labels))
        assert micro_auroc(scores, labels) == pytest.approx(together, nan_ok=True)
    areas = [a for a in map(counted, scores, labels) if not math.isnan(a)]
    mean, count = macro_auroc(scores, labels)
    assert count == len(areas)
    assert mean == pytest.approx(np.mean(areas) if areas else math.nan, nan_ok=True)


def test_micro_and_macro_differ_where_videos_have_scales_of_their_own():
    scores, labels = [np.array([0, 1]), np.array([10, 11]), np.array([5, 6])], [[0, 1], [0, 1], [0, 0]]
    assert macro_auroc(scores, labels) == (1.0, 2)
    assert micro_auroc(scores, labels) == pytest.approx(5 / 8)


def test_one_class_has_no_area():
    assert math.isnan(auroc([1.0, 2.0], [1, 1]))
    assert math.isnan(auroc([], []))
    assert math.isnan(micro_auroc([[1.0], [2.0]], [[0], [0]]))
    assert math.isnan(micro_auroc([], []))
    mean, count = macro_auroc([[1.0], [2.0]], [[0], [1]])
    assert math.isnan(mean) and count == 0


@given(st.lists(SCORES, min_size=1, max_size=40), st.floats(0, 1, exclude_max=True))
def test_threshold_is_the_smallest_that_keeps_to_the_share(scores, share):
    scores = np.array(scores)
    found = threshold(scores, share)
    assert np.mean(scores > found) <= share
    assert np.mean(scores > np.nextafter(found, -np.inf)) > share


@pytest.mark.parametrize(("share", "wanted"), [(0, 100), (0.01, 99), (0.29, 71), (0.57, 43), (0.995, 1)])
def test_known_thresholds(share, wanted):
    assert threshold(np.random.default_rng(0).permutation(100) + 1, share) == wanted


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: auroc([1, 2], [0]), r"each score requires one label. Received: \(2,\), \(1,\)"),
        (lambda: auroc([1, 2], [0, 2]), "labels must be 0 or 1. Received: 2"),
        (lambda: auroc([1, math.nan], [0, 1]), "finite. Received: nan"),
        (lambda: roc([1, math.inf], [0, 1]), "finite. Received: inf"),
        (lambda: auroc([[1, 2]], [[0, 1]]), r"must have the shape \(frames,\). Received: \(1, 2\)"),
        (lambda: micro_auroc([[1], [2]], [[1]]), "Received: 2, 1"),
        (lambda: macro_auroc([[1, 2]], [[1]]), "each score requires one label"),
        (lambda: threshold([], 0.1), "Received: none"),
        (lambda: threshold([1], 1), "less than 1. Received: 1"),
        (lambda: threshold([1], math.nan), "Received: nan"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
