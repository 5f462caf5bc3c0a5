"""From a source to a store: decode in parallel processes, resumable after being killed at any moment.

Until FILE.h5 is complete, the folder FILE.h5.work next to it holds spans of decoded frames (`VIDEO-FIRST.frames`) and the
result of each finished video (`VIDEO.json`). Each file appears whole or not at all, so whatever exists is complete.
The store is assembled from them at the end, which needs twice the store's space meanwhile.
"""

import json
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing.connection import wait as wait_for
from pathlib import Path

import cv2
import h5py
import numpy as np

from kvzoo.data import source as source_module
from kvzoo.data.hdf5 import write_store
from kvzoo.data.source import CHUNK, BrokenVideo, Skipped, Source, Video
from kvzoo.data.steady import camera_path, corrections, stabilise
from kvzoo.errors import InputError
from kvzoo.files import leftovers, written_whole
from kvzoo.process import cores
from kvzoo.signals import without_ctrl_c

SPAN = 16 * CHUNK  # frames of an interrupted video decoded again, at most; fewer if they are large
SPAN_BYTES = 64 << 20
CACHE_BYTES = 64 << 20  # per process; each frame is read only once
ROUGH = 4  # frames are stabilised at this multiple of the store's size
CRASHES = 2  # of a video's process, after which it is skipped
HANGS = 300.0  # seconds without a frame from any process, after which busy ones are killed as if they had crashed


