"""What a run's model is worth: figures on clips that it has not seen, and the conditions they hold under."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kvzoo import catalog
from kvzoo.errors import InputError
from kvzoo.recipe.resolve import Recipe, check_data
from kvzoo.run.folder import RunFolder


@dataclass(frozen=True)
class Asked:
    """What an evaluation of a generator can be asked.

    Attributes:
        seed: of the noise.
        judge: run folder of a classifier of the same classes, asked whether generated clips are of the class that
            was asked for.
    """

    seed: int = 0
    judge: str | os.PathLike | None = None


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


def evaluate(
    run: str | os.PathLike,
    data: Mapping[str, Any] | None = None,
    clips: int | None = None,
    asked: Asked = Asked(),
) -> Evaluation:
    """Measure a run's model on the groups that its recipe held out, or on other data.

    Args:
        run: a run folder.
        data: keys of a recipe's `data` laid over the run's own, such as {"path": "new_clips"}; all that they
            name is then evaluated.
        clips: how many examples at most; the same ones for the same data and seed. As many as CLIPS says for the
            kind of model when None.
        asked: of generators only.

    Raises:
        InputError: no run, no model yet, a kind of model without an evaluation, unknown keys of data, nothing
            held out, no data.
    """
    recipe, section = check(run, data, asked)
    kind = recipe.model_spec.kind
    clips = CLIPS[kind] if clips is None else clips
    if clips < 1:
        raise InputError(f"clips: at least 1 is wanted. Received: {clips}")
    from kvzoo import zoo
    from kvzoo.data.pipeline import open_data
    from kvzoo.run.fit import fingerprint

    # One precision for all runs, whatever they were trained in.
    model = zoo.load(run, precision="float32")
    classes = recipe.lock.get("classes", model.wanted_classes)
    opened = open_data(section, model.clip_shapes, recipe["fit"]["seed"], classes)
    part = opened.training if data else opened.validation
    examples = part.arrays(clips)
    seen = examples[0]
    evaluator = EVALUATORS[kind] if recipe["loss"]["name"] != "binary_speed" else _speed
    measured = evaluator(model, examples, recipe["fit"]["batch_size"], asked)
    parts = {"": examples}
    for name, test in opened.tests.items():
        parts[f"test_{name}_"] = test.arrays(clips)
        found = evaluator(model, parts[f"test_{name}_"], recipe["fit"]["batch_size"], asked)
        for metric, value in found.metrics.items():
            measured.metrics[f"test_{name}_{metric}"] = value
            measured.measures[f"test_{name}_{metric}"] = f"the same of the test set {name}"
    # Other data says nothing of what the run was trained on, which the baselines are fitted on.
    if evaluator is _speed and not data:
        _add_baselines(measured, opened.training.arrays(clips), parts)

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
        **({"classes": list(part.classes)} if part.classes else {}),
        **measured.conditions,
        **{
            f"test_{name}": f"{len(parts[f'test_{name}_'][0])} clips of {len(test.videos)} videos, "
            f"source {section['tests'][name]['source']}, fingerprint {test.source.fingerprint()}"
            for name, test in opened.tests.items()
        },
        "precision": "float32",
        "measures": measured.measures,
    }
    warning = _reused(recipe, section) if data else _changed(recipe, conditions["fingerprint"])
    return Evaluation(measured.metrics, conditions | ({"warning": warning} if warning else {}))


def check(
    run: str | os.PathLike, data: Mapping[str, Any] | None = None, asked: Asked = Asked(), verb: str = "evaluate"
) -> tuple[Recipe, dict]:
    """Return a run's recipe and the `data` section to evaluate; refuses what can be refused without Keras."""
    kinds = ("reconstructor",) if verb == "compare" else EVALUATORS
    recipe = RunFolder(run).trained(verb, kinds, check_paths=not data)
    if asked.judge is not None:
        _check_judge(recipe, RunFolder(asked.judge).trained("--judge", ("classifier",)))
    if data:
        return recipe, laid_over(recipe, data)
    if not recipe["data"]["validation"]:
        raise InputError(
            f"{run}: its recipe holds nothing out; --data, such as --data path=new_clips, names other clips"
        )
    return recipe, recipe["data"]


def _check_judge(recipe: Recipe, judge: Recipe) -> None:
    classes, known = recipe.lock.get("classes"), judge.lock.get("classes")
    if not classes:
        raise InputError(f"--judge: {recipe.model_spec.name} was trained without labels, so no class can be asked for")
    if classes != known:
        raise InputError(f"--judge: knows the classes {', '.join(known or ())}, the run has {', '.join(classes)}")


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


