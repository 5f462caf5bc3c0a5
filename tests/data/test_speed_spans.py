"""Spans of known speed: each frame is the moment that the speeds before it lead to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvzoo.data.source import resample
from kvzoo.data.worlds.falling_bodies import FallingBodies
from kvzoo.data.worlds.speed_spans import SpeedSpans
from kvzoo.errors import InputError

WORLDS = ["stick_actions", "falling_bodies"]


@pytest.mark.parametrize("world", WORLDS)
def test_at_natural_speed_it_is_the_world_itself(world):
    spans = SpeedSpans(world, videos=3, seconds=2, speeds=[1.0], spans=1)
    for video in spans.videos:
        inner = next(v for v in spans.world.videos if v.name == video.name)
        np.testing.assert_array_equal(
            spans.read(video, [0, 30, 49], 32, 3), spans.world.read(inner, [0, 30, 49], 32, 3)
        )
        assert (spans.frame_speeds(video) == 1).all() and video.group == inner.group


@pytest.mark.parametrize("world", WORLDS)
def test_frames_are_the_moments_that_speeds_lead_to(world):
    spans = SpeedSpans(world, videos=2, seconds=4, spans=4, seed=1)
    for video in spans.videos:
        speeds, inner = spans.frame_speeds(video), next(v for v in spans.world.videos if v.name == video.name)
        moments = np.concatenate([[0], np.cumsum(speeds)[:-1]])
        whole = np.flatnonzero(moments == moments.round())[::9]
        expected = spans.world.read(inner, moments[whole].astype(int), 32, 3)
        np.testing.assert_array_equal(spans.read(video, whole, 32, 3), expected)


@settings(max_examples=50)
@given(
    st.integers(0, 2**31),
    st.lists(st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0, 4.0]), min_size=1, max_size=4, unique=True),
    st.integers(1, 12),
)
def test_every_speed_comes_as_often_and_none_twice_in_a_row(seed, speeds, spans):
    source = SpeedSpans(videos=2, seconds=6, speeds=speeds, spans=spans, seed=seed)
    for video in source.videos:
        found = source.frame_speeds(video)
        assert len(found) == video.frames == 150
        order = found[np.r_[True, np.diff(found) != 0]].tolist()
        assert len(order) == (spans if len(speeds) > 1 else 1)
        counts = [order.count(speed) for speed in speeds]
        assert max(counts) - min(counts) <= 1 and sum(counts) == len(order)
        lengths = np.diff(np.flatnonzero(np.r_[True, np.diff(found) != 0, True]))
        assert lengths.max() < 2 * lengths.min() + 4


def test_seeds_and_options_are_in_the_fingerprint():
    given = [{}, {"seed": 1}, {"speeds": [1.0, 2.0]}, {"spans": 5}, {"world": "falling_bodies"}, {"seconds": 9}]
    assert len({SpeedSpans(videos=2, **options).fingerprint() for options in given}) == len(given)
    first, second = (SpeedSpans(videos=2, seconds=3, seed=4) for _ in range(2))
    assert first.fingerprint() == second.fingerprint()
    for a, b in zip(first.videos, second.videos, strict=True):
        np.testing.assert_array_equal(
            first.read(a, range(70, 75), 16, 1), second.read(b, [74, 73, 72, 71, 70], 16, 1)[::-1]
        )


def test_truth_follows_the_frame_rate():
    source = SpeedSpans(videos=1, seconds=4, spans=3)
    slow = resample(source.videos[0], 10)
    np.testing.assert_array_equal(source.frame_speeds(slow), source.frame_speeds(source.videos[0])[slow.times])
    np.testing.assert_array_equal(source.read(slow, [7], 16, 1), source.read(source.videos[0], [slow.times[7]], 16, 1))


@pytest.mark.parametrize("world", WORLDS)
def test_fast_spans_move_more(world):
    # sums over many videos: one may rest where another moves
    source, sums = SpeedSpans(world, videos=6, seconds=5, speeds=[0.5, 2.0], spans=4), {0.5: [], 2.0: []}
    for video in source.videos:
        frames = source.read(video, range(125), 32, 1).astype(int)
        for step, speed in zip(
            abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3)), source.frame_speeds(video), strict=False
        ):
            sums[speed].append(step)
    assert np.mean(sums[2.0]) > 1.3 * np.mean(sums[0.5])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"world": "stick_action"}, "data.world: 'stick_action' is unknown; did you mean stick_actions"),
        ({"speeds": [1.0, 0.0]}, "data.speeds: must be positive finite numbers"),
        ({"speeds": [float("nan")]}, "data.speeds: must be positive finite numbers"),
        ({"seconds": 1, "spans": 20}, "data.spans: must be at most 12 for 25 frames. Received: 20"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        SpeedSpans(**options)


def test_bodies_keep_falling_in_long_videos():
    source = FallingBodies(videos=5, bodies=5, seconds=36.0)
    for video in source.videos:
        late = source.read(video, range(850, 900, 2), 32, 1).astype(int)
        assert (abs(np.diff(late, axis=0)) > 20).any(axis=(1, 2, 3)).mean() > 0.5, video.name
