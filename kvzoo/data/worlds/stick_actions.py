"""The built-in source `stick_actions`: people who wave, jump, bend and walk, drawn as they are read."""

import math
from dataclasses import replace

import numpy as np

from kvzoo.data.source import Source, Video, square
from kvzoo.data.worlds.stick_figures import ACTIONS, Body, Scene, draw_body, draw_scene, render
from kvzoo.data.worlds.stick_rooms import Camera, Room, draw_camera, draw_room, grey, spread_out, tinted, with_wall
from kvzoo.errors import InputError, did_you_mean

FPS = 25.0
CAMERAS = ("even", "varied")
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
        cameras: "even", each frame suits the person; "varied", from close up to far away and aside, so that how
            fast pixels move does not tell how fast the person does. Varied ones want rooms of their own.
        seed: of people, rooms, cameras and phases.

    Raises:
        InputError: an unknown action or kind of cameras, or varied cameras in shared rooms.
    """

    version = 1

    def __init__(
        self,
        videos: int = 240,
        people: int = 24,
        seconds: float = 2.4,
        actions: list[str] | None = None,
        rooms: int | None = None,
        cameras: str = "even",
        seed: int = 0,
    ):
        actions = tuple(actions) if actions else ACTIONS
        for action in actions:
            if action not in ACTIONS:
                hint = did_you_mean(action, ACTIONS) or f"; known: {', '.join(ACTIONS)}"
                raise InputError(f"data.actions: unknown action {action!r}{hint}")
        if cameras not in CAMERAS:
            hint = did_you_mean(cameras, CAMERAS) or f"; known: {', '.join(CAMERAS)}"
            raise InputError(f"data.cameras: {cameras!r} is unknown{hint}")
        if rooms and cameras == "varied":
            raise InputError("data.rooms: shared rooms have one camera each; leave it out for cameras: varied")
        self._seed, self._seconds, self._rooms, self._cameras = seed, seconds, rooms, cameras
        frames = max(1, round(seconds * FPS))
        listed = []
        for i in range(videos):
            action, person = actions[i % len(actions)], (i // len(actions)) % people
            name = f"{action}/person{person:03d}_{i:05d}"
            listed.append(Video(name, frames, FPS, f"person{person:03d}", action, key=(i, person, action)))
        super().__init__(listed)

    def decode(self, video: Video, start: int, stop: int, image_size: int, channels: int) -> np.ndarray:
        return self.draw(video, np.arange(start, stop) / FPS, image_size, channels)

    def draw(self, video: Video, times: np.ndarray, image_size: int, channels: int) -> np.ndarray:
        """Return the pictures at any times in seconds, uint8 (len(times), image_size, image_size, channels)."""
        frames = render(self.scene(video), times, image_size)
        return frames if channels == 3 else np.stack([square(frame, image_size, 1) for frame in frames])

    def scene(self, video: Video) -> Scene:
        """Return what a video shows."""
        index, person, action = video.key
        body = draw_body(np.random.default_rng((self._seed, 0, person)))
        room = camera = None
        if self._rooms:
            shared = int(np.random.default_rng((self._seed, 2, index)).integers(self._rooms))
            room, camera = light_room(np.random.default_rng((self._seed, 3, shared)))
            body = in_dark_clothes(body)
        rng = np.random.default_rng((self._seed, 1, index))
        scene = draw_scene(rng, body, action, self._seconds, room, camera)
        if self._cameras == "varied":
            scene = from_anywhere(np.random.default_rng((self._seed, 4, index)), scene)
        return scene

    def fingerprint(self) -> str:
        options = (f"-rooms{self._rooms}" if self._rooms else "") + ("-varied" if self._cameras == "varied" else "")
        return f"{super().fingerprint()}-seed{self._seed}{options}"


def light_room(rng: np.random.Generator) -> tuple[Room, Camera]:
    """Return a room with a light wall, and a camera in it."""
    return with_wall(draw_room(rng), LIGHT), draw_camera(rng)


def from_anywhere(rng: np.random.Generator, scene: Scene) -> Scene:
    """Return the scene from half to 2.4 times as far away: from head and hands to a small figure in a hall."""
    figure, camera = scene.figures[0], scene.camera
    view = camera.view * math.exp(rng.uniform(math.log(0.5), math.log(2.4)))
    # with raised arms a person is 1.3 times as high; close up the upper part of that is seen
    hidden = 1.3 * figure.body.height - view
    bottom = rng.uniform(0.5, 1.0) * hidden if hidden > 0 else -rng.uniform(0.03, 0.2) * view
    pan = camera.pan + rng.uniform(-0.3, 0.3) * max(view - 1.5, 0.0)
    camera = replace(camera, view=view, foot=-bottom / view, pan=pan)
    return replace(scene, room=spread_out(scene.room, view), camera=camera)


def in_dark_clothes(body: Body) -> Body:
    """Return the body in a shirt and trousers of its own hues, dark, with long sleeves."""
    shirt, trousers = (tinted(colour, min(grey(colour), DARK)) for colour in (body.shirt, body.trousers))
    return replace(body, shirt=shirt, trousers=trousers, long_sleeves=True, legwear="trousers")
