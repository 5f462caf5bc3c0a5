"""The loss `conditional`: pix2pix's, frames to frames, against the true ones and against a discriminator of both.

Isola, Zhu, Zhou and Efros, "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017, arXiv
1611.07004. A discriminator sees the network's inputs together with either the true frames or the network's. With its
scores r of true and f of generated pairs, means over all, softplus(x) = log(1 + exp(x)):

    a discriminator minimises   (softplus(-r) + softplus(f)) / 2
    the network minimises       gan_weight * softplus(-f) + l1_weight * |output - target|

the non-saturating log loss of the paper, the discriminator's halved as there. A step, as `Conditional.alternate` writes
it, is one update of the discriminators, then `g_steps` of the network; the first learns from the very frames that the
discriminators saw, for each further one the network runs again.
"""

from collections.abc import Mapping

import keras
from keras import ops

from kvzoo.errors import InputError
from kvzoo.losses import arrays
from kvzoo.losses.alternating import AlternatingModel, pick, share
from kvzoo.losses.base import to_unit_range
from kvzoo.registry import ModelSpec


class Conditional(AlternatingModel):
    """Trains a translator: `.fit(inputs, targets)`, (N, n, H, W, C) and (N, m, H, W, C'), uint8 or float -1..1.

    The network's one input is named "inputs"; a discriminator's are "inputs" and "targets", and it returns scores of any
    shape (B, …). Discriminators see true and generated pairs in separate batches. Without the GAN (`gan_weight: 0`) a
    network needs no discriminators, and those that it has are left out.

    A term of the spec reads {"inputs", "targets"} and the network's outputs by name, its own output as "clip".

    Metrics, means over the epoch, a discriminator's with its name appended where there are several: `g_loss` and
    `d_loss`, what the networks minimise; `l1`, the mean absolute error on -1..1; `psnr`, the mean of the frames' PSNR
    in dB on values scaled to 0..1; `real_accuracy` and `fake_accuracy`, shares that a discriminator gets right; `g_norm`
    and `d_norm`, gradient norms; each term by its name, not weighted. Validation omits the norms; discriminators run in
    inference mode, the network as in `predict`. Its metrics are means over clips, whatever the batch size; with
    `test_time: paper`, whose batch norm reads the batch, they do depend on what is batched together.

    Args:
        networks: the translator as "network", discriminators by their names.
        spec, config, loss_name: as for every model.
        gan_weight, l1_weight: of the two halves of the network's loss (paper: 1 and 100).
        g_steps: network updates per discriminator update.
        test_time: what the network does outside of training. "inference": no dropout, running batch-norm statistics,
            so that a result does not depend on what else is in the batch. "paper": dropout and the batch's own
            statistics, as in pix2pix with batches of one; the same dropout for every call, and nothing changes in
            the network. The saved network is the same: `network(x, training=True)` is its "paper" mode.
        terms: weights of the spec's terms by name; the spec's own by default, 0 turns one off.

    Raises:
        InputError: networks that do not fit together, a GAN without a discriminator, nothing to minimise.

    Example:
        >>> import kvzoo, numpy as np
        >>> model = kvzoo.get("pix2pix", frames_out=1, image_size=32, width=1, patch=16)
        >>> inputs, targets = (np.zeros((2, *shape), "uint8") for shape in model.clip_shapes)
        >>> logs = model.train_on_batch(inputs, targets, return_dict=True)
        >>> sorted(logs)
        ['d_loss', 'd_norm', 'fake_accuracy', 'g_loss', 'g_norm', 'l1', 'psnr', 'real_accuracy']
    """

    def __init__(
        self,
        networks: dict[str, keras.Model],
        spec: ModelSpec,
        config: dict,
        loss_name: str = "conditional",
        gan_weight: float = 1.0,
        l1_weight: float = 100.0,
        g_steps: int = 1,
        test_time: str = "inference",
        terms: Mapping[str, float] | None = None,
    ):
        _check_networks(networks, spec)
        where = f"loss {loss_name}"
        if not gan_weight:
            networks = {"network": networks["network"]}
        elif len(networks) == 1:
            raise InputError(f"{where}: {spec.name} has no discriminator; gan_weight: 0 trains it without one")
        super().__init__(networks, spec, config, loss_name, terms)
        if not (gan_weight or l1_weight or self.terms):
            raise InputError(f"{where}: gan_weight and l1_weight are both 0: nothing is left to minimise")
        self.gan_weight, self.l1_weight, self.g_steps, self.test_time = gan_weight, l1_weight, g_steps, test_time

        self.add_means("g_loss", *(self.metric_of(name, "d_loss") for name in self.discriminators), "l1", "psnr")
        for name in self.discriminators:
            self.add_means(self.metric_of(name, "real_accuracy"), self.metric_of(name, "fake_accuracy"))
        self.add_means(*self.terms, "g_norm", *(self.metric_of(name, "d_norm") for name in self.discriminators))

    @property
    def clip_shapes(self) -> tuple[tuple[int, ...], ...]:
        return self.clip_shape, tuple(self.network.output_shape[1:])

    def call(self, inputs, training=None):
        return self._translate(to_unit_range(inputs), training)["clip"]

    def _translate(self, inputs, training=None) -> dict:
        """Return the network's outputs by name, outside of a step."""
        if training or self.test_time == "inference":
            return self.view({"inputs": inputs}, training=bool(training))
        # What dropout and batch norm would change is discarded with the scope.
        with keras.StatelessScope(state_mapping=[(v, v.value) for v in self.network.variables]):
            return self.view({"inputs": inputs}, training=True)

    # One step

    def alternate(self, data) -> dict:
        example = self._read(data)
        outputs, pullback = self.run_network(example)
        for name in self.discriminators:
            self.update_discriminator(
                name, lambda name=name: self._discriminator_loss(name, example, outputs["clip"], True)
            )
        for step in range(self.g_steps):
            if step:
                outputs, pullback = self.run_network(example)
            self.update_network(outputs, pullback, lambda outputs: self._network_loss(example, outputs, True))
        self.optimizer.step_done()
        return self.results(self._means)

    def updates(self, name: str) -> int:
        return self.g_steps if name == "network" else 1

    def score(self, data) -> dict:
        example = self._read(data)
        outputs, logs = self._translate(example["inputs"]), {}
        for name in self.discriminators:
            loss, metrics = self._discriminator_loss(name, example, outputs["clip"], False)
            logs |= {self.metric_of(name, metric): value for metric, value in {"d_loss": loss, **metrics}.items()}
        loss, metrics = self._network_loss(example, outputs, False)
        logs |= {"g_loss": loss, **metrics}
        self.record(logs, ops.shape(example["inputs"])[0])
        return self.results(logs)

    def _read(self, data) -> dict:
        """Return a batch's inputs and targets, -1..1."""
        inputs, targets, _ = data
        # On PyTorch a batch is NumPy's.
        return {
            name: ops.convert_to_tensor(to_unit_range(clips))
            for name, clips in (("inputs", inputs), ("targets", targets))
        }

    # Losses

    def _discriminator_loss(self, name: str, example: dict, fake, training: bool):
        """Return what a discriminator minimises, and its metrics."""
        r = self._scores(name, example["inputs"], example["targets"], training)
        f = self._scores(name, example["inputs"], fake, training)
        loss = (ops.mean(ops.softplus(-r)) + ops.mean(ops.softplus(f))) / 2.0
        return loss, {"real_accuracy": share(r > 0.0), "fake_accuracy": share(f <= 0.0)}

    def _network_loss(self, example: dict, outputs: dict, training: bool):
        """Return what the network minimises, and its metrics."""
        outputs = {name: ops.cast(value, "float32") for name, value in outputs.items()}
        error = outputs["clip"] - ops.cast(example["targets"], "float32")
        # A square error on -1..1 is four times that on 0..1.
        squares = ops.mean(ops.square(error), axis=(2, 3, 4)) / 4.0
        metrics = {
            "l1": ops.mean(ops.abs(error)),
            "psnr": ops.mean(-10.0 * ops.log10(ops.maximum(squares, 1e-10))),
        }
        total = self.l1_weight * metrics["l1"]
        for name in self.discriminators:
            f = self._scores(name, example["inputs"], outputs["clip"], training)
            total = total + self.gan_weight * ops.mean(ops.softplus(-f))
        sum_of_terms, terms = self.add_terms(example, outputs)
        return total + sum_of_terms, metrics | terms

    def _scores(self, name: str, inputs, targets, training: bool):
        """Return a discriminator's scores of pairs, float32."""
        discriminator = self.networks[name]
        pair = pick(discriminator, {"inputs": inputs, "targets": targets})
        return ops.cast(discriminator(pair, training=training), "float32")

    # Checks

    def check_example(self, where, x, y, weights, look=True):
        super().check_example(where, x, y, weights, look)
        if y is None:
            raise InputError(f"{where}: the loss {self.loss_name} requires .fit(inputs, targets). Received: no targets")
        for name, clips, shape in zip(("inputs", "targets"), (x, y), self.clip_shapes, strict=True):
            self.check_clips(f"{where}: {name}", clips, shape, look, arrays.count_of(x))

    def check_inputs(self, where, inputs, look=True):
        self.check_clips(f"{where}: inputs", inputs, self.clip_shape, look)


