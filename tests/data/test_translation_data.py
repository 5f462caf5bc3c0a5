"""Inputs and targets: which frames the samplers read, that none leaks, and the sources `frames` and `pairs`."""

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kvzoo import catalog
from kvzoo.data.frames import Frames
from kvzoo.data.pairs import Pairs
from kvzoo.data.pipeline import batches, open_data
from kvzoo.data.samplers import Interpolate, Offsets, Predict
from kvzoo.errors import InputError
from kvzoo.recipe.resolve import check_data, load

SIZE = 16


def write_sequence(folder: Path, clip: np.ndarray, first: int = 1, ending: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, frame in enumerate(clip):
        Image.fromarray(frame.squeeze()).save(folder / f"{first + i}{ending}")


def noise(frames: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, SIZE, SIZE, channels), np.uint8)


def clips_of(folder: Path, sampler: dict, shapes, **section):
    section = {"source": "frames", "path": str(folder), "validation": 0.0, "sampler": sampler, **section}
    return open_data(check_data(section, catalog.LOSSES.get("conditional")), shapes, 0).training


def shapes(frames_in: int, frames_out: int, size: int = SIZE, channels_out: int = 3):
    return ((frames_in, size, size, 3), (frames_out, size, size, channels_out))


# Samplers


@settings(max_examples=60)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 30), st.integers(0, 2**31))
def test_inputs_and_targets_are_the_frames_that_they_should_be(frames_in, frames_out, more, seed):
    rng = np.random.default_rng(seed)
    for sampler in (Interpolate(2, frames_out), Predict(frames_in, frames_out)):
        length = sampler.needs + more
        for inputs, targets in (sampler.draw(length, rng), *sampler.cover(length)):
            every = np.sort(np.concatenate([inputs, targets]))
            # Consecutive frames of the video, each either given or asked for.
            np.testing.assert_array_equal(every, every[0] + np.arange(sampler.needs))
            assert every[0] >= 0 and every[-1] < length
            if isinstance(sampler, Interpolate):
                assert list(inputs) == [every[0], every[-1]]
            else:
                assert inputs.max() < targets.min()


@settings(max_examples=60)
@given(st.data())
def test_offsets_reads_the_places_that_it_is_given(data):
    window = data.draw(st.integers(1, 12))
    places = st.lists(st.integers(0, window - 1), min_size=1, max_size=5)
    inputs, targets = data.draw(places), data.draw(places)
    sampler = Offsets(len(inputs), len(targets), inputs, targets, window)
    length = window + data.draw(st.integers(0, 9))
    plan = sampler.draw(length, np.random.default_rng(data.draw(st.integers(0, 99))))
    start = plan[0][0] - inputs[0]
    assert 0 <= start <= length - window
    assert [list(clip - start) for clip in plan] == [inputs, targets]
    assert [list(clip) for clip in sampler.cover(length)[0]] == [inputs, targets]


def test_every_place_of_a_video_is_drawn():
    rng, sampler = np.random.default_rng(0), Predict(2, 1)
    assert {int(sampler.draw(7, rng)[0][0]) for _ in range(200)} == {0, 1, 2, 3, 4}


