"""The source `videos`: a folder of video files, decoded by PyAV."""

import csv
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import av.error
import numpy as np

from kvzoo.data.source import BrokenVideo, Skipped, Source, Video, files_under, label_of, square
from kvzoo.errors import InputError

ENDINGS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".gif", ".ogv", ".ts", ".3gp")

COLUMNS = ("path", "start", "end", "label")


class Videos(Source):
    """Video files. Labels are the folders that files are in, or a CSV's column.

    Opening reads each file's packets once (no decoding beyond the first frame) for the exact times
    of its frames, so a wrong header or a variable frame rate is harmless: frames are taken at the
    file's average rate. Frames are turned upright where the file says that it was filmed on its side.

    Args:
        path: folder of video files, searched with its subfolders.
        csv: a CSV with a column `path` (relative to the folder) and optionally `start` and `end` in
            seconds and `label`; only what it lists is read, a row a clip.

    Raises:
        InputError: no video file, or a CSV without a column `path`.
    """

    def __init__(self, path: str, csv: str | None = None):
        folder, videos, skipped = Path(path), [], []
        rows = _rows_of(Path(csv), folder) if csv else [{"path": file} for file in files_under(folder, ENDINGS)]
        opened: dict[Path, Video | Skipped] = {}
        for row in rows:
            file = row["path"]
            if file not in opened:
                opened[file] = _open(file, folder)
            video = opened[file]
            if isinstance(video, Video) and csv:
                video = _cut(video, row)
            (videos if isinstance(video, Video) else skipped).append(video)
        super().__init__(videos, skipped)

    def decode(self, video: Video, start: int, stop: int, image_size: int, channels: int) -> np.ndarray:
        path, _ = video.key
        stamps = self._stamps(video)[start:stop]
        out = np.empty((len(stamps), image_size, image_size, channels), np.uint8)
        done = 0
        try:
            for stamp, frame in frames_from(path, int(stamps[0])):
                # A frame stands for all asked times up to the next frame's.
                while done < len(stamps) and stamps[done] < stamp:
                    if done == 0:
                        break
                    out[done] = out[done - 1]
                    done += 1
                if done < len(stamps) and stamp >= stamps[done]:
                    out[done] = square(upright(frame), image_size, channels)
                    done += 1
                if done == len(stamps):
                    return out
        except (OSError, ValueError, av.error.FFmpegError) as error:
            if not done:
                raise BrokenVideo(f"cannot be decoded: {error}") from None
        return out[:done]

    def _stamps(self, video: Video) -> np.ndarray:
        return video.key[1].stamps


class _Index:
    """Presentation times of a file's frames, in the stream's time base, in order; hashed by identity."""

    def __init__(self, stamps: np.ndarray, offset: int = 0):
        self.stamps = stamps
        self.offset = offset


def frames_from(path: str, stamp: int) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decode a file from the frame at `stamp` (stream time base) on, yielding (stamp, frame)."""
    with av.open(path, metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        # Threads of our own read several files at once; FFmpeg's would only multiply them.
        stream.thread_type = "SLICE"
        if stamp > 0:
            container.seek(stamp, stream=stream)
        for frame in container.decode(stream):
            if frame.pts is not None and frame.pts >= stamp:
                yield frame.pts, frame


def upright(frame: av.VideoFrame) -> np.ndarray:
    """Return a frame as RGB uint8 (H, W, 3), turned as its file says."""
    image = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _open(file: Path, folder: Path) -> Video | Skipped:
    name = file.relative_to(folder).as_posix() if file.is_relative_to(folder) else str(file)
    try:
        with av.open(str(file), metadata_errors="ignore") as container:
            if not container.streams.video:
                return Skipped(name, "no video stream")
            stream = container.streams.video[0]
            stamps = sorted(p.pts for p in container.demux(stream) if p.pts is not None and not p.is_discard)
            base = float(stream.time_base)
        if not stamps:
            return Skipped(name, "no frames")
        next(frames_from(str(file), stamps[0]))
    except (OSError, ValueError, IndexError, av.error.FFmpegError) as error:
        return Skipped(name, f"not a video that can be decoded: {getattr(error, 'strerror', None) or error}")
    except StopIteration:
        return Skipped(name, "its first frame cannot be decoded")
    stamps = np.array(stamps, np.int64)
    seconds = (stamps[-1] - stamps[0]) * base
    fps = round(float((len(stamps) - 1) / seconds), 4) if seconds > 0 else 25.0
    if len(stamps) > 2:
        # A variable rate is made steady at the average: each time takes the frame shown at it.
        gaps = np.diff(stamps)
        if gaps.max() > 1.5 * np.median(gaps):
            wanted = stamps[0] + np.arange(len(stamps)) / (fps * base)
            times = np.searchsorted(stamps, wanted + 0.5, side="right") - 1
            return Video(name, len(stamps), fps, name, label_of_or_none(file, folder), (str(file), _Index(stamps)), times)
    return Video(name, len(stamps), fps, name, label_of_or_none(file, folder), (str(file), _Index(stamps)))


def label_of_or_none(file: Path, folder: Path) -> str:
    return label_of(file, folder) if file.is_relative_to(folder) else ""


def _rows_of(table: Path, folder: Path) -> list[dict]:
    """Read the CSV of clips; a wrong row is named with its line."""
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if "path" not in (reader.fieldnames or ()):
                raise InputError(f"{table}:1: a column `path` is wanted. Received: {', '.join(reader.fieldnames or ())}")
            rows = []
            for row in reader:
                where = f"{table}:{reader.line_num}"
                rows.append(
                    {
                        "path": folder / row["path"],
                        "label": row.get("label") or None,
                        "start": _seconds(row.get("start"), where, "start"),
                        "end": _seconds(row.get("end"), where, "end"),
                    }
                )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: cannot be read: {error}") from None
    if not rows:
        raise InputError(f"{table}: no rows")
    return rows


def _seconds(text: str | None, where: str, column: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise InputError(f"{where}: {column}: seconds are wanted. Received: {text!r}")
    return value


def _cut(video: Video, row: dict) -> Video | Skipped:
    """Return the span of a video that a CSV's row names."""
    first = round((row["start"] or 0.0) * video.fps)
    stop = video.frames if row["end"] is None else min(round(row["end"] * video.fps), video.frames)
    if stop <= first:
        return Skipped(video.name, f"no frames between {row['start'] or 0} and {row['end']} s")
    label = row["label"] if row["label"] is not None else video.label
    if (first, stop) == (0, video.frames):
        return replace(video, label=label)
    times = np.arange(first, stop) if video.times is None else video.times[first:stop]
    name = f"{video.name}[{first / video.fps:.2f}-{stop / video.fps:.2f}s]"
    return replace(video, name=name, frames=stop - first, label=label, times=times)