MOVES = 0.1  # of values 0..1, mean of channels


@dataclass(frozen=True)
class _Measured:
    """What an evaluator found: figures, what each is, and conditions of its own."""

    metrics: dict[str, float]
    measures: dict[str, str]
    conditions: dict[str, Any] = field(default_factory=dict)


def _reconstruction(model, examples: tuple, batch_size: int, asked: Asked) -> _Measured:
    import numpy as np

    from kvzoo.metrics import quality

    clips = examples[0]
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
    metrics["sharpness_ratio"] = shown / wanted if wanted else float("nan")
    measures = {
        "mse": "mean squared error of all values; on -1 to 1, as the loss mse has it, four times that",
        "psnr": "dB, mean of the clips' PSNR, each from the error of its whole clip",
        "ssim": "mean of the frames' SSIM: Gaussian window of 11 pixels, sigma 1.5, mean of channels (scikit-image)",
        "sharpness": "mean of the frames' variance of the Laplacian (OpenCV), output",
        "input_sharpness": "the same of the input",
        "sharpness_ratio": "sharpness / input_sharpness: below 1 the output is blurred, above 1 it adds grain",
    }
    return _Measured(metrics, measures, {"value_range": "0 to 1, the model's output neither clipped nor rounded"})


def _classification(model, examples: tuple, batch_size: int, asked: Asked) -> _Measured:
    import numpy as np
    from sklearn.metrics import balanced_accuracy_score, log_loss

    chances, labels = _chances(model, examples[0], batch_size), examples[1]
    metrics = {
        "accuracy": float((chances.argmax(1) == labels).mean()),
        "balanced_accuracy": float(balanced_accuracy_score(labels, chances.argmax(1))),
        "cross_entropy": float(log_loss(labels, chances, labels=np.arange(chances.shape[1]))),
    }
    measures = {
        "accuracy": "share of the clips whose highest logit is their class's",
        "balanced_accuracy": "mean of the classes' accuracy (scikit-learn)",
        "cross_entropy": "nats, mean of the clips' (scikit-learn)",
    }
    return _Measured(metrics, measures, {"value_range": "logits"})


def _chances(model, clips, batch_size: int):
    """Return the probabilities of the classes, (N, K)."""
    import numpy as np

    from kvzoo.losses.base import to_chances

    starts = range(0, len(clips), batch_size)
    return np.concatenate([to_chances(model.predict_on_batch(clips[i : i + batch_size])) for i in starts])


def _speed(model, examples: tuple, batch_size: int, asked: Asked) -> _Measured:
    """Whether clips are told from the same ones at twice the speed; pairs lie one after the other."""
    import numpy as np
    from sklearn.metrics import log_loss

    clips, labels = examples
    sped_up = _chances(model, clips, batch_size)[:, 1]
    metrics = {
        "accuracy": float(((sped_up > 0.5) == labels).mean()),
        "pair_accuracy": float((sped_up[1::2] > sped_up[::2]).mean()),
        "cross_entropy": float(log_loss(labels, sped_up, labels=np.arange(2))),
    }
    measures = {
        "accuracy": "share of the clips, every frame (f = 1) or every second one (f = 2), that are told right; chance is 0.5",
        "pair_accuracy": "share of the pairs of which the clip with f = 2 has the higher probability of being sped up",
        "cross_entropy": "nats, mean of the clips' (scikit-learn)",
    }
    return _Measured(metrics, measures, {"value_range": "logits", "speeds": "f = 1 and 2 by regular skipping"})


def _add_baselines(measured: _Measured, training: tuple, parts: Mapping[str, tuple]) -> None:
    from kvzoo.run.speed_baselines import accuracies

    what = {
        "mean_frame": "the mean frame, grey, 16x16",
        "frame_difference": "the mean absolute difference of consecutive frames",
        "optical_flow": "the mean length of the optical flow (Farneback, OpenCV)",
    }
    for prefix, found in accuracies(training, parts).items():
        for feature, value in found.items():
            name = f"{prefix}{feature}_accuracy"
            measured.metrics[name] = value
            measured.measures[name] = f"a logistic regression on {what[feature]}" + (", the same" if prefix else "")
    measured.conditions["baselines"] = f"fitted on {len(training[0])} training clips at f = 1 and 2 (scikit-learn)"


