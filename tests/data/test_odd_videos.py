"""Odd and damaged videos: frames and times are FFmpeg's own, or it is said what is left out."""

import faulthandler
import json
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import av
import av.error
import numpy as np
import pytest
from odd_videos import COUNT, SIZE, WHOLE, film, odd_videos, write_odd

from kvzoo.data.source import BrokenVideo, Skipped
from kvzoo.data.videos import Videos, open_video
from kvzoo.errors import InputError
from kvzoo.media.containers import open_container

ODD = odd_videos()
# Of these a frame is not shown as it is decoded: turned, mapped, of one field only.
CHANGED = ("turned", "interlaced", "fields", "pq", "hlg")
SAMPLE = (
    *("h264.h264", "h264.asf", "h264_vob.vob", "packed.avi", "packed_one_b.avi", "stills_b.avi", "restart.ts"),
    *("sizes.ts", "vp8_hidden.webm", "pauses.avi", "edit_list_b.mp4", "timelapse.mp4"),
    *[odd.name for odd in ODD if not odd.whole][:3],
)


def decoded(path: Path) -> tuple[list[np.ndarray], list[float | None], list[float | None]]:
    """Return what a plain loop over FFmpeg's packets gives: RGB frames, their own times, those of their packets."""
    frames, times, stored = [], [], []
    with open_container(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1  # damaged H.264 is patched up in another way by several
        for packet in container.demux(stream):
            try:
                found = packet.decode()
            except av.error.FFmpegError:
                continue
            for frame in found:
                frames.append(frame.to_ndarray(format="rgb24"))
                times.append(frame.time)
                stored.append(None if frame.dts is None else float(frame.dts * stream.time_base))
    return frames, times, stored


def probed(path: Path) -> list[float | None]:
    """Return the frames' `best_effort_timestamp` as the command ffprobe prints them, in seconds."""
    command = ["ffprobe", "-v", "quiet", "-select_streams", "V:0", "-show_frames", "-of", "json"]
    command += ["-show_entries", "frame=best_effort_timestamp_time", str(path)]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    frames = json.loads(text or "{}").get("frames", [])
    return [float(time) if (time := frame.get("best_effort_timestamp_time")) else None for frame in frames]


def agrees(seconds: np.ndarray, times: list[float | None]) -> bool:
    """Return whether times from the first frame on are those that FFmpeg has, as far as it has any."""
    known = [i for i, time in enumerate(times) if time is not None]
    if len(seconds) != len(times) or not known:
        return len(seconds) == len(times)
    of_ffmpeg = np.array([times[i] for i in known]) - times[known[0]]
    # A millisecond is what Matroska and FLV round to.
    return bool(np.abs(seconds[known] - seconds[known[0]] - of_ffmpeg).max() < 2e-3)


def check(path: Path, whole: bool, probe: bool) -> None:
    """Check that a file's frames and times are FFmpeg's, or that it is said what is wrong."""
    try:
        stream = open_video(path)
    except InputError as error:
        assert not whole, error
        assert "\n" not in str(error)
        return
    assert len(stream.seconds) == stream.frames
    assert stream.seconds[0] == 0 and (np.diff(stream.seconds) > 0).all()
    shown = [frame.copy() for frame in stream]
    assert {frame.shape for frame in shown} == {shown[0].shape}
    assert "\n" not in stream.broken
    if stream.broken and not whole:
        return
    frames, *times = decoded(path)
    assert len(shown) == stream.frames == len(frames)
    if not path.name.startswith(CHANGED):
        same = [a.shape != b.shape or np.array_equal(a, b) for a, b in zip(shown, frames, strict=True)]
        assert all(same), f"frames that are not FFmpeg's: {np.flatnonzero(~np.array(same)).tolist()}"
    if "times" in stream.broken:
        return
    if probe and (of_ffprobe := probed(path)) and len(of_ffprobe) == len(frames):
        times.append(of_ffprobe)
    assert any(agrees(stream.seconds, each) for each in times), (stream.seconds, times)


def check_source(folder: Path) -> None:
    """Check that windows of a folder's videos are the frames that are shown from beginning to end."""
    source = Videos(str(folder))
    named = {each.name for each in (*source.videos, *source.skipped)}
    assert named == {file.name for file in folder.iterdir()}
    for video in source.videos:
        try:
            every = source.decode(video, 0, video.frames, 32, 3)
            for start in np.random.default_rng(0).integers(0, video.frames, 4):
                source._readers.clear()
                some = source.decode(video, start, min(start + 4, video.frames), 32, 3)
                # What is damaged looks otherwise when it is decoded from another frame on.
                assert video.name not in WHOLE or np.array_equal(some, every[start : start + 4]), video.name
        except BrokenVideo as error:
            assert video.name not in WHOLE, (video.name, error)


def write(name: str, folder: Path) -> Path:
    path = write_odd(folder, next(odd for odd in ODD if odd.name == name))
    if path is None:
        pytest.skip("this FFmpeg has no such encoder or container")
    return path


@pytest.mark.parametrize("name", SAMPLE)
def test_frames_and_times_are_those_of_ffmpeg(tmp_path, name):
    check(write(name, tmp_path), name in WHOLE, probe=False)


@pytest.mark.slow
def test_all_odd_videos(tmp_path):
    written = [odd for odd in ODD if write_odd(tmp_path, odd)]
    assert len(written) >= 200
    complaints = []
    for odd in written:
        try:
            check(tmp_path / odd.name, odd.whole, probe=shutil.which("ffprobe") is not None)
        except AssertionError as error:
            complaints.append(f"{odd.name}: {error}")
    assert not complaints, "\n".join(complaints)
    check_source(tmp_path)


# Packed B-frames, which XviD writes and UCF-101 consists of.


def test_packed_frames_are_each_shown_once(tmp_path):
    plain, packed = (write(name, tmp_path) for name in ("unpacked.avi", "packed.avi"))
    for one, other in zip(open_video(plain), open_video(packed), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(open_video(packed).seconds, np.arange(COUNT) / 25)


def test_packed_frames_need_no_decoding_to_be_counted(tmp_path, monkeypatch):
    path = write("packed.avi", tmp_path)
    monkeypatch.setattr("kvzoo.data.videos._shown_at", lambda *args: pytest.fail("all of it is decoded"))
    assert open_video(path).frames == COUNT


# Streams.


def test_an_animated_avif_is_a_film_and_not_its_still(tmp_path):
    try:
        film("libsvtav1", options={"preset": "12"})(tmp_path / "a.avif", 0)
    except (av.error.FFmpegError, ValueError):
        pytest.skip("this FFmpeg has no such encoder or container")
    assert open_video(tmp_path / "a.avif").frames == COUNT


# Sizes.


def test_frames_of_another_size_are_scaled_to_the_first(tmp_path):
    path = write("sizes.ts", tmp_path)
    assert {frame.shape for frame in open_video(path)} == {(*SIZE, 3)}
    source = Videos(str(tmp_path))
    (video,) = source.videos
    assert source.size_of(video) == "64x48"
    frames = source.read(video, np.arange(video.frames), 48, 3)
    # A square of the scaled frame, not of the larger one as it is.
    *_, last = open_video(path)
    np.testing.assert_array_equal(frames[-1], last[:, 8:56])


# Display matrices: where the upper left corner of the coded frame is shown.
CORNERS = {
    "90": (0, -1),
    "180": (-1, -1),
    "270": (-1, 0),
    "mirror": (0, -1),
    "flip": (-1, 0),
    "transpose": (0, 0),
    "transverse": (-1, -1),
}


@pytest.mark.parametrize("name", CORNERS)
def test_frames_are_turned_and_mirrored_as_the_file_says(tmp_path, name):
    turned = next(iter(open_video(write(f"turned_{name}.mp4", tmp_path)))).copy()
    plain = next(iter(open_video(write("h264.mp4", tmp_path))))
    height, width = plain.shape[:2]
    swapped = name in ("90", "270", "transpose", "transverse")
    assert turned.shape == ((width, height, 3) if swapped else (height, width, 3))
    np.testing.assert_array_equal(turned[CORNERS[name]], plain[0, 0])


# Endings.


def test_videos_of_any_ending_are_found_and_others_named(tmp_path):
    plain = write("h264.mp4", tmp_path)
    for name in ("a.mts", "b.VOB", "c.xyz", "d", ".hidden.mp4x"):
        shutil.copy(plain, tmp_path / name)
    for name in ("README", "table.csv", "notes.txt", "e.foo"):
        (tmp_path / name).write_text("some words\n")
    source = Videos(str(tmp_path))
    assert [video.name for video in source.videos] == ["a.mts", "b.VOB", "c.xyz", "d", "h264.mp4"]
    assert source.skipped == [Skipped("e.foo", ".foo is not the ending of a video")]


# Every app on every file.

PARTS = 27  # of the files; one part takes minutes
LIMIT = 60  # seconds that a verb may take on a file of a second


@contextmanager
def limited(seconds: float):
    """Within, work that hangs is an error; where a library never comes back to Python, the process ends with a traceback."""

    def hang(*_):
        raise RuntimeError(f"still at it after {seconds} s")

    before = signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(3 * seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of fresh networks, one for each kind of app, loaded once."""
    import kvzoo
    from kvzoo import zoo
    from kvzoo.recipe.resolve import load
    from kvzoo.run.folder import RunFolder

    folder, made = tmp_path_factory.mktemp("runs"), {}
    clip = "frames: 4, image_size: 16"
    for name, model, more in (
        ("auto", f"name: gru_ae, {clip}, channels: 3, latent_dim: 8, units: 12, width: 4", ""),
        ("speed", f"name: speednet, {clip}, width: 0.0625", "loss: binary_speed\n"),
        ("flow", "name: flow_interpolator, frames_in: 2, frames_out: 2, image_size: 16, width: 4", "interpolate"),
        ("paint", "name: pix2pix, frames_in: 3, frames_out: 2, image_size: 32, patch: 1, width: 4", "predict"),
    ):
        sampler = f", sampler: {more}" if more and ":" not in more else ""
        (folder / f"{name}.yaml").write_text(
            f"model: {{{model}}}\n{more if ':' in more else ''}data: {{source: stick_actions{sampler}}}\nfit: {{steps: 1}}\n"
        )
        made[name] = folder / name
        made[name].mkdir()
        values = load(folder / f"{name}.yaml").values
        RunFolder(made[name]).write_lock(values)
        options = {key: value for key, value in values["model"].items() if key != "name"}
        kvzoo.get(values["model"]["name"], loss=values.get("loss"), **options).network.save(made[name] / "model.keras")
    models = {path: zoo.load(path) for path in made.values()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "load", lambda path: models[Path(path)])
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_every_app_on_every_odd_video(runs, tmp_path, part):
    from click.testing import CliRunner

    from kvzoo.cli.verbs import cli

    files = [path for odd in ODD[part::PARTS] if (path := write_odd(tmp_path, odd))]
    gallery = tmp_path / "gallery"
    gallery.mkdir()
    shutil.copy(write_odd(tmp_path, ODD[0]), gallery / "a.mp4")
    complaints = []
    for number, file in enumerate(files):
        out = tmp_path / "out" / str(number)
        alone = out / "alone"
        alone.mkdir(parents=True)
        shutil.copy(file, alone)
        for verb, *arguments in (
            ("anomaly", runs["auto"], file, "--out", out / "anomaly"),
            ("reconstruct", runs["auto"], file, "--out", out / "a.mp4"),
            ("interpolate", runs["flow"], file, "--factor", 2, "--out", out / "b.mp4"),
            ("predict", runs["paint"], file, "--frames", 2, "--out", out / "c.mp4"),
            ("speed", runs["speed"], file, "--out", out / "speed"),
            ("speedup", runs["speed"], file, "--rate", 2, "--out", out / "speedup"),
            ("saliency", runs["speed"], file, "--out", out / "d.mp4"),
            ("embed", runs["speed"], file, "--out", out / "e.npz"),
            ("retrieve", runs["speed"], file, gallery, "--index", out / "f.npz", "--out", out / "f.html"),
            ("data", "check", alone),
            ("data", "prepare", alone, "--out", out / "g.h5", "--size", 16, "--workers", 1),
        ):
            with limited(LIMIT):
                error = CliRunner().invoke(cli, [verb, *map(str, arguments)]).exception
            if error and not isinstance(error, InputError) and getattr(error, "code", 1) not in (0, None):
                complaints.append(f"{verb} {file.name}: {error!r}")
            if left := [
                path.name for path in out.iterdir() if path.name.startswith(".") and not path.name.endswith(".lock")
            ]:
                complaints.append(f"{verb} {file.name}: left behind {', '.join(left)}")
    assert not complaints, "\n".join(complaints)
