"""Extract features from videos: the output of a run's feature layer for every window."""

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
from kvzoo.files import writing, written_whole
from kvzoo.recipe.resolve import Recipe
from kvzoo.run.folder import RunFolder

BATCH = 8  # windows a pass


@dataclass(frozen=True)
class Embedding:
    """Features of videos, one row per window.

    Attributes:
        names: names of the videos with at least one window.
        fps: frames per second of each.
        video: (rows,) index of the row's video.
        first: (rows,) first frame of the window.
        seconds: (rows,) display time of that frame, from the beginning of the video.
        features: float32 (rows, D).
        skipped: (name, reason) of the videos that cannot be read.
        broken: (name, fault) of the videos that can be read only in part.
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
) -> Embedding:
    """Write the features of all windows of videos to one .npz file.

    Its arrays: features float32 (rows, D); video (rows,), an index into names; first (rows,), the window's first frame;
    seconds (rows,), its display time; names and fps (videos,). numpy.load reads it without pickles.

    Args:
        run: a run folder of a model with a feature layer.
        files: video files, or folders of them.
        out: the file to write, .npz.
        stride: frames from window to window; by default the network's length.
        overwrite: replace `out` if it exists.
        progress: called with 1 after each file.

    Raises:
        InputError: `run` is not a run folder, has no model yet, or its model has no feature layer; no video can be
            read; or the file cannot be written.
    """
    _, paths = check_request(run, files, out, stride, overwrite)
    features = Features(run)
    names, fps, video, first, seconds, rows, skipped, broken = [], [], [], [], [], [], [], []
    for file in paths:
        try:
            windows = features(file, stride)
        except InputError as error:
            skipped.append((str(file), str(error).removeprefix(f"{file}: ")))
        else:
            if windows.broken:
                broken.append((str(file), windows.broken))
            video += [len(names)] * len(windows.first)
            first.append(windows.first)
            seconds.append(windows.seconds)
            rows.append(windows.features)
            names.append(str(file))
            fps.append(windows.fps)
        if progress:
            progress(1)
    if not names:
        raise InputError(f"no video can be read: {skipped[0][0]}: {skipped[0][1]}")
    rows_of = {"video": np.array(video), "first": np.concatenate(first), "seconds": np.concatenate(seconds)}
    embedding = Embedding(names, fps, **rows_of, features=np.concatenate(rows), skipped=skipped, broken=broken)
    with writing(out), written_whole(out) as temporary:
        np.savez(temporary, features=embedding.features, **rows_of, names=np.array(names), fps=fps)
    return embedding


def check_request(run, files, out, stride: int | None = None, overwrite: bool = False) -> tuple[Recipe, list[Path]]:
    """Validate the arguments without Keras and return the run's recipe and the files."""
    recipe = run_with_features("embed", run)
    if stride is not None and stride < 1:
        raise InputError(f"--stride: must be at least 1. Received: {stride}")
    check_file(out, (".npz",), overwrite)
    paths = [
        file for entry in files for file in (files_under(entry, ENDINGS) if Path(entry).is_dir() else [Path(entry)])
    ]
    if not paths:
        raise InputError("no video files to embed")
    return recipe, paths


def run_with_features(verb: str, run: str | os.PathLike) -> Recipe:
    """Return a run's recipe.

    Raises:
        InputError: `run` is not a run folder, has no model yet, or its model has no feature layer.
    """
    recipe = RunFolder(run).trained(verb)
    if not recipe.model_spec.feature_layer:
        raise InputError(f"{run}: {recipe.model_spec.name} has no feature layer, which {verb} needs")
    return recipe


@dataclass(frozen=True)
class Windows:
    """Windows of one video: first frames (rows,), their display times, features float32 (rows, D), frames per second,
    and what is wrong with the video."""

    first: np.ndarray
    seconds: np.ndarray
    features: np.ndarray
    fps: float
    broken: str


class Features:
    """A run's network up to its feature layer.

    Raises:
        InputError: the layer returns more than one vector per clip.
    """

    def __init__(self, run: str | os.PathLike):
        from kvzoo import zoo

        self._model = zoo.load(run)
        layer = self._model.spec.feature_layer
        self._network = zoo.part(self._model.network, layer)
        shape = self._network.output_shape
        if len(shape) != 2:
            raise InputError(
                f"{run}: {self._model.spec.name}'s {layer} must return one vector per clip. Received: shape {shape[1:]}"
            )
        self.length = self._model.clip_shape[0]

    def __call__(self, file: str | os.PathLike, stride: int | None = None) -> Windows:
        """Return the features of a video's windows, `stride` frames apart; adjacent by default.

        Raises:
            InputError: the video cannot be read, or has fewer frames than the network needs.
        """
        stream, (length, image_size, _, channels) = open_video(file), self._model.clip_shape
        # Copied, because a frame that needs no resizing is still the decoder's memory.
        frames = (square(frame, image_size, channels).copy() for frame in stream)
        clips = ahead(batches(windows(frames, length, min(stride or length, length)), BATCH))
        first, rows, position = [], [], 0
        try:
            for batch, new in clips:
                # The last batch is padded: another size would be compiled again.
                full_batch = np.concatenate([batch, np.repeat(batch[-1:], BATCH - len(batch), axis=0)])
                out = self._network.predict_on_batch(full_batch.astype("float32") / 127.5 - 1.0)
                rows.append(np.asarray(out, np.float32)[: len(batch)])
                for fresh in new:
                    position += fresh
                    first.append(position - length)
        finally:
            clips.close()
        if not first:
            has = stream.broken or f"has {stream.frames} frames"
            raise InputError(f"{file}: {has}; the network needs at least {length}")
        first = np.array(first)
        return Windows(first, stream.seconds[first], np.concatenate(rows), stream.fps, stream.broken)
