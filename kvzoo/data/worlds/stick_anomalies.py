"""The built-in source `stick_anomalies`: an action that another one or an intruder interrupts, labelled by the frame."""

from dataclasses import replace

import numpy as np

from kvzoo.data.source import Source, Video, square
from kvzoo.data.worlds.stick_actions import FPS, in_dark_clothes, light_room
from kvzoo.data.worlds.stick_figures import (
    ACTIONS,
    BLEND,
    Body,
    Figure,
    Scene,
    Span,
    draw_body,
    draw_scene,
    period,
    render,
    seen,
    walking_speed,
)
from kvzoo.errors import InputError, did_you_mean

PARTS = ("normal", "test")
INTRUDER = "intruder"
SHORTEST, LONGEST = 0.8, 2.5  # seconds that an anomaly is visible; of an intruder's, about
APART = 0.8  # seconds of the normal action before, between and after anomalies, at least
HOW_MANY = (0.15, 0.5, 0.35)  # share of the test videos with none, one and two anomalies
# the cycle's most telling moment, which falls in the middle of the interruption
MIDDLE = {"bend": 0.43, "jump": 0.53}
REACH = 0.22  # parts of the height that a walker's body reaches ahead of the pelvis, on average
HURRY = 1.6  # how much faster than a stroll an intruder walks at most
LEAD = 0.3  # seconds that an intruder walks before it is seen
VIEW = 2.45  # metres that the frame is high at least, so that an adult intruder fits in a child's video


