"""The stick figures move as documented, and their pictures are reproducible."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from kvzoo.data.worlds import stick_figures as sf
from kvzoo.data.worlds import stick_rooms


def scene_of(action: str, seed: int = 0, duration: float = 3.0) -> sf.Scene:
    rng = np.random.default_rng(seed)
    return sf.draw_scene(rng, sf.draw_body(rng), action, duration)


def figure_of(action: str, seed: int = 0, phase: float = 0.0) -> sf.Figure:
    figure = scene_of(action, seed).figures[0]
    return replace(figure, spans=(sf.Span(action, -1.0, 20.0, phase),))


def track(figure: sf.Figure, times: np.ndarray, name: str) -> np.ndarray:
    return sf.joints(figure, times)[name]


@pytest.mark.parametrize("size", [32, 64, 100, 128])
def test_shapes(size):
    frames = sf.render(scene_of("walk"), np.arange(3) / 25, size)
    assert frames.shape == (3, size, size, 3) and frames.dtype == np.uint8
    assert frames.std() > 5


@pytest.mark.parametrize("action", sf.ACTIONS)
def test_same_scene_same_bytes_each_frame_alone(action):
    scene = scene_of(action, 3)
    scene = replace(scene, camera=replace(scene.camera, noise=2.0))
    times = np.array([0.3, 1.7, 0.1])
    frames = sf.render(scene, times, 64)
    sf.render(scene_of("jump", 9), times, 64)
    alone = np.concatenate([sf.render(scene, times[i : i + 1], 64) for i in (2, 0, 1)])
    np.testing.assert_array_equal(frames, alone[[1, 2, 0]])
    np.testing.assert_array_equal(frames, sf.render(scene_of_again(scene), times, 64))


def scene_of_again(scene: sf.Scene) -> sf.Scene:
    """An equal scene of new objects, after the caches are emptied."""
    for cache in (stick_rooms.background, stick_rooms._cloud, sf._timeline, stick_rooms._grain):
        cache.cache_clear()
    return replace(scene, figures=tuple(replace(figure) for figure in scene.figures))


def test_threads_agree():
    scenes = [scene_of(action, 5) for action in sf.ACTIONS]
    times = np.arange(4) / 10
    expected = [sf.render(scene, times, 32) for scene in scenes]
    stick_rooms.background.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        for got, want in zip(pool.map(lambda s: sf.render(s, times, 32), scenes), expected, strict=True):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("action", sf.ACTIONS)
def test_period_goes_with_the_root_of_size(action):
    body = sf.draw_body(np.random.default_rng(0))
    small, large = replace(body, height=1.2), replace(body, height=1.9)
    ratio = sf.period(action, large) / sf.period(action, small)
    assert ratio == pytest.approx((1.9 / 1.2) ** 0.5)
    assert 0.4 < sf.period(action, small) < sf.period(action, large) < 3.5


@pytest.mark.parametrize("action", [a for a in sf.ACTIONS if a != "walk"])
def test_motion_repeats_after_a_period(action):
    figure = figure_of(action)
    whole = sf.period(action, figure.body)
    for name, (first, second) in sf.joints(figure, np.array([2.0, 2.0 + whole])).items():
        # breath and sway go on at their own rhythm
        assert np.hypot(*(first - second)) < 0.05 * figure.body.height, name


def test_hands_and_trunk_go_where_the_action_says():
    times = np.arange(0, 6, 0.04)
    for seed in range(5):
        wave = figure_of("wave_one_hand", seed)
        hand, rest = ("l", "r") if wave.body.left_handed else ("r", "l")
        crown = track(wave, times, "crown")[:, 1]
        assert (track(wave, times, f"{hand}_hand")[:, 1] > crown).mean() > 0.4
        assert (track(wave, times, f"{rest}_hand")[:, 1] < track(wave, times, f"{rest}_elbow")[:, 1]).all()

        for action in ("wave_two_hands", "jumping_jack"):
            figure = figure_of(action, seed)
            for side in "lr":
                lift = track(figure, times, f"{side}_hand")[:, 1] - track(figure, times, "crown")[:, 1]
                assert lift.max() > 0.1 * figure.body.height > 0 > lift.min()
        jack = figure_of("jumping_jack", seed)
        apart = np.abs(track(jack, times, "l_ball") - track(jack, times, "r_ball"))[:, 0]
        assert np.ptp(apart) > 0.3 * jack.body.leg_length

        bend = figure_of("bend", seed)
        assert track(bend, times, "neck")[:, 1].min() < 0.55 * bend.body.height
        assert track(bend, times, "l_hand")[:, 1].min() < 0.2 * bend.body.height

        walk = figure_of("walk", seed)
        assert np.ptp(track(walk, times, "pelvis")[:, 0]) > 1.5 * walk.roam


def test_jump_falls_with_true_gravity():
    for seed in range(5):
        figure = figure_of("jump", seed)
        step = 0.005
        times = np.arange(0, 4, step)
        feet = np.minimum.reduce([track(figure, times, f"{s}_{j}")[:, 1] for s in "lr" for j in ("ball", "heel")])
        fall = np.diff(track(figure, times, "pelvis")[:, 1], 2) / step**2
        air = (feet[:-2] > 0.01) & (feet[2:] > 0.01)
        assert air.sum() > 40
        np.testing.assert_allclose(fall[air], -9.81, atol=0.1)


def test_feet_hold_the_floor():
    times = np.arange(0, 4, 0.01)
    for seed in range(5):
        for action in ("wave_one_hand", "wave_two_hands", "bend"):
            for name in ("l_ball", "r_heel"):
                assert abs(track(figure_of(action, seed), times, name)[:, 1]).max() < 0.01
        walk = figure_of("walk", seed)
        ball = {side: track(walk, times, f"{side}_ball") for side in "lr"}
        low = {side: np.minimum(ball[side], track(walk, times, f"{side}_heel"))[:, 1] for side in "lr"}
        assert np.minimum(low["l"], low["r"]).max() < 0.01
        for side in "lr":
            cycle = times / sf.period("walk", walk.body) + 1.0 / sf.period("walk", walk.body)
            share = (cycle - (0.5 if side == "r" else 0.0) + 0.31) % 1.0
            stance = (share[:-1] < 0.6) & (share[1:] < 0.6)
            assert abs(np.diff(ball[side][:, 0]))[stance].max() < 1e-6  # no skating
            assert abs(low[side][:-1][stance]).max() < 0.01


def test_legs_keep_their_length():
    for action in sf.ACTIONS:
        figure = figure_of(action, 1)
        points = sf._joints(figure, np.arange(0, 4, 0.05))
        bone = (figure.body.leg - 0.039) / 2 * figure.body.height
        for side in "lr":
            thigh = np.linalg.norm(points[f"{side}_hip"] - points[f"{side}_knee"], axis=0)
            np.testing.assert_allclose(thigh, bone, rtol=0.03)


def test_actions_follow_each_other_smoothly():
    body = sf.draw_body(np.random.default_rng(2))
    names = (*sf.ACTIONS, *sf.ACTIONS[::-1])
    spans = tuple(sf.Span(name, 1.0 + 1.5 * i, 2.5 + 1.5 * i, 0.3) for i, name in enumerate(names))
    figure = sf.Figure(body, spans)
    times = np.arange(0, 22, 0.01)
    for name in ("pelvis", "l_hand", "r_hand", "l_ball", "head"):
        speed = np.hypot(*np.diff(track(figure, times, name), axis=0).T) / 0.01
        assert speed.max() < 14  # metres per second: nothing leaps


def test_room_is_still_around_the_figure():
    scene = scene_of("wave_two_hands", 4)
    scene = replace(scene, camera=replace(scene.camera, noise=0.0))
    frames = sf.render(scene, np.arange(20) / 10, 64)
    empty = sf.render(replace(scene, figures=()), np.zeros(1), 64)[0]
    same = (frames == empty).all(axis=(0, 3))
    assert 0.4 < same.mean() < 0.95
    assert same[:, [0, -1]].all()


def test_figures_stand_out_in_grey_and_hide_those_behind():
    for seed in range(20):
        scene = scene_of("wave_one_hand", seed)
        body, wall = scene.figures[0].body, sf.grey(scene.room.wall)
        assert min(abs(wall - sf.grey(body.shirt)), abs(wall - sf.grey(body.trousers))) > 30
    front, behind = (sf.Figure(sf.draw_body(np.random.default_rng(i)), depth=1 - i) for i in (0, 1))
    one = sf.render(replace(scene, figures=(front, behind)), np.zeros(1), 64)
    np.testing.assert_array_equal(one, sf.render(replace(scene, figures=(behind, front)), np.zeros(1), 64))


def test_who_walks_through_is_drawn_while_seen():
    scene, body = scene_of("wave_two_hands", 3), sf.draw_body(np.random.default_rng(7))
    figure = sf.Figure(body, (sf.Span("walk", 0.0, 9.0),), x=-2.0, roam=np.inf)
    times = np.arange(0.2, 6, 0.1)
    x = track(figure, times, "pelvis")[:, 0]
    assert x[0] < -1.5 and x[-1] > 1.5 and (np.diff(x) > 0).all()
    seen = sf.seen(scene, figure, times)
    assert not seen[0] and not seen[-1] and seen.any()
    with_it = sf.render(replace(scene, figures=(*scene.figures, figure)), times, 64)
    differs = (with_it != sf.render(scene, times, 64)).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(differs, seen)


def test_unknown_action_is_refused():
    with pytest.raises(ValueError, match="unknown action"):
        scene_of("somersault")
