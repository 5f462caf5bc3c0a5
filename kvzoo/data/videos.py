"""The source `videos`: a folder of video files, decoded by PyAV."""

import csv
import math
import os
import re
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import av
import av.error
import av.filter
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from kvzoo.data import layouts
from kvzoo.data.source import BrokenVideo, Skipped, Source, Video, all_files, find_files, label_of, square
from kvzoo.errors import InputError
from kvzoo.media import endings
from kvzoo.media.containers import open_container

ENDINGS = endings.VIDEO

COLUMNS = ("path", "start", "end", "label")

# Files kept open where the last read ended, so that reading on needs no second decoding. A decoder
# of full-HD video holds some 60 MB.
OPEN_FILES = 4

MOST_PIXELS = 1 << 26  # of a frame; damaged headers announce frames larger than memory
# What PyAV raises for damaged files; IndexError where a stream appears midway.
FAULTS = (OSError, ValueError, IndexError, av.error.FFmpegError)

NO_TIMES = 0x80  # FFmpeg's flag of containers without times: raw H.264 and its like
PROGRESSIVE = 1  # an AVFieldOrder; those above are of interlaced video
BACK = 4  # frames; decoded ones are out of order by fewer
VOP = b"\x00\x00\x01\xb6"  # begins a frame of MPEG-4
PLACE_HOLDER = 16  # bytes; an MPEG-4 packet of fewer may say only that nothing is shown

HDR = {16: "PQ", 18: "HLG"}  # of AVColorTransferCharacteristic
BT709 = 1  # an AVColorTransferCharacteristic, and AVColorPrimaries
TONE_MAPS = int(av.__version__.partition(".")[0]) >= 17  # releases of PyAV before take HDR for SDR
TONE_MAPPERS = 8  # cached; one takes seconds to set up

PAUSE = 3600.0  # seconds; a longer one between two frames is an error of the file


class Videos(Source):
    """Video files, labelled by their folders or by a column of a CSV.

    Opening reads each file's packets once (no decoding beyond the first frame) for the exact times
    of its frames, so a wrong header or a variable frame rate is harmless: frames are taken at the
    file's average rate. Where packets do not give the times (AVI with B-frames, raw H.264, joined
    files) it decodes the file once. Frames are rotated and mirrored according to the file; frames of
    another size than the first are scaled to it. A frame that cannot be decoded is replaced by the
    one before it.

    Args:
        path: folder of video files, searched with its subfolders.
        csv: a CSV with a column `path` (relative to the folder) and optionally `start` and `end` in
            seconds and `label`; only the listed clips are read, one per row.
        layout: "ucf101", "hmdb51" or "kinetics": take labels, groups and parts from that data set.
        lists: for a layout: the folder of its split files, or its CSV.
        fold: for a layout: number of the published split, from 1.
        part: for a layout: "train", "test", "validate" or "all".

    Raises:
        InputError: no video file, or a CSV or lists in another format than described above.
    """

    def __init__(
        self,
        path: str,
        csv: str | None = None,
        layout: str | None = None,
        lists: str | None = None,
        fold: int = 1,
        part: str = "all",
    ):
        folder, videos, skipped = Path(path), [], []
        if layout and csv:
            raise InputError(f"data.csv: the layout {layout} has lists of its own; use either csv or layout")
        if layout:
            rows = layouts.rows_of(layout, folder, ENDINGS, lists, fold, part)
        elif csv:
            rows = _rows_of(Path(csv), folder)
        else:
            files, skipped = find_files(folder, ENDINGS)
            more, others = _of_unknown_endings(folder)
            rows, skipped = [{"path": file} for file in sorted(files + more)], skipped + others
        files = list(dict.fromkeys(row["path"] for row in rows))
        with ThreadPoolExecutor(8) as pool:
            opened = dict(zip(files, pool.map(lambda file: _open(file, folder), files), strict=True))
        for row in rows:
            video = opened[row["path"]]
            if isinstance(video, Video) and (csv or layout):
                video = _span(video, row)
            (videos if isinstance(video, Video) else skipped).append(video)
        super().__init__(videos, list(dict.fromkeys(skipped)))

    def _begin(self) -> None:
        super()._begin()
        self._readers: OrderedDict[_File, _Reader] = OrderedDict()
        self._readers_lock = threading.Lock()

    def decode(self, video: Video, start: int, stop: int, image_size: int, channels: int) -> np.ndarray:
        file, faults = video.key, {}
        stamps = file.stamps[start:stop].tolist()
        out = np.empty((len(stamps), image_size, image_size, channels), np.uint8)
        try:
            reader = self._reader(file, stamps[0])
            for i, stamp in enumerate(stamps):
                frame = reader.frame_at(stamp)
                if frame.pts != stamp:
                    faults[start + i] = f"frame {start + i}: cannot be decoded; replaced by the frame before"
                out[i] = square(reader.upright(frame, self.whole), image_size, channels, self.whole)
        except FAULTS as error:
            raise BrokenVideo(_reason(error)) from None
        if 2 * len(faults) > len(stamps):
            raise BrokenVideo(f"{len(faults)} of the frames {start} to {start + len(stamps) - 1} cannot be decoded")
        self.note_faults(video, faults)
        with self._readers_lock:
            self._readers[file] = reader
            while len(self._readers) > OPEN_FILES:
                self._readers.popitem(last=False)
        return out

    def size_of(self, video: Video) -> str:
        return "{}x{}".format(*video.key.coded)

    def files_of(self, video: Video) -> Sequence[str]:
        return (video.key.path,)

    def faults_in_words(self, video: Video) -> str:
        return "; ".join(filter(None, (video.key.wrong, super().faults_in_words(video))))

    def _reader(self, file: "_File", stamp: int) -> "_Reader":
        """Return a reader positioned at or before a time: an open one, or a new one."""
        with self._readers_lock:
            reader = self._readers.pop(file, None)
        key = bisect_right(file.keys, stamp) - 1
        if reader and reader.shown.pts <= stamp and (key < 1 or reader.shown.pts >= file.keys[key]):
            return reader
        # Some formats seek past the requested key frame, and some key frames cannot be decoded on their own.
        for earlier in (key, key - 1):
            if earlier > 0:
                reader = _Reader(file, file.keys[earlier])
                if reader.begins_by(stamp):
                    return reader
        return _Reader(file)


