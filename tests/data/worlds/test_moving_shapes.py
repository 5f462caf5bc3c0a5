"""Moving shapes: masks say where the picture differs from its wall, motions are what their names say."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from kvzoo.data.source import resample
from kvzoo.data.worlds import moving_shapes
from kvzoo.data.worlds.moving_shapes import FORMS, FPS, MOTIONS, MovingShapes, background, position
from kvzoo.errors import InputError


def middles(masks: np.ndarray) -> np.ndarray:
    """Return (T, 2), the x and y of each mask's centre of mass in parts of the side."""
    size = masks.shape[1]
    grid = (np.arange(size) + 0.5) / size
    area = masks.sum(axis=(1, 2))
    return np.stack([(masks.sum(axis=1) * grid).sum(axis=1) / area, (masks.sum(axis=2) * grid).sum(axis=1) / area], 1)


def averaged(frames: np.ndarray, times: int) -> np.ndarray:
    count, side, _, channels = frames.shape
    blocks = frames.reshape(count, side // times, times, side // times, times, channels)
    return blocks.mean(axis=(2, 4))


def test_masks_are_where_the_picture_is_not_the_wall():
    source = MovingShapes(videos=40, shapes=10)
    for video in source.videos:
        indices = range(0, video.frames, 7)
        frames, masks = source.read(video, indices, 64, 3), source.masks(video, indices, 64)
        assert masks.dtype == bool and masks.shape == frames.shape[:3]
        differs = (frames != background(source._scene(video)[2], 64)).any(axis=-1)
        assert (differs | ~masks).all()  # all of the mask is changed
        # and of what is changed only pixels at the shape's edge, and its thin tips, are not in it
        near = np.stack([cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=2) for mask in masks])
        assert (near.astype(bool) | ~differs).all()
        assert (differs & ~masks).sum() < 0.35 * masks.sum()


def test_shapes_are_large_and_whole_and_uncover_all_of_the_wall():
    source = MovingShapes(videos=80, shapes=20, seconds=2.4)
    shares = []
    for video in source.videos:
        masks = source.masks(video, range(video.frames), 48)
        shares.append(masks.mean())
        for border in (masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1]):
            assert not border.any()
        assert not masks.all(axis=0).any()
        for start in range(0, 28, 9):  # as good as all of it in any clip of 32 frames
            assert masks[start : start + 32].all(axis=0).mean() < 0.02
        assert np.ptp(masks.sum(axis=(1, 2))) < 0.25 * masks[0].sum()
    assert min(shares) > 0.05 and max(shares) < 0.15


@pytest.mark.parametrize("motion", MOTIONS)
def test_motions_go_as_their_names_say(motion):
    source = MovingShapes(videos=12, shapes=6, motions=[motion], forms=["disc"], seconds=4)
    for video in source.videos:
        x, y = middles(source.masks(video, range(video.frames), 128)).T
        wide, high = np.ptp(x), np.ptp(y)
        assert max(wide, high) > 0.35
        if motion == "slide":
            assert high < 0.02
        elif motion == "bounce":
            assert wide < 0.02
            fall = np.median(np.diff(y, 2)) * FPS**2
            assert fall > 0.5  # down is y's direction: it is pulled to the ground at all times but when it hits it
        elif motion == "circle":
            from_middle = np.hypot(x - (x.max() + x.min()) / 2, y - (y.max() + y.min()) / 2)
            assert np.ptp(from_middle) < 0.02 and from_middle.min() > 0.15
        else:
            assert abs(np.corrcoef(x, y)[0, 1]) > 0.99 and wide == pytest.approx(high, rel=0.05)


def test_motion_is_smooth():
    times = np.arange(0, 4, 1 / FPS)
    source = MovingShapes(videos=40, shapes=10)
    for video in source.videos:
        _, path, _ = source._scene(video)
        points = np.array([position(path, t) for t in times])
        steps = np.hypot(*np.diff(points, axis=0).T)
        assert steps.max() < 0.1  # parts of the picture a frame: nothing leaps
        if video.label != "bounce":
            turns = np.hypot(*np.diff(points, 2, axis=0).T)
            assert turns.max() < 0.6 * steps.max()


