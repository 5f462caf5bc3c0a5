"""What the apps share that put a translator's frames beside a video's own: which runs can, sizes, colours, the file."""

import os
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from kvzoo.apps.outputs import check_file
from kvzoo.data.videos import Stream, open_video
from kvzoo.errors import InputError
from kvzoo.media.audio import Sound
from kvzoo.media.clips import write_mp4
from kvzoo.recipe.resolve import Recipe
from kvzoo.run.folder import RunFolder

ENDINGS = (".mp4", ".mkv")


def check(
    verb: str, run: str | os.PathLike, video: str | os.PathLike, out: str | os.PathLike, overwrite: bool
) -> tuple[Recipe, Stream]:
    """Return a run's recipe and the opened video; refuses what can be refused without Keras.

    Raises:
        InputError: no run, no model yet, a model that is no translator or that was not trained to `verb`, pictures
            that are no video's frames, no video, a file that cannot be written as wanted.
    """
    recipe = RunFolder(run).trained(verb)
    trained = _trained_to(recipe)
    if trained != verb:
        hint = f"; `kvzoo {trained}` takes it" if trained else ""
        raise InputError(f"{run}: was trained on examples of the sampler {_sampler(recipe)}, not to {verb}{hint}")
    channels = recipe["model"].get("channels", 3)
    made = recipe["model"].get("channels_out") or channels
    if channels not in (1, 3) or made != channels:
        raise InputError(f"{run}: takes {channels} channels and gives {made}; a video's frames are 1 or 3 and 1 or 3")
    check_file(out, ENDINGS, overwrite, video)
    return recipe, open_video(video)


def _sampler(recipe: Recipe) -> str:
    return recipe["data"]["sampler"]["name"]


def _trained_to(recipe: Recipe) -> str:
    """Return interpolate or predict, whatever the sampler is called that gave such examples; "" for others."""
    sampler, model = recipe["data"]["sampler"], recipe["model"]
    if sampler["name"] != "offsets":
        return sampler["name"] if sampler["name"] in ("interpolate", "predict") else ""
    given, made = model["frames_in"], model["frames_out"]
    places = list(sampler["inputs"]), list(sampler["targets"])
    if places == ([0, made + 1], list(range(1, made + 1))):
        return "interpolate"
    return "predict" if places == (list(range(given)), list(range(given, given + made))) else ""


def to_network(frame: np.ndarray, size: tuple[int, int], channels: int) -> np.ndarray:
    """Return a whole RGB frame (H, W, 3) at a network's height and width, uint8 (h, w, channels)."""
    height, width = size
    if frame.shape[:2] != size:
        smaller = height * width < frame.shape[0] * frame.shape[1]
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return frame if channels == 3 else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None]


def from_network(frame: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return a network's frame (h, w, C) as large as another (H, W, 3), whose colours it takes where it is grey."""
    height, width = like.shape[:2]
    if frame.shape[:2] != (height, width):
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC)
    if frame.ndim == 3 and frame.shape[2] == 3:
        return frame
    coloured = cv2.cvtColor(like, cv2.COLOR_RGB2YCrCb)
    coloured[..., 0] = frame.reshape(height, width)
    return cv2.cvtColor(coloured, cv2.COLOR_YCrCb2RGB)


def write(out: str | os.PathLike, frames: Iterator[np.ndarray], fps: float, times: np.ndarray, sound: Sound) -> None:
    """Write frames (H, W, 3) as a video, with times in seconds after the first; closes the iterator, whatever happens.

    Encoders want even sizes: an odd frame's last row or column is there twice.

    Raises:
        WriteError: the file cannot be written.
    """
    try:
        write_mp4(out, _even(frames), fps, sound.frames, times + sound.delay)
    finally:
        frames.close()


def _even(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    for frame in frames:
        height, width = frame.shape[:2]
        if height % 2 or width % 2:
            frame = cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        yield frame