class Stream:
    """Iterate over all frames of one video, of any length.

    Frames keep their order and their own times. A frame that cannot be decoded repeats the one before
    it, so that later frames keep their time; the stream ends where nothing more can be decoded.

    Attributes:
        path: the file.
        frames: number of frames.
        fps: average frames per second.
        seconds: (frames,) float64, display time of each frame in seconds from the first one, increasing; steps vary
            where the rate does, and pauses are kept.
        start: time of the first frame in the file, in seconds; sound uses the same clock.
        broken: what is wrong with the part of the file read so far, in words; "" if nothing is.
    """

    def __init__(self, path: str, video: Video):
        self.path, self.frames, self.fps, self.broken = path, video.frames, video.fps, ""
        self._file: _File = video.key
        stamps, base = self._file.stamps, self._file.base
        self.start, self.seconds = float(stamps[0] * base), (stamps - stamps[0]) * base

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield RGB uint8 (H, W, 3), upright; each is valid until the next one is requested."""
        reader, missing = _Reader(self._file), 0
        self.broken = self._file.wrong
        for i, stamp in enumerate(self._file.stamps.tolist()):
            try:
                frame = reader.frame_at(stamp)
                if frame.pts != stamp and reader.at_end():
                    self.broken = f"nothing can be decoded after {i} of {self.frames} frames"
                    return
                image = reader.upright(frame)
            except FAULTS as error:
                self.broken = f"{_reason(error)}, after {i} of {self.frames} frames"
                return
            if frame.pts != stamp:
                missing += 1
                self.broken = f"{missing} of {self.frames} frames cannot be decoded and repeat the frame before"
            yield image


def open_video(path: str | os.PathLike) -> Stream:
    """Open one video for reading from beginning to end.

    Raises:
        InputError: the file does not exist, has no video stream, or cannot be decoded.
    """
    if Path(path).is_dir():
        raise InputError(f"{path}: is a folder, not a video file")
    video = _open(Path(path), Path(path).parent)
    if isinstance(video, Skipped):
        raise InputError(f"{path}: {video.reason}")
    return Stream(str(path), video)


@dataclass(frozen=True, eq=False)
class _File:
    """Metadata of an opened file; times are presentation times in the stream's time base.

    Attributes:
        stamps: time of each frame, increasing.
        base: seconds per unit of time.
        keys: times of the frames at which decoding can begin, rising; empty where it must begin at the first.
        coded: width and height of the first frame as it is coded.
        square: width and height of all frames with square pixels, before they are turned.
        flagged: whether the decoder marks key frames, judging by the first one; some never do.
        turn: orientation of all frames: transposed, then mirrored left to right, then upside down.
        counted: frames are identified by counting, because decoded times differ from `stamps`.
        wrong: what is wrong with the file as a whole, in words; "" if nothing is.
    """

    path: str
    stamps: np.ndarray
    base: float
    keys: list[int]
    coded: tuple[int, int]
    square: tuple[int, int]
    flagged: bool = True
    turn: tuple[bool, bool, bool] = (False, False, False)
    counted: bool = False
    wrong: str = ""


def _decode(path: str | Path, key: int | None = None) -> Iterator[av.VideoFrame]:
    """Yield all frames that FFmpeg decodes, in display order, from a key frame or the beginning."""
    with open_container(path) as container:
        stream = _video_stream(container)
        # Several files are read at once: more threads per file would only compete for the cores.
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
        if key is not None:
            try:
                container.seek(key, stream=stream)
            except av.error.FFmpegError:
                return
        for packet in container.demux(stream):
            # An empty packet with a time is a dropped frame; the decoder would take it for the end.
            if not packet.size and packet.dts is not None:
                continue
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue
            yield from frames


class _Reader:
    """A file's frames in order, from a key frame or from the beginning on."""

    def __init__(self, file: _File, key: int | None = None):
        self.shown: av.VideoFrame | None = None
        self._next: av.VideoFrame | None = None
        self._file = file
        self._frames = self._stamped(key)
        # One for all frames: setting up a conversion takes longer than a small frame's.
        self._reformatter = VideoReformatter()
        self._middles: dict[tuple, _Middle] = {}

    def begins_by(self, stamp: int) -> bool:
        """Return whether the first frame is at or before a time, and needs no other to be decoded."""
        first = self._peek()
        if first is None or first.pts > stamp:
            return False
        return bool(first.key_frame) or not self._file.flagged

    def frame_at(self, stamp: int) -> av.VideoFrame:
        """Return the frame displayed at a time, no earlier than the last one requested."""
        while self.shown is None or self.shown.pts < stamp:
            frame = self._peek()
            if frame is None or (self.shown is not None and frame.pts > stamp):
                break
            self.shown, self._next = frame, None
        if self.shown is None:
            raise ValueError("no frame can be decoded")
        return self.shown

    def at_end(self) -> bool:
        """Return whether no frame follows the one that is shown."""
        return self._peek() is None

    def upright(self, frame: av.VideoFrame, whole: bool = True) -> np.ndarray:
        """Return a frame as RGB uint8 (H, W, 3) of square pixels, turned as its file says; valid while the frame is.

        An interlaced frame is its first field with the rows between interpolated. Unless `whole` is set, much of the
        area outside the centred square is missing, as its colours need no conversion.
        """
        interlaced, (width, height) = frame.interlaced_frame, self._file.square
        if not whole and not interlaced and (frame.width, frame.height) == (width, height) and _Middle.pays(frame):
            key = (frame.width, frame.height, frame.format.name)
            if key not in self._middles:
                self._middles[key] = _Middle(frame)
            frame = self._middles[key].of(frame)
            width, height = frame.width, frame.height
        if TONE_MAPS and frame.color_trc in HDR:
            rgb = _tone_map(frame, width, height)
        else:
            rgb = self._reformatter.reformat(frame, width=width, height=height, format="rgb24")
        plane = rgb.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: rgb.height, : 3 * rgb.width]
        image = rows.reshape(rgb.height, rgb.width, 3)
        if interlaced and rgb.height > 1:
            image = cv2.resize(np.ascontiguousarray(image[::2]), (rgb.width, rgb.height))
        return _apply_turn(image, self._file.turn)

    def _peek(self) -> av.VideoFrame | None:
        if self._next is None:
            self._next = next(self._frames, None)
        return self._next

    def _stamped(self, key: int | None) -> Iterator[av.VideoFrame]:
        """Yield the frames whose times are those of the file's `stamps`."""
        file = self._file
        if file.counted:
            for stamp, frame in zip(file.stamps.tolist(), _decode(file.path), strict=False):
                frame.pts = stamp
                yield frame
        else:
            yield from (frame for frame in _decode(file.path, key) if frame.pts is not None)


