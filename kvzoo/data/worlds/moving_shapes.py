"""The built-in source `moving_shapes`: one large shape that moves before a still wall, with the true mask of it.

Made for two-stream generators: a shape leaves every place that it covers, so that all of the wall is seen.
Positions and lengths are parts of the picture's side, x to the right and y down, times seconds, angles radians.
Colours are RGB in 0..255.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from kvzoo.data.source import Source, Video, square
from kvzoo.data.worlds.stick_rooms import Colour, random_colour, tinted
from kvzoo.errors import InputError, did_you_mean

FPS = 25.0
MOTIONS = ("slide", "bounce", "circle", "diagonal")
FORMS = ("disc", "square", "triangle", "star", "ring")
TEXTURES = ("plain", "shaded", "halves", "stripes")
FINE = 128  # pixels of the side at which smaller pictures are drawn, before pixels are averaged
MARGIN = 0.02  # between a shape and the picture's edge
TURN = 0.97  # how sharp a to-and-fro turns: 1 at once, 0 like a pendulum


class MovingShapes(Source):
    """Videos of one shape, about a third as wide as the picture, that moves before a still wall, at 25 frames a second.

    Shapes differ in form, colours, texture and size, videos in wall, path, pace and phase; a shape turns
    slowly about itself and is never cut by the picture's edge. Shapes are dark and walls light, with weak, smooth
    textures. Labels are the motions: slide (to and fro, level), bounce (up and down under gravity), circle
    (either way round) and diagonal (to and fro). Groups are the shapes. The pictures of all sizes are the same.
    `masks` tells where the shape is.

    Args:
        videos: how many; motions and shapes take turns.
        shapes: how many shapes share them.
        seconds: length of a video.
        motions: which motions; None for all.
        forms: which forms of shapes, of disc, square, triangle, star and ring; None for all.
        walls: how many walls the videos share; a few make them easier to learn.
        seed: of shapes, walls and paths.

    Raises:
        InputError: an unknown motion or form.
    """

    version = 1

    def __init__(
        self,
        videos: int = 240,
        shapes: int = 24,
        seconds: float = 2.4,
        motions: list[str] | None = None,
        forms: list[str] | None = None,
        walls: int = 8,
        seed: int = 0,
    ):
        motions, self._forms = _known("motions", motions, MOTIONS), _known("forms", forms, FORMS)
        self._seed, self._walls = seed, walls
        frames = max(1, round(seconds * FPS))
        listed = []
        for i in range(videos):
            motion, shape = motions[i % len(motions)], (i // len(motions)) % shapes
            name = f"{motion}/shape{shape:03d}_{i:05d}"
            listed.append(Video(name, frames, FPS, f"shape{shape:03d}", motion, key=(i, shape, motion)))
        super().__init__(listed)

    def decode(self, video: Video, start: int, stop: int, image_size: int, channels: int) -> np.ndarray:
        shape, path, wall = self._scene(video)
        frames = np.stack([draw(shape, path, wall, t, image_size)[0] for t in np.arange(start, stop) / FPS])
        return frames if channels == 3 else np.stack([square(frame, image_size, 1) for frame in frames])

    def masks(self, video: Video, indices: Sequence[int], image_size: int) -> np.ndarray:
        """Return bool (len(indices), image_size, image_size): where the shape covers at least half of a pixel.

        The frames of the same indices are what `read` gives.
        """
        times = np.asarray(indices) if video.times is None else video.times[np.asarray(indices)]
        shape, path, wall = self._scene(video)
        masks = np.empty((len(times), image_size, image_size), bool)
        for i, time in enumerate(times / FPS):
            masks[i] = draw(shape, path, wall, time, image_size)[1] >= 0.5
        return masks

    def fingerprint(self) -> str:
        return f"{super().fingerprint()}-seed{self._seed}-walls{self._walls}-{'-'.join(self._forms)}"

    def _scene(self, video: Video) -> tuple["Shape", "Path", "Wall"]:
        index, number, motion = video.key
        form = self._forms[number % len(self._forms)]
        shape = draw_shape(np.random.default_rng((self._seed, 0, number)), form)
        rng = np.random.default_rng((self._seed, 1, index))
        wall = draw_wall(np.random.default_rng((self._seed, 2, int(rng.integers(self._walls)))))
        return shape, draw_path(rng, motion, shape.radius), wall


def _known(option: str, names: list[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    for name in names or ():
        if name not in known:
            hint = did_you_mean(name, known) or f"; known: {', '.join(known)}"
            raise InputError(f"data.{option}: {name!r} is unknown{hint}")
    return tuple(names or known)


# What there is in a picture


@dataclass(frozen=True)
class Shape:
    """`radius` reaches to its farthest point; `paint` is its colour, `second` that of the texture."""

    form: str
    radius: float
    texture: str
    paint: Colour
    second: Colour
    spin: float


@dataclass(frozen=True)
class Path:
    """A motion about `x`, `y` as far as `reach` in each direction; once in `period`, begun at `phase` (0..1)."""

    motion: str
    x: float
    y: float
    reach: tuple[float, float]
    period: float
    phase: float
    angle: float


@dataclass(frozen=True)
class Wall:
    """Its colour, and waves of light over it: cycles along x and y, phase, strength, sharpness."""

    paint: Colour
    waves: tuple[tuple[float, float, float, float, float], ...]


def draw_shape(rng: np.random.Generator, form: str) -> Shape:
    """Draw a dark shape of saturated colour."""
    # forms of the same radius differ in area: what is thin may be larger
    radius = {"disc": 0.18, "ring": 0.19, "square": 0.21, "triangle": 0.23, "star": 0.24}[form] * rng.uniform(
        0.92, 1.08
    )
    level = float(rng.uniform(45, 85))
    paint = random_colour(rng, (0.75, 1.0), (0.5, 0.9))
    return Shape(
        form=form,
        radius=float(radius),
        texture=str(rng.choice(TEXTURES)),
        paint=tinted(paint, level),
        second=tinted(paint, level + 40),
        spin=float(rng.choice([-1, 1]) * rng.uniform(0.2, 0.8)),
    )


def draw_path(rng: np.random.Generator, motion: str, radius: float) -> Path:
    """Draw a path on which a shape of this radius stays within the picture."""
    room = 0.5 - MARGIN - radius  # how far from the middle its centre may be
    x, y = 0.5 + rng.uniform(-room, room, 2)
    share = rng.uniform(0.85, 1.0)
    if motion == "slide":
        x, reach, period = 0.5, (share * room, 0.0), rng.uniform(1.6, 2.4)
    elif motion == "bounce":
        y, reach, period = 0.5, (0.0, room), rng.uniform(0.9, 1.3)
    elif motion == "circle":
        # a middle off the picture's as far as the radius lets it
        x, y = 0.5 + (np.array([x, y]) - 0.5) * (1 - share)
        reach, period = (share * room, float(rng.choice([-1, 1])) * share * room), rng.uniform(1.3, 1.9)
    else:
        x = y = 0.5
        reach, period = (share * room, float(rng.choice([-1, 1])) * share * room), rng.uniform(1.6, 2.4)
    numbers = (rng.uniform(), rng.uniform(0, 2 * math.pi))
    return Path(motion, float(x), float(y), reach, float(period), *map(float, numbers))


def draw_wall(rng: np.random.Generator) -> Wall:
    """Draw a light wall: soft clouds, a fall of light, and weak stripes or checks on some."""
    waves = []
    for _ in range(4):
        waves.append((*rng.uniform(-1.6, 1.6, 2), rng.uniform(), rng.uniform(0.01, 0.025), 0.0))
    waves.append((*rng.uniform(-0.3, 0.3, 2), rng.uniform(), 0.08, 0.0))
    pattern, pitch, tilt = rng.integers(3), rng.uniform(2.0, 4.0), rng.uniform(0, math.pi)
    for turn in (0.0, math.pi / 2)[:pattern]:
        along = pitch * math.cos(tilt + turn), pitch * math.sin(tilt + turn)
        waves.append((*along, rng.uniform(), 0.03, 1.5))
    paint = tinted(random_colour(rng, (0.08, 0.28), (0.7, 0.95)), float(rng.uniform(160, 205)))
    return Wall(paint, tuple(tuple(float(v) for v in wave) for wave in waves))


# Where it is


def position(path: Path, time: float) -> tuple[float, float]:
    """Return the x and y of the shape's centre at a time."""
    turns = time / path.period + path.phase
    if path.motion == "bounce":
        # thrown up again each time; -1 at the top, 1 on the ground
        across, down = 0.0, 2 * (2 * (turns % 1.0) - 1) ** 2 - 1
    elif path.motion == "circle":
        across, down = math.cos(2 * math.pi * turns), math.sin(2 * math.pi * turns)
    else:
        across = down = math.asin(TURN * math.sin(2 * math.pi * turns)) / math.asin(TURN)
    return path.x + path.reach[0] * across, path.y + path.reach[1] * down


