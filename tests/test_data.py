"""Every frame that is asked for is the frame that is given: from strips, from videos, in batches."""

import logging
import struct
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kvzoo import catalog
from kvzoo.data import source as source_module
from kvzoo.data.pipeline import Clips, FixedExamples, batches, open_data
from kvzoo.data.samplers import Window
from kvzoo.data.source import BrokenVideo, Source, Video, regroup, resample, split, square
from kvzoo.data.strips import Strips
from kvzoo.data.videos import Videos, open_video
from kvzoo.data.worlds.stick_actions import StickActions
from kvzoo.errors import InputError


def frames_of(count: int, size: int = 8) -> np.ndarray:
    """Return RGB frames (count, size, size, 3); frame i is filled with (10 i, 255 - 10 i, i)."""
    return np.stack([np.full((size, size, 3), (10 * i, 255 - 10 * i, i), np.uint8) for i in range(count)])


def write_strip(path: Path, frames: np.ndarray, vertical: bool = False, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.concatenate(list(frames), axis=0 if vertical else 1))
    (image.convert(mode) if mode else image).save(path)
    return path


def read_all(source: Source, size: int = 8, channels: int = 3) -> np.ndarray:
    (video,) = source.videos
    return source.read(video, np.arange(video.frames), size, channels)


@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "webp"])
def test_strip_lies_either_way(tmp_path, vertical, ending):
    Image.fromarray(np.concatenate(list(frames_of(7)), axis=0 if vertical else 1)).save(
        tmp_path / f"a.{ending}", **({"lossless": True} if ending == "webp" else {})
    )
    np.testing.assert_array_equal(read_all(Strips(str(tmp_path))), frames_of(7))


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "LA"])
def test_strip_modes(tmp_path, mode):
    write_strip(tmp_path / "a.png", frames_of(5), mode=mode)
    seen = read_all(Strips(str(tmp_path)))
    wanted = frames_of(5)
    if mode in ("L", "LA"):
        wanted = np.stack([np.asarray(Image.fromarray(f).convert("L").convert("RGB")) for f in wanted])
    assert np.abs(seen.astype(int) - wanted).max() <= (60 if mode == "P" else 0)
    assert read_all(Strips(str(tmp_path)), channels=1).shape == (5, 8, 8, 1)


def test_transparent_pixels_keep_their_colour(tmp_path):
    rgba = np.concatenate([np.concatenate(list(frames_of(3)), axis=1), np.zeros((8, 24, 1), np.uint8)], axis=2)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_all(Strips(str(tmp_path))), frames_of(3))


def test_sixteen_bits_become_eight(tmp_path):
    grey = np.repeat(np.arange(4, dtype=np.uint16)[None] * 80 * 257, 8, axis=0).repeat(8, axis=1)
    Image.fromarray(grey).save(tmp_path / "a.png")
    assert read_all(Strips(str(tmp_path)), channels=1)[:, 0, 0, 0].tolist() == [0, 80, 160, 240]


def test_order_says_the_time_of_each_frame(tmp_path):
    order = [1, 2, 3, 4, 5, 0, 6]
    write_strip(tmp_path / "a.png", frames_of(7)[order])
    np.testing.assert_array_equal(read_all(Strips(str(tmp_path), order=order)), frames_of(7))


@pytest.mark.parametrize(
    ("order", "frames"), [([0, 2], None), ([1, 2, 3], None), ([0, 0, 1], None), ([], None), ([1, 0], 3)]
)
def test_order_that_is_none(tmp_path, order, frames):
    write_strip(tmp_path / "a.png", frames_of(3))
    with pytest.raises(InputError, match=r"data\.order: .*Received: \["):
        Strips(str(tmp_path), order=order, frames_per_image=frames)


def test_frames_that_are_not_square_are_cut_to_the_middle(tmp_path):
    frames = np.zeros((4, 6, 10, 3), np.uint8)
    frames[:, :, 2:8] = frames_of(4, 6)
    write_strip(tmp_path / "a.png", frames)
    np.testing.assert_array_equal(read_all(Strips(str(tmp_path), frames_per_image=4), size=6), frames_of(4, 6))


def test_unusable_strips_are_skipped_with_a_reason(tmp_path):
    good = write_strip(tmp_path / "good.png", frames_of(4))
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:60])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("hello")
    Image.new("RGB", (30, 8)).save(tmp_path / "wrong.png")
    source = Strips(str(tmp_path))
    assert [v.name for v in source.videos] == ["good.png"]
    reasons = {s.name: s.reason for s in source.skipped}
    assert sorted(reasons) == ["cut.png", "empty.png", "text.jpg", "wrong.png"]
    assert reasons["wrong.png"] == "30x8 pixels cannot be divided into square frames"
    assert reasons["empty.png"] == "the file is empty"
    assert reasons["text.jpg"] == "not an image"
    assert not any(str(tmp_path) in reason or "\n" in reason for reason in reasons.values())


