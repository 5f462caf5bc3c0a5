"""The built-in source `stick_actions`: people who wave, jump, bend and walk, drawn as they are read."""

from dataclasses import replace

import numpy as np

from kvzoo.data.source import Source, Video, square
from kvzoo.data.stick_figures import ACTIONS, Body, draw_body, draw_scene, render
from kvzoo.data.stick_rooms import Camera, Room, draw_camera, draw_room, grey, tinted, with_wall
from kvzoo.errors import InputError, did_you_mean

FPS = 25.0
LIGHT = 185.0  # grey level of the walls of shared rooms
DARK = 70.0  # grey level that clothes in shared rooms do not exceed


class StickActions(Source):
    """Videos of one person doing one action in a still room, at 25 frames a second.

    People differ in proportions, clothes and tempo, videos in room, camera and phase. Labels are the
    actions, groups the people. The clips are drawn at the size that is asked for.

    Args:
        videos: how many; actions and people take turns.
        people: how many people share them.
        seconds: length of a video.
        actions: which actions; None for all.
        rooms: rooms, each with its camera, that the videos share; people wear dark clothes with long
            sleeves before their light walls, which makes the videos much easier to learn. None for a
            room of its own and any clothes in each video.
        seed: of people, rooms, cameras and phases.

    Raises:
        InputError: an unknown action.
    """

    version = 1

    def __init__(
        self,
        videos: int = 240,
        people: int = 24,
        seconds: float = 2.4,
        actions: list[str] | None = None,
        rooms: int | None = None,
        seed: int = 0,
    ):
        actions = tuple(actions) if actions else ACTIONS
        for action in actions:
            if action not in ACTIONS:
                hint = did_you_mean(action, ACTIONS) or f"; known: {', '.join(ACTIONS)}"
                raise InputError(f"data.actions: unknown action {action!r}{hint}")
        self._seed, self._seconds, self._rooms = seed, seconds, rooms
        frames = max(1, round(seconds * FPS))
        listed = []
        for i in range(videos):
            action, person = actions[i % len(actions)], (i // len(actions)) % people
            name = f"{action}/person{person:03d}_{i:05d}"
            listed.append(Video(name, frames, FPS, f"person{person:03d}", action, key=(i, person, action)))
        super().__init__(listed)

    def decode(self, video: Video, start: int, stop: int, image_size: int, channels: int) -> np.ndarray:
        index, person, action = video.key
        body = draw_body(np.random.default_rng((self._seed, 0, person)))
        room = camera = None
        if self._rooms:
            shared = int(np.random.default_rng((self._seed, 2, index)).integers(self._rooms))
            room, camera = light_room(np.random.default_rng((self._seed, 3, shared)))
            body = in_dark_clothes(body)
        rng = np.random.default_rng((self._seed, 1, index))
        scene = draw_scene(rng, body, action, self._seconds, room, camera)
        frames = render(scene, np.arange(start, stop) / FPS, image_size)
        return frames if channels == 3 else np.stack([square(frame, image_size, 1) for frame in frames])

    def fingerprint(self) -> str:
        return f"{super().fingerprint()}-seed{self._seed}" + (f"-rooms{self._rooms}" if self._rooms else "")


def light_room(rng: np.random.Generator) -> tuple[Room, Camera]:
    """Return a room with a light wall, and a camera in it."""
    return with_wall(draw_room(rng), LIGHT), draw_camera(rng)


def in_dark_clothes(body: Body) -> Body:
    """Return the body in a shirt and trousers of its own hues, dark, with long sleeves."""
    shirt, trousers = (tinted(colour, min(grey(colour), DARK)) for colour in (body.shirt, body.trousers))
    return replace(body, shirt=shirt, trousers=trousers, long_sleeves=True, legwear="trousers")
