"""Stabilising: how a camera moved from frame to frame, and frames as a steadier one would have seen them."""

from collections.abc import Iterable

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

CORNERS = 200  # followed from a frame to the next
FOUND = 12  # of them, at least, for a motion to be believed
CALM = 0.5  # seconds, standard deviation: faster movements of the camera are taken out, slower pans stay


def camera_path(frames: Iterable[np.ndarray]) -> np.ndarray:
    """Return where a camera was, (T, 4): right, down (in widths of the frame), angle, logarithm of the zoom.

    Corners are followed by Lucas and Kanade's method from each frame to the next, and a motion of the whole frame
    (shift, turn, zoom) fitted to them by RANSAC; where too few are found the camera is taken to stand still.

    Args:
        frames: uint8 (S, S, 1), one after the other.
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
    if corners is None or len(corners) < FOUND:
        return np.zeros(4)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None)
    at = found[:, 0] == 1
    if at.sum() < FOUND:
        return np.zeros(4)
    middle = (size - 1) / 2
    matrix, inliers = cv2.estimateAffinePartial2D(corners[at] - middle, moved[at] - middle, ransacReprojThreshold=1.0)
    if matrix is None or inliers.sum() < FOUND:
        return np.zeros(4)
    zoom = np.hypot(matrix[0, 0], matrix[1, 0])
    return np.array([matrix[0, 2] / size, matrix[1, 2] / size, np.arctan2(matrix[1, 0], matrix[0, 0]), np.log(zoom)])


def corrections(path: np.ndarray, fps: float) -> np.ndarray:
    """Return what each frame must be moved by, (T, 4), so that the camera's path is a calm one."""
    return gaussian_filter1d(path, CALM * fps, axis=0, mode="nearest") - path


def steadied(frame: np.ndarray, correction: np.ndarray) -> np.ndarray:
    """Return a frame (S, S, C) moved by a correction; what was not filmed repeats the border."""
    size, (right, down, angle, zoom) = frame.shape[0], correction
    cos, sin, middle = np.exp(zoom) * np.cos(angle), np.exp(zoom) * np.sin(angle), (size - 1) / 2
    matrix = np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])
    matrix[:, 2] = middle + np.array([right, down]) * size - matrix[:, :2] @ [middle, middle]
    moved = cv2.warpAffine(frame, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return moved.reshape(frame.shape)
