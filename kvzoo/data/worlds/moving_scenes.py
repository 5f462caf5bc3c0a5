"""The built-in source `moving_scenes`: pictures like photographs that move as real footage does, with the exact truth.

A scene is a stack of layers, each a plane in space with a texture, all but the last cut out by a shape. A camera that
turns, travels and shakes sees them in perspective, so that near ones move more than far ones; objects have a motion of
their own in their plane, and some bend. Over that lie what changes light (shadows, moving light, exposure) and what
cameras and codecs do (motion blur of a shutter, softness, noise, compression). All motion is known at any time: where
each pixel is at another time, and whether it is seen there.

Positions are parts of the picture's side from its middle, x to the right and y down: the picture is -0.5..0.5.
Times run from -0.5, the first frame, to 0.5, the last. A layer's own coordinates are where its points are seen at
time 0 by a camera at rest.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import av
import cv2
import numpy as np

from kvzoo.data.source import Source, Video, square
from kvzoo.data.worlds.scene_textures import SHAPE_SIDE, SIDE, pyramid, shape, texture

FPS = 25.0
LEAST = 0.0008  # parts of the side that something which moves goes at least, from first to last frame
TEXTURES, SHAPES = 192, 128  # that all scenes share, each recoloured, turned and scaled for a scene
DENSITY = 0.9  # texels of a texture in a pixel, at most
STEPS = 8  # of the iteration that inverts a bending; the error shrinks by half in each
SAMPLES = 5  # pictures in a motion blur, at most


class MovingScenes(Source):
    """Short videos of layered scenes, with the exact flow, visibility and layers.

    Groups are scenes; there are no labels. The pictures of all sizes show the same. A quarter of the scenes have a still
    camera, an eighth objects that stand still before it, so that stillness is learned too.

    Args:
        videos: how many.
        frames: of a video.
        motion: how far the fastest things go from the first frame to the last, as a part of the picture's side.
        effects: light, motion blur, softness, noise and compression; false for bare layers.
        seed: of the scenes.
    """

    version = 1

    def __init__(self, videos: int = 4000, frames: int = 3, motion: float = 0.25, effects: bool = True, seed: int = 0):
        self._seed, self._motion, self._effects = seed, motion, effects
        super().__init__(Video(f"scene{i:06d}", frames, FPS, f"scene{i:06d}", key=(i, frames)) for i in range(videos))

    travels = ("_seed", "_motion", "_effects")

    def decode(self, video: Video, start: int, stop: int, image_size: int, channels: int) -> np.ndarray:
        # A codec wants the whole video.
        index, count = video.key
        frames = draw(self._scene(video), count, image_size, np.random.default_rng((self._seed, 1, index)))
        frames = frames[start:stop]
        return frames if channels == 3 else np.stack([square(frame, image_size, 1) for frame in frames])

    def truth(
        self, video: Video, first: float, last: float, times: Sequence[float], image_size: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return where the pixels of pictures at some times are in two others.

        Args:
            video: of this source.
            first, last: the two, as places of frames in the video from 0; they may lie between frames.
            times: places in the video too, m of them.
            image_size: pixels of the side.

        Returns:
            flow: float32 (m, S, S, 4), pixels down and to the right to the first, then to the last.
            visible: bool (m, S, S, 2): whether it is seen there, neither covered nor outside.
            layers: uint8 (m, S, S): the number of the layer that is seen, 0 the farthest.
        """
        scene, span = self._scene(video), max(1, video.key[1] - 1)
        at = [float(t) / span - 0.5 for t in (first, last, *times)]
        parts = [trace(scene, time, (at[0], at[1]), image_size) for time in at[2:]]
        return tuple(np.stack(part) for part in zip(*parts, strict=True))

    def fingerprint(self) -> str:
        return f"{super().fingerprint()}-seed{self._seed}-motion{self._motion:g}{'' if self._effects else '-bare'}"

    def _scene(self, video: Video) -> "Scene":
        return draw_scene(self._seed, video.key[0], self._motion, self._effects)


# What there is in a scene


