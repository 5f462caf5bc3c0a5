"""Textures and shapes with the statistics of photographs, for the built-in source `moving_scenes`.

Dead leaves (opaque shapes of all sizes over one another) have the edges and the power spectrum of natural images
(Lee, Mumford and Huang, "Occlusion Models for Natural Images", IJCV 2001); 1/f noise has the spectrum without the
edges; the others bring what these lack: repetition, text, thin lines, smooth shading.
Every texture and shape is a function of its seed alone.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np

SIDE = 512  # pixels of a texture
SHAPE_SIDE = 256  # pixels of a shape
FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789&?!.,:-"


def palette(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return RGB colours (count, 3), float32 in 0..1: near a few hues, from dark to light, from grey to saturated."""
    hues = rng.uniform(0, 360, rng.integers(1, 5))
    hue = (rng.choice(hues, count) + rng.normal(0, rng.uniform(3, 25), count)) % 360
    saturation = np.clip(rng.beta(1.2, 2.0) * rng.uniform(0.2, 1.8, count), 0, 1)
    value = np.clip(rng.beta(2, 2) + rng.normal(0, rng.uniform(0.05, 0.3), count), 0.02, 1)
    return cv2.cvtColor(np.float32([np.stack([hue, saturation, value], -1)]), cv2.COLOR_HSV2RGB)[0]


def noise(rng: np.random.Generator, side: int, slope: float, stretch: float = 1.0) -> np.ndarray:
    """Return (side, side) float32 of zero mean and unit variance, whose amplitude falls as 1 / frequency ** slope.

    Args:
        rng: makes it.
        side: pixels.
        slope: of the spectrum.
        stretch: how many times longer its grain is across than down.
    """
    y, x = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)
    frequency = np.hypot(y, x * stretch)
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal((side, side), dtype=np.float32)) / frequency**slope
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, (side, side)).astype(np.float32)
    return field / max(float(field.std()), 1e-6)


def _leaves(rng: np.random.Generator, side: int) -> np.ndarray:
    """Return the number of the leaf at each pixel, int32 (side, side)."""
    form = rng.choice(["ellipse", "polygon", "box", "mixed"], p=[0.3, 0.25, 0.15, 0.3])
    least, most = side * rng.uniform(0.006, 0.02), side * rng.uniform(0.1, 0.35)
    count = int(rng.integers(800, 2500))
    # Areas of a power law: radii with density r^-3 look alike at all scales.
    share = rng.uniform(0, 1, count)
    radii = (most**-2 + share * (least**-2 - most**-2)) ** -0.5
    places = rng.uniform(-0.05, 1.05, (count, 2)) * side
    turns, longs = rng.uniform(0, 360, count), rng.uniform(0.3, 1.0, count)
    if form == "box":
        turns = np.round(turns / 90) * 90 + rng.uniform(-4, 4)
    ids = np.zeros((side, side), np.int32)
    for number, (radius, (x, y), turn, long) in enumerate(zip(radii, places, turns, longs, strict=True), 1):
        kind = form if form != "mixed" else ("ellipse", "polygon", "box")[number % 3]
        if kind == "ellipse":
            cv2.ellipse(ids, ((x, y), (2 * radius, 2 * radius * long), turn), number, -1)
            continue
        if kind == "box":
            corners = cv2.boxPoints(((x, y), (2 * radius, 2 * radius * long), turn))
        else:
            angles = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(3, 9))))
            reach = radius * rng.uniform(0.5, 1.2, len(angles))
            corners = np.stack([x + reach * np.cos(angles), y + reach * long * np.sin(angles)], -1)
        cv2.fillPoly(ids, [np.round(corners).astype(np.int32)], number)
    return ids


