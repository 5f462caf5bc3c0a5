"""What a run's model is worth: figures on clips that it has not seen, and the conditions they hold under."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvzoo import catalog
from kvzoo.errors import InputError
from kvzoo.recipe.resolve import Recipe, check_data
from kvzoo.run.folder import RunFolder

CLIPS = 128


@dataclass(frozen=True)
class Evaluation:
    """Figures, and what they were measured on and how.

    Attributes:
        metrics: figures by name; NaN where there is none.
        conditions: plain JSON values. Figures compare where the conditions are the same; "measures" says what
            each figure is, and "warning" is there only if something is not as it was when the run was made.
    """

    metrics: dict[str, float]
    conditions: dict[str, Any]


def evaluate(run: str | os.PathLike, data: Mapping[str, Any] | None = None, clips: int = CLIPS) -> Evaluation:
    """Measure a run's model on the groups that its recipe held out, or on other data.

    Args:
        run: a run folder.
        data: keys of a recipe's `data` laid over the run's own, such as {"path": "new_clips"}; all that they
            name is then evaluated.
        clips: how many examples at most; the same ones for the same data and seed.

    Raises:
        InputError: no run, no model yet, a kind of model without an evaluation, unknown keys of data, nothing
            held out, no data.
    """
    recipe, section = check(run, data)
    if clips < 1:
        raise InputError(f"clips: at least 1 is wanted. Received: {clips}")
    from kvzoo import zoo
    from kvzoo.data.pipeline import open_data
    from kvzoo.run.fit import fingerprint

    # One precision for all runs, whatever they were trained in.
    model = zoo.load(run, precision="float32")
    opened = open_data(section, recipe.loss_spec, model.clip_shape, recipe["fit"]["seed"])
    part = opened.training if data else opened.validation
    seen, *_ = part.arrays(clips)
    measure, measures = EVALUATORS[recipe.model_spec.kind]
    metrics = measure(model, seen, recipe["fit"]["batch_size"])

    frames, image_size, _, channels = model.clip_shape
    rates = sorted({video.fps for video in part.videos})
    conditions = {
        "part": "all that --data names" if data else "held-out groups",
        **_of_source(section),
        "fingerprint": part.source.fingerprint() if data else fingerprint(opened),
        "groups": len({video.group for video in part.videos}),
        "videos": len(part.videos),
        "skipped": len(opened.skipped) + len(part.broken),
        "clips": len(seen),
        "choice": "windows side by side, spread evenly over the videos and their length",
        # Of the pixels themselves: what neither names nor lengths tell, it tells.
        "pixels": hashlib.sha256(seen.tobytes()).hexdigest()[:16],
        "frames": frames,
        "image_size": image_size,
        "channels": channels,
        "fps": " to ".join(f"{rate:g}" for rate in dict.fromkeys((rates[0], rates[-1]))),
        "short": section["short"],
        "value_range": "0 to 1, the model's output neither clipped nor rounded",
        "precision": "float32",
        "measures": measures,
    }
    warning = _reused(recipe, section) if data else _changed(recipe, conditions["fingerprint"])
    return Evaluation(metrics, conditions | ({"warning": warning} if warning else {}))


def check(run: str | os.PathLike, data: Mapping[str, Any] | None = None) -> tuple[Recipe, dict]:
    """Return a run's recipe and the `data` section to evaluate; refuses what can be refused without Keras."""
    recipe = RunFolder(run).trained("evaluate", EVALUATORS, check_paths=not data)
    if data:
        return recipe, laid_over(recipe, data)
    if not recipe["data"]["validation"]:
        raise InputError(
            f"{run}: its recipe holds nothing out; --data, such as --data path=new_clips, names other clips"
        )
    return recipe, recipe["data"]


def laid_over(recipe: Recipe, data: Mapping[str, Any]) -> dict:
    """Return a run's `data` section with other keys laid over it, checked; nothing of it is held out."""
    for key in ("validation", "tests"):
        if key in data:
            raise InputError(f"data.{key}: has no use here: all that --data names is evaluated")
    kept = dict(recipe["data"])
    if data.get("source", kept["source"]) != kept["source"]:
        kept = {key: kept[key] for key in ("fps", "short", "sampler")}
    if "path" in data:
        kept.pop("csv", None)  # It lists what is in the other folder.
    return check_data({**kept, "group": None, **data, "validation": 0.0, "tests": {}}, recipe.loss_spec)


def _of_source(section: dict) -> dict[str, str]:
    """Where clips came from, and what was done to them on the way to the model's size."""
    files = "path" in catalog.SOURCES.get(section["source"]).options
    return {
        "source": section["source"],
        **{key: section[key] for key in ("path", "csv") if section.get(key)},
        "crop": "the centred square" if files else "none, drawn square",
        "resize": "area averaging down, bilinear up (OpenCV)" if files else "none, drawn at this size",
    }


def _changed(recipe: Recipe, now: str) -> str | None:
    known = recipe.lock.get("data")
    if known in (None, now):
        return None
    return f"the data changed since the run (its fingerprint was {known}): other groups may be held out than were then"


def _reused(recipe: Recipe, section: dict) -> str | None:
    if any(section.get(key) != recipe["data"].get(key) for key in ("source", "path", "seed")):
        return None
    return "the run's own data, read in another way: videos that it was trained on may be among them"


def _reconstruction(model, clips, batch_size: int) -> dict[str, float]:
    """Measure a reconstructor on clips uint8 (N, T, H, W, C)."""
    import numpy as np

    from kvzoo.metrics import quality

    parts: dict[str, list] = {"mse": [], "psnr": [], "ssim": [], "sharpness": [], "input_sharpness": []}
    for start in range(0, len(clips), batch_size):
        batch = clips[start : start + batch_size]
        truth = batch / 255.0
        seen = (np.asarray(model.predict_on_batch(batch), np.float64) + 1.0) / 2.0
        parts["mse"].append(quality.mse(seen, truth))
        parts["psnr"].append(quality.psnr(seen, truth))
        parts["ssim"].append(quality.ssim(seen, truth))
        parts["sharpness"].append(quality.sharpness(seen))
        parts["input_sharpness"].append(quality.sharpness(truth))
    metrics = {name: float(np.concatenate(values).mean()) for name, values in parts.items()}
    shown, wanted = metrics["sharpness"], metrics["input_sharpness"]
    # Of the means: a frame without any detail has no ratio of its own.
    return {**metrics, "sharpness_ratio": shown / wanted if wanted else float("nan")}


# How each kind of model is measured, and what the figures are.
EVALUATORS = {
    "reconstructor": (
        _reconstruction,
        {
            "mse": "mean squared error of all values; on -1 to 1, as the loss mse has it, four times that",
            "psnr": "dB, mean of the clips' PSNR, each from the error of its whole clip",
            "ssim": "mean of the frames' SSIM: Gaussian window of 11 pixels, sigma 1.5, mean of channels (scikit-image)",
            "sharpness": "mean of the frames' variance of the Laplacian (OpenCV), output",
            "input_sharpness": "the same of the input",
            "sharpness_ratio": "sharpness / input_sharpness: below 1 the output is blurred, above 1 it adds grain",
        },
    )
}
