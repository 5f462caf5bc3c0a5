"""Spliced videos: every frame is traced to the clip and the frame that it was cut from."""

import inspect
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kvzoo import catalog
from kvzoo.data.pipeline import open_data
from kvzoo.data.source import Video, resample
from kvzoo.data.spliced_strips import SplicedStrips
from kvzoo.data.strips import Strips
from kvzoo.errors import InputError
from kvzoo.recipe.resolve import check_data

ACTIONS = ("bend", "jack", "wave", "wave_two")
TAKES = ("mirror", "original")
PEOPLE = 6


def write_strip(path: Path, who: tuple[int, int, int], frames: int) -> None:
    """Write a strip whose pixels tell what they are: (action, 10 person + take, frame)."""
    action, person, take = who
    clip = np.zeros((frames, 8, 8, 3), np.uint8)
    clip[..., 0], clip[..., 1], clip[..., 2] = action, 10 * person + take, np.arange(frames).reshape(-1, 1, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(list(clip), axis=1)).save(path)


def write_folder(folder: Path, actions=ACTIONS, people: int = PEOPLE, frames: int | None = None) -> str:
    for a, action in enumerate(actions):
        for person in range(people):
            for t, take in enumerate(TAKES):
                write_strip(
                    folder / action / f"person{person}_{take}.png", (a, person, t), frames or 51 + 7 * a + person
                )
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return write_folder(tmp_path_factory.mktemp("strips"))


def traced(source: SplicedStrips, video: Video) -> np.ndarray:
    """Return (action, 10 person + take, frame) of each frame of a video, (frames, 3)."""
    pixels = source.read(video, range(video.frames), 8, 3)
    assert pixels.shape == (video.frames, 8, 8, 3)
    assert (pixels == pixels[:, :1, :1]).all()
    return pixels[:, 0, 0].astype(int)


def cuts(trace: np.ndarray) -> np.ndarray:
    """Return the frames before which the action changes."""
    return np.flatnonzero(np.diff(trace[:, 0])) + 1


@pytest.mark.parametrize("anomaly", ["bend", "wave"])
def test_frames_of_the_anomaly_are_labelled_and_no_others(folder, anomaly):
    source = SplicedStrips(folder, anomaly, part="test", videos=20)
    for video in source.videos:
        trace, labels = traced(source, video), source.frame_labels(video)
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, trace[:, 0] == ACTIONS.index(anomaly))
        assert ACTIONS[trace[0, 0]] == video.label != anomaly
        # one person, one take
        assert len(set(trace[:, 1])) == 1
        assert video.group == f"person{trace[0, 1] // 10}"


