"""What a source of videos is: a list of videos, and frames of any of them at any size.

A source lists its videos when it is opened (headers only) and decodes on demand. Decoded frames are
kept at the size that was asked for in a cache of bounded bytes, so memory does not grow with the data.
"""

import hashlib
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from kvzoo.errors import InputError, did_you_mean

CACHE_BYTES = 1 << 30
CHUNK = 64  # frames decoded and cached together
LOCKS = 64

# What systems and programs leave among data, in lower case; so is every name that begins with a dot.
NO_DATA = frozenset(
    ("__macosx", "@eadir", "lost+found", "$recycle.bin", "system volume information", "thumbs.db", "desktop.ini")
)


@dataclass(frozen=True, eq=False)
class Video:
    """One video, or a span of one; equal to itself only.

    Attributes:
        name: what it is called in reports: a path relative to the source's folder.
        frames: how many frames it has, at `fps`.
        fps: frames a second.
        group: what must not be split between training and validation.
        label: its class, "" where it has none.
        key: where its source finds it; spans of one file share it, and with it what is cached. Hashable.
        times: for each frame, the index of the frame that the source decodes, not falling; None for 0, 1, 2, …
        target: the video, of as many frames, that all clips of an example but the first are read from; None for
            this one.
    """

    name: str
    frames: int
    fps: float
    group: str
    label: str = ""
    key: object = None
    times: np.ndarray | None = None
    target: "Video | None" = None


@dataclass(frozen=True)
class Skipped:
    """A file, or a video, that is not used, and why."""

    name: str
    reason: str


class BrokenVideo(Exception):
    """A video whose frames cannot be decoded after all."""


class Source:
    """Base of all sources: a subclass lists videos and decodes spans of frames.

    Attributes:
        videos: the usable ones, in a fixed order.
        skipped: what was found and cannot be used.
        version: of a built-in source's clips; 1 for files.
        whole: frames are shown whole, with black beside them, instead of cut to their centred square.
    """

    version = 1
    whole = False
    cache_bytes: int | None = None  # of the frames that are kept; CACHE_BYTES when None
    travels: tuple[str, ...] = ()  # private attributes that decoding in another process needs

    def __init__(self, videos: Iterable[Video], skipped: Iterable[Skipped] = ()):
        self.videos = list(videos)
        self.skipped = list(skipped)
        self._begin()

    def _begin(self) -> None:
        """Set up what belongs to this process: locks, and what is kept."""
        self._cache: OrderedDict[tuple, np.ndarray] = OrderedDict()
        self._cached_bytes = 0
        self._faults: dict[object, dict[int, str]] = {}
        self._lock = threading.Lock()
        # Threads that want the same chunk wait for one decoding of it; others seldom share a lock.
        self._decoding = [threading.Lock() for _ in range(LOCKS)]

    def __getstate__(self) -> dict:
        # Another process is told how to decode; which videos, it is told one by one.
        kept = {
            name: value for name, value in self.__dict__.items() if not name.startswith("_") or name in self.travels
        }
        return {**kept, "videos": [], "skipped": []}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._begin()

    def decode(self, video: Video, start: int, stop: int, image_size: int, channels: int) -> np.ndarray:
        """Return frames start to stop as uint8 (stop - start, image_size, image_size, channels).

        Called from several threads.

        Raises:
            BrokenVideo: the frames cannot be decoded.
        """
        raise NotImplementedError

    def size_of(self, video: Video) -> str:
        """Return a video's own size as "1280x720", "" where it has none: drawn ones."""
        return ""

    def files_of(self, video: Video) -> Sequence[str]:
        """Return the files that a video's frames come from, none of drawn ones."""
        return ()

    def note_faults(self, video: Video, faults: dict[int, str]) -> None:
        """Note frames that are not as their file should have them, and why; for `decode`, in indices of the file."""
        if faults:
            with self._lock:
                self._faults.setdefault(video.key, {}).update(faults)

    def faults(self, video: Video) -> dict[int, str]:
        """Return the faults that were noted of a video, as far as it was read."""
        with self._lock:
            return dict(self._faults.get(video.key, {}))

    def faults_in_words(self, video: Video) -> str:
        """Return the faults that were noted of a video, in one line; "" where there are none."""
        faults = self.faults(video)
        return f"frames with faults: {len(faults)}, such as {faults[min(faults)]}" if faults else ""

    def fingerprint(self) -> str:
        """Return a hash over what the source holds: names, lengths, groups and labels, not pixels."""
        rows = [f"{type(self).__name__} {self.version}"]
        rows += [f"{v.name}|{v.frames}|{v.fps:g}|{v.group}|{v.label}" for v in self.videos]
        rows += [v.target.name for v in self.videos if v.target]
        return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def read(self, video: Video, indices: Sequence[int], image_size: int, channels: int) -> np.ndarray:
        """Return the frames at `indices` of a video, uint8 (len(indices), image_size, image_size, channels).

        Frames are cut to a centred square, or shown whole where `whole` says so, and resized (area averaging down,
        bilinear up).

        Raises:
            BrokenVideo: they cannot be decoded.
        """
        indices = np.asarray(indices)
        wanted = indices if video.times is None else video.times[indices]
        out = np.empty((len(wanted), image_size, image_size, channels), np.uint8)
        chunks, places = wanted // CHUNK, wanted % CHUNK
        for chunk in np.unique(chunks):
            at = chunks == chunk
            out[at] = self._chunk(video, int(chunk), int(places[at].max()) + 1, image_size, channels)[places[at]]
        return out

    def _chunk(self, video: Video, chunk: int, needed: int, image_size: int, channels: int) -> np.ndarray:
        """Return a chunk's frames, at least the first `needed` ones."""
        key = (video.key, chunk, image_size, channels)
        with self._decoding[hash(key) % LOCKS]:
            with self._lock:
                frames = self._cache.get(key)
                if frames is not None:
                    self._cache.move_to_end(key)
            # A span of a file that ends within the chunk may have left fewer frames than another span wants.
            if frames is None or len(frames) < needed:
                start = chunk * CHUNK
                length = video.frames if video.times is None else int(video.times[-1]) + 1
                frames = self.decode(video, start, min(length, start + CHUNK), image_size, channels)
                if len(frames) < needed:
                    raise BrokenVideo(f"ends after {start + len(frames)} frames")
                self._keep(key, frames)
        return frames

    def _keep(self, key: tuple, frames: np.ndarray) -> None:
        most = CACHE_BYTES if self.cache_bytes is None else self.cache_bytes
        if frames.nbytes > most:
            return
        with self._lock:
            if key in self._cache:
                self._cached_bytes -= self._cache.pop(key).nbytes
            while self._cached_bytes + frames.nbytes > most:
                self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
            self._cache[key] = frames
            self._cached_bytes += frames.nbytes