@dataclass(frozen=True)
class Path:
    """A motion: numbers at time t are rate * t + bend * t^2 + shake, waves of (frequency, phase) by strength."""

    rate: np.ndarray
    bend: np.ndarray
    shake: np.ndarray
    waves: np.ndarray

    def at(self, time: float) -> np.ndarray:
        shaken = np.sin(self.waves[0] * time + self.waves[1]) - np.sin(self.waves[1])
        return self.rate * time + self.bend * time * time + self.shake * shaken


@dataclass(frozen=True)
class Layer:
    """One plane of a scene.

    Attributes:
        texture: its number.
        place: 3x3, its own coordinates to pixels of the texture.
        colours: 3x4, of the texture's RGB and one to what is seen, on 0..255.
        form: number of the shape that cuts it out; None for the farthest.
        middle, size, turn: of the shape.
        shade: how strong its relief is.
        normal: of the plane in space, its third part 1; distance of it along the camera's axis.
        motion: across, down (parts of the side), turn (radians), growth (logarithm) and shear of its own.
        bend: waves (n, 6) of a bending: across, down (strength), frequencies, phase, phase over time.
        soft: levels that its texture is out of focus.
        fixed: whether it stands still before the camera, such as a caption.
    """

    texture: int
    place: np.ndarray
    colours: np.ndarray
    form: int | None
    middle: np.ndarray
    size: float
    turn: float
    shade: float
    normal: np.ndarray
    distance: float
    motion: Path
    bend: np.ndarray
    soft: float
    fixed: bool


@dataclass(frozen=True)
class Effects:
    """What is over the layers.

    Attributes:
        exposure: growth of the brightness from first to last frame (logarithm).
        light: strength of a slow field of light and its path (across, down).
        shadow: strength, shape, size, middle and path of a soft shadow.
        shutter: part of the time between two frames that it is open.
        blur: standard deviation of the softness in pixels; below 0 it is sharpened.
        noise: of the sensor, on 0..255: with the signal's square root, and without; how far it spreads in pixels.
        codec: "" or "jpeg" or "h264", and its quality (percent, or constant rate factor).
    """

    exposure: float = 0.0
    light: tuple[float, np.ndarray] | None = None
    shadow: tuple[float, int, float, np.ndarray, np.ndarray] | None = None
    shutter: float = 0.0
    blur: float = 0.0
    noise: tuple[float, float, float] = (0.0, 0.0, 0.0)
    codec: tuple[str, int] = ("", 0)


@dataclass(frozen=True)
class Scene:
    """Layers from the farthest to the nearest; a camera of a focal length in sides that turns and travels."""

    seed: int
    layers: tuple[Layer, ...]
    focal: float
    camera: Path
    effects: Effects


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _path(rng: np.random.Generator, scale: Sequence[float], shaky: bool = False) -> Path:
    """Draw a path whose numbers are of these sizes: mostly steady, sometimes faster at one end."""
    scale = np.asarray(scale)
    rate = scale * rng.normal(0, 1, len(scale))
    bend = rate * rng.normal(0, 0.5 if rng.uniform() < 0.2 else 0.08)
    shake = scale * rng.normal(0, 0.15, len(scale)) * shaky
    return Path(rate, bend, shake, np.stack([rng.uniform(2, 9, len(scale)), rng.uniform(0, 2 * math.pi, len(scale))]))


def _scaled(path: Path, times: float) -> Path:
    return Path(path.rate * times, path.bend * times, path.shake * times, path.waves)


def _reach(rng: np.random.Generator, motion: float) -> float:
    """Draw how far something goes: a few pixels mostly, sometimes a part of one, sometimes as far as it may."""
    low, high = ((LEAST, 0.004), (0.004, 0.5), (0.03, 1.0))[rng.choice(3, p=[0.15, 0.6, 0.25])]
    return _log_uniform(rng, min(low, motion), high * motion if high > 0.01 else min(high, motion))


GRID = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.5, 3)] * 2), -1).reshape(-1, 2)


