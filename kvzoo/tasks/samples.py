"""What the samples of all tasks share: the examples that they show, and how a clip is laid out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kvzoo.data.pipeline import Clips
from kvzoo.data.source import BrokenVideo
from kvzoo.errors import InputError

COUNT = 8  # clips in a sample
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
        fps: frames per second.
        targets: uint8 (N, m, H, W, C'), the second clip; None where there is one only.
        times: of the frames of each clip, counted from the first of all.
    """

    clips: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]
    fps: float
    targets: np.ndarray | None = None
    times: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Drawn:
    """A sample that is ready to be written.

    Attributes:
        files: by ending, a function that writes the file to a path: ".png" a picture, ".gif" an animation.
        figures: of the sample, for the run's history.
    """

    files: Mapping[str, Callable[[Path], None]]
    figures: Mapping[str, float] = field(default_factory=dict)


def fixed_clips(clips: Clips) -> Shown:
    """Return up to COUNT clips of different videos, groups and labels taking turns."""
    known, indices = set(), []
    # A video of a new group and label first, then one of a new label, then any.
    for facets in (("group", "label"), ("label",), ("name",)):
        for i, video in enumerate(clips.videos):
            marks = {(facet, getattr(video, facet)) for facet in facets}
            if not marks & known and i not in indices:
                indices.append(i)
                known |= {(facet, getattr(video, facet)) for facet in ("group", "label", "name")}
    out = []
    for i in indices:
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


def error_of(output: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return GAIN times the absolute difference of two uint8 arrays, clipped."""
    return np.minimum(GAIN * np.abs(output.astype(int) - target), 255).astype(np.uint8)


def to_colour(clips: np.ndarray) -> np.ndarray:
    """Return clips as RGB: grey ones three times."""
    return clips.repeat(3, axis=-1) if clips.shape[-1] == 1 else clips