def square(frame: np.ndarray, image_size: int, channels: int, whole: bool = False) -> np.ndarray:
    """Return an RGB or grey uint8 frame as (image_size, image_size, channels).

    It is cut to its centred square; `whole` shows all of it, with black on two sides.
    """
    height, width = frame.shape[:2]
    side = max(height, width) if whole else min(height, width)
    if not whole:
        top, left = (height - side) // 2, (width - side) // 2
        frame = frame[top : top + side, left : left + side]
    size = (max(1, round(frame.shape[1] * image_size / side)), max(1, round(frame.shape[0] * image_size / side)))
    if size != frame.shape[1::-1]:
        filter_ = cv2.INTER_AREA if side > image_size else cv2.INTER_LINEAR
        frame = cv2.resize(frame, size, interpolation=filter_)
    if whole:
        top, left = (image_size - size[1]) // 2, (image_size - size[0]) // 2
        right, bottom = image_size - size[0] - left, image_size - size[1] - top
        frame = cv2.copyMakeBorder(frame, top, bottom, left, right, cv2.BORDER_CONSTANT)
    if frame.ndim == 2 or frame.shape[2] == 1:
        frame = frame.reshape(image_size, image_size, 1)
        return frame if channels == 1 else np.repeat(frame, 3, axis=2)
    return frame if channels == 3 else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None]