def test_jitter_and_mirror_are_the_same_for_all_frames_of_an_example(tmp_path):
    # A still video: its frames are equal before and must be after.
    still = np.repeat(noise(1), 9, axis=0)
    write_sequence(tmp_path / "still", still)
    clips = clips_of(tmp_path, {"name": "interpolate", "jitter": 4, "mirror": True}, shapes(2, 3))
    assert clips.sampler.read_size(SIZE) == SIZE + 4
    seen, mirrored = set(), 0
    (whole, _) = (clips.source.read(clips.videos[0], [0], size, 3)[0] for size in (SIZE + 4, SIZE))
    for seed in range(60):
        inputs, targets = clips.example(0, np.random.default_rng(seed))
        assert (inputs.shape, targets.shape) == ((2, SIZE, SIZE, 3), (3, SIZE, SIZE, 3))
        for frame in (*inputs[1:], *targets):
            np.testing.assert_array_equal(frame, inputs[0])
        seen.add(inputs[0].tobytes())
        cut = [(y, x) for y in range(5) for x in range(5) if (whole[y : y + SIZE, x : x + SIZE] == inputs[0]).all()]
        mirrored += not cut
    assert len(seen) > 25
    assert 15 < mirrored < 45
    # Evaluation reads all of the frame, as it is.
    inputs, _ = clips.read(clips.videos[0], clips.sampler.cover(9)[0])
    np.testing.assert_array_equal(inputs[0], clips.source.read(clips.videos[0], [0], SIZE, 3)[0])


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.booleans())
def test_a_moving_camera_slides_and_grows_evenly(seed, grows):
    """A still picture whose brightness is its place: each corner then moves on a line, or as a power of the frame."""
    side, jitter = 33, 24
    y, x = np.mgrid[: side + jitter, : side + jitter].astype("uint8")
    still = np.stack([4 * y, 4 * x, 0 * x], axis=-1)
    sampler = Interpolate(2, 5, jitter=jitter, pan=2, zoom=0.01 * grows)
    inputs, targets = sampler.example((np.stack([still] * 2), np.stack([still] * 5)), np.random.default_rng(seed))
    clip = np.concatenate([inputs[:1], targets, inputs[1:]]).astype(float)[..., :2] / 4
    centre, width = clip[:, side // 2, side // 2], clip[:, 16, 26, 1] - clip[:, 16, 6, 1]
    assert np.abs(np.diff(centre, 2, axis=0)).max() < 0.55, "a quarter of a pixel is one grey value"
    assert np.abs(np.diff(centre, axis=0)).max() <= 2.3
    assert width == pytest.approx(np.full(7, 20.0), abs=20 * 0.031 + 0.3 if grows else 0.3)


@pytest.mark.parametrize("wrong", [{"pan": -1}, {"zoom": 0.2}, {"pan": 3, "jitter": 17}])
def test_cameras_that_cannot_be(wrong):
    with pytest.raises(InputError, match=r"pan .* Received"):
        Interpolate(2, 5, **{"jitter": 12, **wrong})


def test_batches_are_a_function_of_seed_and_step(tmp_path):
    for i in range(3):
        write_sequence(tmp_path / f"s{i}", noise(9, i))
    sampler = {"name": "predict", "jitter": 2, "mirror": True}
    first, later = (
        list(zip(range(3), batches(clips_of(tmp_path, sampler, shapes(2, 2)), 2, 7, start), strict=False))
        for start in (0, 1)
    )
    for (_, a), (_, b) in zip(first[1:], later, strict=False):
        for left, right in zip(a, b, strict=True):
            np.testing.assert_array_equal(left, right)


# Leaks


@pytest.mark.parametrize("sampler", ["interpolate", "predict"])
def test_a_changed_target_frame_changes_no_input(tmp_path, sampler):
    clip = noise(5)
    places = {"interpolate": ([0, 4], [1, 2, 3]), "predict": ([0, 1], [2, 3, 4])}[sampler]
    read = {}
    for changed in (None, *range(5)):
        folder = tmp_path / f"changed-{changed}"
        perturbed = clip.copy()
        if changed is not None:
            perturbed[changed] = 255 - perturbed[changed]
        write_sequence(folder / "a", perturbed)
        clips = clips_of(folder, {"name": sampler, "jitter": 2, "mirror": True}, shapes(2, 3))
        # Training, with its crops, and evaluation.
        read[changed] = [clips.example(0, np.random.default_rng(1)), clips.arrays(9)]
    for changed in range(5):
        for (inputs, targets), (true_inputs, true_targets) in zip(read[changed], read[None], strict=True):
            assert (inputs == true_inputs).all() == (changed not in places[0])
            assert (targets == true_targets).all() == (changed not in places[1])


# The source frames


def test_a_motchallenge_folder(tmp_path):
    for name, frames, info in (("MOT16-02", 12, "30"), ("MOT16-04", 3, "x"), ("ADL-1", 11, None)):
        write_sequence(tmp_path / "train" / name / "img1", noise(frames, frames))
        if info:
            (tmp_path / "train" / name / "seqinfo.ini").write_text(f"[Sequence]\nname={name}\nframeRate={info}\n")
    source = Frames(str(tmp_path))
    rows = {v.name: (v.frames, v.fps, v.group, v.label) for v in source.videos}
    assert rows == {
        "train/ADL-1": (11, 25.0, "train/ADL-1", "train"),
        "train/MOT16-02": (12, 30.0, "train/MOT16-02", "train"),
        "train/MOT16-04": (3, 25.0, "train/MOT16-04", "train"),
    }
    # 10.png comes after 9.png.
    (video,) = (v for v in source.videos if v.frames == 12)
    np.testing.assert_array_equal(source.read(video, range(12), SIZE, 3), noise(12, 12))
    assert {v.fps for v in Frames(str(tmp_path), native_fps=10.0).videos} == {10.0}


def test_images_of_the_folder_itself_and_damaged_ones(tmp_path):
    folder = tmp_path / "one"
    write_sequence(folder, noise(4), ending=".jpg")
    write_sequence(folder / "inner", noise(3, 1, channels=1))
    (folder / "broken").mkdir()
    (folder / "broken" / "1.png").write_bytes(b"no image")
    source = Frames(str(folder))
    assert {v.name: v.frames for v in source.videos} == {"one": 4, "inner": 3}
    assert [(s.name, s.reason) for s in source.skipped] == [("broken", "1.png: not an image")]
    (folder / "2.jpg").write_bytes(b"no image")
    write_sequence(folder / "inner", noise(8, 2))
    clips = clips_of(folder, {"name": "predict"}, shapes(2, 2))
    examples = [clips.example(i, np.random.default_rng(i)) for i in range(2)]
    assert np.shape(examples) == (2, 2, 2, SIZE, SIZE, 3)
    assert "2.jpg: not an image" in next(iter(clips.damaged.values()))


def test_no_images(tmp_path):
    with pytest.raises(InputError, match="no file with one of the endings"):
        Frames(str(tmp_path))
    with pytest.raises(InputError, match="no such folder"):
        Frames(str(tmp_path / "none"))


# The source pairs


def write_video(path: Path, clip: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height = stream.width = SIZE
        stream.pix_fmt = "bgr0"
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="bgr0")))
        container.mux(stream.encode())


