"""The still part of a scene: a room with walls, a floor, fixtures and light, and the camera that looks at it.

Lengths are metres, angles radians. World axes: x to the right along the floor line, y up from the floor, z
towards the camera. Colours are RGB in 0..255.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

Colour = tuple[float, float, float]


# What there is in it


@dataclass(frozen=True)
class Fixture:
    """A window, door or picture on the wall: centre x, lower edge y, width and height in metres."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    colour: Colour
    inside: Colour


@dataclass(frozen=True)
class Room:
    """Everything that stands still: wall, floor, skirting board, fixtures and light.

    `pitch` is the width in metres of a brick, stripe or board, `relief` the strength of the pattern (0..1),
    `depth` how far the wall stands behind the floor line, `light` -1 or 1 (lit from the left or right).
    """

    wall_style: str
    wall: Colour
    pitch: float
    relief: float
    floor_style: str
    floor: Colour
    skirting: float
    trim: Colour
    fixtures: tuple[Fixture, ...]
    depth: float
    light: float
    seed: int


@dataclass(frozen=True)
class Camera:
    """A fixed camera: `view` is the frame's height in metres at the floor line, `foot` the part of the frame
    below that line, `pan` the x of the frame's centre, `tilt` the rise on screen of a metre of depth."""

    view: float
    pan: float
    foot: float
    tilt: float
    roll: float
    mirror: bool
    exposure: float
    balance: Colour
    noise: float
    seed: int


# Drawing one at random


def grey(colour: Colour) -> float:
    """Return the BT.601 grey level of a colour, 0..255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def tinted(colour: Colour, level: float) -> Colour:
    """Return the colour moved to another grey level, its hue kept as far as the range allows."""
    scaled = np.asarray(colour) * (level / max(grey(colour), 1.0))
    scaled = np.clip(scaled, 8, 247)
    return tuple(float(v) for v in np.clip(scaled + level - grey(scaled), 5, 250))


def random_colour(rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]) -> Colour:
    hsv = np.float32([[[rng.uniform(0, 360), rng.uniform(*saturation), rng.uniform(*value)]]])
    return tuple(float(v) for v in 255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0])


def between(rng: np.random.Generator, low: Colour, high: Colour) -> Colour:
    share = rng.uniform()
    return tuple(float(a + (b - a) * share) for a, b in zip(low, high, strict=True))


def draw_room(rng: np.random.Generator) -> Room:
    """Draw a wall, a floor and up to two fixtures that leave the middle of the wall free."""
    style = str(rng.choice(["plaster", "plaster", "bricks", "stripes", "boards"]))
    wall = random_colour(rng, (0.02, 0.24), (0.35, 0.95))
    trim = tinted(wall, float(np.clip(grey(wall) + rng.choice([-60, 45]), 25, 235)))
    sides = rng.permutation([-1.0, 1.0])
    fixtures = []
    for side in sides[: rng.integers(0, 3)]:
        kind = str(rng.choice(["window", "door", "picture"]))
        y, width, tall = {
            "window": (rng.uniform(0.9, 1.1), rng.uniform(0.7, 1.1), rng.uniform(0.8, 1.1)),
            "door": (0.0, rng.uniform(0.75, 0.9), rng.uniform(1.9, 2.05)),
            "picture": (rng.uniform(1.2, 1.5), rng.uniform(0.3, 0.6), rng.uniform(0.3, 0.6)),
        }[kind]
        inside = (190.0, 212.0, 232.0) if kind == "window" else random_colour(rng, (0.1, 0.6), (0.3, 0.8))
        frame = tinted(random_colour(rng, (0.0, 0.35), (0.3, 0.9)), float(np.clip(grey(wall) - side * 45, 45, 215)))
        x = side * rng.uniform(0.55, 1.0) + side * width / 3
        fixtures.append(Fixture(kind, float(x), float(y), float(width), float(tall), frame, inside))
    return Room(
        wall_style=style,
        wall=wall,
        pitch=float({"bricks": 0.215, "boards": 0.16}.get(style, 0.2) * rng.uniform(0.85, 1.3)),
        relief=float(rng.uniform(0.35, 1.0)),
        floor_style=str(rng.choice(["planks", "tiles", "carpet", "plain"])),
        floor=tinted(between(rng, (150, 105, 70), (140, 140, 145)), float(rng.uniform(55, 170))),
        skirting=float(rng.choice([0.0, rng.uniform(0.07, 0.15)])),
        trim=trim,
        fixtures=tuple(fixtures),
        depth=float(rng.uniform(0.5, 1.3)),
        light=float(rng.choice([-1.0, 1.0])),
        seed=int(rng.integers(2**31)),
    )


def with_wall(room: Room, level: float) -> Room:
    """Return the room with its wall, and the trim with it, at another grey level."""
    wall = tinted(room.wall, level)
    return replace(room, wall=wall, trim=tinted(wall, level - 40 if level > 100 else level + 35))


def spread_out(room: Room, view: float) -> Room:
    """Return the room with its fixtures as far apart as a frame of `view` metres is wider than a person's."""
    apart = max(1.0, view / 2.4)
    return replace(room, fixtures=tuple(replace(item, x=item.x * apart) for item in room.fixtures))


