"""`interpolate` and `predict`: which frames come out, that given ones stay as they are, and what is refused."""

import itertools
import threading
import tracemalloc

import av
import cv2
import keras
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from sound import click_times, clicks
from translator_runs import FLOW, PAINT, make_run
from videos import damage, number, picture, write_video, x264

import kvzoo
import kvzoo.apps.translators as translators
from kvzoo import catalog
from kvzoo.apps.interpolate import WarpedFrames, estimated_size, interpolate, is_cut, luminance, shrunk, with_luminance
from kvzoo.apps.predict import extend_times, predict
from kvzoo.cli.interpolate import command as interpolate_command
from kvzoo.cli.predict import command as predict_command
from kvzoo.data.videos import open_video
from kvzoo.errors import InputError

OFFSETS = "{name: offsets, inputs: [0, 1], targets: [2, 3]}"
BACKWARDS = "{name: offsets, inputs: [2, 3], targets: [0, 1]}"


pytestmark = pytest.mark.usefixtures("loaded_once")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("runs")
    return {
        "flow": make_run(folder / "flow", "flow_interpolator", FLOW),
        "grey": make_run(folder / "grey", "flow_interpolator", FLOW + ", channels: 1"),
        "paint": make_run(folder / "paint", "pix2pix", PAINT),
        "grey paint": make_run(folder / "grey_paint", "pix2pix", PAINT + ", channels: 1"),
        "predict": make_run(folder / "predict", "pix2pix", PAINT, "predict", frames_in=3),
        "offsets": make_run(folder / "offsets", "pix2pix", PAINT, OFFSETS),
        "backwards": make_run(folder / "backwards", "pix2pix", PAINT, BACKWARDS),
    }


@pytest.fixture
def encoded(monkeypatch):
    """The frames that are handed to the encoder."""
    frames, write_mp4 = [], translators.write_mp4

    def keep(out, given, *rest):
        def kept():
            for frame in given:
                frames.append(frame.copy())
                yield frame

        write_mp4(out, kept(), *rest)

    monkeypatch.setattr(translators, "write_mp4", keep)
    return frames