def test_pairs_of_images_with_other_channels(tmp_path):
    depth, colour = noise(4, 0, channels=1), noise(4, 1)
    for side, clip, ending in (("depth", depth, ".png"), ("colour", colour, ".bmp")):
        for i, frame in enumerate(clip):
            write_sequence(tmp_path / side / f"room{i}", frame[None], ending=ending)
    section = {"path": str(tmp_path / "depth"), "target_path": str(tmp_path / "colour"), "source": "pairs"}
    places = {"name": "offsets", "inputs": [0], "targets": [0]}
    both = ((1, SIZE, SIZE, 1), (1, SIZE, SIZE, 3))
    clips = clips_of(tmp_path, places, both, **section)
    inputs, targets = clips.arrays(9)
    np.testing.assert_array_equal(inputs[:, 0], depth)
    np.testing.assert_array_equal(targets[:, 0], colour)
    assert [v.label for v in clips.videos] == [f"room{i}" for i in range(4)]
    # A crop is the same on both sides.
    clips = clips_of(tmp_path, {**places, "jitter": 4}, both, **{**section, "path": section["target_path"]})
    inputs, targets = clips.example(0, np.random.default_rng(0))
    assert np.abs(inputs[..., 0] - (targets @ [0.299, 0.587, 0.114])).max() <= 1


def test_pairs_of_videos_are_read_at_the_same_times(tmp_path):
    inputs, targets = noise(9, 0), noise(9, 1)
    for side, clip in (("a", inputs), ("b", targets)):
        (tmp_path / side).mkdir()
        write_video(tmp_path / side / "one.mkv", clip)
    section = {"path": str(tmp_path / "a"), "target_path": str(tmp_path / "b"), "source": "pairs"}
    clips = clips_of(tmp_path, {"name": "interpolate"}, shapes(2, 2), **section)
    a, b = clips.read(clips.videos[0], clips.sampler.cover(9)[1])
    np.testing.assert_array_equal(a, inputs[[4, 7]])
    np.testing.assert_array_equal(b, targets[[5, 6]])
    # Both sides are resampled in time together.
    clips = clips_of(tmp_path, {"name": "interpolate"}, shapes(2, 1), **section, fps=5.0)
    a, b = clips.read(clips.videos[0], clips.sampler.cover(4)[0])
    np.testing.assert_array_equal(a, inputs[[0, 4]])
    np.testing.assert_array_equal(b, targets[[2]])


def test_what_has_no_counterpart_is_listed(tmp_path):
    for side, names in (("a", "one two three twice"), ("b", "two three four twice")):
        for name in names.split():
            write_sequence(tmp_path / side / name, noise(1))
    Image.fromarray(noise(1)[0]).save(tmp_path / "a" / "twice" / "1.bmp")
    (tmp_path / "b" / "three" / "1.png").write_bytes(b"")
    source = Pairs(str(tmp_path / "a"), str(tmp_path / "b"))
    assert [v.name for v in source.videos] == ["two/1.png"]
    said = {s.name: s.reason for s in source.skipped}
    assert said["one/1.png"] == f"no target one/1 in {tmp_path / 'b'}"
    assert said["four/1.png"] == f"no input four/1 in {tmp_path / 'a'}"
    assert said["twice/1.bmp"] == "another file has the same name with another ending"
    assert set(said) == {"one/1.png", "four/1.png", "three/1.png", "twice/1.bmp", "twice/1.png"}


