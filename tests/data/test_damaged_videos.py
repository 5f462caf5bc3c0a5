"""Files as users have them: whatever is wrong with one, it is used or reported, and nothing crashes or hangs."""

import os
import struct
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from videos import damage, number, numbers, picture, write_video, x264

from kvzoo.data.source import BrokenVideo, Skipped, square
from kvzoo.data.videos import Videos, open_video
from kvzoo.errors import InputError
from kvzoo.media.containers import open_container

COUNT = 40
FRONT = {"movflags": "faststart"}


def cut(source: Path, name: str, share: float, begin: float = 0.0) -> None:
    data = source.read_bytes()
    source.with_name(name).write_bytes(data[int(begin * len(data)) : int(share * len(data))])


def patched(source: Path, name: str, tag: bytes, offset: int, value: bytes, every: bool = False) -> None:
    """Copy a file with bytes changed after a tag."""
    data, at = bytearray(source.read_bytes()), -1
    while (at := data.find(tag, at + 1)) >= 0:
        data[at + 4 + offset : at + 4 + offset + len(value)] = value
        if not every:
            break
    assert data != source.read_bytes()
    source.with_name(name).write_bytes(data)


def write_sound(container, seconds: float = 1.0) -> None:
    stream = container.add_stream("aac", rate=8000)
    for _ in range(int(8 * seconds)):
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    container.mux(stream.encode())


