"""Files that are written: times and colours of videos, their sound, text on plots and pages, and what a full disk says."""

import errno
import os
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from PIL import Image
from sound import click_times, clicks, onsets
from videos import picture

from kvzoo.apps.outputs import LONGEST_STEM, check_file, check_folder, sound_of, unique_stem
from kvzoo.data.videos import open_video
from kvzoo.errors import InputError, WriteError
from kvzoo.media import plots
from kvzoo.media.audio import kept_sound, stretched_sound
from kvzoo.media.clips import is_steady, write_gif, write_mp4
from kvzoo.media.pages import legible

NAMES = (
    "a$_$b.mp4",
    "_x",
    "two\nlines",
    "\N{GRINNING FACE} 日本",
    "caf\udce9",
    "$",
    r"a\$b$_{",
    "x" * 300,
    "",
    "%s{0}",
)
VARIES = [0.0, 0.04, 0.08, 0.5, 0.9, 1.0, 3.0]


def frames(count: int = 7, side: int = 64):
    return (picture(i, side, side) for i in range(count))


def shown_at(path) -> list[float]:
    with av.open(f"file:{path}") as container:
        return [frame.time for frame in container.decode(video=0)]


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_frames_are_shown_at_their_times(tmp_path, ending):
    file = tmp_path / f"12:30 a.{ending}"  # no protocol
    write_mp4(file, frames(), 7 / 3, times=VARIES)
    assert shown_at(file) == pytest.approx(VARIES, abs=1e-3)
    with av.open(f"file:{file}") as container:
        assert container.duration / av.time_base == pytest.approx(5, abs=0.01)  # the last one lasts as the one before
    write_mp4(file, frames(), 7 / 3, times=[*VARIES, 3.5])
    with av.open(f"file:{file}") as container:
        assert container.duration / av.time_base == pytest.approx(3.5, abs=0.01)


def test_a_steady_rate_is_written_as_such(tmp_path):
    exact = np.arange(7) * 1001 / 30000
    assert is_steady(exact, 29.97) and is_steady(exact.round(3), 29.97) and not is_steady(exact + 0.1, 29.97)
    write_mp4(tmp_path / "a.mp4", frames(), 29.97, times=exact.round(3))
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert str(container.streams.video[0].average_rate) == "30000/1001"
    write_mp4(tmp_path / "b.mp4", frames(3), 1e-4)
    assert shown_at(tmp_path / "b.mp4") == pytest.approx([0, 1e4, 2e4])


def test_a_gif_keeps_times(tmp_path):
    write_gif(tmp_path / "a.gif", [picture(i, 32, 32) for i in range(7)], 2.0, VARIES)
    with Image.open(tmp_path / "a.gif") as image:
        delays = [image.seek(i) or image.info["duration"] for i in range(7)]
    assert delays == [40, 40, 420, 400, 100, 2000, 2000]


