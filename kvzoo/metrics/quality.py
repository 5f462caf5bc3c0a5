"""How near clips are to other clips, and how sharp they are.

All clips are floats on 0..1, (N, T, H, W, C), C 1 or 3, and nothing is clipped. All sums are done in
float64 on the CPU, so that a figure does not depend on the device.
"""

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from kvzoo.errors import InputError

SSIM_WINDOW = 11  # pixels


def mse(clips: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the mean squared error of each clip, (N,).

    Raises:
        InputError: arrays of different shapes.
    """
    clips, truth = _alike(clips, truth)
    return np.mean(np.square(clips - truth), axis=(1, 2, 3, 4))


def psnr(clips: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the peak signal-to-noise ratio of each clip in dB, (N,); 100 at most, which equal clips get.

    It is taken of a clip's error, not of each frame's: their mean would be higher (Jensen's inequality).

    Raises:
        InputError: arrays of different shapes.
    """
    return -10.0 * np.log10(np.maximum(mse(clips, truth), 1e-10))


def ssim(clips: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the structural similarity of each frame, (N, T), the mean over its channels.

    The setting of Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE Transactions on Image Processing 13 (2004): Gaussian window of 11 pixels and
    standard deviation 1.5, K1 0.01, K2 0.03, population covariance, windows that lie wholly in the frame.

    Raises:
        InputError: arrays of different shapes, or frames smaller than the window.
    """
    clips, truth = _alike(clips, truth)
    if min(clips.shape[2:4]) < SSIM_WINDOW:
        raise InputError(f"ssim: frames of at least {SSIM_WINDOW} pixels are wanted. Received: {clips.shape}")
    # Not keras.ops.image.ssim: SSIM subtracts squares, and a GPU's convolution may round them to ten bits first.
    frames, true_frames = (array.reshape(-1, *array.shape[2:]) for array in (clips, truth))
    values = [_ssim_of_frame(*pair) for pair in zip(frames, true_frames, strict=True)]
    return np.reshape(values, clips.shape[:2])


def sharpness(clips: np.ndarray) -> np.ndarray:
    """Return the variance of the Laplacian of each frame, (N, T), the mean over its channels.

    var(L * I) with L = [[0, 1, 0], [1, -4, 1], [0, 1, 0]] and mirrored borders, the focus measure of Pech-Pacheco,
    Cristóbal, Chamorro-Martínez and Fernández-Valdivia, "Diatom autofocusing in brightfield microscopy: a
    comparative study", ICPR 2000. It grows with the square of contrast, and grain counts as detail: it says
    something beside the same figure of the same frames only.
    """
    frames = np.asarray(clips, np.float64)
    return np.array([[cv2.Laplacian(frame, cv2.CV_64F).var(axis=(0, 1)).mean() for frame in clip] for clip in frames])


def _alike(clips: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    clips, truth = np.asarray(clips, np.float64), np.asarray(truth, np.float64)
    # NumPy would stretch one to the other's shape.
    if clips.shape != truth.shape or clips.ndim != 5:
        raise InputError(f"two arrays of the shape (N, T, H, W, C) are wanted. Received: {clips.shape}, {truth.shape}")
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