def draw_camera(rng: np.random.Generator) -> Camera:
    """Draw a camera whose frame suits an adult with raised arms; about half of them have sensor noise."""
    return Camera(
        view=float(2.42 * rng.uniform(0.95, 1.1)),
        pan=float(rng.uniform(-0.12, 0.12)),
        foot=float(rng.uniform(0.06, 0.10)),
        tilt=float(rng.uniform(0.12, 0.24)),
        roll=float(math.radians(rng.uniform(-1.5, 1.5))),
        mirror=bool(rng.uniform() < 0.5),
        exposure=float(rng.uniform(0.88, 1.12)),
        balance=tuple(float(v) for v in rng.uniform(0.95, 1.05, 3)),
        noise=float(rng.choice([0.0, rng.uniform(0.5, 2.5)])),
        seed=int(rng.integers(2**31)),
    )


# Pictures


def to_pixels(camera: Camera, side: int) -> np.ndarray:
    """Return the 2x3 matrix from metres on the floor line's plane to pixel indices of a square frame."""
    scale = side / camera.view
    c, s = math.cos(camera.roll), math.sin(camera.roll)
    flip = -1.0 if camera.mirror else 1.0
    metres = np.array([[flip, 0.0, -flip * camera.pan], [0.0, -1.0, (0.5 - camera.foot) * camera.view]])
    matrix = scale * (np.array([[c, -s], [s, c]]) @ metres)
    matrix[:, 2] += side / 2 - 0.5
    return matrix


CLOUDS = 8  # rooms share them, each at offsets of its own: a cloud takes as long to make as a room


@lru_cache(maxsize=CLOUDS)
def _cloud(number: int) -> np.ndarray:
    """Return 256x256 fractal noise of mean 0 and deviation about 1; it repeats at its edges."""
    rng = np.random.default_rng(number)
    total = np.zeros((256, 256), np.float32)
    for cells in (4, 8, 16, 32, 64, 128):
        grid = np.pad(rng.standard_normal((cells, cells), np.float32), 2, mode="wrap")
        step = 256 // cells
        wide = cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        total += wide[2 * step : 2 * step + 256, 2 * step : 2 * step + 256] * cells**-0.5
    return total / total.std()


