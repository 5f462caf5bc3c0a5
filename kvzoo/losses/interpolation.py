"""The loss `interpolation`: the frames between two against the true ones, their motion against the true motion.

Examples are inputs and targets, as for `conditional`. Where the sampler adds the truth (`interpolate_truth`), motion is
learned from it too: a flow has a gradient at every pixel then, however wrong it is, where pictures have one only
within the reach of their texture.
"""

from collections.abc import Mapping

import keras
from keras import ops

from kvzoo.errors import InputError
from kvzoo.losses import arrays
from kvzoo.losses.alternating import AlternatingModel
from kvzoo.losses.base import to_unit_range
from kvzoo.registry import ModelSpec


class Interpolation(AlternatingModel):
    """Trains a translator: `.fit(inputs, targets)` or `.fit(inputs, (targets, truth))`.

    Inputs (N, n, H, W, C) and targets (N, m, H, W, C) are uint8 or float -1..1, the truth float (N, m, H/2, W/2, 6): the
    flow to the first frame and to the last in pixels of that size, down and to the right, and visibility in both.

    A term of the spec is given {"inputs", "targets", "flow", "visible"} and the network's parts. One that reads the
    truth is left out, and its weight with it, where an example has none, as in validation.

    Metrics, means over the epoch: `g_loss`, what is minimised; `l1`, the mean absolute error on -1..1; `psnr`, the mean
    of the frames' PSNR in dB on values scaled to 0..1; `g_norm`, the gradient's norm; each term by its name, not
    weighted. Validation leaves the norm and the truth's terms out.

    Args:
        networks: the translator as "network".
        spec, config, loss_name: as for every model.
        l1_weight: of the error's mean; terms have their own weights.
        terms: weights of the spec's terms by name; the spec's own where left out, 0 turns one off.

    Raises:
        InputError: discriminators, or nothing to minimise.
    """

    def __init__(
        self,
        networks: dict[str, keras.Model],
        spec: ModelSpec,
        config: dict,
        loss_name: str = "interpolation",
        l1_weight: float = 100.0,
        terms: Mapping[str, float] | None = None,
    ):
        super().__init__({"network": networks["network"]}, spec, config, loss_name, terms)
        if not (l1_weight or self.terms):
            raise InputError(f"loss {loss_name}: l1_weight is 0 and {spec.name} has no term: nothing to minimise")
        self.l1_weight = l1_weight
        self.count("g_loss", "l1", "psnr", *self.terms, "g_norm")

    @property
    def clip_shapes(self) -> tuple[tuple[int, ...], ...]:
        return self.clip_shape, tuple(self.network.output_shape[1:])

    def check_example(self, where, x, y, weights, look=True):
        super().check_example(where, x, y, weights, look)
        targets, truth = _apart(y)
        if targets is None:
            raise InputError(f"{where}: the loss {self.loss_name} requires .fit(inputs, targets). Received: no targets")
        for name, clips, shape in zip(("inputs", "targets"), (x, targets), self.clip_shapes, strict=True):
            self.check_clips(f"{where}: {name}", clips, shape, look, arrays.count_of(x))
        if truth is not None:
            frames, height, width, _ = self.clip_shapes[1]
            arrays.check_numbers(f"{where}: truth", truth, (frames, height // 2, width // 2, 6), look)

    def check_inputs(self, where, inputs, look=True):
        self.check_clips(f"{where}: inputs", inputs, self.clip_shape, look)

    def alternate(self, data) -> dict:
        example = self._example(data)
        made, pull = self.make(example)
        self.learn(made, pull, lambda made: self._loss(example, made))
        self.optimizer.step_done()
        return self.results(self._means)

    def judge(self, data) -> dict:
        example = self._example(data)
        loss, metrics = self._loss(example, self.view(example, training=False))
        metrics = {"g_loss": loss, **metrics}
        self.record(metrics, ops.shape(example["inputs"])[0])
        return self.results(metrics)

    def _loss(self, example: dict, parts: dict):
        """Return what is minimised, and the metrics."""
        parts = {name: ops.cast(value, "float32") for name, value in parts.items()}
        error = parts["clip"] - ops.cast(example["targets"], "float32")
        # A square error on -1..1 is four times that on 0..1.
        squares = ops.mean(ops.square(error), axis=(2, 3, 4)) / 4.0
        metrics = {
            "l1": ops.mean(ops.abs(error)),
            "psnr": ops.mean(-10.0 * ops.log10(ops.maximum(squares, 1e-10))),
        }
        total = self.l1_weight * metrics["l1"]
        for name, (function, weight) in self.terms.items():
            if "flow" in example or not self.spec.terms[name].truth:
                metrics[name] = function(example, parts)
                total = total + weight * metrics[name]
        return total, metrics

    def _example(self, data) -> dict:
        """Return inputs and targets, -1..1, and flow and visibility where there is a truth."""
        targets, truth = _apart(data[1])
        # On PyTorch a batch comes as NumPy's.
        example = {
            name: ops.convert_to_tensor(to_unit_range(clips))
            for name, clips in {"inputs": data[0], "targets": targets}.items()
        }
        if truth is not None:
            truth = ops.convert_to_tensor(truth)
            example |= {"flow": truth[..., :4], "visible": truth[..., 4:]}
        return example


def _apart(y):
    """Return targets and truth, None where there is none."""
    return tuple(y) if isinstance(y, (tuple, list)) and len(y) == 2 else (y, None)
