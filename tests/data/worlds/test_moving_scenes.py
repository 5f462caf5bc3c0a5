"""Moving scenes: the truth takes each neighbour to the frame between, and says where it cannot."""

import cv2
import numpy as np
import pytest

from kvzoo.data.worlds import moving_scenes
from kvzoo.data.worlds.moving_scenes import MovingScenes, _from_layer, _to_layer

SIZE = 64
COUNT = 24


@pytest.fixture(scope="module", autouse=True)
def few_textures():
    """Let scenes share few textures and shapes: most of the time goes into drawing them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moving_scenes, "TEXTURES", 10)
        patch.setattr(moving_scenes, "SHAPES", 10)
        yield


@pytest.fixture(scope="module")
def source():
    return MovingScenes(videos=COUNT, effects=False)


@pytest.fixture(scope="module")
def clips(source):
    return [source.decode(video, 0, 3, SIZE, 3) for video in source.videos]


@pytest.fixture(scope="module")
def truths(source):
    return [source.truth(video, 0, 2, [1], SIZE) for video in source.videos]


def warped(frame: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Return a frame sampled where a flow (down, right) points to."""
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    return cv2.remap(frame, x + flow[..., 1], y + flow[..., 0], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def inside(mask: np.ndarray) -> np.ndarray:
    """Return a mask without its border, where pixels are mixed of two layers."""
    return cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)


def test_the_truth_warps_both_neighbours_to_the_middle_where_they_are_visible(clips, truths):
    still, moved = [], []
    for frames, (flow, visible, layers) in zip(clips, truths, strict=True):
        edges = cv2.morphologyEx(layers[0], cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        for k, neighbour in enumerate((frames[0], frames[2])):
            mask = inside(visible[0, ..., k]) & ~edges
            for errors, picture in ((still, neighbour), (moved, warped(neighbour, flow[0, ..., 2 * k : 2 * k + 2]))):
                errors.append(np.abs(picture.astype(float) - frames[1])[mask].mean())
    still, moved = np.array(still), np.array(moved)
    # Cubic interpolation of fine textures is what is left.
    assert moved.max() < 8 and moved.mean() < 1.6
    moving = still > 2
    assert moving.sum() > COUNT // 2
    assert moved[moving].mean() < 0.25 * still[moving].mean()


def test_what_is_not_visible_is_covered_or_outside(clips, truths):
    hidden, seen = [], []
    for frames, (flow, visible, _) in zip(clips, truths, strict=True):
        for k, neighbour in enumerate((frames[0], frames[2])):
            error = np.abs(warped(neighbour, flow[0, ..., 2 * k : 2 * k + 2]).astype(float) - frames[1]).mean(-1)
            for errors, mask in ((hidden, inside(~visible[0, ..., k])), (seen, inside(visible[0, ..., k]))):
                errors.append(error[mask])
    assert np.concatenate(hidden).mean() > 4 * np.concatenate(seen).mean()


def test_flow_there_and_back_is_nothing(source):
    rng = np.random.default_rng(0)
    for video in source.videos:
        scene = source._scene(video)
        for layer in scene.layers:
            points = rng.uniform(-0.5, 0.5, (50, 1, 2))
            back = _from_layer(scene, layer, _to_layer(scene, layer, points, 0.3), 0.3)
            assert np.abs(back - points).max() * 256 < 0.1


def test_motion_is_from_nothing_to_what_is_asked_for(truths):
    far = np.array([np.hypot(flow[..., 2], flow[..., 3]).max() for flow, _, _ in truths])
    # The nearest frame is half of the span away; corners and what comes near go farther than the middle of a plane.
    assert far.min() < 0.02 * SIZE and 0.03 * SIZE < far.max() < 0.5 * SIZE
    slow = MovingScenes(videos=COUNT, motion=0.01, effects=False)
    assert max(np.abs(slow.truth(v, 0, 2, [1], 32)[0]).max() for v in slow.videos) < 0.03 * 32


def test_a_time_between_frames_has_its_own_truth(source):
    video = source.videos[0]
    flow, visible, layers = source.truth(video, 0, 2, [0, 0.5, 2], SIZE)
    assert flow.shape == (3, SIZE, SIZE, 4) and visible.shape == (3, SIZE, SIZE, 2) and layers.shape == (3, SIZE, SIZE)
    assert np.abs(flow[0, ..., :2]).max() < 1e-3 and np.abs(flow[2, ..., 2:]).max() < 1e-3
    assert visible[0, ..., 0].all() and visible[2, ..., 1].all()


def test_clips_depend_on_seed_and_index_alone(clips):
    full = MovingScenes(videos=4)
    first = [full.decode(video, 0, 3, 48, 3) for video in full.videos]
    again = MovingScenes(videos=8)
    assert all(
        (again.decode(v, 0, 3, 48, 3) == f).all() for v, f in reversed(list(zip(again.videos, first, strict=False)))
    )
    other = MovingScenes(videos=4, seed=1)
    assert all((other.decode(v, 0, 3, 48, 3) != f).any() for v, f in zip(other.videos[:1], first, strict=False))
    assert len({s.fingerprint() for s in (full, again, other, MovingScenes(videos=4, motion=0.1))}) == 4


def test_frames_can_be_cut_from_a_video_and_be_grey():
    source = MovingScenes(videos=1, frames=5)
    whole = source.decode(source.videos[0], 0, 5, 33, 3)
    assert (source.decode(source.videos[0], 2, 4, 33, 3) == whole[2:4]).all()
    assert source.decode(source.videos[0], 0, 5, 33, 1).shape == (5, 33, 33, 1)