def test_strip_that_breaks_after_opening(tmp_path):
    rng = np.random.default_rng(0)
    file = write_strip(tmp_path / "a.jpg", rng.integers(0, 256, (4, 8, 8, 3), np.uint8))
    source = Strips(str(tmp_path))
    file.write_bytes(file.read_bytes()[:-80])
    with pytest.raises(BrokenVideo, match="truncated"):
        read_all(source)
    Image.new("RGB", (30, 8)).save(file)
    with pytest.raises(BrokenVideo):
        read_all(source)
    file.unlink()
    with pytest.raises(BrokenVideo, match="^no such file$"):
        read_all(source)


def test_labels_are_folders(tmp_path):
    for name in ("top.png", "bend/a.png", "sport/run/b.PNG"):
        write_strip(tmp_path / name, frames_of(2))
    labels = {v.name: v.label for v in Strips(str(tmp_path)).videos}
    assert labels == {"top.png": "", "bend/a.png": "bend", "sport/run/b.PNG": "sport/run"}


def test_folders_without_files(tmp_path):
    (tmp_path / "file").touch()
    for path, words in (("none", "no such folder"), ("file", "not a folder"), (".", "no file with one of the endings")):
        with pytest.raises(InputError, match=words):
            Strips(str(tmp_path / path))


def picture(i: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Return a picture with the number i in it: six patches, white for a bit that is 1, in its middle square."""
    side = min(height, width)
    image = np.full((height, width, 3), 90, np.uint8)
    top, left, patch = (height - side) // 2, (width - side) // 2, side // 3
    for bit in range(6):
        y, x = top + patch * (bit // 3), left + patch * (bit % 3)
        image[y : y + patch, x : x + patch] = 255 * (i >> bit & 1)
    return image


def number(frame: np.ndarray) -> int:
    """Return the number in a square picture."""
    patch = frame.shape[0] // 3
    middles = [(patch * (bit // 3) + patch // 2, patch * (bit % 3) + patch // 2) for bit in range(6)]
    return sum(int(frame[y - 2 : y + 3, x - 2 : x + 3].mean() > 127) << bit for bit, (y, x) in enumerate(middles))


def write_video(
    path: Path,
    count: int = 30,
    *,
    codec: str = "libx264",
    size: tuple[int, int] = (48, 64),
    pixels: str = "yuv420p",
    times=None,
    fps: int = 25,
    codec_options: dict | None = None,
    options: dict | None = None,
    noise: int = 0,
) -> Path:
    rng = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=codec_options or {})
        stream.height, stream.width, stream.pix_fmt = *size, pixels
        for i, time in enumerate(range(count) if times is None else times):
            image = np.clip(picture(i, *size) + rng.integers(-noise, noise + 1, (*size, 1)), 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def x264(key_distance: int, b_frames: int = 3, extra: str = "") -> dict:
    settings = f"keyint={key_distance}:min-keyint={key_distance}:scenecut=0:bframes={b_frames}:b-adapt=0{extra}"
    return {"x264-params": settings, "preset": "veryfast"}


def full_decode(path: Path, size: int) -> np.ndarray:
    """Return all frames of a file as a plain loop over its frames gives them, with square pixels."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        aspect = float(stream.sample_aspect_ratio or 1)
        width = None if aspect == 1 else 2 * round(stream.width * aspect / 2)
        return np.stack([square(f.to_ndarray(width=width, format="rgb24"), size, 3) for f in container.decode(video=0)])


def numbers(source: Source, video: Video) -> list[int]:
    return [number(frame) for frame in source.read(video, np.arange(video.frames), 48, 3)]


def only(source: Source) -> Video:
    assert source.skipped == []
    (video,) = source.videos
    return video


CASES = [
    ("1.mp4", "libx264", x264(1, 0)),
    ("5.mp4", "libx264", x264(5)),
    ("12.mkv", "libx264", x264(12)),
    ("250.mp4", "libx264", x264(250)),
    ("open.mp4", "libx264", x264(12, 3, ":open-gop=1")),
    ("b.ts", "libx264", x264(12)),
    ("b.avi", "libx264", x264(12)),
    ("b.flv", "libx264", x264(12)),
    ("mpeg4.avi", "mpeg4", {"g": "8", "bf": "2"}),
    ("mpeg1.mpg", "mpeg1video", {"g": "8", "bf": "2"}),
    ("wmv.wmv", "wmv2", {"g": "8"}),
    ("vp9.webm", "libvpx-vp9", {"g": "8", "deadline": "realtime", "cpu-used": "8"}),
    ("gif.gif", "gif", {}),
]


@pytest.mark.parametrize(("name", "codec", "codec_options"), CASES, ids=[case[0] for case in CASES])
def test_windows_are_exact(tmp_path, monkeypatch, name, codec, codec_options):
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    path = write_video(
        tmp_path / name, 60, codec=codec, codec_options=codec_options, pixels="bgr8" if codec == "gif" else "yuv420p"
    )
    wanted = full_decode(path, 48)
    assert [number(frame) for frame in wanted] == list(range(60))
    # Small chunks: most windows begin between key frames and need a seek.
    monkeypatch.setattr(source_module, "CHUNK", 3)
    monkeypatch.setattr(source_module, "CACHE_BYTES", 0)
    source = Videos(str(tmp_path))
    video, rng = only(source), np.random.default_rng(0)
    assert (video.frames, round(video.fps, 2)) == (60, 25)
    for _ in range(25):
        start = int(rng.integers(57))
        np.testing.assert_array_equal(source.read(video, np.arange(start, start + 4), 48, 3), wanted[start : start + 4])
    np.testing.assert_array_equal(source.read(video, np.arange(60), 48, 3), wanted)


def test_indices_in_any_order_and_repeated(tmp_path):
    write_video(tmp_path / "a.mp4", 20)
    source = Videos(str(tmp_path))
    frames = source.read(only(source), [7, 3, 3, 19, 0], 48, 3)
    assert [number(frame) for frame in frames] == [7, 3, 3, 19, 0]


@pytest.mark.parametrize("offset", [-6, 100])
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_times_that_do_not_begin_at_zero(tmp_path, offset, ending):
    path = write_video(
        tmp_path / f"a.{ending}", 30, times=[i + offset for i in range(30)], codec_options=x264(10, b_frames=2)
    )
    source = Videos(str(tmp_path))
    np.testing.assert_array_equal(
        source.read(only(source), np.arange(only(source).frames), 48, 3), full_decode(path, 48)
    )


def test_edit_list_hides_the_beginning(tmp_path):
    data = bytearray(write_video(tmp_path / "a.mp4", 30, codec_options=x264(10, 0)).read_bytes())
    at = data.index(b"elst") + 12  # the entry: length, then the time in the media at which it begins
    (begin,) = struct.unpack(">i", data[at + 4 : at + 8])
    ticks = int(av.open(str(tmp_path / "a.mp4")).streams.video[0].time_base.denominator) // 25
    data[at + 4 : at + 8] = struct.pack(">i", begin + 7 * ticks)
    (tmp_path / "a.mp4").write_bytes(data)
    source = Videos(str(tmp_path))
    assert numbers(source, only(source))[:20] == list(range(7, 27))


def test_variable_rate_is_made_steady(tmp_path):
    times = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 21, 22, 23, 24, 25, 40]
    write_video(tmp_path / "a.mkv", times=times)
    source = Videos(str(tmp_path))
    video = only(source)
    fps = 16 / (40 / 25)
    assert (video.frames, video.fps) == (17, pytest.approx(fps, abs=0.01))
    shown = [int(np.searchsorted(times, i * 25 / fps + 0.01, side="right")) - 1 for i in range(17)]
    assert numbers(source, video) == shown


