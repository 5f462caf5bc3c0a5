"""Generation of clips from noise, a label or an image."""

import os

import numpy as np

from kvzoo.errors import InputError
from kvzoo.losses.base import VideoModel, to_uint8
from kvzoo.media.clips import stack, strip, write_gif, write_png
from kvzoo.metrics.frechet import frechet_distance, mean_distance
from kvzoo.tasks.base import Task, check_shape
from kvzoo.tasks.measured import Measured
from kvzoo.tasks.samples import COUNT, GAP, Drawn, Shown

FRAMES = 8  # of each generated clip in a picture: the whole would be wider than a screen
MOVES = 0.1  # of values 0..1, mean of channels


class Generation(Task):
    """Clips are not compared one by one, so metrics of plugins are not included."""

    repeatable = False

    def draw(self, model, shown):
        """Draw clips from fixed noise, labels or images, each above its parts."""
        parts = parts_of(model, shown)
        names, rows = [*parts], [to_frames(part, len(parts["clip"][0])) for part in parts.values()]
        if "image" in (x.name for x in model.network.inputs):
            names.insert(0, "image")
            rows.insert(0, np.repeat(shown.clips[: len(rows[0]), :1], len(rows[0][0]), axis=1))
        at = np.linspace(0, len(rows[0][0]) - 1, FRAMES).round().astype(int)
        strips = [stack([strip(part[i][at]) for part in rows], axis=0, gap=0) for i in range(len(rows[0]))]
        note = {"clips": len(strips), "gap": GAP, "rows": names}
        picture = stack(strips, axis=0, gap=GAP)
        columns = [np.concatenate([part[i] for part in rows], axis=1) for i in range(len(rows[0]))]
        moving = stack(columns, axis=2)
        real, clips = shown.clips / 255.0, (parts["clip"] + 1) / 2
        return Drawn(
            {
                ".png": lambda path: write_png(path, picture, note),
                ".gif": lambda path: write_gif(path, moving, shown.fps),
            },
            {"diversity": _spread(clips) / (_spread(real) or 1.0)},
        )

    def evaluate(self, model, clips, examples, batch_size, options):
        """Measure the distance of generated clips to real ones, their diversity, and their masks."""
        from kvzoo.tasks.frozen_features import BATCH, FrozenFeatures

        judge = None if options.judge is None else _Judge(options.judge, model.clip_shape)
        frames, image_size, *_ = model.clip_shape
        features = FrozenFeatures(frames, image_size)
        # Only the features, first frames and labels of real clips stay in memory.
        rows = [(features(clips), clips[:, 0].copy(), *labels) for clips, *labels in examples.batches(BATCH)]
        real, images, *labels = (np.concatenate(parts) for parts in zip(*rows, strict=True))
        if len(real) < 4:
            raise InputError(f"evaluate: at least 4 real clips are required, two for each half. Received: {len(real)}")
        # Fixed halves of the real clips, of equal size; what is generated is as many as one of them.
        order = np.random.default_rng(0).permutation(len(real))
        count = len(order) // 2
        first, second = real[order[:count]], real[order[count : 2 * count]]
        names, inputs = {x.name for x in model.network.inputs}, {}
        if "noise" in names:
            inputs["noise"] = np.random.default_rng(options.seed).standard_normal((count, model.noise_dim))
        if "label" in names:
            inputs["labels"] = labels[0][order[:count]]
        if "image" in names:
            inputs["images"] = images[order[:count]]

        generated, masks, overlap, union, agreed = [], [], 0, 0, 0
        for start in range(0, count, BATCH):
            at = slice(start, min(count, start + BATCH))
            parts = model.parts(at.stop - start, **{name: values[at] for name, values in inputs.items()})
            fake_clips = to_uint8(parts["clip"])
            generated.append(features(fake_clips))
            if "mask" in parts:
                moves = np.abs(fake_clips - np.median(fake_clips, axis=1, keepdims=True)).mean(-1) > 255 * MOVES
                masked = parts["mask"][..., 0] > 0.5
                masks.append(parts["mask"].mean(axis=(1, 2, 3, 4), dtype=np.float64))
                overlap, union = overlap + (moves & masked).sum(), union + (moves | masked).sum()
            if judge and labels:
                agreed += (judge(fake_clips) == labels[0][order[at]]).sum()
        fake = np.concatenate(generated)
        # Against the half whose labels and images were not used as inputs.
        metrics = {
            "frechet_distance": frechet_distance(fake, second),
            "real_frechet_distance": frechet_distance(first, second),
            "diversity": mean_distance(fake),
            "real_diversity": mean_distance(second),
        }
        metrics["frechet_ratio"] = metrics["frechet_distance"] / (metrics["real_frechet_distance"] or float("nan"))
        metrics["diversity_ratio"] = metrics["diversity"] / (metrics["real_diversity"] or float("nan"))
        conditions = {
            "features": features.name,
            "generated": count,
            "noise_seed": options.seed,
            "value_range": "0 to 255, generated clips rounded to whole numbers as the real ones are",
        }
        if masks:
            metrics["mask"] = float(np.concatenate(masks).mean())
            metrics["mask_iou"] = float(overlap / max(1, union))
        if judge and labels:
            metrics["class_accuracy"] = float(agreed / count)
            conditions["judge"] = judge.name
        return Measured(metrics, conditions)

    def check_shapes(self, model, inputs, output):
        config = model.config
        size = config.get("image_size")
        check_shape(model, "the output", output, (2, config.get("frames"), size, size, config.get("channels")))

    def outcome(self, model, examples):
        """What it makes of the same noise: its steps draw noise, which the backends do not share."""
        clips, inputs = examples[0], {}
        names = {x.name for x in model.network.inputs}
        if "label" in names:
            inputs["labels"] = examples[-1]
        if "image" in names:
            inputs["images"] = clips[:, 0]
        fake_clips = model.generate(len(clips), seed=1, **inputs).astype(float)
        return float(fake_clips.mean()), fake_clips.mean((1, 2, 3, 4)).tolist()


