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

from kvzoo.data.worlds.stick_rooms import (
    Camera,
    Colour,
    Room,
    background,
    between,
    canvas,
    draw_camera,
    draw_room,
    grey,
    photograph,
    random_colour,
    shadow,
    tinted,
    to_pixels,
    with_wall,
)

ACTIONS: tuple[str, ...] = ("wave_one_hand", "wave_two_hands", "jumping_jack", "bend", "walk", "jump")
GRAVITY = 9.81
BLEND = 0.36  # seconds from one action's pose to the next one's

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


def draw_body(rng: np.random.Generator) -> Body:
    """Draw a person: one in three is a child, whose head is larger and legs shorter for the height."""
    height = float(rng.uniform(1.15, 1.5) if rng.uniform() < 1 / 3 else rng.uniform(1.5, 2.0))
    growth = min((height - 1.15) / 0.5, 1.0)
    shirt = random_colour(rng, (0.1, 0.9), (0.15, 0.95))
    trousers = random_colour(rng, (0.05, 0.7), (0.12, 0.75))
    if abs(grey(shirt) - grey(trousers)) < 25:
        trousers = tinted(trousers, grey(shirt) + (45 if grey(shirt) < 110 else -45))
    return Body(
        height=height,
        leg=float(0.485 + 0.045 * growth + rng.uniform(-0.012, 0.012)),
        arm=float(0.325 + 0.010 * growth + rng.uniform(-0.012, 0.012)),
        head=float(0.170 - 0.036 * growth + rng.uniform(-0.005, 0.005)),
        shoulders=float(0.112 + rng.uniform(-0.010, 0.014)),
        build=float(rng.uniform(0.88, 1.3)),
        skin=between(rng, (92, 60, 44), (238, 196, 168)),
        hair=between(rng, (25, 20, 18), [(120, 74, 40), (200, 160, 96), (70, 60, 60)][rng.integers(3)]),
        hair_style=str(rng.choice(["short", "short", "long", "bun", "bald"])),
        shirt=shirt,
        long_sleeves=bool(rng.uniform() < 0.6),
        trousers=trousers,
        legwear=str(rng.choice(["trousers", "trousers", "trousers", "shorts", "skirt"])),
        shoes=random_colour(rng, (0.0, 0.6), (0.1, 0.8)),
        left_handed=bool(rng.uniform() < 0.3),
        tempo=float(rng.uniform(0.9, 1.1)),
        vigour=float(rng.uniform(0.88, 1.1)),
    )


def draw_scene(
    rng: np.random.Generator,
    body: Body,
    action: str,
    duration: float,
    room: Room | None = None,
    camera: Camera | None = None,
) -> Scene:
    """Draw one person doing one action from 0 to `duration` seconds at a random phase.

    Room and camera are drawn too where they are not given.

    The frame's height goes with the body's height to the power 0.7, so a child fills a little less of it.
    The wall is re-tinted to the nearest grey level that stands clear of shirt and trousers.
    """
    if action not in ACTIONS:
        raise ValueError(f"unknown action {action!r}; one of {ACTIONS}")
    room, camera = room or draw_room(rng), camera or draw_camera(rng)
    room = with_wall(room, _clear_level(grey(room.wall), body))
    camera = replace(camera, view=camera.view * (body.height / 1.75) ** 0.7 * (1.07 if action == "jump" else 1.0))
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
        "root": np.array([x, (-0.012 + 0.001 * breath) * body.height, 0.012 * body.height, 0.006 * body.height * sway]),
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
    return figure.facing * figure.roam * way, figure.facing * math.cos(a) / math.sqrt(1 - (0.97 * math.sin(a)) ** 2)


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


_MOTIONS = dict(zip(ACTIONS, (_wave_one_hand, _wave_two_hands, _jumping_jack, _bend, _walk, _jump), strict=True))


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


# Joints of many frames at once: an axis or a joint is (3, T), component first


