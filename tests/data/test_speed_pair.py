"""The sampler `speed_pair`: rates, safeguards, sizes, what a batch is, what evaluation reads."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvzoo.data.pipeline import batches, open_data
from kvzoo.data.samplers import SpeedPair
from kvzoo.data.videos import Videos
from kvzoo.errors import InputError
from kvzoo.recipe.resolve import check_data, load

SOURCE = {"source": "moving_shapes", "videos": 6, "shapes": 6, "seconds": 1.0, "validation": 0.0}


def opened(sampler: dict, shape=(4, 32, 32, 3)):
    from kvzoo import catalog

    section = check_data({**SOURCE, "sampler": {"name": "speed_pair", **sampler}}, catalog.LOSSES.get("binary_speed"))
    return open_data(section, (shape,), seed=0).training


def first(clips, count: int = 1, batch_size: int = 3) -> list:
    return list(islice(iter(batches(clips, batch_size, seed=0)), count))


@given(st.integers(2, 32), st.integers(0, 200), st.integers(0, 2**32 - 1))
def test_a_plan_is_two_rising_clips_of_the_same_3t_frames(frames, extra, seed):
    sampler = SpeedPair(frames)
    (plan,) = sampler.draw(3 * frames + extra, np.random.default_rng(seed))
    pair = plan.reshape(2, frames)
    assert (np.diff(pair, axis=1) >= 1).all()
    assert pair.min() >= 0 and pair.max() < 3 * frames + extra
    assert pair.max() - pair.min() < 3 * frames


def test_rates_are_those_of_the_paper():
    sampler, rng = SpeedPair(64), np.random.default_rng(0)
    pairs = [sampler.draw(400, rng)[0].reshape(2, 64) for _ in range(600)]
    rates = np.array([[(clip[-1] - clip[0]) / 63 for clip in pair] for pair in pairs])
    # Means of U[1, 1.2] and U[1.7, 2.2]; a clip of 64 frames has a rate of its own around what was drawn.
    np.testing.assert_allclose(rates.mean(0), [1.1, 1.95], atol=0.02)
    normal, sped_up = rates.T
    assert normal.min() >= 1 and normal.max() < 1.45
    assert 1.3 < sped_up.min() < 1.7 and 2.2 < sped_up.max() < 2.9
    assert len({pair[1].tobytes() for pair in pairs}) == len(pairs)


def test_without_temporal_augmentation_rates_are_exactly_1_and_2():
    plan = SpeedPair(5, temporal=False).draw(15, np.random.default_rng(0))[0]
    np.testing.assert_array_equal(plan, [0, 1, 2, 3, 4, 0, 2, 4, 6, 8])


@given(st.integers(1, 20), st.integers(0, 100))
def test_evaluation_reads_every_frame_and_every_second_one(frames, extra):
    sampler = SpeedPair(frames)
    plans = [plan[0] for plan in sampler.cover(3 * frames + extra)]
    assert plans
    for plan in plans:
        np.testing.assert_array_equal(plan - plan[0], [*range(frames), *range(0, 2 * frames, 2)])
        assert plan.max() < 3 * frames + extra


def test_a_batch_is_both_clips_of_each_video():
    (clips, labels), *_ = first(opened({"spatial": False, "temporal": False}))
    assert clips.shape == (6, 4, 32, 32, 3) and clips.dtype == np.uint8
    np.testing.assert_array_equal(labels, [0, 1, 0, 1, 0, 1])
    for normal, sped_up in zip(clips[::2], clips[1::2], strict=True):
        np.testing.assert_array_equal(normal[::2], sped_up[:2])
        assert (normal[1] != sped_up[1]).any()


def test_without_same_batch_a_video_gives_one_clip_of_either_kind():
    batches_ = first(opened({"same_batch": False, "spatial": False}), 12)
    labels = np.concatenate([labels for _, labels in batches_])
    assert {clips.shape for clips, _ in batches_} == {(3, 4, 32, 32, 3)}
    assert 0.25 < labels.mean() < 0.75


def test_a_batch_comes_in_one_of_the_sizes_and_evaluation_in_the_models_own():
    clips = opened({})
    # 64 to 336 pixels at 224, in proportion to 32.
    assert {c.shape[2:4] for c, _ in first(clips, 40)} == {(n, n) for n in (9, 16, 23, 32, 40, 48)}
    seen, labels = clips.arrays(4)
    assert seen.shape == (8, 4, 32, 32, 3)
    np.testing.assert_array_equal(labels, [0, 1] * 4)


def test_sizes_that_a_recipe_names():
    assert {c.shape[2] for c, _ in first(opened({"sizes": [20, 32]}), 12)} == {20, 32}
    with pytest.raises(InputError, match="sizes: must be a list of positive integers"):
        opened({"sizes": []})


def test_a_batch_resized_is_the_same_picture():
    shape = (4, 64, 64, 3)
    large, small = (first(opened({"sizes": sizes, "temporal": False}, shape), 8) for sizes in ([64], [16, 64]))
    shrunk = [(a, b) for (a, _), (b, _) in zip(large, small, strict=True) if b.shape[2] == 16]
    assert 0 < len(shrunk) < 8
    for whole, reduced in shrunk:
        np.testing.assert_allclose(reduced, whole.reshape(6, 4, 16, 4, 16, 4, 3).mean((3, 5)), atol=1)


def test_batches_are_a_function_of_seed_and_step():
    clips = opened({})
    whole = first(clips, 5)
    cut = list(islice(iter(batches(clips, 3, seed=0, start=3)), 2))
    for (a, la), (b, lb) in zip(whole[3:], cut, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(la, lb)


def test_videos_too_short_say_the_length_needed():
    with pytest.raises(InputError, match="25 frames, 27 are needed"):
        opened({}, (9, 32, 32, 3))


def test_footage_of_many_frames_a_second_is_brought_to_its_natural_rate(real_data):
    source = Videos(str(real_data / "videos"))
    fps = max(video.fps for video in source.videos)
    section = {"source": "videos", "path": str(real_data / "videos"), "fps": fps / 2, "validation": 0.0}
    from kvzoo import catalog

    section = check_data({**section, "sampler": {"name": "speed_pair"}}, catalog.LOSSES.get("binary_speed"))
    clips = open_data(section, ((4, 32, 32, 3),), seed=0).training
    assert {video.fps for video in clips.videos} == {fps / 2}
    assert first(clips)[0][0].shape[0] == 6


@pytest.mark.parametrize(
    ("name", "same_batch", "temporal", "spatial"),
    [
        ("speednet", True, True, True),
        ("speednet_no_same_batch", False, True, True),
        ("speednet_no_temporal", True, False, True),
        ("speednet_no_spatial", True, True, False),
        ("speednet_no_same_batch_temporal", False, False, True),
        ("speednet_no_safeguards", False, False, False),
    ],
)
def test_ablation_rows_differ_in_their_safeguards_alone(name, same_batch, temporal, spatial):
    row, whole = load(name), load("speednet")
    sampler = row["data"]["sampler"]
    assert [sampler[k] for k in ("same_batch", "temporal", "spatial")] == [same_batch, temporal, spatial]
    # As many clips a step: a pair has two.
    assert row["fit"]["batch_size"] * (2 if same_batch else 1) == 2 * whole["fit"]["batch_size"]
    for section in ("model", "loss"):
        assert row[section] == whole[section]
    assert {**row["fit"], "batch_size": 0} == {**whole["fit"], "batch_size": 0}
    assert {**row["data"], "sampler": 0} == {**whole["data"], "sampler": 0}