def test_videos_of_other_lengths_are_no_pair(tmp_path):
    for side, frames in (("a", 5), ("b", 6)):
        (tmp_path / side).mkdir()
        write_video(tmp_path / side / "one.mkv", noise(frames))
    source = Pairs(str(tmp_path / "a"), str(tmp_path / "b"))
    assert not source.videos
    assert [s.reason for s in source.skipped] == ["5 frames, its target one.mkv has 6"]


def test_pairs_none_of_which_match_are_refused(tmp_path):
    for side in "ab":
        write_sequence(tmp_path / side / f"only_{side}", noise(1))
    section = {"path": str(tmp_path / "a"), "target_path": str(tmp_path / "b"), "source": "pairs"}
    with pytest.raises(InputError, match="nothing usable among 2 videos, such as only_a/1.png: no target only_a/1 in"):
        clips_of(tmp_path, {"name": "offsets", "inputs": [0], "targets": [0]}, shapes(1, 1), **section)


# Bad input


def test_videos_of_one_frame_are_skipped_and_told(tmp_path):
    write_sequence(tmp_path / "one", noise(1))
    with pytest.raises(InputError, match="such as one: 1 frames, 5 are needed"):
        clips_of(tmp_path, {"name": "interpolate"}, shapes(2, 3))
    write_sequence(tmp_path / "five", noise(5))
    assert [v.name for v in clips_of(tmp_path, {"name": "interpolate"}, shapes(2, 3)).videos] == ["five"]


def test_channels_that_no_source_gives_are_refused(tmp_path):
    write_sequence(tmp_path / "five", noise(5))
    with pytest.raises(InputError, match=r"only 1 \(grey\) or 3 \(RGB\) channels; the model has 4"):
        clips_of(tmp_path, {"name": "interpolate"}, shapes(2, 3, channels_out=4))


RECIPE = "model: {name: pix2pix, frames_in: 2, frames_out: 3, image_size: 32}\ndata: {source: stick_actions}\nfit: {steps: 1}\n"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.image_size=100", "model.image_size: must be 32, 64, 128, 256 or 512. Received: 100"),
        ("model.frames_in=3", "interpolate gives the first and the last frame, so frames_in must be 2"),
        ("data.sampler=window", "the sampler window makes clips, but the loss conditional needs inputs and targets"),
        ("data.sampler=interpolat", "unknown sampler 'interpolat'; did you mean interpolate"),
        ("data.sampler={name: offsets, inputs: [0], targets: [1, 2, 3]}", "inputs: must have 2 places"),
        ("data.sampler={name: offsets, inputs: [0, 4], targets: [1, 2, -1]}", "places from 0 to 4.* Received: -1"),
        (
            "data.sampler={name: offsets, inputs: [0, 6], targets: [1, 2, 3], window: 6}",
            "inputs: must be places from 0 to 5, within the window. Received: 6",
        ),
        ("data.sampler={name: predict, jiter: 4}", "unknown key; did you mean data.sampler.jitter"),
        ("data.sampler={name: predict, jitter: -1}", "greater than or equal to 0"),
        ("loss=mse", "the loss mse supports only reconstructor models; pix2pix is a translator"),
        ("loss.test_time=papers", "'inference' or 'paper'"),
        ("data.tests={other: {source: moving_shapes, sampler: window}}", "the sampler window makes clips"),
    ],
)
def test_recipes_that_cannot_work_are_refused_without_keras(tmp_path, override, said):
    file = tmp_path / "small.yaml"
    file.write_text(RECIPE)
    assert load(file)["data"]["sampler"]["name"] == "interpolate"
    with pytest.raises(InputError, match=said):
        load(file, [override])


def test_a_sampler_of_pairs_is_refused_for_clips(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text("model: gru_ae\ndata: {source: stick_actions, sampler: predict}\nfit: {steps: 1}\n")
    with pytest.raises(
        InputError, match="the sampler predict makes inputs and targets, but the loss mse needs clips; use window"
    ):
        load(file)


def test_smoke_keeps_what_the_sampler_decides(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(RECIPE + "loss: {name: conditional}\n")
    shrunk = load(file, ["model.frames_out=5", "model.channels_out=1"], smoke=True)["model"]
    assert (shrunk["frames_in"], shrunk["frames_out"], shrunk["channels_out"], shrunk["width"]) == (2, 5, 1, 4)
