"""From videos to batches, with Grain: the example at position n is a function of (seed, n) alone.

Training runs over an endless sequence of positions; resuming at step n is a slice of it.
"""

import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import grain
import numpy as np

from kvzoo import catalog
from kvzoo.data.remote import local
from kvzoo.data.samplers import Plan, Sampler
from kvzoo.data.source import BrokenVideo, Skipped, Source, Video, regroup, resample, split
from kvzoo.errors import InputError, did_you_mean
from kvzoo.process import cores
from kvzoo.registry import SourceSpec

log = logging.getLogger("kvzoo")

SHOWN = 10  # broken videos named on the terminal; the log names all
LENGTH = 1 << 48  # training positions: no run reaches the end; Grain's own `repeat()` overflows with batches of one


@dataclass
class Clips:
    """Videos of one source, cut into examples for one model.

    Attributes:
        source: decodes the frames.
        videos: the videos of this set that are long enough.
        sampler: cuts them into examples.
        shapes: (T, H, W, C) of each clip of a plan.
        short: "drop", "repeat_last" or "loop", for videos shorter than the sampler needs.
        classes: class names in order if examples carry their class after the clips; else empty.
        broken: reasons by index of the videos that cannot be decoded, or only in part.
        damaged: faults by index of the videos in which frames were replaced by others.
    """

    source: Source
    videos: list[Video]
    sampler: Sampler
    shapes: tuple[tuple[int, ...], ...]
    short: str = "drop"
    classes: tuple[str, ...] = ()
    broken: dict[int, str] = field(default_factory=dict)
    damaged: dict[int, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def example(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Return one random example of a video, or of another one if it cannot be decoded.

        Raises:
            InputError: no video can be decoded.
        """
        # Videos that broke earlier are tried again: an example must not depend on what was read before it.
        for i in self._first_and_others(index, rng):
            video = self.videos[i]
            try:
                example = self.read(video, self.sampler.draw(self.length(video), rng), rng)
            except BrokenVideo as error:
                self.report(i, str(error))
            else:
                self.report_faults(i)
                return example
        name, reason = self.videos[index].name, self.broken[index]
        raise InputError(f"none of the {len(self.videos)} videos can be decoded, such as {name}: {reason}")

    def read(self, video: Video, plan: Plan, rng: np.random.Generator | None = None) -> tuple[np.ndarray, ...]:
        """Return the example of a plan: uint8 arrays, followed by the class as int32 if examples carry it.

        Without `rng` the example is for evaluation, and nothing in it is random.
        """
        clips = tuple(
            self.source.read(
                video if i == 0 else video.target or video,
                self._within(indices, video.frames),
                max(shape[1:3]) if rng is None else self.sampler.read_size(max(shape[1:3])),
                shape[-1],
            )
            for i, (indices, shape) in enumerate(zip(plan, self.shapes, strict=True))
        )
        example = self.sampler.example(clips, rng)
        if any(shape[1] != shape[2] for shape in self.shapes):
            example = tuple(_centre(clip, *shape[1:3]) for clip, shape in zip(example, self.shapes, strict=True))
        return (*example, np.int32(self.classes.index(video.label))) if self.classes else example

    def cover(self, limit: int) -> list[tuple[Video, Plan]]:
        """Return at most `limit` fixed examples, evenly spaced over videos and time."""
        lengths = [self.length(video) for video in self.videos]
        # Hours of video have millions of plans: they are only counted, and made for the chosen ones.
        counts = {length: len(self.sampler.cover(length)) for length in set(lengths)}
        ends = np.cumsum([counts[length] for length in lengths])
        count = int(min(limit, ends[-1]))
        chosen = []
        for i in np.linspace(0, ends[-1] - 1, count).round().astype(int):
            video = int(np.searchsorted(ends, i, side="right"))
            chosen.append((self.videos[video], self.sampler.cover(lengths[video])[i - ends[video]]))
        return chosen

    def arrays(self, limit: int) -> tuple[np.ndarray, ...]:
        """Return at most `limit` fixed examples as one batch, without those that cannot be decoded.

        Raises:
            InputError: none can be decoded.
        """
        (batch,) = FixedExamples(self, limit).batches(sys.maxsize)
        return batch

    def times(self) -> tuple[np.ndarray, ...]:
        """Return the frame numbers of each clip of an example, from 0 for the earliest."""
        (plan, *_) = self.sampler.cover(self.sampler.needs)
        first = min(int(indices.min()) for indices in plan)
        return tuple(indices - first for indices in plan)

    def _first_and_others(self, first: int, rng: np.random.Generator) -> Iterator[int]:
        yield first
        yield from (int(other) for other in rng.permutation(len(self.videos)) if other != first)

    def length(self, video: Video) -> int:
        """Return the number of frames for the sampler: more than the video's own if short videos are extended."""
        return video.frames if self.short == "drop" else max(video.frames, self.sampler.needs)

    def _within(self, indices: np.ndarray, frames: int) -> np.ndarray:
        return indices % frames if self.short == "loop" else np.minimum(indices, frames - 1)

    def report(self, index: int, reason: str) -> None:
        """Record that a video cannot be decoded, and log it once."""
        self._log_once(self.broken, index, "skipped", reason)

    def report_faults(self, index: int) -> None:
        """Log the faults of a decodable video once."""
        if faults := self.source.faults_in_words(self.videos[index]):
            self._log_once(self.damaged, index, "damaged", faults)

    def _log_once(self, reasons: dict[int, str], index: int, what: str, reason: str) -> None:
        with self._lock:
            if index not in reasons:
                reasons[index] = reason
                level = logging.WARNING if len(reasons) <= SHOWN else logging.DEBUG
                log.log(level, "%s %s: %s", what, self.videos[index].name, reason)


class FixedExamples:
    """Fixed examples of one set, evenly spaced over videos and time, read again in every pass.

    Args:
        clips: the set.
        limit: maximum number of examples.
        hold: bytes; examples that need no more are kept in memory after the first pass.
    """

    def __init__(self, clips: Clips, limit: int, hold: int = 0):
        self.clips, self._chosen, self._hold = clips, clips.cover(limit), hold
        self._held: list[tuple[np.ndarray, ...]] | None = None

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield the examples in batches of `size` (the last may be smaller), without those that cannot be decoded.

        Raises:
            InputError: none can be decoded.
        """
        rows: list[tuple[np.ndarray, ...]] = []
        for example in self._examples():
            # An example may be several rows: a pair of clips is two.
            arrays = self.clips.sampler.batch(tuple(np.asarray(array)[None] for array in example), None)
            rows += zip(*arrays, strict=True)
            while len(rows) >= size:
                yield tuple(np.stack(column) for column in zip(*rows[:size], strict=True))
                del rows[:size]
        if rows:
            yield tuple(np.stack(column) for column in zip(*rows, strict=True))

    def _examples(self) -> Iterator[tuple[np.ndarray, ...]]:
        if self._held is not None:
            yield from self._held
            return
        held, size, none = [], 0, True
        for video, plan in self._chosen:
            try:
                example = self.clips.read(video, plan)
            except BrokenVideo as error:
                self.clips.report(self.clips.videos.index(video), str(error))
                continue
            self.clips.report_faults(self.clips.videos.index(video))
            none = False
            size += sum(array.nbytes for array in example)
            if size <= self._hold:
                held.append(example)
            else:
                held.clear()
            yield example
        if none:
            raise InputError("no held-out video can be decoded")
        if size <= self._hold:
            self._held = held


def _centre(clip: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the centre (…, height, width, C) of square frames (…, S, S, C)."""
    top, left = (clip.shape[-3] - height) // 2, (clip.shape[-2] - width) // 2
    return np.ascontiguousarray(clip[..., top : top + height, left : left + width, :])


@dataclass(frozen=True)
class Data:
    """The opened `data` section of a recipe.

    Attributes:
        training, validation: the two sets; validation is None if nothing is held out.
        tests: further test sets by name.
        skipped: files and videos that are not used, and why.
    """

    training: Clips
    validation: Clips | None
    tests: dict[str, Clips]
    skipped: tuple[Skipped, ...]


def open_data(
    section: dict,
    shapes: Sequence[Sequence[int]],
    seed: int,
    classes: int | Sequence[str] | None = None,
) -> Data:
    """Open the `data` section of a resolved recipe.

    Args:
        section: resolved and validated.
        shapes: (T, H, W, C) of each clip of an example: the model's `clip_shapes`.
        seed: seed for choosing the held-out groups.
        classes: None if examples do not carry their class; else the number of classes that the data must have
            (0 for any), or the class names in order.

    Raises:
        InputError: no usable video, or the data has other classes.
    """
    clips, skipped = _open(section, shapes)
    if classes is not None:
        clips = replace(clips, classes=_classes(clips, classes, section))
    training, held_out = split(clips.videos, section["validation"], seed)
    tests = {}
    for name, test in section["tests"].items():
        tests[name], more = _open(test, shapes)
        if classes is not None:
            tests[name] = replace(tests[name], classes=_classes(tests[name], clips.classes, test))
        skipped += more
    validation = replace(clips, videos=held_out, broken={}, damaged={}) if held_out else None
    return Data(replace(clips, videos=training, broken={}, damaged={}), validation, tests, tuple(skipped))


def _open(section: dict, shapes: Sequence[Sequence[int]]) -> tuple[Clips, list[Skipped]]:
    if wrong := [shape[-1] for shape in shapes if shape[-1] not in (1, 3)]:
        raise InputError(f"data: sources support only 1 (grey) or 3 (RGB) channels; the model has {wrong[0]}")
    sampler = dict(section["sampler"])
    sampler = catalog.SAMPLERS.get(sampler.pop("name")).load()(*(shape[0] for shape in shapes), **sampler)
    spec = catalog.SOURCES.get(section["source"])
    source = spec.load()(**fetch_paths(spec, {name: section[name] for name in spec.options}))
    videos = source.videos
    if section["group"] and videos:
        videos = regroup(videos, section["group"])
    if section["fps"]:
        videos = [resample(v, section["fps"]) for v in videos]
    skipped = list(source.skipped)
    if section["short"] == "drop":
        short = [v for v in videos if v.frames < sampler.needs]
        skipped += [Skipped(v.name, f"{v.frames} frames, {sampler.needs} are needed") for v in short]
        videos = [v for v in videos if v.frames >= sampler.needs]
    if not videos:
        where = section.get("path") or section["source"]
        why = f", such as {skipped[0].name}: {skipped[0].reason}" if skipped else ""
        raise InputError(f"{where}: nothing usable among {len(skipped)} videos{why}")
    return Clips(source, videos, sampler, tuple(map(tuple, shapes)), section["short"]), skipped


def fetch_paths(spec: SourceSpec, options: dict) -> dict:
    """Return a source's options with URLs downloaded and replaced by local paths.

    Raises:
        InputError: a URL cannot be accessed, or no package that reads it is installed.
    """
    paths = [name for name, option in spec.options.items() if option.type == "path" and options.get(name)]
    return {**options, **{name: local(options[name]) for name in paths}}


def _classes(clips: Clips, classes: int | Sequence[str], section: dict) -> tuple[str, ...]:
    """Return the class names in order: the distinct labels of the videos."""
    labels = sorted({video.label for video in clips.videos})
    where = section.get("path") or section["source"]
    if nameless := next((video for video in clips.videos if not video.label), None):
        raise InputError(f"{where}: the model is trained with labels, but {nameless.name} has none")
    names = ", ".join(labels[:12]) + (", …" if len(labels) > 12 else "")
    if isinstance(classes, int):
        if classes and len(labels) != classes:
            raise InputError(
                f"{where}: has {len(labels)} classes ({names}), but the model has {classes}; set model.classes"
            )
        return tuple(labels)
    if unknown := sorted(set(labels) - set(classes)):
        raise InputError(
            f"{where}: no class {unknown[0]!r}{did_you_mean(unknown[0], classes)}; known: {', '.join(classes)}"
        )
    return tuple(classes)


def batches(clips: Clips, batch_size: int, seed: int, start: int = 0, threads: int | None = None) -> grain.IterDataset:
    """Return endless training batches, tuples of uint8 arrays, beginning at step `start`.

    Every video occurs once per pass, in an order that changes with each pass.

    Args:
        clips: the videos to draw from.
        batch_size: examples per batch.
        seed: seed for the order and the windows.
        start: number of batches to skip; the following ones are the same as without skipping.
        threads: number of threads that read ahead; by default one per core, at most 8.
    """

    def draw(index: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        return clips.example(index, rng)

    positions = grain.MapDataset.range(len(clips.videos)).shuffle(seed=seed).repeat(LENGTH // len(clips.videos))
    examples = positions.random_map(draw, seed=seed).batch(batch_size).random_map(clips.sampler.batch, seed=seed)
    threads = threads or min(8, cores())
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    return examples[start:].to_iter_dataset(options)
