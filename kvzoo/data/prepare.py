"""From a source to a store: decoding in parallel processes, which may be killed at any moment and goes on.

Beside FILE.h5 there is, until it is done, a folder FILE.h5.work: spans of decoded frames (`VIDEO-FIRST.frames`) and, for
each video that is through, what came of it (`VIDEO.json`). Each appears whole or not at all, so what is there is done.
The store is put together from them at the end: twice the store's space is needed while it is made.
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
from kvzoo.data.steady import camera_path, corrections, steadied
from kvzoo.errors import InputError
from kvzoo.files import leftovers, written_whole
from kvzoo.process import cores
from kvzoo.signals import without_ctrl_c

SPAN = 16 * CHUNK  # frames decoded again, at most, of a video that was cut; fewer where they are large
SPAN_BYTES = 64 << 20
CACHE_BYTES = 64 << 20  # of a process: each frame is read once
ROUGH = 4  # times the store's size: what frames are stabilised at
CRASHES = 2  # of a video's process, after which it is left out
HANGS = 300.0  # seconds without a frame from any process; those that are at work are ended then, as if they had crashed


@dataclass(frozen=True)
class Settings:
    """What frames become.

    Attributes:
        image_size: height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        stabilise: whether a shaking camera is made calm.
    """

    image_size: int = 64
    channels: int = 3
    stabilise: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.image_size, self.image_size, self.channels

    @property
    def row(self) -> int:
        """Bytes of a frame."""
        return self.image_size**2 * self.channels

    @property
    def span(self) -> int:
        """Frames that are written together."""
        return min(SPAN, max(1, SPAN_BYTES // self.row // CHUNK) * CHUNK)


@dataclass(frozen=True)
class Done:
    """What a store holds: clips and frames, and what is not in it, or in parts only."""

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
) -> Done:
    """Write the videos' frames to a store, going on where an earlier call with the same `made_from` was cut.

    Args:
        source: decodes them; what it skipped is told in the store, too.
        videos: of the source, with the names, groups, labels and rates that they shall have.
        out: the store; it and the folder beside it are this call's alone.
        settings: what frames become.
        made_from: what identifies files and settings; what another one left is begun anew.
        workers: processes; one for each core when None.
        progress: told (frames done, frames in all) now and then.

    Raises:
        InputError: nothing can be decoded.
    """
    work = out.with_name(f"{out.name}.work")
    for left in leftovers(out):
        left.unlink(missing_ok=True)
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
        raise InputError(f"nothing can be decoded, such as {skipped[0].name}: {skipped[0].reason}")

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
    return Done(len(clips), sum(clip.frames for clip in clips), tuple(skipped))


def _begin_work(work: Path, made_from: str) -> None:
    """Make the folder of parts, empty where those that are there were made from something else."""
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
    """Decode what is not there yet; a video whose process crashes or hangs time and again is left out."""
    total = sum(video.frames for video in videos)
    left = {i: video for i, video in enumerate(videos) if not _is_done(work, i, settings)}
    crashes = dict.fromkeys(left, 0)
    context = multiprocessing.get_context("spawn")  # other threads may hold locks that a fork would copy
    while left:
        # Anew each time: a process that ended at the wrong moment holds the old ones' locks.
        count = context.Value("q", total - sum(video.frames for video in left.values()))
        beat = context.Value("q", 0)
        # After a crash nobody knows whose it was: one at a time finds out.
        size = 1 if any(crashes.values()) else min(workers, len(left))
        with ProcessPoolExecutor(size, context, _begin_worker, (source, work, settings, count, beat)) as pool:
            running: dict[Future, int] = {}
            try:
                waiting = iter(sorted(left, key=lambda i: (crashes[i], i)))
                heard, since = beat.value, time.monotonic()
                while True:
                    # Few at a time: a crash breaks the whole pool, and with it what it had in hand.
                    while len(running) < 2 * size and (index := next(waiting, None)) is not None:
                        with without_ctrl_c():
                            running[pool.submit(_decode, index, left[index])] = index
                    if not running:
                        break
                    finished, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                    for future in finished:
                        future.result()
                        del left[running.pop(future)]
                    progress(min(count.value, total), total)
                    if beat.value != heard:
                        heard, since = beat.value, time.monotonic()
                    elif heard and time.monotonic() - since > HANGS:
                        for process in list((pool._processes or {}).values()):
                            process.kill()
                        since = math.inf
            except BrokenProcessPool:
                _blame(work, running, left, crashes)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in list((pool._processes or {}).values()):
                    process.terminate()
                raise


def _blame(work: Path, running: dict[Future, int], left: dict[int, Video], crashes: dict[int, int]) -> None:
    """Count a crash for each video that was begun and not finished; note those that did it too often."""
    for index in running.values():
        if (work / f"{index:07d}.json").exists():
            del left[index]
        elif (begun := work / f"{index:07d}.begun").exists():
            begun.unlink()
            crashes[index] += 1
            if crashes[index] >= CRASHES:
                _write_result(work, index, 0, "the decoder crashed, or hung")
                del left[index]


def _begin_worker(source: Source, work: Path, settings: Settings, count, beat) -> None:
    """Set up a process; it ends with the one that started it, even where that was killed."""
    global _worker
    _worker = (source, work, settings, count, beat)
    source_module.CACHE_BYTES = CACHE_BYTES
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that started it is told, and ends it
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process().sentinel
    threading.Thread(target=lambda: (wait_for([parent]), os._exit(1)), daemon=True).start()


def _decode(index: int, video: Video) -> None:
    """Decode a video to its spans, as far as it goes; runs in a process of its own."""
    source, work, settings, count, _ = _worker
    begun = work / f"{index:07d}.begun"
    begun.touch()
    _beat()
    frames, reason, noted = 0, "", work / f"{index:07d}.faults"
    if noted.exists():  # of the spans that are there
        source.note_faults(video, {int(i): fault for i, fault in json.loads(noted.read_text(encoding="utf-8")).items()})
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
                        _write(noted, json.dumps(faults).encode())
                    if span:
                        _write(file, np.concatenate(span).data)
            else:
                frames += stop - first
                with count.get_lock():
                    count.value += stop - first
        reason = source.faults_in_words(video)
    except BrokenVideo as error:
        kept = f", the first {frames} of {video.frames} frames are kept" if frames else ""
        reason = f"{error}{kept}"
    _write_result(work, index, frames, reason)
    begun.unlink()


def _beat() -> None:
    """Show that this process is alive."""
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
            source_module.square(steadied(frame, move), settings.image_size, settings.channels)
            for frame, move in zip(large, moves[start:stop], strict=True)
        ]
    )


def _moves(work: Path, index: int, source: Source, video: Video, settings: Settings) -> np.ndarray:
    """Return what each frame is moved by to be steady; found in a pass of its own, once."""
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
                return  # what follows is not kept either

    path = camera_path(grey())
    moves = np.zeros((video.frames, 4))
    if len(path):
        moves[: len(path)] = corrections(path, video.fps)
    _write(file, moves.data)
    return moves


def _span_file(work: Path, index: int, first: int) -> Path:
    return work / f"{index:07d}-{first:09d}.frames"


def _is_done(work: Path, index: int, settings: Settings) -> bool:
    """Return whether a video is through, with all its frames: a power failure can take away what was renamed."""
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