@pytest.mark.parametrize(
    ("times", "fps"),
    [
        ([0, 1, 2, 3, 20, 21, 40], 25),
        ([50, 51, 52, 60], 25),  # not from zero
        ([0, 1, 5000 * 25, 5000 * 25 + 1], 25),  # a pause of more than an hour
        ([0, 60, 120, 180], 1),  # a frame a minute
        ([0, 1, 2, 7], 1000),
        ([3], 25),
    ],
)
def test_seconds_are_each_frames_own(tmp_path, times, fps):
    stream = open_video(write_video(tmp_path / "a.mkv", times=times, fps=fps, codec_options=x264(10, 0)))
    assert stream.start == pytest.approx(times[0] / fps)
    np.testing.assert_allclose(stream.seconds, (np.array(times) - times[0]) / fps, atol=1e-9)
    assert sum(1 for _ in stream) == stream.frames == len(times)


# The track header's matrix as QuickTime defines it, x' = a x + c y, y' = b x + d y with y downwards:
# (0, 1, -1, 0) sends the rightward axis downwards, a quarter turn clockwise.
@pytest.mark.parametrize(
    ("matrix", "turns"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)], ids=["90", "180", "270"]
)
def test_rotation(tmp_path, matrix, turns):
    plain = write_video(tmp_path / "plain" / "a.mp4", 4)
    data, (a, b, c, d) = bytearray(plain.read_bytes()), matrix
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16
    assert data[at : at + 4] == struct.pack(">i", 1 << 16)
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    (tmp_path / "turned").mkdir()
    (tmp_path / "turned" / "a.mp4").write_bytes(data)
    upright, turned = (read_all(Videos(str(tmp_path / folder)), 48) for folder in ("plain", "turned"))
    np.testing.assert_array_equal(turned, np.rot90(upright, turns, axes=(1, 2)))


