"""The built-in source `falling_bodies`: balls and tyres that bounce, fly, swing and roll as gravity has it.

Their natural rate can be known: things are of known kinds and true sizes, walls have doors and bricks, people stand
by, and times follow from lengths and g. It cannot be told from pixels of motion alone, for the same motion is seen
from near and from far. Air drag is left out. Lengths are metres, times seconds, angles radians (anticlockwise); x to
the right along the floor line, y up from the floor, before the camera mirrors or rolls them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from scipy.special import ellipj, ellipk

from kvzoo.data.source import Source, Video, square
from kvzoo.data.worlds.stick_figures import GRAVITY, Figure, draw_body, render
from kvzoo.data.worlds.stick_figures import Scene as People
from kvzoo.data.worlds.stick_rooms import (
    Camera,
    Colour,
    Room,
    canvas,
    draw_camera,
    draw_room,
    grey,
    photograph,
    random_colour,
    shadow,
    spread_out,
    tinted,
    to_pixels,
    with_wall,
)
from kvzoo.errors import InputError, did_you_mean

Polygon = tuple[tuple[float, float], ...]

FPS = 25.0
MOTIONS = ("bounce", "throw", "swing", "roll", "hop")
# diameter in metres; speed kept in a bounce on a hard floor; moment of inertia in m r^2 (shells 2/3, tyres nearly a hoop).
# The rules of ITF, FIBA and FIFA say how high a ball bounces; the others are usual values.
KINDS = {
    "tennis_ball": (0.067, 0.75, 0.6),
    "volleyball": (0.21, 0.75, 2 / 3),
    "football": (0.22, 0.83, 2 / 3),
    "basketball": (0.243, 0.77, 2 / 3),
    "gym_ball": (0.65, 0.70, 2 / 3),
    "tyre": (0.62, 0.62, 0.8),
}
NEAREST, FARTHEST = 0.8, 5.2  # metres that the frame is high
LARGEST, SMALLEST = 0.32, 0.05  # diameter of a thing in parts of the frame
CLEAR = 55.0  # grey levels between a thing and the wall


class FallingBodies(Source):
    """Videos of round things that move under gravity in still rooms, at 25 frames a second.

    Labels are the motions: bounce (thrown in, bouncing on), throw (one arc after the other), swing (pendulums), roll
    (in a bowl, down and up a slope) and hop (on a trampoline). Bodies are tennis balls, volleyballs, footballs,
    basketballs, gym balls and tyres of their true sizes; a frame is 0.8 to 5.2 m high. Groups are the bodies.
    Clips are drawn at the size that is asked for, each frame at one moment, without blur.

    Args:
        videos: how many; motions and bodies take turns.
        bodies: how many bodies share them; kinds take turns.
        seconds: length of a video.
        motions: which motions; None for all.
        seed: of bodies, rooms, cameras and motions.

    Raises:
        InputError: an unknown motion.
    """

    version = 1

    def __init__(
        self,
        videos: int = 240,
        bodies: int = 24,
        seconds: float = 4.0,
        motions: list[str] | None = None,
        seed: int = 0,
    ):
        motions = tuple(motions) if motions else MOTIONS
        for motion in motions:
            if motion not in MOTIONS:
                hint = did_you_mean(motion, MOTIONS) or f"; known: {', '.join(MOTIONS)}"
                raise InputError(f"data.motions: unknown motion {motion!r}{hint}")
        self._seed, self._seconds = seed, seconds
        frames = max(1, round(seconds * FPS))
        listed = []
        for i in range(videos):
            motion, body = motions[i % len(motions)], (i // len(motions)) % bodies
            name = f"{motion}/body{body:03d}_{i:05d}"
            listed.append(Video(name, frames, FPS, f"body{body:03d}", motion, key=(i, body, motion)))
        super().__init__(listed)

    def decode(self, video: Video, start: int, stop: int, image_size: int, channels: int) -> np.ndarray:
        return self.draw(video, np.arange(start, stop) / FPS, image_size, channels)

    def draw(self, video: Video, times: np.ndarray, image_size: int, channels: int) -> np.ndarray:
        """Return the pictures at any times in seconds, uint8 (len(times), image_size, image_size, channels)."""
        frames = _pictures(self.scene(video), np.asarray(times, np.float64), image_size)
        return frames if channels == 3 else np.stack([square(frame, image_size, 1) for frame in frames])

    def tracks(self, video: Video, indices: Sequence[int]) -> np.ndarray:
        """Return where the bodies are at frames: float (bodies, len(indices), 3), x and y of the centre and its turn.

        NaN where a body is not there yet. `to_pixels(scene(video).camera, side)` leads from x and y to pixels.
        """
        times = np.asarray(indices) if video.times is None else video.times[np.asarray(indices)]
        return np.stack([np.stack(motion.at(times / FPS), axis=-1) for motion in self.scene(video).motions])

    def scene(self, video: Video) -> "Scene":
        """Return what a video shows."""
        index, number, motion = video.key
        thing = draw_thing(np.random.default_rng((self._seed, 0, number)), list(KINDS)[number % len(KINDS)])
        return draw_scene(np.random.default_rng((self._seed, 1, index)), thing, motion, self._seconds)

    def fingerprint(self) -> str:
        return f"{super().fingerprint()}-seed{self._seed}"


# What there is in a scene


@dataclass(frozen=True)
class Thing:
    """A ball or tyre: its kind, radius in metres, two colours, and how its markings first lie."""

    kind: str
    radius: float
    paint: Colour
    second: Colour
    turn: float

    @property
    def restitution(self) -> float:
        """Part of its speed that a bounce leaves."""
        return KINDS[self.kind][1]

    @property
    def inertia(self) -> float:
        """Moment of inertia in m r^2."""
        return KINDS[self.kind][2]


@dataclass(frozen=True)
class Flight:
    """Thrown at `begin` from x, y at vx, vy; bounces on the floor and rolls on where it has no height left."""

    begin: float
    x: float
    y: float
    vx: float
    vy: float
    spin: float
    radius: float
    restitution: float

    def at(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        t = np.where(times < self.begin, np.nan, times - self.begin)
        y, height, up, start = np.where(np.isnan(t), np.nan, 0.0), self.y - self.radius, self.vy, 0.0
        while start <= np.nanmax(t, initial=0) and (height > 0 or up > 0.15):
            length = (up + math.sqrt(up * up + 2 * GRAVITY * height)) / GRAVITY
            s = t - start
            y = np.where((s >= 0) & (s < length), height + up * s - GRAVITY * s * s / 2, y)
            start, height, up = start + length, 0.0, self.restitution * (GRAVITY * length - up)
        return self.x + self.vx * t, y + self.radius, self.spin * t


@dataclass(frozen=True)
class Swing:
    """To and fro about x, y on an arc: a pendulum, or a ball that rolls in a bowl where `rolls` is its radius.

    `pace` is the length of the simple pendulum of the same period, `phase` is in periods.
    """

    x: float
    y: float
    arc: float
    pace: float
    amplitude: float
    phase: float
    rolls: float = 0.0

    def at(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # the exact pendulum: sin(angle / 2) = k sn(w t, k^2), k = sin(amplitude / 2)
        k = math.sin(self.amplitude / 2)
        u = times * math.sqrt(GRAVITY / self.pace) + 4 * ellipk(k * k) * self.phase
        angle = 2 * np.arcsin(k * ellipj(u, k * k)[0])
        turn = -angle * self.arc / self.rolls if self.rolls else angle
        return self.x + self.arc * np.sin(angle), self.y - self.arc * np.cos(angle), turn


@dataclass(frozen=True)
class Roll:
    """Along a slope from x, y at `begin`: `way` is (cos, sin) uphill; starts uphill at `speed`, pulled back by `pull`."""

    begin: float
    x: float
    y: float
    way: tuple[float, float]
    speed: float
    pull: float
    radius: float

    def at(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        t = np.where(times < self.begin, np.nan, times - self.begin)
        s = self.speed * t - self.pull * t * t / 2
        return self.x + s * self.way[0], self.y + s * self.way[1], -s * math.copysign(1, self.way[0]) / self.radius


@dataclass(frozen=True)
class Hop:
    """Up and down on a trampoline: the centre is at x, y when it touches the mat, `height` above at the top and
    `depth` below at the lowest; the mat is a spring and reaches as far as `wide`. `phase` is in cycles."""

    x: float
    y: float
    height: float
    depth: float
    phase: float
    spin: float
    wide: float

    def at(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        g, up = GRAVITY, math.sqrt(2 * GRAVITY * self.height)
        # energy: m g (height + depth) = k depth^2 / 2
        w = math.sqrt(2 * g * (self.height + self.depth)) / self.depth
        rest = g / (w * w)
        contact = 2 * (math.pi - math.atan2(up / w, rest)) / w
        flight = 2 * up / g
        s = (times + self.phase * (flight + contact)) % (flight + contact)
        pressed = s - flight
        down = rest * np.cos(w * pressed) - up / w * np.sin(w * pressed) - rest
        y = np.where(pressed < 0, up * s - g * s * s / 2, down)
        return np.full_like(y, self.x), self.y + y, self.spin * times


@dataclass(frozen=True)
class Scene:
    """A room and a camera, a thing, its motions (one each body) and what they need to stand on or hang from.

    `solids` are polygons of (x, y) that stand still.
    """

    room: Room
    camera: Camera
    person: Figure | None
    thing: Thing
    motions: tuple[Flight | Swing | Roll | Hop, ...]
    solids: tuple[Polygon, ...] = ()
    colour: Colour = (90.0, 90.0, 90.0)


# Drawing one at random


def draw_thing(rng: np.random.Generator, kind: str) -> Thing:
    """Draw a thing of a kind: its true size, give or take 2 %, and the colours that such things have."""
    bright = random_colour(rng, (0.6, 0.95), (0.55, 0.95))
    white, dark = (rng.uniform(225, 245),) * 3, (rng.uniform(25, 40),) * 3
    paint, second = {
        "tennis_ball": ((205.0, rng.uniform(215, 235), rng.uniform(50, 90)), white),
        "volleyball": (white, bright),
        "football": (white, dark if rng.uniform() < 0.7 else tinted(bright, 70)),
        "basketball": ((rng.uniform(195, 225), rng.uniform(95, 120), rng.uniform(35, 60)), dark),
        "gym_ball": (bright, tinted(bright, grey(bright) + 28)),
        "tyre": (dark, (rng.uniform(150, 200),) * 3),
    }[kind]
    radius = KINDS[kind][0] / 2 * rng.uniform(0.98, 1.02)
    return Thing(kind, float(radius), *(tuple(map(float, c)) for c in (paint, second)), float(rng.uniform(0, 6.28)))


def draw_scene(rng: np.random.Generator, thing: Thing, motion: str, seconds: float) -> Scene:
    """Draw a room, a camera that is far enough for the thing, and bodies in one motion for some seconds."""
    nearest = max(NEAREST, 2 * thing.radius / LARGEST)
    farthest = min(FARTHEST, 2 * thing.radius / SMALLEST)
    view = float(np.exp(rng.uniform(math.log(nearest), math.log(farthest))))
    room = spread_out(draw_room(rng), view)
    levels = np.arange(60.0, 206.0, 5.0)
    # the dark parts of a football matter less than its white
    looks = grey(thing.paint) if thing.kind in ("football", "tyre") else 0.5 * (grey(thing.paint) + grey(thing.second))
    clear = levels[abs(levels - looks) >= CLEAR]
    room = with_wall(room, float(clear[abs(clear - grey(room.wall)).argmin()]))
    camera = replace(
        draw_camera(rng),
        view=view,
        pan=float(rng.uniform(-1, 1)),
        foot=float(rng.uniform(0.03, 0.16)),
        roll=float(math.radians(rng.uniform(-3, 3))),
    )
    person = None
    if view > 1.9 and rng.uniform() < 0.6:
        x = camera.pan + rng.choice([-1, 1]) * rng.uniform(0.15, 0.4) * view
        person = Figure(draw_body(rng), (), float(x), float(rng.uniform(-0.35, -0.2)), float(rng.choice([-1, 1])))
    motions, solids = _DRAWN[motion](rng, thing, camera, seconds)
    colour = tinted(random_colour(rng, (0.1, 0.6), (0.3, 0.8)), 70.0 if grey(room.wall) > 120 else 190.0)
    return Scene(room, camera, person, thing, tuple(motions), tuple(solids), colour)


def _starts(rng: np.random.Generator, interval: float, before: float, seconds: float) -> list[float]:
    """Return when bodies start: one in an `interval`, more or less, from `before` the video to its end."""
    clock, starts = -before - rng.uniform(0, 1) * interval, []
    while clock < seconds:
        starts.append(float(clock))
        clock += interval * rng.uniform(0.75, 1.25)
    return starts


def _top(camera: Camera) -> float:
    """Return how high above the floor line the frame ends."""
    return (1 - camera.foot) * camera.view


Drawn = tuple[list[Flight | Swing | Roll | Hop], Sequence[Polygon]]


def _bounce(rng: np.random.Generator, thing: Thing, camera: Camera, seconds: float) -> Drawn:
    """Balls come in from above or from a side and bounce until they are out of the picture."""
    view, top, r = camera.view, _top(camera), thing.radius
    side, fall = float(rng.choice([-1, 1])), math.sqrt(2 * top / GRAVITY)
    from_above, flights = rng.uniform() < 0.4, []
    speed = view / (fall * rng.uniform(2.5, 6.0))
    entry = rng.uniform(0.25, 0.9)
    for begin in _starts(rng, fall * rng.uniform(1.8, 3.2), 2 * fall, seconds):
        vx = -side * speed * rng.uniform(0.8, 1.25)
        if from_above:
            x, y = side * rng.uniform(0.05, 0.45) * view, top + 1.3 * r
            vy = -math.sqrt(2 * GRAVITY * rng.uniform(0.02, 0.3) * top)
        else:
            x, y = side * (0.55 * view + r), max(1.5 * r, entry * top * rng.uniform(0.85, 1.1))
            vy = math.sqrt(2 * GRAVITY * 0.1 * top) * rng.uniform(-1, 1)
        spin = -vx / r * rng.uniform(0.3, 1.0)
        flights.append(Flight(begin, camera.pan + x, y, vx, vy, spin, r, thing.restitution))
    return flights, ()


def _throw(rng: np.random.Generator, thing: Thing, camera: Camera, seconds: float) -> Drawn:
    """Balls are thrown from a side of the picture, one after the other, each in one high arc."""
    view, top, r = camera.view, _top(camera), thing.radius
    side, flights = float(rng.choice([-1, 1])), []
    low, reach = rng.uniform(0.1, 0.5), rng.uniform(0.7, 1.3)
    apex = rng.uniform(low + 0.25, 1.05)
    up = math.sqrt(2 * GRAVITY * (apex - low) * top)
    length = up / GRAVITY + math.sqrt(2 * apex * top / GRAVITY)
    both = rng.uniform() < 0.3
    for begin in _starts(rng, length * rng.uniform(0.5, 1.0), length, seconds):
        vx, vy = (a * rng.uniform(0.92, 1.08) for a in (-side * reach * view / length, up))
        x, y = camera.pan + side * (0.55 * view + r), max(low * top, 1.2 * r)
        spin = float(rng.uniform(-6, 6)) * math.sqrt(GRAVITY / view)
        flights.append(Flight(begin, x, y, vx, vy, spin, r, thing.restitution))
        side *= -1 if both else 1
    return flights, ()


def _swing(rng: np.random.Generator, thing: Thing, camera: Camera, seconds: float) -> Drawn:
    """One to three pendulums; the beam that they hang from may be above the picture."""
    view, top, r = camera.view, _top(camera), thing.radius
    count = int(rng.integers(1, 2 + (6 * r < 0.9 * view) + (10 * r < 0.9 * view)))
    beam, places = float(rng.uniform(0.85, 1.5) * top), (np.arange(count) - (count - 1) / 2) / count
    swings = []
    for place in places:
        lowest = rng.uniform(r + 0.05 * view, max(r + 0.06 * view, 0.65 * top))
        arc = max(beam - lowest, 0.25 * view)
        widest = math.asin(min((0.45 - 0.8 * abs(place)) * view / arc, 0.87))
        amplitude = min(math.radians(rng.uniform(15, 60)), widest)
        pace = arc + thing.inertia * r * r / arc
        x = camera.pan + 0.8 * place * view
        swings.append(Swing(float(x), beam, float(arc), float(pace), float(amplitude), float(rng.uniform())))
    wide, thick = 0.75 * view, 0.02 * view
    left, right = camera.pan - wide, camera.pan + wide
    return swings, [((left, beam), (right, beam), (right, beam + thick), (left, beam + thick))]


def _roll(rng: np.random.Generator, thing: Thing, camera: Camera, seconds: float) -> Drawn:
    """A ball rolls to and fro in a bowl, or balls roll down a slope, or up and down again."""
    view, top, r, drag = camera.view, _top(camera), thing.radius, 1 + thing.inertia
    if rng.uniform() < 0.4:
        steep, wide = math.radians(rng.uniform(25, 70)), rng.uniform(0.3, 0.48) * view
        radius = max(min(wide / math.sin(steep), 0.8 * top / (1 - math.cos(steep))), 2.5 * r)
        foot = rng.uniform(0.02, 0.1) * view
        around = np.linspace(-steep, steep, 33)
        rim = camera.pan + radius * np.sin(around), foot + radius * (1 - np.cos(around))
        arc, amplitude = radius - r, steep * rng.uniform(0.5, 0.9)
        swing = Swing(camera.pan, foot + radius, arc, arc * drag, amplitude, float(rng.uniform()), r)
        corners = list(zip(*(a.tolist() for a in rim), strict=True))
        return [swing], [((corners[0][0], 0.0), *corners, (corners[-1][0], 0.0))]
    side = float(rng.choice([-1, 1]))  # where it is higher
    low, half = rng.uniform(0.03, 0.15) * view, 0.5 * view + 2 * r
    slope = min(math.radians(rng.uniform(6, 28)), math.atan((0.75 * top - low) / (2 * half)))
    pull, way = GRAVITY * math.sin(slope) / drag, (side * math.cos(slope), math.sin(slope))
    length, up = 2 * half / math.cos(slope), rng.uniform() < 0.4
    start = -side * half if up else side * half
    y = low + (0 if up else 2 * half * math.tan(slope)) + r * math.cos(slope)
    x = camera.pan + start - r * way[1] * side
    # parts of the slope that balls roll up, or have come down before they are seen
    before = rng.uniform(0.45, 0.95) if up else rng.uniform(0.01, 0.6)
    speed = (1 if up else -1) * math.sqrt(2 * pull * length * before)
    crossing = 2 * speed / pull if up else (speed + math.sqrt(speed * speed + 2 * pull * length)) / pull
    rolls = []
    for begin in _starts(rng, crossing * rng.uniform(0.5, 0.9), crossing, seconds):
        rolls.append(Roll(begin, float(x), float(y), way, speed * float(rng.uniform(0.93, 1.05)), pull, r))
    ends = [camera.pan + sign * half for sign in (-side, side)]
    high = low + 2 * half * math.tan(slope)
    return rolls, [((ends[0], 0.0), (ends[0], low), (ends[1], high), (ends[1], 0.0))]


def _hop(rng: np.random.Generator, thing: Thing, camera: Camera, seconds: float) -> Drawn:
    """One or two balls hop on trampolines beside each other."""
    view, top, r = camera.view, _top(camera), thing.radius
    count = int(rng.integers(1, 3)) if 2.6 * r < 0.2 * view else 1
    mat, hops, legs = float(rng.uniform(0.12, 0.3) * top), [], []
    wide = max(rng.uniform(0.14, 0.2) * view, 1.3 * r)
    for place in (np.arange(count) - (count - 1) / 2) * 0.46 * view:
        x = float(camera.pan + place)
        height = rng.uniform(0.2, 0.95) * max(top - mat - 2 * r, 0.3 * view)
        depth = min(rng.uniform(0.1, 0.25) * height, 0.7 * mat)
        spin = float(rng.uniform(-2, 2)) * math.sqrt(GRAVITY / view)
        hops.append(Hop(x, mat + r, float(height), float(depth), float(rng.uniform()), spin, float(wide)))
        for end in (x - wide, x + wide):
            a, b = end - 0.012 * view, end + 0.012 * view
            legs.append(((a, 0.0), (b, 0.0), (b, mat + 0.012 * view), (a, mat + 0.012 * view)))
    return hops, legs


_DRAWN = dict(zip(MOTIONS, (_bounce, _throw, _swing, _roll, _hop), strict=True))


# Pictures


def _pictures(scene: Scene, times: np.ndarray, size: int) -> np.ndarray:
    """Return the frames at times, uint8 (len(times), size, size, 3)."""
    side = canvas(size)
    paths = np.stack([np.stack(motion.at(times), axis=-1) for motion in scene.motions])
    frames = np.empty((len(times), size, size, 3), np.uint8)
    for i, time in enumerate(times):
        picture = _stage(scene, side).copy()
        _paint(picture, scene, paths[:, i])
        frames[i] = photograph(scene.camera, picture, time, size)
    return frames


def _paint(picture: np.ndarray, scene: Scene, places: np.ndarray) -> None:
    """Draw the bodies in place: rows of x, y and turn, NaN for those that are not there yet."""
    side, camera, radius = len(picture), scene.camera, scene.thing.radius
    metre, matrix = side / camera.view, to_pixels(camera, side)
    flip = -1.0 if camera.mirror else 1.0
    there = [(motion, *place) for motion, place in zip(scene.motions, places, strict=True) if not math.isnan(place[0])]
    for motion, x, y, _ in there:
        if isinstance(motion, Flight | Swing):
            _floor_shadow(picture, matrix @ (x, 0.0, 1.0), radius * metre, (y - radius) / radius)
    for motion, x, y, angle in there:
        if isinstance(motion, Swing) and not motion.rolls:
            _line(picture, matrix, [(motion.x, motion.y), (x, y)], (50, 45, 40), max(0.006 * side, 1))
        if isinstance(motion, Hop):
            mat, part = motion.y - radius, 0.4 * radius
            low = min(y - radius, mat)
            points = [(x - motion.wide, mat), (x - part, low), (x + part, low), (x + motion.wide, mat)]
            _line(picture, matrix, points, scene.colour, max(0.02 * side, 1))
        # anticlockwise in the world is clockwise in a mirror
        turn = camera.roll - flip * angle
        _ball(picture, scene.thing, matrix @ (x, y, 1.0), radius * metre, turn, flip * scene.room.light)


@lru_cache(maxsize=32)
def _stage(scene: Scene, side: int) -> np.ndarray:
    """Return all that stands still as a read-only uint8 picture: room, person and solids."""
    neutral = replace(scene.camera, exposure=1.0, balance=(1.0, 1.0, 1.0), noise=0.0)
    people = (scene.person,) if scene.person else ()
    picture = render(People(scene.room, neutral, people), np.zeros(1), side)[0]
    matrix = to_pixels(scene.camera, side)
    for solid in scene.solids:
        points = np.hstack([np.array(solid), np.ones((len(solid), 1))]) @ matrix.T
        outline = np.rint(16 * points).astype(np.int32)
        cv2.fillPoly(picture, [outline], scene.colour, cv2.LINE_AA, 4)
        cv2.polylines(picture, [outline], True, tuple(0.6 * c for c in scene.colour), 1, cv2.LINE_AA, 4)
    picture.flags.writeable = False
    return picture


def _line(picture: np.ndarray, matrix: np.ndarray, points: list, colour: Colour, width: float) -> None:
    pixels = np.hstack([np.array(points), np.ones((len(points), 1))]) @ matrix.T
    cv2.polylines(picture, [np.rint(16 * pixels).astype(np.int32)], False, colour, round(width), cv2.LINE_AA, 4)


def _floor_shadow(picture: np.ndarray, at: np.ndarray, radius: float, lift: float) -> None:
    """Darken the floor below a body that is `lift` radii above it; softer and wider, the higher it is."""
    wide = radius * (0.9 + 0.15 * lift)
    shadow(picture, np.array([[at[0], at[1], wide, max(0.25 * wide, 0.6), 0.5 / (1 + 0.6 * lift)]]))


def _ball(picture: np.ndarray, thing: Thing, at: np.ndarray, radius: float, angle: float, light: float) -> None:
    """Draw a thing in place, its centre and radius in pixels, turned clockwise on the screen by `angle`."""
    side = len(picture)
    low, high = np.maximum(np.floor(at - radius), 0).astype(int), np.ceil(at + radius + 1).astype(int)
    (left, top), (right, bottom) = low, np.minimum(high, side)
    if left >= right or top >= bottom:
        return
    u = ((np.arange(left, right, dtype=np.float32) - at[0]) / radius)[None]
    v = ((np.arange(top, bottom, dtype=np.float32) - at[1]) / radius)[:, None]
    far = np.hypot(u, v)
    cover = np.clip(0.5 + (1 - far) * radius, 0, 1)
    c, s = math.cos(angle + thing.turn), math.sin(angle + thing.turn)
    share = _markings(thing.kind, c * u + s * v, c * v - s * u, 1 / radius)
    front = np.sqrt(np.clip(1 - far * far, 0, 1))
    bulge = 0.5 if thing.kind == "tyre" else 1.0
    shade = 1 + bulge * (0.18 * light * u - 0.22 * v + 0.22 * (front - 0.75))
    colour = np.float32(thing.paint) + share[..., None] * (np.float32(thing.second) - np.float32(thing.paint))
    part = picture[top:bottom, left:right]
    part[:] = np.rint(part + cover[..., None] * (np.clip(colour * shade[..., None], 0, 255) - part))


_GOLDEN = (1 + 5**0.5) / 2
_CORNERS = [(0, a, b * _GOLDEN) for a in (-1, 1) for b in (-1, 1)]
# the twelve patches of a football, turned so that no two lie behind each other
_PATCHES = np.array([(x[i], x[i - 1], x[i - 2]) for x in _CORNERS for i in range(3)]) / math.hypot(1, _GOLDEN)
_PATCHES = _PATCHES @ cv2.Rodrigues(np.array([0.5, 0.3, 0.0]))[0].T


def _markings(kind: str, u: np.ndarray, v: np.ndarray, pixel: float) -> np.ndarray:
    """Return how much of the second colour there is, 0..1, at places in radii; `pixel` is one, in radii."""

    def within(distance: np.ndarray) -> np.ndarray:
        return np.clip(0.5 - distance / pixel, 0, 1)

    far = np.hypot(u, v)
    if kind == "tennis_ball":
        return within(abs(np.hypot(abs(u) - 1.2, v) - 0.8) - 0.07)
    if kind == "basketball":
        seams = np.minimum(np.minimum(abs(u), abs(v)), abs(np.hypot(abs(u) - 1.3, v) - 0.85))
        return within(seams - 0.045)
    if kind == "football":
        ball = np.stack([u, v, np.sqrt(np.clip(1 - far * far, 0, 1))], axis=-1)
        return within(0.9 - (ball @ _PATCHES.T.astype(np.float32)).max(axis=-1))
    if kind == "volleyball":
        return within(far * np.sin(3 * np.arctan2(v, u)) / 3)
    if kind == "gym_ball":
        return 0.5 + 0.5 * np.tanh(3 * np.sin(2.5 * math.pi * u))
    spokes = within(0.1 - far * abs(np.sin(2.5 * np.arctan2(v, u))) / 2.5) * within(0.16 - far)
    return within(far - 0.6) * (1 - 0.75 * spokes)