def dead_leaves(rng: np.random.Generator, side: int = SIDE) -> np.ndarray:
    """Return leaves of all sizes, each with a colour, a fall of light and a grain of its own."""
    fine = 2 * side
    ids = _leaves(rng, fine)
    count = int(ids.max()) + 1
    colours = palette(rng, count)
    slopes = rng.normal(0, rng.uniform(0, 0.5), (count, 2)).astype(np.float32)
    grain = (rng.uniform(0, 1, count) ** 2 * rng.uniform(0, 0.25)).astype(np.float32)
    grid = (np.arange(fine, dtype=np.float32) / fine) - 0.5
    light = slopes[ids, 0] * grid + slopes[ids, 1] * grid[:, None]
    field = cv2.resize(noise(rng, side, rng.uniform(0.3, 1.2)), (fine, fine), interpolation=cv2.INTER_LINEAR)
    picture = colours[ids] * (1 + light + grain[ids] * field)[..., None]
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def clouds(rng: np.random.Generator, side: int = SIDE) -> np.ndarray:
    """Return coloured 1/f noise: two or three independent fields in a plane of colours."""
    base, slope, stretch = palette(rng, 1)[0], rng.uniform(0.7, 1.8), math.exp(rng.normal(0, 0.6))
    strength = rng.uniform(0.05, 0.3)
    picture = np.tile(base, (side, side, 1)) + 0
    picture += (noise(rng, side, slope, stretch) * strength)[..., None]
    tint = palette(rng, 2)
    picture += (noise(rng, side, slope + 0.2, stretch) * strength * 0.5)[..., None] * (tint[0] - tint[1])
    return picture


def relief(rng: np.random.Generator, side: int = SIDE) -> np.ndarray:
    """Return a rough surface, such as rock, bark or cloth, lit from one side."""
    height = noise(rng, side, rng.uniform(1.2, 2.2), math.exp(rng.normal(0, 0.7)))
    bumps = rng.uniform(2, 12)
    down, across = cv2.Sobel(height, cv2.CV_32F, 0, 1), cv2.Sobel(height, cv2.CV_32F, 1, 0)
    turn = rng.uniform(0, 2 * math.pi)
    slope = bumps * (math.cos(turn) * across + math.sin(turn) * down)
    shade = 0.55 + 0.45 * slope / np.sqrt(1 + slope**2)
    colours = palette(rng, 2)
    mix = np.clip(0.5 + 0.25 * noise(rng, side, 1.5), 0, 1)[..., None]
    return (colours[0] * mix + colours[1] * (1 - mix)) * (0.3 + 0.9 * shade)[..., None]


def pattern(rng: np.random.Generator, side: int = SIDE) -> np.ndarray:
    """Return stripes, checks, bricks, dots, windows or a weave, a little uneven."""
    colours = palette(rng, 3)
    pitch, turn = side / rng.uniform(6, 60), rng.uniform(0, 2 * math.pi)
    grid = np.arange(side, dtype=np.float32)
    # Lines bend a little.
    bend = noise(rng, side, 2.5) * rng.uniform(0, 0.25) * pitch
    u = (math.cos(turn) * grid + math.sin(turn) * grid[:, None] + bend) / pitch
    v = (-math.sin(turn) * grid + math.cos(turn) * grid[:, None] - bend) / pitch * rng.uniform(0.5, 1.5)
    edge = pitch / 1.5  # an edge is about a pixel and a half wide

    def step(wave):
        return np.clip(0.5 + wave * edge, 0, 1)

    def wave(x, share=0.5):
        return share / 2 - np.abs((x % 1.0) - 0.5)

    kind = rng.choice(["stripes", "checks", "bricks", "dots", "windows", "weave", "waves"])
    if kind == "stripes":
        mask = step(wave(u, rng.uniform(0.2, 1.2)))
    elif kind == "checks":
        mask = np.abs(step(wave(u)) - step(wave(v)))
    elif kind == "bricks":
        mask = step(wave(u + 0.5 * (np.floor(v) % 2), 0.9)) * step(wave(v, 0.85))
    elif kind == "dots":
        mask = step(rng.uniform(0.15, 0.45) - np.hypot(u % 1 - 0.5, v % 1 - 0.5))
    elif kind == "windows":
        mask = step(wave(u, rng.uniform(0.3, 0.8))) * step(wave(v, rng.uniform(0.3, 0.8)))
    elif kind == "weave":
        mask = 0.5 + 0.25 * (np.sin(2 * math.pi * u) + np.sin(2 * math.pi * v))
    else:
        mask = 0.5 + 0.5 * np.sin(2 * math.pi * (u + 0.3 * np.sin(2 * math.pi * v / 3)))
    picture = colours[0] + mask[..., None] * (colours[1] - colours[0])
    # No two bricks are alike.
    cell = (np.floor(u + 0.5 * (np.floor(v) % 2)).astype(np.int64) * 7919 + np.floor(v).astype(np.int64) * 104729) % 997
    shades = rng.normal(0, rng.uniform(0, 0.15), 997).astype(np.float32)
    picture *= (1 + shades[cell] * mask + rng.uniform(0, 0.12) * noise(rng, side, 0.8))[..., None]
    return picture


