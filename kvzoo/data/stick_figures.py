"""Articulated figures that move in still rooms at the rhythms that gravity gives to bodies of their size.

A scene is a room, a camera and a few figures. A figure is a body plus a list of time spans, each with one
action. Time goes to a pose (root, torso, arms, foot targets), the pose to joints (forward kinematics for
torso and arms, two-bone inverse kinematics for legs), and the joints to filled, shaded limbs.

Lengths are metres, angles radians, times seconds. World axes: x to the right along the floor line, y up
from the floor, z towards the camera. Colours are RGB in 0..255. Body segments follow Winter, "Biomechanics
and Motor Control of Human Movement" (2009), after Drillis and Contini (1966), as fractions of height.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

ACTIONS: tuple[str, ...] = ("wave_one_hand", "wave_two_hands", "jumping_jack", "bend", "walk", "jump")
GRAVITY = 9.81
BLEND = 0.36  # seconds from one action's pose to the next one's

Colour = tuple[float, float, float]
Pose = dict[str, np.ndarray]


# What there is in a scene


@dataclass(frozen=True)
class Body:
    """Proportions, clothes and habits of one person.

    Attributes
    ----------
    height : float
        Metres, 1.15 (a child of six) to 2.0.
    leg, arm, head, shoulders : float
        Hip height, shoulder to wrist, chin to crown, half the shoulder breadth; fractions of the height.
    build : float
        Factor on the thickness of the limbs, 0.85 (thin) to 1.3 (stout).
    skin, hair, shirt, trousers, shoes : tuple of float
        RGB colours.
    hair_style : str
        "short", "long", "bun" or "bald".
    long_sleeves : bool
    legwear : str
        "trousers", "shorts" or "skirt".
    left_handed : bool
        The hand that waves.
    tempo : float
        Personal factor on the rhythm, 0.9 to 1.1; gravity takes no notice of it in a flight.
    vigour : float
        Factor on the width of gestures, 0.85 to 1.1.
    """

    height: float
    leg: float
    arm: float
    head: float
    shoulders: float
    build: float
    skin: Colour
    hair: Colour
    hair_style: str
    shirt: Colour
    long_sleeves: bool
    trousers: Colour
    legwear: str
    shoes: Colour
    left_handed: bool
    tempo: float
    vigour: float

    @property
    def leg_length(self) -> float:
        """Hip to floor in metres."""
        return self.leg * self.height

    @property
    def arm_length(self) -> float:
        """Shoulder to the middle of the hand in metres."""
        return (self.arm + 0.054) * self.height


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


@dataclass(frozen=True)
class Span:
    """One action between two times in seconds, begun at `phase` (in cycles of `period`)."""

    action: str
    start: float
    stop: float
    phase: float = 0.0


@dataclass(frozen=True)
class Figure:
    """A body in the room.

    Attributes
    ----------
    body : Body
    spans : tuple of Span
        A later span cuts an earlier one short; where there is none the figure stands and breathes.
    x : float
        Where it first stands on the floor line, in metres.
    depth : float
        Metres in front of (positive) or behind the floor line.
    facing : float
        1 or -1: the side that a bend or jump is turned to and where a walk first goes.
    roam : float
        Half the length of the to-and-fro of a walk in metres; infinite for walking straight through.
    """

    body: Body
    spans: tuple[Span, ...] = ()
    x: float = 0.0
    depth: float = 0.0
    facing: float = 1.0
    roam: float = 0.9


@dataclass(frozen=True)
class Scene:
    """A room, a camera and the people in front of it."""

    room: Room
    camera: Camera
    figures: tuple[Figure, ...]


# Drawing one at random


def grey(colour: Colour) -> float:
    """Return the BT.601 grey level of a colour, 0..255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def _tinted(colour: Colour, level: float) -> Colour:
    """Return the colour moved to another grey level, its hue kept as far as the range allows."""
    scaled = np.asarray(colour) * (level / max(grey(colour), 1.0))
    scaled = np.clip(scaled, 8, 247)
    return tuple(float(v) for v in np.clip(scaled + level - grey(scaled), 5, 250))


def _colour(rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]) -> Colour:
    hsv = np.float32([[[rng.uniform(0, 360), rng.uniform(*saturation), rng.uniform(*value)]]])
    return tuple(float(v) for v in 255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0])


def _between(rng: np.random.Generator, low: Colour, high: Colour) -> Colour:
    share = rng.uniform()
    return tuple(float(a + (b - a) * share) for a, b in zip(low, high, strict=True))


def draw_body(rng: np.random.Generator) -> Body:
    """Draw a person: one in three is a child, whose head is larger and legs shorter for the height."""
    height = float(rng.uniform(1.15, 1.5) if rng.uniform() < 1 / 3 else rng.uniform(1.5, 2.0))
    grown = min((height - 1.15) / 0.5, 1.0)
    shirt = _colour(rng, (0.1, 0.9), (0.15, 0.95))
    trousers = _colour(rng, (0.05, 0.7), (0.12, 0.75))
    if abs(grey(shirt) - grey(trousers)) < 25:
        trousers = _tinted(trousers, grey(shirt) + (45 if grey(shirt) < 110 else -45))
    return Body(
        height=height,
        leg=float(0.485 + 0.045 * grown + rng.uniform(-0.012, 0.012)),
        arm=float(0.325 + 0.010 * grown + rng.uniform(-0.012, 0.012)),
        head=float(0.170 - 0.036 * grown + rng.uniform(-0.005, 0.005)),
        shoulders=float(0.112 + rng.uniform(-0.010, 0.014)),
        build=float(rng.uniform(0.88, 1.3)),
        skin=_between(rng, (92, 60, 44), (238, 196, 168)),
        hair=_between(rng, (25, 20, 18), [(120, 74, 40), (200, 160, 96), (70, 60, 60)][rng.integers(3)]),
        hair_style=str(rng.choice(["short", "short", "long", "bun", "bald"])),
        shirt=shirt,
        long_sleeves=bool(rng.uniform() < 0.6),
        trousers=trousers,
        legwear=str(rng.choice(["trousers", "trousers", "trousers", "shorts", "skirt"])),
        shoes=_colour(rng, (0.0, 0.6), (0.1, 0.8)),
        left_handed=bool(rng.uniform() < 0.3),
        tempo=float(rng.uniform(0.9, 1.1)),
        vigour=float(rng.uniform(0.88, 1.1)),
    )


