"""Falling bodies fall as gravity has it, and are drawn where they are."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvzoo.data.source import resample
from kvzoo.data.worlds import falling_bodies as fb
from kvzoo.data.worlds.falling_bodies import FPS, KINDS, MOTIONS, FallingBodies
from kvzoo.data.worlds.stick_rooms import to_pixels
from kvzoo.errors import InputError

GRAVITY = 9.81
FINE = np.arange(0, 4, 0.001)


def test_free_flight_obeys_gravity_in_metres_and_seconds():
    source, free = FallingBodies(videos=60, bodies=12, motions=["bounce", "throw"]), 0
    for video in source.videos:
        for x, y, _ in np.moveaxis(source.tracks(video, range(video.frames)), -1, 1):
            if np.isnan(y).all():  # thrown after the last frame
                continue
            pull = np.diff(y, 2) * FPS**2
            falling = abs(pull + GRAVITY) < 1e-6
            # all that is not free is a bounce's frame or two, an even roll, or before the throw
            rolling = abs(y[1:-1] - np.nanmin(y)) < 1e-9
            assert (pull[~falling & ~rolling & ~np.isnan(pull)] > -GRAVITY - 1e-6).all()
            assert np.nanmax(abs(np.diff(x, 2)), initial=0) < 1e-9
            free += falling.sum()
    assert free > 2000


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from(list(KINDS)))
def test_a_bounce_keeps_the_speed_that_its_kind_keeps(seed, kind):
    rng = np.random.default_rng(seed)
    thing = fb.draw_thing(rng, kind)
    flight = fb.Flight(0.0, 0.0, rng.uniform(1, 4), 0.0, 0.0, 0.0, thing.radius, thing.restitution)
    height = flight.at(FINE)[1] - thing.radius
    assert height.min() >= -1e-9
    first = np.sqrt(2 * (flight.y - thing.radius) / GRAVITY)
    after = height[(first < FINE) & (first * (1 + 2 * thing.restitution) > FINE)]
    assert after.max() == pytest.approx((flight.y - thing.radius) * thing.restitution**2, rel=1e-3)


@settings(max_examples=30)
@given(st.floats(0.2, 4), st.floats(0.05, 1.4), st.floats(0, 1), st.sampled_from([0.0, 0.03, 0.3]))
def test_pendulums_and_bowls_keep_their_energy(arc, amplitude, phase, rolls):
    drag = 5 / 3 if rolls else 1.0
    swing = fb.Swing(0.0, 5.0, arc, arc * drag, amplitude, phase, rolls)
    x, y, turn = swing.at(FINE)
    np.testing.assert_allclose(np.hypot(x, y - 5.0), arc)
    speed = np.hypot(np.gradient(x, FINE), np.gradient(y, FINE))[1:-1]
    energy = drag * speed**2 / 2 + GRAVITY * (y[1:-1] - 5.0)
    np.testing.assert_allclose(energy, -GRAVITY * arc * np.cos(amplitude), rtol=1e-3)
    if rolls:  # without slipping
        np.testing.assert_allclose(abs(np.gradient(turn, FINE))[1:-1] * rolls, speed, atol=1e-3)


def test_rolling_balls_are_pulled_by_the_slope_less_what_their_spin_takes():
    source, seen = FallingBodies(videos=40, bodies=12, motions=["roll"]), 0
    for video in source.videos:
        scene = source.scene(video)
        for motion in scene.motions:
            if isinstance(motion, fb.Roll):
                x, y, turn = motion.at(motion.begin + FINE)
                assert motion.pull == pytest.approx(GRAVITY * motion.way[1] / (1 + scene.thing.inertia))
                np.testing.assert_allclose(np.diff(y, 2) * 1e6, -motion.pull * motion.way[1], rtol=1e-2)
                np.testing.assert_allclose(abs(np.diff(turn)) * motion.radius, np.hypot(np.diff(x), np.diff(y)))
                seen += 1
    assert seen > 20


@settings(max_examples=30)
@given(st.floats(0.2, 3), st.floats(0.05, 0.5), st.floats(0, 1))
def test_a_trampoline_gives_back_what_it_takes(height, part, phase):
    hop = fb.Hop(0.0, 1.0, height, part * height, phase, 0.0, 0.5)
    y = hop.at(FINE)[1] - 1.0
    assert abs(y.max() - height) < 0.01 * height and abs(y.min() + part * height) < 0.02 * height
    free = (y[1:-1] > 0.01) & (y[2:] > 0.01) & (y[:-2] > 0.01)
    np.testing.assert_allclose((np.diff(y, 2) * 1e6)[free], -GRAVITY, rtol=1e-3)
    assert abs(np.diff(y)).max() < 1.1 * 0.001 * np.sqrt(2 * GRAVITY * (height + part * height))  # no leaps


@pytest.mark.parametrize("motion", MOTIONS)
def test_bodies_are_drawn_where_they_are_within_a_pixel(motion):
    source, checked = FallingBodies(videos=18, bodies=18, motions=[motion], seed=2), 0
    for video in source.videos:
        scene, index = source.scene(video), 40
        paths = source.tracks(video, [index])[:, 0]
        side = 128
        places = paths[:, :2] @ to_pixels(scene.camera, side)[:, :2].T + to_pixels(scene.camera, side)[:, 2]
        radius = scene.thing.radius * side / scene.camera.view
        inside = ((places > radius + 1) & (places < side - radius - 2)).all(axis=1)
        if inside.sum() != 1 or np.isfinite(places[:, 0]).sum() - inside.sum() > 3:
            continue
        place = places[inside][0]
        bright = replace(scene.thing, paint=(0.0, 255.0, 0.0), second=(0.0, 255.0, 0.0))
        dark = replace(scene.thing, paint=(255.0, 0.0, 255.0), second=(255.0, 0.0, 255.0))
        drawn = []
        for thing in (bright, dark):
            picture = np.full((side, side, 3), 128, np.uint8)
            fb._paint(picture, replace(scene, thing=thing), paths)
            drawn.append(picture.astype(float))
        share = abs(drawn[0] - drawn[1])[..., 1]
        box = [slice(max(0, int(p - radius - 3)), int(p + radius + 4)) for p in place[::-1]]
        share = share[box[0], box[1]]
        rows, columns = np.indices(share.shape)
        middle = [(share * c).sum() / share.sum() + b.start for c, b in ((columns, box[1]), (rows, box[0]))]
        assert np.hypot(*(np.array(middle) - place)) < 1.0
        assert share.sum() / 255 == pytest.approx(np.pi * radius**2, rel=0.35)
        checked += 1
    assert checked >= 3


def test_the_same_motion_is_seen_from_near_and_far():
    source = FallingBodies(videos=240, bodies=48)
    scenes = [source.scene(video) for video in source.videos]
    views = np.array([scene.camera.view for scene in scenes])
    assert views.max() > 5 * views.min() and 1.5 < np.median(views) < 3.5
    for scene in scenes:
        assert 0.049 < 2 * scene.thing.radius / scene.camera.view < 0.321
    assert sum(scene.person is not None for scene in scenes) > 50


def test_something_moves_in_nearly_all_clips():
    source = FallingBodies(videos=15, bodies=3, seed=1)
    for video in source.videos:
        frames = source.read(video, range(100), 32, 1).astype(int)
        moved = (abs(frames[4:] - frames[:-4]) > 20).any(axis=(1, 2, 3))
        assert moved.mean() > 0.6, video.name


@settings(max_examples=8)
@given(st.integers(16, 128), st.sampled_from([1, 3]), st.integers(0, 9), st.integers(0, 14))
def test_any_size_in_grey_and_colour(size, channels, seed, start):
    source = FallingBodies(videos=5, bodies=5, seconds=0.6, seed=seed)
    for video in source.videos:
        frames = source.read(video, [start], size, channels)
        assert frames.shape == (1, size, size, channels) and frames.dtype == np.uint8
        assert frames.std() > 2


def test_labels_and_groups_take_turns():
    source = FallingBodies(videos=240, bodies=24)
    assert [v.label for v in source.videos[:5]] == list(MOTIONS)
    pairs = [(v.label, v.group) for v in source.videos]
    assert {pairs.count(pair) for pair in pairs} == {2} and len(set(pairs)) == 5 * 24
    things = {v.group: source.scene(v).thing for v in source.videos}
    assert all(source.scene(v).thing == things[v.group] for v in source.videos)
    assert {thing.kind for thing in things.values()} == set(KINDS) and len(set(things.values())) == 24
    assert source.videos[0].frames == 100


def test_same_seed_same_videos():
    first, second, other = (FallingBodies(videos=10, bodies=2, seconds=0.8, seed=seed) for seed in (3, 3, 4))
    assert first.fingerprint() == second.fingerprint() != other.fingerprint()
    expected = [first.read(v, range(12), 32, 3) for v in first.videos]
    fb._stage.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        # in another order, and in parts
        for frames, got in zip(expected, pool.map(lambda v: second.read(v, [9, 4], 32, 3), second.videos), strict=True):
            np.testing.assert_array_equal(frames[[9, 4]], got)
    assert all((e != other.read(v, range(12), 32, 3)).any() for e, v in zip(expected, other.videos, strict=True))


def test_tracks_follow_the_frame_rate():
    source = FallingBodies(videos=5)
    for video in source.videos:
        slow = resample(video, 10)
        np.testing.assert_array_equal(source.tracks(slow, [0, 5]), source.tracks(video, slow.times[[0, 5]]))


def test_an_unknown_motion_is_refused():
    with pytest.raises(InputError, match=r"unknown motion 'bonce'; did you mean bounce"):
        FallingBodies(motions=["bonce"])
