"""The store: decoded frames in one HDF5 file, and the source `hdf5` that reads it.

    /frames    uint8 (N, H * W * C), all clips' frames in order; one frame per row, as tensorflow-io reads them
    /offsets   int64 (clips + 1,), where in them each clip begins
    /names, /labels, /groups   UTF-8, (clips,)
    /fps       float64 (clips,)
    /skipped/names, /skipped/reasons   UTF-8: what was skipped, or stored only in part, and why

Attributes: `version`, `shape` (H, W, C), `made_from` (identifies files and settings). Frames are uncompressed and contiguous,
so that a clip is read as a part of the file: without a lock, and without keeping its pages in memory.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from kvzoo.data.remote import tfio_mismatch
from kvzoo.data.source import BrokenVideo, Skipped, Source, Video, square
from kvzoo.errors import InputError
from kvzoo.files import written_whole

VERSION = 1
MOST_BYTES = 1 << 26  # of one read that copies; Windows reads less than 2 GiB
STRING = h5py.string_dtype("utf-8")


def write_store(
    path: str | os.PathLike,
    clips: Sequence[Video],
    shape: tuple[int, int, int],
    fill: Callable[[h5py.Dataset], None],
    skipped: Iterable[Skipped] = (),
    made_from: str = "",
) -> None:
    """Write a store.

    Args:
        path: the file; it appears whole or not at all.
        clips: the clips in order, with names, lengths, rates, labels and groups.
        shape: (H, W, C) of all frames.
        fill: called with the data set /frames, of which it sets each row.
        skipped: what is not in the store, and why.
        made_from: identifies files and settings.
    """
    path = Path(path)
    offsets = np.concatenate([[0], np.cumsum([clip.frames for clip in clips], dtype=np.int64)])
    with (
        written_whole(path, durable=True) as temporary,
        h5py.File(temporary, "w", libver=("earliest", "v110")) as file,
    ):
        file.attrs.update(version=VERSION, shape=np.array(shape, np.int64), made_from=made_from)
        fill(file.create_dataset("frames", (int(offsets[-1]), int(np.prod(shape))), np.uint8))
        file["offsets"] = offsets
        file["fps"] = np.array([clip.fps for clip in clips], np.float64)
        for name in ("name", "label", "group"):
            _write_texts(file, f"{name}s", [getattr(clip, name) for clip in clips])
        skipped = list(skipped)
        for name in ("name", "reason"):
            _write_texts(file, f"skipped/{name}s", [getattr(each, name) for each in skipped])


def _write_texts(file: h5py.File, name: str, texts: list[str]) -> None:
    # A file name need not be UTF-8: its bytes are stored as they are.
    file.create_dataset(name, (len(texts),), STRING, data=[text.encode("utf-8", "surrogateescape") for text in texts])


def _texts(file: h5py.File, name: str) -> list[str]:
    return [bytes(text).decode("utf-8", "surrogateescape") for text in file[name][:]]


class Hdf5(Source):
    """Clips of a store written by `kvzoo data prepare`, with random access from any number of threads and processes.

    Opening reads names and offsets. Frames are resized only if the network's size differs from the store's.

    Args:
        path: the file.
        reader: "native", or "tfio": training batches come from tensorflow-io's reader (`kvzoo.run.tfio`).

    Raises:
        InputError: the file is not a store, is truncated, or is of a newer version; or tensorflow-io cannot work here.
    """

    def __init__(self, path: str, reader: str = "native"):
        if reader == "tfio" and (problem := tfio_mismatch()):
            raise InputError(f"data.reader: {problem}")
        self.path, self.reader = str(path), reader
        with open_store(path) as file, _damage_as_input_error(path):
            self.shape = tuple(int(n) for n in file.attrs["shape"])
            offsets = file["offsets"][:]
            names, labels, groups = (_texts(file, name) for name in ("names", "labels", "groups"))
            fps = file["fps"][:]
            skipped = [
                Skipped(*texts)
                for texts in zip(_texts(file, "skipped/names"), _texts(file, "skipped/reasons"), strict=True)
            ]
            # None if another program wrote the store chunked or compressed.
            self.begin: int | None = file["frames"].id.get_offset()
        lengths = np.diff(offsets)
        videos = [
            Video(name, int(count), float(rate), group=group, label=label, key=int(first))
            for name, count, rate, group, label, first in zip(
                names, lengths, fps, groups, labels, offsets[:-1], strict=True
            )
        ]
        super().__init__(videos, skipped)

    def _begin(self) -> None:
        super()._begin()
        self._file: h5py.File | None = None
        self._descriptor: int | None = None

    def __del__(self):
        if getattr(self, "_descriptor", None) is not None:
            os.close(self._descriptor)

    def read(self, video: Video, indices: Sequence[int], image_size: int, channels: int) -> np.ndarray:
        native = np.asarray(indices) if video.times is None else video.times[np.asarray(indices)]
        if (np.diff(native) == 1).all():
            return self.decode(video, int(native[0]), int(native[-1]) + 1, image_size, channels)
        distinct, places = np.unique(native, return_inverse=True)
        spans = np.split(distinct, np.flatnonzero(np.diff(distinct) > 1) + 1)
        frames = np.concatenate(
            [self.decode(video, int(span[0]), int(span[-1]) + 1, image_size, channels) for span in spans]
        )
        return frames[places]

    def decode(self, video: Video, start: int, stop: int, image_size: int, channels: int) -> np.ndarray:
        frames = np.empty((stop - start, *self.shape), np.uint8)
        try:
            self._fill(frames.reshape(stop - start, -1), video.key + start)
        except OSError as error:
            raise BrokenVideo(f"{self.path}: {error.strerror or error}") from None
        if (image_size, image_size, channels) == self.shape:
            return frames
        return np.stack([square(frame, image_size, channels) for frame in frames])

    def size_of(self, video: Video) -> str:
        return f"{self.shape[1]}x{self.shape[0]}"

    def files_of(self, video: Video) -> Sequence[str]:
        return (str(self.path),)

    def _fill(self, rows: np.ndarray, first: int) -> None:
        """Read rows (n, H * W * C) of the store, from the row `first` on."""
        with self._lock:
            if self.begin is None and self._file is None:
                self._file = open_store(self.path)
            elif self.begin is not None and self._descriptor is None:
                self._descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        if self.begin is None:
            self._file["frames"].read_direct(rows, np.s_[first : first + len(rows)])
            return
        memory, at = memoryview(rows).cast("B"), self.begin + first * rows.shape[1]
        while memory:
            count = self._read_at(memory, at)
            if not count:
                raise OSError("the store is truncated")
            memory, at = memory[count:], at + count

    def _read_at(self, memory: memoryview, at: int) -> int:
        """Read bytes of the file from a position on into memory; returns how many were read."""
        if hasattr(os, "preadv"):
            return os.preadv(self._descriptor, [memory], at)
        with self._lock:  # Windows and macOS before 11 have a position only, which threads share
            os.lseek(self._descriptor, at, os.SEEK_SET)
            part = os.read(self._descriptor, min(len(memory), MOST_BYTES))
        memory[: len(part)] = part
        return len(part)


def open_store(path: str | os.PathLike) -> h5py.File:
    """Open a store for reading.

    Raises:
        InputError: the file is not a store, is truncated, or is of a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder, not a store' if path.is_dir() else 'no such file'}")
    try:
        # Writers never change an existing store, so no file lock is needed; some network disks refuse them.
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        if "truncated" in str(error):
            raise InputError(f"{path}: the store is truncated; copy or prepare it again") from None
        if isinstance(error, PermissionError):
            raise InputError(f"{path}: {error.strerror or 'cannot be read'}") from None
        raise InputError(f"{path}: not an HDF5 file, or damaged") from None
    try:
        with _damage_as_input_error(path):
            _check(file, path)
    except InputError:
        file.close()
        raise
    return file