def draw_room(rng: np.random.Generator) -> Room:
    """Draw a wall, a floor and up to two fixtures that leave the middle of the wall free."""
    style = str(rng.choice(["plaster", "plaster", "bricks", "stripes", "boards"]))
    wall = _colour(rng, (0.02, 0.24), (0.35, 0.95))
    trim = _tinted(wall, float(np.clip(grey(wall) + rng.choice([-60, 45]), 25, 235)))
    sides = rng.permutation([-1.0, 1.0])
    fixtures = []
    for side in sides[: rng.integers(0, 3)]:
        kind = str(rng.choice(["window", "door", "picture"]))
        y, width, tall = {
            "window": (rng.uniform(0.9, 1.1), rng.uniform(0.7, 1.1), rng.uniform(0.8, 1.1)),
            "door": (0.0, rng.uniform(0.75, 0.9), rng.uniform(1.9, 2.05)),
            "picture": (rng.uniform(1.2, 1.5), rng.uniform(0.3, 0.6), rng.uniform(0.3, 0.6)),
        }[kind]
        inside = (190.0, 212.0, 232.0) if kind == "window" else _colour(rng, (0.1, 0.6), (0.3, 0.8))
        frame = _tinted(
            _colour(rng, (0.0, 0.35), (0.3, 0.9)), float(np.clip(grey(wall) - side * 45, 45, 215))
        )
        x = side * rng.uniform(0.55, 1.0) + side * width / 3
        fixtures.append(Fixture(kind, float(x), float(y), float(width), float(tall), frame, inside))
    return Room(
        wall_style=style,
        wall=wall,
        pitch=float({"bricks": 0.215, "boards": 0.16}.get(style, 0.2) * rng.uniform(0.85, 1.3)),
        relief=float(rng.uniform(0.35, 1.0)),
        floor_style=str(rng.choice(["planks", "tiles", "carpet", "plain"])),
        floor=_tinted(_between(rng, (150, 105, 70), (140, 140, 145)), float(rng.uniform(55, 170))),
        skirting=float(rng.choice([0.0, rng.uniform(0.07, 0.15)])),
        trim=trim,
        fixtures=tuple(fixtures),
        depth=float(rng.uniform(0.5, 1.3)),
        light=float(rng.choice([-1.0, 1.0])),
        seed=int(rng.integers(2**31)),
    )


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


def draw_scene(rng: np.random.Generator, body: Body, action: str, duration: float) -> Scene:
    """Draw one person doing one action from 0 to `duration` seconds at a random phase, in a fresh room.

    The frame's height goes with the body's height to the power 0.7, so a child fills a little less of it.
    The wall is re-tinted to the nearest grey level that stands clear of shirt and trousers.
    """
    if action not in ACTIONS:
        raise ValueError(f"unknown action {action!r}; one of {ACTIONS}")
    room, camera = draw_room(rng), draw_camera(rng)
    level = _clear_level(grey(room.wall), body)
    wall = _tinted(room.wall, level)
    room = replace(room, wall=wall, trim=_tinted(wall, level - 40 if level > 100 else level + 35))
    camera = replace(
        camera, view=camera.view * (body.height / 1.75) ** 0.7 * (1.07 if action == "jump" else 1.0)
    )
    facing = float(rng.choice([-1.0, 1.0]))
    figure = Figure(body, (), float(rng.uniform(-0.08, 0.08)), 0.0, facing, 0.33 * camera.view)
    phase = float(rng.uniform())
    if action == "walk":
        # a random place on the whole to-and-fro, and the start moved so that it is centred on the frame
        phase *= _beat(figure) / period("walk", body)
        figure = replace(figure, x=camera.pan + _path(figure, phase * period("walk", body))[0])
    return Scene(room, camera, (replace(figure, spans=(Span(action, -1.0, duration + 1.0, phase),)),))


def _clear_level(level: float, body: Body, distance: float = 50.0) -> float:
    """Return the grey level nearest to `level` that is clear of the clothes; of skin by less."""
    levels = np.arange(60.0, 206.0, 5.0)
    skin = 1.6 if body.long_sleeves else 1.2
    looks = ((body.shirt, 1.0), (body.trousers, 1.0), (body.skin, skin))
    worst = np.min([abs(levels - grey(colour)) * weight for colour, weight in looks], axis=0)
    if worst.max() < distance:
        return float(levels[worst.argmax()])
    clear = levels[worst >= distance]
    return float(clear[abs(clear - level).argmin()])


# Rhythm


def _pendulum(length: float) -> float:
    """Return the period in seconds of a uniform rod that swings from its end: 2 pi sqrt(2 l / 3 g)."""
    return 2 * math.pi * math.sqrt(2 * length / (3 * GRAVITY))


def _flight(body: Body, share: float) -> float:
    """Return the seconds of a free flight that rises `share` of the leg length: sqrt(8 h / g)."""
    return math.sqrt(8 * share * body.leg_length / GRAVITY)


JACK_RISE, JUMP_RISE = 0.08, 0.22  # apex of the pelvis above take-off, parts of the leg length