def draw_scene(seed: int, index: int, motion: float, effects: bool) -> Scene:
    """Draw a scene; `motion` is how far the fastest things go, in parts of the side."""
    rng = np.random.default_rng((seed, 0, index))
    focal = _log_uniform(rng, 0.7, 2.5)
    count = int(rng.choice([0, 1, 2, 3, 4, 6, 9], p=[0.08, 0.14, 0.2, 0.2, 0.18, 0.13, 0.07]))
    ground = _layer(rng, None, focal, 1.0, motion)
    nearest = rng.uniform(0.2, 0.9)
    depths = np.sort(rng.uniform(nearest, 1.0, count))[::-1]
    layers = [ground] + [_layer(rng, int(rng.integers(SHAPES)), focal, float(depth), motion) for depth in depths]

    # Travel (across, down, forward), and turns about the three axes; at first of any size.
    mode = rng.choice(["still", "pan", "travel", "both", "hand"], p=[0.25, 0.17, 0.22, 0.25, 0.11])
    travel = 0.0 if mode in ("still", "pan") else 1.0
    turns = 0.0 if mode in ("still", "travel") else 1.0
    forward = rng.choice([0.0, 0.5, 3.0], p=[0.4, 0.4, 0.2])
    camera = _path(
        rng,
        [travel, travel, travel * forward, turns, turns, turns * rng.choice([0.1, 1.0])],
        shaky=mode == "hand" or rng.uniform() < 0.3,
    )
    scene = Scene(seed, tuple(layers), focal, _scaled(camera, 0.01), Effects())
    if mode != "still":
        reach = _reach(rng, motion)
        # Displacements are nearly proportional to the path's numbers.
        for _ in range(3):
            went = max(_displacement(scene, layer) for layer in layers)
            scene = Scene(
                seed, scene.layers, focal, _scaled(scene.camera, min(30.0, reach / max(went, 1e-9))), Effects()
            )

    moving_layers = [layers[0], *(replace(layer, motion=_own_motion(rng, layer, motion)) for layer in layers[1:])]
    scene_effects = _effects(rng) if effects else Effects()
    return Scene(seed, tuple(moving_layers), focal, scene.camera, scene_effects)


def _own_motion(rng: np.random.Generator, layer: Layer, motion: float) -> Path:
    """Draw how an object moves in its plane; some stand still in it."""
    if layer.fixed or rng.uniform() < 0.2:
        return layer.motion
    reach = _reach(rng, motion)
    turning = rng.choice([0.0, 0.5, 3.0], p=[0.3, 0.5, 0.2])
    path = _path(rng, [1.0, 1.0, turning, rng.choice([0.0, 0.3, 1.5]), rng.choice([0.0, 0.3])], rng.uniform() < 0.2)
    # The rim of a turning shape moves with its size.
    speed = np.hypot(*path.rate[:2]) + layer.size / 2 * (abs(path.rate[2]) + abs(path.rate[3]))
    return _scaled(path, reach / max(speed, 1e-9))


def _displacement(scene: Scene, layer: Layer) -> float:
    """Return how far the points of a layer go from the first frame to the last, in parts of the side (root of mean square)."""
    ends = [_apply(_matrix(scene, layer, time), GRID) for time in (-0.5, 0.5)]
    return float(np.sqrt(np.mean(np.sum((ends[1] - ends[0]) ** 2, -1))))