class StickAnomalies(Source):
    """Videos of one person at a normal action, interrupted in the test part by another action or an intruder.

    At 25 frames a second. A person who was interrupted takes the action up where it was left. An intruder, whom
    no other video shows, comes in from a side, behind or in front of the person, and walks through or turns back.
    Labels are the normal actions, groups the people, of whom the two parts share none; rooms, cameras and
    phases come from the same distribution. `frame_labels` tells the anomalous frames.

    Args:
        videos: how many; actions and people take turns.
        people: how many people share them.
        seconds: length of a video, 3 at least.
        actions: the normal ones; None for wave_two_hands, walk and jumping_jack.
        anomalies: actions, or "intruder"; None for bend, jump and intruder.
        part: "normal" holds no anomaly; "test" one or two in most videos, each for about 0.8 to 2.5 s.
        rooms: rooms, each with its camera, that all videos share, of both parts: a fixed camera, as the field's
            data sets have it. Walls are then light and clothes dark. None for a room of its own and any clothes
            in each video.
        seed: of people, rooms, cameras, phases and anomalies.

    Raises:
        InputError: an unknown name, an action that is normal and an anomaly, or videos that are too short.
    """

    version = 1

    def __init__(
        self,
        videos: int = 60,
        people: int = 12,
        seconds: float = 8.0,
        actions: list[str] | None = None,
        anomalies: list[str] | None = None,
        part: str = "normal",
        rooms: int | None = None,
        seed: int = 0,
    ):
        actions = tuple(actions or ("wave_two_hands", "walk", "jumping_jack"))
        anomalies = tuple(anomalies or ("bend", "jump", INTRUDER))
        _check("part", (part,), PARTS)
        _check("actions", actions, ACTIONS)
        _check("anomalies", anomalies, (*ACTIONS, INTRUDER))
        if both := sorted(set(actions) & set(anomalies)):
            raise InputError(f"data.anomalies: {both[0]!r} is one of data.actions, the normal ones")
        if seconds < 3:
            raise InputError(f"data.seconds: {seconds:g} is too short for an anomaly; 3 at least")
        self._seed, self._seconds, self._part, self._anomalies = seed, seconds, PARTS.index(part), anomalies
        self._rooms = rooms
        self._times = np.arange(round(seconds * FPS)) / FPS
        listed = []
        for i in range(videos):
            action, person = actions[i % len(actions)], (i // len(actions)) % people
            group = f"{part}_person{person:03d}"
            listed.append(
                Video(f"{action}/{group}_{i:05d}", len(self._times), FPS, group, action, key=(i, person, action))
            )
        super().__init__(listed)

    def decode(self, video: Video, start: int, stop: int, image_size: int, channels: int) -> np.ndarray:
        frames = render(self._scene(video)[0], self._times[start:stop], image_size)
        return frames if channels == 3 else np.stack([square(frame, image_size, 1) for frame in frames])

    def frame_labels(self, video: Video) -> np.ndarray:
        """Return uint8 (frames,): 1 where an anomaly is visible, 0 elsewhere.

        An intruder is visible while any of its body is in the picture, an interrupting action from the
        first to the last frame whose pose is not the normal one's.
        """
        scene, interruptions = self._scene(video)
        labels = np.zeros(len(self._times), bool)
        for start, stop in interruptions:
            labels |= (self._times > start) & (self._times < stop)
        for intruder in scene.figures[1:]:
            labels |= seen(scene, intruder, self._times)
        labels = labels.astype(np.uint8)
        return labels if video.times is None else labels[video.times]

    def fingerprint(self) -> str:
        rooms = f"-rooms{self._rooms}" if self._rooms else ""
        return f"{super().fingerprint()}-{self._seed}-{'-'.join(self._anomalies)}{rooms}"

    def _scene(self, video: Video) -> tuple[Scene, list[tuple[float, float]]]:
        """Return a video's scene, the person first, and from when to when its pose is not the normal one."""
        index, person, action = video.key
        body = draw_body(np.random.default_rng((self._seed, 2, self._part, person)))
        room = camera = None
        if self._rooms:
            room, camera = light_room(np.random.default_rng((self._seed, 5, index % self._rooms)))
            body = in_dark_clothes(body)
        rng = np.random.default_rng((self._seed, 3, self._part, index))
        scene = draw_scene(rng, body, action, self._seconds, room, camera)
        scene = replace(scene, camera=replace(scene.camera, view=max(scene.camera.view, VIEW)))
        figure, intruders, interruptions = scene.figures[0], [], []
        if PARTS[self._part] == "test":
            rng = np.random.default_rng((self._seed, 4, index))
            for kind, start, stop in self._plan(rng, body):
                if kind == INTRUDER:
                    intruders.append(_intruder(rng, scene, start, stop, bool(self._rooms)))
                else:
                    figure = _interrupted(figure, kind, start, stop)
                    interruptions.append((start, stop))
        return replace(scene, figures=(figure, *intruders)), interruptions

    def _plan(self, rng: np.random.Generator, body: Body) -> list[tuple[str, float, float]]:
        """Return (anomaly, start, stop) in seconds, one after the other with time between them."""
        free, anomalies = self._seconds - APART, []
        for _ in range(rng.choice(3, p=HOW_MANY)):
            kind = str(rng.choice(self._anomalies))
            length = rng.uniform(SHORTEST, LONGEST)
            if kind != INTRUDER:  # long enough to be known for what it is
                length = min(max(length, 0.65 * period(kind, body)), LONGEST)
            if (length := min(length, free - APART)) >= SHORTEST:
                anomalies.append((kind, length))
                free -= length + APART
        clock, planned = 0.0, []
        for i, (kind, length) in enumerate(anomalies):
            share = rng.uniform() if i + 1 == len(anomalies) else rng.uniform(0.0, 0.6)
            clock += APART + share * free
            planned.append((kind, clock, clock + length))
            clock, free = clock + length, free * (1 - share)
        return planned


def _check(option: str, names: tuple[str, ...], known: tuple[str, ...]) -> None:
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f"; known: {', '.join(known)}"
            raise InputError(f"data.{option}: {name!r} is unknown{hint}")


def _interrupted(figure: Figure, action: str, start: float, stop: float) -> Figure:
    """Return the figure with its last span cut by another action, blended in and out between start and stop."""
    normal, start, stop = figure.spans[-1], start + BLEND / 2, stop - BLEND / 2
    middle = (stop - start) / 2 / period(action, figure.body)
    # a walk begins in the middle of its to-and-fro, so that it does not lead out of the picture
    between = Span(action, start, stop, 0.0 if action == "walk" else MIDDLE.get(action, 0.25) - middle)
    before = replace(normal, stop=start)
    phase = normal.phase + (start - normal.start) / period(normal.action, figure.body)
    after = replace(normal, start=stop, phase=phase)
    return replace(figure, spans=(*figure.spans[:-1], before, between, after))


def _intruder(rng: np.random.Generator, scene: Scene, start: float, stop: float, dark_clothes: bool) -> Figure:
    """Return a stranger who comes in from a side at about `start` and is out of the picture at about `stop`."""
    body, camera = draw_body(rng), scene.camera
    if dark_clothes:
        body = in_dark_clothes(body)
    facing, depth = float(rng.choice([-1.0, 1.0])), float(rng.choice([-1.0, 1.0]) * rng.uniform(0.2, 0.4))
    outside = 0.5 * camera.view / (1 + depth / 6) + REACH * body.height
    hurry = 2 * outside / ((stop - start) * walking_speed(body))
    body = replace(body, tempo=body.tempo * min(hurry, HURRY))
    # where there is no time to walk through, half a to-and-fro: in, round and out; a whole one takes 4.6 roam / speed
    roam = walking_speed(body) * (stop - start) / 2.3 if hurry > HURRY else np.inf
    x = camera.pan - facing * (outside + LEAD * walking_speed(body))
    walk = Span("walk", start - LEAD, stop + LEAD, -LEAD / period("walk", body))
    return Figure(body, (walk,), x, depth, facing, roam)