def write_two_streams(path: Path) -> None:
    """The film, and a second, larger stream of another size behind it."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream, size in zip(streams, ((48, 64), (96, 128)), strict=True):
            stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for i in range(COUNT):
            for stream, size in zip(streams, ((48, 64), (96, 128)), strict=True):
                frame = av.VideoFrame.from_ndarray(picture(i if size[0] == 48 else 0, *size), format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, 25)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())


def write_interlaced(path: Path) -> None:
    """MPEG-2, whose second field is of another picture than the first."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25, options={"flags": "+ildct+ilme", "b": "4M"})
        stream.height, stream.width, stream.pix_fmt = 96, 96, "yuv420p"
        for i in range(COUNT):
            image = picture(i, 96, 96)
            image[1::2] = 255 - image[1::2]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_wide_pixels(path: Path) -> None:
    """Square pictures, stored at half their width."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 32, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)
        stream.codec_context.bit_rate = 4_000_000
        for i in range(COUNT):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture(i, 64, 64)[:, ::2]), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


# File: the numbers that its frames must show; "decoded": those that a plain loop over its packets gives; the reason why
# it is not used; or None: frames or a reason.
ALL = list(range(COUNT))
CORPUS: dict[str, object] = {
    "good.mp4": ALL,
    "good.mkv": ALL,
    "good.ts": ALL,
    "good.avi": ALL,
    "front.mp4": ALL,
    **{f"mp4_{share}.mp4": "not a video, or damaged" for share in (5, 25, 50, 75, 90)},
    **{f"front_{share}.mp4": "decoded" for share in (60, 75, 90)},
    "front_30.mp4": None,
    "front_99.mp4": "decoded",
    **{f"mkv_{share}.mkv": "decoded" for share in (50, 75, 99)},
    "mkv_3.mkv": None,
    **{f"ts_{share}.ts": "decoded" for share in (50, 90)},
    "ts_late.ts": "decoded",
    "avi_85.avi": "decoded",
    "no_index.avi": ALL,
    "fragments.mp4": ALL,
    "fragments_60.mp4": "decoded",
    "flv_60.flv": "decoded",
    "mpg_60.mpg": None,
    "empty.mp4": "the file is empty",
    "one_byte.mp4": "not a video, or damaged",
    "zeros.mp4": "not a video, or damaged",
    "text.mov": "not a video, or damaged",
    "picture.avi": None,
    "mkv_in_truth.mp4": ALL,
    "mp4_in_truth.avi": ALL,
    "sound.mp4": "no video stream",
    "sound_and_picture.mkv": "decoded",
    "two_streams.mp4": ALL,
    "header_only.mp4": "no frames",
    "one_frame.mp4": [0],
    "one_frame.gif": [0],
    "gif_60.gif": "decoded",
    "blank.mp4": "no frame can be decoded",
    "hole.mp4": [*range(10), *[9] * 10, *range(20, 40)],
    "garbage_behind.mp4": ALL,
    "garbage_before.mkv": None,
    "width_of_60000.mp4": None,
    "width_of_60000.mkv": None,
    "interlaced.mpg": "even rows",
    "interlaced.avi": "even rows",
    "variable_rate.mkv": None,
    "late_by_a_year.mkv": ALL,
    "before_zero.mkv": ALL,
    "wide_pixels.mkv": ALL,
    "turned.mp4": None,
    "alpha.webm": ALL,
    "ten_bits.mp4": ALL,
    "grey.mkv": ALL,
    "odd.mp4": ALL,
    "rgb.mkv": ALL,
    "changing_size.ts": "decoded",
    os.fsdecode(b"caf\xe9.mp4"): ALL,
    "new\nline.mp4": ALL,
    "a name with spaces, 'quotes' and %d.mp4": ALL,
    "of_nobody.mp4": None,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """All the files of CORPUS, and what is no file at all."""
    folder = tmp_path_factory.mktemp("corpus")
    settings = {"count": COUNT, "codec_options": x264(10), "noise": 40}
    good = write_video(folder / "good.mp4", **settings)
    mkv = write_video(folder / "good.mkv", **settings)
    ts = write_video(folder / "good.ts", **settings)
    avi = write_video(folder / "good.avi", COUNT, codec="mpeg4", codec_options={"g": "8"}, noise=40)
    front = write_video(folder / "front.mp4", options=FRONT, **settings)
    for share in (5, 25, 50, 75, 90):
        cut(good, f"mp4_{share}.mp4", share / 100)
    for share in (30, 60, 75, 90, 99):
        cut(front, f"front_{share}.mp4", share / 100)
    for share in (3, 50, 75, 99):
        cut(mkv, f"mkv_{share}.mkv", share / 100)
    for share in (50, 90):
        cut(ts, f"ts_{share}.ts", share / 100)
    cut(ts, "ts_late.ts", 1.0, 0.4)
    cut(avi, "avi_85.avi", 0.85)
    avi.with_name("no_index.avi").write_bytes(avi.read_bytes()[: avi.read_bytes().index(b"idx1")])
    fragments = write_video(folder / "fragments.mp4", options={"movflags": "frag_keyframe+empty_moov"}, **settings)
    cut(fragments, "fragments_60.mp4", 0.6)
    cut(write_video(folder / "flv_60.flv", **settings), "flv_60.flv", 0.6)
    cut(write_video(folder / "mpg_60.mpg", COUNT, codec="mpeg1video", codec_options={"g": "8"}), "mpg_60.mpg", 0.6)
    (folder / "empty.mp4").touch()
    (folder / "one_byte.mp4").write_bytes(b"\0")
    (folder / "zeros.mp4").write_bytes(bytes(20_000))
    (folder / "text.mov").write_text("hello\n" * 100)
    Image.fromarray(picture(0)).save(folder / "picture.avi", format="jpeg")
    (folder / "mkv_in_truth.mp4").write_bytes(mkv.read_bytes())
    (folder / "mp4_in_truth.avi").write_bytes(good.read_bytes())
    with av.open(str(folder / "sound.mp4"), "w") as container:
        write_sound(container)
    with av.open(str(folder / "sound_and_picture.mkv"), "w") as container, av.open(str(mkv)) as template:
        stream = container.add_stream_from_template(template.streams.video[0])
        write_sound(container, 2)
        for packet in template.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    write_two_streams(folder / "two_streams.mp4")
    with av.open(str(folder / "header_only.mp4"), "w", options={"movflags": "empty_moov"}) as container:
        with av.open(str(good)) as template:
            container.add_stream_from_template(template.streams.video[0])
        container.start_encoding()
    write_video(folder / "one_frame.mp4", 1)
    write_video(folder / "one_frame.gif", 1, codec="gif", pixels="bgr8")
    cut(write_video(folder / "gif_60.gif", COUNT, codec="gif", pixels="bgr8"), "gif_60.gif", 0.6)
    blank = bytearray(front.read_bytes())
    begin = blank.index(b"mdat") + 4
    blank[begin:] = bytes(len(blank) - begin)
    (folder / "blank.mp4").write_bytes(blank)
    damage(write_video(folder / "hole.mp4", COUNT, codec_options=x264(10, 0)), range(10, 20))
    noise = np.random.default_rng(0).bytes(5000)
    (folder / "garbage_behind.mp4").write_bytes(front.read_bytes() + noise)
    (folder / "garbage_before.mkv").write_bytes(noise + mkv.read_bytes())
    patched(front, "width_of_60000.mp4", b"avc1", 24, struct.pack(">HH", 60_000, 60_000), every=True)
    patched(mkv, "width_of_60000.mkv", b"\xb0", -2, b"\x81\xff")
    write_interlaced(folder / "interlaced.mpg")
    write_interlaced(folder / "interlaced.avi")
    times = [*range(20), *range(60, 80)]
    write_video(folder / "variable_rate.mkv", times=times, codec_options=x264(10))
    late = [*range(20), *range(20 + 25 * 86_400 * 365, 40 + 25 * 86_400 * 365)]
    write_video(folder / "late_by_a_year.mkv", times=late, codec_options=x264(10, 0))
    write_video(folder / "before_zero.mkv", times=range(-10, 30), codec_options=x264(10, 0))
    write_wide_pixels(folder / "wide_pixels.mkv")
    matrix = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    patched(good, "turned.mp4", b"tkhd", 40, matrix)
    write_video(folder / "alpha.webm", COUNT, codec="libvpx-vp9", pixels="yuva420p", codec_options={"cpu-used": "8"})
    write_video(
        folder / "ten_bits.mp4",
        COUNT,
        codec="libx265",
        pixels="yuv420p10le",
        codec_options={"x265-params": "log-level=0"},
    )
    write_video(folder / "grey.mkv", COUNT, codec="ffv1", pixels="gray")
    write_video(folder / "odd.mp4", COUNT, size=(37, 51), pixels="yuv444p")
    write_video(folder / "rgb.mkv", COUNT, codec="ffv1", pixels="bgr0")
    second = write_video(
        folder / "second.ts", COUNT, size=(96, 96), times=range(COUNT, 2 * COUNT), codec_options=x264(10)
    )
    (folder / "changing_size.ts").write_bytes(ts.read_bytes() + second.read_bytes())
    second.unlink()
    for name in (
        os.fsdecode(b"caf\xe9.mp4"),
        "new\nline.mp4",
        "a name with spaces, 'quotes' and %d.mp4",
        "of_nobody.mp4",
    ):
        (folder / name).write_bytes(good.read_bytes())
    (folder / "of_nobody.mp4").chmod(0)
    # What has an ending and is no file.
    (folder / "loop").symlink_to(folder)
    (folder / "round.mp4").symlink_to(folder / "round.mp4")
    (folder / "nowhere.mp4").symlink_to(folder / "none")
    (folder / "folder.mp4").mkdir()
    os.mkfifo(folder / "pipe.mp4")
    return folder


@pytest.fixture(scope="module")
def source(corpus) -> Videos:
    return Videos(str(corpus))


def test_every_file_is_used_or_reported(corpus, source):
    assert len(CORPUS) >= 40
    found = [video.name for video in source.videos] + [skipped.name for skipped in source.skipped]
    # A folder that is read already, and links to nothing, are named, too.
    assert sorted(found) == sorted([*CORPUS, "loop", "nowhere.mp4", "round.mp4"])
    for skipped in source.skipped:
        assert skipped.reason and "\n" not in skipped.reason and str(corpus) not in skipped.reason


def plainly_decoded(file: Path) -> list[int]:
    """Return the numbers of the frames that FFmpeg gives from beginning to end."""
    given = []
    with open_container(file) as container:
        for packet in container.demux(container.streams.video[0]):
            try:
                given += [number(square(frame.to_ndarray(format="rgb24"), 48, 3)) for frame in packet.decode()]
            except av.error.FFmpegError:
                continue
    return given


@pytest.mark.parametrize("name", CORPUS)
def test_what_a_good_decoder_can_give_is_given(corpus, source, name):
    wanted = CORPUS[name]
    video = next((v for v in source.videos if v.name == name), None)
    if video is None:
        reason = next(s.reason for s in source.skipped if s.name == name)
        assert wanted in (None, reason), reason
        return
    if wanted == "even rows":
        # The odd rows are of the other field: a frame is that of the first one.
        assert numbers(source, video) == ALL
        return
    try:
        seen = numbers(source, video)
    except BrokenVideo:
        assert wanted is None
        return
    if wanted == "decoded":
        given = plainly_decoded(corpus / name)
        assert len(given) > 10 and len(set(given) & set(seen)) >= 0.9 * len(set(given)) and set(seen) <= set(given)
    elif wanted is not None:
        assert seen == wanted


@pytest.mark.parametrize("name", ["good.mp4", "front.mp4", "good.mkv", "good.ts", "good.avi"])
def test_flipped_bytes_neither_crash_nor_hang_nor_fill_the_memory(corpus, tmp_path, name):
    data, rng, used = (corpus / name).read_bytes(), np.random.default_rng(len(name)), 0
    before, most = resident(), 0.0
    for i in range(40):
        damaged = bytearray(data)
        for _ in range(1 << int(rng.integers(6))):
            damaged[int(rng.integers(len(data)))] = int(rng.integers(256))
        file = tmp_path / f"{i}{Path(name).suffix}"
        file.write_bytes(damaged)
        started = time.process_time()
        frames = read(file)
        most = max(most, time.process_time() - started)
        assert len(frames) <= 4 * COUNT
        used += bool(len(frames))
    assert used >= 20
    assert most < 10
    assert resident() - before < 500e6


def read(file: Path) -> list[np.ndarray]:
    """Return the frames that a file still gives, by the folder's reader and by the stream's."""
    try:
        stream = open_video(file)
    except InputError as error:
        assert "\n" not in str(error)
        return []
    streamed = [frame.shape for frame in stream]
    source = Videos(str(file.parent), csv=str(_table(file)))
    frames = []
    for video in source.videos:
        try:
            frames += list(source.read(video, np.arange(video.frames), 16, 3))
        except BrokenVideo as error:
            assert str(error) and "\n" not in str(error)
    assert len(streamed) <= stream.frames
    return frames


def _table(file: Path) -> Path:
    table = file.with_name("table.csv")
    table.write_text(f"path\n{file.name}\n")
    return table


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_frames_beyond_reason_are_not_decoded(tmp_path):
    small = write_video(tmp_path / "small.avi", 2, codec="rawvideo", pixels="bgr24")
    patched(small, "a.avi", b"strf", 8, struct.pack("<ii", 20_000, 10_000))
    small.unlink()
    (skipped,) = Videos(str(tmp_path)).skipped
    assert skipped == Skipped("a.avi", "frames of 20000x10000 pixels; the limit is 67 million")


def test_thousands_of_files_in_one_folder(tmp_path):
    file = write_video(tmp_path / "0.mp4", 3)
    for i in range(1, 1500):
        os.link(file, tmp_path / f"{i}.mp4")
    source = Videos(str(tmp_path))
    assert len(source.videos) == 1500 and not source.skipped
    for video in source.videos[::100]:
        assert numbers(source, video) == [0, 1, 2]
    assert len(os.listdir("/proc/self/fd")) < 200
