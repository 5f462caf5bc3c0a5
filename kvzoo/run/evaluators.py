"""How each kind of model is measured: its figures on examples, and what each of them is.

An evaluator takes the model, the part of the data that the examples are of, the examples as uint8 arrays, the batch size and
what was asked, and returns what it measured.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kvzoo.errors import InputError

MOVES = 0.1  # of values 0..1, mean of channels


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
class Measured:
    """What an evaluator found: figures, what each is, and conditions of its own."""

    metrics: dict[str, float]
    measures: dict[str, str]
    conditions: dict[str, Any] = field(default_factory=dict)
    frames: list[dict[str, Any]] = field(default_factory=list)


def reconstruction(model, part, examples: tuple, batch_size: int, asked: Asked) -> Measured:
    """How near the output is to the input, and how sharp."""
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
    return Measured(metrics, measures, {"value_range": "0 to 1, the model's output neither clipped nor rounded"})


def classification(model, part, examples: tuple, batch_size: int, asked: Asked) -> Measured:
    """How often the class is told right."""
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
    return Measured(metrics, measures, {"value_range": "logits"})


def _chances(model, clips, batch_size: int):
    """Return the probabilities of the classes, (N, K)."""
    import numpy as np

    from kvzoo.losses.base import to_chances

    starts = range(0, len(clips), batch_size)
    return np.concatenate([to_chances(model.predict_on_batch(clips[i : i + batch_size])) for i in starts])


def speediness(model, part, examples: tuple, batch_size: int, asked: Asked) -> Measured:
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
    return Measured(metrics, measures, {"value_range": "logits", "speeds": "f = 1 and 2 by regular skipping"})


def add_speed_baselines(measured: Measured, training: tuple, parts: Mapping[str, tuple]) -> None:
    """Add what regressions, fitted on training examples, say of each part: examples by the prefix of its figures."""
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


def generation(model, part, examples: tuple, batch_size: int, asked: Asked) -> Measured:
    """How near generated clips are to real ones, how varied, and where they move."""
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
    return Measured(metrics, measures, conditions)


def translation(model, part, examples: tuple, batch_size: int, asked: Asked) -> Measured:
    """How near the frames that are made are to the true ones, beside the trivial baselines."""
    import numpy as np

    from kvzoo.metrics import quality
    from kvzoo.metrics.baselines import baselines

    inputs, targets = examples
    given, wanted = part.times()
    starts = range(0, len(inputs), batch_size)
    made = np.concatenate([np.asarray(model.predict_on_batch(inputs[i : i + batch_size])) for i in starts])
    truth = targets / 255.0
    seen = {"model": (made.astype(np.float64) + 1.0) / 2.0}
    alike = _with_channels(inputs / 255.0, targets.shape[-1])
    trivial = baselines(given, wanted)
    seen |= {name: make(alike, given, wanted) for name, make in trivial.items()}

    figures = {"target": {"sharpness": quality.sharpness(truth)}}
    for name, clips in seen.items():
        # Of each frame by itself, as papers on interpolation have it.
        frames, true_frames = (x.reshape(-1, 1, *x.shape[2:]) for x in (clips, truth))
        figures[name] = {
            "psnr": quality.psnr(frames, true_frames).reshape(clips.shape[:2]),
            "ssim": quality.ssim(clips, truth),
            "sharpness": quality.sharpness(clips),
        }
    means = {
        "psnr": "dB, mean of the frames' PSNR, 100 at most, which equal frames get",
        "ssim": "mean of the frames' SSIM: Gaussian window of 11 pixels, sigma 1.5, mean of channels (scikit-image)",
        "sharpness": "mean of the frames' variance of the Laplacian (OpenCV)",
    }
    what = {
        "cross_fade": "of the linear blend of the inputs before and after",
        "nearest": "of the input that is nearest in time",
        "copy_last": "of the latest input",
        "target": "of the true frames",
    }
    metrics, measures = {}, {}
    for name in ("model", *trivial, "target"):
        for figure, values in figures[name].items():
            key = figure if name == "model" else f"{name}_{figure}"
            metrics[key] = float(values.mean())
            measures[key] = means[figure] if name == "model" else f"the same {what[name]}"
    rows = [
        {"time": int(time)}
        | {name: {figure: float(values[:, i].mean()) for figure, values in f.items()} for name, f in figures.items()}
        for i, time in enumerate(wanted)
    ]
    conditions = {
        "inputs": f"frames {', '.join(map(str, given))} of each example",
        "targets": f"frames {', '.join(map(str, wanted))}",
        "value_range": "0 to 1, the model's output neither clipped nor rounded",
    }
    return Measured(metrics, measures, conditions, rows)


def _with_channels(clips, channels: int):
    """Return clips with so many channels, for baselines that show inputs in place of targets."""
    if clips.shape[-1] == channels:
        return clips
    # ITU-R BT.601, as OpenCV's grey.
    return clips.repeat(3, axis=-1) if channels == 3 else (clips @ [0.299, 0.587, 0.114])[..., None]


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


# By kind of model; what is trained by binary_speed has its own. And on how many clips where nobody says.
EVALUATORS = {
    "reconstructor": reconstruction,
    "translator": translation,
    "generator": generation,
    "classifier": classification,
}
CLIPS = {"reconstructor": 128, "translator": 128, "generator": 512, "classifier": 512}
