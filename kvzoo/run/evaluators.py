"""How each kind of model is measured: its figures on examples, and what each of them is.

An evaluator takes the model, the part of the data that the examples are of, the examples, which it reads in batches of uint8
arrays, the batch size and what was asked, and returns what it measured. It holds figures, never all clips.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kvzoo.errors import InputError

if TYPE_CHECKING:
    from kvzoo.run.evaluate import Examples
    from kvzoo.run.speed_baselines import Features

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


def reconstruction(model, part, examples: "Examples", batch_size: int, asked: Asked) -> Measured:
    """How near the output is to the input, and how sharp."""
    import numpy as np

    from kvzoo.metrics import quality

    parts: dict[str, list] = {"mse": [], "psnr": [], "ssim": [], "sharpness": [], "input_sharpness": []}
    for batch, *_ in examples.batches(batch_size):
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


def classification(model, part, examples: "Examples", batch_size: int, asked: Asked) -> Measured:
    """How often the class is told right."""
    import numpy as np
    from sklearn.metrics import balanced_accuracy_score, log_loss

    chances, labels = _chances(model, examples, batch_size)
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


def _chances(model, examples: "Examples", batch_size: int):
    """Return the probabilities of the classes, (N, K), and the classes, (N,)."""
    import numpy as np

    from kvzoo.losses.base import to_chances

    rows = [(to_chances(model.predict_on_batch(clips)), labels) for clips, labels in examples.batches(batch_size)]
    return tuple(np.concatenate(parts) for parts in zip(*rows, strict=True))


def speediness(model, part, examples: "Examples", batch_size: int, asked: Asked) -> Measured:
    """Whether clips are told from the same ones at twice the speed; pairs lie one after the other."""
    import numpy as np
    from sklearn.metrics import log_loss

    chances, labels = _chances(model, examples, batch_size)
    sped_up = chances[:, 1]
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


def add_speed_baselines(measured: Measured, training: "Features", parts: "Mapping[str, Features]") -> None:
    """Add what regressions, fitted on training examples, say of each part, by the prefix of its figures."""
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
    measured.conditions["baselines"] = f"fitted on {len(training.labels)} training clips at f = 1 and 2 (scikit-learn)"


def generation(model, part, examples: "Examples", batch_size: int, asked: Asked) -> Measured:
    """How near generated clips are to real ones, how varied, and where they move."""
    import numpy as np

    from kvzoo.losses.base import to_uint8
    from kvzoo.metrics.frechet import frechet_distance, mean_distance
    from kvzoo.run.features import BATCH, FrozenFeatures

    judge = None if asked.judge is None else _Judge(asked.judge, model.clip_shape)
    frames, image_size, *_ = model.clip_shape
    features = FrozenFeatures(frames, image_size)
    # Of the real clips what counts is kept: features, first frames, labels.
    rows = [(features(clips), clips[:, 0].copy(), *labels) for clips, *labels in examples.batches(BATCH)]
    real, images, *labels = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    if len(real) < 4:
        raise InputError(f"evaluate: at least 4 real clips are wanted, two for each half. Received: {len(real)}")
    # Fixed halves of the real clips, of equal size; what is generated is as many as one of them.
    order = np.random.default_rng(0).permutation(len(real))
    count = len(order) // 2
    first, second = real[order[:count]], real[order[count : 2 * count]]
    inputs, given = {x.name for x in model.network.inputs}, {}
    if "noise" in inputs:
        given["noise"] = np.random.default_rng(asked.seed).standard_normal((count, model.noise_dim))
    if "label" in inputs:
        given["labels"] = labels[0][order[:count]]
    if "image" in inputs:
        given["images"] = images[order[:count]]

    generated, masks, overlap, union, agreed = [], [], 0, 0, 0
    for start in range(0, count, BATCH):
        at = slice(start, min(count, start + BATCH))
        parts = model.parts(at.stop - start, **{name: values[at] for name, values in given.items()})
        made = to_uint8(parts["clip"])
        generated.append(features(made))
        if "mask" in parts:
            moves = np.abs(made - np.median(made, axis=1, keepdims=True)).mean(-1) > 255 * MOVES
            masked = parts["mask"][..., 0] > 0.5
            masks.append(parts["mask"].mean(axis=(1, 2, 3, 4), dtype=np.float64))
            overlap, union = overlap + (moves & masked).sum(), union + (moves | masked).sum()
        if judge and labels:
            agreed += (judge(made) == labels[0][order[at]]).sum()
    fake = np.concatenate(generated)
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
    if masks:
        metrics["mask"] = float(np.concatenate(masks).mean())
        metrics["mask_iou"] = float(overlap / max(1, union))
        measures["mask"] = "mean of the generated masks: 0 is all background, 1 all foreground"
        measures["mask_iou"] = (
            f"overlap of mask > 0.5 with where clips move: pixels that differ from their median over time by {MOVES}"
        )
    if judge and labels:
        metrics["class_accuracy"] = float(agreed / count)
        measures["class_accuracy"] = "share of the generated clips that the judge takes for the class asked for"
        conditions["judge"] = judge.name
    return Measured(metrics, measures, conditions)


def translation(model, part, examples: "Examples", batch_size: int, asked: Asked) -> Measured:
    """How near the frames that are made are to the true ones, beside the trivial baselines."""
    import numpy as np

    from kvzoo.metrics import quality
    from kvzoo.metrics.baselines import baselines

    given, wanted = part.times()
    trivial = baselines(given, wanted)
    parts: dict[tuple[str, str], list] = {}
    for inputs, targets in examples.batches(batch_size):
        made = np.asarray(model.predict_on_batch(inputs), np.float64)
        truth = targets / 255.0
        alike = _with_channels(inputs / 255.0, targets.shape[-1])
        seen = {"model": (made + 1.0) / 2.0} | {name: make(alike, given, wanted) for name, make in trivial.items()}
        parts.setdefault(("target", "sharpness"), []).append(quality.sharpness(truth))
        for name, clips in seen.items():
            # Of each frame by itself, as papers on interpolation have it.
            frames, true_frames = (x.reshape(-1, 1, *x.shape[2:]) for x in (clips, truth))
            psnr = quality.psnr(frames, true_frames).reshape(clips.shape[:2])
            parts.setdefault((name, "psnr"), []).append(psnr)
            parts.setdefault((name, "ssim"), []).append(quality.ssim(clips, truth))
            parts.setdefault((name, "sharpness"), []).append(quality.sharpness(clips))
    figures: dict[str, dict] = {}
    for (name, figure), values in parts.items():
        figures.setdefault(name, {})[figure] = np.concatenate(values)
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


class _Judge:
    """The classifier of a run, which is asked of generated clips.

    Args:
        run: its folder.
        shape: (T, H, W, C) of the clips.

    Attributes:
        name: of the model and its run.

    Raises:
        InputError: the classifier takes other clips.
    """

    def __init__(self, run: str | os.PathLike, shape: tuple[int, ...]):
        from kvzoo import zoo

        self._model = zoo.load(run, precision="float32")
        self.name = f"{self._model.spec.name} of {run}"
        wanted = self._model.clip_shape
        self._grey = shape[-1] == 1 and wanted[-1] == 3
        if wanted[-1] == 1 and shape[-1] == 3:
            raise InputError(f"--judge {run}: takes grey clips, these are in colour")
        if wanted[:-1] != shape[:-1]:
            raise InputError(f"--judge {run}: takes clips {wanted}. Received: {shape}")

    def __call__(self, made):
        """Return the classes (N,) that clips uint8 (N, T, H, W, C) are taken for."""
        import numpy as np

        made = made.repeat(3, axis=-1) if self._grey else made
        return np.asarray(self._model.predict_on_batch(made)).argmax(1)


# By kind of model; what is trained by binary_speed has its own. And on how many clips where nobody says.
EVALUATORS = {
    "reconstructor": reconstruction,
    "translator": translation,
    "generator": generation,
    "classifier": classification,
}
CLIPS = {"reconstructor": 128, "translator": 128, "generator": 512, "classifier": 512}
