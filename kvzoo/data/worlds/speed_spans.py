"""The built-in source `speed_spans`: synthetic videos whose spans play at known speeds: slowed, natural or sped up."""

import math

import numpy as np

from kvzoo.data.source import Source, Video
from kvzoo.data.worlds.falling_bodies import FallingBodies
from kvzoo.data.worlds.stick_actions import FPS, StickActions
from kvzoo.errors import InputError, did_you_mean

WORLDS = ("stick_actions", "falling_bodies")
UNEVEN = 0.3  # a span may be longer or shorter than its even share by this fraction


class SpeedSpans(Source):
    """Videos of another built-in source, cut into spans that play at different speeds, at 25 frames a second.

    Every frame is drawn at its own moment: slowed spans are as smooth as slow-motion footage, sped-up ones skip.
    `frame_speeds` gives the speed of each frame, `world` is the other source. Labels and groups are the other source's.

    Args:
        world: the source of the content: "stick_actions" (with varied cameras) or "falling_bodies".
        videos: number of videos.
        seconds: duration of a video.
        speeds: speeds of the spans, 1 for the natural one; each comes as often as the others, in random order,
            none twice in a row.
        spans: spans per video; their lengths vary by up to 30 % from even ones.
        seed: for the world and the spans.

    Raises:
        InputError: an unknown world, a speed that is not positive, or spans shorter than two frames.
    """

    version = 1

    def __init__(
        self,
        world: str = "stick_actions",
        videos: int = 12,
        seconds: float = 18.0,
        speeds: list[float] | None = None,
        spans: int = 6,
        seed: int = 0,
    ):
        if world not in WORLDS:
            hint = did_you_mean(world, WORLDS) or f"; known: {', '.join(WORLDS)}"
            raise InputError(f"data.world: {world!r} is unknown{hint}")
        speeds = tuple(speeds) if speeds else (0.5, 1.0, 2.0)
        if not all(math.isfinite(speed) and speed > 0 for speed in speeds):
            raise InputError(f"data.speeds: must be positive finite numbers. Received: {list(speeds)}")
        frames = max(1, round(seconds * FPS))
        if spans > frames / 2:
            raise InputError(f"data.spans: must be at most {frames // 2} for {frames} frames. Received: {spans}")
        self._seed, self._frames, self._speeds, self._spans = seed, frames, speeds, spans
        # The world lasts as long as the fastest plan can need.
        natural = frames / FPS * max(speeds)
        if world == "stick_actions":
            self.world = StickActions(videos=videos, seconds=natural, cameras="varied", seed=seed)
        else:
            self.world = FallingBodies(videos=videos, seconds=natural, seed=seed)
        super().__init__(Video(v.name, frames, FPS, v.group, v.label, key=v.key) for v in self.world.videos)

    def decode(self, video: Video, start: int, stop: int, image_size: int, channels: int) -> np.ndarray:
        times = np.concatenate([[0.0], np.cumsum(self._plan(video))]) / FPS
        return self.world.draw(video, times[start:stop], image_size, channels)

    def frame_speeds(self, video: Video) -> np.ndarray:
        """Return float (frames,): how many times as fast as natural each frame plays on to the next."""
        speeds = self._plan(video)
        return speeds if video.times is None else speeds[video.times]

    def fingerprint(self) -> str:
        speeds = "-".join(f"{speed:g}" for speed in self._speeds)
        return f"{super().fingerprint()}-{self.world.fingerprint()}-speeds{speeds}-spans{self._spans}"

    def _plan(self, video: Video) -> np.ndarray:
        """Return the speed of each frame that is drawn."""
        rng = np.random.default_rng((self._seed, 6, video.key[0]))
        order: list[float] = []
        while len(order) < self._spans:
            turn = rng.permutation(self._speeds).tolist()
            if order and len(turn) > 1 and turn[0] == order[-1]:
                turn.append(turn.pop(0))
            order += turn
        lengths = rng.uniform(1 - UNEVEN, 1 + UNEVEN, self._spans)
        ends = np.rint(np.cumsum(lengths) / lengths.sum() * self._frames).astype(int)
        return np.repeat(order[: self._spans], np.diff(ends, prepend=0))
