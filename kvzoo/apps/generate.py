"""Generate clips with a run's generator: as an animated grid, an image of strips, or arrays."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kvzoo.apps.outputs import check_file
from kvzoo.data.images import BROKEN, pixels
from kvzoo.data.source import square
from kvzoo.errors import InputError, did_you_mean
from kvzoo.files import writing, written_whole
from kvzoo.media.clips import stack, strip, write_gif, write_mp4, write_png
from kvzoo.recipe.resolve import Recipe
from kvzoo.run.folder import RunFolder

ENDINGS = (".gif", ".mp4", ".png", ".npz")
SIDE = 128  # minimum pixels of a clip in an animated grid
FPS = 25.0  # default if a run does not say
MOST = 4096  # clips


@dataclass(frozen=True)
class Generation:
    """The result of `generate`.

    Attributes:
        clips: uint8 (N, T, H, W, C).
        noise: float32 (N, Z); None if the generator takes none.
        labels: class names of the clips; None if it takes none.
        fps: frames per second.
        notes: how input images were changed, in words.
    """

    clips: np.ndarray
    noise: np.ndarray | None
    labels: list[str] | None
    fps: float
    notes: tuple[str, ...] = ()


def generate(
    run: str | os.PathLike,
    out: str | os.PathLike,
    count: int = 16,
    seed: int = 0,
    *,
    labels: Sequence[str] = (),
    images: Sequence[str | os.PathLike] = (),
    interpolate: bool = False,
    overwrite: bool = False,
) -> Generation:
    """Generate clips with a run's generator and write them to a file.

    Args:
        run: a run folder of a generator.
        out: .gif or .mp4 for an animated grid of clips; .png for one strip per clip; .npz for the arrays `clips`, and
            `noise` and `labels` if there are any.
        count: number of clips.
        seed: seed for the noise; equal seeds give equal clips.
        labels: class names, in rotation, if the generator takes labels; by default all classes.
        images: image files, in rotation, if the generator takes images; cropped to their centred square and resized
            to the generator's size.
        interpolate: move the noise of the clips from one random point to another along a great circle, as normal
            noise lies near a sphere, with the first label and image throughout.
        overwrite: replace `out` if it exists.

    Raises:
        InputError: `run` is not a run folder, has no model yet, or its model is not a generator; a label is unknown;
            an image cannot be read; the generator does not take labels, images or noise; or the file cannot be written.
    """
    recipe = check_request(run, out, count, labels=labels, images=images, interpolate=interpolate, overwrite=overwrite)
    from kvzoo import zoo

    model = zoo.load(run)
    inputs = {x.name for x in model.network.inputs}
    inputs_of_network, notes, names = {}, [], None
    if "image" in inputs:
        inputs_of_network["images"], notes = _read_images(images, model.clip_shape)
    elif images:
        raise InputError(f"--image: {model.spec.name} takes no image; it takes {' and '.join(sorted(inputs))}")
    turns = np.zeros(count, int) if interpolate else np.arange(count)
    if "image" in inputs:
        inputs_of_network["images"] = inputs_of_network["images"][turns % len(inputs_of_network["images"])]
    if "label" in inputs:
        classes = recipe.lock.get("classes") or ()
        label_names = labels or classes
        names = [label_names[i % len(label_names)] for i in turns]
        inputs_of_network["labels"] = np.asarray([classes.index(name) for name in names], "int32")
    elif labels:
        raise InputError(f"--label: {model.spec.name} takes no label; it takes {' and '.join(sorted(inputs))}")
    noise = None
    if "noise" in inputs:
        points = np.random.default_rng(seed).standard_normal((2 if interpolate else count, model.noise_dim))
        noise = (_between(*points, count) if interpolate else points).astype("float32")
        inputs_of_network["noise"] = noise
    elif interpolate:
        raise InputError(f"--interpolate: {model.spec.name} takes no noise to interpolate; it takes an image")

    result = Generation(
        model.generate(count, **inputs_of_network), noise, names, recipe.lock.get("fps", FPS), tuple(notes)
    )
    _write(Path(out), result)
    return result


def check_request(run, out, count=16, *, labels=(), images=(), interpolate=False, overwrite=False) -> Recipe:
    """Validate the arguments of `generate` without Keras and return the run's recipe."""
    recipe = RunFolder(run).trained("generate")
    if not 1 <= count <= MOST:
        raise InputError(f"--count: must be from 1 to {MOST}. Received: {count}")
    if interpolate and count < 2:
        raise InputError(f"--interpolate: --count must be at least 2. Received: {count}")
    classes = recipe.lock.get("classes") or ()
    for name in labels:
        if classes and name not in classes:
            raise InputError(f"--label: no class {name!r}{did_you_mean(name, classes)}; known: {', '.join(classes)}")
    for file in images:
        if not Path(file).is_file():
            raise InputError(f"--image {file}: no such file")
    check_file(out, ENDINGS, overwrite)
    return recipe