_tone_mappers: OrderedDict[tuple, tuple[threading.Lock, VideoReformatter]] = OrderedDict()
_tone_mappers_lock = threading.Lock()


def _tone_map(frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
    """Return an HDR frame tone-mapped to SDR by FFmpeg, as rgb24 of another size."""
    key = (frame.width, frame.height, frame.format.name, width, height, frame.color_trc, frame.color_primaries)
    with _tone_mappers_lock:
        lock, reformatter = _tone_mappers.setdefault(key, (threading.Lock(), VideoReformatter()))
        _tone_mappers.move_to_end(key)
        if len(_tone_mappers) > TONE_MAPPERS:
            _tone_mappers.popitem(last=False)
    with lock:
        return reformatter.reformat(
            frame, width=width, height=height, format="rgb24", dst_color_trc=BT709, dst_color_primaries=BT709
        )


class _Middle:
    """FFmpeg's filter `crop`, which crops planes without a copy, for frames of one size.

    The result has the same centred square and MARGIN pixels around it, as far as upsampled colours reach.
    """

    MARGIN = 8

    def __init__(self, frame: av.VideoFrame):
        width, height = frame.width, frame.height
        side = min(width, height)
        # Even, so that the planes of colours are cut at the same place.
        left, top = (max(0, (size - side) // 2 - self.MARGIN) // 2 * 2 for size in (width, height))
        self._graph = av.filter.Graph()
        size = f"video_size={width}x{height}:pix_fmt={frame.format.name}:time_base=1/1000:pixel_aspect=1/1"
        self._source = self._graph.add("buffer", size)
        crop = self._graph.add("crop", f"{width - 2 * left}:{height - 2 * top}:{left}:{top}")
        self._sink = self._graph.add("buffersink")
        self._source.link_to(crop)
        crop.link_to(self._sink)
        self._graph.configure()

    @staticmethod
    def pays(frame: av.VideoFrame) -> bool:
        """Return whether a frame is so elongated that cropping it costs less than converting it."""
        short, long = sorted((frame.width, frame.height))
        colours = frame.format.name.startswith("yuv") and frame.format.chroma_width(4) >= 2
        # With an odd difference the middle of a frame rotated afterwards would be another.
        return colours and long - short >= 64 and (long - short) % 2 == 0

    def of(self, frame: av.VideoFrame) -> av.VideoFrame:
        self._source.push(frame)
        return self._sink.pull()


def _video_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """Return the first video stream that is neither a cover picture nor a still beside a film; None where there is none.

    An animated AVIF, for instance, is a picture and, as a second stream, a film.
    """
    pictures = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & pictures]
    return next((stream for stream in streams if stream.frames != 1), next(iter(streams), None))


def _stated_end(stream: av.VideoStream) -> float:
    """Return the end of a stream in seconds according to its header; 0 if it states none."""
    if stream.duration:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    # Matroska's field: hours, minutes and seconds.
    parts = stream.metadata.get("DURATION", "").split(":")
    try:
        return sum(float(part) * unit for part, unit in zip(parts, (3600, 60, 1), strict=True))
    except ValueError:
        return 0.0


def _turn(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Return how a frame is to be turned: transposed, then mirrored left to right, then upside down."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    # x' = a x + c y and y' = b x + d y, with y downwards.
    a, b, _, c, d = np.frombuffer(data, np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def _apply_turn(image: np.ndarray, turn: tuple[bool, bool, bool]) -> np.ndarray:
    if not any(turn):
        return image
    transposed, mirrored, flipped = turn
    image = image.swapaxes(0, 1) if transposed else image
    return np.ascontiguousarray(image[:: -1 if flipped else 1, :: -1 if mirrored else 1])


def _shown_at(frames: Iterable[av.VideoFrame], guessed: bool) -> list[int | None]:
    """Return the display times of decoded frames, like FFmpeg's `best_effort_timestamp`; None if unknown.

    A frame has its own time and that of its packet. The latter counts if the file's times are FFmpeg's guesses.
    """
    if guessed:
        return [frame.dts for frame in frames]
    times, faults, last_pts, last_dts = [], 0, -math.inf, -math.inf
    for frame in frames:
        pts, dts = frame.pts, frame.dts
        # As in FFmpeg's guess_correct_pts: the kind of time that failed to increase less often is used.
        if dts is not None:
            faults -= dts <= last_dts
        if pts is not None:
            faults += pts <= last_pts
        last_dts = next((time for time in (dts, pts) if time is not None), last_dts)
        last_pts = next((time for time in (pts, dts) if time is not None), last_pts)
        times.append(pts if pts is not None and (faults <= 0 or dts is None) else dts)
    return times


def _rising(times: Sequence[int | None], step: float) -> tuple[np.ndarray, str]:
    """Return increasing times, and what was wrong with them in words; "" if nothing was.

    Args:
        times: times of frames; None is a step later than the one before.
        step: default step between frames. Times that go back by more than BACK steps restart, as in a file joined
            from several.
    """
    first = next((i for i, time in enumerate(times) if time is not None), None)
    out = [0 if first is None else times[first] - first * step] if times else []
    shift, again, late = 0, 0, 0
    for i, time in enumerate(times[1:], 1):
        if time is None:
            time = out[-1] + step
        elif time + shift < out[-1] - BACK * step:
            again, shift = again or i, out[-1] + step - time
            time = out[-1] + step
        else:
            time += shift
        late += time <= out[-1]
        out.append(max(time, out[-1] + 1))
    words = f"the times of {late} of {len(out)} frames do not rise" if late else ""
    words = f"its times restart at frame {again}; they are read as continuing" if again else words
    return np.round(out).astype(np.int64), words


def _open(path: Path, folder: Path) -> Video | Skipped:
    name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
    try:
        if not path.stat().st_size:
            return Skipped(name, "the file is empty")
        file = _inspect(path)
    except FAULTS as error:
        return Skipped(name, _reason(error))
    if isinstance(file, str):
        return Skipped(name, file)
    stamps, base = file.stamps, file.base
    gaps = np.diff(stamps)
    if len(gaps):
        gaps = np.where(gaps * base > PAUSE, np.median(gaps), gaps)
    starts = np.concatenate([[0], np.cumsum(gaps)])
    seconds = starts[-1] * base
    fps = round(float((len(stamps) - 1) / seconds), 4) if seconds > 0 else 25.0
    video = Video(name, len(stamps), fps, group=name, label=label_of(path, folder), key=file)
    if len(gaps) > 1 and np.abs(gaps - np.median(gaps)).max() > np.median(gaps) / 2:
        # A variable rate is resampled at the average rate: each time takes the frame displayed then.
        times = np.arange(len(stamps)) / (fps * base)
        video = replace(video, times=np.searchsorted(starts, times + 0.5, side="right") - 1)
    return video


def _inspect(path: Path) -> _File | str:
    """Return the metadata of a file, or why it cannot be used."""
    with open_container(path) as container:
        stream = _video_stream(container)
        if stream is None:
            return "no video stream"
        codec = stream.codec_context
        if codec is None:
            return "no decoder for its video"
        if codec.width * codec.height > MOST_PIXELS:
            limit = f"the limit is {MOST_PIXELS / 1e6:.0f} million"
            return f"frames of {codec.width}x{codec.height} pixels; {limit}"
        packets, marked, end, cut = [], _is_marked(codec.extradata), 0, False
        for packet in container.demux(stream):
            if not packet.size:
                continue
            frames = _frames_in(packet, codec.name)
            marked = marked or (not packets and _is_marked(bytes(packet)))
            packets.append(_Packet(packet.pts, packet.dts, packet.is_keyframe, packet.is_discard, frames))
            # A corrupt packet at the end is the rest of one where the file was cut off.
            cut = packet.is_corrupt
            end = end if cut else max(end, (packet.pts or 0) + (packet.duration or 0))
        base = float(stream.time_base)
        # Headers are wrong by a frame or two; a file that was cut off lacks more.
        left_out, cut = int(cut), cut or _stated_end(stream) - end * base > 0.5
        aspect, rate = float(stream.sample_aspect_ratio or 1), float(stream.guessed_rate or stream.average_rate or 25)
        coding, kind, flags, reordered = (
            codec.name,
            container.format.name,
            container.format.flags,
            bool(codec.has_b_frames),
        )
        halves = 0.75 / (rate * base) if codec.field_order > PROGRESSIVE else 0
        wrong = ""
        if codec.color_trc in HDR and not TONE_MAPS:
            wrong = f"HDR ({HDR[codec.color_trc]}) is read as SDR; PyAV 17 or newer converts it"
    if not packets:
        return "no frames"
    step, counted, keys = 1 / (rate * base), True, []
    guessed = kind == "avi" and reordered
    if guessed and coding == "mpeg4" and (stored := _in_stored_order(packets, marked, step)):
        first, stamps = next(_decode(path), None), np.array(stored, np.int64)
    elif guessed or flags & NO_TIMES or not _have_times(packets, reordered, halves):
        frames = _decode(path)
        first = next(frames, None)
        times = [] if first is None else _shown_at(chain([first], frames), guessed)
        stamps, words = _rising(times, step)
        wrong = words or wrong
    else:
        first, counted, packets = next(_decode(path), None), False, packets[: len(packets) - left_out]
        stamps = np.array(sorted(packet.pts for packet in packets if not packet.discard), np.int64)
        # After a seek in an MPEG program stream FFmpeg guesses times.
        keys = [] if kind == "mpeg" else sorted(packet.pts for packet in packets if packet.key)
    if first is None or not len(stamps):
        return "no frame can be decoded"
    width, height = first.width, first.height
    square = (max(2, 2 * round(width * aspect / 2)), height) if aspect != 1 and 0.1 < aspect < 10 else (width, height)
    wrong = f"cut off after {len(stamps)} frames" if cut else wrong
    flagged = bool(first.key_frame)
    return _File(str(path), stamps, base, keys, (width, height), square, flagged, _turn(first), counted, wrong)


class _Packet(NamedTuple):
    """Fields of a packet that need no decoding; `frames` is its number of displayed frames."""

    pts: int | None
    dts: int | None
    key: bool
    discard: bool
    frames: int


def _frames_in(packet: av.Packet, codec: str) -> int:
    """Return the number of displayed frames in a packet, as far as known without decoding: 0, 1 or more."""
    if codec == "mpeg4":
        return 0 if packet.size <= PLACE_HOLDER else bytes(packet).count(VOP)
    return 0 if codec == "vp8" and not memoryview(packet)[0] & 0x10 else 1


def _is_marked(data: bytes | None) -> bool:
    """Return whether an MPEG-4 stream is marked as having packed B-frames, as XviD and DivX write them."""
    return bool(re.search(rb"DivX\d+(Build|b)\d+p", data or b""))


def _in_stored_order(packets: Sequence[_Packet], marked: bool, step: float) -> list[int] | None:
    """Return the display times of MPEG-4 frames with B-frames in an AVI; None if they need decoding.

    An AVI's times are those of its packets, and FFmpeg outputs one frame for each packet except the first. With packed
    B-frames, a packet holds a frame and the B-frame displayed before it; a place holder follows all B-frames.
    """
    holds_frame = False
    for packet in packets:
        # (holds_frame, frames): a place holder outputs the frame held back; one packed with a frame is held back.
        if packet.dts is None or (holds_frame, packet.frames) not in ((False, 1), (False, 2), (True, 1), (True, 0)):
            return None
        if packet.frames == 2 and not marked:
            return None
        holds_frame = packet.frames == 2 or (holds_frame and packet.frames == 1)
    times = [packet.dts for packet in packets[1:]]
    if not packets[0].key or times != sorted(set(times)):
        return None
    return [*times, round((times or [packets[0].dts])[-1] + step)]


def _have_times(packets: Sequence[_Packet], reordered: bool, halves: float) -> bool:
    """Return whether each packet is one frame with its own time.

    Args:
        packets: of the whole stream.
        reordered: whether frames are displayed in another order than they are stored.
        halves: shorter steps, in the stream's ticks, are those of fields, half frames in packets of their own.
    """
    times, stored = [p.pts for p in packets], [p.dts for p in packets if p.dts is not None]
    if None in times or len(set(times)) < len(times) or stored != sorted(stored) or any(p.frames != 1 for p in packets):
        return False
    # Times in the order of storage, if it differs from the display order, are invented.
    if reordered and len(times) > 2 and times == sorted(times):
        return False
    return len(times) < 3 or float(np.median(np.diff(sorted(times)))) > halves


def _reason(error: Exception) -> str:
    """Return why a file cannot be read, in a few words and without its path."""
    if isinstance(error, (av.error.InvalidDataError, av.error.EOFError, IndexError)):
        return "not a video, or damaged"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return reason[0].lower() + reason[1:]


def _of_unknown_endings(folder: Path) -> tuple[list[Path], list[Skipped]]:
    """Return the videos of a folder whose endings are not in ENDINGS, and the other files.

    Files with a known ending of something else, and files without one that are no video, are left out of both.
    """
    files, skipped = [], []
    for file in all_files(folder)[0]:
        ending = file.suffix.lower()
        if ending in ENDINGS or ending in endings.NO_VIDEO:
            continue
        try:
            with open_container(file) as container:
                is_video = _video_stream(container) is not None
        except FAULTS:
            is_video = False
        if is_video:
            files.append(file)
        elif ending:
            skipped.append(Skipped(file.relative_to(folder).as_posix(), f"{ending} is not the ending of a video"))
    return files, skipped


def _rows_of(table: Path, folder: Path) -> list[dict]:
    """Read the CSV of clips; errors name the line."""
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns = [column.strip() for column in reader.fieldnames or ()]
            reader.fieldnames = columns
            if "path" not in columns:
                header = ", ".join(columns) or "an empty line"
                raise InputError(f"{table}:1: the column `path` is missing. Received: {header}")
            for column in columns:
                # Other columns are allowed, but a misspelt one would be ignored silently.
                missing = [name for name in COLUMNS if name not in columns]
                if column not in COLUMNS and (near := get_close_matches(column.lower(), missing, n=1, cutoff=0.8)):
                    raise InputError(f"{table}:1: unknown column {column!r}; did you mean {near[0]}?")
            rows = [
                _row(row, f"{table}:{reader.line_num}", folder) for row in reader if any(map(_is_filled, row.values()))
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not rows:
        raise InputError(f"{table}: no rows")
    return rows


def _is_filled(cell: str | list | None) -> bool:
    return bool(cell and (isinstance(cell, list) or cell.strip()))


def _row(row: dict, where: str, folder: Path) -> dict:
    if None in row:
        raise InputError(f"{where}: more cells than columns; quote cells that contain a comma")
    # Blanks around a cell are seldom intended, but a file name may have them.
    exact, row = row["path"], {column: (cell or "").strip() for column, cell in row.items()}
    if not row["path"]:
        raise InputError(f"{where}: path: must be a file; the cell is empty")
    if (folder / exact).is_file():
        row["path"] = exact
    start, end = (_seconds(row.get(column), where, column) for column in ("start", "end"))
    if end is not None and end <= (start or 0.0):
        raise InputError(f"{where}: end: must be greater than start ({start or 0:g}). Received: {end:g}")
    path = Path(os.path.normpath(folder / row["path"]))
    return {"path": path, "start": start or 0.0, "end": end, "label": row.get("label") or None}


def _seconds(text: str | None, where: str, column: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise InputError(f"{where}: {column}: must be a number of seconds, at least 0. Received: {text!r}")
    return value


def _span(video: Video, row: dict) -> Video | Skipped:
    """Return the span of a video that a row of the CSV describes."""
    if row["label"] is not None:
        video = replace(video, label=row["label"])
    if row.get("group"):
        video = replace(video, group=row["group"])
    first = round(row["start"] * video.fps)
    stop = video.frames if row["end"] is None else min(round(row["end"] * video.fps), video.frames)
    name = f"{video.name}[{first / video.fps:.2f}-{stop / video.fps:.2f}s]"
    if stop <= first:
        end = "its end" if row["end"] is None else f"{row['end']:g} s"
        seconds = video.frames / video.fps
        return Skipped(video.name, f"no frames between {row['start']:g} s and {end}; it has {seconds:.2f} s")
    if (first, stop) == (0, video.frames):
        return video
    times = np.arange(first, stop) if video.times is None else video.times[first:stop]
    return replace(video, name=name, frames=stop - first, times=times)