FORMATS = {
    "odd.mp4": {"size": (37, 51), "pixels": "yuv444p"},
    "ten_bits.mp4": {"codec": "libx265", "pixels": "yuv420p10le", "codec_options": {"x265-params": "log-level=none"}},
    "grey.mkv": {"codec": "ffv1", "pixels": "gray"},
    "alpha.webm": {"codec": "libvpx-vp9", "pixels": "yuva420p", "codec_options": {"deadline": "realtime"}},
    "alpha.mov": {"codec": "png", "pixels": "rgba"},
    "tall.mp4": {"size": (64, 34)},
}


@pytest.mark.parametrize("name", FORMATS)
def test_pixel_formats_and_sizes(tmp_path, name):
    if FORMATS[name].get("codec", "libx264") not in av.codecs_available:
        pytest.skip("this FFmpeg has no such encoder")
    write_video(tmp_path / name, 12, **FORMATS[name])
    source = Videos(str(tmp_path))
    assert numbers(source, only(source)) == list(range(12))
    assert source.read(only(source), [0, 5], 16, 1).shape == (2, 16, 16, 1)


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p", "yuv411p", "yuv420p10le", "yuvj420p"])
@pytest.mark.parametrize("size", [(200, 98), (98, 202), (162, 98), (165, 98), (180, 98), (640, 98)])
def test_the_square_is_that_of_the_whole_frame(tmp_path, size, pixels):
    """Long frames are cut before their colours are converted, of which nothing may be seen."""
    codec = "mjpeg" if pixels == "yuvj420p" else "ffv1"
    path = write_video(tmp_path / "a.mkv", 4, codec=codec, size=size, pixels=pixels)
    np.testing.assert_array_equal(read_all(Videos(str(tmp_path)), 48), full_decode(path, 48))


def test_unusable_videos_are_skipped_with_a_reason(tmp_path):
    data = write_video(tmp_path / "good.mp4", 30, codec_options=x264(10)).read_bytes()
    (tmp_path / "cut_index.mp4").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    (tmp_path / "empty.avi").touch()
    front = write_video(tmp_path / "front.mp4", 30, options={"movflags": "faststart"}, codec_options=x264(10))
    blank = bytearray(front.read_bytes())
    begin = blank.index(b"mdat") + 4
    blank[begin:] = bytes(len(blank) - begin)
    (tmp_path / "blank.mp4").write_bytes(blank)
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    source = Videos(str(tmp_path))
    assert [v.name for v in source.videos] == ["front.mp4", "good.mp4"]
    assert {s.name: s.reason for s in source.skipped} == {
        "blank.mp4": "no frame can be decoded",
        "cut_index.mp4": "not a video, or damaged",
        "empty.avi": "the file is empty",
        "sound.mp4": "no video stream",
        "text.mp4": "not a video, or damaged",
    }


def test_video_that_was_cut_off_is_shorter(tmp_path):
    path = write_video(tmp_path / "a.mp4", 40, options={"movflags": "faststart"}, codec_options=x264(10, 0))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    source = Videos(str(tmp_path))
    video = only(source)
    assert 10 < video.frames < 40
    assert numbers(source, video) == list(range(video.frames))


def damage(path: Path, frames: range) -> None:
    """Overwrite the stored data of some of a file's frames."""
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for i in frames:
        at, size = packets[i]
        data[at : at + size] = b"\xaa" * size
    path.write_bytes(data)


def test_frames_that_do_not_decode_are_shown_as_the_one_before(tmp_path):
    path = write_video(tmp_path / "a.mp4", 40, codec_options=x264(10, 0))
    damage(path, range(10, 20))
    source = Videos(str(tmp_path))
    assert numbers(source, only(source)) == [*range(10), *[9] * 10, *range(20, 40)]


def test_a_video_of_which_little_decodes_is_broken(tmp_path):
    path = write_video(tmp_path / "a.mp4", 40, codec_options=x264(10, 0))
    damage(path, range(15, 40))
    source = Videos(str(tmp_path))
    with pytest.raises(BrokenVideo, match="^25 of the frames 0 to 39 cannot be decoded$"):
        numbers(source, only(source))


def test_video_that_breaks_after_opening(tmp_path):
    path = write_video(tmp_path / "a.mp4", 20)
    source = Videos(str(tmp_path))
    path.write_text("something else")
    with pytest.raises(BrokenVideo, match="^not a video, or damaged$"):
        read_all(source)
    path.unlink()
    with pytest.raises(BrokenVideo, match="^no such file$"):
        read_all(source)


