"""Base class of sources: a list of videos, and frames of any of them at any size.

A source lists its videos when it is opened (headers only) and decodes on demand. Decoded frames are
cached at the requested size, in a bounded number of bytes, so memory does not grow with the data.
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

# Files of operating systems and programs, in lower case; names that begin with a dot are ignored too.
NO_DATA = frozenset(
    ("__macosx", "@eadir", "lost+found", "$recycle.bin", "system volume information", "thumbs.db", "desktop.ini")
)


@dataclass(frozen=True, eq=False)
class Video:
    """One video, or a span of one; equal to itself only.

    Attributes:
        name: name in reports: a path relative to the source's folder.
        frames: number of frames, at `fps`.
        fps: frames per second.
        group: videos of one group are never split between training and validation.
        label: its class; "" if it has none.
        key: hashable; identifies the video for its source. Spans of one file share it, and the cache.
        times: for each frame, the index of the frame to decode, non-decreasing; None for 0, 1, 2, …
        target: video of equal length that all clips of an example but the first are read from; None for this one.
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
    """A file or video that is not used, and why."""

    name: str
    reason: str


class BrokenVideo(Exception):
    """Raised for a video whose frames turn out not to be decodable."""


class Source:
    """Base class of all sources: a subclass lists videos and decodes spans of frames.

    Attributes:
        videos: the usable videos, in a fixed order.
        skipped: files and videos that cannot be used, and why.
        version: version of a built-in source's clips; 1 for sources of files.
        whole: pad frames to a square with black instead of cropping them to their centred square.

    Example:

        >>> import numpy as np
        >>> from kvzoo.data.source import Source, Video
        >>> class Ramps(Source):
        ...     def __init__(self):
        ...         super().__init__([Video("ramp", frames=8, fps=25.0, group="ramp", key=0)])
        ...     def decode(self, video, start, stop, image_size, channels):
        ...         shape = (stop - start, image_size, image_size, channels)
        ...         return np.broadcast_to(np.arange(start, stop, dtype=np.uint8)[:, None, None, None], shape)
        >>> source = Ramps()
        >>> source.read(source.videos[0], [0, 2, 4], image_size=2, channels=1)[:, 0, 0, 0].tolist()
        [0, 2, 4]
    """

    version = 1
    whole = False
    cache_bytes: int | None = None  # size of the cache of frames; CACHE_BYTES when None
    travels: tuple[str, ...] = ()  # private attributes that decoding in another process needs

    def __init__(self, videos: Iterable[Video], skipped: Iterable[Skipped] = ()):
        self.videos = list(videos)
        self.skipped = list(skipped)
        self._begin()

    def _begin(self) -> None:
        """Set up what belongs to this process: locks and caches."""
        self._cache: OrderedDict[tuple, np.ndarray] = OrderedDict()
        self._cached_bytes = 0
        self._faults: dict[object, dict[int, str]] = {}
        self._lock = threading.Lock()
        # Threads that need the same chunk wait for a single decoding of it; others seldom share a lock.
        self._decoding = [threading.Lock() for _ in range(LOCKS)]

    def __getstate__(self) -> dict:
        # Another process receives how to decode; the videos are sent one by one.
        state = {
            name: value for name, value in self.__dict__.items() if not name.startswith("_") or name in self.travels
        }
        return {**state, "videos": [], "skipped": []}

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
        """Return a video's own size as "1280x720"; "" for a synthetic one."""
        return ""

    def files_of(self, video: Video) -> Sequence[str]:
        """Return the files that a video's frames come from; none for a synthetic one."""
        return ()

    def note_faults(self, video: Video, faults: dict[int, str]) -> None:
        """Record faulty frames and their faults, by index in the file; called by `decode`."""
        if faults:
            with self._lock:
                self._faults.setdefault(video.key, {}).update(faults)

    def faults(self, video: Video) -> dict[int, str]:
        """Return the faults recorded so far for a video, by index of the frame."""
        with self._lock:
            return dict(self._faults.get(video.key, {}))

    def faults_in_words(self, video: Video) -> str:
        """Return the recorded faults of a video in one line; "" if there are none."""
        faults = self.faults(video)
        return f"frames with faults: {len(faults)}, such as {faults[min(faults)]}" if faults else ""

    def fingerprint(self) -> str:
        """Return a hash of the videos' names, lengths, groups and labels; pixels are not included."""
        rows = [f"{type(self).__name__} {self.version}"]
        rows += [f"{v.name}|{v.frames}|{v.fps:g}|{v.group}|{v.label}" for v in self.videos]
        rows += [v.target.name for v in self.videos if v.target]
        return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def read(self, video: Video, indices: Sequence[int], image_size: int, channels: int) -> np.ndarray:
        """Return the frames at `indices` of a video, uint8 (len(indices), image_size, image_size, channels).

        Frames are cropped to a centred square, or padded to one if `whole` is set, and resized (area averaging down,
        bilinear up).

        Raises:
            BrokenVideo: the frames cannot be decoded.
        """
        indices = np.asarray(indices)
        native = indices if video.times is None else video.times[indices]
        out = np.empty((len(native), image_size, image_size, channels), np.uint8)
        chunks, places = native // CHUNK, native % CHUNK
        for chunk in np.unique(chunks):
            at = chunks == chunk
            out[at] = self._chunk(video, int(chunk), int(places[at].max()) + 1, image_size, channels)[places[at]]
        return out

    def _chunk(self, video: Video, chunk: int, count: int, image_size: int, channels: int) -> np.ndarray:
        """Return a chunk's frames, at least the first `needed` ones."""
        key = (video.key, chunk, image_size, channels)
        with self._decoding[hash(key) % LOCKS]:
            with self._lock:
                frames = self._cache.get(key)
                if frames is not None:
                    self._cache.move_to_end(key)
            # A span of a file that ends within the chunk may have cached fewer frames than another span needs.
            if frames is None or len(frames) < count:
                start = chunk * CHUNK
                length = video.frames if video.times is None else int(video.times[-1]) + 1
                frames = self.decode(video, start, min(length, start + CHUNK), image_size, channels)
                if len(frames) < count:
                    raise BrokenVideo(f"ends after {start + len(frames)} frames")
                self._keep(key, frames)
        return frames

    def _keep(self, key: tuple, frames: np.ndarray) -> None:
        limit = CACHE_BYTES if self.cache_bytes is None else self.cache_bytes
        if frames.nbytes > limit:
            return
        with self._lock:
            if key in self._cache:
                self._cached_bytes -= self._cache.pop(key).nbytes
            while self._cached_bytes + frames.nbytes > limit:
                self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
            self._cache[key] = frames
            self._cached_bytes += frames.nbytes