def period(action: str, body: Body) -> float:
    """Return the seconds of one natural cycle; for bodies of one shape it goes with sqrt(height).

    - wave_one_hand: the forearm as a rod pendulum, times 0.72 for the muscles stiffen it (1.3 Hz).
    - wave_two_hands: the whole arm as a rod pendulum (about 1.4 s at 1.75 m).
    - jumping_jack: the whole arm times 0.9 (about 1.3 s); two hops a cycle, each a true free flight.
    - bend: trunk and head as a rod pendulum times 1.75, for it is lowered with care (about 2.6 s).
    - walk: two steps, 0.57 of the simple pendulum of leg length (about 1.1 s at 0.93 m, after the
      walking frequencies of Alexander, "Optimization and gaits", 1989).
    - jump: free flight to 0.22 leg lengths, plus 3.1 sqrt(leg / g) on the ground (about 1.35 s).
    """
    height, leg = body.height, body.leg_length
    if action == "jump":
        return _flight(body, JUMP_RISE) + 3.1 * math.sqrt(leg / GRAVITY) / body.tempo
    natural = {
        "wave_one_hand": 0.72 * _pendulum(0.52 * body.arm_length + 0.054 * height),
        "wave_two_hands": _pendulum(body.arm_length + 0.054 * height),
        "jumping_jack": 0.9 * _pendulum(body.arm_length + 0.054 * height),
        "bend": 1.75 * _pendulum(height * (1 - body.leg)),
        "walk": 0.57 * 2 * math.pi * math.sqrt(leg / GRAVITY),
    }
    return natural[action] / body.tempo


def walking_speed(body: Body) -> float:
    """Return metres per second at Froude number v^2 / (g leg) = 0.12, a stroll (comfortable walks: 0.25)."""
    return math.sqrt(0.12 * GRAVITY * body.leg_length) * body.tempo


# Poses


def _ease(u: float) -> float:
    """Return the quintic smooth step of u from 0 to 1, at rest at both ends."""
    u = min(max(u, 0.0), 1.0)
    return u * u * u * (10 + u * (6 * u - 15))


def _hermite(t: float, keys: list[tuple[float, float, float]]) -> float:
    """Return the cubic through (time, value, velocity) keys, which keeps the velocity continuous."""
    i = next((i for i, key in enumerate(keys[1:-1]) if t <= key[0]), len(keys) - 2)
    (t0, y0, v0), (t1, y1, v1) = keys[i], keys[i + 1]
    d = t1 - t0
    u = min(max((t - t0) / d, 0.0), 1.0)
    return (
        y0 * (1 + 2 * u) * (1 - u) ** 2
        + v0 * d * u * (1 - u) ** 2
        + y1 * u * u * (3 - 2 * u)
        - v1 * d * u * u * (1 - u)
    )


def _foot(body: Body, side: float, x: float, yaw: float, spread: float = 0.0) -> np.ndarray:
    """Return (x, y, z, pitch, yaw) of a flat foot's ball, for a pelvis above x; side is 1 (left) or -1."""
    out = side * (0.052 * body.height + spread)
    ahead, c, s = 0.045 * body.height, math.cos(yaw), math.sin(yaw)
    return np.array([x + out * c + ahead * s, 0.0, ahead * c - out * s, 0.0, yaw + side * 0.22])


def _stand(body: Body, x: float, yaw: float, t: float) -> Pose:
    """Return the idle pose: breath of 4 s and a slow sway of about a centimetre."""
    breath = math.sin(2 * math.pi * t / 4.1 + 40 * body.tempo)
    sway = math.sin(2 * math.pi * t / 5.7 + 70 * body.tempo)
    lift = 0.02 * breath
    return {
        # x, rise above straight legs, forward, to the left
        "root": np.array(
            [x, (-0.012 + 0.001 * breath) * body.height, 0.012 * body.height, 0.006 * body.height * sway]
        ),
        # yaw, lean forward, lean to the left, nod, twist of the shoulders
        "trunk": np.array([yaw, 0.03 + 0.01 * breath, -0.012 * sway, 0.05, 0.0]),
        # swing forward and out of the upper arm, the same of the forearm
        "arm_l": np.array([0.02, 0.16 + lift, 0.25, 0.08 + lift]),
        "arm_r": np.array([0.02, 0.16 + lift, 0.25, 0.08 + lift]),
        "foot_l": _foot(body, 1, x, yaw),
        "foot_r": _foot(body, -1, x, yaw),
    }


def _wave_one_hand(figure: Figure, cycle: float, x: float, t: float) -> Pose:
    body, a = figure.body, 2 * math.pi * cycle
    pose = _stand(body, x, 0.15 * figure.facing, t)
    arm, free, side = ("arm_l", "arm_r", 1) if body.left_handed else ("arm_r", "arm_l", -1)
    pose[arm] = np.array([0.0, 2.1 + 0.16 * math.sin(a), 0.0, 2.95 + 0.72 * body.vigour * math.sin(a - 0.6)])
    pose[free][1:] += np.array([0.04, 0.1, 0.05]) * math.sin(a + 2.2)
    pose["trunk"] += np.array([0, 0, -side * (0.06 + 0.03 * math.sin(a - 0.3)), 0, side * 0.03 * math.sin(a)])
    pose["root"][3] += side * 0.006 * body.height * math.sin(a - 0.3)
    return pose


def _wave_two_hands(figure: Figure, cycle: float, x: float, t: float) -> Pose:
    body, a = figure.body, 2 * math.pi * cycle
    pose = _stand(body, x, 0.12 * figure.facing, t)
    out = 2.0 + 0.72 * body.vigour * math.sin(a)
    fore = out + 0.22 + 0.34 * math.sin(a - 0.9)
    pose["arm_l"] = np.array([0.05, out, 0.0, fore])
    pose["arm_r"] = np.array([0.05, out + 0.05 * math.sin(a + 0.4), 0.0, fore])
    pose["root"][1] += 0.006 * body.height * (math.sin(a - 0.5) - 1)
    pose["trunk"] += np.array([0, -0.03 * math.sin(a), 0.015 * math.sin(a / 2), -0.05, 0])
    return pose