def test_csv_cuts_and_labels(tmp_path):
    write_video(tmp_path / "clips" / "bend" / "a.mp4", 40)
    write_video(tmp_path / "elsewhere" / "b.mp4", 10)
    table = tmp_path / "table.csv"
    table.write_text(
        "label,path,end,start,notes\n"
        "wave,bend/a.mp4,1,0.4,x\n"
        ",bend/a.mp4,,1.2,\n"
        'jump,../elsewhere/b.mp4,9,,"a, b"\n'
        "run,bend/a.mp4,9,5,\n"
        "run,none.mp4,,,\n"
    )
    source = Videos(str(tmp_path / "clips"), csv=str(table))
    assert [
        (v.label, v.frames, v.group == w.group) for v, w in zip(source.videos, source.videos[:1] * 3, strict=True)
    ] == [
        ("wave", 15, True),
        ("bend", 10, True),
        ("jump", 10, False),
    ]
    # The second span's frames are asked for after the first's left part of their chunk in the cache.
    wanted = [list(range(10, 25)), list(range(30, 40)), list(range(10))]
    assert [numbers(source, video) for video in source.videos] == wanted
    assert [numbers(source, video) for video in source.videos[::-1]] == wanted[::-1]
    assert [(s.name, s.reason) for s in source.skipped] == [
        ("bend/a.mp4", "no frames between 5 s and 9 s; it has 1.60 s"),
        ("none.mp4", "no such file"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,start\na.mp4,0\n", r":1: the column `path` is missing. Received: file, start"),
        ("", r":1: the column `path` is missing"),
        ("path\n", "no rows"),
        ("path,lable\na.mp4,x\n", r":1: unknown column 'lable'; did you mean label\?"),
        ("path,start\na.mp4,0\na.mp4,1:30\n", r":3: start: must be a number of seconds, at least 0. Received: '1:30'"),
        ("path,end\na.mp4,-1\n", r":2: end: must be a number of seconds, at least 0. Received: '-1'"),
        ("path,start,end\na.mp4,2,1\n", r":2: end: must be greater than start \(2\)\. Received: 1"),
        ("path,label\na.mp4,x,y\n", r":2: more cells than columns"),
        ("path,label\n,x\n", r":2: path: must be a file"),
    ],
)
def test_csv_errors_name_the_line(tmp_path, text, words):
    write_video(tmp_path / "a.mp4", 10)
    table = tmp_path / "table.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=words) as raised:
        Videos(str(tmp_path), csv=str(table))
    assert str(raised.value).startswith(str(table)) and "\n" not in str(raised.value)


def test_csv_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        Videos(str(tmp_path), csv=str(tmp_path / "none.csv"))


def test_resampling_takes_the_nearest_frame(tmp_path):
    write_video(tmp_path / "a.mp4", 40)
    source = Videos(str(tmp_path))
    video = only(source)
    assert numbers(source, resample(video, 12.5)) == list(range(0, 40, 2))
    assert numbers(source, resample(video, 50))[:8] == [0, 1, 1, 2, 2, 3, 3, 4]
    assert numbers(source, resample(video, 25)) == list(range(40))
    thirty = resample(video, 30)
    assert thirty.frames == 48
    assert numbers(source, thirty) == [min(int(i * 25 / 30 + 0.5), 39) for i in range(48)]
    assert numbers(source, resample(resample(video, 12.5), 6.25)) == list(range(0, 40, 4))


def test_cache_never_exceeds_its_limit(tmp_path, monkeypatch):
    for i in range(3):
        write_video(tmp_path / f"{i}.mp4", 30, codec_options=x264(5))
    monkeypatch.setattr(source_module, "CHUNK", 4)
    chunk = 4 * 16 * 16 * 3
    monkeypatch.setattr(source_module, "CACHE_BYTES", 5 * chunk + 100)
    source, rng = Videos(str(tmp_path)), np.random.default_rng(0)
    wanted = {video: full_decode(tmp_path / video.name, 16) for video in source.videos}

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(30):
            video, start = source.videos[rng.integers(3)], int(rng.integers(26))
            frames = source.read(video, np.arange(start, start + 4), 16, 3)
            np.testing.assert_array_equal(frames, wanted[video][start : start + 4])
            with source._lock:
                kept = sum(part.nbytes for part in source._cache.values())
                assert kept == source._cached_bytes <= source_module.CACHE_BYTES

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(4)))
    assert source._cached_bytes > 3 * chunk
    # A chunk that is larger than the limit is read all the same, and what is kept stays.
    before = list(source._cache)
    video, start = source.videos[0], int(rng.integers(26))
    assert source.read(video, [start], 64, 3).shape == (1, 64, 64, 3)
    assert list(source._cache) == before


def test_what_is_kept_is_not_decoded_again(tmp_path):
    path = write_video(tmp_path / "a.mp4", 30)
    source = Videos(str(tmp_path))
    first = read_all(source, 32)
    path.unlink()
    source._readers.clear()
    np.testing.assert_array_equal(read_all(source, 32), first)
    with pytest.raises(BrokenVideo):
        read_all(source, 16)


def listed(groups: list[str]) -> list[Video]:
    return [Video(f"{group}/{i}", 10, 25.0, group) for i, group in enumerate(groups)]


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30), st.floats(0.01, 0.99), st.integers(0, 99))
def test_no_group_is_on_both_sides(groups, share, seed):
    videos = listed(groups)
    if len(set(groups)) == 1:
        with pytest.raises(InputError, match="there is only one"):
            split(videos, share, seed)
        return
    training, held_out = split(videos, share, seed)
    assert {v.group for v in training}.isdisjoint({v.group for v in held_out})
    assert training and held_out and len(training) + len(held_out) == len(videos)
    assert len({v.group for v in held_out}) == min(max(1, round(share * len(set(groups)))), len(set(groups)) - 1)
    assert split(videos, share, seed) == (training, held_out)