@pytest.mark.parametrize(("size", "times"), [(16, 8), (32, 4), (64, 2)])
def test_pictures_of_all_sizes_are_the_same(size, times):
    source = MovingShapes(videos=20, shapes=10)
    for video in source.videos:
        large, small = (source.read(video, [3, 40], s, 3) for s in (size * times, size))
        np.testing.assert_allclose(small, averaged(large, times), atol=1.01)  # each is rounded
    wide = averaged(source.read(video, [3, 40], 256, 3), 2)
    assert abs(wide - source.read(video, [3, 40], 128, 3)).mean() < 0.5
    assert source.read(video, [0], 100, 1).shape == (1, 100, 100, 1)


def test_labels_groups_and_forms():
    source = MovingShapes(videos=48, shapes=6, forms=["disc", "star"])
    assert [v.label for v in source.videos[:5]] == ["slide", "bounce", "circle", "diagonal", "slide"]
    assert len({v.group for v in source.videos}) == 6
    by_group = {}
    for video in source.videos:
        shape = source._scene(video)[0]
        by_group.setdefault(video.group, set()).add(shape)
        assert shape.form in ("disc", "star")
    assert all(len(shapes) == 1 for shapes in by_group.values())
    assert {next(iter(shapes)).form for shapes in by_group.values()} == {"disc", "star"}
    every = MovingShapes()
    assert {every._scene(v)[0].form for v in every.videos} == set(FORMS)


@pytest.mark.parametrize("walls", [1, 3])
def test_videos_share_walls(walls):
    source = MovingShapes(videos=30, walls=walls)
    assert len({source._scene(v)[2] for v in source.videos}) == walls


def test_walls_are_lighter_than_shapes_and_weak():
    source = MovingShapes(videos=96)
    for video in source.videos[::4]:
        wall = background(source._scene(video)[2], 64).astype(float)
        frame, mask = source.read(video, [0], 64, 1)[0, ..., 0].astype(float), source.masks(video, [0], 64)[0]
        assert frame[~mask].mean() - frame[mask].mean() > 40
        assert wall.std(axis=(0, 1)).max() < 20


def test_same_seed_same_videos():
    first, second, other = (MovingShapes(videos=6, shapes=3, seed=seed) for seed in (3, 3, 4))
    assert first.fingerprint() == second.fingerprint() != other.fingerprint()
    assert first.fingerprint() != MovingShapes(videos=6, shapes=3, seed=3, walls=2).fingerprint()
    expected = [first.read(v, range(20), 32, 3) for v in first.videos]
    moving_shapes.background.cache_clear()
    moving_shapes._wall.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        # in another order, and in parts
        for frames, got in zip(expected, pool.map(lambda v: second.read(v, [9, 4], 32, 3), second.videos), strict=True):
            np.testing.assert_array_equal(frames[[9, 4]], got)
    assert all((e != other.read(v, range(20), 32, 3)).any() for e, v in zip(expected, other.videos, strict=True))


def test_masks_follow_the_frame_rate():
    source = MovingShapes(videos=4)
    for video in source.videos:
        slow = resample(video, 10)
        np.testing.assert_array_equal(source.masks(slow, [0, 5], 32), source.masks(video, slow.times[[0, 5]], 32))
        differs = (source.read(slow, [5], 32, 3) != background(source._scene(video)[2], 32)).any(axis=-1)
        assert (differs | ~source.masks(slow, [5], 32)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"motions": ["slid"]}, "data.motions: 'slid' is unknown; did you mean slide"),
        ({"forms": ["hexagon"]}, "data.forms: 'hexagon' is unknown; known: disc, square"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        MovingShapes(**options)
