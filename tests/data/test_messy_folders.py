"""Folders as people have them: links, hidden files, odd names, turned and damaged images, gaps, blanks in tables."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
from commands import run
from PIL import Image
from videos import number, write_video

from kvzoo.data import layouts
from kvzoo.data.frames import Frames, missing_numbers
from kvzoo.data.hdf5 import Hdf5
from kvzoo.data.images import BROKEN, pages, pixels, reason_of, size_and_pages, size_of
from kvzoo.data.kind import source_for
from kvzoo.data.pairs import Pairs
from kvzoo.data.prepare import Settings, prepare
from kvzoo.data.source import CHUNK, BrokenVideo, all_files
from kvzoo.data.strips import Strips
from kvzoo.data.videos import Videos, open_video
from kvzoo.errors import InputError
from kvzoo.media.clips import write_gif, write_mp4, write_png

posix = pytest.mark.skipif(os.name != "posix", reason="symbolic links, and names in bytes")


def write_frames(folder: Path, count: int, size: tuple[int, int] = (8, 8)) -> list[Path]:
    """Write images, the i-th of grey value i; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{i:04d}.png" for i in range(count)]
    for i, file in enumerate(files):
        Image.new("L", size, i).save(file)
    return files


def values(source, video, indices=None) -> list[int]:
    frames = source.read(video, np.arange(video.frames) if indices is None else indices, 8, 1)
    return frames[:, 0, 0, 0].tolist()


@pytest.fixture(scope="module")
def messy(tmp_path_factory) -> Path:
    """A folder with a video and an image sequence in each of two classes, and what does not belong to them."""
    folder = tmp_path_factory.mktemp("messy")
    for label in ("walk", "bend"):
        write_video(folder / "data" / label / "1.mp4", 4)
        write_frames(folder / "data" / label / "s", 3)
    video, image = folder / "data" / "walk" / "1.mp4", folder / "data" / "walk" / "s" / "0000.png"
    for hidden in (".ipynb_checkpoints", "__MACOSX", "@eaDir", "lost+found", ".hidden/deep"):
        (folder / "data" / hidden).mkdir(parents=True)
        (folder / "data" / hidden / "2.mp4").write_bytes(video.read_bytes())
        (folder / "data" / hidden / "2.png").write_bytes(image.read_bytes())
    for name in ("._1.mp4", "Thumbs.db", "desktop.ini", "s/._0000.png", "s/.DS_Store"):
        (folder / "data" / "walk" / name).write_text("x")
    return folder / "data"


@pytest.mark.parametrize("source", [Videos, Frames, Strips, lambda path: Pairs(path, path)])
def test_hidden_files_are_no_data(messy, source):
    opened = source(str(messy))
    places = {name.split("/")[0] for name in [*(v.name for v in opened.videos), *(s.name for s in opened.skipped)]}
    assert places == {"walk", "bend"} and not any("._" in s.name for s in opened.skipped)


@posix
def test_linked_folders_are_entered_once(tmp_path):
    real = tmp_path / "real"
    for name in ("walk/1.mp4", "run/deep/1.mp4"):
        write_video(real / name, 3)
    data = tmp_path / "data"
    write_video(data / "bend" / "1.mp4", 3)
    for link, target in {"walk": real / "walk", "again": real / "walk", "bend/loop": data, "up": tmp_path}.items():
        (data / link).symlink_to(target)
    (data / "run").symlink_to("../real/run")
    (data / "bend" / "2.mp4").symlink_to("1.mp4")
    (data / "bend" / "gone.mp4").symlink_to("nowhere.mp4")
    (data / "bend" / "self.mp4").symlink_to("self.mp4")
    os.mkfifo(data / "bend" / "pipe.mp4")  # would never end
    opened = Videos(str(data))
    assert [v.name for v in opened.videos] == ["again/1.mp4", "bend/1.mp4", "bend/2.mp4", "run/deep/1.mp4"]
    reasons = {s.name: s.reason for s in opened.skipped}
    assert reasons.pop("bend/self.mp4")
    assert reasons == {
        "walk": "a folder that was already read under another name",
        "bend/loop": "a link to a folder that contains it",
        "up": "a link to a folder that contains it",
        "bend/gone.mp4": "no such file",
    }
    assert source_for(data) == "videos" and len(Videos(str(tmp_path / "data" / "run")).videos) == 1


