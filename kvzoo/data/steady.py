"""Video stabilisation: estimate the motion of a camera, and correct frames for it."""

from collections.abc import Iterable

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

CORNERS = 200  # tracked from each frame to the next
FEWEST = 12  # tracked corners for a reliable motion
CALM = 0.5  # seconds, standard deviation: faster camera motion is removed, slower pans are kept


def camera_path(frames: Iterable[np.ndarray]) -> np.ndarray:
    """Return the path of a camera, (T, 4): right, down (in widths of the frame), angle, logarithm of the zoom.

    Corners are tracked by Lucas and Kanade's method from each frame to the next, and a motion of the whole frame
    (shift, rotation, zoom) is fitted to them by RANSAC; with too few corners the camera is assumed to stand still.

    Args:
        frames: uint8 (S, S, 1), in order.
    """
    steps, before = [], None
    for frame in frames:
        grey = np.ascontiguousarray(frame[..., 0])
        steps.append(np.zeros(4) if before is None else _motion(before, grey))
        before = grey
    return np.cumsum(steps, axis=0)


def _motion(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    size = before.shape[0]
    corners = cv2.goodFeaturesToTrack(before, CORNERS, 0.01, max(3, size // 32))
    if corners is None or len(corners) < FEWEST:
        return np.zeros(4)
    tracked, status, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None)
    at = status[:, 0] == 1
    if at.sum() < FEWEST:
        return np.zeros(4)
    middle = (size - 1) / 2
    matrix, inliers = cv2.estimateAffinePartial2D(corners[at] - middle, tracked[at] - middle, ransacReprojThreshold=1.0)
    if matrix is None or inliers.sum() < FEWEST:
        return np.zeros(4)
    zoom = np.hypot(matrix[0, 0], matrix[1, 0])
    return np.array([matrix[0, 2] / size, matrix[1, 2] / size, np.arctan2(matrix[1, 0], matrix[0, 0]), np.log(zoom)])


def corrections(path: np.ndarray, fps: float) -> np.ndarray:
    """Return the correction of each frame, (T, 4), that smooths the camera's path."""
    return gaussian_filter1d(path, CALM * fps, axis=0, mode="nearest") - path


def stabilise(frame: np.ndarray, correction: np.ndarray) -> np.ndarray:
    """Return a frame (S, S, C) moved by a correction, with the border repeated outside the original."""
    size, (right, down, angle, zoom) = frame.shape[0], correction
    cos, sin, middle = np.exp(zoom) * np.cos(angle), np.exp(zoom) * np.sin(angle), (size - 1) / 2
    matrix = np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])
    matrix[:, 2] = middle + np.array([right, down]) * size - matrix[:, :2] @ [middle, middle]
    image = cv2.warpAffine(frame, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return image.reshape(frame.shape)
