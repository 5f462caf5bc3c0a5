"""Anomalies in videos: a score for each frame from how badly a run's model, trained on normal data, gives it back.

Windows overlap; a frame's error map is the mean over the windows that it lies in. Its score is the map's mean
over the picture, or the highest mean over a quarter of its side ("patch"), which a small anomaly moves more.
Scores are smoothed over time, as the field does: an anomaly lasts longer than a frame.
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
from kvzoo.media.audio import Sound
from kvzoo.media.clips import is_steady, stack, write_mp4, writing, written_whole
from kvzoo.recipe.resolve import Recipe
from kvzoo.run.evaluate import laid_over
from kvzoo.run.folder import RunFolder

MEASURES = ("patch", "mean")
TRIVIAL = ("frame difference", "distance to the training mean frame")

CHUNK = 64  # frames read of a source at once
SIDE = 192  # pixels of an overlay's picture, at least
SATURATED = 0.5  # difference of values 0..1 at which an overlay is at its brightest
SHOWN = 4  # frames at peaks in a plot
CANDIDATES = 64  # stretches of a video of which one frame each is kept for that
MEAN_FRAME_CLIPS = 256


@dataclass(frozen=True)
class Settings:
    """How scores are made; scores compare where the settings are the same.

    Attributes:
        measure: "patch" or "mean", what of a frame's error map is its score.
        stride: frames from the beginning of a window to that of the next.
        smooth: standard deviation in seconds of the Gaussian over time; 0 for none.
        normalise: whether each video's scores are scaled to 0..1, the field's usual way. It makes the videos'
            levels alike, and needs a whole video before it knows any score.
    """

    measure: str = "patch"
    stride: int = 1
    smooth: float = 0.2
    normalise: bool = False


@dataclass(frozen=True)
class Scores:
    """One video's scores.

    Attributes:
        name: the video's.
        fps: frames a second.
        scores: (frames,), higher where the model fails more: mean squared error on values 0..1.
        seconds: (frames,) when each frame is shown, from the first one on.
        labels: uint8 (frames,), 1 where a frame is anomalous; None where nobody said.
        trivial: scores of TRIVIAL that need no model, (frames,) each; empty without labels.
        broken: what was wrong with the video; "" where nothing was.
        sound: what of its sound the overlay leaves out, in words; "" where nothing.
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
    """What was found.

    Attributes:
        videos: the scores of each video.
        skipped: (video, why) of those that cannot be scored.
        auroc: by score, "micro" (all frames pooled), "macro" (mean over the videos that have both classes) and
            "videos" (how many have); empty without labelled anomalies. The first is the model's.
        threshold: above which a frame is anomalous; None where none was given or fitted.
        settings: how scores were made.
        notes: what of the labels was not used, in words.
    """

    videos: list[Scores]
    skipped: list[tuple[str, str]]
    auroc: dict[str, dict[str, float]]
    threshold: float | None
    settings: Settings
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Video:
    """A video to score; `images` gives its frames at the model's size, `broken` then what was wrong."""

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
    """Score every frame of videos, and write for each a CSV, a plot and an overlay video into a folder.

    Args:
        run: a run folder of a model that was trained on normal data.
        videos: video files; or none, and `data`.
        out: the folder; it must be empty or not there.
        data: keys of a recipe's `data` laid over the run's own, such as {"part": "test"}: its videos are scored,
            with the source's frame labels where it has any.
        labels: CSV with the columns video, start, stop, a row an anomaly: frames from start to before stop,
            the video's path relative to the CSV. A video without a row is normal throughout.
        settings: how scores are made; a quarter of the model's frames from window to window when None.
        threshold: a number, or the file threshold.json that an earlier call with `false_alarms` wrote.
        false_alarms: fit the threshold: the lowest that at most this share of the normal frames exceed.
        overlay: whether to write the overlay videos.
        progress: called with the number of frames scored since the last call.

    Raises:
        InputError: no run, no model yet, a kind of model that this does not fit, nothing that can be scored,
            labels or a threshold that cannot be used, a folder that cannot be written.
    """
    recipe = check(run, videos, out, data, labels, settings, threshold, false_alarms)
    from kvzoo import zoo

    length = recipe["model"].get("frames") or zoo.load(run).clip_shape[0]
    settings = settings or Settings(stride=max(1, length // 4))
    if settings.stride > length:
        raise InputError(f"stride: at most the model's {length} frames. Received: {settings.stride}")
    if isinstance(threshold, (str, os.PathLike)):
        threshold = _read_threshold(threshold, settings)
    notes: list[str] = []
    listed, skipped = ([], []) if data else _of_files(videos, labels, length, notes)
    model = zoo.load(run)
    if data:
        listed, skipped = _of_data(recipe, data, model.clip_shape)
    labelled = any(video.labels is not None for video in listed)
    mean_frame = _mean_frame(recipe, model.clip_shape) if labelled else None

    folder, scored, taken = Path(out), [], {"roc", "anomaly", "threshold"}
    unwritten: list[WriteError] = []
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for video in listed:
        stem = unique_stem(video.name, taken)
        try:
            result, peaks = _score(
                model, video, settings, mean_frame, overlay and folder / f"{stem}.mp4", unwritten, progress
            )
        except (InputError, BrokenVideo) as error:
            skipped.append((video.name, str(error)))
            continue
        scored.append((stem, result, peaks))
        _write_csv(folder / f"{stem}.csv", result, threshold)
        if false_alarms is None:
            _write_plot(folder / f"{stem}.png", result, peaks, threshold, unwritten)
    if not scored:
        raise InputError(f"nothing can be scored: {skipped[0][0]}: {skipped[0][1]}")
    results = [result for _, result, _ in scored]
    if false_alarms is not None:
        threshold = _fit_threshold(results, false_alarms, settings, folder / "threshold.json")
        for stem, result, peaks in scored:
            _write_csv(folder / f"{stem}.csv", result, threshold)
            _write_plot(folder / f"{stem}.png", result, peaks, threshold, unwritten)
    auroc = _judge(results, folder) if any(r.labels is not None and r.labels.any() for r in results) else {}
    found = Detection(results, skipped, auroc, threshold, settings, notes)
    _write_json(folder / "anomaly.json", _summary(found, run, data, false_alarms))
    if unwritten:
        raise unwritten[0]
    return found


def check(run, videos, out, data=None, labels=None, settings=None, threshold=None, false_alarms=None) -> Recipe:
    """Return a run's recipe; refuses what can be refused without Keras. The arguments are those of `anomaly`."""
    recipe = RunFolder(run).trained("anomaly")
    if bool(videos) == bool(data):
        raise InputError("videos to score are wanted: files, or --data, such as --data part=test; not both")
    if data:
        laid_over(recipe, data)
        if labels:
            raise InputError("--labels: belongs to video files; a source of --data brings its own")
    for video in videos:
        if Path(video).is_dir():
            raise InputError(
                f"{video}: a video file is wanted, this is a folder; --data source=videos path=… reads one"
            )
    if settings and settings.measure not in MEASURES:
        hint = did_you_mean(settings.measure, MEASURES) or f"; known: {', '.join(MEASURES)}"
        raise InputError(f"measure: unknown {settings.measure!r}{hint}")
    if settings and (settings.stride < 1 or settings.smooth < 0):
        raise InputError(
            f"stride: at least 1, smooth: at least 0. Received: stride {settings.stride}, smooth {settings.smooth:g}"
        )
    if false_alarms is not None and not 0 < false_alarms < 1:
        raise InputError(f"--fit-threshold: a share of frames between 0 and 1 is wanted. Received: {false_alarms:g}")
    if false_alarms is not None and threshold is not None:
        raise InputError("--threshold and --fit-threshold: give one of them")
    if settings and settings.normalise and (false_alarms is not None or threshold is not None):
        raise InputError("--normalise: gives every video a highest score of 1, so no threshold holds for all of them")
    if videos and not any(os.path.exists(video) for video in videos):
        raise InputError(f"{videos[0]}: no such file")
    if labels:
        _read_labels(Path(labels), videos)
    check_folder(out)
    return recipe


def _of_files(paths: Sequence[str | os.PathLike], labels, length: int, notes: list[str]):
    """Open video files; those that cannot be scored are told apart, unless there is no other."""
    spans, said = _read_labels(Path(labels), paths) if labels else ({}, [])
    notes += said
    listed, skipped = [], []
    for path in paths:
        try:
            stream = open_video(path)
        except InputError as error:
            skipped.append((str(path), str(error).removeprefix(f"{path}: ")))
            continue
        if stream.frames < length:
            skipped.append((str(path), _too_short(stream.frames, length)))
            continue
        marked = _marked(spans[os.path.realpath(path)], path, stream.frames, notes) if labels else None
        listed.append(_of_file(str(path), stream, marked))
    if not listed:
        raise InputError(f"{skipped[0][0]}: {skipped[0][1]}")
    return listed, skipped


def _of_file(name: str, stream, labels: np.ndarray | None) -> _Video:
    def images(image_size: int, channels: int) -> Iterator[np.ndarray]:
        # Copied, as a frame that needs no resizing is still the decoder's memory.
        return (square(frame, image_size, channels).copy() for frame in stream)

    times = stream.seconds
    return _Video(name, stream.fps, times, images, lambda: stream.broken, labels, lambda: sound_of(stream))


def _of_data(recipe: Recipe, data: Mapping[str, Any], clip_shape: Sequence[int]):
    from kvzoo.data.pipeline import open_data

    opened = open_data(laid_over(recipe, data), (clip_shape,), recipe["fit"]["seed"])
    source, length = opened.training.source, clip_shape[0]
    listed, skipped = [], [(each.name, each.reason) for each in opened.skipped]
    for video in opened.training.videos:
        if video.frames < length:
            skipped.append((video.name, _too_short(video.frames, length)))
            continue
        labels = source.frame_labels(video) if hasattr(source, "frame_labels") else None
        times = np.arange(video.frames) / video.fps
        listed.append(_Video(video.name, video.fps, times, _reader(source, video), labels=labels))
    if not listed:
        raise InputError(f"{skipped[0][0]}: {skipped[0][1]}")
    return listed, skipped


def _reader(source, video) -> Callable[[int, int], Iterator[np.ndarray]]:
    def images(image_size: int, channels: int) -> Iterator[np.ndarray]:
        for start in range(0, video.frames, CHUNK):
            yield from source.read(video, range(start, min(start + CHUNK, video.frames)), image_size, channels)

    return images


def _too_short(frames: int, length: int) -> str:
    return f"has {frames} frames; the model takes {length} frames at once, at least as many are wanted"


@dataclass(frozen=True)
class _Span:
    """Anomalous frames of a video, and the row of the labels file that says so, such as "labels.csv:3"."""

    start: int
    stop: int
    row: str


def _read_labels(file: Path, paths: Sequence) -> tuple[dict[str, list[_Span]], list[str]]:
    """Return the anomalies of each video file by its real path, and notes on rows that are not used.

    Blanks around cells mean nothing.

    Raises:
        InputError: a column is missing, or a row does not hold a file that exists and a span of frames.
    """
    spans: dict[str, list[_Span]] = {os.path.realpath(path): [] for path in paths}
    others, notes = [], []
    try:
        # As paths are decoded, so that names that are not UTF-8 are found, too.
        with open(file, newline="", encoding="utf-8-sig", errors="surrogateescape") as text:
            rows = csv.reader(text, skipinitialspace=True)
            columns = [cell.strip() for cell in next(rows, [])]
            if missing := {"video", "start", "stop"} - set(columns):
                raise InputError(f"{file}: the columns video, start, stop are wanted, {sorted(missing)[0]} is missing")
            for cells in rows:
                cells = [cell.strip() for cell in cells]
                if not any(cells):
                    continue
                place = f"{file}:{rows.line_num}"
                if len(cells) > len(columns):
                    raise InputError(f"{place}: more cells than columns; quote a cell that has a comma")
                row = dict.fromkeys(columns, "") | dict(zip(columns, cells, strict=False))
                span = _span(row, place)
                path = os.path.realpath(file.parent / row["video"])
                if path not in spans:
                    others.append((row["video"], path, place))
                elif same := [each.row for each in spans[path] if (each.start, each.stop) == (span.start, span.stop)]:
                    notes.append(f"{place}: repeats {same[0]}")
                else:
                    spans[path].append(span)
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    names = [os.path.relpath(path, os.path.realpath(file.parent)) for path in spans]
    for name, path, place in others:
        # A name that is misspelt would leave an anomalous video without labels, which is to say normal.
        if not os.path.isfile(path):
            hint = did_you_mean(name, names) or "; paths are relative to the CSV"
            raise InputError(f"{place}: no such video: {name}{hint}")
    if others:
        name, _, place = others[0]
        if not any(spans.values()):
            raise InputError(f"{file}: speaks of none of the videos, but of {name!r}; paths are relative to the CSV")
        rows = f"{len(others)} rows are" if len(others) > 1 else "1 row is"
        notes.append(f"{file}: {rows} of videos that are not scored, such as {name} ({place})")
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
            f"{place}: frame numbers with 0 <= start < stop are wanted. Received: {row['start']}, {row['stop']}"
        )
    return _Span(start, stop, place)


def _marked(spans: Iterable[_Span], path, frames: int, notes: list[str]) -> np.ndarray:
    """Return 1 for each frame that spans mark; a note is added where one goes beyond the video's end."""
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
    """Return the mean of the frames that the run was trained on, 0..1; None where they are no longer there."""
    from kvzoo.data.pipeline import open_data

    try:
        opened = open_data(recipe["data"], (clip_shape,), recipe["fit"]["seed"])
        clips, *_ = opened.training.arrays(MEAN_FRAME_CLIPS)
    except InputError:
        return None
    return clips.mean((0, 1)) / 255.0


def _score(model, video: _Video, settings: Settings, mean_frame, overlay, unwritten: list[WriteError], progress):
    """Write a video's overlay; return its Scores and the frames at its peaks, {frame number: picture}.

    An overlay that cannot be written is no reason to give up the scores: its error goes into `unwritten`.
    """
    length, image_size, _, channels = model.clip_shape
    images = video.images(image_size, channels)
    maps = _error_maps(ahead(_forward(model, ahead(batches(windows(images, length, settings.stride))))))
    kept, raw, trivial, before = _Peaks(len(video.seconds)), [], {name: [] for name in TRIVIAL}, None

    def scored() -> Iterator[np.ndarray]:
        nonlocal before
        for frame, error in maps:
            raw.append(_measured(error, settings.measure))
            kept.see(raw[-1], frame)
            if video.labels is not None:
                seen = frame / 255.0
                trivial[TRIVIAL[0]].append(0.0 if before is None else np.abs(seen - before).mean())
                if mean_frame is not None:
                    trivial[TRIVIAL[1]].append(math.sqrt(np.square(seen - mean_frame).mean()))
                before = seen
            if progress:
                progress(1)
            yield _picture(frame, error)

    pictures, sound = scored(), Sound()
    try:
        # Opened before anything is written, so that a video of which nothing decodes leaves no file.
        if (first := next(pictures, None)) is None:
            raise InputError(video.broken() or "fewer frames can be decoded than the model takes")
        if overlay:
            sound = video.sound()
            try:
                write_mp4(overlay, chain([first], pictures), video.fps, sound.frames, video.seconds + sound.delay)
            except WriteError as error:
                unwritten.append(error)
        for _ in pictures:  # All of them without an overlay, the rest where writing it failed.
            pass
    finally:
        pictures.close()
        maps.close()
    if len(trivial[TRIVIAL[0]]) > 1:
        trivial[TRIVIAL[0]][0] = trivial[TRIVIAL[0]][1]  # The first frame has no neighbour before it.

    seconds = video.seconds[: len(raw)]

    def finished(scores: list[float]) -> np.ndarray:
        return _finished(np.asarray(scores), settings, seconds, video.fps)

    labels = None if video.labels is None else video.labels[: len(raw)]
    others = {name: finished(scores) for name, scores in trivial.items() if scores}
    result = Scores(video.name, video.fps, finished(raw), seconds, labels, others, video.broken(), sound.note)
    return result, kept.highest(result.scores, seconds)


def _forward(model, clips: Iterator) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yield each window uint8 (T, H, W, C), its squared errors (T, H, W) on 0..1, and how many frames are new."""
    try:
        for batch, new in clips:
            output = np.asarray(model.predict_on_batch(batch), np.float32)
            errors = np.square((output + 1) / 2 - batch.astype(np.float32) / 255).mean(-1)
            yield from zip(batch, errors, new, strict=True)
    finally:
        clips.close()


def _error_maps(judged: Iterator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield every frame once, with the mean of its error maps over the windows that it lies in."""
    held: deque = deque()  # [frame, sum of error maps, how many] of the frames of the last window
    try:
        for clip, errors, new in judged:
            for _ in range(new if held else 0):
                frame, total, count = held.popleft()
                yield frame, total / count
            held.extend([frame, 0.0, 0] for frame in clip[-new:])
            for entry, error in zip(held, errors, strict=True):
                entry[1], entry[2] = entry[1] + error, entry[2] + 1
        for frame, total, count in held:
            yield frame, total / count
    finally:
        judged.close()


def _measured(error: np.ndarray, measure: str) -> float:
    if measure == "mean":
        return float(error.mean())
    side = max(1, len(error) // 4)
    return float(cv2.blur(error, (side, side), borderType=cv2.BORDER_REFLECT_101).max())


def _finished(scores: np.ndarray, settings: Settings, seconds: np.ndarray, fps: float) -> np.ndarray:
    if settings.smooth:
        scores = _smoothed(scores, settings.smooth, seconds, fps)
    if settings.normalise:
        spread = np.ptp(scores)
        scores = (scores - scores.min()) / (spread or 1.0)
    return scores


def _smoothed(scores: np.ndarray, sigma: float, seconds: np.ndarray, fps: float) -> np.ndarray:
    """Return scores (N,) smoothed over time by a Gaussian; beyond the ends they are as at them."""
    from scipy.ndimage import gaussian_filter1d
    from scipy.special import ndtr

    if is_steady(seconds, fps):
        return gaussian_filter1d(scores, sigma * fps, mode="nearest")
    # Each frame stands for the time that is nearer to it than to its neighbours.
    borders = np.concatenate([[-np.inf], (seconds[1:] + seconds[:-1]) / 2, [np.inf]])
    first = np.searchsorted(borders, seconds - 5 * sigma) - 1
    stop = np.searchsorted(borders, seconds + 5 * sigma)
    out = np.empty(len(scores))
    for i, (a, b) in enumerate(zip(first, stop, strict=True)):
        shares = np.diff(ndtr((borders[a : b + 1] - seconds[i]) / sigma))
        out[i] = shares @ scores[a:b] / shares.sum()
    return out


class _Peaks:
    """Keeps the highest-scored frame of each stretch of a video, of CANDIDATES stretches at most."""

    def __init__(self, frames: int):
        self._stretch, self._seen = max(1, math.ceil(frames / CANDIDATES)), 0
        self._best: dict[int, tuple[float, int, np.ndarray]] = {}

    def see(self, score: float, frame: np.ndarray) -> None:
        place = self._seen // self._stretch
        if place not in self._best or score > self._best[place][0]:
            self._best[place] = (score, self._seen, frame)
        self._seen += 1

    def highest(self, scores: np.ndarray, seconds: np.ndarray) -> dict[int, np.ndarray]:
        """Return up to SHOWN kept frames of the highest scores, at least a second or a tenth of the video apart."""
        chosen: dict[int, np.ndarray] = {}
        for _, at, frame in sorted(self._best.values(), key=lambda kept: -scores[kept[1]]):
            if all(abs(seconds[at] - seconds[other]) >= max(1.0, seconds[-1] / 10) for other in chosen):
                chosen[at] = frame
            if len(chosen) == SHOWN:
                break
        return dict(sorted(chosen.items()))


def _picture(frame: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return a frame (H, W, C) and beside it the same in grey with the error glowing on it, RGB."""
    plain = frame if frame.shape[2] == 3 else frame.repeat(3, axis=2)
    share = np.minimum(np.sqrt(error) / SATURATED, 1.0)
    glow = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    grey = np.repeat(plain.mean(2, keepdims=True), 3, axis=2) * 0.6
    overlaid = grey * (1 - share[..., None]) + glow * share[..., None]
    times = math.ceil(SIDE / len(frame))
    times += times % 2
    pair = [each.repeat(times, axis=0).repeat(times, axis=1) for each in (plain, overlaid.astype(np.uint8))]
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
        value, made = float(record["threshold"]), Settings(**record["settings"])
    except OSError as error:
        raise InputError(f"--threshold {file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"--threshold {file}: a number, or a threshold.json of --fit-threshold, is wanted") from None
    for each in fields(Settings):
        if getattr(made, each.name) != getattr(settings, each.name):
            raise InputError(
                f"--threshold {file}: was fitted with {each.name} {getattr(made, each.name)}, "
                f"these scores have {getattr(settings, each.name)}"
            )
    return value


def _judge(results: list[Scores], folder: Path) -> dict[str, dict[str, float]]:
    """Return the AUROC of the model's score and of the trivial ones, and draw their ROC curves."""
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
    with writing(file), written_whole(file) as beside, open(beside, "w", newline="", encoding="utf-8") as text:
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


def _summary(found: Detection, run, data, false_alarms) -> dict:
    return {
        "run": str(run),
        **({"data": dict(data)} if data else {}),
        "settings": asdict(found.settings),
        "threshold": found.threshold,
        **({"false_alarms": false_alarms} if false_alarms is not None else {}),
        "auroc": {
            name: {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in row.items()}
            for name, row in found.auroc.items()
        },
        "videos": [
            {"name": r.name, "frames": len(r.scores), "fps": r.fps, "highest": float(r.scores.max())}
            | ({"broken": r.broken} if r.broken else {})
            for r in found.videos
        ],
        "skipped": [{"name": name, "why": why} for name, why in found.skipped],
        **({"notes": found.notes} if found.notes else {}),
    }


def _write_json(file: Path, record: dict) -> None:
    with writing(file), written_whole(file) as beside:
        beside.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")