def _jumping_jack(figure: Figure, cycle: float, x: float, t: float) -> Pose:
    body, whole = figure.body, period("jumping_jack", figure.body)
    pose = _stand(body, x, 0.1 * figure.facing, t)
    flight = _flight(body, JACK_RISE)
    ground = whole / 2 - flight
    opening, now = cycle % 1.0 < 0.5, (cycle % 0.5) * whole
    wide = 0.24 * body.leg_length * body.vigour
    drop = body.leg_length - math.sqrt(body.leg_length**2 - wide**2)
    low, high = -drop, 0.0
    start, end = (high, low) if opening else (low, high)
    # each half cycle: knees give on the ground, then a flight that carries the feet out or in
    land = (start - end) / flight - GRAVITY * flight / 2
    off = (end - start) / flight + GRAVITY * flight / 2
    air = min(max((now - ground) / flight, 0.0), 1.0)
    if now < ground:
        rise = _hermite(
            now, [(0.0, start, land), (ground / 2, start - 0.08 * body.leg_length, 0.0), (ground, start, off)]
        )
    else:
        s = now - ground
        rise = start + off * s - GRAVITY * s * s / 2
    spread = wide * (_ease(air) if opening else 1 - _ease(air))
    for name, side in (("foot_l", 1), ("foot_r", -1)):
        pose[name] = _foot(body, side, x, pose["trunk"][0], spread)
        pose[name][1] = 4 * air * (1 - air) * JACK_RISE * body.leg_length * 0.8
        pose[name][3] = 0.5 * math.sin(math.pi * air) ** 2
    pose["root"][1] += rise
    up = 0.5 - 0.5 * math.cos(2 * math.pi * (cycle - ground / whole / 2))
    late = 0.5 - 0.5 * math.cos(2 * math.pi * (cycle - ground / whole / 2 - 0.03))
    arm = np.array([0.05, 0.14 + 2.5 * body.vigour**0.5 * up, 0.1, 0.1 + 2.85 * late])
    pose["arm_l"], pose["arm_r"] = arm, arm.copy()
    pose["trunk"][1] += 0.10 * max(-rise - drop, 0) / (0.1 * body.leg_length)
    return pose


def _bend(figure: Figure, cycle: float, x: float, t: float) -> Pose:
    body, u = figure.body, cycle % 1.0
    pose = _stand(body, x, 1.25 * figure.facing, t)
    # down in 0.42 of the cycle, a short touch of the floor, up in 0.44, a breath of rest
    down = _ease(u / 0.42) - _ease((u - 0.44) / 0.44)
    late = _ease((u - 0.03) / 0.42) - _ease((u - 0.46) / 0.44)
    height = body.height
    pose["root"] += np.array([0.0, -0.055 * height * down, -0.085 * height * down, 0.0])
    pose["trunk"] += np.array([0.0, 1.72 * body.vigour**0.5 * down, 0.0, 0.35 * late - 0.1 * down, 0.0])
    for arm in ("arm_l", "arm_r"):
        # the arms hang from the shoulders, so they swing against the trunk
        pose[arm] += np.array([1.75 * late, -0.05 * late, 1.6 * late, 0.0])
    return pose


def _beat(figure: Figure) -> float:
    """Return the seconds of one walk to and fro, at the walking speed in its middle."""
    return figure.roam * 2 * math.pi * 0.97 / math.asin(0.97) / walking_speed(figure.body)


def _path(figure: Figure, seconds: float) -> tuple[float, float]:
    """Return the way from the start in metres and the velocity (-1..1): a triangle wave with round tips."""
    if math.isinf(figure.roam):
        return figure.facing * walking_speed(figure.body) * seconds, figure.facing
    a = 2 * math.pi * seconds / _beat(figure)
    way = math.asin(0.97 * math.sin(a)) / math.asin(0.97)
    return figure.facing * figure.roam * way, figure.facing * math.cos(a) / math.sqrt(
        1 - (0.97 * math.sin(a)) ** 2
    )


def _walk(figure: Figure, cycle: float, x: float, t: float) -> Pose:
    """Return the walking pose; `x` is where the path begins, `cycle` counts strides from its beginning."""
    body, stride = figure.body, period("walk", figure.body)

    def place(c: float) -> tuple[float, float]:
        way, velocity = _path(figure, c * stride)
        return x + way, 1.38 * math.sin(math.pi / 2 * velocity)

    root, yaw = place(cycle)
    speed = abs(_path(figure, cycle * stride)[1])
    pose = _stand(body, root, yaw, t)
    for name, side, offset in (("foot_l", 1, 0.0), ("foot_r", -1, 0.5)):
        # a foot stands still for 0.62 of the stride, placed where the pelvis passes at mid-stance
        n = math.floor(cycle - offset + 0.31)
        u = cycle - offset + 0.31 - n
        foot = _foot(body, side, *place(n + offset))
        strike, off = -0.28 * speed, 0.35 + 0.5 * speed
        if u < 0.62:
            foot[3] = strike * (1 - _ease(u / 0.08)) + off * _ease((u - 0.36) / 0.40) / _ease(0.65)
        else:
            s = (u - 0.62) / 0.38
            foot += (_foot(body, side, *place(n + 1 + offset)) - foot) * _ease(0.1 + 0.9 * s) * _ease(1.6 * s)
            foot[1] = (0.05 + 0.04 * speed) * body.leg_length * math.sin(math.pi * s) ** 2
            foot[3] = off + (strike - off) * _ease(s)
        foot[1] += 0.115 * body.height * math.sin(max(-foot[3], 0.0))
        pose[name] = foot
    a = 2 * math.pi * cycle
    swing = speed * math.sin(a - 0.15)
    pose["root"][1] += body.leg_length * speed * (-0.024 + 0.018 * math.cos(2 * a))
    pose["root"][3] += 0.012 * body.height * math.cos(a)
    pose["trunk"] += np.array([0.0, 0.05 * speed, 0.02 * math.cos(a), 0.02, -0.16 * swing])
    for arm, sign in (("arm_l", 1), ("arm_r", -1)):
        s = sign * swing * body.vigour
        pose[arm] += np.array([0.52 * s, -0.04, 0.18 + 0.62 * s + 0.12 * speed, 0.0])
    return pose


