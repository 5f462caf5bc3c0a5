"""Metrics: known values, and a second implementation of each."""

import numpy as np
import pytest
import scipy.linalg
from keras import ops
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio

from kvzoo import catalog
from kvzoo.errors import InputError
from kvzoo.metrics import frechet, quality


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "rgb"])
def pair(request) -> tuple[np.ndarray, np.ndarray]:
    """Clips of the built-in source, and the same blurred, with grain, and darker than 0 here and there."""
    source = catalog.SOURCES.get("stick_actions").load()(videos=3, people=3)
    clips = np.stack([source.read(video, range(4), 48, request.param) for video in source.videos]) / 255.0
    blurred = ndimage.gaussian_filter(clips, (0, 0, 1, 1, 0))
    grain = np.random.default_rng(0).normal(0, 0.05, clips.shape) * np.array([0, 0.2, 1]).reshape(3, 1, 1, 1, 1)
    worse = blurred - blurred.min() - 0.1 + grain
    return clips, worse


def constant(value: float) -> np.ndarray:
    return np.full((2, 3, 16, 16, 1), value)


def test_known_errors():
    off = constant(0.5)
    off[1] += 0.1
    np.testing.assert_allclose(quality.mse(off, constant(0.5)), [0, 0.01])
    np.testing.assert_allclose(quality.psnr(off, constant(0.5)), [100, 20])


def test_psnr_is_that_of_a_whole_clip():
    off = constant(0.5)
    off[0, 0] += 0.1
    off[1] += 0.1 / np.sqrt(3)
    np.testing.assert_allclose(quality.psnr(off, constant(0.5)), 20 + 10 * np.log10(3))


def test_psnr_equals_keras_and_scikit_image(pair):
    theirs = [float(ops.psnr(a.astype("float32"), b.astype("float32"), 1.0)) for a, b in zip(*pair, strict=True)]
    np.testing.assert_allclose(quality.psnr(*pair), theirs, rtol=1e-5)
    theirs = [peak_signal_noise_ratio(a, b, data_range=1.0) for a, b in zip(*pair, strict=True)]
    np.testing.assert_allclose(quality.psnr(*pair), theirs, rtol=1e-12)


def test_known_similarities():
    np.testing.assert_allclose(quality.ssim(constant(0.3), constant(0.3)), np.ones((2, 3)))
    # Without structure the means are left: (2ab + C1) / (a^2 + b^2 + C1).
    np.testing.assert_allclose(quality.ssim(constant(0.5), constant(0.25)), (0.25 + 1e-4) / (0.3125 + 1e-4))
    noise = np.random.default_rng(0).random((2, 3, 16, 16, 1))
    assert (quality.ssim(noise, 1 - noise) < -0.9).all()


def test_ssim_equals_keras(pair):
    flat = [a.reshape(-1, *a.shape[2:]).astype("float32") for a in pair]
    theirs = ops.convert_to_numpy(ops.image.ssim(*flat, max_val=1.0, data_format="channels_last"))
    ours = quality.ssim(*pair)
    assert ours.shape == pair[0].shape[:2]
    assert np.ptp(ours) > 0.1
    np.testing.assert_allclose(ours.ravel(), theirs, atol=1e-4)


def test_known_sharpness():
    board = np.indices((16, 16)).sum(axis=0) % 2
    clips = np.broadcast_to(board[..., None], (1, 2, 16, 16, 3))
    # Every pixel differs by 1 from its four neighbours: half of the answers are 4, half are -4.
    np.testing.assert_allclose(quality.sharpness(clips), [[16, 16]])
    np.testing.assert_allclose(quality.sharpness(clips / 2), [[4, 4]])
    np.testing.assert_allclose(quality.sharpness(constant(0.7)), np.zeros((2, 3)), atol=1e-20)


def test_sharpness_equals_scipy(pair):
    clips, worse = pair
    for array in pair:
        theirs = [
            [np.mean([ndimage.laplace(f[..., c], mode="mirror").var() for c in range(f.shape[-1])]) for f in clip]
            for clip in array
        ]
        np.testing.assert_allclose(quality.sharpness(array), theirs, rtol=1e-9)
    assert (quality.sharpness(worse)[0] < quality.sharpness(clips)[0]).all()


@pytest.mark.parametrize("metric", [quality.mse, quality.psnr, quality.ssim])
def test_arrays_that_only_broadcast_are_refused(metric):
    with pytest.raises(InputError, match=r"\(2, 3, 16, 16, 1\), \(2, 1, 16, 16, 1\)"):
        metric(constant(0), constant(0)[:, :1])
    with pytest.raises(InputError, match="the same shape .N, T, H, W, C."):
        metric(constant(0)[0], constant(0)[0])


def test_frames_smaller_than_the_window_are_refused():
    with pytest.raises(InputError, match="at least 11 pixels"):
        quality.ssim(constant(0)[:, :, :10], constant(0)[:, :, :10])


def test_frechet_distance_against_its_definition():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(200, 5)), rng.normal(size=(150, 5)) @ rng.normal(size=(5, 5)) + 1.0
    c, d = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    root = scipy.linalg.sqrtm(c @ d).real
    wanted = np.square(one.mean(0) - other.mean(0)).sum() + np.trace(c + d - 2 * root)
    assert frechet.frechet_distance(one, other) == pytest.approx(wanted, rel=1e-9)
    assert frechet.frechet_distance(other, one) == pytest.approx(wanted, rel=1e-9)
    assert frechet.frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    # Equal covariances: what is left is the distance between the means.
    assert frechet.frechet_distance(one, one + [3, 4, 0, 0, 0]) == pytest.approx(25, rel=1e-9)
    # Fewer clips than features: the covariances are singular.
    assert np.isfinite(frechet.frechet_distance(one[:3], other[:3]))


def test_mean_distance_against_all_pairs():
    features = np.random.default_rng(0).normal(size=(12, 7))
    pairs = [np.linalg.norm(a - b) for i, a in enumerate(features) for b in features[:i]]
    assert frechet.mean_distance(features) == pytest.approx(np.mean(pairs), rel=1e-12)


@pytest.mark.parametrize("features", [np.zeros((1, 4)), np.zeros(4), np.full((3, 4), np.nan)])
def test_features_that_are_none_are_refused(features):
    for measure in (frechet.mean_distance, lambda f: frechet.frechet_distance(f, np.zeros((3, 4)))):
        with pytest.raises(InputError):
            measure(features)
