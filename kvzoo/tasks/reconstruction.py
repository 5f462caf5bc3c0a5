"""Reconstruction of the input clip. Its figures are in kvzoo/catalog.py, like those of every task."""

import numpy as np

from kvzoo.losses.base import to_uint8
from kvzoo.media.clips import stack, strip, write_gif, write_png
from kvzoo.metrics import quality
from kvzoo.tasks.base import ExtraMetrics, Task, check_shape
from kvzoo.tasks.measured import Measured
from kvzoo.tasks.samples import ERROR, GAP, Drawn, error_of


class Reconstruction(Task):
    """Metrics of plugins receive (output, input), float64 (N, T, H, W, C) in 0..1, the output not clipped."""

    def draw(self, model, shown):
        """Input above, reconstruction below it, its error below that."""
        output = to_uint8(model.predict_on_batch(shown.clips))
        examples = list(zip(shown.clips, output, error_of(output, shown.clips), strict=True))
        note = {"clips": len(examples), "gap": GAP, "rows": ["input", "reconstruction", ERROR]}
        strips = [stack([strip(part) for part in parts], axis=0, gap=0) for parts in examples]
        picture = stack(strips, axis=0, gap=GAP)
        moving = stack([np.concatenate(parts, axis=1) for parts in examples], axis=2)
        return Drawn(
            {
                ".png": lambda path: write_png(path, picture, note),
                ".gif": lambda path: write_gif(path, moving, shown.fps),
            }
        )

    def evaluate(self, model, clips, examples, batch_size, options):
        """Measure the error and sharpness of the output."""
        values: dict[str, list] = {"mse": [], "psnr": [], "ssim": [], "sharpness": [], "input_sharpness": []}
        extra = ExtraMetrics(self.spec)
        for batch, *_ in examples.batches(batch_size):
            target = batch / 255.0
            output = (np.asarray(model.predict_on_batch(batch), np.float64) + 1.0) / 2.0
            values["mse"].append(quality.mse(output, target))
            values["psnr"].append(quality.psnr(output, target))
            values["ssim"].append(quality.ssim(output, target))
            values["sharpness"].append(quality.sharpness(output))
            values["input_sharpness"].append(quality.sharpness(target))
            extra.add(output, target)
        metrics = {name: float(np.concatenate(parts).mean()) for name, parts in values.items()}
        # Of the means: a frame without any detail has no ratio of its own.
        sharpness = metrics["input_sharpness"]
        metrics["sharpness_ratio"] = metrics["sharpness"] / sharpness if sharpness else float("nan")
        conditions = {"value_range": "0 to 1, the model's output neither clipped nor rounded"}
        return Measured(metrics | extra.means(), conditions)

    def check_shapes(self, model, inputs, output):
        config = model.config
        size = config.get("image_size")
        check_shape(model, "an input", inputs, (config.get("frames"), size, size, config.get("channels")))
        check_shape(model, "the output", output, (2, *inputs))