def test_check_counts_what_no_source_reads(messy):
    said = run("check", messy)
    assert "clips      2" in said and "broken     0" in said
    assert "not read   .png (6)" in said
    (messy / "photo.heic").write_text("x")
    try:
        assert "not read   .mp4 (2), .heic (1)" in run("check", messy, "--source", "frames")
    finally:
        (messy / "photo.heic").unlink()


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    write_frames(tmp_path / "a", 2)
    write_frames(tmp_path / "b", 2)
    listed = Path.iterdir

    def iterdir(self):
        if self.name == "b":
            raise PermissionError(13, "Permission denied", str(self))
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    files, skipped = all_files(tmp_path)
    assert len(files) == 2 and [(s.name, s.reason) for s in skipped] == [("b", "permission denied")]
    with pytest.raises(InputError, match="b: Permission denied"):
        all_files(tmp_path / "b")


ODD = ["2024-05-01T10:15:00", "C:x", "pipe:1", "concat:a|b", "100%d%04d", "-n", "--out=x", "a\nb", "a#?&e", "[0-9]*"]


@posix
def test_any_name_is_a_file(tmp_path, monkeypatch):
    names = [*ODD, "x" * 250, "é" * 120, os.fsdecode(b"\xff\xfe")]
    frames = [np.full((16, 16, 3), 20 * i, np.uint8) for i in range(3)]
    (tmp_path / "v").mkdir()
    for name in names:
        write_mp4(tmp_path / "v" / f"{name}.mp4", frames, 25)
        (tmp_path / "s" / name).mkdir(parents=True)
        write_png(tmp_path / "s" / name / f"{name[:200]}1.png", frames[1])
        write_gif(tmp_path / "s" / name / f"{name[:200]}2.gif", frames, 25)
    monkeypatch.chdir(tmp_path / "v")
    for name in names:  # relative: nothing stands before the colon
        assert len(list(open_video(f"{name}.mp4"))) == 3
    for source, count in ((Videos(str(tmp_path / "v")), 3), (Frames(str(tmp_path / "s")), 4)):
        assert len(source.videos) == len(names) and not source.skipped
        assert {len(source.read(video, range(video.frames), 8, 3)) for video in source.videos} == {count}
    said = run("prepare", tmp_path / "v", "--out", tmp_path / "12:30.h5", "--size", 8)
    assert f"{len(names)} clips" in said
    assert sorted(v.name for v in Hdf5(str(tmp_path / "12:30.h5")).videos) == sorted(f"{name}.mp4" for name in names)
    assert f"clips      {len(names)}" in run("check", tmp_path / "v")


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_images_are_upright(tmp_path, ending, turn):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16], upright[:8, 16:], upright[8:, :16] = 250, 170, 90  # no two turns look alike
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.swapaxes(0, 1), 6: np.rot90(upright), 7: np.rot90(upright, 2).swapaxes(0, 1), 8: np.rot90(upright, -1),
    }[turn]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = turn
    file = tmp_path / "s" / f"0.{ending}"
    file.parent.mkdir()
    options = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}.get(ending, {})
    Image.fromarray(np.ascontiguousarray(stored)).save(file, exif=exif, **options)
    assert np.abs(pixels(file).astype(int) - upright).max() <= 3 and size_of(file) == "32x16"
    assert [v.frames for v in Strips(str(tmp_path)).videos] == [2]
    assert Frames(str(tmp_path)).size_of(Frames(str(tmp_path)).videos[0]) == "32x16"


def test_damaged_exif_data_do_not_cost_the_image(tmp_path):
    Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "a.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert pixels(tmp_path / "a.png").shape == (8, 8, 3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "TGA"])
def test_damaged_images_never_raise_anything_else(tmp_path, format_):
    rng, file = np.random.default_rng(0), tmp_path / "a.png"
    noise = [Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)) for _ in range(3)]
    many = {"save_all": True, "append_images": noise[1:]} if format_ in ("PNG", "TIFF", "WEBP", "GIF") else {}
    noise[0].save(file, format_, **many)
    whole = np.frombuffer(file.read_bytes(), np.uint8)
    for i in range(80):
        damaged = whole[: rng.integers(len(whole))] if i % 3 == 0 else whole.copy()
        if i % 3:
            damaged[rng.integers(min(len(whole), 200 if i % 3 == 1 else len(whole)), size=4)] = rng.integers(
                256, size=4
            )
        file.write_bytes(damaged.tobytes())
        assert len(list(pages(file, [0, 1]))) == 2
        try:
            size_and_pages(file)
        except BROKEN as error:
            assert reason_of(error)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_depths_and_colours(tmp_path, ending):
    import cv2

    levels = (np.arange(64).reshape(8, 8) * 1000).astype(np.uint16)
    file = tmp_path / f"a.{ending}"
    for image in (levels, np.dstack([levels] * 3)):  # grey and RGB of 16 bits
        cv2.imwrite(str(file), image)
        seen = pixels(file).astype(int)
        assert seen.shape == image.shape and np.abs(seen - image.astype(int) / 257).max() <= 1
    if ending == "tif":
        Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(file)
        assert pixels(file)[0, 0].tolist() == [255, 0, 0]
    else:
        Image.new("RGB", (8, 8), (255, 0, 0)).convert("P").save(file)
        assert pixels(file)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("ending", ["tif", "webp", "gif", "apng"])