def _jump(figure: Figure, cycle: float, x: float, t: float) -> Pose:
    body, whole = figure.body, period("jump", figure.body)
    pose = _stand(body, x, 0.6 * figure.facing, t)
    flight, leg = _flight(body, JUMP_RISE), body.leg_length
    ground, now = whole - flight, (cycle % 1.0) * whole
    toes, dip, give, off = 0.05 * leg, -0.18 * leg, -0.14 * leg, GRAVITY * flight / 2
    crouch, leave = 0.30 * ground, 0.54 * ground
    land = leave + flight
    rest = land + 0.2 * ground
    before = [(0.0, 0.0, 0.0), (crouch, dip, 0.0), (leave, toes, off)]
    after = [(land, toes, -off), (rest, give, 0.0), (whole, 0.0, 0.0)]
    s = min(max(now - leave, 0.0), flight)
    hop = off * s - GRAVITY * s * s / 2
    airborne = 0.0 < s < flight
    rise = toes + hop if airborne else _hermite(now, before if now <= leave else after)
    pointed = _ease((now - leave + 0.16) / 0.16) - _ease((now - land) / 0.12)
    for name in ("foot_l", "foot_r"):
        pose[name][1] = hop + 0.05 * leg * math.sin(math.pi * s / flight) ** 2
        pose[name][3] = 0.62 * pointed
    squat = max(-rise / (0.18 * leg), 0.0)
    pose["root"][1:3] += np.array([rise, -0.05 * body.height * squat])
    pose["trunk"][1] += 0.55 * squat
    # the arms swing back in the crouch, up with the push and come down with the landing
    swing = [(crouch, -0.85), (leave + 0.3 * flight, 2.55), (rest, 0.55), (whole, 0.0)]
    throw = _hermite(now, [(0.0, 0.0, 0.0), *((at, angle, 0.0) for at, angle in swing)])
    for arm in ("arm_l", "arm_r"):
        pose[arm] += np.array([throw * body.vigour, 0.1, throw * body.vigour + 0.25 * squat, 0.1])
    return pose


_MOTIONS = dict(
    zip(ACTIONS, (_wave_one_hand, _wave_two_hands, _jumping_jack, _bend, _walk, _jump), strict=True)
)


@lru_cache(maxsize=512)
def _timeline(figure: Figure) -> tuple[tuple[str, float, float, float, float], ...]:
    """Return (action, begin, end, phase, x) without gaps or overlaps, from -inf to inf."""
    spans = sorted(figure.spans, key=lambda span: span.start)
    parts, clock, x = [], -math.inf, figure.x
    for i, span in enumerate(spans):
        stop = min(span.stop, spans[i + 1].start) if i + 1 < len(spans) else span.stop
        if stop <= span.start:
            continue
        if span.start > clock:
            parts.append(("stand", clock, span.start, 0.0, x))
        if span.action == "walk":
            begun = span.phase * period("walk", figure.body)
            x -= _path(figure, begun)[0]
            parts.append((span.action, span.start, stop, span.phase, x))
            x += _path(figure, begun + stop - span.start)[0]
        else:
            parts.append((span.action, span.start, stop, span.phase, x))
        clock = stop
    return (*parts, ("stand", clock, math.inf, 0.0, x))


def _pose(figure: Figure, t: float) -> Pose:
    """Return the pose at a time, blended over BLEND seconds around each change of action."""
    poses, weights = [], []
    for action, begin, end, phase, x in _timeline(figure):
        weight = _ease((t - begin) / BLEND + 0.5) - _ease((t - end) / BLEND + 0.5)
        if weight <= 0.0:
            continue
        if action == "stand":
            poses.append(_stand(figure.body, x, 0.15 * figure.facing, t))
        else:
            cycle = phase + (t - begin) / period(action, figure.body)
            poses.append(_MOTIONS[action](figure, cycle, x, t))
        weights.append(weight)
    if len(poses) == 1:
        return poses[0]
    pose = {key: sum(w * p[key] for w, p in zip(weights, poses, strict=True)) for key in poses[0]}
    for foot in ("foot_l", "foot_r"):
        # a foot that has to change its place takes a step instead of sliding there
        way = abs(poses[0][foot][[0, 2]] - poses[-1][foot][[0, 2]]).sum()
        pose[foot][1] += 0.6 * min(way, 0.25) * weights[0] * (1 - weights[0])
    return pose


# Joints


def _turn(yaw: float) -> np.ndarray:
    """Return the matrix from body axes (left, up, forward) to the world; yaw 0 looks at the camera."""
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def _skeleton(body: Body, pose: Pose) -> dict[str, np.ndarray]:
    """Return the joints in world axes; "l_" and "r_" are the person's own left and right."""
    h = body.height
    x, rise, forward, left = pose["root"]
    yaw, lean, tilt, nod, twist = pose["trunk"]
    shoulder, upper, fore = 1 - 1.36 * body.head, 0.56 * body.arm * h, (0.44 * body.arm + 0.054) * h
    c, s = math.cos(lean), math.sin(lean)
    ct, st = math.cos(tilt), math.sin(tilt)
    turn = _turn(yaw)
    frame = turn @ np.array([[ct, st, 0.0], [-st, ct, 0.0], [0.0, 0.0, 1.0]])
    frame = frame @ np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    chest = frame @ _turn(twist)
    pelvis = np.array([x, 0.0, 0.0]) + turn @ np.array([left, body.leg_length + rise, forward])
    neck = pelvis + frame @ np.array([0.0, (shoulder - body.leg) * h, 0.0])
    gaze = np.array([0.0, math.cos(nod), math.sin(nod)])
    joints = {
        "pelvis": pelvis,
        "neck": neck,
        "head": neck + frame @ (0.86 * body.head * h * gaze),
        "crown": neck + frame @ (1.36 * body.head * h * gaze),
        "nose": neck + frame @ (0.80 * body.head * h * gaze + np.array([0.0, 0.0, 0.42 * body.head * h])),
    }
    for key, side in (("l", 1.0), ("r", -1.0)):
        flex, out, flex2, out2 = pose[f"arm_{key}"]
        top = neck + chest @ np.array([side * body.shoulders * h, -0.012 * h, 0.0])
        elbow = top + chest @ (upper * _reach(side, flex, out))
        joints[f"{key}_shoulder"], joints[f"{key}_elbow"] = top, elbow
        joints[f"{key}_hand"] = elbow + chest @ (fore * _reach(side, flex2, out2))
        fx, fy, fz, pitch, foot_yaw = pose[f"foot_{key}"]
        cp, sp, up, back = math.cos(pitch), math.sin(pitch), 0.039 * h, 0.075 * h
        foot, ball = _turn(foot_yaw), np.array([fx, fy, fz])
        ankle = ball + foot @ np.array([0.0, up * cp + back * sp, up * sp - back * cp])
        heel = 0.115 * h
        joints[f"{key}_ball"], joints[f"{key}_ankle"] = ball, ankle
        joints[f"{key}_heel"] = ball + foot @ np.array([0.0, heel * sp, -heel * cp])
        joints[f"{key}_toe"] = ball + foot @ (0.04 * h * np.array([0.0, max(-sp, 0.0), 1.0]))
        hip = pelvis + turn @ np.array([side * 0.052 * h, 0.0, 0.0])
        bone = (body.leg - 0.039) / 2 * h
        joints[f"{key}_hip"] = hip
        joints[f"{key}_knee"] = _knee(
            hip, ankle, bone, 0.5 * (turn + foot) @ np.array([0.25 * side, 0.0, 1.0])
        )
    return joints