def all_files(path: str | Path) -> tuple[list[Path], list[Skipped]]:
    """Return the files below a folder, sorted by path, and what of it is left out and why.

    Linked folders are entered, each folder once. Names that begin with a dot and those of NO_DATA are no data. A
    link to a file that does not exist counts as a file: who opens it can say so.

    Raises:
        InputError: there is no such folder, or it cannot be read.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    files, skipped, entered = [], [], set()
    folders, links = [folder], []
    while folders or links:
        # Links come last, so that what lies below the folder itself is found there.
        current = folders.pop() if folders else links.pop(0)
        name = current.relative_to(folder).as_posix()
        try:
            if current != folder and current.parent.resolve().is_relative_to(current.resolve()):
                skipped.append(Skipped(name, "a link to a folder that it lies in"))
                continue
            status = current.stat()
            if (status.st_dev, status.st_ino) in entered:
                skipped.append(Skipped(name, "a folder that is read already, under another name"))
                continue
            entered.add((status.st_dev, status.st_ino))
            children = [child for child in current.iterdir() if not is_no_data(child.name)]
        except OSError as error:
            if current == folder:
                raise InputError(f"{folder}: {error.strerror}") from None
            skipped.append(Skipped(name, (error.strerror or str(error)).lower()))
            continue
        for child in children:
            if os.path.isdir(child):
                (links if child.is_symlink() else folders).append(child)
            elif os.path.isfile(child) or (child.is_symlink() and not os.path.exists(child)):
                files.append(child)
        links.sort()
    return sorted(files), skipped


def is_no_data(name: str) -> bool:
    """Return whether a file or folder of this name is never data: hidden, or left by a system."""
    return name.startswith(".") or name.lower() in NO_DATA


def find_files(path: str | Path, endings: Iterable[str]) -> tuple[list[Path], list[Skipped]]:
    """Return the files below a folder with one of these endings, sorted by path, and what of it is left out and why.

    Raises:
        InputError: there is no such folder, it cannot be read, or holds no such file.
    """
    endings = tuple(endings)
    files, skipped = all_files(path)
    files = [file for file in files if file.suffix.lower() in endings]
    if not files:
        raise InputError(f"{path}: no file with one of the endings {' '.join(sorted(endings))}")
    return files, skipped


def files_under(path: str | Path, endings: Iterable[str]) -> list[Path]:
    """Return the files of `find_files` alone."""
    return find_files(path, endings)[0]


def label_of(file: Path, folder: Path) -> str:
    """Return a file's label: the folder that it is in, relative to the source's; "" at the top or outside."""
    if not file.is_relative_to(folder) or file.parent == folder:
        return ""
    return file.parent.relative_to(folder).as_posix()


def regroup(videos: Iterable[Video], pattern: str) -> list[Video]:
    """Return the videos with groups that a regular expression finds in their names.

    The first parenthesis is the group, the whole match where there is none.

    Raises:
        InputError: a name in which nothing is found.
    """
    expression, out = re.compile(pattern), []
    for video in videos:
        match = expression.search(video.name)
        group = match and match.group(1 if expression.groups else 0)
        if not group:
            raise InputError(f"data.group: {pattern!r} finds nothing in {video.name!r}")
        out.append(replace(video, group=group))
    return out


def resample(video: Video, fps: float) -> Video:
    """Return the video at another frame rate: at each time the frame that is nearest."""
    native = np.arange(video.frames) if video.times is None else video.times
    count = max(1, round(video.frames * fps / video.fps))
    nearest = np.minimum(np.floor(np.arange(count) * video.fps / fps + 0.5).astype(int), video.frames - 1)
    target = video.target and resample(video.target, fps)
    return replace(video, frames=count, fps=fps, times=native[nearest], target=target)


def split(videos: Sequence[Video], validation: float | Sequence[str], seed: int) -> tuple[list[Video], list[Video]]:
    """Split by group: no group has videos on both sides.

    Args:
        videos: what to split.
        validation: share of the groups for the second part, or their names.
        seed: decides which groups.

    Raises:
        InputError: an unknown group, or a part that would stay empty.
    """
    groups = sorted({v.group for v in videos})
    if isinstance(validation, (int, float)):
        if validation == 0:
            return list(videos), []
        if len(groups) < 2:
            raise InputError(
                f"data.validation: {validation} of the groups is wanted, but there is one group only, {groups[0]!r}; "
                "give data.group, or validation: 0"
            )
        count = min(max(1, round(validation * len(groups))), len(groups) - 1)
        order = np.random.default_rng(seed).permutation(len(groups))
        held_out = {groups[i] for i in order[:count]}
    else:
        held_out = set(validation)
        if unknown := sorted(held_out - set(groups)):
            shown = ", ".join(groups[:12]) + (", …" if len(groups) > 12 else "")
            raise InputError(
                f"data.validation: no group {unknown[0]!r}{did_you_mean(unknown[0], groups)}; groups: {shown}"
            )
    training = [v for v in videos if v.group not in held_out]
    if not training:
        raise InputError("data.validation: nothing is left to train on")
    return training, [v for v in videos if v.group in held_out]