def test_pages_of_an_image_are_frames(tmp_path, ending):
    images = [Image.new("RGB", (8, 8), (20 * i,) * 3) for i in range(5)]
    options = {"webp": {"lossless": True}, "apng": {"format": "PNG"}}.get(ending, {})
    (tmp_path / "s").mkdir()
    images[0].save(tmp_path / "s" / f"a.{ending}", save_all=True, append_images=images[1:], **options)
    Image.new("RGB", (8, 8), (200,) * 3).save(tmp_path / "s" / "b.png")
    source = Frames(str(tmp_path))
    (video,) = source.videos
    assert values(source, video) == [0, 20, 40, 60, 80, 200] and len(source.files_of(video)) == 2
    assert values(source, video, [4, 1]) == [80, 20] and not source.faults(video)
    if ending == "tif":  # elsewhere only the first page is read, and the others are named
        for other in (Strips(str(tmp_path), frames_per_image=1), Pairs(str(tmp_path), str(tmp_path))):
            assert ("s/a.tif", "further pages ignored: 4") in [(s.name, s.reason) for s in other.skipped]
        small = Image.new("RGB", (4, 4))  # a preview is no frame
        images[0].save(tmp_path / "s" / "a.tif", save_all=True, append_images=[small])
        assert Frames(str(tmp_path)).videos[0].frames == 2


def test_further_pages_of_a_png_are_named(tmp_path):
    files = write_frames(tmp_path / "s", 4)
    Image.new("L", (8, 8), 2).save(files[2], save_all=True, append_images=[Image.new("L", (8, 8), 99)])
    source = Frames(str(tmp_path))
    assert values(source, source.videos[0]) == [0, 1, 2, 3]
    assert (
        source.faults_in_words(source.videos[0]) == "frames with faults: 1, such as 0002.png: further pages ignored: 1"
    )


def test_a_bad_image_loses_one_frame(tmp_path, caplog):
    files = write_frames(tmp_path / "data" / "s", 2 * CHUNK + 6)
    for bad in (0, 5, 6, CHUNK, *range(2 * CHUNK, 2 * CHUNK + 6)):  # the first, two in a row, a chunk's first, the rest
        files[bad].write_bytes(files[bad].read_bytes()[:40] if bad == 5 else b"x")
    source = Frames(str(tmp_path / "data"))
    (video,) = source.videos
    wanted = list(range(2 * CHUNK + 6))
    wanted[0], wanted[5], wanted[6], wanted[CHUNK] = 1, 4, 4, CHUNK - 1
    wanted[2 * CHUNK :] = [2 * CHUNK - 1] * 6
    assert values(source, video, [CHUNK]) == [CHUNK - 1]  # whatever was read before
    assert values(source, video) == wanted
    words = "frames with faults: 10, such as 0000.png: not an image; replaced by the frame before"
    assert source.faults_in_words(video) == words
    assert f"broken: s: {words}" in run("check", tmp_path / "data", "--source", "frames")
    out = tmp_path / "a.h5"
    run("prepare", tmp_path / "data", "--source", "frames", "--out", out, "--size", 8, "--channels", 1)
    store = Hdf5(str(out))
    assert values(store, store.videos[0]) == wanted and [s.reason for s in store.skipped] == [words]


def test_faults_are_not_forgotten_where_preparing_was_cut(tmp_path):
    files, cut = write_frames(tmp_path / "data" / "s", 2 * CHUNK), tmp_path / "cut.h5"
    files[3].write_text("x")
    source = Frames(str(tmp_path / "data"))
    settings = Settings(8, 1)
    work = tmp_path / "cut.h5.work"
    done = prepare(source, source.videos, tmp_path / "whole.h5", settings, "x", workers=1)
    work.mkdir()
    (work / "plan.json").write_text('{"made_from": "x"}')
    (work / "0000000.faults").write_text('{"3": "0003.png: not an image; replaced by the frame before"}')
    np.zeros(2 * CHUNK * 64, np.uint8).tofile(work / "0000000-000000000.frames")
    assert prepare(source, source.videos, cut, settings, "x", workers=1) == done
    assert len(done.skipped) == 1 and not work.exists()


