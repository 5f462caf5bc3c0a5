"""Samples while training: what the articles show, on clips, or noise, that stay the same through a run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kvzoo.data.pipeline import Clips
from kvzoo.data.source import BrokenVideo
from kvzoo.errors import InputError
from kvzoo.losses.base import VideoModel, to_chances, to_uint8
from kvzoo.media.clips import stack, strip, write_gif, write_png

COUNT = 8  # clips in a sample
COURSE = 5  # frames that show how a clip goes on
FRAMES = 8  # of each generated clip in a picture: the whole would be wider than a screen


@dataclass(frozen=True)
class Shown:
    """The clips that a sample shows.

    Attributes:
        clips: uint8 (N, T, H, W, C).
        labels: int32 (N,), indices of `classes`; None where examples carry no class.
        classes: their names.
        fps: frames a second.
    """

    clips: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]
    fps: float


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
    classes = clips.classes or clips.sampler.classes
    return Shown(arrays[0][:COUNT], arrays[-1][:COUNT] if classes else None, classes, clips.videos[0].fps)


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


def _reconstruct(model: VideoModel, shown: Shown, path: Path) -> dict[str, float]:
    """Input above and reconstruction below."""
    seen = to_uint8(model.predict_on_batch(shown.clips))
    rows = [stack([strip(a), strip(b)], axis=0, gap=0) for a, b in zip(shown.clips, seen, strict=True)]
    write_png(path.with_suffix(".png"), stack(rows, axis=0, gap=4))
    pairs = [np.concatenate([a, b], axis=1) for a, b in zip(shown.clips, seen, strict=True)]
    write_gif(path.with_suffix(".gif"), stack(pairs, axis=2), shown.fps)
    return {}


def _generate(model: VideoModel, shown: Shown, path: Path) -> dict[str, float]:
    """Clips of the same noise, labels or images through the whole run, and beneath each what it is made of."""
    made = parts_of(model, shown)
    rows = [to_frames(part, len(made["clip"][0])) for part in made.values()]
    if "image" in (x.name for x in model.network.inputs):
        rows.insert(0, np.repeat(shown.clips[: len(rows[0]), :1], len(rows[0][0]), axis=1))
    at = np.linspace(0, len(rows[0][0]) - 1, FRAMES).round().astype(int)
    strips = [stack([strip(part[i][at]) for part in rows], axis=0, gap=0) for i in range(len(rows[0]))]
    write_png(path.with_suffix(".png"), stack(strips, axis=0, gap=4))
    columns = [np.concatenate([part[i] for part in rows], axis=1) for i in range(len(rows[0]))]
    write_gif(path.with_suffix(".gif"), stack(columns, axis=2), shown.fps)
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


def _classify(model: VideoModel, shown: Shown, path: Path) -> dict[str, float]:
    """Each clip with what it is taken for: its middle frame, or the course of it where speed is the question."""
    from kvzoo.media.plots import write_captioned

    chances = to_chances(model.predict_on_batch(shown.clips))
    captions = []
    for label, chance in zip(shown.labels, chances, strict=True):
        taken = int(chance.argmax())
        right = "" if taken == label else f"\nis {shown.classes[label]}"
        captions.append(f"{shown.classes[taken]} {chance[taken]:.0%}{right}")
    if model.loss_name != "binary_speed":
        write_captioned(path.with_suffix(".png"), [clip[len(clip) // 2] for clip in shown.clips], captions)
        return {}
    at = np.linspace(0, len(shown.clips[0]) - 1, COURSE).round().astype(int)
    write_captioned(path.with_suffix(".png"), [strip(clip[at]) for clip in shown.clips], captions, columns=2)
    write_gif(path.with_suffix(".gif"), stack(list(shown.clips), axis=2), shown.fps)
    return {}


# How each kind of model shows itself.
DRAWERS: Mapping[str, Callable[[VideoModel, Shown, Path], dict[str, float]]] = {
    "reconstructor": _reconstruct,
    "generator": _generate,
    "classifier": _classify,
}