def text(rng: np.random.Generator, side: int = SIDE) -> np.ndarray:
    """Return lines of letters on an almost even ground."""
    ground, ink, other = palette(rng, 3)
    if abs(float(ground.mean() - ink.mean())) < 0.3:
        ink = 1 - ground if rng.integers(2) else np.float32([0.02, 0.02, 0.05]) + (ground.mean() < 0.4) * 0.9
    picture = np.tile(ground, (side, side, 1)).astype(np.float32)
    picture += (noise(rng, side, 1.8) * rng.uniform(0, 0.06))[..., None]
    # OpenCV writes on 8 bits only.
    picture = np.clip(picture * 255, 0, 255).astype(np.uint8)
    y = 0.0
    while y < side:
        size = side * math.exp(rng.uniform(math.log(0.02), math.log(0.2)))
        y += size * rng.uniform(1.1, 1.8)
        words = "".join(rng.choice(list(LETTERS + "     "), int(rng.integers(4, 60))))
        colour = tuple(float(c) for c in 255 * (ink if rng.integers(4) else other))
        scale, thick = size / 30, max(1, round(size / rng.uniform(7, 18)))
        place = (int(rng.uniform(-0.2, 0.2) * side), int(y))
        cv2.putText(picture, words, place, int(rng.choice(FONTS)), scale, colour, thick, cv2.LINE_AA)
        if rng.integers(4) == 0:
            top, thickness = int(y + size * 0.3), max(1, int(size / 12))
            cv2.line(picture, (0, top), (side, top), colour, thickness, cv2.LINE_AA)
    return picture / np.float32(255)


def lines(rng: np.random.Generator, side: int = SIDE) -> np.ndarray:
    """Return grass, twigs, hair or wires: many thin bent lines over a soft ground."""
    picture = clouds(rng, side)
    colours = palette(rng, 12)
    turn, spread = rng.uniform(0, 2 * math.pi), rng.uniform(0.05, 1.5)
    count, thick = int(rng.integers(60, 900)), rng.uniform(1, 5)
    length = side * rng.uniform(0.05, 0.5)
    at = np.linspace(0, 1, 9)
    for _ in range(count):
        angle = turn + rng.normal(0, spread) + at * rng.normal(0, 0.8)
        step = length * rng.uniform(0.4, 1.2) / len(at)
        x = rng.uniform(0, side) + np.cumsum(np.cos(angle)) * step
        y = rng.uniform(0, side) + np.cumsum(np.sin(angle)) * step
        points = np.round(np.stack([x, y], -1) * 16).astype(np.int32)
        colour = tuple(float(c) for c in colours[rng.integers(12)] * rng.uniform(0.6, 1.2))
        cv2.polylines(
            picture, [points], False, colour, max(1, round(thick * rng.uniform(0.4, 1.2))), cv2.LINE_AA, shift=4
        )
    return picture


def gradient(rng: np.random.Generator, side: int = SIDE) -> np.ndarray:
    """Return a smooth fall of light, as of sky, skin or a painted wall, with hardly any grain."""
    colours = palette(rng, 3)
    fields = [np.clip(0.5 + 0.3 * noise(rng, side, rng.uniform(2.2, 3.0)), 0, 1)[..., None] for _ in range(2)]
    picture = colours[0] + fields[0] * (colours[1] - colours[0]) + fields[1] * (colours[2] - colours[0]) * 0.5
    return picture + (noise(rng, side, rng.uniform(0.0, 1.0)) * rng.uniform(0, 0.02))[..., None]