def _layer(rng: np.random.Generator, form: int | None, focal: float, depth: float, motion: float) -> Layer:
    """Draw a layer that does not move of itself."""
    size = 1.0 if form is None else _log_uniform(rng, 0.1, 1.1)
    middle = np.zeros(2) if form is None else rng.uniform(-0.55, 0.55, 2)
    # Texels in the picture's side.
    texels, turn = _log_uniform(rng, 90, 520), rng.uniform(0, 2 * math.pi) * (rng.uniform() < 0.6)
    c, s = texels * math.cos(turn), texels * math.sin(turn)
    place = np.array([[c, -s, rng.uniform(0, SIDE)], [s, c, rng.uniform(0, SIDE)], [0, 0, 1]])

    mix = np.eye(3) if rng.uniform() < 0.5 else np.eye(3)[rng.permutation(3)]
    if rng.uniform() < 0.3:
        mix = 0.5 * mix + 0.5 * np.full((3, 3), 1 / 3)
    if rng.uniform() < 0.5:
        mix = np.diag(rng.uniform(0.6, 1.3, 3)) @ mix
    gain = _log_uniform(rng, 0.6, 1.5)
    level = rng.uniform(0, 255 * max(0.0, 1 - gain)) if rng.integers(2) else 0.0
    tilt = rng.choice([0.0, 0.3, 0.8], p=[0.35, 0.4, 0.25]) * focal
    bend = np.zeros((0, 6))
    if rng.uniform() < (0.15 if form is None else 0.3):
        count = int(rng.integers(1, 4))
        # The gradient of the bending stays well below 1, so that it can be inverted.
        frequencies = rng.normal(0, 8, (count, 2))
        strength = (
            rng.uniform(-1, 1, (count, 2))
            * (rng.uniform(0.02, 0.5) / (count * np.maximum(1, np.hypot(*frequencies.T))))[:, None]
        )
        strength *= min(1.0, motion / 0.25)
        bend = np.concatenate([strength, frequencies, rng.uniform(-7, 7, (count, 2))], axis=1)
    return Layer(
        texture=int(rng.integers(TEXTURES)),
        place=place,
        colours=np.float32(np.concatenate([gain * mix, np.full((3, 1), level)], axis=1)),
        form=form,
        middle=middle,
        size=size,
        turn=rng.uniform(0, 2 * math.pi) * (rng.uniform() < 0.7),
        shade=rng.uniform(0, 1.2) * (rng.uniform() < 0.7),
        normal=np.array([*rng.uniform(-tilt, tilt, 2), 1.0]),
        distance=depth,
        motion=Path(*np.zeros((3, 5)), np.zeros((2, 5))),
        bend=bend,
        soft=rng.uniform(0.5, 2.5) * (rng.uniform() < 0.2),
        fixed=form is not None and rng.uniform() < 0.04,
    )


def _effects(rng: np.random.Generator) -> Effects:
    def some(share: float) -> bool:
        return rng.uniform() < share

    def way() -> np.ndarray:
        return rng.normal(0, 0.1, 2)

    codec = str(rng.choice(["", "jpeg", "h264"], p=[0.6, 0.2, 0.2]))
    return Effects(
        exposure=rng.normal(0, 0.05) * some(0.2),
        light=(rng.uniform(0.03, 0.35), way()) if some(0.25) else None,
        shadow=(
            rng.uniform(0.15, 0.6),
            int(rng.integers(SHAPES)),
            rng.uniform(0.3, 1.5),
            rng.uniform(-0.5, 0.5, 2),
            way(),
        )
        if some(0.2)
        else None,
        shutter=rng.uniform(0.1, 0.5) if some(0.3) else 0.0,
        blur=(0.0, rng.uniform(0.35, 0.7), rng.uniform(0.7, 1.6), -rng.uniform(0.2, 0.8))[
            rng.choice(4, p=[0.3, 0.5, 0.1, 0.1])
        ],
        noise=(rng.uniform(0, 0.5), _log_uniform(rng, 0.2, 6.0), rng.choice([0.0, 0.5, 0.8]))
        if some(0.5)
        else (0, 0, 0),
        codec=(codec, int(rng.integers(35, 92) if codec == "jpeg" else rng.integers(18, 36))),
    )


# Where things are


def _matrix(scene: Scene, layer: Layer, time: float) -> np.ndarray:
    """Return the homography from a layer's own coordinates, unbent, to the picture at a time."""
    across, down, turn, growth, shear = layer.motion.at(time)
    c, s = math.exp(growth) * math.cos(turn), math.exp(growth) * math.sin(turn)
    x, y = layer.middle
    own = np.array([[c, c * shear - s, x + across], [s, s * shear + c, y + down], [0, 0, 1]])
    own = own @ np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]])
    if layer.fixed:
        return own
    pose = scene.camera.at(time)
    rotation, _ = cv2.Rodrigues(pose[3:])
    # The image of a plane normal . X = distance from a camera that turned and travelled.
    homography = rotation + np.outer(pose[:3], layer.normal / layer.distance)
    lens = np.array([scene.focal, scene.focal, 1.0])
    return (lens[:, None] * homography / lens) @ own


