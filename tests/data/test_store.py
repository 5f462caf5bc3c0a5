"""A store holds the frames that its source gives, however often making it was cut; the source hdf5 reads it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import run
from videos import damage, number, write_strip, write_video, x264

from kvzoo import catalog
from kvzoo.data import prepare as prepare_module
from kvzoo.data.hdf5 import Hdf5, write_store
from kvzoo.data.pipeline import batches, open_data
from kvzoo.data.prepare import Settings, prepare
from kvzoo.data.source import Skipped, Source, Video
from kvzoo.data.videos import Videos
from kvzoo.errors import InputError
from kvzoo.files import WriterLock
from kvzoo.recipe.resolve import check_data


class Numbered(Source):
    """Frames that say their number; a log of what was decoded; a video that takes its process down, or hangs."""

    def __init__(self, log: str, lengths: list[int], crash: str = "", hang: bool = False):
        videos = [Video(f"v{i}", n, 25.0, group=f"g{i}", label="abc"[i % 3], key=i) for i, n in enumerate(lengths)]
        super().__init__(videos, [Skipped("text.mp4", "not a video, or damaged")])
        self.log, self.crash, self.hang = log, crash, hang

    def decode(self, video, start, stop, image_size, channels):
        with open(self.log, "a") as log:
            log.write(f"{video.name} {start}\n")
        if video.name == self.crash:
            time.sleep(100) if self.hang else os.kill(os.getpid(), signal.SIGSEGV)
        frames = (np.arange(start, stop) + video.key).astype(np.uint8).reshape(-1, 1, 1, 1)
        return np.broadcast_to(frames, (stop - start, image_size, image_size, channels)).copy()


def content(path: Path) -> dict:
    with h5py.File(path) as file:
        found = {}
        file.visititems(lambda name, item: found.update({name: item[:]}) if isinstance(item, h5py.Dataset) else None)
        return {**found, "shape": file.attrs["shape"]}


def assert_same(a: Path, b: Path):
    left, right = content(a), content(b)
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """A folder of five videos in two classes, one of them in parts, and a file that is none."""
    folder = tmp_path_factory.mktemp("clips")
    for i, count in enumerate((20, 33, 64)):
        write_video(folder / ("wave" if i % 2 else "bend") / f"person{i}.mp4", count, codec_options=x264(10))
    damage(write_video(folder / "wave" / "person3.mp4", 60 + 64, codec_options=x264(10, 0)), range(60, 124))
    write_video(folder / "person4.mp4", 12, fps=50)
    (folder / "bend" / "text.mp4").write_text("hello")
    return folder


@pytest.fixture(scope="module")
def store(clips, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("store") / "clips.h5"
    said = run("prepare", clips, "--out", out, "--size", 48, "--group", r"(person\d)")
    assert "5 clips, 193 frames of 48x48x3" in said and "2 left out or in parts" in said
    return out


def test_a_store_gives_what_its_source_gives(clips, store):
    source, opened = Videos(str(clips)), Hdf5(str(store))
    kept = {"wave/person3.mp4": 64}
    assert [(v.name, v.frames, v.fps, v.label) for v in opened.videos] == [
        (v.name, kept.get(v.name, v.frames), v.fps, v.label) for v in source.videos
    ]
    assert sorted(v.group for v in opened.videos) == [f"person{i}" for i in range(5)]
    for ours, theirs in zip(opened.videos, source.videos, strict=True):
        indices = np.arange(ours.frames)
        np.testing.assert_array_equal(opened.read(ours, indices, 48, 3), source.read(theirs, indices, 48, 3))
    assert {s.name: s.reason for s in opened.skipped} == {
        "bend/text.mp4": "not a video, or damaged",
        "wave/person3.mp4": "60 of the frames 64 to 123 cannot be decoded; the first 64 of 124 frames are used",
    }
    rows = (store.with_name("clips.skipped.csv")).read_text().splitlines()
    assert rows[0] == "name,reason" and len(rows) == 3 and rows[1].startswith("bend/text.mp4,")
    names = sorted(file.name for file in store.parent.iterdir())
    assert names == [".clips.h5.lock", "clips.h5", "clips.skipped.csv"]


def test_indices_in_any_order_repeated_and_at_another_size(store):
    source = Hdf5(str(store))
    video = next(v for v in source.videos if v.frames == 33)
    frames = source.read(video, [7, 3, 3, 32, 0], 48, 3)
    assert [number(frame) for frame in frames] == [7, 3, 3, 32, 0]
    assert source.read(video, [5, 6], 16, 1).shape == (2, 16, 16, 1)


def test_finished_is_said_and_another_is_not_overwritten(clips, store):
    before = store.stat().st_mtime_ns
    args = ("prepare", clips, "--out", store, "--group", r"(person\d)", "--size")
    assert "is finished: 5 clips, 193 frames; 2 left out" in run(*args, 48)
    with pytest.raises(InputError, match="already exists, made from other files or settings; use --overwrite"):
        run(*args, 32)
    assert store.stat().st_mtime_ns == before


def test_another_is_overwritten_where_that_is_meant(clips, store, tmp_path):
    other = tmp_path / "clips.h5"
    other.write_bytes(store.read_bytes())
    args = ("prepare", clips, "--out", other, "--group", r"(person\d)", "--size", 32, "--overwrite")
    assert "5 clips, 193 frames of 32x32x3" in run(*args)
    assert "is finished: 5 clips" in run(*args)  # of the same files and settings
    other.write_bytes(b"no store")
    assert "5 clips, 193 frames of 32x32x3" in run(*args)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["none", "--out", "a.h5"], "no such folder"),
        (["{clips}", "--out", "a.mp4"], "must end in .h5"),
        (["{clips}", "--out", "a.h5", "-o", "cvs=x"], r"cvs: unknown.*did you mean csv"),
        (["{clips}", "--out", "a.h5", "--group", "(dog)"], "does not match"),
        (["{store}", "--out", "a.h5"], "already a store"),
    ],
)
def test_prepare_refuses_in_one_line(clips, store, tmp_path, monkeypatch, args, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words) as raised:
        run("prepare", *(arg.format(clips=clips, store=store) for arg in args))
    assert "\n" not in str(raised.value) and not list(tmp_path.iterdir())


def test_a_store_has_one_writer_however_many_are_refused(clips, tmp_path):
    out = tmp_path / "a.h5"
    with WriterLock(tmp_path / ".a.h5.lock"):
        for _ in range(3):
            with pytest.raises(InputError, match=f"--out .*a.h5: process {os.getpid()} on .* is writing it"):
                run("prepare", clips, "--out", out)
        assert [file.name for file in tmp_path.iterdir()] == [".a.h5.lock"]
    (tmp_path / ".a.12345678.part.h5").write_text("what a killed process left")
    run("prepare", clips, "--out", out, "--size", 8)
    assert sorted(file.name for file in tmp_path.iterdir()) == [".a.h5.lock", "a.h5", "a.skipped.csv"]


def test_options_of_prepare(clips, tmp_path):
    run("prepare", clips, "--out", tmp_path / "a.h5", "--size", 24, "--channels", 1, "--fps", 12.5, "--fit", "whole")
    source = Hdf5(str(tmp_path / "a.h5"))
    assert source.shape == (24, 24, 1) and {v.fps for v in source.videos} == {12.5}
    video = next(v for v in source.videos if v.name == "person4.mp4")
    assert video.frames == 3
    frame = source.read(video, [1], 24, 1)[0, ..., 0]
    # 64x48 pixels become 24x18: three black rows above and below
    assert frame[:3].max() == 0 and frame[-3:].max() == 0 and frame[3:-3, :2].min() > 0


def test_strips_are_found(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    write_strip(tmp_path / "strips" / "bend" / "person1.png", frames)
    run("prepare", tmp_path / "strips", "--out", tmp_path / "a.h5", "--size", 8)
    source = Hdf5(str(tmp_path / "a.h5"))
    assert source.videos[0].label == "bend"
    np.testing.assert_array_equal(source.read(source.videos[0], np.arange(5), 8, 3), frames)


def test_a_recipe_trains_from_a_store(store):
    section = check_data({"source": "hdf5", "path": str(store), "validation": 0.4}, catalog.LOSSES.get("mse"))
    data = open_data(section, [(8, 48, 48, 3)], 0)
    assert {v.group for v in data.training.videos}.isdisjoint(v.group for v in data.validation.videos)
    (batch,) = next(iter(batches(data.training, 4, 0)))
    assert batch.shape == (4, 8, 48, 48, 3)


def test_what_is_done_is_not_decoded_again(tmp_path, monkeypatch):
    lengths = [100, 2500, 700, 50]
    log, out = tmp_path / "log", tmp_path / "a.h5"
    source = Numbered(str(log), lengths)

    class Cut(Exception):
        pass

    def cut(done, total):
        if done > 1500:
            raise Cut

    settings = Settings(image_size=8, channels=1)
    with pytest.raises(Cut):
        prepare(source, source.videos, out, settings, "x", workers=2, progress=cut)
    time.sleep(0.5)  # what was being written is written, or never will be
    work = out.with_name("a.h5.work")
    spans = {tuple(map(int, file.stem.split("-"))) for file in work.glob("*.frames")}
    assert spans and not out.exists()
    log.write_text("")
    prepare(source, source.videos, out, settings, "x", workers=1)
    again = [(int(line.split()[0][1:]), int(line.split()[1])) for line in log.read_text().splitlines()]
    assert not {(i, at // settings.span * settings.span) for i, at in again} & spans
    assert not work.exists()
    prepare(Numbered(str(log), lengths), source.videos, tmp_path / "b.h5", settings, "x", workers=1)
    assert_same(out, tmp_path / "b.h5")
    # Parts of other settings are not mixed in.
    assert content(out)["offsets"].tolist() == [0, 100, 2600, 3300, 3350]


@pytest.mark.parametrize("hang", [False, True])
def test_a_video_that_crashes_its_process_or_hangs_is_left_out(tmp_path, monkeypatch, hang):
    monkeypatch.setattr(prepare_module, "HANGS", 4.0)
    source = Numbered(str(tmp_path / "log"), [30, 40, 50, 60], crash="v1", hang=hang)
    done = prepare(source, source.videos, tmp_path / "a.h5", Settings(8, 1), "x", workers=2)
    assert (done.clips, done.frames) == (3, 140)
    assert done.skipped[1:] == (Skipped("v1", "the decoder crashed or hung"),)
    assert [v.name for v in Hdf5(str(tmp_path / "a.h5")).videos] == ["v0", "v2", "v3"]


def test_frames_that_are_large_are_written_in_small_parts():
    assert Settings(64, 3).span == 1024 and Settings(1024, 3).span == 64
    assert all(Settings(size, 3).span % 64 == 0 for size in (8, 200, 512))


@pytest.mark.parametrize(("kills", "copies"), [(2, 1), pytest.param(10, 6, marks=pytest.mark.slow)])
def test_killed_at_random_moments_ends_with_an_equal_store(clips, tmp_path, kills, copies):
    folder, size = tmp_path / "clips", 24 * copies
    for i in range(copies):
        shutil.copytree(clips, folder / str(i))

    def command_for(out):
        return [
            sys.executable,
            "-m",
            "kvzoo",
            "data",
            "prepare",
            folder,
            "--out",
            out,
            "--size",
            f"{size}",
            "--stabilise",
        ]

    started = time.perf_counter()
    subprocess.run(command_for(tmp_path / "whole.h5"), check=True, capture_output=True)
    seconds = time.perf_counter() - started
    rng, out, killed = np.random.default_rng(kills), tmp_path / "cut.h5", 0
    for moment in rng.uniform(0.2, 1.0, kills) * seconds:
        process = subprocess.Popen(command_for(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(moment if not killed else moment / 2)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    subprocess.run(command_for(out), check=True, capture_output=True)
    assert killed
    assert_same(tmp_path / "whole.h5", out)
    assert sorted(f.name for f in tmp_path.iterdir()) == [
        *(".cut.h5.lock", ".whole.h5.lock", "clips", "cut.h5", "cut.skipped.csv", "whole.h5", "whole.skipped.csv"),
    ]


def test_many_readers_at_once(store):
    source = Hdf5(str(store))
    wanted = [source.read(video, np.arange(video.frames), 48, 3) for video in source.videos]
    rng = np.random.default_rng(0)
    jobs = [(i, int(rng.integers(source.videos[i].frames - 4))) for i in rng.integers(len(wanted), size=400)]
    with ThreadPoolExecutor(16) as pool:
        read = pool.map(lambda job: source.read(source.videos[job[0]], np.arange(job[1], job[1] + 4), 48, 3), jobs)
        assert all(np.array_equal(a, wanted[i][at : at + 4]) for a, (i, at) in zip(read, jobs, strict=True))


def test_a_store_of_somebody_else_may_be_compressed(store, tmp_path):
    with h5py.File(store) as file, h5py.File(tmp_path / "b.h5", "w") as copy:
        for name in file:
            if name != "frames":
                file.copy(name, copy)
        copy.create_dataset("frames", data=file["frames"][:], compression="gzip", chunks=(16, file["frames"].shape[1]))
        copy.attrs.update(file.attrs)
    a, b = Hdf5(str(store)), Hdf5(str(tmp_path / "b.h5"))
    np.testing.assert_array_equal(a.read(a.videos[1], [1, 2, 9], 48, 3), b.read(b.videos[1], [1, 2, 9], 48, 3))


def test_stores_that_are_refused(store, tmp_path):
    data = store.read_bytes()

    def refused(words: str, path: Path = tmp_path / "a.h5"):
        with pytest.raises(InputError, match=words) as raised:
            Hdf5(str(path))
        assert "\n" not in str(raised.value) and str(path) in str(raised.value)

    for share in (0.999, 0.5, 0.01):
        (tmp_path / "a.h5").write_bytes(data[: int(len(data) * share)])
        refused("truncated|damaged")
    (tmp_path / "a.h5").write_bytes(b"hello")
    refused("not an HDF5 file")
    (tmp_path / "a.h5").write_bytes(b"")
    refused("not an HDF5 file")
    refused("no such file", tmp_path / "none.h5")
    refused("is a folder, not a store", tmp_path)
    for change, words in {
        "version": "a store of version 2; this kvzoo supports up to 1. Upgrade kvzoo",
        "offsets": "its data sets do not match",
        "labels": "its data sets do not match",
        "names": "damaged",
        "frames": "not a store of kvzoo",
    }.items():
        shutil.copy(store, tmp_path / "a.h5")
        with h5py.File(tmp_path / "a.h5", "r+") as file:
            if change == "version":
                file.attrs["version"] = 2
            elif change == "offsets":
                file["offsets"][-1] += 5
            else:
                del file[change]
                if change == "labels":
                    file["labels"] = np.array([b"x"])
        refused(words)


def test_bytes_flipped_in_a_store_are_refused_or_read(store, tmp_path):
    data, rng, refused = store.read_bytes(), np.random.default_rng(0), 0
    begin = Hdf5(str(store)).begin
    for _ in range(60):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), 3):
            # Half of them in what is not pixels.
            damaged[at if rng.random() < 0.3 else at % begin] ^= 1 << int(rng.integers(8))
        (tmp_path / "a.h5").write_bytes(damaged)
        try:
            source = Hdf5(str(tmp_path / "a.h5"))
            source.read(source.videos[0], [0], 48, 3)
        except InputError:
            refused += 1
    assert refused > 5


def test_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9.mp4")
    write_store(
        tmp_path / "a.h5",
        [Video(name, 2, 25.0, group=name)],
        (4, 4, 1),
        lambda frames: frames.write_direct(np.zeros((2, 16), np.uint8)),
        [Skipped(name, "ü")],
    )
    source = Hdf5(str(tmp_path / "a.h5"))
    assert source.videos[0].name == name and source.skipped == [Skipped(name, "ü")]
    assert len(source.fingerprint()) == 16


def test_a_large_store_is_opened_and_read_in_little_memory(tmp_path):
    """20 GB, sparse: nothing is scanned, and what was read does not stay."""
    clips = [Video(f"clip{i}", 16_384, 25.0, group=str(i)) for i in range(100)]

    def fill(frames):
        frames[len(frames) - 1] = 7

    write_store(tmp_path / "a.h5", clips, (64, 64, 3), fill)
    size = (tmp_path / "a.h5").stat()
    assert size.st_size > 20e9
    if size.st_blocks * 512 > 1e8:
        pytest.skip("this disk has no sparse files")
    before, started = resident(), time.perf_counter()
    source = Hdf5(str(tmp_path / "a.h5"))
    opened = time.perf_counter() - started
    rng, most = np.random.default_rng(0), 0
    assert source.read(source.videos[-1], [16_383], 64, 3).min() == 7
    for _ in range(500):
        video = source.videos[int(rng.integers(100))]
        at = int(rng.integers(video.frames - 64))
        source.read(video, np.arange(at, at + 64), 64, 3)
        most = max(most, resident())
    assert most - before < 200e6 and opened < 2


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def shaky(count: int = 60) -> np.ndarray:
    """Return frames (T, 96, 96, 3) of a still wall from a hand that shakes."""
    import cv2

    rng = np.random.default_rng(0)
    wall = cv2.resize(rng.integers(0, 256, (40, 40, 3), np.uint8), (200, 200), interpolation=cv2.INTER_CUBIC)
    off = np.round(4 * rng.standard_normal((count, 2))).astype(int)
    return np.stack([wall[50 + y : 146 + y, 50 + x : 146 + x] for y, x in off])


def test_stabilised_frames_stand_still(tmp_path):
    frames = shaky()
    write_strip(tmp_path / "clips" / "a.png", frames)
    inner, moved = np.s_[:, 6:-6, 6:-6], {}
    for name, extra in {"plain": [], "steady": ["--stabilise"]}.items():
        run("prepare", tmp_path / "clips", "--out", tmp_path / f"{name}.h5", "--size", 48, *extra)
        source = Hdf5(str(tmp_path / f"{name}.h5"))
        seen = source.read(source.videos[0], np.arange(len(frames)), 48, 3)[inner].astype(float)
        moved[name] = np.abs(np.diff(seen, axis=0)).mean()
    assert moved["steady"] < 0.35 * moved["plain"], moved