def _rotated(one: np.ndarray, other: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two orthogonal axes turned in their plane, `one` towards `other`."""
    c, s = np.cos(angle), np.sin(angle)
    return c * one + s * other, c * other - s * one


_X, _Y, _Z = np.eye(3)[:, :, None]


def _along(axes: tuple[np.ndarray, ...], *lengths: np.ndarray | float) -> np.ndarray:
    """Return the vector with these lengths along the axes (left, up, forward)."""
    return sum(axis * length for axis, length in zip(axes, lengths, strict=True))


def _skeleton(body: Body, pose: Pose) -> dict[str, np.ndarray]:
    """Return the joints (3, T) in world axes of poses (n, T); "l_" and "r_" are the person's own sides."""
    h = body.height
    x, rise, forward, left = pose["root"]
    yaw, lean, tilt, nod, twist = pose["trunk"]
    shoulder, upper, fore = 1 - 1.36 * body.head, 0.56 * body.arm * h, (0.44 * body.arm + 0.054) * h
    # yaw 0 looks at the camera; then the trunk tilts to the left, leans forward and twists
    ahead, aside = _rotated(_Z, _X, yaw)
    hips = (aside, _Y, ahead)
    up, aside = _rotated(_Y, aside, tilt)
    up, ahead = _rotated(up, ahead, lean)
    trunk = (aside, up, ahead)
    ahead, aside = _rotated(ahead, aside, twist)
    chest = (aside, up, ahead)

    pelvis = x * _X + _along(hips, left, body.leg_length + rise, forward)
    neck = pelvis + up * ((shoulder - body.leg) * h)
    gaze = _along(trunk, 0.0, np.cos(nod), np.sin(nod)) * (body.head * h)
    joints = {"pelvis": pelvis, "neck": neck, "head": neck + 0.86 * gaze, "crown": neck + 1.36 * gaze}
    joints["nose"] = neck + 0.80 * gaze + trunk[2] * (0.42 * body.head * h)
    look = joints["nose"] - joints["head"]
    across = (look[2] * _X - look[0] * _Z) * (0.15 * body.head * h / np.hypot(look[0], look[2]))
    for key, side in (("l", 1.0), ("r", -1.0)):
        joints[f"{key}_eye"] = joints["nose"] + side * across
        flex, out, flex2, out2 = pose[f"arm_{key}"]
        top = neck + _along(chest, side * body.shoulders * h, -0.012 * h, 0.0)
        elbow = top + _along(chest, *_reach(side, flex, out)) * upper
        joints[f"{key}_shoulder"], joints[f"{key}_elbow"] = top, elbow
        joints[f"{key}_hand"] = elbow + _along(chest, *_reach(side, flex2, out2)) * fore
        fx, fy, fz, pitch, foot_yaw = pose[f"foot_{key}"]
        cp, sp, ball = np.cos(pitch), np.sin(pitch), np.stack([fx, fy, fz])
        ahead, aside = _rotated(_Z, _X, foot_yaw)
        foot, rear, heel = (aside, _Y, ahead), 0.075 * h, 0.115 * h
        ankle = ball + _along(foot, 0.0, 0.039 * h * cp + rear * sp, 0.039 * h * sp - rear * cp)
        joints[f"{key}_ball"], joints[f"{key}_ankle"] = ball, ankle
        joints[f"{key}_heel"] = ball + _along(foot, 0.0, heel * sp, -heel * cp)
        joints[f"{key}_toe"] = ball + _along(foot, 0.0, 0.04 * h * np.maximum(-sp, 0.0), 0.04 * h)
        hip = pelvis + hips[0] * (side * 0.052 * h)
        bent = _along(hips, 0.25 * side, 0.0, 1.0) + _along(foot, 0.25 * side, 0.0, 1.0)
        joints[f"{key}_hip"] = hip
        joints[f"{key}_knee"] = _knee(hip, ankle, (body.leg - 0.039) / 2 * h, bent)
    return joints


def _reach(side: float, flex: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the direction (left, up, forward) of an arm swung forward by `flex` and sideways by `out`."""
    return side * np.sin(out), -np.cos(flex) * np.cos(out), np.sin(flex) * np.cos(out)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _knee(hip: np.ndarray, ankle: np.ndarray, bone: float, ahead: np.ndarray) -> np.ndarray:
    """Return the knee of two equal bones between hip and ankle, bent towards `ahead`."""
    leg = ankle - hip
    square = _dot(leg, leg)
    ahead = ahead - leg * (_dot(ahead, leg) / square)
    bulge = np.sqrt(np.maximum(bone * bone - square / 4, 0.0))
    return hip + leg / 2 + ahead * (bulge / np.sqrt(_dot(ahead, ahead)))


def _joints(figure: Figure, times: np.ndarray) -> dict[str, np.ndarray]:
    poses = [_pose(figure, float(t)) for t in times]
    return _skeleton(figure.body, {key: np.array([pose[key] for pose in poses]).T for key in poses[0]})


def joints(figure: Figure, times: np.ndarray) -> dict[str, np.ndarray]:
    """Return the joints at times in seconds as (T, 2) metres: x along the floor line, y above the floor.

    Names: pelvis, neck, head, crown, nose, and with "l_" or "r_" (the person's own sides) eye, shoulder,
    elbow, hand, hip, knee, ankle, ball, heel, toe.
    """
    return {name: point[:2].T for name, point in _joints(figure, np.atleast_1d(times)).items()}


# Pictures


@dataclass(frozen=True)
class _Piece:
    """The convex hull of circles, each (pixels (2, T), radius in metres).

    `layers` is 1 for the colour alone, 2 with a dark rim beneath, 3 with a lighter core on the side of the light.
    """

    circles: tuple[tuple[np.ndarray, float], ...]
    colour: Colour
    layers: int = 3

    def paints(self, dim: float) -> tuple[tuple[float, ...] | None, ...]:
        """Return the colours of rim, cloth and core, None for those that are left out."""
        colour = np.asarray(self.colour) * dim
        rim, cloth, core = colour * 0.5, colour * 0.86, np.minimum(colour * 1.04 + 5, 255)
        every = ((None, colour, None), (rim, cloth, None), (rim, cloth, core))[self.layers - 1]
        return tuple(None if c is None else tuple(float(v) for v in c) for c in every)


def _arm(body: Body, top: np.ndarray, elbow: np.ndarray, hand: np.ndarray) -> list[_Piece]:
    b = body.build * body.height
    wrist, cuff = elbow + 0.74 * (hand - elbow), top + 0.62 * (elbow - top)
    sleeve = body.shirt if body.long_sleeves else body.skin
    pieces = [
        _Piece(((wrist, 0.017 * b), (hand, 0.021 * b)), body.skin, 2),
        _Piece(((elbow, 0.025 * b), (wrist, 0.019 * b)), sleeve),
        _Piece(((top, 0.030 * b), (elbow, 0.025 * b)), sleeve),
    ]
    return pieces if body.long_sleeves else [*pieces, _Piece(((top, 0.034 * b), (cuff, 0.031 * b)), body.shirt)]


def _leg(body: Body, key: str, at: dict[str, np.ndarray], metre: float) -> list[_Piece]:
    h, b = body.height, body.build * body.height
    hip, knee, ankle, heel, ball, toe = (at[f"{key}_{j}"] for j in ("hip", "knee", "ankle", "heel", "ball", "toe"))
    up = np.array([[0.0], [-h * metre]])
    sole = ((heel + 0.018 * up, 0.018 * h), (ankle, 0.020 * h))
    tip = ((ball + 0.014 * up, 0.017 * h), (toe + 0.010 * up, 0.012 * h))
    calf = (body.trousers, 0.025) if body.legwear == "trousers" else (body.skin, 0.020)
    return [
        _Piece((*sole, *tip), body.shoes),
        _Piece(((knee, 0.034 * b), (ankle, calf[1] * b)), calf[0]),
        _Piece(((hip, 0.052 * b), (knee, 0.037 * b)), body.skin if body.legwear == "skirt" else body.trousers),
    ]


def _parts(body: Body, at: dict[str, np.ndarray], metre: float) -> dict[str, list[_Piece]]:
    """Return the parts of a body; rims go under all pieces of a part. `metre` is its length in pixels."""
    b, r = body.build * body.height, 0.5 * body.head * body.height
    pelvis, chin, skull, crown, nose = (at[j] for j in ("pelvis", "neck", "head", "crown", "nose"))
    hips, shoulders = ([at[f"{k}_{j}"] for k in "lr"] for j in ("hip", "shoulder"))
    waist = pelvis + 0.22 * (chin - pelvis)
    seat = [(waist, 0.058 * b), *((p, 0.050 * b) for p in hips)]
    if body.legwear == "skirt":
        seat += [(p + 0.85 * (at[f"{k}_knee"] - p), 0.055 * b) for k, p in zip("lr", hips, strict=True)]
    chest = [(p + [[0.0], [0.022 * b * metre]], 0.040 * b) for p in shoulders]
    chest += [(waist, 0.064 * b), (0.45 * pelvis + 0.55 * chin, 0.066 * b)]
    chest += [(0.75 * p + 0.25 * waist, 0.046 * b) for p in hips]

    face, up = skull + 0.45 * (nose - skull), crown - skull
    up = up * (r * metre / np.maximum(np.hypot(*up), 1e-6))
    scalp = body.skin if body.hair_style == "bald" else body.hair
    light, dark = (tuple(v * part for v in body.skin) for part in (1.02, 0.3))
    parts = {f"{k}_leg": _leg(body, k, at, metre) for k in "lr"}
    parts |= {f"{k}_arm": _arm(body, *(at[f"{k}_{j}"] for j in ("shoulder", "elbow", "hand"))) for k in "lr"}
    if body.hair_style == "long":
        parts["mane"] = [_Piece(((skull, 0.84 * r), (chin + 0.2 * (pelvis - chin), 0.75 * r)), body.hair)]
    parts["neck"] = [_Piece(((chin, 0.027 * b), (0.5 * (chin + skull), 0.026 * b)), body.skin, 2)]
    parts["seat"] = [_Piece(tuple(seat), body.trousers)]
    parts["chest"] = [_Piece(tuple(chest), body.shirt)]
    if body.hair_style == "bun":
        parts["bun"] = [_Piece(((crown - (nose - skull) * 0.6, 0.42 * r),), body.hair)]
    parts["skull"] = [_Piece(((skull - 0.25 * up, 0.66 * r), (skull + 0.26 * up, 0.80 * r)), scalp)]
    parts["face"] = [_Piece(((face - 0.28 * up, 0.56 * r), (face + 0.22 * up, 0.66 * r)), light, 1)]
    parts["face"] += [_Piece(((at[f"{k}_eye"] + 0.12 * up, 0.095 * r),), dark, 1) for k in "lr"]
    return parts


def _order(parts: dict[str, list[_Piece]], world: dict[str, np.ndarray], h: float, i: int) -> list[tuple[str, bool]]:
    """Return the parts of frame i from the farthest to the nearest, with True for those that are in the shade."""
    hip, shoulder = ({k: world[f"{k}_{j}"][2, i] for k in "lr"} for j in ("hip", "shoulder"))
    sides = sorted("lr", key=hip.get)
    middle = 0.5 * (shoulder["l"] + shoulder["r"])
    far = [k for k in sides if shoulder[k] < middle - 0.04 * h]
    sideways = abs(hip["l"] - hip["r"]) > 0.05 * h
    order = [(f"{sides[0]}_leg", sideways), (f"{sides[1]}_leg", False), *((f"{k}_arm", True) for k in far)]
    order += [(name, False) for name in parts if name[1] != "_"]
    return order + [(f"{k}_arm", False) for k in sides if k not in far]


SOFT = 0.6  # pixels that OpenCV's antialiasing adds to the radius of a filled circle, at any radius
_CIRCLE = np.stack([np.cos(np.arange(16) * math.pi / 8), np.sin(np.arange(16) * math.pi / 8)], 1)


def _circles(parts: dict[str, list[_Piece]], metre: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the centres (T, circles, 2) and radii (circles, 1) in pixels of all pieces in turn."""
    circles = [circle for pieces in parts.values() for piece in pieces for circle in piece.circles]
    centres = np.stack([centre for centre, _ in circles]).transpose(2, 0, 1)
    return centres, np.array([[radius] for _, radius in circles]) * metre


def _outlines(centres: np.ndarray, radius: np.ndarray, rim: float, light: float) -> np.ndarray:
    """Return points whose hulls are the pieces, int32 (T, rim or cloth or core, circles * 16, 2) in 1/16 pixels."""
    rings = [np.maximum(r - SOFT, 0.0)[..., None] * _CIRCLE for r in (radius + rim, radius, 0.6 * radius)]
    rings[2] += (radius * [0.28 * light, -0.16])[:, None]
    points = (16 * centres)[:, None, :, None] + 16 * np.stack(rings)
    return points.astype(np.int32).reshape(len(centres), 3, -1, 2)


EDGE = 0.01  # of the picture's side that a body must reach into it before it is drawn


class _Drawn:
    """A figure at some times, ready to be painted: outlines, colours, order of parts and shadows."""

    def __init__(self, scene: Scene, figure: Figure, times: np.ndarray, side: int):
        body, camera = figure.body, scene.camera
        h, near = body.height, 1 + figure.depth / 6
        metre, matrix = near * side / camera.view, to_pixels(camera, side)

        def pixels(point: np.ndarray) -> np.ndarray:
            x, y = near * point[0], near * point[1] - camera.tilt * (near * point[2] + figure.depth)
            return np.stack([m[0] * x + m[1] * y + m[2] for m in matrix])

        world = _joints(figure, times)
        parts = _parts(body, {name: pixels(point) for name, point in world.items()}, metre)
        centres, radius = _circles(parts, metre)
        edge = EDGE * side - 0.5
        self.seen = ((centres + radius > edge) & (centres - radius < side - 1 - edge)).all(2).any(1)
        light = scene.room.light * (-1.0 if camera.mirror else 1.0)
        self.points = _outlines(centres, radius, max(0.005 * h * metre, 0.5), light)
        self.orders = [_order(parts, world, h, i) for i in range(len(times))]
        # of each part and shade: (layer, first point, last point, colour), the rims of all pieces first
        self.fills, first = {}, 0
        for name, pieces in parts.items():
            ends = first + 16 * np.cumsum([0, *(len(piece.circles) for piece in pieces)])
            for shade in (False, True):
                paints = [piece.paints(0.74 if shade else 1.0) for piece in pieces]
                self.fills[name, shade] = [
                    (layer, int(ends[i]), int(ends[i + 1]), paint[layer])
                    for layer in range(3)
                    for i, paint in enumerate(paints)
                    if paint[layer] is not None
                ]
            first = int(ends[-1])
        self.spots = np.empty((len(times), 3, 5))
        for i, name in enumerate(("l_ankle", "r_ankle", "pelvis")):
            self.spots[:, i, :2] = pixels(world[name] * [[1.0], [0.0], [1.0]]).T
        self.spots[:, :, 2:4] = np.array([[0.085, 0.022], [0.085, 0.022], [0.19, 0.045]]) * (h * metre)
        lift = np.stack([np.maximum(world[f"{k}_ball"][1], 0.0) for k in "lr"], 1)
        self.spots[:, :2, 4], self.spots[:, 2, 4] = 0.5 / (1 + 12 * lift), 0.3

    def paint(self, picture: np.ndarray, i: int) -> None:
        """Draw the figure and its shadow at the i-th time in place; nothing where the body is out of the picture."""
        if not self.seen[i]:
            return
        shadow(picture, self.spots[i])
        for part in self.orders[i]:
            for layer, first, last, colour in self.fills[part]:
                hull = cv2.convexHull(self.points[i, layer, first:last])
                cv2.fillConvexPoly(picture, hull, colour, cv2.LINE_AA, 4)


def seen(scene: Scene, figure: Figure, times: np.ndarray) -> np.ndarray:
    """Return bool (T,): where any of a figure's body is in the picture; elsewhere its shadow is not drawn either."""
    return _Drawn(scene, figure, np.asarray(times, np.float64), 64).seen


BLOCK = 64  # frames whose outlines are in memory together


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
    camera, side = scene.camera, canvas(size)
    room = background(scene.room, camera, side)
    figures = sorted(scene.figures, key=lambda figure: figure.depth)
    times = np.asarray(times, np.float64)
    frames = np.empty((len(times), size, size, 3), np.uint8)
    for n, t in enumerate(times):
        if n % BLOCK == 0:
            pictures = [_Drawn(scene, figure, times[n : n + BLOCK], side) for figure in figures]
        picture = room.copy()
        for figure in pictures:
            figure.paint(picture, n % BLOCK)
        frames[n] = photograph(camera, picture, t, size)
    return frames
