"""Find anomalies in videos: the score of a frame is its reconstruction error by a model trained on normal data.

Windows overlap; a frame's error map is the mean over the windows that contain it. Its score is the mean of the map, or
the highest mean over a square of a quarter of its side ("patch"), which is more sensitive to small anomalies.
Scores are smoothed over time, as is usual: an anomaly lasts longer than a frame.
"""

import csv
import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kvzoo.apps.outputs import check_folder, sound_of, unique_stem
from kvzoo.apps.streams import ahead, batches, windows
from kvzoo.data.source import BrokenVideo, square
from kvzoo.data.videos import open_video
from kvzoo.errors import InputError, WriteError, did_you_mean
from kvzoo.files import writing, written_whole
from kvzoo.media.audio import Sound
from kvzoo.media.clips import is_steady, stack, write_mp4
from kvzoo.recipe.resolve import Recipe
from kvzoo.run.evaluate import laid_over
from kvzoo.run.folder import RunFolder

MEASURES = ("patch", "mean")
TRIVIAL = ("frame difference", "distance to the training mean frame")

CHUNK = 64  # frames read from a source at once
SIDE = 192  # minimum pixels of an overlay's side
SATURATED = 0.5  # difference of values 0..1 at which an overlay is brightest
SHOWN = 4  # frames at peaks in a plot
CANDIDATES = 64  # spans of a video of which one frame each is kept for the plot
MEAN_FRAME_CLIPS = 256


@dataclass(frozen=True)
class Settings:
    """How scores are computed; only scores with equal settings are comparable.

    Attributes:
        measure: "patch" or "mean": how the error map is reduced to one score.
        stride: frames from the beginning of a window to the next.
        smooth: standard deviation in seconds of the Gaussian over time; 0 for none.
        normalise: scale each video's scores to 0..1, as is usual. It equalises the levels of videos, and needs the
            whole video before any score is known.
    """

    measure: str = "patch"
    stride: int = 1
    smooth: float = 0.2
    normalise: bool = False


@dataclass(frozen=True)
class Scores:
    """The scores of one video.

    Attributes:
        name: name of the video.
        fps: frames per second.
        scores: (frames,) mean squared errors on values 0..1; higher is more anomalous.
        seconds: (frames,) display times, from the first frame.
        labels: uint8 (frames,), 1 for anomalous frames; None if unknown.
        trivial: scores of the baselines TRIVIAL, (frames,) each; empty without labels.
        broken: what is wrong with the video; "" if nothing is.
        sound: what the overlay leaves out of its sound, in words; "" if nothing.
    """

    name: str
    fps: float
    scores: np.ndarray
    seconds: np.ndarray
    labels: np.ndarray | None = None
    trivial: Mapping[str, np.ndarray] = field(default_factory=dict)
    broken: str = ""
    sound: str = ""


@dataclass(frozen=True)
class Detection:
    """The result of `anomaly`.

    Attributes:
        videos: the scores of each video.
        skipped: (video, reason) of the videos that cannot be scored.
        auroc: by score, "micro" (all frames pooled), "macro" (mean over the videos with both classes) and
            "videos" (their number); empty without labelled anomalies. The first is the model's.
        threshold: frames with a higher score are anomalous; None if none was set or fitted.
        settings: how the scores were computed.
        notes: which labels were not used, in words.
    """

    videos: list[Scores]
    skipped: list[tuple[str, str]]
    auroc: dict[str, dict[str, float]]
    threshold: float | None
    settings: Settings
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Video:
    """A video to score; `images` yields its frames at the model's size, then `broken` returns what is wrong with it."""

    name: str
    fps: float
    seconds: np.ndarray
    images: Callable[[int, int], Iterator[np.ndarray]]
    broken: Callable[[], str] = lambda: ""
    labels: np.ndarray | None = None
    sound: Callable[[], Sound] = Sound