def _reach(side: float, flex: float, out: float) -> np.ndarray:
    """Return the direction (left, up, forward) of an arm swung forward by `flex` and sideways by `out`."""
    return np.array([side * math.sin(out), -math.cos(flex) * math.cos(out), math.sin(flex) * math.cos(out)])


def _knee(hip: np.ndarray, ankle: np.ndarray, bone: float, ahead: np.ndarray) -> np.ndarray:
    """Return the knee of two equal bones between hip and ankle, bent towards `ahead`."""
    leg = ankle - hip
    length = math.sqrt(leg @ leg)
    ahead = ahead - leg * (ahead @ leg) / (length * length)
    bulge = math.sqrt(max(bone * bone - length * length / 4, 0.0))
    return hip + leg / 2 + ahead * (bulge / math.sqrt(ahead @ ahead))


def joints(figure: Figure, t: float) -> dict[str, tuple[float, float]]:
    """Return the joints at time t as (x, y) in metres: y above the floor, x along the floor line.

    Names: pelvis, neck, head, crown, nose, and with "l_" or "r_" (the person's own sides) shoulder, elbow,
    hand, hip, knee, ankle, ball, heel, toe.
    """
    return {k: (float(p[0]), float(p[1])) for k, p in _skeleton(figure.body, _pose(figure, float(t))).items()}


# Pictures