# How often each is drawn.
KINDS: dict[Callable[..., np.ndarray], float] = {
    dead_leaves: 0.34,
    clouds: 0.1,
    relief: 0.16,
    pattern: 0.14,
    text: 0.08,
    lines: 0.1,
    gradient: 0.08,
}


def texture(seed: tuple[int, ...]) -> np.ndarray:
    """Return an RGB texture, uint8 (SIDE, SIDE, 3)."""
    rng = np.random.default_rng(seed)
    kinds, shares = list(KINDS), list(KINDS.values())
    picture = kinds[rng.choice(len(kinds), p=shares)](rng)
    if rng.uniform() < 0.3:
        # Something of another kind on it: stains, leaves on a wall, writing.
        other = kinds[rng.choice(len(kinds), p=shares)](rng)
        mask = np.clip((noise(rng, SIDE, rng.uniform(1.3, 2.2)) - rng.uniform(0, 1)) * rng.uniform(1, 12), 0, 1)
        picture = picture + mask[..., None] * (other - picture)
    low, high = rng.uniform(0, 0.15), rng.uniform(0.75, 1.0)
    return np.clip(np.rint((low + (high - low) * picture) * 255), 0, 255).astype(np.uint8)


def pyramid(picture: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return a picture, its half, its quarter and its eighth."""
    levels = [picture]
    for _ in range(3):
        height, width = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA))
    return tuple(levels)


# Shapes: how much of a pixel they cover


def _blob(rng: np.random.Generator) -> np.ndarray:
    """Return the outline of a rounded body with bumps and bays, (N, 2) in -1..1."""
    angle = np.linspace(0, 2 * math.pi, 96, endpoint=False)
    radius = np.ones_like(angle)
    for k in range(2, 9):
        radius += rng.normal(0, 0.35 / k) * np.cos(k * angle + rng.uniform(0, 2 * math.pi))
    radius = np.clip(radius, 0.15, None)
    return np.stack([np.cos(angle) * radius, np.sin(angle) * radius * rng.uniform(0.4, 1)], -1)


def _star(rng: np.random.Generator) -> np.ndarray:
    count = int(rng.integers(3, 12))
    angle = np.sort(rng.uniform(0, 2 * math.pi, count))
    radius = rng.uniform(0.3, 1, count)
    return np.stack([np.cos(angle) * radius, np.sin(angle) * radius], -1)


def _box(rng: np.random.Generator) -> np.ndarray:
    tall, lean = rng.uniform(0.2, 1), rng.uniform(-0.2, 0.2)
    return np.array([[-1 + lean, -tall], [1 + lean, -tall], [1 - lean, tall], [-1 - lean, tall]])


def shape(seed: tuple[int, ...]) -> np.ndarray:
    """Return uint8 (SHAPE_SIDE, SHAPE_SIDE, 2): how much of each pixel a shape covers, and a relief of it.

    Bodies, boxes, stars, discs, words, lattices, twigs, figures of limbs; nothing touches the border. The relief is
    brighter on one side, as that of a round body is; it is 128 on average.
    """
    rng = np.random.default_rng(seed)
    fine = 2 * SHAPE_SIDE
    mask, middle, reach = np.zeros((fine, fine), np.uint8), fine / 2, 0.46 * fine
    kind = rng.choice(
        ["blob", "box", "star", "disc", "word", "lattice", "twig", "limbs"],
        p=[0.36, 0.12, 0.1, 0.08, 0.07, 0.05, 0.08, 0.14],
    )

    def polygon(points: np.ndarray, value: int = 255) -> None:
        points = points / np.abs(points).max()
        cv2.fillPoly(mask, [np.round(middle + reach * points).astype(np.int32)], value)

    def at(*points: np.ndarray) -> list[tuple[int, int]]:
        return [tuple(int(v) for v in np.round(middle + reach * np.asarray(p))) for p in points]

    if kind == "blob":
        polygon(_blob(rng))
        if rng.uniform() < 0.15:
            hole = _blob(rng) * 0.4
            cv2.fillPoly(mask, [np.round(middle + reach * 0.5 * hole).astype(np.int32)], 0)
    elif kind == "box":
        polygon(_box(rng))
    elif kind == "star":
        polygon(_star(rng))
    elif kind == "disc":
        ring = int(reach * rng.uniform(0.1, 0.4)) if rng.integers(2) else -1
        radius = int(reach - (ring // 2 if ring > 0 else 0))
        cv2.ellipse(mask, at((0, 0))[0], (radius, int(radius * rng.uniform(0.5, 1))), 0, 0, 360, 255, ring)
    elif kind == "word":
        word, font = "".join(rng.choice(list(LETTERS), int(rng.integers(1, 6)))), int(rng.choice(FONTS))
        (width, height), _ = cv2.getTextSize(word, font, 1.0, 1)
        scale = min(1.7 * reach / width, 1.5 * reach / height)
        place = (int(middle - scale * width / 2), int(middle + scale * height / 2))
        cv2.putText(mask, word, place, font, scale, 255, max(2, round(scale * rng.uniform(1.5, 4))))
    elif kind == "lattice":
        count, thick = int(rng.integers(2, 9)), int(fine * rng.uniform(0.008, 0.04))
        for x in np.linspace(-0.95, 0.95, count):
            cv2.line(mask, *at((x, -0.95), (x, 0.95)), 255, thick)
            if rng.integers(2):
                cv2.line(mask, *at((-0.95, x), (0.95, x)), 255, thick)
    elif kind == "twig":
        tips = [(np.zeros(2) + [0, 0.9], -math.pi / 2, 0.5, fine * 0.03)]
        for _ in range(int(rng.integers(6, 40))):
            start, angle, length, thick = tips.pop(0)
            for _ in range(2):
                turn = angle + rng.normal(0, 0.5)
                end = np.clip(
                    start + length * rng.uniform(0.5, 1.1) * np.array([math.cos(turn), math.sin(turn)]), -1, 1
                )
                cv2.line(mask, *at(start, end), 255, max(2, round(thick)))
                if rng.integers(3) == 0:
                    cv2.circle(mask, at(end)[0], int(fine * rng.uniform(0.01, 0.04)), 255, -1)
                tips.append((end, turn, length * 0.7, thick * 0.7))
    else:
        hub, width = np.zeros(2), fine * rng.uniform(0.05, 0.12)
        cv2.line(mask, *at((0, -0.35), (0, 0.25)), 255, int(2.2 * width))
        cv2.circle(mask, at((rng.normal(0, 0.05), -0.7))[0], int(1.2 * width), 255, -1)
        for hub in ((0, -0.3), (0, -0.3), (0, 0.25), (0, 0.25)):
            angle, joint = rng.uniform(0, math.pi) if hub[1] > 0 else rng.uniform(0, 2 * math.pi), np.array(hub)
            for _ in range(2):
                end = joint + 0.36 * np.array([math.cos(angle), math.sin(angle)])
                cv2.line(mask, *at(joint, end), 255, int(width))
                joint, angle = end, angle + rng.normal(0, 0.7)
    mask[:2], mask[-2:], mask[:, :2], mask[:, -2:] = 0, 0, 0, 0
    mask = cv2.resize(mask, (SHAPE_SIDE, SHAPE_SIDE), interpolation=cv2.INTER_AREA)
    small = cv2.resize(mask, (SHAPE_SIDE // 2, SHAPE_SIDE // 2), interpolation=cv2.INTER_AREA).astype(np.float32)
    depth = cv2.GaussianBlur(small, (0, 0), SHAPE_SIDE / 2 * rng.uniform(0.01, 0.08))
    turn = rng.uniform(0, 2 * math.pi)
    slope = math.cos(turn) * cv2.Sobel(depth, cv2.CV_32F, 1, 0) + math.sin(turn) * cv2.Sobel(depth, cv2.CV_32F, 0, 1)
    slope *= 100 / max(float(np.abs(slope).max()), 1.0)
    slope = cv2.resize(slope, (SHAPE_SIDE, SHAPE_SIDE))
    return np.stack([mask, np.clip(128 + slope, 0, 255).astype(np.uint8)], -1)
