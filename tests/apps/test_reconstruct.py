"""`reconstruct`: every frame once and in order, whatever the video; what is refused, and that memory stays flat."""

import struct
import threading
import time
import tracemalloc

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from outputs import shown
from PIL import Image
from videos import damage, number, picture, write_video, x264

import kvzoo
from kvzoo.apps.reconstruct import GIF_FRAMES, reconstruct
from kvzoo.apps.streams import AHEAD, ahead, windows
from kvzoo.cli.reconstruct import command
from kvzoo.data.videos import open_video
from kvzoo.errors import InputError
from kvzoo.run.folder import LOCK

T = 4
RECIPE = f"""
model: {{name: gru_ae, frames: {T}, image_size: 16, channels: 3, latent_dim: 8, units: 12, width: 4}}
data: {{source: stick_actions, videos: 4, people: 2, seconds: 0.4, actions: [walk, bend]}}
fit: {{steps: 1, batch_size: 2, sample_every: 1, validation_clips: 2}}
"""

pytestmark = pytest.mark.usefixtures("loaded_once")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "small.yaml").write_text(RECIPE)
    return kvzoo.fit(folder / "small.yaml", out=folder / "run").path


def numbers(path) -> list[int]:
    """Return the numbers that stand in the upper half of each frame."""
    return [number(frame[: frame.shape[1]]) for frame in shown(path)]


@pytest.mark.parametrize("count", [T, T + 1, 3 * T - 1, 4 * T, 5 * T + 2])
def test_every_frame_comes_out_once_and_in_order(run, tmp_path, count):
    write_video(tmp_path / "a.mp4", count)
    steps = []
    done = reconstruct(run, tmp_path / "a.mp4", tmp_path / "b.mp4", progress=steps.append)
    assert (done.frames, done.fps, done.broken) == (count, 25, "")
    assert numbers(tmp_path / "b.mp4") == list(range(count))
    assert open_video(tmp_path / "b.mp4").fps == 25
    assert sum(steps) == count


def test_below_stands_what_the_model_gives(run, tmp_path):
    count = 2 * T + 1
    write_video(tmp_path / "a.mkv", count, codec="ffv1", pixels="bgr0", size=(16, 16))
    reconstruct(run, tmp_path / "a.mkv", tmp_path / "b.mp4")
    clip = np.stack([picture(i, 16, 16) for i in range(count)])
    starts = [0, T, count - T]
    output = kvzoo.load(run).network.predict(np.stack([clip[s : s + T] for s in starts]) / 127.5 - 1.0, verbose=0)
    wanted = (np.concatenate([output[0], output[1], output[2][-1:]]) + 1) * 127.5
    frames = shown(tmp_path / "b.mp4")
    assert {frame.shape for frame in frames} == {(2 * 256 + 2, 256, 3)}
    for truth, rebuilt, frame in zip(clip, wanted, frames, strict=True):
        above, below = (cv2.resize(f, (16, 16), interpolation=cv2.INTER_AREA) for f in (frame[:256], frame[-256:]))
        assert np.abs(above.astype(float) - truth).mean() < 6
        assert np.abs(below - rebuilt).mean() < 3


def test_gif(run, tmp_path):
    write_video(tmp_path / "a.mp4", 3 * T - 1)
    reconstruct(run, tmp_path / "a.mp4", tmp_path / "b.gif")
    with Image.open(tmp_path / "b.gif") as gif:
        assert (gif.n_frames, gif.size) == (3 * T - 1, (128, 2 * 128 + 2))
    assert numbers(tmp_path / "b.gif") == list(range(3 * T - 1))


def test_variable_rate(run, tmp_path):
    write_video(tmp_path / "a.mkv", times=[0, 1, 2, 3, 4, 20, 21, 22, 24])
    done = reconstruct(run, tmp_path / "a.mkv", tmp_path / "b.mp4")
    assert numbers(tmp_path / "b.mp4") == list(range(9))
    assert (done.fps, done.broken) == (pytest.approx(8 / (24 / 25), abs=0.01), "")


