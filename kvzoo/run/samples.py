"""Samples while training: what the articles show, on clips, or noise, that stay the same through a run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from kvzoo.data.pipeline import Clips
from kvzoo.data.source import BrokenVideo
from kvzoo.errors import InputError
from kvzoo.losses.base import VideoModel, to_chances, to_uint8
from kvzoo.media.clips import stack, strip, write_gif, write_png
from kvzoo.run.folder import writing

COUNT = 8  # clips in a sample
COURSE = 5  # frames that show how a clip goes on
FRAMES = 8  # of each generated clip in a picture: the whole would be wider than a screen
GAP = 4  # pixels between the clips of a picture
GAIN = 4  # times an error is shown: a twentieth of the range, as good networks have it, would be black
ERROR = f"error × {GAIN}"


@dataclass(frozen=True)
class Shown:
    """The examples that a sample shows.

    Attributes:
        clips: uint8 (N, T, H, W, C), the first clip of each.
        labels: int32 (N,), indices of `classes`; None where examples carry no class.
        classes: their names.
        fps: frames a second.
        targets: uint8 (N, m, H, W, C'), the second clip; None where there is one only.
        times: of the frames of each clip, counted from the first of all.
    """

    clips: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]
    fps: float
    targets: np.ndarray | None = None
    times: tuple[np.ndarray, ...] = ()


def fixed_clips(clips: Clips) -> Shown:
    """Return up to COUNT clips of different videos, groups and labels taking turns."""
    seen, chosen = set(), []
    # A video of a new group and label first, then one of a new label, then any.
    for facets in (("group", "label"), ("label",), ("name",)):
        for i, video in enumerate(clips.videos):
            marks = {(facet, getattr(video, facet)) for facet in facets}
            if not marks & seen and i not in chosen:
                chosen.append(i)
                seen |= {(facet, getattr(video, facet)) for facet in ("group", "label", "name")}
    out = []
    for i in chosen:
        plans = clips.sampler.cover(clips.length(clips.videos[i]))
        try:
            # The middle of a video: actions are under way there.
            out.append(clips.read(clips.videos[i], plans[len(plans) // 2]))
        except BrokenVideo:
            continue
        if len(out) == COUNT:
            break
    if not out:
        raise InputError("no held-out video can be decoded")
    arrays = clips.sampler.batch(tuple(np.stack(parts) for parts in zip(*out, strict=True)), None)
    classes, times = clips.classes or clips.sampler.classes, clips.times()
    return Shown(
        arrays[0][:COUNT],
        arrays[-1][:COUNT] if classes else None,
        classes,
        clips.videos[0].fps,
        arrays[1][:COUNT] if len(times) > 1 and not clips.sampler.classes else None,
        times,
    )


def draw(model: VideoModel, shown: Shown, path: Path) -> dict[str, float]:
    """Draw a sample as the model's kind is shown: a picture (.png) and, but for classes, an animation (.gif).

    Args:
        model: of any kind.
        shown: what to show.
        path: without an ending.

    Returns:
        Figures of the sample, for the run's history.
    """
    return DRAWERS[model.spec.kind](model, shown, path)


def _write(write: Callable, path: Path, *arguments, **options) -> None:
    """Write a file of a sample by a function that takes its path first."""
    with writing(path):
        write(path, *arguments, **options)


def _reconstruct(model: VideoModel, shown: Shown, path: Path) -> dict[str, float]:
    """Input above, reconstruction below it, its error below that."""
    seen = to_uint8(model.predict_on_batch(shown.clips))
    examples = list(zip(shown.clips, seen, _error(seen, shown.clips), strict=True))
    note = {"clips": len(examples), "gap": GAP, "rows": ["input", "reconstruction", ERROR]}
    strips = [stack([strip(part) for part in parts], axis=0, gap=0) for parts in examples]
    _write(write_png, path.with_suffix(".png"), stack(strips, axis=0, gap=GAP), note)
    _write(
        write_gif,
        path.with_suffix(".gif"),
        stack([np.concatenate(parts, axis=1) for parts in examples], axis=2),
        shown.fps,
    )
    return {}


def _error(made: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return GAIN times the absolute difference of two uint8 arrays, clipped."""
    return np.minimum(GAIN * np.abs(made.astype(int) - wanted), 255).astype(np.uint8)


def _generate(model: VideoModel, shown: Shown, path: Path) -> dict[str, float]:
    """Clips of the same noise, labels or images through the whole run, and beneath each what it is made of."""
    made = parts_of(model, shown)
    names, rows = [*made], [to_frames(part, len(made["clip"][0])) for part in made.values()]
    if "image" in (x.name for x in model.network.inputs):
        names.insert(0, "image")
        rows.insert(0, np.repeat(shown.clips[: len(rows[0]), :1], len(rows[0][0]), axis=1))
    at = np.linspace(0, len(rows[0][0]) - 1, FRAMES).round().astype(int)
    strips = [stack([strip(part[i][at]) for part in rows], axis=0, gap=0) for i in range(len(rows[0]))]
    note = {"clips": len(strips), "gap": GAP, "rows": names}
    _write(write_png, path.with_suffix(".png"), stack(strips, axis=0, gap=GAP), note)
    columns = [np.concatenate([part[i] for part in rows], axis=1) for i in range(len(rows[0]))]
    _write(write_gif, path.with_suffix(".gif"), stack(columns, axis=2), shown.fps)
    real, clips = shown.clips / 255.0, (made["clip"] + 1) / 2
    return {"diversity": _spread(clips) / (_spread(real) or 1.0)}


def parts_of(model: VideoModel, shown: Shown) -> dict[str, np.ndarray]:
    """Return the fixed sample of a generator and its parts by name, float32 (N, T or 1, H, W, C)."""
    inputs = {x.name for x in model.network.inputs}
    count = len(shown.clips) if "image" in inputs else COUNT
    given: dict = {}
    if "label" in inputs:
        # Classes take turns; where there are fewer than clips, one has several noises.
        given["labels"] = np.arange(count, dtype="int32") % (len(shown.classes) or model.classes or 1)
    if "image" in inputs:
        given["images"] = shown.clips[:, 0]
    return model.parts(count, seed=0, **given)


def to_frames(part: np.ndarray, frames: int) -> np.ndarray:
    """Return a part of a generated clip as uint8 clips: what is still is repeated, a mask (0..1) becomes grey."""
    colour = part.shape[-1] != 1 or part.min() < 0
    part = to_uint8(part if colour else part * 2 - 1)
    if part.shape[-1] == 1:
        part = part.repeat(3, axis=-1)
    return np.repeat(part, frames, axis=1) if part.shape[1] == 1 else part


def _spread(clips: np.ndarray) -> float:
    """Return the mean absolute difference between two clips, of values 0..1."""
    count = len(clips)
    pairs = [np.abs(clips[i] - clips[j]).mean() for i in range(count) for j in range(i)]
    return float(np.mean(pairs)) if pairs else 0.0


def _translate(model: VideoModel, shown: Shown, path: Path) -> dict[str, float]:
    """Inputs, prediction, target and its error, one below the other; the picture has a column for each time."""
    made = to_uint8(model.predict_on_batch(shown.clips))
    rows = [to_colour(part) for part in (shown.clips, made, shown.targets, _error(made, shown.targets))]
    given, wanted = (list(times) for times in shown.times)
    columns = sorted({*given, *wanted})
    paper = np.full(rows[0].shape[2:], 255, np.uint8)

    def row(part: np.ndarray, times: list) -> np.ndarray:
        return strip(np.stack([part[times.index(t)] if t in times else paper for t in columns]))

    strips = [
        stack([row(part[i], given if k == 0 else wanted) for k, part in enumerate(rows)], axis=0, gap=0)
        for i in range(len(made))
    ]
    # Side by side two by two: four rows for each would be higher than a screen.
    half = (len(strips) + 1) // 2
    strips += [np.full_like(strips[0], 255)] * (2 * half - len(strips))
    sides = [stack(side, axis=0, gap=8) for side in (strips[:half], strips[half:])]
    _write(
        write_png,
        path.with_suffix(".png"),
        stack(sides, axis=1, gap=8),
        {"rows": ["inputs", "prediction", "target", ERROR]},
    )

    def at(part: np.ndarray, times: list, time: int) -> np.ndarray:
        """The frames of a time: those of the last one before it that there are, or the first."""
        return part[:, times.index(max([t for t in times if t <= time], default=min(times)))]

    clips = []
    for time in range(columns[0], columns[-1] + 1):
        held = at(rows[0], given, time)
        # Where a frame is given prediction and target are the same.
        parts = [held if time in given and time not in wanted else at(part, wanted, time) for part in rows[1:3]]
        parts.append(at(rows[3], wanted, time) if time in wanted else np.zeros_like(held))
        clips.append(np.concatenate([held, *parts], axis=1))
    _write(write_gif, path.with_suffix(".gif"), [stack(list(frames), axis=1) for frames in clips], shown.fps)
    return {}


def to_colour(clips: np.ndarray) -> np.ndarray:
    """Return clips as RGB: grey ones three times."""
    return clips.repeat(3, axis=-1) if clips.shape[-1] == 1 else clips


def _classify(model: VideoModel, shown: Shown, path: Path) -> dict[str, float]:
    """Each clip with what it is taken for: its middle frame, or the course of it where speed is the question."""
    from kvzoo.media.plots import write_captioned

    # A few clips do not pay for the tracing of a graph, which would keep the first step waiting for seconds.
    eagerly = keras.backend.backend() == "tensorflow"
    logits = model(shown.clips, training=False) if eagerly else model.predict_on_batch(shown.clips)
    chances = to_chances(logits)
    captions = []
    for label, chance in zip(shown.labels, chances, strict=True):
        taken = int(chance.argmax())
        right = "" if taken == label else f"\nis {shown.classes[label]}"
        captions.append(f"{shown.classes[taken]} {chance[taken]:.0%}{right}")
    if model.loss_name != "binary_speed":
        _write(write_captioned, path.with_suffix(".png"), [clip[len(clip) // 2] for clip in shown.clips], captions)
        return {}
    at = np.linspace(0, len(shown.clips[0]) - 1, COURSE).round().astype(int)
    _write(write_captioned, path.with_suffix(".png"), [strip(clip[at]) for clip in shown.clips], captions, columns=2)
    _write(write_gif, path.with_suffix(".gif"), stack(list(shown.clips), axis=2), shown.fps)
    return {}


# How each kind of model shows itself.
DRAWERS: Mapping[str, Callable[[VideoModel, Shown, Path], dict[str, float]]] = {
    "reconstructor": _reconstruct,
    "generator": _generate,
    "translator": _translate,
    "classifier": _classify,
}