def _canvas(size: int) -> int:
    """Return the side in pixels that a frame is drawn at before it is reduced to `size`."""
    return size * max(1, min(max(3, -(-192 // size)), 512 // size))


def _to_pixels(camera: Camera, side: int) -> np.ndarray:
    """Return the 2x3 matrix from metres on the floor line's plane to pixel indices of a square frame."""
    scale = side / camera.view
    c, s = math.cos(camera.roll), math.sin(camera.roll)
    flip = -1.0 if camera.mirror else 1.0
    metres = np.array([[flip, 0.0, -flip * camera.pan], [0.0, -1.0, (0.5 - camera.foot) * camera.view]])
    matrix = scale * (np.array([[c, -s], [s, c]]) @ metres)
    matrix[:, 2] += side / 2 - 0.5
    return matrix


@lru_cache(maxsize=64)
def _cloud(seed: int) -> np.ndarray:
    """Return 256x256 fractal noise of mean 0 and deviation about 1; it repeats at its edges."""
    rng = np.random.default_rng(seed)
    total = np.zeros((256, 256), np.float32)
    for cells in (4, 8, 16, 32, 64, 128):
        grid = np.pad(rng.standard_normal((cells, cells), np.float32), 2, mode="wrap")
        step = 256 // cells
        wide = cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        total += wide[2 * step : 2 * step + 256, 2 * step : 2 * step + 256] * cells**-0.5
    return total / total.std()


def _sample(seed: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the noise at positions counted in tiles of it."""
    at = [(256 * (a % 1.0)).astype(np.float32) for a in (u, v)]
    return cv2.remap(_cloud(seed), *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


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
    u, v = (x - item.x) / item.width + 0.5, (y - item.y) / item.height
    rim_u, rim_v = 0.06 / item.width, 0.06 / item.height
    near = (abs(u - 0.5) < 0.5 + 0.5 * rim_u) & (v > -0.5 * rim_v) & (v < 1 + 0.5 * rim_v)
    wall[near] *= 0.8
    whole = (abs(u - 0.5) < 0.5) & (v > 0) & (v < 1)
    wall[whole] = item.colour
    inner = (abs(u - 0.5) < 0.5 - rim_u) & (v > rim_v) & (v < 1 - rim_v)
    if item.kind == "door":
        panels = (
            inner
            & (abs(u - 0.5) > 0.05)
            & (abs(u - 0.5) < 0.36)
            & (abs(v - 0.47) > 0.05)
            & (abs(v - 0.5) < 0.43)
        )
        wall[panels] *= 0.86
        wall[(u - 0.9) ** 2 * item.width**2 + (v - 0.48) ** 2 * item.height**2 < 0.03**2] = (200, 180, 120)
    elif item.kind == "window":
        glass = inner & (abs(u - 0.5) > rim_u / 3) & (abs(v - 0.55) > rim_v / 3)
        sky = (
            np.float32(item.inside)
            * (0.72 + 0.28 * v + 0.03 * _sample(room.seed + 5, x / 2, y / 2))[..., None]
        )
        wall[glass] = sky[glass]
    else:
        blot = 1 + 0.25 * np.tanh(_sample(room.seed + 6, u / 2, v / 2))[..., None]
        wall[inner] = (np.float32(item.inside) * blot)[inner]


@lru_cache(maxsize=32)
def _background(room: Room, camera: Camera, side: int) -> np.ndarray:
    """Return the still room as a read-only uint8 picture of side x side pixels."""
    inverse = cv2.invertAffineTransform(_to_pixels(camera, side))
    rows, columns = np.mgrid[:side, :side].astype(np.float64)
    x, y = (m[0] * columns + m[1] * rows + m[2] for m in inverse)
    foot = room.depth * camera.tilt
    wall = _wall(room, x, y - foot).astype(np.float32)
    if room.skirting:
        wall[y - foot < room.skirting] = room.trim
        wall[abs(y - foot - room.skirting) < 0.008] *= 0.75
    for item in room.fixtures:
        _hang(room, item, wall, x, y - foot)
    wall *= (1 + 0.07 * room.light * np.clip(x, -2, 2) + 0.05 * (y - 1))[..., None]
    # the eye is 1.5 m above the wall's foot and 5 m before it: lines on the floor run to that point
    nearness = np.maximum(1 - (y - foot) / 1.5, 1.0)
    floor = _floor(room, (x - camera.pan) / nearness + 0.07, 5 / nearness)
    corner = np.clip(0.8 + (foot - y) / 0.25, 0.8, 1.05)
    picture = np.where((y < foot)[..., None], floor * corner[..., None], wall)
    rim = 1 - 0.09 * ((columns / side - 0.5) ** 2 + (rows / side - 0.5) ** 2) / 0.5
    picture = np.clip(picture * rim[..., None], 0, 255).astype(np.uint8)
    picture.flags.writeable = False
    return picture


_CIRCLE = np.stack([np.cos(np.arange(16) * math.pi / 8), np.sin(np.arange(16) * math.pi / 8)], 1)


def _fill(picture: np.ndarray, circles: np.ndarray, colour: np.ndarray) -> None:
    """Fill the convex hull of circles (x, y, radius) in pixels, with edges good to 1/16 of a pixel."""
    points = (circles[:, None, :2] + circles[:, None, 2:] * _CIRCLE).reshape(-1, 2)
    hull = cv2.convexHull((points * 16).astype(np.int32))
    cv2.fillConvexPoly(picture, hull, [min(float(c), 255.0) for c in colour], cv2.LINE_AA, 4)


class _Brush:
    """Draws shaded parts: a dark rim, the cloth, and a lighter core on the side of the light."""

    def __init__(self, picture: np.ndarray, scale: float, light: float, rim: float):
        self.picture, self.scale, self.rim = picture, scale, rim
        self.towards = np.array([0.28 * light, -0.16, 0.0])

    def part(self, pieces: list[tuple[list[tuple[np.ndarray, float]], Colour]], far: bool = False) -> None:
        """Draw pieces, each (circles as (pixel, radius in metres), colour); rims go under all of them."""
        shaped = [
            (
                np.array([(p[0], p[1], r * self.scale) for p, r in circles]),
                np.asarray(colour) * (0.74 if far else 1.0),
            )
            for circles, colour in pieces
        ]
        for circles, colour in shaped:
            _fill(self.picture, circles + [0.0, 0.0, self.rim], colour * 0.5)
        for circles, colour in shaped:
            _fill(self.picture, circles, colour * 0.86)
        for circles, colour in shaped:
            core = circles * [1.0, 1.0, 0.6] + self.towards * circles[:, 2:]
            _fill(self.picture, core, np.minimum(colour * 1.04 + 5, 255))


def _shadow(picture: np.ndarray, spots: list[tuple[np.ndarray, float, float, float]]) -> None:
    """Darken the floor softly around spots (pixel, half width, half height, strength)."""
    side = picture.shape[0]
    top = int(max(min(p[1] - 2.5 * b for p, _, b, _ in spots), 0))
    stop = int(min(max(p[1] + 2.5 * b for p, _, b, _ in spots), side))
    first = int(max(min(p[0] - 2.5 * a for p, a, _, _ in spots), 0))
    last = int(min(max(p[0] + 2.5 * a for p, a, _, _ in spots), side))
    if top >= stop or first >= last:
        return
    rows, columns = np.arange(top, stop, dtype=np.float32), np.arange(first, last, dtype=np.float32)
    light = np.ones((stop - top, last - first), np.float32)
    for (px, py), a, b, strength in spots:
        fall = np.outer(np.exp(-(((rows - py) / b) ** 2)), np.exp(-(((columns - px) / a) ** 2)))
        light *= 1 - strength * fall
    part = picture[top:stop, first:last]
    part[:] = part * light[..., None]


def _paint(picture: np.ndarray, scene: Scene, figure: Figure, t: float) -> None:
    """Draw one figure and its shadow at time t in place."""
    body, h = figure.body, figure.body.height
    world = _skeleton(body, _pose(figure, t))
    matrix = _to_pixels(scene.camera, picture.shape[0])
    near = 1 + figure.depth / 6
    scale = near * picture.shape[0] / scene.camera.view

    def pixel(point: np.ndarray) -> np.ndarray:
        drop = scene.camera.tilt * (near * point[2] + figure.depth)
        return matrix[:, :2] @ (near * point[0], near * point[1] - drop) + matrix[:, 2]

    at = {name: pixel(point) for name, point in world.items()}
    spots = []
    for key in "lr":
        ground, lift = world[f"{key}_ankle"] * [1, 0, 1], max(world[f"{key}_ball"][1], 0.0)
        spots.append((pixel(ground), 0.085 * h * scale, 0.022 * h * scale, 0.5 / (1 + 12 * lift)))
    under = world["pelvis"] * [1, 0, 1]
    spots.append((pixel(under), 0.19 * h * scale, 0.045 * h * scale, 0.3))
    _shadow(picture, spots)

    light = scene.room.light * (-1.0 if scene.camera.mirror else 1.0)
    brush = _Brush(picture, scale, light, max(0.005 * h * scale, 0.5))
    b = body.build * h
    sides = sorted("lr", key=lambda k: world[f"{k}_hip"][2])
    turned = abs(world["l_hip"][2] - world["r_hip"][2]) > 0.05 * h
    middle = 0.5 * (world["l_shoulder"][2] + world["r_shoulder"][2])

    def arm(key: str, far: bool) -> None:
        top, elbow, hand = (at[f"{key}_{j}"] for j in ("shoulder", "elbow", "hand"))
        wrist, cuff = elbow + 0.74 * (hand - elbow), top + 0.62 * (elbow - top)
        sleeve = body.shirt if body.long_sleeves else body.skin
        pieces = [
            ([(wrist, 0.017 * b), (hand, 0.021 * b)], body.skin),
            ([(elbow, 0.025 * b), (wrist, 0.019 * b)], sleeve),
            ([(top, 0.030 * b), (elbow, 0.025 * b)], sleeve),
        ]
        if not body.long_sleeves:
            pieces.append(([(top, 0.034 * b), (cuff, 0.031 * b)], body.shirt))
        brush.part(pieces, far)

    for i, key in enumerate(sides):
        hip, knee, ankle = (at[f"{key}_{j}"] for j in ("hip", "knee", "ankle"))
        sole = [(at[f"{key}_heel"] + (0, -0.018 * h * scale), 0.018 * h), (ankle, 0.020 * h)]
        shoe = [*sole, (at[f"{key}_ball"] + (0, -0.014 * h * scale), 0.017 * h)]
        shoe.append((at[f"{key}_toe"] + (0, -0.010 * h * scale), 0.012 * h))
        long = body.legwear == "trousers"
        pieces = [
            (shoe, body.shoes),
            (
                [(knee, 0.034 * b), (ankle, (0.025 if long else 0.020) * b)],
                body.trousers if long else body.skin,
            ),
            ([(hip, 0.052 * b), (knee, 0.037 * b)], body.trousers if body.legwear != "skirt" else body.skin),
        ]
        brush.part(pieces, far=turned and i == 0)
    far_arms = [k for k in sides if world[f"{k}_shoulder"][2] < middle - 0.04 * h]
    for key in far_arms:
        arm(key, far=True)
    crown, chin, nose = at["crown"], at["neck"], at["nose"]
    skull, r = at["head"], 0.5 * body.head * h
    if body.hair_style == "long":
        brush.part([([(skull, 0.84 * r), (chin + 0.2 * (at["pelvis"] - chin), 0.75 * r)], body.hair)])
    waist = at["pelvis"] + 0.22 * (at["neck"] - at["pelvis"])
    hips = [(at[f"{k}_hip"], 0.050 * b) for k in sides]
    seat = [(waist, 0.058 * b), *hips]
    if body.legwear == "skirt":
        hems = [at[f"{k}_hip"] + 0.85 * (at[f"{k}_knee"] - at[f"{k}_hip"]) for k in sides]
        seat += [(p, 0.055 * b) for p in hems]
    chest = [(at[f"{k}_shoulder"] + (0, 0.022 * b * scale), 0.040 * b) for k in sides]
    belly = [(waist, 0.064 * b), (0.45 * at["pelvis"] + 0.55 * at["neck"], 0.066 * b)]
    hem = [(0.75 * at[f"{k}_hip"] + 0.25 * waist, 0.046 * b) for k in sides]
    brush.part([([(chin, 0.027 * b), (0.5 * (chin + skull), 0.026 * b)], body.skin)])
    brush.part([(seat, body.trousers)])
    brush.part([([*chest, *belly, *hem], body.shirt)])

    face = skull + 0.45 * (nose - skull)
    up = (crown - skull) / max(np.linalg.norm(crown - skull), 1e-6)
    jaw = [(face - up * 0.28 * r * scale, 0.56 * r), (face + up * 0.22 * r * scale, 0.66 * r)]
    whole = [(skull - up * 0.25 * r * scale, 0.66 * r), (skull + up * 0.26 * r * scale, 0.80 * r)]
    scalp = body.skin if body.hair_style == "bald" else body.hair
    if body.hair_style == "bun":
        brush.part([([(crown - (nose - skull) * 0.6, 0.42 * r)], body.hair)])
    brush.part([(whole, scalp)])
    _fill(picture, np.array([(*p, q * scale) for p, q in jaw]), np.minimum(np.asarray(body.skin) * 1.02, 255))
    look = world["nose"] - world["head"]
    across = _turn(math.atan2(look[0], look[2]))[:, 0]
    for offset in (-0.30, 0.30):
        eye = pixel(world["nose"] + offset * r * across) + up * 0.12 * r * scale
        _fill(picture, np.array([(*eye, 0.075 * r * scale)]), np.asarray(body.skin) * 0.3)
    for key in sides:
        if key not in far_arms:
            arm(key, far=False)


@lru_cache(maxsize=32)
def _grain(seed: int, size: int, sigma: float) -> np.ndarray:
    """Return twice as much sensor noise each way as a frame needs, to cut a different part for each time."""
    return np.random.default_rng(seed).normal(0.0, sigma, (2 * size, 2 * size, 3)).round().astype(np.int16)


def render(scene: Scene, times: np.ndarray, size: int) -> np.ndarray:
    """Return the frames of a scene; frame i depends on the scene, times[i] and size only.

    Parameters
    ----------
    scene : Scene
    times : array of float
        Seconds, in any order.
    size : int
        Side of the square frames in pixels.

    Returns
    -------
    array of uint8, (len(times), size, size, 3), RGB.
    """
    camera, side = scene.camera, _canvas(size)
    room = _background(scene.room, camera, side)
    figures = sorted(scene.figures, key=lambda figure: figure.depth)
    levels = np.arange(256)[:, None] * (camera.exposure * np.asarray(camera.balance))
    table = np.clip(levels.round(), 0, 255).astype(np.uint8)[None]
    frames = np.empty((len(times), size, size, 3), np.uint8)
    for frame, t in zip(frames, np.asarray(times, np.float64), strict=True):
        picture = room.copy()
        for figure in figures:
            _paint(picture, scene, figure, float(t))
        small = cv2.LUT(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), table)
        if camera.noise:
            i, j = np.random.default_rng([camera.seed, int(t.view(np.uint64))]).integers(0, size, 2)
            small = np.clip(
                small + _grain(camera.seed, size, camera.noise)[i : i + size, j : j + size], 0, 255
            )
        frame[:] = small
    return frames