@pytest.mark.parametrize("size", [(37, 51), (64, 34)])
def test_odd_sizes(run, tmp_path, size):
    write_video(tmp_path / "a.mp4", 6, size=size, pixels="yuv444p")
    reconstruct(run, tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert numbers(tmp_path / "b.mp4") == list(range(6))


def test_ten_bits(run, tmp_path):
    options = {"x265-params": "log-level=none"}
    if "libx265" not in av.codecs_available:
        pytest.skip("this FFmpeg has no such encoder")
    write_video(tmp_path / "a.mp4", 6, codec="libx265", pixels="yuv420p10le", codec_options=options)
    reconstruct(run, tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert numbers(tmp_path / "b.mp4") == list(range(6))


def test_a_video_filmed_on_its_side_is_turned_upright(run, tmp_path):
    data = bytearray(write_video(tmp_path / "a.mp4", 5).read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    (tmp_path / "a.mp4").write_bytes(data)
    reconstruct(run, tmp_path / "a.mp4", tmp_path / "b.mp4")
    frames = shown(tmp_path / "b.mp4")
    assert [number(np.rot90(frame[:256], 1)) for frame in frames] == list(range(5))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_file_that_was_cut_off(run, tmp_path, name):
    front = {"movflags": "faststart"} if name == "a.mp4" else {}
    path = write_video(tmp_path / name, 60, options=front, codec_options=x264(10, 0))
    assert open_video(path).frames == 60
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    done = CliRunner().invoke(command, [str(run), str(path), "--out", str(tmp_path / "b.mp4")])
    there = numbers(tmp_path / "b.mp4")
    assert T <= len(there) < 50
    assert there == list(range(len(there)))
    assert done.exit_code == 0
    assert done.stderr == f"kvzoo: {path}: cut off after {len(there)} frames\n"
    assert done.stdout.startswith(f"{tmp_path / 'b.mp4'}: {len(there)} frames at 25 fps in ")
    assert done.stdout.count("\n") == 1


def test_a_video_of_which_nothing_decodes_from_the_middle_on(run, tmp_path):
    damage(write_video(tmp_path / "a.mp4", 40, codec_options=x264(10, 0)), range(15, 40))
    done = reconstruct(run, tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert numbers(tmp_path / "b.mp4") == list(range(15))
    assert done.broken == "nothing can be decoded after 15 of 40 frames"
    assert done.frames == 15


def test_frames_that_do_not_decode_keep_their_place(run, tmp_path):
    damage(write_video(tmp_path / "a.mp4", 40, codec_options=x264(10, 0)), range(10, 20))
    done = reconstruct(run, tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert numbers(tmp_path / "b.mp4") == [*range(10), *[9] * 10, *range(20, 40)]
    assert done.broken == "10 of 40 frames cannot be decoded and repeat the frame before"


def test_a_video_of_which_less_than_a_window_decodes(run, tmp_path):
    damage(write_video(tmp_path / "a.mp4", 40, codec_options=x264(10, 0)), range(T - 1, 40))
    for name in ("b.mp4", "b.gif"):
        with pytest.raises(
            InputError, match=f"nothing can be decoded after {T - 1} of 40 frames; the model needs at least {T}"
        ):
            reconstruct(run, tmp_path / "a.mp4", tmp_path / name)
    assert [f.name for f in tmp_path.iterdir()] == ["a.mp4"]


@pytest.fixture
def refused(run, tmp_path):
    """Run what must be refused, with an `a.mp4` there; return what is said, and see that nothing was written."""
    write_video(tmp_path / "a.mp4", T)

    def refuse(run=run, video="a.mp4", out="b.mp4", *options) -> str:
        before = {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()}
        done = CliRunner().invoke(command, [str(run), str(tmp_path / video), "--out", str(tmp_path / out), *options])
        assert isinstance(done.exception, InputError)
        assert {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()} == before
        return str(done.exception).replace(f"{tmp_path}/", "")

    return refuse


def test_no_run(refused, run, tmp_path):
    assert refused(tmp_path / "none") == "none: not a run folder: no recipe.lock.yaml in it"
    (tmp_path / "early").mkdir()
    (tmp_path / "early" / LOCK).write_text((run / LOCK).read_text())
    assert refused(tmp_path / "early") == "early: no model.keras yet; finish the run with: kvzoo resume early"


OTHER_KIND = """
from kvzoo import register
from kvzoo.apps.reconstruct import check_request
from kvzoo.errors import InputError
from kvzoo.registry import LossSpec, ModelSpec
register(ModelSpec(name="judge", builder="nowhere:judge", kind="classifier", loss="entropy"))
register(LossSpec(name="entropy", builder="nowhere:entropy", kinds=("classifier",)))
try:
    check_request({path!r}, "a.mp4", "b.mp4")
except InputError as error:
    print(error)
"""


def test_a_run_of_another_kind(in_process, tmp_path):
    (tmp_path / LOCK).write_text("model: judge\ndata: {source: stick_actions}\nfit: {steps: 1}\n")
    said = in_process(OTHER_KIND.replace("{path!r}", repr(str(tmp_path))))
    assert "judge was trained for classification; reconstruct is for reconstruction" in said


def test_no_video(refused, tmp_path):
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.mp4").touch()
    assert refused(video="none.mp4") == "none.mp4: no such file"
    assert refused(video="text.mp4") == "text.mp4: not a video, or damaged"
    assert refused(video="sound.mp4") == "sound.mp4: no video stream"
    assert refused(video="folder") == "folder: is a folder, not a video file"
    assert refused(video="empty.mp4") == "empty.mp4: the file is empty"


def test_a_video_that_is_too_short(refused, tmp_path):
    write_video(tmp_path / "short.mp4", T - 1)
    said = refused(video="short.mp4")
    assert said == f"short.mp4: has {T - 1} frames; the model needs at least {T}"


def test_files_that_cannot_be_written(refused, run, tmp_path):
    assert refused(out="b.avi") == "--out b.avi: must end in .mp4 or .gif"
    assert refused(out="none/b.mp4").startswith("--out none/b.mp4: no such folder: ")
    (tmp_path / "b.mp4").write_text("precious")
    assert refused() == "--out b.mp4: already exists; use --overwrite to replace it"
    (tmp_path / "c.mp4").mkdir()
    assert refused(run, "a.mp4", "c.mp4", "--overwrite") == "--out c.mp4: is a folder"
    assert refused(run, "a.mp4", "a.mp4", "--overwrite") == "--out a.mp4: is the video itself"
    done = CliRunner().invoke(
        command, [str(run), str(tmp_path / "a.mp4"), "--out", str(tmp_path / "b.mp4"), "--overwrite"]
    )
    assert done.exit_code == 0, done.exception
    assert numbers(tmp_path / "b.mp4") == list(range(T))


def test_a_gif_of_many_frames_is_refused(refused, tmp_path):
    write_video(tmp_path / "long.mp4", GIF_FRAMES + 1, size=(16, 16), codec_options={"preset": "ultrafast"})
    said = refused(video="long.mp4", out="b.gif")
    assert "supports at most 1000 frames, but long.mp4 has 1001; use --out b.mp4" in said


def test_refused_in_one_line_without_keras(run, tmp_path, kvzoo_cli, in_process):
    args = [str(run), "none.mp4", "--out", "b.mp4"]
    done = kvzoo_cli("reconstruct", *args, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "kvzoo: none.mp4: no such file\n")
    code = f"""
import sys
from kvzoo.cli.reconstruct import command
from kvzoo.errors import InputError
try:
    command({args}, standalone_mode=False)
except InputError:
    print("keras" in sys.modules)
"""
    assert in_process(code) == "False\n"


def test_memory_does_not_grow_with_the_video(run, tmp_path):
    def peak(count: int) -> int:
        path = write_video(tmp_path / f"{count}.mp4", count, codec_options={"preset": "ultrafast"})
        tracemalloc.start()
        done = reconstruct(run, path, tmp_path / f"out_{count}.mp4")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert done.frames == count
        return most

    one_frame = 514 * 256 * 3
    peak(12)
    assert peak(120) - peak(40) < 20 * one_frame


def test_a_thread_is_a_few_items_ahead_only():
    made = []

    def count():
        for i in range(50):
            made.append(i)
            yield i

    items = ahead(count())
    for i in range(10):
        assert next(items) == i
        time.sleep(0.01)
        # One more waits for its place in the queue.
        assert len(made) <= i + 1 + AHEAD + 1
    assert len(made) > 10
    items.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "kvzoo-ahead"]


def test_a_fault_in_a_thread_reaches_the_caller():
    def breaks():
        yield 1
        raise ValueError("here")

    items = ahead(ahead(breaks()))
    assert next(items) == 1
    with pytest.raises(ValueError, match="^here$"):
        next(items)


def test_windows():
    frames = [np.full((1, 1, 1), i) for i in range(7)]
    assert [(w.ravel().tolist(), new) for w, new in windows(frames, 3, 3)] == [
        ([0, 1, 2], 3),
        ([3, 4, 5], 3),
        ([4, 5, 6], 1),
    ]
    assert [new for _, new in windows(frames[:6], 3, 3)] == [3, 3]
    assert [w.ravel().tolist() for w, _ in windows(frames[:2], 1, 1)] == [[0], [1]]
    assert list(windows(frames[:2], 3, 3)) == []
