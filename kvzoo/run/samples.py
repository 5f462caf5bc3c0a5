"""Samples while training: what the articles show, on clips that stay the same through a run."""

from pathlib import Path

import numpy as np

from kvzoo.data.pipeline import Clips
from kvzoo.data.source import BrokenVideo
from kvzoo.errors import InputError
from kvzoo.losses.base import VideoModel, to_uint8
from kvzoo.media.clips import stack, strip, write_gif, write_png

COUNT = 8  # clips in a sample


def fixed_clips(clips: Clips) -> np.ndarray:
    """Return up to COUNT clips of different videos, groups and labels taking turns, uint8 (N, T, H, W, C)."""
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
            out.append(clips.read(clips.videos[i], plans[len(plans) // 2])[0])
        except BrokenVideo:
            continue
        if len(out) == COUNT:
            break
    if not out:
        raise InputError("no held-out video can be decoded")
    return np.stack(out)


def reconstruct_sample(model: VideoModel, clips: np.ndarray, path: Path, fps: float) -> None:
    """Write input above and reconstruction below: a strip (.png) and an animation (.gif).

    Args:
        model: a reconstructor.
        clips: uint8 (N, T, H, W, C).
        path: without an ending.
        fps: of the clips.
    """
    seen = to_uint8(model.predict_on_batch(clips))
    rows = [stack([strip(a), strip(b)], axis=0, gap=0) for a, b in zip(clips, seen, strict=True)]
    write_png(path.with_suffix(".png"), stack(rows, axis=0, gap=4))
    pairs = [np.concatenate([a, b], axis=1) for a, b in zip(clips, seen, strict=True)]
    write_gif(path.with_suffix(".gif"), stack(pairs, axis=2), fps)


# How each kind of model shows itself.
DRAWERS = {"reconstructor": reconstruct_sample}


def draw(model: VideoModel, clips: np.ndarray, path: Path, fps: float) -> None:
    """Draw a sample as the model's kind is shown; `path` is without an ending."""
    DRAWERS[model.spec.kind](model, clips, path, fps)