def test_split_by_names():
    videos = listed(["anna", "bob", "anna", "carl"])
    training, held_out = split(videos, ["anna"], 0)
    assert [v.group for v in training] == ["bob", "carl"] and [v.group for v in held_out] == ["anna", "anna"]
    assert split(videos, 0.0, 0) == (videos, [])
    with pytest.raises(InputError, match=r"no group 'ana'; did you mean anna\?; groups: anna, bob, carl"):
        split(videos, ["ana"], 0)
    with pytest.raises(InputError, match="none remains for training"):
        split(videos, ["anna", "bob", "carl"], 0)


def test_the_seed_decides_which_groups():
    videos = listed([f"person{i}" for i in range(20)])
    assert len({frozenset(v.group for v in split(videos, 0.2, seed)[1]) for seed in range(5)}) > 1


def test_regroup():
    videos = [Video(f"bend/person{i}_{kind}.png", 10, 25.0, "") for i in range(2) for kind in ("original", "mirror")]
    assert [v.group for v in regroup(videos, r"(person\d+)_")] == ["person0", "person0", "person1", "person1"]
    assert {v.group for v in regroup(videos, r"person\d+")} == {"person0", "person1"}
    for pattern in (r"car\d", r"person(x)?"):
        with pytest.raises(InputError, match=r"data\.group: .* does not match 'bend/person0_original\.png'"):
            regroup(videos, pattern)


def section(source: str, **options) -> dict:
    spec = catalog.SOURCES.get(source)
    defaults = {name: option.default for name, option in spec.options.items()}
    common = {
        "group": None,
        "validation": 0.0,
        "fps": None,
        "short": "drop",
        "sampler": {"name": "window"},
        "tests": {},
    }
    return {"source": source, **defaults, **common, **options}


LOSS = catalog.LOSSES.get("mse")


def numbered_strips(folder: Path, lengths: list[int]) -> Path:
    """Write grey strips: the pixels of frame t of strip i are 16 i + t."""
    for i, length in enumerate(lengths):
        frames = np.stack([np.full((8, 8), 16 * i + t, np.uint8) for t in range(length)])
        write_strip(folder / f"{i:02d}.png", frames)
    return folder


@pytest.mark.parametrize(
    ("short", "wanted"), [("drop", [[16, 17, 18, 19]]), ("repeat_last", [[0, 1, 1, 1]]), ("loop", [[0, 1, 0, 1]])]
)
def test_short_videos(tmp_path, short, wanted):
    numbered_strips(tmp_path, [2, 4])
    data = open_data(section("strips", path=str(tmp_path), short=short), [(4, 8, 8, 1)], 0)
    (clips,) = data.training.arrays(10)
    assert clips.dtype == np.uint8
    full = [[16, 17, 18, 19]]
    assert clips[..., 0, 0, 0].tolist() == (wanted if short == "drop" else wanted + full)
    skipped = [("00.png", "2 frames, 4 are needed")] if short == "drop" else []
    assert [(s.name, s.reason) for s in data.skipped] == skipped


def test_nothing_usable_is_one_line(tmp_path):
    (tmp_path / "a.mp4").write_text("hello")
    with pytest.raises(
        InputError, match=r"nothing usable among 1 videos, such as a.mp4: not a video, or damaged$"
    ) as e:
        open_data(section("videos", path=str(tmp_path)), [(4, 8, 8, 1)], 0)
    assert str(e.value).startswith(str(tmp_path)) and "\n" not in str(e.value)


def test_parts_and_test_sets(tmp_path):
    numbered_strips(tmp_path / "here", [6] * 4)
    numbered_strips(tmp_path / "abroad", [6] * 2)
    tests = {"abroad": section("strips", path=str(tmp_path / "abroad"))}
    opened = section("strips", path=str(tmp_path / "here"), group=r"\d(\d)", validation=["3"], tests=tests, fps=12.5)
    data = open_data(opened, [(3, 8, 8, 3)], 0)
    assert [v.name for v in data.training.videos] == ["00.png", "01.png", "02.png"]
    assert data.validation.arrays(9)[0][..., 0, 0, 0].tolist() == [[48, 50, 52]]
    assert data.tests["abroad"].arrays(9)[0].shape == (4, 3, 8, 8, 3)


def test_fixed_examples_spread_over_videos_and_time(tmp_path):
    numbered_strips(tmp_path, [8, 16, 4])
    clips = open_data(section("strips", path=str(tmp_path)), [(4, 8, 8, 1)], 0).training
    assert [(v.name, plan[0][0]) for v, plan in clips.cover(99)] == [
        *[("00.png", t) for t in (0, 4)],
        *[("01.png", t) for t in (0, 4, 8, 12)],
        ("02.png", 0),
    ]
    assert [(v.name, plan[0][0]) for v, plan in clips.cover(3)] == [("00.png", 0), ("01.png", 4), ("02.png", 0)]