def _apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return points (…, 2) as a homography maps them."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()  # Python's numbers leave float32 as it is
    x, y, out = points[..., 0], points[..., 1], np.empty_like(points)
    out[..., 0] = a * x + b * y + c
    out[..., 1] = d * x + e * y + f
    if g or h or i != 1:
        out /= (g * x + h * y + i)[..., None]
    return out


def _bending(layer: Layer, points: np.ndarray, time: float) -> np.ndarray:
    """Return how far unbent points (…, 2) of a layer lie from the bent ones: nothing at time 0."""
    out = np.zeros_like(points)
    for across, down, u, v, phase, drift in layer.bend.tolist():
        wave = np.sin(u * points[..., 0] + v * points[..., 1] + phase + drift * time) * time
        out[..., 0] += across * wave
        out[..., 1] += down * wave
    return out


def _to_layer(scene: Scene, layer: Layer, points: np.ndarray, time: float) -> np.ndarray:
    """Return the layer's own coordinates of points of the picture (…, 2) at a time."""
    points = _apply(np.linalg.inv(_matrix(scene, layer, time)), points)
    return points + _bending(layer, points, time) if len(layer.bend) else points


def _from_layer(scene: Scene, layer: Layer, points: np.ndarray, time: float) -> np.ndarray:
    """Return where own coordinates (…, 2) of a layer are in the picture at a time."""
    if len(layer.bend):
        straight = points
        for _ in range(STEPS):
            straight = points - _bending(layer, straight, time)
        points = straight
    return _apply(_matrix(scene, layer, time), points)


def _grid(image_size: int) -> np.ndarray:
    at = (np.arange(image_size, dtype=np.float32) + 0.5) / image_size - 0.5
    return np.stack(np.meshgrid(at, at), -1)


def _shape_place(layer: Layer) -> np.ndarray:
    """Return the matrix from a layer's own coordinates to pixels of its shape."""
    c, s = (SHAPE_SIDE / layer.size * f(layer.turn) for f in (math.cos, math.sin))
    rotation = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    middle = np.array([[1, 0, -layer.middle[0]], [0, 1, -layer.middle[1]], [0, 0, 1]])
    return np.array([[1, 0, SHAPE_SIDE / 2], [0, 1, SHAPE_SIDE / 2], [0, 0, 1]]) @ rotation @ middle


def _sample(levels: tuple[np.ndarray, ...], places: np.ndarray, density: float, border: int, how: int) -> np.ndarray:
    """Return a picture, of which smaller ones are at hand, at places (…, 2) in its pixels."""
    level = int(np.clip(math.ceil(math.log2(max(density, 1e-3) / DENSITY)), 0, len(levels) - 1))
    # Pixel centres lie at a half.
    places = (places / 2**level - 0.5).astype(np.float32)
    return cv2.remap(levels[level], places[..., 0], places[..., 1], how, borderMode=border)


@lru_cache(maxsize=TEXTURES)
def _texture(seed: int, number: int) -> tuple[np.ndarray, ...]:
    return pyramid(texture((seed, 2, number)))


@lru_cache(maxsize=SHAPES)
def _shape(seed: int, number: int) -> tuple[np.ndarray, ...]:
    return pyramid(shape((seed, 3, number)))


def _cover(scene: Scene, layer: Layer, own: np.ndarray, image_size: int) -> np.ndarray:
    """Return how much of a layer's own places (…, 2) its shape covers, and its relief: uint8 (…, 2)."""
    places = _apply(_shape_place(layer), own)
    density = SHAPE_SIDE / layer.size / image_size
    return _sample(_shape(scene.seed, layer.form), places, density, cv2.BORDER_CONSTANT, cv2.INTER_LINEAR)


# The truth