def _generation(model, examples: tuple, batch_size: int, asked: Asked) -> _Measured:
    import numpy as np

    from kvzoo.losses.base import to_uint8
    from kvzoo.metrics.frechet import frechet_distance, mean_distance
    from kvzoo.run.features import FrozenFeatures

    if len(examples[0]) < 4:
        raise InputError(f"evaluate: at least 4 real clips are wanted, two for each half. Received: {len(examples[0])}")
    # Fixed halves of the real clips, of equal size; what is generated is as many as one of them.
    order = np.random.default_rng(0).permutation(len(examples[0]))
    count = len(order) // 2
    real, labels = examples[0][order], examples[1][order] if len(examples) > 1 else None
    inputs, given = {x.name for x in model.network.inputs}, {}
    if "label" in inputs:
        given["labels"] = labels[:count]
    if "image" in inputs:
        given["images"] = real[:count, 0]
    parts = model.parts(count, seed=asked.seed, **given)
    made = to_uint8(parts["clip"])

    frames, image_size, *_ = model.clip_shape
    features = FrozenFeatures(frames, image_size)
    first, second, fake = features(real[:count]), features(real[count : 2 * count]), features(made)
    # Against the half whose labels and images it was given none of.
    metrics = {
        "frechet_distance": frechet_distance(fake, second),
        "real_frechet_distance": frechet_distance(first, second),
        "diversity": mean_distance(fake),
        "real_diversity": mean_distance(second),
    }
    metrics["frechet_ratio"] = metrics["frechet_distance"] / (metrics["real_frechet_distance"] or float("nan"))
    metrics["diversity_ratio"] = metrics["diversity"] / (metrics["real_diversity"] or float("nan"))
    measures = {
        "frechet_distance": "squared Fréchet distance of generated clips to one half of the real ones, in the features",
        "real_frechet_distance": "the same of the other half of the real ones",
        "diversity": "mean distance between two generated clips, in the features",
        "real_diversity": "the same of real ones",
        "frechet_ratio": "frechet_distance / real_frechet_distance: 1 is as near as real clips are",
        "diversity_ratio": "diversity / real_diversity: near 0 the clips are all alike",
    }
    conditions = {
        "features": features.name,
        "generated": count,
        "noise_seed": asked.seed,
        "value_range": "0 to 255, generated clips rounded to whole numbers as the real ones are",
    }
    if "mask" in parts:
        moves = np.abs(made - np.median(made, axis=1, keepdims=True)).mean(-1) > 255 * MOVES
        masked = parts["mask"][..., 0] > 0.5
        metrics["mask"] = float(parts["mask"].mean())
        metrics["mask_iou"] = float((moves & masked).sum() / max(1, (moves | masked).sum()))
        measures["mask"] = "mean of the generated masks: 0 is all background, 1 all foreground"
        measures["mask_iou"] = (
            f"overlap of mask > 0.5 with where clips move: pixels that differ from their median over time by {MOVES}"
        )
    if asked.judge is not None and labels is not None:
        accuracy, judge = _agreement(asked.judge, made, labels[:count])
        metrics["class_accuracy"] = accuracy
        measures["class_accuracy"] = "share of the generated clips that the judge takes for the class asked for"
        conditions["judge"] = judge
    return _Measured(metrics, measures, conditions)


def _agreement(run: str | os.PathLike, made, labels) -> tuple[float, str]:
    """Return the share of generated clips that a run's classifier takes for the class asked for, and its name."""
    import numpy as np

    from kvzoo import zoo

    judge = zoo.load(run, precision="float32")
    if judge.clip_shape[-1] == 1 and made.shape[-1] == 3:
        raise InputError(f"--judge {run}: takes grey clips, these are in colour")
    if judge.clip_shape[-1] == 3 and made.shape[-1] == 1:
        made = made.repeat(3, axis=-1)
    if tuple(made.shape[1:]) != judge.clip_shape:
        raise InputError(f"--judge {run}: takes clips {judge.clip_shape}. Received: {tuple(made.shape[1:])}")
    taken = [np.asarray(judge.predict_on_batch(made[i : i + 16])).argmax(1) for i in range(0, len(made), 16)]
    return float((np.concatenate(taken) == labels).mean()), f"{judge.spec.name} of {run}"


# How each kind of model is measured, and on how many clips where nobody says.
EVALUATORS = {"reconstructor": _reconstruction, "generator": _generation, "classifier": _classification}
CLIPS = {"reconstructor": 128, "generator": 512, "classifier": 512}
