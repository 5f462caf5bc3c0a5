"""From videos to batches, with Grain: the example at position n is a function of (seed, n) alone.

Training runs over an endless sequence of positions; going on from step n is a slice of it.
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

SHOWN = 10  # broken videos named on the terminal; the log has all
LENGTH = 1 << 48  # training positions: no run reaches the end, and Grain's own `repeat()` overflows at batches of one


@dataclass
class Clips:
    """Videos of one source, cut into examples for one model.

    Attributes:
        source: where frames come from.
        videos: those of this part that are long enough.
        sampler: cuts them into examples.
        shapes: (T, H, W, C) of each clip that a plan of the sampler reads.
        short: "drop", "repeat_last" or "loop" for videos shorter than the sampler needs.
        classes: their names in order, where an example carries its class after its clip; else empty.
        broken: videos that turned out not to decode, wholly or in parts, by index, and why.
        damaged: videos that lack frames which others take the place of, by index, and what is wrong.
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
        """Return one random example of a video; of another one where that does not decode.

        Raises:
            InputError: none decodes.
        """
        # What broke earlier is tried again: an example must not depend on which were read before it.
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
        raise InputError(f"none of {len(self.videos)} videos can be decoded, such as {name}: {reason}")

    def read(self, video: Video, plan: Plan, rng: np.random.Generator | None = None) -> tuple[np.ndarray, ...]:
        """Return the example that a plan names: uint8 arrays, and the class as int32 where examples carry it.

        Without `rng` it is read for evaluation: nothing in it is random.
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
        if rng is not None and self.sampler.truth:
            clips += (self._truth(video, plan, max(self.shapes[0][1:3])),)
        example = self.sampler.example(clips, rng)
        if any(shape[1] != shape[2] for shape in self.shapes):
            sizes = [shape[1:3] for shape in self.shapes]
            sizes += [tuple(side // 2 for side in sizes[0])] * (len(clips) - len(sizes))  # the truth's
            example = tuple(_centre(clip, *size) for clip, size in zip(example, sizes, strict=True))
        return (*example, np.int32(self.classes.index(video.label))) if self.classes else example

    def _truth(self, video: Video, plan: Plan, image_size: int) -> np.ndarray:
        """Return the true motion of a plan's frames; see InterpolateTruth."""
        (first, last), times = plan
        flow, visible, _ = self.source.truth(video, first, last, times, image_size // 2)
        return np.concatenate([flow, visible], axis=-1, dtype=np.float32)

    def cover(self, limit: int) -> list[tuple[Video, Plan]]:
        """Return at most `limit` fixed examples, spread evenly over videos and over time."""
        lengths = [self.length(video) for video in self.videos]
        # Hours of video have millions of plans: they are counted, and made for the chosen ones only.
        counts = {length: len(self.sampler.cover(length)) for length in set(lengths)}
        ends = np.cumsum([counts[length] for length in lengths])
        count = int(min(limit, ends[-1]))
        chosen = []
        for i in np.linspace(0, ends[-1] - 1, count).round().astype(int):
            video = int(np.searchsorted(ends, i, side="right"))
            chosen.append((self.videos[video], self.sampler.cover(lengths[video])[i - ends[video]]))
        return chosen

    def arrays(self, limit: int) -> tuple[np.ndarray, ...]:
        """Return at most `limit` fixed examples as the arrays of one batch, those that do not decode left out.

        Raises:
            InputError: none decodes.
        """
        (batch,) = FixedExamples(self, limit).batches(sys.maxsize)
        return batch

    def times(self) -> tuple[np.ndarray, ...]:
        """Return the times of the frames of each clip of an example, counted from the first of all."""
        (plan, *_) = self.sampler.cover(self.sampler.needs)
        first = min(int(indices.min()) for indices in plan)
        return tuple(indices - first for indices in plan)

    def _first_and_others(self, first: int, rng: np.random.Generator) -> Iterator[int]:
        yield first
        yield from (int(other) for other in rng.permutation(len(self.videos)) if other != first)

    def length(self, video: Video) -> int:
        """Return how many frames the sampler sees: more than the video has where short ones are stretched."""
        return video.frames if self.short == "drop" else max(video.frames, self.sampler.needs)

    def _within(self, indices: np.ndarray, frames: int) -> np.ndarray:
        return indices % frames if self.short == "loop" else np.minimum(indices, frames - 1)

    def report(self, index: int, reason: str) -> None:
        """Note that a video does not decode, and log it once."""
        self._log_once(self.broken, index, "skipped", reason)

    def report_faults(self, index: int) -> None:
        """Log once what is wrong with a video that decodes."""
        if faults := self.source.faults_in_words(self.videos[index]):
            self._log_once(self.damaged, index, "damaged", faults)

    def _log_once(self, known: dict[int, str], index: int, what: str, reason: str) -> None:
        with self._lock:
            if index not in known:
                known[index] = reason
                level = logging.WARNING if len(known) <= SHOWN else logging.DEBUG
                log.log(level, "%s %s: %s", what, self.videos[index].name, reason)


class FixedExamples:
    """Fixed examples of one part, spread evenly over videos and over time, that are read again in every pass.

    Args:
        clips: the part.
        limit: examples at most.
        hold: bytes; examples that take no more stay in memory after the first pass.
    """

    def __init__(self, clips: Clips, limit: int, hold: int = 0):
        self.clips, self._chosen, self._hold = clips, clips.cover(limit), hold
        self._held: list[tuple[np.ndarray, ...]] | None = None

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield the examples as batches of `size`, the last one may be smaller; those that do not decode are left out.

        Raises:
            InputError: none decodes.
        """
        rows: list[tuple[np.ndarray, ...]] = []
        for example in self._examples():
            # An example may be several rows, as a pair of clips is two.
            arrays = self.clips.sampler.batch(tuple(np.asarray(part)[None] for part in example), None)
            rows += zip(*arrays, strict=True)
            while len(rows) >= size:
                yield tuple(np.stack(parts) for parts in zip(*rows[:size], strict=True))
                del rows[:size]
        if rows:
            yield tuple(np.stack(parts) for parts in zip(*rows, strict=True))

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
            size += sum(part.nbytes for part in example)
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
    """Return the middle of square frames (…, S, S, C), of which one side may be all: (…, height, width, C)."""
    top, left = (clip.shape[-3] - height) // 2, (clip.shape[-2] - width) // 2
    return np.ascontiguousarray(clip[..., top : top + height, left : left + width, :])


@dataclass(frozen=True)
class Data:
    """What a recipe's `data` opens to.

    Attributes:
        training, validation: the two parts; validation is None where nothing is held out.
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
        section: resolved and checked.
        shapes: (T, H, W, C) of each clip that makes an example, as the model's `clip_shapes` has them.
        seed: decides which groups are held out.
        classes: whether examples carry their class: None, they do not; a number, how many classes the data must
            have, 0 for any; or their names in order.

    Raises:
        InputError: nothing usable, or classes other than are wanted.
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
        raise InputError(f"data: sources give frames of 1 (grey) or 3 (RGB) channels, the model has {wrong[0]}")
    sampler = dict(section["sampler"])
    sampler = catalog.SAMPLERS.get(sampler.pop("name")).load()(*(shape[0] for shape in shapes), **sampler)
    spec = catalog.SOURCES.get(section["source"])
    source = spec.load()(**fetched(spec, {name: section[name] for name in spec.options}))
    if sampler.truth and not hasattr(source, "truth"):
        name = section["sampler"]["name"]
        raise InputError(f"the sampler {name} requires a source that knows its motion. Received: {section['source']}")
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


def fetched(spec: SourceSpec, options: dict) -> dict:
    """Return a source's options with addresses fetched: their paths are files here.

    Raises:
        InputError: nothing there, or nothing installed that reads such addresses.
    """
    paths = [name for name, option in spec.options.items() if option.type == "path" and options.get(name)]
    return {**options, **{name: local(options[name]) for name in paths}}


def _classes(clips: Clips, wanted: int | Sequence[str], section: dict) -> tuple[str, ...]:
    """Return the names of the classes in order, which are the videos' labels."""
    found = sorted({video.label for video in clips.videos})
    where = section.get("path") or section["source"]
    if nameless := next((video for video in clips.videos if not video.label), None):
        raise InputError(f"{where}: the model is trained with labels, and {nameless.name} has none")
    shown = ", ".join(found[:12]) + (", …" if len(found) > 12 else "")
    if isinstance(wanted, int):
        if wanted and len(found) != wanted:
            raise InputError(f"{where}: has {len(found)} classes ({shown}), the model {wanted}; set model.classes")
        return tuple(found)
    if unknown := sorted(set(found) - set(wanted)):
        raise InputError(
            f"{where}: no class {unknown[0]!r}{did_you_mean(unknown[0], wanted)}; known: {', '.join(wanted)}"
        )
    return tuple(wanted)


def batches(clips: Clips, batch_size: int, seed: int, start: int = 0, threads: int | None = None) -> grain.IterDataset:
    """Return endless training batches from step `start` on: tuples of uint8 arrays.

    Every video comes once a pass, in an order that changes with the pass.

    Args:
        clips: what to draw from.
        batch_size: examples a batch.
        seed: of the order and of the windows.
        start: batches to leave out; what follows is the same as without.
        threads: that read ahead; one for each core, at most 8, when None.
    """

    def draw(index: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        return clips.example(index, rng)

    positions = grain.MapDataset.range(len(clips.videos)).shuffle(seed=seed).repeat(LENGTH // len(clips.videos))
    examples = positions.random_map(draw, seed=seed).batch(batch_size).random_map(clips.sampler.batch, seed=seed)
    threads = threads or min(8, cores())
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    return examples[start:].to_iter_dataset(options)