@pytest.mark.parametrize(("height", "width", "tag", "matrix"), [(720, 1280, 1, "ITU709"), (144, 176, 6, "ITU601")])
def test_colours_are_tagged_as_they_are_converted(tmp_path, height, width, tag, matrix):
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 100, 50), (255, 255, 255)]
    write_mp4(tmp_path / "a.mp4", (np.full((height, width, 3), colour, np.uint8) for colour in colours), 25)
    with av.open(str(tmp_path / "a.mp4")) as container:
        context, convert = container.streams.video[0].codec_context, VideoReformatter()
        assert [context.colorspace, context.color_primaries, context.color_trc, context.color_range] == [tag] * 3 + [1]
        for colour, frame in zip(colours, container.decode(video=0), strict=True):
            rgb = convert.reformat(frame, format="rgb24", src_colorspace=matrix, src_color_range="MPEG")
            assert np.abs(rgb.to_ndarray()[height // 2, width // 2].astype(int) - colour).max() <= 2


def test_frames_of_another_size_are_scaled_to_the_first(tmp_path):
    write_mp4(tmp_path / "a.mp4", [picture(0, 48, 64), picture(1, 64, 96), picture(2, 48, 64)], 25)
    assert open_video(tmp_path / "a.mp4").frames == 3


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("ending", ["mp4", "mkv", "gif", "png"])
def test_a_full_disk_is_said_in_one_line(tmp_path, ending):
    file = tmp_path / f"a.{ending}"
    file.symlink_to("/dev/full")
    arguments = {"png": (plots.write_roc, {"a": ([0, 1], [0, 1])}), "gif": (write_gif, frames(40), 25)}
    write, *rest = arguments.get(ending, (write_mp4, frames(40), 25))
    with pytest.raises(WriteError, match=rf"a\.{ending}: cannot be written: No space left on device$") as raised:
        write(file, *rest)
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(file))


def test_an_error_of_the_frames_is_not_the_file_s(tmp_path):
    def broken():
        yield picture(0, 64, 64)
        raise OSError("mine")

    with pytest.raises(OSError, match="^mine$") as raised:
        write_mp4(tmp_path / "a.mp4", broken(), 25)
    assert not isinstance(raised.value, WriteError) and not list(tmp_path.iterdir())
    with pytest.raises(WriteError, match="No such file"):
        write_mp4(tmp_path / "none" / "a.mp4", frames(), 25)


@pytest.mark.filterwarnings("error")
def test_any_name_may_stand_on_a_plot(tmp_path):
    image, edges = np.zeros((8, 8, 3), np.uint8), np.array([0, 0.1, 0.2, 1.0])
    curve = ([1, 2], [0.1, 0.002])
    plots.write_scores(tmp_path / "scores.png", NAMES[3], [0, 1, 2], edges[:3], frames={1: image})
    plots.write_curves(tmp_path / "curves.png", {"loss": dict.fromkeys(NAMES, curve), "$_$": {"_": curve}})
    plots.write_roc(tmp_path / "roc.png", dict.fromkeys(NAMES, curve))
    plots.write_captioned(tmp_path / "captions.png", [image] * len(NAMES), NAMES)
    plots.write_speed(tmp_path / "speed.png", NAMES[0], np.zeros((2, 3)), [1, 1.25], edges)
    plots.write_speedup(tmp_path / "speedup.png", NAMES[0], [1, 2, 3], [1, 2, 3], 2, 0.5, edges)
    assert len(list(tmp_path.glob("*.png"))) == 6


def test_names_of_files_and_pages(tmp_path):
    assert legible("caf\udce9.mp4").encode() and legible("a$b") == "a$b"
    taken = {"roc"}
    assert [unique_stem(name, taken) for name in ("a/x.mp4", "b/x.mp4", "x.mp4", "X.mkv", "roc.mp4", "a_x.mp4")] == [
        "a_x", "b_x", "x", "X-2", "roc-2", "a_x-2",
    ]  # fmt: skip
    long = [unique_stem(f"{'é' * 300}{i}.mp4", taken) for i in range(2)]
    assert long[0] != long[1] and all(len(os.fsencode(stem)) <= LONGEST_STEM + 9 for stem in long)
    with pytest.raises(InputError, match="at most 255 bytes. Received: 304"):
        check_file(tmp_path / f"{'x' * 300}.mp4", (".mp4",), False)
    (tmp_path / "file").touch()
    for out, said in (("file", "is a file"), ("file/a", "not a writable folder"), ("x" * 300, "255 bytes")):
        with pytest.raises(InputError, match=said):
            check_folder(tmp_path / out)


# Sound.


def remuxed(source: Path, out: Path, picture_late: float = 0.0, sounds: int = 1) -> Path:
    """Copy a video with its sound into another container, with the picture later or the sound several times."""
    with av.open(str(source)) as given, av.open(str(out), "w") as made:
        tracks = {0: [made.add_stream_from_template(given.streams.video[0])]}
        tracks[1] = [made.add_stream_from_template(given.streams.audio[0]) for _ in range(sounds)]
        for packet in given.demux():
            if packet.dts is None:
                continue
            late = round(picture_late / packet.time_base) if packet.stream.type == "video" else 0
            packet.pts, packet.dts = packet.pts + late, packet.dts + late
            time, base = (packet.pts, packet.dts), packet.time_base
            for track in tracks[packet.stream.index]:
                packet.stream, packet.time_base, (packet.pts, packet.dts) = track, base, time
                made.mux(packet)
    return out


def again(path, out) -> tuple[Path, object]:
    """Write a video's frames and sound once more, as apps do."""
    stream = open_video(path)
    sound = sound_of(stream)
    write_mp4(out, (frame[:48, :64] for frame in stream), stream.fps, sound.frames, stream.seconds + sound.delay)
    return out, sound


@pytest.fixture(scope="module")
def clicking(tmp_path_factory):
    return clicks(tmp_path_factory.mktemp("sound") / "a.mp4", seconds=3)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("kind", ["copied", "transport stream", "picture later", "two tracks"])
def test_sound_is_kept_in_step(clicking, tmp_path, kind, ending):
    file = {
        "copied": lambda: clicking,
        "transport stream": lambda: remuxed(clicking, tmp_path / "a.ts"),
        "picture later": lambda: remuxed(clicking, tmp_path / "a.mkv", picture_late=1.2),
        "two tracks": lambda: remuxed(clicking, tmp_path / "a.mkv", sounds=2),
    }[kind]()
    out, sound = again(file, tmp_path / f"b.{ending}")
    assert click_times(out) == pytest.approx(click_times(file), abs=0.01)
    assert len(click_times(out)) == 3
    assert sound.note == ("its first sound track is kept; 1 more is left out" if kind == "two tracks" else "")
    assert sound.delay == pytest.approx(1.2 if kind == "picture later" else 0, abs=0.03)
    times = np.array(shown_at(out))
    assert times - times[0] == pytest.approx(open_video(file).seconds, abs=2e-3)
    with av.open(str(out)) as container:
        copied = container.streams.audio[0].codec_context.sample_rate
    assert copied == 44_100


def test_sound_whose_rate_and_layout_change(clicking, tmp_path):
    """A transport stream of two: 44.1 kHz in stereo, then 32 kHz in mono."""
    file = remuxed(clicking, tmp_path / "a.ts")
    with av.open(str(clicking)) as given, av.open(str(tmp_path / "b.ts"), "w") as made:
        video = given.streams.video[0]
        copy, track = made.add_stream_from_template(video), made.add_stream("aac", rate=32_000, layout="mono")
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=32_000)
        for packet in given.demux():
            if packet.stream is video and packet.dts is not None:
                late = round(3 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts + late, packet.dts + late, copy
                made.mux(packet)
            elif packet.stream is not video:
                for frame in packet.decode():
                    for part in resampler.resample(frame):
                        part.pts += round(3.2 * 32_000)
                        made.mux(track.encode(part))
        made.mux(track.encode())
    later = shown_at(tmp_path / "b.ts")[0] - shown_at(file)[0]
    own = np.concatenate([click_times(file), later + click_times(tmp_path / "b.ts")])
    assert own == pytest.approx(np.append(np.arange(3) + 0.5, np.arange(3) + 3.7), abs=0.1)
    file.write_bytes(file.read_bytes() + (tmp_path / "b.ts").read_bytes())
    out, _ = again(file, tmp_path / "b.mp4")
    assert click_times(out) == pytest.approx(own, abs=0.02)
    stream = open_video(file)
    seconds = np.append(stream.seconds, stream.seconds[-1] + 0.04)
    sound = stretched_sound(file, seconds, np.full(stream.frames, 2.0))
    heard = np.concatenate([frame.to_ndarray().reshape(-1, 2)[:, 0] for frame in sound.frames])
    assert len(heard) / 48_000 == pytest.approx((seconds[-1] - seconds[0]) / 2, abs=0.05)
    assert onsets(heard, 48_000) == pytest.approx(own / 2, abs=0.04)


def test_damaged_sound(clicking, tmp_path):
    file = remuxed(clicking, tmp_path / "a.ts")
    data = bytearray(file.read_bytes())
    with av.open(str(file)) as container:
        places = [packet.pos for packet in container.demux(audio=0) if packet.pos]
    for place in places[2:]:  # header and payload of most packets
        data[place + 4 : place + 180] = os.urandom(176)
    file.write_bytes(data)
    sound = kept_sound(file, 0.0)
    assert sound.frames is None or all(frame.samples for frame in sound.frames)
    if sound.frames is None:
        assert sound.note == "its sound cannot be decoded and is left out"
    write_mp4(tmp_path / "none.mp4", frames(), 25)
    assert kept_sound(tmp_path / "none.mp4", 0.0).frames is None