@contextmanager
def _damage_as_input_error(path: str | os.PathLike):
    """Turn what h5py raises for damaged bytes into an InputError."""
    try:
        yield
    except InputError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, MemoryError) as error:
        raise InputError(f"{path}: the store is damaged: {' '.join(str(error).split())}") from None


def _check(file: h5py.File, path: Path) -> None:
    version = file.attrs.get("version")
    if version is None or "frames" not in file:
        raise InputError(f"{path}: an HDF5 file, but not a store of kvzoo; `kvzoo data prepare` writes one")
    if int(version) > VERSION:
        raise InputError(f"{path}: a store of version {version}; this kvzoo supports up to {VERSION}. Upgrade kvzoo")
    frames, offsets = file["frames"], file["offsets"][:]
    clips = len(offsets) - 1
    counts = {name: len(file[name]) for name in ("names", "labels", "groups", "fps")}
    if (
        set(counts.values()) != {clips}
        or frames.dtype != np.uint8
        or frames.shape != (offsets[-1], np.prod(file.attrs["shape"]))
        or offsets[0] != 0
        or (np.diff(offsets) < 1).any()
    ):
        raise InputError(f"{path}: the store is damaged: its data sets do not match")
    begin = frames.id.get_offset()
    if begin is not None and begin + frames.size > path.stat().st_size:
        raise InputError(f"{path}: the store is truncated; copy or prepare it again")
