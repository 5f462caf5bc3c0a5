"""Where a run comes from: versions, settings of the process and data, for its lock file and log."""

import logging
import platform
from importlib.metadata import version

import keras

import kvzoo
from kvzoo import process
from kvzoo.data.pipeline import Data
from kvzoo.progress import plural
from kvzoo.recipe.explain import explained_run
from kvzoo.recipe.resolve import Recipe
from kvzoo.recipe.text import dotted

log = logging.getLogger("kvzoo")

SHOWN = 10  # skipped files named on the terminal; the log has all


def provenance(recipe: Recipe, data: Data) -> dict:
    """Return what a run's lock file records next to its recipe."""
    return {
        "recipe": recipe.name,
        "kvzoo": kvzoo.__version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        keras.backend.backend(): version(keras.backend.backend()),
        "process": {setting.name: setting.value for setting in process.prepare()},
        "data": fingerprint(data),
        "fps": data.training.videos[0].fps,
        **({"classes": list(data.training.classes)} if data.training.classes else {}),
        "videos": summary(data),
        "origins": {dotted(keys): origin for keys, _, origin in explained_run(recipe)},
    }


def fingerprint(data: Data) -> str:
    """Return a hash over what the data holds."""
    clips = [data.training, *data.tests.values()]
    return "+".join(part.source.fingerprint() for part in clips)


def summary(data: Data) -> dict:
    """Return what the data holds in numbers, by part."""
    parts = {"training": data.training, "held out": data.validation, **data.tests}
    numbers = {
        name: {
            "videos": len(clips.videos),
            "groups": len({video.group for video in clips.videos}),
            "frames": sum(video.frames for video in clips.videos),
            "seconds": round(sum(video.frames / video.fps for video in clips.videos), 1),
        }
        for name, clips in parts.items()
        if clips
    }
    return {**numbers, "skipped": len(data.skipped)}


def log_data(data: Data) -> None:
    """Log the size of the data, and what was skipped."""
    held_out = len(data.validation.videos) if data.validation else 0
    groups = len({v.group for v in data.training.videos})
    log.info(
        "data: %s in %s for training, %d held out, %d skipped",
        plural(len(data.training.videos), "video"),
        plural(groups, "group"),
        held_out,
        len(data.skipped),
    )
    for skipped in data.skipped[:SHOWN]:
        log.warning("skipped %s: %s", skipped.name, skipped.reason)
    for skipped in data.skipped[SHOWN:]:
        log.debug("skipped %s: %s", skipped.name, skipped.reason)
    if len(data.skipped) > SHOWN:
        log.warning("skipped %d more; see log.txt", len(data.skipped) - SHOWN)