def _read_images(files: Sequence[str | os.PathLike], clip_shape: Sequence[int]) -> tuple[np.ndarray, list[str]]:
    if not files:
        raise InputError("--image: required option is missing; the generator continues a still image")
    _, image_size, _, channels = clip_shape
    out, notes = [], []
    for file in files:
        try:
            image = pixels(file)
        except BROKEN:
            raise InputError(f"--image {file}: cannot be read as an image") from None
        height, width = image.shape[:2]
        if (height, width) != (image_size, image_size):
            crop = "" if height == width else "cropped to its centred square and "
            notes.append(f"{file}: {width}x{height}, {crop}resized to {image_size}x{image_size}")
        out.append(square(image, image_size, channels))
    return np.stack(out), notes


def _between(start: np.ndarray, stop: np.ndarray, count: int) -> np.ndarray:
    """Return points (count, Z) along the great circle through two, with linearly interpolated lengths."""
    lengths = np.linalg.norm(start), np.linalg.norm(stop)
    angle = np.arccos(np.clip(start @ stop / (lengths[0] * lengths[1]), -1.0, 1.0))
    shares = np.linspace(0, 1, count)[:, None]
    direction = (
        np.sin((1 - shares) * angle) * start / lengths[0] + np.sin(shares * angle) * stop / lengths[1]
    ) / np.sin(angle)
    return direction * ((1 - shares) * lengths[0] + shares * lengths[1])


def _write(out: Path, result: Generation) -> None:
    ending = out.suffix.lower()
    if ending == ".npz":
        optional = {"noise": result.noise, "labels": None if result.labels is None else np.asarray(result.labels)}
        with writing(out), written_whole(out) as temporary, open(temporary, "wb") as file:
            np.savez(file, clips=result.clips, fps=result.fps, **{k: v for k, v in optional.items() if v is not None})
    elif ending == ".png":
        write_png(out, stack([strip(clip) for clip in result.clips], axis=0))
    else:
        frames = _grid(result.clips)
        if ending == ".gif":
            write_gif(out, frames, result.fps)
        else:
            write_mp4(out, frames, result.fps)


def _grid(clips: np.ndarray) -> np.ndarray:
    """Return clips as a grid, (T, H, W, 3), enlarged by an integer factor; height and width are even."""
    count, _, height = clips.shape[:3]
    columns = math.ceil(math.sqrt(count))
    times = 2 * math.ceil(SIDE / height / 2) if height < SIDE else 1
    clips = clips.repeat(times, axis=2).repeat(times, axis=3)
    clips = clips.repeat(3, axis=4) if clips.shape[4] == 1 else clips
    empty = np.full_like(clips[0], 255)
    rows = []
    for start in range(0, count, columns):
        row = [*clips[start : start + columns]]
        rows.append(stack(row + [empty] * (columns - len(row)), axis=2))
    grid = stack(rows, axis=1)
    return np.pad(grid, ((0, 0), (0, grid.shape[1] % 2), (0, grid.shape[2] % 2), (0, 0)), mode="edge")