def anomaly(
    run: str | os.PathLike,
    videos: Sequence[str | os.PathLike] = (),
    out: str | os.PathLike = "anomalies",
    *,
    data: Mapping[str, Any] | None = None,
    labels: str | os.PathLike | None = None,
    settings: Settings | None = None,
    threshold: float | str | os.PathLike | None = None,
    false_alarms: float | None = None,
    overlay: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Detection:
    """Score every frame of videos, and write a CSV, a plot and an overlay video for each to a folder.

    Args:
        run: a run folder of a model trained on normal data.
        videos: video files; empty if `data` is used.
        out: the folder; it must be empty or not exist.
        data: keys that override the run's `data`, such as {"part": "test"}: these videos are scored, with the
            source's frame labels if it has any.
        labels: CSV with the columns video, start, stop, one row per anomaly: frames start to stop - 1, and the
            video's path relative to the CSV. Videos without a row are normal.
        settings: how to compute scores; by default with a stride of a quarter of the model's frames.
        threshold: a number, or the file threshold.json that an earlier call with `false_alarms` wrote.
        false_alarms: fit the threshold: the lowest exceeded by at most this fraction of the normal frames.
        overlay: whether to write the overlay videos.
        progress: called with the number of frames scored since the last call.

    Raises:
        InputError: `run` is not a run folder, has no model yet, or has a model of another task; no video can be
            scored; labels or threshold are invalid; or the folder cannot be written.
    """
    recipe = check_request(run, videos, out, data, labels, settings, threshold, false_alarms)
    from kvzoo import zoo

    length = recipe["model"].get("frames") or zoo.load(run).clip_shape[0]
    settings = settings or Settings(stride=max(1, length // 4))
    if settings.stride > length:
        raise InputError(f"stride: must be at most the model's {length} frames. Received: {settings.stride}")
    if isinstance(threshold, (str, os.PathLike)):
        threshold = _read_threshold(threshold, settings)
    notes: list[str] = []
    video_list, skipped = ([], []) if data else _of_files(videos, labels, length, notes)
    model = zoo.load(run)
    if data:
        video_list, skipped = _of_data(recipe, data, model.clip_shape)
    has_labels = any(video.labels is not None for video in video_list)
    mean_frame = _mean_frame(recipe, model.clip_shape) if has_labels else None

    folder, results_by_stem, stems = Path(out), [], {"roc", "anomaly", "threshold"}
    unwritten: list[WriteError] = []
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for video in video_list:
        stem = unique_stem(video.name, stems)
        try:
            result, peaks = _score(
                model, video, settings, mean_frame, overlay and folder / f"{stem}.mp4", unwritten, progress
            )
        except (InputError, BrokenVideo) as error:
            skipped.append((video.name, str(error)))
            continue
        results_by_stem.append((stem, result, peaks))
        _write_csv(folder / f"{stem}.csv", result, threshold)
        if false_alarms is None:
            _write_plot(folder / f"{stem}.png", result, peaks, threshold, unwritten)
    if not results_by_stem:
        raise InputError(f"no video can be scored: {skipped[0][0]}: {skipped[0][1]}")
    results = [result for _, result, _ in results_by_stem]
    if false_alarms is not None:
        threshold = _fit_threshold(results, false_alarms, settings, folder / "threshold.json")
        for stem, result, peaks in results_by_stem:
            _write_csv(folder / f"{stem}.csv", result, threshold)
            _write_plot(folder / f"{stem}.png", result, peaks, threshold, unwritten)
    auroc = _auroc_by_score(results, folder) if any(r.labels is not None and r.labels.any() for r in results) else {}
    detection = Detection(results, skipped, auroc, threshold, settings, notes)
    _write_json(folder / "anomaly.json", _summary(detection, run, data, false_alarms))
    if unwritten:
        raise unwritten[0]
    return detection


def check_request(run, videos, out, data=None, labels=None, settings=None, threshold=None, false_alarms=None) -> Recipe:
    """Validate the arguments of `anomaly` without Keras and return the run's recipe."""
    recipe = RunFolder(run).trained("anomaly")
    if bool(videos) == bool(data):
        raise InputError("use either video files or --data, such as --data part=test")
    if data:
        laid_over(recipe, data)
        if labels:
            raise InputError("--labels: supports only video files; the source of --data has its own labels")
    for video in videos:
        if Path(video).is_dir():
            raise InputError(
                f"{video}: is a folder, not a video file; use --data source=videos --data path=… to read one"
            )
    if settings and settings.measure not in MEASURES:
        hint = did_you_mean(settings.measure, MEASURES) or f"; known: {', '.join(MEASURES)}"
        raise InputError(f"measure: unknown {settings.measure!r}{hint}")
    if settings and (settings.stride < 1 or settings.smooth < 0):
        raise InputError(
            f"stride must be at least 1 and smooth at least 0. "
            f"Received: stride {settings.stride}, smooth {settings.smooth:g}"
        )
    if false_alarms is not None and not 0 < false_alarms < 1:
        raise InputError(f"--fit-threshold: must be a fraction between 0 and 1. Received: {false_alarms:g}")
    if false_alarms is not None and threshold is not None:
        raise InputError("--threshold and --fit-threshold: use only one of them")
    if settings and settings.normalise and (false_alarms is not None or threshold is not None):
        raise InputError(
            "--normalise: scales the highest score of every video to 1, so it does not support a threshold"
        )
    if videos and not any(os.path.exists(video) for video in videos):
        raise InputError(f"{videos[0]}: no such file")
    if labels:
        _read_labels(Path(labels), videos)
    check_folder(out)
    return recipe


def _of_files(paths: Sequence[str | os.PathLike], labels, length: int, notes: list[str]):
    """Open video files; those that cannot be scored are returned separately, unless there are no others."""
    spans, label_notes = _read_labels(Path(labels), paths) if labels else ({}, [])
    notes += label_notes
    video_list, skipped = [], []
    for path in paths:
        try:
            stream = open_video(path)
        except InputError as error:
            skipped.append((str(path), str(error).removeprefix(f"{path}: ")))
            continue
        if stream.frames < length:
            skipped.append((str(path), _too_short(stream.frames, length)))
            continue
        frame_labels = _frame_labels(spans[os.path.realpath(path)], path, stream.frames, notes) if labels else None
        video_list.append(_of_file(str(path), stream, frame_labels))
    if not video_list:
        raise InputError(f"{skipped[0][0]}: {skipped[0][1]}")
    return video_list, skipped


def _of_file(name: str, stream, labels: np.ndarray | None) -> _Video:
    def images(image_size: int, channels: int) -> Iterator[np.ndarray]:
        # Copied, because a frame that needs no resizing is still the decoder's memory.
        return (square(frame, image_size, channels).copy() for frame in stream)

    times = stream.seconds
    return _Video(name, stream.fps, times, images, lambda: stream.broken, labels, lambda: sound_of(stream))


def _of_data(recipe: Recipe, data: Mapping[str, Any], clip_shape: Sequence[int]):
    from kvzoo.data.pipeline import open_data

    opened = open_data(laid_over(recipe, data), (clip_shape,), recipe["fit"]["seed"])
    source, length = opened.training.source, clip_shape[0]
    video_list, skipped = [], [(entry.name, entry.reason) for entry in opened.skipped]
    for video in opened.training.videos:
        if video.frames < length:
            skipped.append((video.name, _too_short(video.frames, length)))
            continue
        labels = source.frame_labels(video) if hasattr(source, "frame_labels") else None
        times = np.arange(video.frames) / video.fps
        video_list.append(_Video(video.name, video.fps, times, _reader(source, video), labels=labels))
    if not video_list:
        raise InputError(f"{skipped[0][0]}: {skipped[0][1]}")
    return video_list, skipped


def _reader(source, video) -> Callable[[int, int], Iterator[np.ndarray]]:
    def images(image_size: int, channels: int) -> Iterator[np.ndarray]:
        for start in range(0, video.frames, CHUNK):
            yield from source.read(video, range(start, min(start + CHUNK, video.frames)), image_size, channels)

    return images


def _too_short(frames: int, length: int) -> str:
    return f"has {frames} frames; the model needs at least {length}"


@dataclass(frozen=True)
class _Span:
    """Anomalous frames of a video, and their row in the file of labels, such as "labels.csv:3"."""

    start: int
    stop: int
    row: str


def _read_labels(file: Path, paths: Sequence) -> tuple[dict[str, list[_Span]], list[str]]:
    """Return the anomalies of each video file by its real path, and notes on unused rows.

    Blanks around cells are ignored.

    Raises:
        InputError: a column is missing, or a row is not an existing file and a span of frames.
    """
    spans: dict[str, list[_Span]] = {os.path.realpath(path): [] for path in paths}
    others, notes = [], []
    try:
        # Decoded like paths, so that names that are not UTF-8 match too.
        with open(file, newline="", encoding="utf-8-sig", errors="surrogateescape") as text:
            rows = csv.reader(text, skipinitialspace=True)
            columns = [cell.strip() for cell in next(rows, [])]
            if absent := {"video", "start", "stop"} - set(columns):
                raise InputError(f"{file}: the column {sorted(absent)[0]} is missing; required: video, start, stop")
            for cells in rows:
                cells = [cell.strip() for cell in cells]
                if not any(cells):
                    continue
                place = f"{file}:{rows.line_num}"
                if len(cells) > len(columns):
                    raise InputError(f"{place}: more cells than columns; quote cells that contain a comma")
                row = dict.fromkeys(columns, "") | dict(zip(columns, cells, strict=False))
                span = _span(row, place)
                path = os.path.realpath(file.parent / row["video"])
                if path not in spans:
                    others.append((row["video"], path, place))
                elif same := [
                    other.row for other in spans[path] if (other.start, other.stop) == (span.start, span.stop)
                ]:
                    notes.append(f"{place}: repeats {same[0]}")
                else:
                    spans[path].append(span)
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    names = [os.path.relpath(path, os.path.realpath(file.parent)) for path in spans]
    for name, path, place in others:
        # A misspelt name would leave an anomalous video unlabelled, that is, normal.
        if not os.path.isfile(path):
            hint = did_you_mean(name, names) or "; paths are relative to the CSV"
            raise InputError(f"{place}: no such video: {name}{hint}")
    if others:
        name, _, place = others[0]
        if not any(spans.values()):
            raise InputError(f"{file}: names none of the videos, but {name!r}; paths are relative to the CSV")
        rows = f"{len(others)} rows name" if len(others) > 1 else "1 row names"
        notes.append(f"{file}: {rows} videos that are not scored, such as {name} ({place})")
    return spans, notes


def _span(row: Mapping[str, str], place: str) -> _Span:
    if not row["video"]:
        raise InputError(f"{place}: video: the cell is empty")
    try:
        start, stop = int(row["start"]), int(row["stop"])
    except ValueError:
        start, stop = -1, -1
    if not 0 <= start < stop:
        raise InputError(
            f"{place}: start and stop must be frame numbers with 0 <= start < stop. "
            f"Received: {row['start']}, {row['stop']}"
        )
    return _Span(start, stop, place)


def _frame_labels(spans: Iterable[_Span], path, frames: int, notes: list[str]) -> np.ndarray:
    """Return uint8 (frames,), 1 within spans; adds a note for each span that exceeds the video's end."""
    labels = np.zeros(frames, np.uint8)
    for span in spans:
        if span.start >= frames:
            raise InputError(
                f"{span.row}: start must be less than the {frames} frames of {path}. Received: {span.start}"
            )
        if span.stop > frames:
            notes.append(f"{span.row}: stop is beyond the {frames} frames of {path}. Received: {span.stop}")
        labels[span.start : span.stop] = 1
    return labels


def _mean_frame(recipe: Recipe, clip_shape: Sequence[int]) -> np.ndarray | None:
    """Return the mean of the run's training frames, 0..1; None if they no longer exist."""
    from kvzoo.data.pipeline import open_data

    try:
        opened = open_data(recipe["data"], (clip_shape,), recipe["fit"]["seed"])
        clips, *_ = opened.training.arrays(MEAN_FRAME_CLIPS)
    except InputError:
        return None
    return clips.mean((0, 1)) / 255.0


def _score(model, video: _Video, settings: Settings, mean_frame, overlay, unwritten: list[WriteError], progress):
    """Write a video's overlay; return its Scores and the frames at its peaks, {frame number: image}.

    If the overlay cannot be written, its error is added to `unwritten`, and the scores are still returned.
    """
    length, image_size, _, channels = model.clip_shape
    images = video.images(image_size, channels)
    maps = _error_maps(ahead(_forward(model, ahead(batches(windows(images, length, settings.stride))))))
    peaks, raw, trivial, previous = _Peaks(len(video.seconds)), [], {name: [] for name in TRIVIAL}, None

    def overlay_frames() -> Iterator[np.ndarray]:
        nonlocal previous
        for frame, error in maps:
            raw.append(_reduce(error, settings.measure))
            peaks.see(raw[-1], frame)
            if video.labels is not None:
                values = frame / 255.0
                trivial[TRIVIAL[0]].append(0.0 if previous is None else np.abs(values - previous).mean())
                if mean_frame is not None:
                    trivial[TRIVIAL[1]].append(math.sqrt(np.square(values - mean_frame).mean()))
                previous = values
            if progress:
                progress(1)
            yield _picture(frame, error)

    pictures, sound = overlay_frames(), Sound()
    try:
        # Opened before anything is written, so that a video that cannot be decoded leaves no file.
        if (first := next(pictures, None)) is None:
            raise InputError(video.broken() or "fewer frames can be decoded than the model needs")
        if overlay:
            sound = video.sound()
            try:
                write_mp4(overlay, chain([first], pictures), video.fps, sound.frames, video.seconds + sound.delay)
            except WriteError as error:
                unwritten.append(error)
        for _ in pictures:  # All of them without an overlay, the rest if writing it failed.
            pass
    finally:
        pictures.close()
        maps.close()
    if len(trivial[TRIVIAL[0]]) > 1:
        trivial[TRIVIAL[0]][0] = trivial[TRIVIAL[0]][1]  # The first frame has no neighbour before it.

    seconds = video.seconds[: len(raw)]

    def finish(scores: list[float]) -> np.ndarray:
        return _postprocess(np.asarray(scores), settings, seconds, video.fps)

    labels = None if video.labels is None else video.labels[: len(raw)]
    others = {name: finish(scores) for name, scores in trivial.items() if scores}
    result = Scores(video.name, video.fps, finish(raw), seconds, labels, others, video.broken(), sound.note)
    return result, peaks.highest(result.scores, seconds)


def _forward(model, clips: Iterator) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yield each window uint8 (T, H, W, C), its squared errors (T, H, W) on 0..1, and how many frames are new."""
    try:
        for batch, new in clips:
            output = np.asarray(model.predict_on_batch(batch), np.float32)
            errors = np.square((output + 1) / 2 - batch.astype(np.float32) / 255).mean(-1)
            yield from zip(batch, errors, new, strict=True)
    finally:
        clips.close()


def _error_maps(clips: Iterator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield every frame once, with the mean of its error maps over the windows that contain it."""
    pending: deque = deque()  # [frame, sum of error maps, their number] of the frames of the last window
    try:
        for clip, errors, new in clips:
            for _ in range(new if pending else 0):
                frame, total, count = pending.popleft()
                yield frame, total / count
            pending.extend([frame, 0.0, 0] for frame in clip[-new:])
            for entry, error in zip(pending, errors, strict=True):
                entry[1], entry[2] = entry[1] + error, entry[2] + 1
        for frame, total, count in pending:
            yield frame, total / count
    finally:
        clips.close()


def _reduce(error: np.ndarray, measure: str) -> float:
    if measure == "mean":
        return float(error.mean())
    side = max(1, len(error) // 4)
    return float(cv2.blur(error, (side, side), borderType=cv2.BORDER_REFLECT_101).max())


def _postprocess(scores: np.ndarray, settings: Settings, seconds: np.ndarray, fps: float) -> np.ndarray:
    if settings.smooth:
        scores = _smooth(scores, settings.smooth, seconds, fps)
    if settings.normalise:
        range_ = np.ptp(scores)
        scores = (scores - scores.min()) / (range_ or 1.0)
    return scores


def _smooth(scores: np.ndarray, sigma: float, seconds: np.ndarray, fps: float) -> np.ndarray:
    """Return scores (N,) smoothed over time by a Gaussian; they are constant beyond the ends."""
    from scipy.ndimage import gaussian_filter1d
    from scipy.special import ndtr

    if is_steady(seconds, fps):
        return gaussian_filter1d(scores, sigma * fps, mode="nearest")
    # Each frame represents the time that is closer to it than to its neighbours.
    borders = np.concatenate([[-np.inf], (seconds[1:] + seconds[:-1]) / 2, [np.inf]])
    first = np.searchsorted(borders, seconds - 5 * sigma) - 1
    stop = np.searchsorted(borders, seconds + 5 * sigma)
    out = np.empty(len(scores))
    for i, (a, b) in enumerate(zip(first, stop, strict=True)):
        shares = np.diff(ndtr((borders[a : b + 1] - seconds[i]) / sigma))
        out[i] = shares @ scores[a:b] / shares.sum()
    return out


class _Peaks:
    """Keep the frame with the highest score of each span of a video, for at most CANDIDATES spans."""

    def __init__(self, frames: int):
        self._stretch, self._seen = max(1, math.ceil(frames / CANDIDATES)), 0
        self._best: dict[int, tuple[float, int, np.ndarray]] = {}

    def see(self, score: float, frame: np.ndarray) -> None:
        place = self._seen // self._stretch
        if place not in self._best or score > self._best[place][0]:
            self._best[place] = (score, self._seen, frame)
        self._seen += 1

    def highest(self, scores: np.ndarray, seconds: np.ndarray) -> dict[int, np.ndarray]:
        """Return up to SHOWN frames with the highest scores, at least a second or a tenth of the video apart."""
        chosen: dict[int, np.ndarray] = {}
        for _, at, frame in sorted(self._best.values(), key=lambda candidate: -scores[candidate[1]]):
            if all(abs(seconds[at] - seconds[other]) >= max(1.0, seconds[-1] / 10) for other in chosen):
                chosen[at] = frame
            if len(chosen) == SHOWN:
                break
        return dict(sorted(chosen.items()))


def _picture(frame: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return a frame (H, W, C) next to the same frame in grey with its error overlaid, as RGB."""
    plain = frame if frame.shape[2] == 3 else frame.repeat(3, axis=2)
    share = np.minimum(np.sqrt(error) / SATURATED, 1.0)
    glow = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    grey = np.repeat(plain.mean(2, keepdims=True), 3, axis=2) * 0.6
    blend = grey * (1 - share[..., None]) + glow * share[..., None]
    times = math.ceil(SIDE / len(frame))
    times += times % 2
    pair = [image.repeat(times, axis=0).repeat(times, axis=1) for image in (plain, blend.astype(np.uint8))]
    return stack(pair, axis=1)


def _fit_threshold(results: list[Scores], false_alarms: float, settings: Settings, file: Path) -> float:
    from kvzoo.metrics.detection import threshold

    normal = np.concatenate([r.scores if r.labels is None else r.scores[r.labels == 0] for r in results])
    value = threshold(normal, false_alarms)
    _write_json(
        file, {"threshold": value, "false_alarms": false_alarms, "frames": len(normal), "settings": asdict(settings)}
    )
    return value


def _read_threshold(file: str | os.PathLike, settings: Settings) -> float:
    try:
        record = json.loads(Path(file).read_text(encoding="utf-8"))
        value, fitted = float(record["threshold"]), Settings(**record["settings"])
    except OSError as error:
        raise InputError(f"--threshold {file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"--threshold {file}: must be a number, or a threshold.json written by --fit-threshold"
        ) from None
    for setting in fields(Settings):
        if getattr(fitted, setting.name) != getattr(settings, setting.name):
            raise InputError(
                f"--threshold {file}: was fitted with {setting.name} {getattr(fitted, setting.name)}, "
                f"these scores have {getattr(settings, setting.name)}"
            )
    return value


def _auroc_by_score(results: list[Scores], folder: Path) -> dict[str, dict[str, float]]:
    """Return the AUROC of the model's score and of the baselines, and plot their ROC curves."""
    from kvzoo.media.plots import write_roc
    from kvzoo.metrics.detection import macro_auroc, micro_auroc, roc

    results = [r for r in results if r.labels is not None]
    labels = [r.labels for r in results]
    rows = {"reconstruction error": [r.scores for r in results]}
    rows |= {name: [r.trivial[name] for r in results] for name in TRIVIAL if all(name in r.trivial for r in results)}
    auroc, curves = {}, {}
    for name, scores in rows.items():
        macro, count = macro_auroc(scores, labels)
        auroc[name] = {"micro": micro_auroc(scores, labels), "macro": macro, "videos": count}
        if not math.isnan(auroc[name]["micro"]):
            alarms, hits, _ = roc(np.concatenate(scores), np.concatenate(labels))
            curves[f"{name}, micro AUROC {auroc[name]['micro']:.3f}"] = (alarms, hits)
    if curves:
        write_roc(folder / "roc.png", curves)
    return auroc


def _write_csv(file: Path, result: Scores, threshold: float | None) -> None:
    columns = {
        "frame": range(len(result.scores)),
        "seconds": [f"{time:.3f}" for time in result.seconds],
        "score": [f"{score:.8g}" for score in result.scores],
    }
    if result.labels is not None:
        columns["label"] = result.labels
    if threshold is not None:
        columns["anomalous"] = (result.scores > threshold).astype(int)
    with writing(file), written_whole(file) as temporary, open(temporary, "w", newline="", encoding="utf-8") as text:
        rows = csv.writer(text)
        rows.writerow(columns)
        rows.writerows(zip(*columns.values(), strict=True))


def _write_plot(
    file: Path, result: Scores, peaks: Mapping[int, np.ndarray], threshold: float | None, unwritten: list[WriteError]
) -> None:
    from kvzoo.media.plots import write_scores

    try:
        write_scores(file, result.name, result.scores, result.seconds, result.labels, threshold, peaks)
    except WriteError as error:
        unwritten.append(error)


def _summary(detection: Detection, run, data, false_alarms) -> dict:
    return {
        "run": str(run),
        **({"data": dict(data)} if data else {}),
        "settings": asdict(detection.settings),
        "threshold": detection.threshold,
        **({"false_alarms": false_alarms} if false_alarms is not None else {}),
        "auroc": {
            name: {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in row.items()}
            for name, row in detection.auroc.items()
        },
        "videos": [
            {"name": r.name, "frames": len(r.scores), "fps": r.fps, "highest": float(r.scores.max())}
            | ({"broken": r.broken} if r.broken else {})
            for r in detection.videos
        ],
        "skipped": [{"name": name, "why": why} for name, why in detection.skipped],
        **({"notes": detection.notes} if detection.notes else {}),
    }


def _write_json(file: Path, record: dict) -> None:
    with writing(file), written_whole(file) as temporary:
        temporary.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")