def test_a_sequence_of_which_little_can_be_read_is_broken(tmp_path):
    files = write_frames(tmp_path / "s", 10)
    for file in files[:6]:
        file.write_text("x")
    source = Frames(str(tmp_path))
    with pytest.raises(BrokenVideo, match="6 of the frames 0 to 9 cannot be read, such as 0000.png: not an image$"):
        source.read(source.videos[0], range(10), 8, 1)
    for file in files[6:]:
        file.write_text("x")
    source = Frames(str(tmp_path))
    assert not source.videos and [(s.name, s.reason) for s in source.skipped] == [("s", "0000.png: not an image")]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["1", "2", "3", "4"], ""),
        (["0001", "0002", "0005", "0006"], "2 missing, the first after 0002.png"),
        (["0", "5", "10", "20", "25"], "1 missing, the first after 10.png"),
        (["a_1", "a_2", "b_1", "b_2", "b_4"], "1 missing, the first after b_2.png"),
        (["1700000000123", "1700000033456", "1700000066123", "1700000100789"], ""),
        (["0001.x", "0002.x", "0004.x"], "1 missing, the first after 0002.x.jp2"),
        (["x", "y", "z"], ""),
        (["7"], ""),
    ],
)
def test_missing_numbers(names, words):
    ending = ".jp2" if "jp2" in words else ".png"
    assert missing_numbers([name + ending for name in names]) == words


def test_gaps_are_told_in_one_line(tmp_path, caplog):
    for name in "abc":
        files = write_frames(tmp_path / name, 6)
        if name != "a":
            files[2].unlink()
            files[3].unlink()
    with caplog.at_level(logging.WARNING, "kvzoo"):
        source = Frames(str(tmp_path))
    assert [record.getMessage() for record in caplog.records] == [
        "numbers are missing in 2 of 3 sequences, such as b: 2 missing, the first after 0001.png"
    ]
    assert values(source, source.videos[1]) == [0, 1, 4, 5]


def test_images_beside_videos_are_not_left_out_silently(messy, caplog):
    with caplog.at_level(logging.WARNING, "kvzoo"):
        assert source_for(messy) == "videos"
    assert "its 6 images are ignored" in caplog.text


def test_blanks_around_cells(tmp_path):
    write_video(tmp_path / "a b.mp4", 50)
    table = tmp_path / "table.csv"
    table.write_text(" path , start, end ,label\na b.mp4 , 0.2 ,\t1.0, walk \n   ,  , ,\n none.mp4 ,,,x\n")
    source = Videos(str(tmp_path), csv=str(table))
    assert [(v.name, v.label) for v in source.videos] == [("a b.mp4[0.20-1.00s]", "walk")]
    assert [(s.name, s.reason) for s in source.skipped] == [("none.mp4", "no such file")]
    kinetics = tmp_path / "k.csv"
    kinetics.write_text("label, youtube_id , time_start,time_end ,split\n wave , a b ,0, 1 , train \n")
    (row,) = layouts.rows_of("kinetics", tmp_path, (".mp4",), str(kinetics), 1, "train")
    assert (row["path"], row["label"], row["end"]) == (tmp_path / "a b.mp4", "wave", 1.0)


def test_a_store_is_read_where_the_system_cannot_read_at_a_place(tmp_path, monkeypatch):
    write_video(tmp_path / "data" / "a.mp4", 20)
    run("prepare", tmp_path / "data", "--out", tmp_path / "a.h5", "--size", 32)
    monkeypatch.delattr(os, "preadv", raising=False)
    monkeypatch.setattr("kvzoo.data.hdf5.MOST_BYTES", 1000)
    store = Hdf5(str(tmp_path / "a.h5"))
    frames = store.read(store.videos[0], [5, 6, 7, 19], 32, 3)
    assert [number(frame) for frame in frames] == [5, 6, 7, 19]
    with open(tmp_path / "a.h5", "r+b") as file:
        file.truncate(store.begin + 4 * 32 * 32 * 3)
    with pytest.raises(BrokenVideo, match="the store is truncated"):
        store.read(store.videos[0], [5, 6], 32, 3)
