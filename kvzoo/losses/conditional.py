"""The loss `conditional`: pix2pix's, frames to frames against the true ones and against a critic of both.

Isola, Zhu, Zhou and Efros, "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017, arXiv
1611.07004. A critic is shown what the network was given together with what is said to belong to it, the true frames
or the network's. With its scores r of true and f of made pairs, means over all, softplus(x) = log(1 + exp(x)):

    a critic minimises       (softplus(-r) + softplus(f)) / 2
    the network minimises    gan_weight * softplus(-f) + l1_weight * |made - true|

the non-saturating log loss of the paper, the critic's halved as there. A step is one of the critics, then `g_steps`
of the network; the first of them learns from the very frames that the critics saw, in each further one it runs anew.
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

    The network's one input is named "inputs"; a critic's are "inputs" and "targets", and it answers with scores of any
    shape (B, …). Critics see true and made pairs in batches of their own. Without the GAN's part (`gan_weight: 0`)
    a network needs no critics, and those that it has are left out.

    A term of the spec is given {"inputs", "targets"} and the network's parts, its output by the name of "clip".

    Metrics, means over the epoch, those of a critic with its name behind where there are several: `g_loss` and
    `d_loss`, what the players minimise; `l1`, the mean absolute error on -1..1; `psnr`, the mean of the frames' PSNR
    in dB on values scaled to 0..1; `real_accuracy` and `fake_accuracy`, shares that a critic is right on; `g_norm` and
    `d_norm`, gradient norms; each term by its name, not weighted. Validation leaves the norms out; critics judge in
    inference mode, the network does what it does in `predict`. Its figures are means over clips, whatever the size of
    batches; with `test_time: paper`, whose batch norm reads the batch, they do depend on what is batched together.

    Args:
        networks: the translator as "network", critics by their names.
        spec, config, loss_name: as for every model.
        gan_weight, l1_weight: of the two parts of the network's loss (paper: 1 and 100).
        g_steps: updates of the network for each of the critics.
        test_time: what the network does outside of training. "inference": no dropout, running batch-norm statistics,
            so that a result does not depend on what else is in the batch. "paper": dropout and the batch's own
            statistics, as pix2pix has it with batches of one; the same dropout for every call, and nothing changes in
            the network. The saved network is the same: `network(x, training=True)` is its "paper" mode.
        terms: weights of the spec's terms by name; the spec's own where left out, 0 turns one off.

    Raises:
        InputError: networks that do not fit together, a GAN without a critic, nothing to minimise.
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
            raise InputError(f"{where}: {spec.name} names no critic; gan_weight: 0 trains it without one")
        super().__init__(networks, spec, config, loss_name, terms)
        if not (gan_weight or l1_weight or self.terms):
            raise InputError(f"{where}: gan_weight and l1_weight are both 0: nothing is left to minimise")
        self.gan_weight, self.l1_weight, self.g_steps, self.test_time = gan_weight, l1_weight, g_steps, test_time

        self.count("g_loss", *(self.of(name, "d_loss") for name in self.critics), "l1", "psnr")
        for name in self.critics:
            self.count(self.of(name, "real_accuracy"), self.of(name, "fake_accuracy"))
        self.count(*self.terms, "g_norm", *(self.of(name, "d_norm") for name in self.critics))

    @property
    def clip_shapes(self) -> tuple[tuple[int, ...], ...]:
        return self.clip_shape, tuple(self.network.output_shape[1:])

    def check_example(self, where, x, y, weights, look=True):
        super().check_example(where, x, y, weights, look)
        if y is None:
            raise InputError(f"{where}: the loss {self.loss_name} wants .fit(inputs, targets). Received: no targets")
        for name, clips, shape in zip(("inputs", "targets"), (x, y), self.clip_shapes, strict=True):
            self.check_clips(f"{where}: {name}", clips, shape, look, arrays.count_of(x))

    def check_inputs(self, where, inputs, look=True):
        self.check_clips(f"{where}: inputs", inputs, self.clip_shape, look)

    def call(self, inputs, training=None):
        return self._translate(to_unit_range(inputs), training)["clip"]

    def _translate(self, inputs, training=None) -> dict:
        """Return the network's parts by name."""
        if training or self.test_time == "inference":
            return self.view({"inputs": inputs}, training=bool(training))
        # What dropout and batch norm would change is forgotten with the scope.
        with keras.StatelessScope(state_mapping=[(v, v.value) for v in self.network.variables]):
            return self.view({"inputs": inputs}, training=True)

    # One step

    def updates(self, name: str) -> int:
        return self.g_steps if name == "network" else 1

    def alternate(self, data) -> dict:
        given = self._given(data)
        made, pull = self.make(given)
        for name in self.critics:
            self.improve(name, lambda name=name: self._critic_loss(name, given, made["clip"], True))
        for done in range(self.g_steps):
            if done:
                made, pull = self.make(given)
            self.learn(made, pull, lambda made: self._network_loss(given, made, True))
        self.optimizer.step_done()
        return self.results(self._means)

    def judge(self, data) -> dict:
        given = self._given(data)
        made, seen = self._translate(given["inputs"]), {}
        for name in self.critics:
            loss, beside = self._critic_loss(name, given, made["clip"], False)
            seen |= {self.of(name, metric): value for metric, value in {"d_loss": loss, **beside}.items()}
        loss, beside = self._network_loss(given, made, False)
        seen |= {"g_loss": loss, **beside}
        self.record(seen, ops.shape(given["inputs"])[0])
        return self.results(seen)

    # Losses

    def _critic_loss(self, name: str, given: dict, fake, training: bool):
        """Return what a critic minimises, and its metrics."""
        r = self._score(name, given["inputs"], given["targets"], training)
        f = self._score(name, given["inputs"], fake, training)
        loss = (ops.mean(ops.softplus(-r)) + ops.mean(ops.softplus(f))) / 2.0
        return loss, {"real_accuracy": share(r > 0.0), "fake_accuracy": share(f <= 0.0)}

    def _network_loss(self, given: dict, made: dict, training: bool):
        """Return what the network minimises, and its metrics."""
        made = {name: ops.cast(value, "float32") for name, value in made.items()}
        error = made["clip"] - ops.cast(given["targets"], "float32")
        # A square error on -1..1 is four times that on 0..1.
        squares = ops.mean(ops.square(error), axis=(2, 3, 4)) / 4.0
        beside = {
            "l1": ops.mean(ops.abs(error)),
            "psnr": ops.mean(-10.0 * ops.log10(ops.maximum(squares, 1e-10))),
        }
        total = self.l1_weight * beside["l1"]
        for name in self.critics:
            f = self._score(name, given["inputs"], made["clip"], training)
            total = total + self.gan_weight * ops.mean(ops.softplus(-f))
        more, terms = self.add_terms(given, made)
        return total + more, beside | terms

    def _score(self, name: str, inputs, targets, training: bool):
        """Return a critic's scores of a pair, float32."""
        critic = self.networks[name]
        return ops.cast(critic(pick(critic, {"inputs": inputs, "targets": targets}), training=training), "float32")

    def _given(self, data) -> dict:
        """Return inputs and targets, -1..1."""
        given = {"inputs": data[0], "targets": data[1]}
        # On PyTorch a batch comes as NumPy's.
        return {name: ops.convert_to_tensor(to_unit_range(clips)) for name, clips in given.items()}


def _check_networks(networks: dict[str, keras.Model], spec: ModelSpec) -> None:
    where = f"model {spec.name}"
    shapes = {}
    for part, network in networks.items():
        who, legal = ("the network", {"inputs"}) if part == "network" else (f"the critic {part}", {"inputs", "targets"})
        names = {x.name for x in network.inputs}
        if names != legal:
            raise InputError(f"{where}: {who}'s inputs are named {' and '.join(sorted(legal))}. Received: {names}")
        if part == "network":
            shapes = {"inputs": tuple(network.inputs[0].shape[1:]), "targets": tuple(network.outputs[0].shape[1:])}
            for name, shape in shapes.items():
                if len(network.outputs) != 1 or len(shape) != 4 or None in shape:
                    raise InputError(
                        f"{where}: a translator takes and returns frames (B, T, H, W, C) of a fixed size. "
                        f"Received: {name} {shape}, {len(network.outputs)} outputs"
                    )
        for x in network.inputs:
            if tuple(x.shape[1:]) != shapes[x.name]:
                raise InputError(
                    f"{where}: {who}'s input {x.name} is (B, …) with … = {shapes[x.name]}. "
                    f"Received: {tuple(x.shape[1:])}"
                )
