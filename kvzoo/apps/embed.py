"""Clips as points: what a run's network knows of every stretch of a video, before its head."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kvzoo.apps.outputs import check_file
from kvzoo.apps.streams import ahead, batches, windows
from kvzoo.data.source import files_under, square
from kvzoo.data.videos import ENDINGS, open_video
from kvzoo.errors import InputError
from kvzoo.media.clips import writing, written_whole
from kvzoo.recipe.resolve import Recipe
from kvzoo.run.folder import RunFolder

BATCH = 8  # windows a pass


@dataclass(frozen=True)
class Embedded:
    """The features of videos, a row a window.

    Attributes:
        names: of the videos that have any.
        fps: of each, frames a second.
        video: (rows,) index of the row's video.
        first: (rows,) its first frame; a window has as many frames as the network takes.
        seconds: (rows,) when that frame is shown, from the video's beginning on.
        features: float32 (rows, D).
        skipped: (name, why) of those that cannot be read.
        broken: (name, what was wrong) of those that can be read in part.
    """

    names: list[str]
    fps: list[float]
    video: np.ndarray = field(repr=False)
    first: np.ndarray = field(repr=False)
    seconds: np.ndarray = field(repr=False)
    features: np.ndarray = field(repr=False)
    skipped: list[tuple[str, str]]
    broken: list[tuple[str, str]]


def embed(
    run: str | os.PathLike,
    files: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    *,
    stride: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Embedded:
    """Write the features of every window of videos into one .npz.

    Its arrays: features float32 (rows, D), video (rows,) an index of names, first (rows,) the window's first frame,
    seconds (rows,) when it is shown, names and fps (videos,). numpy.load reads it without pickles.

    Args:
        run: a run folder of a model with a layer of features.
        files: video files, or folders of them.
        out: the file to write, .npz.
        stride: frames from window to window; as many as the network takes when None.
        overwrite: whether it may be there already.
        progress: called with 1 after each file.

    Raises:
        InputError: no run, no model yet, a model without such features, no file that can be read, a file that cannot
            be written as wanted.
    """
    _, listed = check(run, files, out, stride, overwrite)
    features = Features(run)
    names, fps, video, first, seconds, rows, skipped, broken = [], [], [], [], [], [], [], []
    for file in listed:
        try:
            found = features(file, stride)
        except InputError as error:
            skipped.append((str(file), str(error).removeprefix(f"{file}: ")))
        else:
            if found.broken:
                broken.append((str(file), found.broken))
            video += [len(names)] * len(found.first)
            first.append(found.first)
            seconds.append(found.seconds)
            rows.append(found.features)
            names.append(str(file))
            fps.append(found.fps)
        if progress:
            progress(1)
    if not names:
        raise InputError(f"no video can be read: {skipped[0][0]}: {skipped[0][1]}")
    rows_of = {"video": np.array(video), "first": np.concatenate(first), "seconds": np.concatenate(seconds)}
    done = Embedded(names, fps, **rows_of, features=np.concatenate(rows), skipped=skipped, broken=broken)
    with writing(out), written_whole(out) as beside:
        np.savez(beside, features=done.features, **rows_of, names=np.array(names), fps=fps)
    return done


def check(run, files, out, stride: int | None = None, overwrite: bool = False) -> tuple[Recipe, list[Path]]:
    """Return a run's recipe and the files; refuses what can be refused without Keras."""
    recipe = run_with_features("embed", run)
    if stride is not None and stride < 1:
        raise InputError(f"--stride: at least 1. Received: {stride}")
    check_file(out, (".npz",), overwrite)
    listed = [file for each in files for file in (files_under(each, ENDINGS) if Path(each).is_dir() else [Path(each)])]
    if not listed:
        raise InputError("video files to embed are wanted")
    return recipe, listed


def run_with_features(verb: str, run: str | os.PathLike) -> Recipe:
    """Return a run's recipe.

    Raises:
        InputError: it is no run, has no model yet, or its model has no layer of features.
    """
    recipe = RunFolder(run).trained(verb)
    if not recipe.model_spec.feature_layer:
        raise InputError(f"{run}: {recipe.model_spec.name} names no layer of features, which {verb} wants")
    return recipe


@dataclass(frozen=True)
class Windows:
    """One video's windows: first frames (rows,), when they are shown, features float32 (rows, D), frames a second,
    what was broken."""

    first: np.ndarray
    seconds: np.ndarray
    features: np.ndarray
    fps: float
    broken: str


class Features:
    """A run's network up to its layer of features.

    Raises:
        InputError: the layer gives more than one row a clip.
    """

    def __init__(self, run: str | os.PathLike):
        from kvzoo import zoo

        self._model = zoo.load(run)
        layer = self._model.spec.feature_layer
        self._network = zoo.part(self._model.network, layer)
        shape = self._network.output_shape
        if len(shape) != 2:
            raise InputError(
                f"{run}: {self._model.spec.name}'s {layer} has the shape {shape[1:]}; one row a clip is wanted"
            )
        self.length = self._model.clip_shape[0]

    def __call__(self, file: str | os.PathLike, stride: int | None = None) -> Windows:
        """Return the features of a video's windows, `stride` frames apart; side by side when None.

        Raises:
            InputError: it cannot be read, or has fewer frames than the network takes.
        """
        stream, (length, image_size, _, channels) = open_video(file), self._model.clip_shape
        # Copied, as a frame that needs no resizing is still the decoder's memory.
        frames = (square(frame, image_size, channels).copy() for frame in stream)
        decoded = ahead(batches(windows(frames, length, min(stride or length, length)), BATCH))
        first, rows, seen = [], [], 0
        try:
            for batch, new in decoded:
                # The last batch is filled up: another size would be compiled anew.
                filled = np.concatenate([batch, np.repeat(batch[-1:], BATCH - len(batch), axis=0)])
                out = self._network.predict_on_batch(filled.astype("float32") / 127.5 - 1.0)
                rows.append(np.asarray(out, np.float32)[: len(batch)])
                for fresh in new:
                    seen += fresh
                    first.append(seen - length)
        finally:
            decoded.close()
        if not first:
            has = stream.broken or f"has {stream.frames} frames"
            raise InputError(f"{file}: {has}; the network takes {length} frames at once, at least as many are wanted")
        first = np.array(first)
        return Windows(first, stream.seconds[first], np.concatenate(rows), stream.fps, stream.broken)