def shown(path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def write_frames(path, frames: list[np.ndarray], fps: int = 25):
    """Write frames without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=fps)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def texture(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (height // 8, width // 8, 3)).astype(np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def sliding(count: int, step: int = 1, height: int = 48, width: int = 64) -> list[np.ndarray]:
    whole = texture(0, height, width + step * count)
    return [np.ascontiguousarray(whole[:, step * i : step * i + width]) for i in range(count)]


@pytest.mark.parametrize(("name", "factor"), [("flow", 2), ("flow", 5), ("grey", 3), ("paint", 3), ("grey paint", 3)])
def test_given_frames_are_untouched_and_new_ones_are_between(runs, tmp_path, encoded, name, factor):
    frames = sliding(11)
    write_frames(tmp_path / "a.mkv", frames)
    steps = []
    done = interpolate(runs[name], tmp_path / "a.mkv", tmp_path / "b.mp4", factor, progress=steps.append)
    assert (done.frames, done.fps, done.cuts, done.broken) == (10 * factor + 1, 25 * factor, 0, "")
    assert len(encoded) == sum(steps) == done.frames
    for frame, there in zip(frames, encoded[::factor], strict=True):
        np.testing.assert_array_equal(there, frame)
    for i, new in enumerate(encoded):
        at = i / factor
        first, last = (luminance(frames[min(int(at) + k, 10)]) for k in (0, 1))
        assert luminance(new) == pytest.approx(first + (at - int(at)) * (last - first), rel=0.01)
    out = open_video(tmp_path / "b.mp4")
    assert (out.frames, out.fps) == (done.frames, pytest.approx(25 * factor, rel=1e-3))


def test_a_fresh_flow_is_the_cross_fade_at_full_size(runs, tmp_path, encoded):
    frames = sliding(3)
    write_frames(tmp_path / "a.mkv", frames)
    interpolate(runs["flow"], tmp_path / "a.mkv", tmp_path / "b.mp4", 4)
    for i, new in enumerate(encoded):
        k, t = divmod(i / 4, 1)
        fade = frames[int(k)] * (1 - t) + frames[min(int(k) + 1, 2)] * t
        assert np.abs(new - fade).max() <= 2


def test_flow_is_applied_at_full_size():
    frames = sliding(2, step=4, height=96, width=128)

    class Model:
        config = {"channels": 3, "image_size": 16, "width": 4, "frames_out": 2}
        spec = catalog.MODELS.get("flow_interpolator")
        network = kvzoo.get("flow_interpolator", compile=False, **config).network

    method = WarpedFrames(Model, 2, (96, 128))
    assert method.size == (32, 40)
    # Content slides left by 4 pixels of 128: what is seen at t = 1/2 was 2 to the right before, is 2 to the left after.
    flow = np.tile(np.float32([0, 2, 0, -2]) * np.float32([1, 40 / 128, 1, 40 / 128]), (1, 32, 40, 1))
    (new,) = method.make(*frames, (flow, np.full((1, 32, 40, 1), 0.5, np.float32)))
    truth = np.roll(frames[0], -2, axis=1)
    assert np.abs(new[:, 4:-4].astype(int) - truth[:, 4:-4]).max() <= 2


def test_slow_motion_keeps_the_rate(runs, tmp_path):
    write_video(tmp_path / "a.mp4", 5)
    done = interpolate(runs["flow"], tmp_path / "a.mp4", tmp_path / "b.mkv", 3, keep_rate=True)
    assert (done.frames, done.fps, open_video(tmp_path / "b.mkv").fps) == (13, 25, 25)


@pytest.mark.parametrize("name", ["flow", "paint"])
def test_cuts_are_not_blended_across(runs, tmp_path, encoded, name):
    scenes = [texture(seed) // 2 + 60 * seed for seed in range(3)]
    frames = [scene for scene in scenes for _ in range(4)]
    write_frames(tmp_path / "a.mkv", frames)
    done = interpolate(runs[name], tmp_path / "a.mkv", tmp_path / "b.mp4", 3)
    assert done.cuts == 2
    np.testing.assert_array_equal(encoded[10], frames[3])
    np.testing.assert_array_equal(encoded[11], frames[4])


def test_cuts_of_real_videos(real_data):
    """The five of bikes.mp4, seen by eye, and none in the others."""
    found, shots = {}, []
    for file in sorted((real_data / "videos").glob("*.mp4")):
        small = [shrunk(frame) for frame in open_video(file)]
        found[file.stem] = [i for i in range(len(small) - 1) if is_cut(small[i], small[i + 1])]
        shots += [small[i] for i in (0, *[each + 1 for each in found[file.stem]]) if "distorted" not in file.stem]
    assert found.pop("bikes") == [29, 75, 136, 186, 241]
    assert not any(found.values())
    assert all(is_cut(*pair) for pair in itertools.combinations(shots, 2))


def test_cuts_are_seen_on_areas():
    stripes = np.zeros((320, 320, 3), np.uint8)
    stripes[::10] = 255
    assert np.abs(shrunk(stripes).astype(int) - 25.5).max() <= 1


def test_even_pictures():
    black, white = np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 255, np.uint8)
    assert not is_cut(black, black)
    assert not is_cut(black, black + 1)
    assert is_cut(black, white)


@settings(max_examples=50)
@given(st.integers(0, 1000), st.floats(10, 245))
def test_luminance_is_set_without_clipping(seed, wanted):
    frame = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert luminance(with_luminance(frame, wanted)) == pytest.approx(wanted, abs=0.5)


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_stay_so(runs, tmp_path, encoded, level):
    write_frames(tmp_path / "a.mkv", [np.full((32, 32, 3), level, np.uint8)] * 3)
    for name in ("flow", "paint"):
        interpolate(runs[name], tmp_path / "a.mkv", tmp_path / "b.mp4", 3, overwrite=True)
    assert {int(value) for frame in encoded for value in np.unique(frame)} == {level}


def test_no_motion_gives_the_same_frame(runs, tmp_path, encoded):
    write_frames(tmp_path / "a.mkv", [texture(0)] * 3)
    interpolate(runs["flow"], tmp_path / "a.mkv", tmp_path / "b.mp4", 4)
    assert max(np.abs(frame.astype(int) - texture(0)).max() for frame in encoded) <= 1


@pytest.mark.parametrize("size", [(37, 51), (64, 35), (9, 200)])
def test_odd_sizes(runs, tmp_path, encoded, size):
    write_frames(tmp_path / "a.mkv", [texture(0, 240, 240)[: size[0], : size[1]].copy()] * 2)
    for name in ("flow", "paint"):
        interpolate(runs[name], tmp_path / "a.mkv", tmp_path / "b.mp4", 3, overwrite=True)
    even = tuple(side + side % 2 for side in size)
    assert {frame.shape for frame in [*encoded, *shown(tmp_path / "b.mp4")]} == {(*even, 3)}


def test_variable_rate(runs, tmp_path):
    write_video(tmp_path / "a.mkv", times=[0, 1, 2, 3, 4, 20, 21, 22, 24])
    done = interpolate(runs["flow"], tmp_path / "a.mkv", tmp_path / "b.mp4", 2)
    assert (done.frames, done.fps) == (17, pytest.approx(2 * 8 / (24 / 25), abs=0.01))
    # Encoded with loss, the given frames are there, each at its place and time.
    assert [number(frame) for frame in shown(tmp_path / "b.mp4")[::2]] == list(range(9))
    seconds = open_video(tmp_path / "b.mp4").seconds
    assert seconds[::2] == pytest.approx(open_video(tmp_path / "a.mkv").seconds, abs=1e-3)
    assert seconds[1::2] == pytest.approx((seconds[:-1:2] + seconds[2::2]) / 2, abs=1e-3)


def test_sound(runs, tmp_path):
    """Kept where frames keep their times, in step with them; left out of slow motion, and said so."""
    clicks(tmp_path / "a.mp4", seconds=1)
    options = [str(tmp_path / "a.mp4"), "--out"]
    done = CliRunner().invoke(
        interpolate_command, [str(runs["flow"]), *options, str(tmp_path / "b.mkv"), "--factor", "2"]
    )
    assert (done.exit_code, done.stderr) == (0, "")
    assert click_times(tmp_path / "b.mkv") == pytest.approx([0.5], abs=0.01)
    done = interpolate(runs["flow"], tmp_path / "a.mp4", tmp_path / "slow.mp4", 2, keep_rate=True)
    assert done.sound == "its sound is left out in slow motion"
    assert predict(runs["predict"], tmp_path / "a.mp4", tmp_path / "c.mp4", 3).sound == ""
    assert click_times(tmp_path / "c.mp4") == pytest.approx([0.5], abs=0.01)
    with av.open(str(tmp_path / "slow.mp4")) as container:
        assert not container.streams.audio


def test_predicted_frames_follow_at_the_usual_distance():
    assert extend_times(np.array([0, 1, 2, 8, 9.0]), 2).tolist() == [0, 1, 2, 8, 9, 10, 11]
    assert extend_times(np.zeros(1), 1).tolist() == [0, 1]


def test_a_video_that_breaks_off(runs, tmp_path):
    damage(write_video(tmp_path / "a.mp4", 20, codec_options=x264(5, 0)), range(10, 20))
    done = interpolate(runs["flow"], tmp_path / "a.mp4", tmp_path / "b.mp4", 2)
    assert (done.frames, done.broken) == (19, "nothing can be decoded after 10 of 20 frames")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video(runs, tmp_path, monkeypatch):
    # Two at a time, so that the shorter video, too, has all threads' queues full where they wait for each other.
    monkeypatch.setattr("kvzoo.apps.interpolate.PAIRS", 2)

    def peak(count: int) -> int:
        path = write_video(tmp_path / f"{count}.mp4", count, codec_options={"preset": "ultrafast"})
        tracemalloc.start()
        interpolate(runs["flow"], path, tmp_path / f"out_{count}.mp4", 2)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    # The network is traced by then, which takes more than any video.
    interpolate(runs["flow"], write_video(tmp_path / "first.mp4", 8), tmp_path / "out_first.mp4", 2)
    # Some thirty frames are on their way at any time, with their maps; 120 more would be if all were kept.
    assert peak(100) - peak(40) < 50 * 48 * 64 * 3


@pytest.mark.parametrize(
    ("height", "width", "wanted"),
    [(64, 64, (64, 64)), (720, 1280, (128, 224)), (1280, 720, (224, 128)), (37, 51, (40, 48)), (4, 4, (8, 8))],
)
def test_size_that_motion_is_estimated_at(height, width, wanted):
    assert estimated_size(64, height, width) == wanted


@pytest.mark.parametrize(("name", "given"), [("predict", 3), ("offsets", 2)])
@pytest.mark.parametrize("frames", [1, 5])
def test_predicts_from_the_last_frames_and_from_what_it_predicted(runs, tmp_path, encoded, name, given, frames):
    video = [picture(i, 32, 32) for i in range(6)]
    write_frames(tmp_path / "a.mkv", video)
    steps = []
    done = predict(runs[name], tmp_path / "a.mkv", tmp_path / "b.mp4", frames, progress=steps.append)
    assert (done.frames, done.fps, sum(steps), len(encoded)) == (6 + frames, 25, 6 + frames, 6 + frames)
    np.testing.assert_array_equal(encoded[:6], video)
    network, past = kvzoo.load(runs[name]).network, list(video)
    while len(past) < 6 + frames:
        made = network.predict(np.stack(past[-given:])[None] / 127.5 - 1.0, verbose=0)[0]
        past += list(((made + 1) * 127.5).clip(0, 255).round().astype(np.uint8))
    # Frames of the network's own size need no resizing.
    np.testing.assert_allclose(np.stack(encoded).astype(int), np.stack(past[: 6 + frames]).astype(int), atol=1)


@pytest.fixture
def refused(runs, tmp_path):
    """Run what must be refused; return what is said, and see that nothing was written."""
    write_video(tmp_path / "a.mp4", 4)
    write_video(tmp_path / "one.mp4", 1)

    def refuse(command, run, *options, video="a.mp4", out="b.mp4") -> str:
        before = {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()}
        arguments = [runs.get(run, run), tmp_path / video, "--out", tmp_path / out, *options]
        done = CliRunner().invoke(command, list(map(str, arguments)))
        assert isinstance(done.exception, InputError), done
        assert {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()} == before
        return str(done.exception).replace(f"{tmp_path}/", "")

    return refuse


def test_factors(refused):
    said = refused(interpolate_command, "paint", "--factor", 4)
    assert said == "--factor: pix2pix supports only 3, as it was trained to make 2 frames between two. Received: 4"


def test_runs_that_were_trained_for_something_else(refused, runs):
    for run in ("predict", "offsets"):
        said = refused(interpolate_command, run, "--factor", 3)
        assert said.endswith(f"was trained on examples of the sampler {run}, not to interpolate; use `kvzoo predict`")
    said = refused(predict_command, "flow", "--frames", 3)
    assert said.endswith("sampler interpolate, not to predict; use `kvzoo interpolate`")
    for command, option in ((interpolate_command, "--factor"), (predict_command, "--frames")):
        assert "the sampler offsets, not to" in refused(command, "backwards", option, 3)
        assert "not a run folder" in refused(command, runs["flow"].parent, option, 3)


def test_a_run_of_another_kind(refused, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.lock.yaml").write_text(
        "model: gru_ae\ndata: {source: stick_actions}\nfit: {steps: 1}\n"
    )
    said = refused(interpolate_command, tmp_path / "run", "--factor", 2)
    assert said == "run: gru_ae was trained for reconstruction; interpolate is for translation"


def test_videos_and_files(refused, tmp_path):
    said = refused(interpolate_command, "flow", "--factor", 2, video="one.mp4")
    assert said == "one.mp4: has 1 frame; at least 2 are required to make frames between them"
    said = refused(predict_command, "predict", "--frames", 2, video="one.mp4")
    assert said == "one.mp4: has 1 frames; the model needs at least 3"
    assert refused(interpolate_command, "flow", "--factor", 2, video="none.mp4") == "none.mp4: no such file"
    assert "must end in .mp4 or .mkv" in refused(interpolate_command, "flow", "--factor", 2, out="b.gif")
    said = refused(interpolate_command, "flow", "--factor", 2, "--overwrite", out="a.mp4")
    assert said == "--out a.mp4: is the video itself"


def test_a_video_of_which_one_frame_decodes(refused, runs, tmp_path):
    damage(write_video(tmp_path / "cut.mp4", 20, codec_options=x264(10, 0)), range(1, 20))
    assert "nothing can be decoded after 1 of 20 frames" in refused(
        interpolate_command, "flow", "--factor", 2, video="cut.mp4"
    )
    assert not [thread for thread in threading.enumerate() if thread.name == "kvzoo-ahead"]


def test_the_command_says_what_it_did(runs, tmp_path):
    write_video(tmp_path / "a.mp4", 4)
    out = tmp_path / "b.mp4"
    done = CliRunner().invoke(
        interpolate_command, [str(runs["flow"]), str(tmp_path / "a.mp4"), "--factor", "2", "--out", str(out)]
    )
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{out}: 7 frames at 50 fps in") and done.stdout.count("\n") == 1
