"""Translation of input frames to target frames, such as those between two or those that follow."""

import numpy as np

from kvzoo.losses.base import to_uint8
from kvzoo.media.clips import stack, strip, write_gif, write_png
from kvzoo.metrics import quality
from kvzoo.metrics.baselines import baselines
from kvzoo.tasks.base import ExtraMetrics, Task, check_shape
from kvzoo.tasks.measured import Measured
from kvzoo.tasks.samples import ERROR, Drawn, error_of, to_colour

GAP = 8  # pixels between the examples of an image


class Translation(Task):
    """Metrics of plugins receive (output, target), float64 (N, m, H, W, C) in 0..1, the output not clipped."""

    def draw(self, model, shown):
        """Inputs, prediction, target and its error, one below the other; the picture has a column for each time."""
        output = to_uint8(model.predict_on_batch(shown.clips))
        rows = [to_colour(part) for part in (shown.clips, output, shown.targets, error_of(output, shown.targets))]
        input_times, target_times = (list(times) for times in shown.times)
        columns = sorted({*input_times, *target_times})
        paper = np.full(rows[0].shape[2:], 255, np.uint8)

        def row(part: np.ndarray, times: list) -> np.ndarray:
            return strip(np.stack([part[times.index(t)] if t in times else paper for t in columns]))

        strips = [
            stack([row(part[i], input_times if k == 0 else target_times) for k, part in enumerate(rows)], axis=0, gap=0)
            for i in range(len(output))
        ]
        # Side by side two by two: four rows for each would be higher than a screen.
        half = (len(strips) + 1) // 2
        strips += [np.full_like(strips[0], 255)] * (2 * half - len(strips))
        sides = [stack(side, axis=0, gap=GAP) for side in (strips[:half], strips[half:])]
        picture = stack(sides, axis=1, gap=GAP)

        def at(part: np.ndarray, times: list, time: int) -> np.ndarray:
            """The frames of a time: those of the last one before it that there are, or the first."""
            return part[:, times.index(max([t for t in times if t <= time], default=min(times)))]

        moving = []
        for time in range(columns[0], columns[-1] + 1):
            inputs = at(rows[0], input_times, time)
            # Where a frame is an input, prediction and target are the same.
            is_input = time in input_times and time not in target_times
            parts = [inputs if is_input else at(part, target_times, time) for part in rows[1:3]]
            parts.append(at(rows[3], target_times, time) if time in target_times else np.zeros_like(inputs))
            moving.append(stack(list(np.concatenate([inputs, *parts], axis=1)), axis=1))
        note = {"rows": ["inputs", "prediction", "target", ERROR]}
        return Drawn(
            {
                ".png": lambda path: write_png(path, picture, note),
                ".gif": lambda path: write_gif(path, moving, shown.fps),
            }
        )

    def evaluate(self, model, clips, examples, batch_size, options):
        """Measure the output frames against the targets, next to the trivial baselines."""
        input_times, target_times = clips.times()
        trivial = baselines(input_times, target_times)
        parts: dict[tuple[str, str], list] = {}
        extra = ExtraMetrics(self.spec)
        for inputs, targets in examples.batches(batch_size):
            output = (np.asarray(model.predict_on_batch(inputs), np.float64) + 1.0) / 2.0
            truth = targets / 255.0
            inputs_alike = _with_channels(inputs / 255.0, targets.shape[-1])
            predictions = {"model": output}
            predictions |= {
                name: baseline(inputs_alike, input_times, target_times) for name, baseline in trivial.items()
            }
            extra.add(output, truth)
            parts.setdefault(("target", "sharpness"), []).append(quality.sharpness(truth))
            for name, frames in predictions.items():
                # Of each frame by itself, as papers on interpolation have it.
                single, true_single = (x.reshape(-1, 1, *x.shape[2:]) for x in (frames, truth))
                psnr = quality.psnr(single, true_single).reshape(frames.shape[:2])
                parts.setdefault((name, "psnr"), []).append(psnr)
                parts.setdefault((name, "ssim"), []).append(quality.ssim(frames, truth))
                parts.setdefault((name, "sharpness"), []).append(quality.sharpness(frames))
        figures: dict[str, dict] = {}
        for (name, figure), values in parts.items():
            figures.setdefault(name, {})[figure] = np.concatenate(values)
        metrics = {
            figure if name == "model" else f"{name}_{figure}": float(values.mean())
            for name in ("model", *trivial, "target")
            for figure, values in figures[name].items()
        }
        rows = [
            {"time": int(time)}
            | {
                name: {figure: float(values[:, i].mean()) for figure, values in f.items()}
                for name, f in figures.items()
            }
            for i, time in enumerate(target_times)
        ]
        conditions = {
            "inputs": f"frames {', '.join(map(str, input_times))} of each example",
            "targets": f"frames {', '.join(map(str, target_times))}",
            "value_range": "0 to 1, the model's output neither clipped nor rounded",
        }
        return Measured(metrics | extra.means(), conditions, rows)

    def check_shapes(self, model, inputs, output):
        config = model.config
        size, channels = config.get("image_size"), config.get("channels")
        check_shape(model, "an input", inputs, (config.get("frames_in"), size, size, channels))
        channels_out = config.get("channels_out") or (None if "channels_out" in config else channels)
        check_shape(model, "the output", output, (2, config.get("frames_out"), size, size, channels_out))


def _with_channels(clips, channels: int):
    """Return clips with so many channels, for baselines that show inputs in place of targets."""
    if clips.shape[-1] == channels:
        return clips
    # ITU-R BT.601, as OpenCV's grey.
    return clips.repeat(3, axis=-1) if channels == 3 else (clips @ [0.299, 0.587, 0.114])[..., None]