@dataclass(frozen=True)
class Settings:
    """How frames are stored.

    Attributes:
        image_size: height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        stabilise: whether camera shake is removed.
    """

    image_size: int = 64
    channels: int = 3
    stabilise: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.image_size, self.image_size, self.channels

    @property
    def row(self) -> int:
        """Bytes per frame."""
        return self.image_size**2 * self.channels

    @property
    def span(self) -> int:
        """Number of frames in one file of spans."""
        return min(SPAN, max(1, SPAN_BYTES // self.row // CHUNK) * CHUNK)


@dataclass(frozen=True)
class Result:
    """Counts of the clips and frames in a store, and what was skipped or stored only in part."""

    clips: int
    frames: int
    skipped: tuple[Skipped, ...]


def prepare(
    source: Source,
    videos: Sequence[Video],
    out: Path,
    settings: Settings,
    made_from: str,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Result:
    """Write the videos' frames to a store, resuming an interrupted call with the same `made_from`.

    Args:
        source: decodes the frames; what it skipped is listed in the store too.
        videos: videos of the source, with their final names, groups, labels and rates.
        out: the store; nothing else may use it or the folder next to it meanwhile.
        settings: how frames are stored.
        made_from: identifies files and settings; work with another value is discarded.
        workers: number of processes; by default one per core.
        progress: called now and then with (frames done, total frames).

    Raises:
        InputError: no video can be decoded.
    """
    work = out.with_name(f"{out.name}.work")
    for leftover in leftovers(out):
        leftover.unlink(missing_ok=True)
    _begin_work(work, made_from)
    _decode_all(source, videos, work, settings, workers or cores(), progress)
    clips, parts, skipped = [], [], list(source.skipped)
    for index, video in enumerate(videos):
        result = _result(work, index)
        if result["frames"]:
            clips.append(replace(video, frames=result["frames"]))
            parts.append(index)
        if result["reason"]:
            skipped.append(Skipped(video.name, result["reason"]))
    if not clips:
        raise InputError(f"no video can be decoded, such as {skipped[0].name}: {skipped[0].reason}")

    def fill(frames: h5py.Dataset) -> None:
        at = 0
        for index, clip in zip(parts, clips, strict=True):
            for first in range(0, clip.frames, settings.span):
                rows = np.fromfile(_span_file(work, index, first), np.uint8).reshape(-1, frames.shape[1])
                rows = rows[: clip.frames - first]
                frames[at : at + len(rows)] = rows
                at += len(rows)

    write_store(out, clips, settings.shape, fill, skipped, made_from)
    for file in work.iterdir():
        file.unlink()
    work.rmdir()
    return Result(len(clips), sum(clip.frames for clip in clips), tuple(skipped))


def _begin_work(work: Path, made_from: str) -> None:
    """Create the work folder, and empty it if it is of other files or settings."""
    plan = work / "plan.json"
    try:
        same = json.loads(plan.read_text(encoding="utf-8"))["made_from"] == made_from
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    work.mkdir(parents=True, exist_ok=True)
    if not same:
        for file in work.iterdir():
            file.unlink()
        _write(plan, json.dumps({"made_from": made_from}).encode())


def _decode_all(
    source: Source,
    videos: Sequence[Video],
    work: Path,
    settings: Settings,
    workers: int,
    progress: Callable[[int, int], None],
) -> None:
    """Decode what is missing; a video whose process crashes or hangs repeatedly is skipped."""
    total = sum(video.frames for video in videos)
    remaining = {i: video for i, video in enumerate(videos) if not _is_done(work, i, settings)}
    crashes = dict.fromkeys(remaining, 0)
    context = multiprocessing.get_context("spawn")  # other threads may hold locks that a fork would copy
    while remaining:
        # New ones each time: a process that ended at the wrong moment holds the mutexes of the old ones.
        count = context.Value("q", total - sum(video.frames for video in remaining.values()))
        beat = context.Value("q", 0)
        # A crash does not say whose it was: one video at a time finds out.
        size = 1 if any(crashes.values()) else min(workers, len(remaining))
        with ProcessPoolExecutor(size, context, _begin_worker, (source, work, settings, count, beat)) as pool:
            running: dict[Future, int] = {}
            try:
                waiting = iter(sorted(remaining, key=lambda i: (crashes[i], i)))
                heard, since = beat.value, time.monotonic()
                while True:
                    # Few at a time: a crash breaks the whole pool and all its pending videos.
                    while len(running) < 2 * size and (index := next(waiting, None)) is not None:
                        with without_ctrl_c():
                            running[pool.submit(_decode, index, remaining[index])] = index
                    if not running:
                        break
                    completed, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                    for future in completed:
                        future.result()
                        del remaining[running.pop(future)]
                    progress(min(count.value, total), total)
                    if beat.value != heard:
                        heard, since = beat.value, time.monotonic()
                    elif heard and time.monotonic() - since > HANGS:
                        for process in list((pool._processes or {}).values()):
                            process.kill()
                        since = math.inf
            except BrokenProcessPool:
                _blame(work, running, remaining, crashes)
            except BaseException:
                # Before the pool forgets them. One that still starts would miss what this process takes with it.
                processes = list((pool._processes or {}).values())
                pool.shutdown(wait=False, cancel_futures=True)
                for process in processes:
                    process.kill()
                    process.join()
                raise


def _blame(work: Path, running: dict[Future, int], remaining: dict[int, Video], crashes: dict[int, int]) -> None:
    """Count a crash for each video begun but not finished, and give up on those with too many."""
    for index in running.values():
        if (work / f"{index:07d}.json").exists():
            del remaining[index]
        elif (marker := work / f"{index:07d}.begun").exists():
            marker.unlink()
            crashes[index] += 1
            if crashes[index] >= CRASHES:
                _write_result(work, index, 0, "the decoder crashed or hung")
                del remaining[index]


def _begin_worker(source: Source, work: Path, settings: Settings, count, beat) -> None:
    """Set up a worker process; it ends with its parent, even if that is killed."""
    global _worker
    _worker = (source, work, settings, count, beat)
    source_module.CACHE_BYTES = CACHE_BYTES
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives it and ends this process
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process().sentinel
    threading.Thread(target=lambda: (wait_for([parent]), os._exit(1)), daemon=True).start()


def _decode(index: int, video: Video) -> None:
    """Decode a video to its spans as far as possible; runs in a worker process."""
    source, work, settings, count, _ = _worker
    marker = work / f"{index:07d}.begun"
    marker.touch()
    _beat()
    frames, reason, faults_file = 0, "", work / f"{index:07d}.faults"
    if faults_file.exists():  # of the spans that exist
        source.note_faults(
            video, {int(i): fault for i, fault in json.loads(faults_file.read_text(encoding="utf-8")).items()}
        )
    try:
        moves = _moves(work, index, source, video, settings) if settings.stabilise else None
        for first in range(0, video.frames, settings.span):
            stop = min(first + settings.span, video.frames)
            file = _span_file(work, index, first)
            if not (file.exists() and file.stat().st_size == (stop - first) * settings.row):
                span = []
                try:
                    for at in range(first, stop, CHUNK):
                        span.append(_frames(source, video, at, min(at + CHUNK, stop), settings, moves))
                        with count.get_lock():
                            count.value += len(span[-1])
                finally:
                    frames += sum(map(len, span))
                    if faults := source.faults(video):
                        _write(faults_file, json.dumps(faults).encode())
                    if span:
                        _write(file, np.concatenate(span).data)
            else:
                frames += stop - first
                with count.get_lock():
                    count.value += stop - first
        reason = source.faults_in_words(video)
    except BrokenVideo as error:
        partial = f"; the first {frames} of {video.frames} frames are used" if frames else ""
        reason = f"{error}{partial}"
    _write_result(work, index, frames, reason)
    marker.unlink()


def _beat() -> None:
    """Signal that this process is alive."""
    beat = _worker[-1]
    with beat.get_lock():
        beat.value += 1


def _frames(
    source: Source, video: Video, start: int, stop: int, settings: Settings, moves: np.ndarray | None
) -> np.ndarray:
    _beat()
    indices = np.arange(start, stop)
    if moves is None:
        return source.read(video, indices, settings.image_size, settings.channels)
    large = source.read(video, indices, ROUGH * settings.image_size, settings.channels)
    return np.stack(
        [
            source_module.square(stabilise(frame, move), settings.image_size, settings.channels)
            for frame, move in zip(large, moves[start:stop], strict=True)
        ]
    )


def _moves(work: Path, index: int, source: Source, video: Video, settings: Settings) -> np.ndarray:
    """Return the correction of each frame, computed once in a pass of its own."""
    file = work / f"{index:07d}.moves"
    if file.exists() and file.stat().st_size == video.frames * 4 * 8:
        return np.fromfile(file).reshape(-1, 4)
    size = ROUGH * settings.image_size

    def grey():
        for at in range(0, video.frames, CHUNK):
            _beat()
            try:
                yield from source.read(video, range(at, min(at + CHUNK, video.frames)), size, 1)
            except BrokenVideo:
                return  # the frames after it are not stored either

    path = camera_path(grey())
    moves = np.zeros((video.frames, 4))
    if len(path):
        moves[: len(path)] = corrections(path, video.fps)
    _write(file, moves.data)
    return moves


def _span_file(work: Path, index: int, first: int) -> Path:
    return work / f"{index:07d}-{first:09d}.frames"


def _is_done(work: Path, index: int, settings: Settings) -> bool:
    """Return whether a video is finished and all its frames exist: a power failure can undo a renaming."""
    try:
        frames = _result(work, index)["frames"]
        spans = range(0, frames, settings.span)
        sizes = [_span_file(work, index, first).stat().st_size for first in spans]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return all(
        size >= min(settings.span, frames - first) * settings.row for first, size in zip(spans, sizes, strict=True)
    )


def _result(work: Path, index: int) -> dict:
    return json.loads((work / f"{index:07d}.json").read_text(encoding="utf-8"))


def _write_result(work: Path, index: int, frames: int, reason: str) -> None:
    _write(work / f"{index:07d}.json", json.dumps({"frames": frames, "reason": reason}).encode())


def _write(file: Path, data: bytes | memoryview) -> None:
    with written_whole(file) as temporary:
        temporary.write_bytes(data)