def trace(
    scene: Scene, time: float, others: tuple[float, float], image_size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return flow (S, S, 4), visible (S, S, 2) and layers (S, S) of the picture at a time; see MovingScenes.truth."""
    grid = _grid(image_size)
    layers = np.zeros(grid.shape[:2], np.uint8)
    for number, layer in enumerate(scene.layers[1:], 1):
        top, bottom, left, right = _box(scene, layer, time, image_size)
        part = grid[top:bottom, left:right]
        layers[top:bottom, left:right][_covered(scene, layer, part, time, image_size)] = number
    flow = np.empty((*grid.shape[:2], 4), np.float32)
    visible = np.empty((*grid.shape[:2], 2), bool)
    for number in np.unique(layers):
        at = layers == number
        layer, points = scene.layers[number], grid[at][:, None]
        own = _to_layer(scene, layer, points, time)
        for k, other in enumerate(others):
            there = _from_layer(scene, layer, own, other)
            flow[at, 2 * k : 2 * k + 2] = (there - points)[:, 0, ::-1] * image_size
            inside = np.maximum(abs(there[..., 0]), abs(there[..., 1])) <= 0.5
            for front in scene.layers[number + 1 :]:
                inside &= ~_covered(scene, front, there, other, image_size)
            visible[at, k] = inside[:, 0]
    return flow, visible, layers


def _covered(scene: Scene, layer: Layer, points: np.ndarray, time: float, image_size: int) -> np.ndarray:
    """Return whether a layer covers points (H, W, 2) of the picture at a time, bool (H, W)."""
    if not points.size:
        return np.zeros(points.shape[:2], bool)
    own = _to_layer(scene, layer, points, time)
    # OpenCV's pictures have less than 32768 rows.
    parts = np.array_split(own, len(own) // 16384 + 1)
    return np.concatenate([_cover(scene, layer, part, image_size)[..., 0] > 127 for part in parts])


# Pictures


def draw(scene: Scene, count: int, image_size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a scene's frames, uint8 (count, S, S, 3); `rng` is of the noise."""
    effects, span = scene.effects, max(1, count - 1)
    frames = []
    for i in range(count):
        time = i / span - 0.5
        # As many pictures in a blur as the fastest layer goes pixels, about.
        open_ = effects.shutter / span
        went = max(_displacement(scene, layer) for layer in scene.layers) * image_size * open_ if open_ else 0.0
        samples = int(np.clip(math.ceil(went), 1, SAMPLES))
        times = time + open_ * ((np.arange(samples) + 0.5) / samples - 0.5)
        frame = sum(render(scene, float(t), image_size) for t in times) / samples
        frame = _lit(scene, frame, time, image_size)
        if effects.blur > 0:
            frame = cv2.GaussianBlur(frame, (0, 0), effects.blur)
        elif effects.blur < 0:
            frame = frame - effects.blur * (frame - cv2.GaussianBlur(frame, (0, 0), 1.0))
        frames.append(_noisy(frame, effects.noise, rng))
    return _coded(np.clip(np.rint(np.stack(frames)), 0, 255).astype(np.uint8), *effects.codec)


def render(scene: Scene, time: float, image_size: int) -> np.ndarray:
    """Return the layers at a moment, float32 (S, S, 3) on 0..255."""
    grid = _grid(image_size)
    picture = None
    for layer in scene.layers:
        box = (0, image_size, 0, image_size) if layer.form is None else _box(scene, layer, time, image_size)
        top, bottom, left, right = box
        if top >= bottom or left >= right:
            continue
        own = _to_layer(scene, layer, grid[top:bottom, left:right], time)
        texels = float(np.hypot(*layer.place[:2, 0])) / image_size * 2**layer.soft
        places = _apply(layer.place, own).astype(np.float32)
        samples = _sample(_texture(scene.seed, layer.texture), places, texels, cv2.BORDER_REFLECT_101, cv2.INTER_CUBIC)
        colours = cv2.transform(samples.astype(np.float32), layer.colours)
        if layer.form is None:
            picture = colours
            continue
        cover = _cover(scene, layer, own, image_size).astype(np.float32)
        if layer.shade:
            colours = colours * (1 + layer.shade * (cover[..., 1:] / 128 - 1))
        behind = picture[top:bottom, left:right]
        behind += (cover[..., :1] / 255) * (colours - behind)
    return picture


def _box(scene: Scene, layer: Layer, time: float, image_size: int) -> tuple[int, int, int, int]:
    """Return the rows and columns that a layer's shape lies in at a time: top, bottom, left, right."""
    # Turned by any angle, and bent.
    half = layer.size / 2 * math.sqrt(2)
    reach = half + (np.abs(layer.bend[:, :2]).sum() / 2 if len(layer.bend) else 0)
    corners = layer.middle + reach * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    x, y = ((_apply(_matrix(scene, layer, time), corners) + 0.5) * image_size).T
    return (
        max(0, math.floor(y.min())),
        min(image_size, math.ceil(y.max())),
        max(0, math.floor(x.min())),
        min(image_size, math.ceil(x.max())),
    )


def _lit(scene: Scene, frame: np.ndarray, time: float, image_size: int) -> np.ndarray:
    """Return a frame in the light of its time."""
    effects = scene.effects
    if effects.exposure:
        frame = frame * math.exp(effects.exposure * time)
    if effects.light:
        strength, way = effects.light
        places = (_grid(image_size) - way * time + 0.5) * SIDE
        field = cv2.cvtColor(_texture(scene.seed, int(1e3 * strength) % TEXTURES)[3], cv2.COLOR_RGB2GRAY)
        field = cv2.GaussianBlur(field, (0, 0), 8).astype(np.float32) / 127.5 - 1
        places = (places / 8 - 0.5).astype(np.float32)
        values = cv2.remap(field, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        frame = frame * (1 + strength * values)[..., None]
    if effects.shadow:
        strength, form, size, middle, way = effects.shadow
        places = ((_grid(image_size) - middle - way * time) / size + 0.5) * SHAPE_SIDE
        soft = cv2.GaussianBlur(_shape(scene.seed, form)[2][..., 0], (0, 0), 1.5)
        places = (places / 4 - 0.5).astype(np.float32)
        values = cv2.remap(soft, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        frame = frame * (1 - strength / 255 * values.astype(np.float32))[..., None]
    return frame


def _noisy(frame: np.ndarray, noise: tuple[float, float, float], rng: np.random.Generator) -> np.ndarray:
    shot, even, spread = noise
    if not (shot or even):
        return frame
    grain = rng.standard_normal(frame.shape, dtype=np.float32)
    if spread:
        grain = cv2.GaussianBlur(grain, (0, 0), spread) * (2 * spread + 0.5)
    return frame + grain * np.sqrt(even**2 + (shot**2) * np.clip(frame, 0, 255))


def _coded(frames: np.ndarray, codec: str, quality: int) -> np.ndarray:
    """Return frames as a codec keeps them."""
    if codec == "jpeg":
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        images = [cv2.imdecode(cv2.imencode(".jpg", frame, options)[1], cv2.IMREAD_COLOR) for frame in frames]
        return np.stack(images)
    if codec == "h264":
        return _h264(frames, quality)
    return frames


def _h264(frames: np.ndarray, quality: int) -> np.ndarray:
    """Return frames as H.264 keeps them at a constant rate factor, without a file."""
    height, width = frames.shape[1:3]
    # 4:2:0 wants even sizes.
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = even.shape[1:3]
    encoder.pix_fmt, encoder.framerate = "yuv420p", round(FPS)
    encoder.time_base = 1 / encoder.framerate
    encoder.thread_count = 1
    encoder.options = {"crf": str(quality), "preset": "veryfast", "bf": "0"}
    packets = []
    for frame in even:
        packets += encoder.encode(av.VideoFrame.from_ndarray(frame, format="rgb24"))
    packets += encoder.encode(None)
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    decoded = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    images = np.stack([frame.to_ndarray(format="rgb24") for frame in decoded])
    return images[:, :height, :width]