# Pictures


def draw(shape: Shape, path: Path, wall: Wall, time: float, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the picture at a time, uint8 (S, S, 3), and the shape's share of each pixel, float (S, S) in 0..1."""
    share = np.zeros((image_size, image_size), np.float32)
    picture = background(wall, image_size).copy()
    times = -(-FINE // image_size)  # pixels of the drawing in one of the picture, along a side
    side = times * image_size
    x, y = position(path, time)
    # the part of the picture that the shape can be in, in whole pixels of it
    top, left = (max(0, math.floor((at - shape.radius) * image_size)) for at in (y, x))
    bottom, right = (min(image_size, math.ceil((at + shape.radius) * image_size)) for at in (y, x))
    columns = (np.arange(left * times, right * times, dtype=np.float32) + 0.5) / side - x
    rows = (np.arange(top * times, bottom * times, dtype=np.float32)[:, None] + 0.5) / side - y
    angle = path.angle + shape.spin * time
    c, s = math.cos(angle), math.sin(angle)
    u, v = (c * columns + s * rows) / shape.radius, (c * rows - s * columns) / shape.radius

    cover = np.clip(0.5 - distance(shape.form, u, v) * (shape.radius * side), 0, 1)[..., None]
    shades = _texture(shape, u, v, 1 / (shape.radius * side))[..., None]
    colours = np.float32(shape.paint) + shades * (np.float32(shape.second) - np.float32(shape.paint))
    behind = _wall(wall, side)[top * times : bottom * times, left * times : right * times]
    pixels = _averaged(behind + cover * (colours - behind), times)
    picture[top:bottom, left:right] = np.clip(np.rint(pixels), 0, 255)
    share[top:bottom, left:right] = _averaged(cover, times)[..., 0]
    return picture, share


def distance(form: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return how far points are outside a form whose farthest point is at 1; negative inside."""
    if form == "disc":
        return np.hypot(u, v) - 1
    if form == "ring":
        return abs(np.hypot(u, v) - 0.72) - 0.28
    if form == "square":
        return np.maximum(abs(u), abs(v)) - 0.5**0.5
    if form == "triangle":
        return np.maximum(0.75**0.5 * abs(u) - 0.5 * v, v) - 0.5
    # a star: folded onto one half of one of its five points, where its edge is one line
    cos, sin = math.cos(math.pi / 5), math.sin(math.pi / 5)
    u = abs(u)
    for side in (1, -1):
        beyond = 2 * np.maximum(side * cos * u - sin * v, 0)
        u, v = u - side * beyond * cos, v + beyond * sin
    u, v = abs(u), v - 1
    inner = 0.5  # radius of the notches, nearly
    edge = inner * sin, inner * cos - 1
    length = np.hypot(*edge)
    return (v * edge[0] - u * edge[1]) / length


def _texture(shape: Shape, u: np.ndarray, v: np.ndarray, pixel: float) -> np.ndarray:
    """Return how much of the second colour there is, 0..1; `pixel` is the drawing's, in radii of the shape."""
    if shape.texture == "shaded":
        return np.clip(0.5 + 0.5 * v, 0, 1)
    if shape.texture == "halves":
        return np.clip(0.5 + v / (2 * pixel), 0, 1)
    if shape.texture == "stripes":
        return 0.5 + 0.5 * np.tanh(3 * np.sin(2.5 * math.pi * u))
    return np.zeros(np.broadcast_shapes(u.shape, v.shape), np.float32)


@lru_cache(maxsize=16)
def background(wall: Wall, image_size: int) -> np.ndarray:
    """Return the wall alone, read-only uint8 (S, S, 3)."""
    times = -(-FINE // image_size)
    picture = np.rint(np.clip(_averaged(_wall(wall, times * image_size), times), 0, 255)).astype(np.uint8)
    picture.flags.writeable = False
    return picture


@lru_cache(maxsize=16)
def _wall(wall: Wall, side: int) -> np.ndarray:
    x = (np.arange(side, dtype=np.float32) + 0.5) / side
    light = np.ones((side, side), np.float32)
    for along, down, phase, strength, sharpness in wall.waves:
        wave = np.sin(2 * math.pi * (along * x + down * x[:, None] + phase))
        light += strength * (np.tanh(sharpness * wave) / math.tanh(sharpness) if sharpness else wave)
    picture = light[..., None] * np.float32(wall.paint)
    picture.flags.writeable = False
    return picture


def _averaged(picture: np.ndarray, times: int) -> np.ndarray:
    """Return (H, W, C) with each `times` by `times` pixels averaged to one."""
    height, width, channels = picture.shape
    blocks = picture.reshape(height // times, times, width // times, times, channels)
    return blocks.mean(axis=(1, 3))