def _check_networks(networks: dict[str, keras.Model], spec: ModelSpec) -> None:
    """Refuse networks whose inputs and outputs do not fit together.

    Raises:
        InputError: in one line, with what is legal.
    """
    where = f"model {spec.name}"
    shapes = {}
    for name, network in networks.items():
        main = name == "network"
        who, legal = ("the network", {"inputs"}) if main else (f"the discriminator {name}", {"inputs", "targets"})
        names = {x.name for x in network.inputs}
        if names != legal:
            raise InputError(
                f"{where}: {who}'s inputs must be named {' and '.join(sorted(legal))}. Received: {', '.join(sorted(names))}"
            )
        if main:
            shapes = {"inputs": tuple(network.inputs[0].shape[1:]), "targets": tuple(network.outputs[0].shape[1:])}
            for key, shape in shapes.items():
                if len(network.outputs) != 1 or len(shape) != 4 or None in shape:
                    raise InputError(
                        f"{where}: a translator must take and return frames (B, T, H, W, C) of a fixed size. "
                        f"Received: {key} {shape}, {len(network.outputs)} outputs"
                    )
        for x in network.inputs:
            if tuple(x.shape[1:]) != shapes[x.name]:
                raise InputError(
                    f"{where}: {who}'s input {x.name} must be (B, …) with … = {shapes[x.name]}. "
                    f"Received: {tuple(x.shape[1:])}"
                )
