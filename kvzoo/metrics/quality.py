"""How similar clips are to other clips, and how sharp they are.

All clips are floats in 0..1, (N, T, H, W, C), C 1 or 3, and nothing is clipped. Sums are float64 on the CPU, so that a
value does not depend on the device.
"""

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from kvzoo.errors import InputError

SSIM_WINDOW = 11  # pixels


def mse(clips: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the mean squared error of each clip, (N,).

    Args:
        clips, truth: (N, T, H, W, C) in 0..1.

    Raises:
        InputError: arrays of different shapes.

    Example:
        >>> mse(np.zeros((1, 2, 4, 4, 1)), np.full((1, 2, 4, 4, 1), 0.5)).tolist()
        [0.25]
    """
    clips, truth = _alike(clips, truth)
    return np.mean(np.square(clips - truth), axis=(1, 2, 3, 4))


def psnr(clips: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the peak signal-to-noise ratio of each clip in dB, (N,); at most 100, the value of equal clips.

    It is computed from the error of the whole clip: the mean over its frames would be higher (Jensen's inequality).

    Args:
        clips, truth: (N, T, H, W, C) in 0..1.

    Raises:
        InputError: arrays of different shapes.

    Example:
        >>> psnr(np.zeros((1, 2, 4, 4, 1)), np.full((1, 2, 4, 4, 1), 0.1)).round(3).tolist()
        [20.0]
    """
    return -10.0 * np.log10(np.maximum(mse(clips, truth), 1e-10))


def ssim(clips: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the structural similarity of each frame, (N, T), the mean over its channels.

    The setting of Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE Transactions on Image Processing 13 (2004): Gaussian window of 11 pixels and
    standard deviation 1.5, K1 0.01, K2 0.03, population covariance, windows that lie wholly in the frame.

    Args:
        clips, truth: (N, T, H, W, C) in 0..1, H and W at least 11.

    Raises:
        InputError: arrays of different shapes, or frames smaller than the window.

    Example:
        >>> clip = np.random.default_rng(0).random((1, 1, 16, 16, 1))
        >>> ssim(clip, clip).round(6).tolist()
        [[1.0]]
    """
    clips, truth = _alike(clips, truth)
    if min(clips.shape[2:4]) < SSIM_WINDOW:
        raise InputError(f"ssim: frames must have at least {SSIM_WINDOW} pixels a side. Received: {clips.shape}")
    # Not keras.ops.image.ssim: SSIM subtracts squares, and a GPU's convolution may round them to ten bits first.
    frames, true_frames = (array.reshape(-1, *array.shape[2:]) for array in (clips, truth))
    values = [_ssim_of_frame(*pair) for pair in zip(frames, true_frames, strict=True)]
    return np.reshape(values, clips.shape[:2])


def sharpness(clips: np.ndarray) -> np.ndarray:
    """Return the variance of the Laplacian of each frame, (N, T), the mean over its channels.

    var(L * I) with L = [[0, 1, 0], [1, -4, 1], [0, 1, 0]] and mirrored borders, the focus measure of Pech-Pacheco,
    Cristóbal, Chamorro-Martínez and Fernández-Valdivia, "Diatom autofocusing in brightfield microscopy: a
    comparative study", ICPR 2000. It grows with the square of contrast, and grain counts as detail: compare it only
    between versions of the same frames.

    Args:
        clips: (N, T, H, W, C) in 0..1.

    Example:
        >>> sharpness(np.ones((1, 2, 8, 8, 3))).tolist()
        [[0.0, 0.0]]
    """
    frames = np.asarray(clips, np.float64)
    return np.array([[cv2.Laplacian(frame, cv2.CV_64F).var(axis=(0, 1)).mean() for frame in clip] for clip in frames])


def _alike(clips: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    clips, truth = np.asarray(clips, np.float64), np.asarray(truth, np.float64)
    # NumPy would stretch one to the other's shape.
    if clips.shape != truth.shape or clips.ndim != 5:
        raise InputError(
            f"both arrays must have the same shape (N, T, H, W, C). Received: {clips.shape}, {truth.shape}"
        )
    return clips, truth


def _ssim_of_frame(frame: np.ndarray, truth: np.ndarray) -> float:
    return structural_similarity(
        frame,
        truth,
        data_range=1.0,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
