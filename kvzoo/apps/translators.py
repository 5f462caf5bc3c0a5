"""Shared by the apps that add a translator's frames to a video: validation of runs, sizes, colours, writing."""

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


def check_translation(
    verb: str, run: str | os.PathLike, video: str | os.PathLike, out: str | os.PathLike, overwrite: bool
) -> tuple[Recipe, Stream]:
    """Validate the arguments without Keras and return the run's recipe and the opened video.

    Raises:
        InputError: `run` is not a run folder, has no model yet, or its model is not a translator trained to `verb` on
            frames of 1 or 3 channels; the video cannot be read; or the file cannot be written.
    """
    recipe = RunFolder(run).trained(verb)
    purpose = _trained_to(recipe)
    if purpose != verb:
        hint = f"; use `kvzoo {purpose}`" if purpose else ""
        raise InputError(f"{run}: was trained on examples of the sampler {_sampler(recipe)}, not to {verb}{hint}")
    channels = recipe["model"].get("channels", 3)
    channels_out = recipe["model"].get("channels_out") or channels
    if channels not in (1, 3) or channels_out != channels:
        raise InputError(f"{run}: maps {channels} channels to {channels_out}; videos need 1 to 1 or 3 to 3")
    check_file(out, ENDINGS, overwrite, video)
    return recipe, open_video(video)


def _sampler(recipe: Recipe) -> str:
    return recipe["data"]["sampler"]["name"]


def _trained_to(recipe: Recipe) -> str:
    """Return "interpolate" or "predict", by the sampler's examples rather than its name; "" for other examples."""
    sampler, model = recipe["data"]["sampler"], recipe["model"]
    if sampler["name"] != "offsets":
        return sampler["name"] if sampler["name"] in ("interpolate", "predict") else ""
    inputs, outputs = model["frames_in"], model["frames_out"]
    places = list(sampler["inputs"]), list(sampler["targets"])
    if places == ([0, outputs + 1], list(range(1, outputs + 1))):
        return "interpolate"
    return "predict" if places == (list(range(inputs)), list(range(inputs, inputs + outputs))) else ""


def to_network(frame: np.ndarray, size: tuple[int, int], channels: int) -> np.ndarray:
    """Return a whole RGB frame (H, W, 3) at a network's height and width, uint8 (h, w, channels)."""
    height, width = size
    if frame.shape[:2] != size:
        smaller = height * width < frame.shape[0] * frame.shape[1]
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return frame if channels == 3 else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None]


def from_network(frame: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return a network's frame (h, w, C) at the size of another (H, W, 3); a grey one takes the other's colours."""
    height, width = like.shape[:2]
    if frame.shape[:2] != (height, width):
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC)
    if frame.ndim == 3 and frame.shape[2] == 3:
        return frame
    result = cv2.cvtColor(like, cv2.COLOR_RGB2YCrCb)
    result[..., 0] = frame.reshape(height, width)
    return cv2.cvtColor(result, cv2.COLOR_YCrCb2RGB)


def write(out: str | os.PathLike, frames: Iterator[np.ndarray], fps: float, times: np.ndarray, sound: Sound) -> None:
    """Write frames (H, W, 3) as a video, with times in seconds after the first; always closes the iterator.

    Encoders need even sizes: the last row or column of an odd frame is repeated.

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
