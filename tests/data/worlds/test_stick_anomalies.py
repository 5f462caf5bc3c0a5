"""Anomalous frames are labelled where, and only where, the picture shows an anomaly."""

from dataclasses import replace

import numpy as np
import pytest

from kvzoo.data.source import resample
from kvzoo.data.worlds.stick_actions import FPS
from kvzoo.data.worlds.stick_anomalies import StickAnomalies
from kvzoo.data.worlds.stick_figures import render
from kvzoo.errors import InputError


def runs(labels: np.ndarray) -> np.ndarray:
    """Return (start, stop) of each run of ones."""
    return np.flatnonzero(np.diff(np.pad(labels.astype(int), 1))).reshape(-1, 2)


def test_frames_that_show_an_intruder_are_labelled_and_no_others():
    source = StickAnomalies(videos=14, people=3, anomalies=["intruder"], part="test")
    intruders = 0
    for video in source.videos:
        scene, _ = source._scene(video)
        labels = source.frame_labels(video)
        shown = source.read(video, range(video.frames), 64, 3)
        alone = render(replace(scene, figures=scene.figures[:1]), np.arange(video.frames) / FPS, 64)
        np.testing.assert_array_equal((shown != alone).any(axis=(1, 2, 3)), labels)
        intruders += len(scene.figures) - 1
        assert labels[[0, -1]].sum() == 0
    assert intruders > 8


@pytest.mark.parametrize("action", ["bend", "jump"])
def test_frames_that_show_another_action_are_labelled_and_no_others(action):
    source = StickAnomalies(videos=6, people=3, actions=["wave_two_hands"], anomalies=[action], part="test")
    interrupted = 0
    for video in source.videos:
        scene, _ = source._scene(video)
        spans = scene.figures[0].spans
        normal = replace(scene.figures[0], spans=(replace(spans[0], stop=spans[-1].stop),))
        times, labels = np.arange(video.frames) / FPS, source.frame_labels(video)
        for start, stop in runs(labels)[:1]:  # up to the end of the first one: then the phase is another
            differs = source.read(video, range(stop), 64, 3) != render(
                replace(scene, figures=(normal,)), times[:stop], 64
            )
            differs = differs.any(axis=(1, 2, 3))
            assert not differs[:start].any()
            # the first and last frames of the blend may be too near to the normal pose for a pixel to change
            assert differs[start + 2 : stop - 2].all()
            interrupted += 1
    assert interrupted > 2


def test_what_the_test_part_holds():
    source = StickAnomalies(videos=60, people=12, part="test")
    labels = [source.frame_labels(video) for video in source.videos]
    assert all(
        found.dtype == np.uint8 and len(found) == v.frames for found, v in zip(labels, source.videos, strict=True)
    )
    assert 0.1 < np.concatenate(labels).mean() < 0.4
    share = np.mean([found.any() for found in labels])
    assert 0.7 < share < 1
    lengths = np.array([stop - start for found in labels for start, stop in runs(found)]) / FPS
    assert np.median(lengths) > 0.7 and lengths.max() < 2.7
    assert {v.label for v in source.videos} == {"wave_two_hands", "walk", "jumping_jack"}


def test_the_normal_part_holds_no_anomaly_and_other_people():
    normal, test = (StickAnomalies(videos=30, people=5, part=part) for part in ("normal", "test"))
    assert not any(normal.frame_labels(video).any() for video in normal.videos)
    groups = [{v.group for v in source.videos} for source in (normal, test)]
    assert len(groups[0]) == len(groups[1]) == 5 and not groups[0] & groups[1]
    people = [{source._scene(v)[0].figures[0].body for v in source.videos} for source in (normal, test)]
    assert len(people[0]) == len(people[1]) == 5 and not people[0] & people[1]
    assert normal.fingerprint() != test.fingerprint()


def test_same_seed_same_videos_and_labels():
    first, second = (StickAnomalies(videos=6, people=2, seconds=4, part="test", seed=3) for _ in range(2))
    other = StickAnomalies(videos=6, people=2, seconds=4, part="test", seed=4)
    assert first.fingerprint() == second.fingerprint() != other.fingerprint()
    for a, b in zip(first.videos, second.videos, strict=True):
        # in another order, and in parts
        late = second.read(b, [90, 80], 32, 1)
        np.testing.assert_array_equal(first.read(a, range(100), 32, 1)[[90, 80]], late)
        np.testing.assert_array_equal(first.frame_labels(a), second.frame_labels(b))
    assert any(
        (first.read(a, [0], 32, 1) != other.read(b, [0], 32, 1)).any()
        for a, b in zip(first.videos, other.videos, strict=True)
    )


def test_labels_follow_the_frame_rate():
    source = StickAnomalies(videos=4, part="test", seed=1)
    for video in source.videos:
        slow = resample(video, 10)
        labels = source.frame_labels(slow)
        assert len(labels) == slow.frames == 80
        np.testing.assert_array_equal(labels, source.frame_labels(video)[slow.times])


def test_every_action_can_interrupt_a_short_video():
    others = ["wave_one_hand", "wave_two_hands", "jumping_jack", "bend", "jump", "intruder"]
    for actions, anomalies in ((["walk"], others), (["bend"], ["walk"])):
        source = StickAnomalies(videos=20, seconds=3, actions=actions, anomalies=anomalies, part="test")
        labels = np.stack([source.frame_labels(video) for video in source.videos])
        assert labels.any(axis=1).sum() > 10 and not labels[:, :10].any()
        assert source.read(source.videos[0], range(75), 32, 3).shape == (75, 32, 32, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"part": "tests"}, "data.part: 'tests' is unknown; did you mean test"),
        ({"actions": ["wlak"]}, "did you mean walk"),
        ({"anomalies": ["intruders"]}, "did you mean intruder"),
        ({"anomalies": ["walk"]}, "'walk' is one of data.actions"),
        ({"seconds": 2.0}, "too short"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        StickAnomalies(**options)