@given(st.integers(1, 40), st.integers(0, 60), st.integers(0, 2**31))
def test_window_stays_within_the_video(frames, extra, seed):
    window, length = Window(frames), frames + extra
    (drawn,) = window.draw(length, np.random.default_rng(seed))
    assert drawn.shape == (frames,) and (np.diff(drawn) == 1).all() and drawn[0] >= 0 and drawn[-1] < length
    covered = np.concatenate([plan[0] for plan in window.cover(length)])
    assert covered.tolist() == list(range(length - length % frames))


def test_window_reaches_both_ends():
    rng = np.random.default_rng(0)
    assert {int(Window(4).draw(7, rng)[0][0]) for _ in range(200)} == {0, 1, 2, 3}


def strip_clips(folder: Path, lengths: list[int], frames: int = 4) -> Clips:
    return open_data(section("strips", path=str(numbered_strips(folder, lengths))), [(frames, 8, 8, 1)], 0).training


def firsts(clips: Clips, count: int, batch_size: int = 4, seed: int = 0, **options) -> list[list[int]]:
    """Return the first pixel of each example, by batch."""
    taken = list(islice(batches(clips, batch_size, seed, **options), count))
    assert all(len(batch) == 1 and batch[0].dtype == np.uint8 for batch in taken)
    assert all(batch[0].shape == (batch_size, 4, 8, 8, 1) for batch in taken)
    return [batch[0][:, 0, 0, 0, 0].tolist() for batch in taken]


def test_batches_are_a_function_of_seed_and_step(tmp_path):
    clips = strip_clips(tmp_path, [12] * 6)
    once = firsts(clips, 12, threads=1)
    assert firsts(clips, 12, threads=4) == once
    assert firsts(clips, 5, start=7, threads=4) == once[7:]
    assert firsts(clips, 12, seed=1) != once
    assert firsts(strip_clips(tmp_path, [12] * 6), 12) == once