def _sample(seed: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return a seed's noise at positions counted in tiles of it."""
    offsets = seed * 0.6180339887 % 1.0, seed * 0.7548776662 % 1.0
    at = [256 * (a + offset) for a, offset in zip((u, v), offsets, strict=True)]
    return cv2.remap(_cloud(seed % CLOUDS), *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _joint_lines(u: np.ndarray, width: float) -> np.ndarray:
    """Return 1 on the lines at whole numbers of u, 0 elsewhere, with soft edges."""
    return np.clip(1.5 - abs((u + 0.5) % 1.0 - 0.5) / width, 0.0, 1.0)


def _tone(seed: int, *cells: np.ndarray) -> np.ndarray:
    """Return a fixed random value in -1..1 for each whole-numbered cell."""
    mixed = seed % 1000 + sum(np.floor(c) * p for c, p in zip(cells, (12.9898, 78.233), strict=False))
    return (np.sin(mixed) * 43758.5453 % 1.0) * 2 - 1


def _wall(room: Room, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the wall's colours at x, y in metres above its foot."""
    patches = _sample(room.seed, x / 3.1, y / 3.1)
    grain = _sample(room.seed + 1, x / 0.9, y / 0.9)
    shade = 1 + room.relief * (0.035 * patches + 0.02 * grain)
    if room.wall_style == "plaster":
        shade += room.relief * 0.06 * np.tanh(2.5 * _sample(room.seed + 2, x / 2.2, y / 3.3))
    elif room.wall_style == "bricks":
        row = y / (room.pitch * 0.36)
        column = x / room.pitch + 0.5 * (np.floor(row) % 2)
        lines = np.maximum(_joint_lines(row, 0.09), _joint_lines(column, 0.035))
        shade += room.relief * (0.09 * _tone(room.seed, row, column) * (1 - lines) + 0.16 * lines)
    elif room.wall_style == "stripes":
        shade += room.relief * 0.10 * np.tanh(6 * np.sin(math.pi * x / room.pitch))
    else:
        edge = _joint_lines(x / room.pitch, 0.05)
        board = _tone(room.seed, x / room.pitch)
        streak = _sample(room.seed + 2, x / 0.6, y / 6.0)
        shade += room.relief * (0.05 * board + 0.03 * streak - 0.22 * edge)
    return shade[..., None] * np.float32(room.wall)


def _floor(room: Room, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the floor's colours at x and z in metres."""
    shade = 1 + 0.03 * _sample(room.seed + 3, x / 1.7, z / 1.7)
    if room.floor_style == "planks":
        plank = x / 0.14
        ends = z / 1.4 + 0.37 * np.floor(plank)
        streak = _sample(room.seed + 4, x / 0.5, z / 4.0)
        shade += 0.08 * _tone(room.seed, plank, ends) + 0.03 * streak - 0.25 * _joint_lines(plank, 0.06)
    elif room.floor_style == "tiles":
        u, v = x / 0.33, z / 0.33
        checks = (np.floor(u) + np.floor(v)) % 2 * 2 - 1
        shade += 0.07 * checks - 0.18 * np.maximum(_joint_lines(u, 0.03), _joint_lines(v, 0.03))
    elif room.floor_style == "carpet":
        shade += 0.07 * _sample(room.seed + 4, x / 0.7, z / 0.7)
    return shade[..., None] * np.float32(room.floor)


def _hang(room: Room, item: Fixture, wall: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    """Draw a fixture on the wall in place."""
    near = (abs(x - item.x) < 0.5 * item.width + 0.03) & (
        abs(y - item.y - 0.5 * item.height) < 0.5 * item.height + 0.03
    )
    if not near.any():
        return
    wall[near] *= 0.8
    box = tuple(slice(i.min(), i.max() + 1) for i in near.nonzero())
    wall, x, y = wall[box], x[box], y[box]
    u, v = (x - item.x) / item.width + 0.5, (y - item.y) / item.height
    rim_u, rim_v = 0.06 / item.width, 0.06 / item.height
    whole = (abs(u - 0.5) < 0.5) & (v > 0) & (v < 1)
    wall[whole] = item.colour
    inner = (abs(u - 0.5) < 0.5 - rim_u) & (v > rim_v) & (v < 1 - rim_v)
    if item.kind == "door":
        panels = inner & (abs(u - 0.5) > 0.05) & (abs(u - 0.5) < 0.36) & (abs(v - 0.47) > 0.05) & (abs(v - 0.5) < 0.43)
        wall[panels] *= 0.86
        wall[(u - 0.9) ** 2 * item.width**2 + (v - 0.48) ** 2 * item.height**2 < 0.03**2] = (200, 180, 120)
    elif item.kind == "window":
        glass = inner & (abs(u - 0.5) > rim_u / 3) & (abs(v - 0.55) > rim_v / 3)
        sky = np.float32(item.inside) * (0.72 + 0.28 * v + 0.03 * _sample(room.seed + 5, x / 2, y / 2))[..., None]
        wall[glass] = sky[glass]
    else:
        blot = 1 + 0.25 * np.tanh(_sample(room.seed + 6, u / 2, v / 2))[..., None]
        wall[inner] = (np.float32(item.inside) * blot)[inner]


@lru_cache(maxsize=32)
def background(room: Room, camera: Camera, side: int) -> np.ndarray:
    """Return the still room as a read-only uint8 picture of side x side pixels."""
    inverse = np.float32(cv2.invertAffineTransform(to_pixels(camera, side)))
    columns, rows = np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32)[:, None]
    x, y = (m[0] * columns + m[1] * rows + m[2] for m in inverse)
    foot = room.depth * camera.tilt
    y -= foot
    picture = _wall(room, x, y)
    if room.skirting:
        picture[y < room.skirting] = room.trim
        picture[abs(y - room.skirting) < 0.008] *= 0.75
    for item in room.fixtures:
        _hang(room, item, picture, x, y)
    picture *= (1 + 0.07 * room.light * np.clip(x, -2, 2) + 0.05 * (y + foot - 1))[..., None]
    low = y < 0
    top = int(low.any(axis=1).argmax())
    if low.any():
        x, y, low = x[top:], y[top:], low[top:]
        # the eye is 1.5 m above the wall's foot and 5 m before it: lines on the floor run to that point
        nearness = np.maximum(1 - y / 1.5, 1.0)
        floor = _floor(room, (x - camera.pan) / nearness + 0.07, 5 / nearness)
        floor *= np.clip(0.8 - y / 0.25, 0.8, 1.05)[..., None]
        picture[top:][low] = floor[low]
    picture *= (1 - 0.18 * ((columns / side - 0.5) ** 2 + (rows / side - 0.5) ** 2))[..., None]
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    picture.flags.writeable = False
    return picture


def shadow(picture: np.ndarray, spots: np.ndarray) -> None:
    """Darken the floor softly around spots, rows of (x, y, half width, half height, strength) in pixels."""
    x, y, a, b, strength = spots.T
    low = np.maximum([(y - 2.5 * b).min(), (x - 2.5 * a).min()], 0).astype(int)
    high = np.minimum([(y + 2.5 * b).max(), (x + 2.5 * a).max()], picture.shape[0]).astype(int)
    if (low >= high).any():
        return
    rows, columns = (np.arange(i, j, dtype=np.float32)[:, None] for i, j in zip(low, high, strict=True))
    falls = np.log(1 - strength) * np.exp(-(((rows - y) / b) ** 2)), np.exp(-(((columns - x) / a) ** 2))
    part = picture[low[0] : high[0], low[1] : high[1]]
    part[:] = part * np.exp(falls[0] @ falls[1].T)[..., None]


@lru_cache(maxsize=32)
def _grain(seed: int, size: int, sigma: float) -> np.ndarray:
    """Return twice as much sensor noise each way as a frame needs, to cut a different part for each time."""
    return np.random.default_rng(seed).normal(0.0, sigma, (2 * size, 2 * size, 3)).round().astype(np.int16)


def canvas(size: int) -> int:
    """Return the side in pixels that a frame is drawn at before it is reduced to `size`."""
    return size * max(1, min(max(2, -(-128 // size)), 512 // size))


def photograph(camera: Camera, picture: np.ndarray, time: float, size: int) -> np.ndarray:
    """Return what the camera makes of a picture, uint8 (size, size, 3): reduced, exposed, with the time's own noise."""
    levels = np.arange(256)[:, None] * (camera.exposure * np.asarray(camera.balance))
    table = np.clip(levels.round(), 0, 255).astype(np.uint8)[None]
    small = cv2.LUT(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), table)
    if camera.noise:
        i, j = np.random.default_rng([camera.seed, int(np.float64(time).view(np.uint64))]).integers(0, size, 2)
        small = np.clip(small + _grain(camera.seed, size, camera.noise)[i : i + size, j : j + size], 0, 255)
    return small.astype(np.uint8, copy=False)
