"""Clips from a run's generator: as a moving grid, a picture of strips, or arrays."""

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
from kvzoo.media.clips import stack, strip, write_gif, write_mp4, write_png, writing, written_whole
from kvzoo.recipe.resolve import Recipe
from kvzoo.run.folder import RunFolder

ENDINGS = (".gif", ".mp4", ".png", ".npz")
SIDE = 128  # pixels of a clip in a moving grid, at least
FPS = 25.0  # where a run does not say
MOST = 4096  # clips


@dataclass(frozen=True)
class Generated:
    """What was made.

    Attributes:
        clips: uint8 (N, T, H, W, C).
        noise: float32 (N, Z); None where the generator takes none.
        labels: class names of the clips; None where it takes none.
        fps: frames a second.
        notes: what was done to the input that its giver may not expect.
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
) -> Generated:
    """Make clips with a run's generator and write them to a file.

    Args:
        run: a run folder of a generator.
        out: .gif or .mp4, a grid of moving clips; .png, a strip a clip; .npz, the arrays `clips`, and `noise`,
            `labels` where there are any.
        count: how many clips.
        seed: of the noise; the same seed gives the same clips.
        labels: class names, which take turns; all of them when empty, where the generator takes labels.
        images: image files, which take turns, where the generator takes images; cut to their centred square and
            resized to the generator's size.
        interpolate: the clips' noise goes from one drawn point to another along a great circle, as normal noise
            lies near a sphere, and label and image are the first ones throughout.
        overwrite: whether `out` may be there already.

    Raises:
        InputError: no run, no model yet, no generator, an unknown label, an image that cannot be read, something
            that the generator does not take, or a file that cannot be written.
    """
    recipe = check(run, out, count, labels=labels, images=images, interpolate=interpolate, overwrite=overwrite)
    from kvzoo import zoo

    model = zoo.load(run)
    inputs = {x.name for x in model.network.inputs}
    given, notes, names = {}, [], None
    if "image" in inputs:
        given["images"], notes = _read_images(images, model.clip_shape)
    elif images:
        raise InputError(f"--image: {model.spec.name} takes no image; it takes {' and '.join(sorted(inputs))}")
    turns = np.zeros(count, int) if interpolate else np.arange(count)
    if "image" in inputs:
        given["images"] = given["images"][turns % len(given["images"])]
    if "label" in inputs:
        classes = recipe.lock.get("classes") or ()
        wanted = labels or classes
        names = [wanted[i % len(wanted)] for i in turns]
        given["labels"] = np.asarray([classes.index(name) for name in names], "int32")
    elif labels:
        raise InputError(f"--label: {model.spec.name} takes no label; it takes {' and '.join(sorted(inputs))}")
    noise = None
    if "noise" in inputs:
        drawn = np.random.default_rng(seed).standard_normal((2 if interpolate else count, model.noise_dim))
        noise = (_between(*drawn, count) if interpolate else drawn).astype("float32")
        given["noise"] = noise
    elif interpolate:
        raise InputError(f"--interpolate: {model.spec.name} takes no noise to go between; it takes an image")

    made = Generated(model.generate(count, **given), noise, names, recipe.lock.get("fps", FPS), tuple(notes))
    _write(Path(out), made)
    return made


def check(run, out, count=16, *, labels=(), images=(), interpolate=False, overwrite=False) -> Recipe:
    """Return a run's recipe; refuses what can be refused without Keras. The arguments are those of `generate`."""
    recipe = RunFolder(run).trained("generate")
    if not 1 <= count <= MOST:
        raise InputError(f"--count: 1 to {MOST} clips are wanted. Received: {count}")
    if interpolate and count < 2:
        raise InputError(f"--interpolate: at least two clips are wanted. Received: --count {count}")
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
        raise InputError("--image: the generator goes on from a still image: give one")
    _, image_size, _, channels = clip_shape
    out, notes = [], []
    for file in files:
        try:
            image = pixels(file)
        except BROKEN:
            raise InputError(f"--image {file}: cannot be read as an image") from None
        height, width = image.shape[:2]
        if (height, width) != (image_size, image_size):
            cut = "" if height == width else "cut to its centred square and "
            notes.append(f"{file}: {width}x{height}, {cut}resized to {image_size}x{image_size}")
        out.append(square(image, image_size, channels))
    return np.stack(out), notes


def _between(start: np.ndarray, stop: np.ndarray, count: int) -> np.ndarray:
    """Return points (count, Z) along the great circle through two, lengths going evenly from one to the other."""
    lengths = np.linalg.norm(start), np.linalg.norm(stop)
    angle = np.arccos(np.clip(start @ stop / (lengths[0] * lengths[1]), -1.0, 1.0))
    shares = np.linspace(0, 1, count)[:, None]
    direction = (
        np.sin((1 - shares) * angle) * start / lengths[0] + np.sin(shares * angle) * stop / lengths[1]
    ) / np.sin(angle)
    return direction * ((1 - shares) * lengths[0] + shares * lengths[1])


def _write(out: Path, made: Generated) -> None:
    ending = out.suffix.lower()
    if ending == ".npz":
        beside = {"noise": made.noise, "labels": None if made.labels is None else np.asarray(made.labels)}
        with writing(out), written_whole(out) as part, open(part, "wb") as file:
            np.savez(file, clips=made.clips, fps=made.fps, **{k: v for k, v in beside.items() if v is not None})
    elif ending == ".png":
        write_png(out, stack([strip(clip) for clip in made.clips], axis=0))
    else:
        frames = _grid(made.clips)
        if ending == ".gif":
            write_gif(out, frames, made.fps)
        else:
            write_mp4(out, frames, made.fps)


def _grid(clips: np.ndarray) -> np.ndarray:
    """Return clips as one of a grid, (T, H, W, 3), enlarged by a whole number; height and width are even."""
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