def test_every_video_comes_once_a_pass(tmp_path):
    drawn = np.concatenate(firsts(strip_clips(tmp_path, [12] * 6), 12))
    passes = drawn.reshape(8, 6)
    assert all(sorted(one // 16) == list(range(6)) for one in passes)
    assert len({tuple(one // 16) for one in passes}) > 4, "the order changes with the pass"
    windows = Counter(value % 16 for value in drawn)
    assert len(windows) > 5 and max(windows) <= 8, "and so do the windows"


def test_a_batch_may_be_larger_than_the_data(tmp_path):
    assert Counter(np.array(firsts(strip_clips(tmp_path, [4, 4]), 1, batch_size=10)[0]) // 16) == {0: 5, 1: 5}


@pytest.mark.parametrize("videos", [1, 6])
def test_batches_of_one_hold_the_same_examples(tmp_path, videos):
    clips = strip_clips(tmp_path, [12] * videos)
    ones = firsts(clips, 12, batch_size=1)
    assert np.reshape(ones, (3, 4)).tolist() == firsts(clips, 3, batch_size=4)
    assert firsts(clips, 2, batch_size=1, start=10) == ones[10:]


def test_broken_videos_are_replaced_and_reported_once(tmp_path, caplog):
    clips = strip_clips(tmp_path, [12] * 6)
    (tmp_path / "02.png").unlink()
    with caplog.at_level(logging.WARNING, "kvzoo"):
        once = firsts(clips, 12, threads=4)
    assert caplog.messages == ["skipped 02.png: no such file"] and clips.broken == {2: "no such file"}
    assert 2 not in np.concatenate(once) // 16
    # What is known by then must not change what comes: a resumed run starts knowing nothing.
    fresh = Clips(clips.source, clips.videos, clips.sampler, clips.shapes)
    assert firsts(fresh, 5, start=7) == once[7:]
    assert clips.arrays(99)[0].shape == (15, 4, 8, 8, 1)


@pytest.mark.parametrize("size", [1, 3, 4, 99])
def test_fixed_examples_in_batches_are_those_of_one_array(tmp_path, size):
    numbered_strips(tmp_path, [12, 15, 13])
    sampler = {"name": "speed_pair", "same_batch": True, "temporal": True, "spatial": True, "sizes": None}
    pairs = open_data(section("strips", path=str(tmp_path), sampler=sampler), [(4, 8, 8, 1)], 0).training
    for clips in (strip_clips(tmp_path, [12, 15, 13]), pairs):
        found = list(FixedExamples(clips, 5).batches(size))
        assert all(len(batch[0]) == size for batch in found[:-1])
        for parts, whole in zip(zip(*found, strict=True), clips.arrays(5), strict=True):
            np.testing.assert_array_equal(np.concatenate(parts), whole)
            assert parts[0].dtype == whole.dtype


def test_fixed_examples_stay_in_memory_only_as_far_as_they_may(tmp_path):
    clips = strip_clips(tmp_path, [40])
    clips.source.cache_bytes, size = 0, 10 * 4 * 8 * 8
    held, read = FixedExamples(clips, 10, hold=size), FixedExamples(clips, 10, hold=size - 1)
    first = [list(examples.batches(3)) for examples in (held, read)]
    (tmp_path / "00.png").unlink()
    for once, again in zip(first[0], held.batches(3), strict=True):
        np.testing.assert_array_equal(once[0], again[0])
    with pytest.raises(InputError, match="no held-out video can be decoded"):
        list(read.batches(3))


def test_nothing_left_to_read(tmp_path):
    clips = strip_clips(tmp_path, [12] * 3)
    for file in tmp_path.iterdir():
        file.unlink()
    with pytest.raises(InputError, match=r"none of the 3 videos can be decoded, such as 01\.png: no such file"):
        clips.example(1, np.random.default_rng(0))
    with pytest.raises(InputError, match="no held-out video can be decoded"):
        clips.arrays(5)


def test_stick_actions_are_reproducible():
    one, two, other = (StickActions(videos=8, people=2, seed=seed) for seed in (3, 3, 4))
    assert one.fingerprint() == two.fingerprint() != other.fingerprint()
    for a, b, c in zip(one.videos[:2], two.videos, other.videos, strict=False):
        frames = one.read(a, [0, 9, 40], 32, 3)
        np.testing.assert_array_equal(frames, two.read(b, [40, 9, 0], 32, 3)[::-1])
        assert (frames != other.read(c, [0, 9, 40], 32, 3)).any()


def test_stick_actions_groups_and_labels():
    source = StickActions(videos=12, people=3, actions=["walk", "bend"], seconds=1.0)
    assert {v.group for v in source.videos} == {"person000", "person001", "person002"}
    assert Counter(v.label for v in source.videos) == {"walk": 6, "bend": 6}
    assert {v.frames for v in source.videos} == {25} and len({v.name for v in source.videos}) == 12
    assert all(v.name.startswith(f"{v.label}/{v.group}") for v in source.videos)
    rgb, grey = (source.read(source.videos[0], [3, 4], 32, channels) for channels in (3, 1))
    assert rgb.shape == (2, 32, 32, 3) and grey.shape == (2, 32, 32, 1)
    assert np.abs(grey[..., 0] - rgb @ [0.299, 0.587, 0.114]).max() < 1


def test_varied_cameras_show_the_same_actions_from_near_and_far():
    even, varied = (StickActions(videos=60, people=10, cameras=cameras) for cameras in ("even", "varied"))
    assert even.fingerprint() != varied.fingerprint()
    assert [(v.name, v.group) for v in even.videos] == [(v.name, v.group) for v in varied.videos]
    views, moving = [], []
    for video in varied.videos:
        scene = varied.scene(video)
        assert scene.figures == even.scene(video).figures
        views.append(scene.camera.view)
        frames = varied.read(video, range(0, 60, 6), 32, 1).astype(int)
        moving.append((abs(np.diff(frames, axis=0)) > 20).any(axis=(1, 2, 3)).mean())
    assert max(views) > 3.5 * min(views)
    assert np.mean(moving) > 0.8 and min(moving) > 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cameras": "vary"}, "data.cameras: 'vary' is unknown; did you mean varied"),
        ({"cameras": "varied", "rooms": 2}, "data.rooms: shared rooms have one camera each"),
    ],
)
def test_stick_actions_refuse_cameras_that_cannot_be(options, message):
    with pytest.raises(InputError, match=message):
        StickActions(**options)


def test_stick_actions_refuse_an_unknown_action():
    with pytest.raises(InputError, match=r"unknown action 'wlk'; did you mean walk\?"):
        StickActions(actions=["wlk"])


def test_real_strips(real_data):
    opened = section("strips", path=str(real_data / "actions"), group=r"(person\d+)", validation=0.3)
    data = open_data(opened, [(16, 64, 64, 3)], 0)
    assert not data.skipped
    assert {v.group for v in data.training.videos}.isdisjoint({v.group for v in data.validation.videos})
    assert {v.label for v in data.training.videos} == {"bend", "jumping_jack", "wave_one_hand", "wave_two_hands"}
    (batch,) = next(iter(batches(data.training, 4, 0)))
    assert batch.shape == (4, 16, 64, 64, 3) and batch.std() > 10


def test_real_videos(real_data):
    source, rng = Videos(str(real_data / "videos")), np.random.default_rng(0)
    assert not source.skipped
    for video in source.videos:
        wanted = full_decode(real_data / "videos" / video.name, 64)
        assert len(wanted) == video.frames
        for start in rng.integers(video.frames - 8, size=4):
            np.testing.assert_array_equal(
                source.read(video, np.arange(start, start + 8), 64, 3), wanted[start : start + 8]
            )