def test_an_action_is_interrupted_twice_and_taken_up_where_it_was_left(folder):
    source = SplicedStrips(folder, "bend", part="test", videos=40)
    for video in source.videos:
        trace = traced(source, video)
        pieces = np.split(trace, cuts(trace))
        assert len(pieces) == 5
        assert {ACTIONS[pieces[i][0, 0]] for i in (0, 2, 4)} == {video.label}
        assert all(len(set(piece[:, 0])) == 1 for piece in pieces)
        assert all(20 <= len(piece) <= 60 for piece in pieces[1:4])
        assert all(10 <= len(piece) <= 30 for piece in (pieces[0], pieces[4]))
        # no seam: each frame is a neighbour of the one before it, over an interruption too
        for run in (np.concatenate(pieces[::2]), pieces[1], pieces[3]):
            assert (np.abs(np.diff(run[:, 2])) == 1).all()
        for piece in (pieces[1], pieces[3]):
            assert (np.abs(piece[:, 2] - (51 + 7 * piece[0, 0] + piece[0, 1] // 10) / 2) <= 1).any()


def test_one_video_in_five_has_no_anomaly(folder):
    source = SplicedStrips(folder, "bend", part="test", videos=50)
    anomalous = np.array([source.frame_labels(video).any() for video in source.videos])
    assert (anomalous.reshape(-1, 5).sum(axis=1) == 4).all()
    assert {v.label for v in source.videos} == {"jack", "wave", "wave_two"}
    assert len({(v.label, traced(source, v)[0, 1]) for v in source.videos}) == 2 * 2 * 3


def test_a_cut_tells_nothing(folder):
    source = SplicedStrips(folder, "bend", part="test", videos=300)
    changed, near, labels = [], [], []
    for video in source.videos:
        at = cuts(traced(source, video))
        labels.append(source.frame_labels(video))
        changed.append(np.isin(np.arange(video.frames), at))
        near.append(np.abs(np.arange(video.frames)[:, None] - at).min(axis=1) < 8)
    changed, near, labels = map(np.concatenate, (changed, near, labels))
    for told in (changed, near):
        assert told[labels == 1].mean() == pytest.approx(told[labels == 0].mean(), rel=0.1)
    assert 0.15 < labels.mean() < 0.25


def test_the_normal_part_is_other_peoples_clips_as_they_are(folder):
    normal, test = (SplicedStrips(folder, "bend", part=part) for part in ("normal", "test"))
    groups = [{v.group for v in source.videos} for source in (normal, test)]
    assert len(groups[0]) == 4 and len(groups[1]) == 2 and not groups[0] & groups[1]
    strips = Strips(folder)
    wanted = {v.name: v for v in strips.videos if v.label != "bend" and Path(v.name).name[:7] in groups[0]}
    assert [v.name for v in normal.videos] == sorted(wanted)
    for video in normal.videos:
        there = wanted[video.name]
        assert video.label == there.label
        np.testing.assert_array_equal(
            normal.read(video, range(video.frames), 8, 3), strips.read(there, range(there.frames), 8, 3)
        )
        assert normal.frame_labels(video).tolist() == [0] * video.frames


def test_people_are_drawn_or_named(folder):
    def shown(part: str, **options) -> set[str]:
        return {v.group for v in SplicedStrips(folder, "bend", part=part, **options).videos}

    assert shown("test", test_people=["person4"]) == {"person4"}
    assert shown("normal", test_people=["person4"]) == {f"person{i}" for i in range(PEOPLE) if i != 4}
    assert len(shown("test", test_share=0.5)) == 3 and len(shown("test", test_share=0.01)) == 1
    assert len({frozenset(shown("test", seed=seed)) for seed in range(8)}) > 3
    assert shown("test", person=r"(\d+)_", test_people=["2"]) == {"2"}


def test_same_seed_same_videos_and_labels(folder):
    first, second = (SplicedStrips(folder, "bend", part="test", videos=10, seed=3) for _ in range(2))
    assert first.fingerprint() == second.fingerprint()
    for a, b in zip(first.videos, second.videos, strict=True):
        # in another order, and in parts
        late = second.read(b, [90, 80, 64, 63], 8, 3)
        np.testing.assert_array_equal(first.read(a, range(100), 8, 3)[[90, 80, 64, 63]], late)
        np.testing.assert_array_equal(first.decode(a, 13, 77, 8, 1), first.read(a, range(13, 77), 8, 1))
        np.testing.assert_array_equal(first.frame_labels(a), second.frame_labels(b))
    more = SplicedStrips(folder, "bend", part="test", videos=15, seed=3)
    assert [v.name for v in more.videos[:10]] == [v.name for v in first.videos]
    np.testing.assert_array_equal(traced(more, more.videos[9]), traced(first, first.videos[9]))

    named = {"part": "test", "videos": 10, "test_people": ["person1"]}
    prints = [SplicedStrips(folder, "bend", seed=seed, **named).fingerprint() for seed in (3, 4)]
    assert prints[0] != prints[1]


def test_labels_follow_the_frame_rate(folder):
    for part in ("test", "normal"):
        source = SplicedStrips(folder, "bend", part=part, videos=6)
        for video in source.videos:
            slow = resample(video, 10)
            np.testing.assert_array_equal(source.frame_labels(slow), source.frame_labels(video)[slow.times])
            np.testing.assert_array_equal(traced(source, slow), traced(source, video)[slow.times])


def test_short_clips_play_to_and_fro(tmp_path):
    source = SplicedStrips(write_folder(tmp_path, frames=5), "bend", part="test", videos=5)
    for video in source.videos:
        trace = traced(source, video)
        for piece in np.split(trace, cuts(trace)):
            assert len(piece) >= 10 and set(piece[:, 2]) == set(range(5))
            assert (np.abs(np.diff(piece[:, 2])) == 1).all()
    stills = SplicedStrips(write_folder(tmp_path / "stills", frames=1), "bend", part="test", videos=5)
    assert {traced(stills, video)[:, 2].max() for video in stills.videos} == {0}


def test_a_single_normal_action_is_cut_to_itself(tmp_path):
    source = SplicedStrips(write_folder(tmp_path, actions=ACTIONS[:2]), "bend", part="test", videos=5)
    for video in source.videos:
        trace = traced(source, video)
        assert set(trace[:, 0]) <= {0, 1}
        assert len(cuts(trace)) == 2 * source.frame_labels(video).any()


def test_what_cannot_be_spliced_is_skipped_with_a_reason(tmp_path):
    folder = write_folder(tmp_path)
    (tmp_path / "bend" / "person4_mirror.png").unlink()
    (tmp_path / "wave" / "person5_mirror.png").write_text("hello")
    write_strip(tmp_path / "person3_top.png", (9, 3, 0), 60)
    source = SplicedStrips(folder, "bend", part="test", test_people=["person4", "person5"])
    reasons = {s.name: s.reason for s in source.skipped}
    lonely = [f"{action}/person4_mirror.png" for action in ACTIONS[1:]]
    assert sorted(reasons) == sorted(["person3_top.png", "wave/person5_mirror.png", *lonely])
    assert reasons["person3_top.png"] == "is not in an action's folder"
    assert reasons["wave/person5_mirror.png"] == "not an image"
    assert {reasons[name] for name in lonely} == {"person4 has no bend clip in a file of the same name"}
    assert {traced(source, video)[0, 1] for video in source.videos} == {41, 50, 51}
    (tmp_path / "bend" / "person4_original.png").unlink()
    with pytest.raises(InputError, match="no usable clip of a normal action in the test part; .* person4 has no bend"):
        SplicedStrips(folder, "bend", part="test", test_people=["person4"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"anomaly": "bned"},
            "data.anomaly: no action 'bned'; did you mean bend.*; actions: bend, jack, wave, wave_two",
        ),
        ({"part": "tests"}, "data.part: 'tests' is unknown; did you mean test"),
        ({"person": r"(human\d+)"}, r"data.person: .*human.* does not match 'bend/person0_mirror.png'"),
        ({"person": r"(per"}, "data.person: .* is not a regular expression"),
        ({"person": "person"}, "data.person: finds only one person, 'person'"),
        ({"test_people": ["person7"]}, "no person 'person7'; did you mean .*; people: person0, person1"),
        ({"test_people": []}, "0 of 6 people"),
        ({"test_people": [f"person{i}" for i in range(PEOPLE)]}, "6 of 6 people"),
        ({"test_share": 1.0}, "must be greater than 0 and less than 1. Received: 1"),
        ({"path": "none"}, "none: no such folder"),
    ],
)
def test_what_cannot_be_is_refused(folder, options, message):
    with pytest.raises(InputError, match=message):
        SplicedStrips(**{"path": folder, "anomaly": "bend", **options})


def test_one_action_is_not_enough(tmp_path):
    with pytest.raises(InputError, match="'bend' is the only action"):
        SplicedStrips(write_folder(tmp_path, actions=["bend"]), "bend")


def test_spec_says_what_the_source_takes(folder):
    spec = catalog.SOURCES.get("spliced_strips")
    taken = inspect.signature(SplicedStrips).parameters
    assert list(taken) and set(taken) == set(spec.options)
    for name, option in spec.options.items():
        assert option.required == (taken[name].default is inspect.Parameter.empty)
        assert option.required or option.default == taken[name].default
    loss = catalog.LOSSES.get("mse")
    section = {"source": "spliced_strips", "path": folder, "anomaly": "bend", "validation": 0.25}
    data = open_data(check_data({**section, "tests": {}}, loss), [(16, 8, 8, 3)], 0)
    assert (len(data.training.videos), len(data.validation.videos)) == (18, 6)
    with pytest.raises(InputError, match="anomaly"):
        check_data({"source": "spliced_strips", "path": folder}, loss)


def test_real_clips(real_data):
    folder = str(real_data / "actions")
    normal, test = (SplicedStrips(folder, "bend", part=part) for part in ("normal", "test"))
    assert not normal.skipped and not test.skipped
    assert {v.group for v in normal.videos}.isdisjoint({v.group for v in test.videos})
    assert len(normal.videos) == 5 * 3 * 2 and len({v.group for v in test.videos}) == 2
    labels = np.concatenate([test.frame_labels(video) for video in test.videos])
    assert 0.15 < labels.mean() < 0.25
    strips = Strips(folder)
    clips = {v.name: strips.read(v, range(v.frames), 64, 1) for v in strips.videos if v.label == "bend"}
    for video in test.videos[:6]:
        frames, marked = test.read(video, range(video.frames), 64, 1), test.frame_labels(video)
        take = clips[f"bend/{video.name.split('/')[1][:-6]}.png"].astype(float)
        # how far each frame is from the nearest one of the clip that interrupts
        far = np.abs(frames[:, None] - take).mean(axis=(2, 3, 4)).min(axis=1)
        assert not far[marked == 1].any() and (far[marked == 0] > 3).all()