def parts_of(model: VideoModel, shown: Shown) -> dict[str, np.ndarray]:
    """Return the fixed sample of a generator and its parts by name, float32 (N, T or 1, H, W, C)."""
    names = {x.name for x in model.network.inputs}
    count = len(shown.clips) if "image" in names else COUNT
    inputs: dict = {}
    if "label" in names:
        # Classes take turns; where there are fewer than clips, one has several noises.
        inputs["labels"] = np.arange(count, dtype="int32") % (len(shown.classes) or model.classes or 1)
    if "image" in names:
        inputs["images"] = shown.clips[:, 0]
    return model.parts(count, seed=0, **inputs)


def to_frames(part: np.ndarray, frames: int) -> np.ndarray:
    """Return a part of a generated clip as uint8 clips: what is still is repeated, a mask (0..1) becomes grey."""
    colour = part.shape[-1] != 1 or part.min() < 0
    part = to_uint8(part if colour else part * 2 - 1)
    if part.shape[-1] == 1:
        part = part.repeat(3, axis=-1)
    return np.repeat(part, frames, axis=1) if part.shape[1] == 1 else part


def _spread(clips: np.ndarray) -> float:
    """Return the mean absolute difference between two clips, of values 0..1."""
    count = len(clips)
    pairs = [np.abs(clips[i] - clips[j]).mean() for i in range(count) for j in range(i)]
    return float(np.mean(pairs)) if pairs else 0.0


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
        own = self._model.clip_shape
        self._grey = shape[-1] == 1 and own[-1] == 3
        if own[-1] == 1 and shape[-1] == 3:
            raise InputError(f"--judge {run}: supports only grey clips; these are in colour")
        if own[:-1] != shape[:-1]:
            raise InputError(f"--judge {run}: requires clips of shape {own}. Received: {shape}")

    def __call__(self, clips):
        """Return the predicted classes (N,) of clips uint8 (N, T, H, W, C)."""
        clips = clips.repeat(3, axis=-1) if self._grey else clips
        return np.asarray(self._model.predict_on_batch(clips)).argmax(1)