def square(frame: np.ndarray, image_size: int, channels: int, whole: bool = False) -> np.ndarray:
    """Return an RGB or grey uint8 frame as (image_size, image_size, channels).

    It is cropped to its centred square; with `whole` it is padded with black on two sides instead.
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
    """Return the files below a folder, sorted by path, and what is skipped and why.

    Linked folders are followed, each folder once. Names that begin with a dot and those in NO_DATA are ignored. A
    link to a missing file counts as a file, so that whoever opens it can report it.

    Raises:
        InputError: the folder does not exist or cannot be read.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    files, skipped, visited = [], [], set()
    folders, links = [folder], []
    while folders or links:
        # Links come last, so that files below the folder itself are listed there.
        current = folders.pop() if folders else links.pop(0)
        name = current.relative_to(folder).as_posix()
        try:
            if current != folder and current.parent.resolve().is_relative_to(current.resolve()):
                skipped.append(Skipped(name, "a link to a folder that contains it"))
                continue
            status = current.stat()
            if (status.st_dev, status.st_ino) in visited:
                skipped.append(Skipped(name, "a folder that was already read under another name"))
                continue
            visited.add((status.st_dev, status.st_ino))
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
    """Return whether a file or folder of this name is never data: hidden, or of an operating system."""
    return name.startswith(".") or name.lower() in NO_DATA


def find_files(path: str | Path, endings: Iterable[str]) -> tuple[list[Path], list[Skipped]]:
    """Return the files below a folder with one of these endings, sorted by path, and what is skipped and why.

    Raises:
        InputError: the folder does not exist, cannot be read, or has no such file.
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
    """Return a file's label: its folder relative to the source's; "" at the top or outside."""
    if not file.is_relative_to(folder) or file.parent == folder:
        return ""
    return file.parent.relative_to(folder).as_posix()


def regroup(videos: Iterable[Video], pattern: str) -> list[Video]:
    r"""Return the videos with the groups that a regular expression matches in their names.

    The group is the first parenthesis of the expression, or the whole match if it has none.

    Raises:
        InputError: the expression does not match a name.

    Example:

        >>> from kvzoo.data.source import Video, regroup
        >>> video = Video("walk/person3_take1.mp4", frames=50, fps=25.0, group="")
        >>> regroup([video], r"(person\d+)")[0].group
        'person3'
    """
    expression, out = re.compile(pattern), []
    for video in videos:
        match = expression.search(video.name)
        group = match and match.group(1 if expression.groups else 0)
        if not group:
            raise InputError(f"data.group: {pattern!r} does not match {video.name!r}")
        out.append(replace(video, group=group))
    return out


def resample(video: Video, fps: float) -> Video:
    """Return the video at another frame rate, by taking the nearest frame at each time.

    Example:

        >>> from kvzoo.data.source import Video, resample
        >>> video = resample(Video("a", frames=6, fps=30.0, group="a"), fps=15.0)
        >>> video.frames, video.times.tolist()
        (3, [0, 2, 4])
    """
    native = np.arange(video.frames) if video.times is None else video.times
    count = max(1, round(video.frames * fps / video.fps))
    nearest = np.minimum(np.floor(np.arange(count) * video.fps / fps + 0.5).astype(int), video.frames - 1)
    target = video.target and resample(video.target, fps)
    return replace(video, frames=count, fps=fps, times=native[nearest], target=target)


def split(videos: Sequence[Video], validation: float | Sequence[str], seed: int) -> tuple[list[Video], list[Video]]:
    """Split videos into training and validation so that no group has videos in both.

    Args:
        videos: the videos to split.
        validation: fraction of the groups to hold out, or their names.
        seed: seed for choosing the groups.

    Raises:
        InputError: an unknown group, or no video remains for training.
    """
    groups = sorted({v.group for v in videos})
    if isinstance(validation, (int, float)):
        if validation == 0:
            return list(videos), []
        if len(groups) < 2:
            raise InputError(
                f"data.validation: cannot hold out {validation} of the groups: there is only one, {groups[0]!r}; "
                "set data.group, or data.validation to 0"
            )
        count = min(max(1, round(validation * len(groups))), len(groups) - 1)
        order = np.random.default_rng(seed).permutation(len(groups))
        held_out = {groups[i] for i in order[:count]}
    else:
        held_out = set(validation)
        if unknown := sorted(held_out - set(groups)):
            names = ", ".join(groups[:12]) + (", …" if len(groups) > 12 else "")
            raise InputError(
                f"data.validation: no group {unknown[0]!r}{did_you_mean(unknown[0], groups)}; groups: {names}"
            )
    training = [v for v in videos if v.group not in held_out]
    if not training:
        raise InputError("data.validation: all groups are held out; none remains for training")
    return training, [v for v in videos if v.group in held_out]
