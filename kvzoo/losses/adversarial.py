"""The loss `adversarial`: a generator and its critics, trained in turns.

A critic learns to tell real clips from generated ones, the generator to make it err (Goodfellow et al., "Generative
Adversarial Networks", NIPS 2014, arXiv 1406.2661). In a step the critics are updated first; then what they, as
updated, say about the same generated clips is pulled back through the generator, which has run once.

With critic scores r of real and f of generated clips, means over all, softplus(x) = log(1 + exp(x)):

    variant           a critic minimises                             the generator minimises
    log               (softplus(-r) + softplus(f)) / 2               softplus(-f)
    hinge             max(0, 1 - r) + max(0, 1 + f)                  -f
    least_squares     ((r - 1)^2 + f^2) / 2                          (f - 1)^2 / 2
    wasserstein_gp    f - r + penalty * (|gradient| - 1)^2           -f

`log` is the non-saturating loss of the 2014 paper, its two halves averaged as VideoGAN has it (Vondrick et al., NIPS
2016); `label_smoothing` s has real clips count as real by 1 - s (Salimans et al., 2016, arXiv 1606.03498).
`hinge`: Lim and Ye, 2017, arXiv 1705.02894. `least_squares`: Mao et al., ICCV 2017, arXiv 1611.04076.
`wasserstein_gp`: Gulrajani et al., NIPS 2017, arXiv 1704.00028; the gradient is that of a clip's score at a random
point between a real and a generated clip. The paper's critics have no batch norm, because it mixes the clips.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, nullcontext

import keras
import numpy as np
from keras import ops

from kvzoo.errors import InputError
from kvzoo.kernels import private
from kvzoo.losses import arrays
from kvzoo.losses.alternating import AlternatingModel, pick, share, vjp
from kvzoo.losses.base import to_uint8, to_unit_range
from kvzoo.registry import ModelSpec

log = logging.getLogger("kvzoo")

GENERATOR_INPUTS = ("noise", "label", "image")
CRITIC_INPUTS = ("clip", "label", "image")
JUDGED_ON = 1024  # draws of noise that validation goes through


def _log_loss(real, fake, smoothing):
    as_real = (1.0 - smoothing) * ops.softplus(-real) + smoothing * ops.softplus(real)
    return (ops.mean(as_real) + ops.mean(ops.softplus(fake))) / 2.0


def _hinge_loss(real, fake, _):
    return ops.mean(ops.relu(1.0 - real)) + ops.mean(ops.relu(1.0 + fake))


def _least_squares_loss(real, fake, _):
    return (ops.mean(ops.square(real - 1.0)) + ops.mean(ops.square(fake))) / 2.0


def _wasserstein_loss(real, fake, _):
    return ops.mean(fake) - ops.mean(real)


# variant: what a critic minimises, what the generator does, the score above which a clip is taken for real
VARIANTS = {
    "log": (_log_loss, lambda fake: ops.mean(ops.softplus(-fake)), 0.0),
    "hinge": (_hinge_loss, lambda fake: -ops.mean(fake), 0.0),
    "least_squares": (_least_squares_loss, lambda fake: ops.mean(ops.square(fake - 1.0)) / 2.0, 0.5),
    "wasserstein_gp": (_wasserstein_loss, lambda fake: -ops.mean(fake), None),
}


class SpectralNorm:
    """Spectral normalisation of a critic (Miyato et al., ICLR 2018, arXiv 1802.05957).

    The critic's convolutions and dense layers read W / sigma in place of W, where sigma is W's largest singular
    value, followed by one power iteration each time that W is new: once for a critic's update and once for what the
    generator learns from. Gradients go through sigma. Keras's own layer divides W itself by sigma: then JAX alone
    has a gradient through sigma, and PyTorch refuses two passes, of real and generated clips, before a gradient.

    Args:
        critic: its network.
        add_weight: makes the vectors u, which are state of the model.
    """

    def __init__(self, critic: keras.Model, add_weight):
        kinds = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
        self.critic = critic
        self.pairs = []
        for layer in private.layers_of(critic):
            if isinstance(layer, kinds):
                u = add_weight(
                    shape=(layer.kernel.shape[-1],),
                    initializer=keras.initializers.RandomNormal(stddev=1.0),
                    trainable=False,
                    dtype="float32",
                    name=f"{critic.name}_{layer.name}_u",
                )
                self.pairs.append((layer.kernel, u))

    @contextmanager
    def __call__(self, training: bool):
        """Let the critic read normalised kernels meanwhile; in training u moves on."""
        normalised = []
        for kernel, u in self.pairs:
            weights = ops.reshape(ops.cast(kernel.value, "float32"), (-1, kernel.shape[-1]))
            still = ops.stop_gradient(weights)
            right = _unit(ops.matmul(still, ops.convert_to_tensor(u.value)))
            left = _unit(ops.matmul(right, still))
            if training:
                u.assign(left)
            sigma = ops.sum(ops.matmul(right, weights) * left)
            normalised.append((kernel, kernel.value / ops.cast(sigma, kernel.dtype)))
        known = [(v, v.value) for v in self.critic.variables]
        with keras.StatelessScope(state_mapping=known + normalised) as scope:
            moving = [(v, scope.get_current_value(v)) for v in self.critic.non_trainable_variables]
            yield
        for variable, before in moving:
            if (now := scope.get_current_value(variable)) is not before:
                variable.assign(now)


def _unit(vector):
    return vector / ops.maximum(ops.sqrt(ops.sum(ops.square(vector))), 1e-12)


class Adversarial(AlternatingModel):
    """Trains a generator: `.fit(clips)` with clips (N, T, H, W, C), uint8 or float -1..1.

    `.fit(clips, labels)` with labels (N,), integers from 0, where the generator or a critic takes a "label" or a
    critic has a class head; generated clips are asked for with the real ones' labels. An "image" is the real clip's
    first frame. The generator's inputs are named "noise" (B, Z), "label" (B,) and "image" (B, H, W, C), a critic's
    "clip" (B, T, H, W, C), "label" and "image". A critic answers with scores of any shape (B, …), or with
    {"score", "classes"}, where classes (B, K) are logits of a class head (Odena et al., "Conditional Image Synthesis
    with Auxiliary Classifier GANs", ICML 2017, arXiv 1610.09585): its cross-entropy counts on real clips in the
    critic's loss, on generated ones in the generator's.

    Critics see real and generated clips in batches of their own, so that batch norm tells them apart as in VideoGAN's
    code, and the third pass, that the generator learns from, moves the running statistics as well, as in
    PyTorch's training mode; only validation reads them. What several critics say is summed in the generator's loss
    (MoCoGAN, Tulyakov et al., CVPR 2018, arXiv 1707.04993), not averaged.

    Metrics, means over the epoch, those of a critic with its name behind where there are several: `g_loss` and
    `d_loss`, what the players minimise; `real_accuracy` and `fake_accuracy`, shares that a critic is right on
    (wasserstein_gp: `distance`, its estimate of the distance, and `penalty`); `real_class_accuracy` and
    `fake_class_accuracy`; `g_norm` and `d_norm`, gradient norms; each term by its name, not weighted. Validation
    runs in inference mode and leaves out norms and the penalty. Its figures are means over clips, each on the same noise
    every time, so they do not depend on the size of batches; only a term that is no mean over clips would.

    Args:
        networks: the generator as "network", critics by their names.
        spec, config, loss_name: as for every model.
        variant: one of VARIANTS.
        gradient_penalty: weight of wasserstein_gp's penalty; 10 when None.
        label_smoothing: how little less than 1 real clips count as real, `log` only.
        critic_steps: critic updates in a step, each against noise of its own and the same real clips; the generator is
            updated on the last of the noise.
        critic_learning_rate: of the critics' optimizers (Heusel et al., NIPS 2017, arXiv 1706.08500: two time
            scales); the generator's when None. With a schedule it is the rate that theirs begins at, and stays in the
            same proportion to the generator's.
        spectral_norm: normalise the critics' kernels.
        class_weight: of the class head's cross-entropy.
        terms: weights of the spec's terms by name; the spec's own where left out, 0 turns one off.

    Raises:
        InputError: networks that do not fit together, or options that exclude each other.
    """

    def __init__(
        self,
        networks: dict[str, keras.Model],
        spec: ModelSpec,
        config: dict,
        loss_name: str = "adversarial",
        variant: str = "log",
        gradient_penalty: float | None = None,
        label_smoothing: float = 0.0,
        critic_steps: int = 1,
        critic_learning_rate: float | None = None,
        spectral_norm: bool = False,
        class_weight: float = 1.0,
        terms: Mapping[str, float] | None = None,
    ):
        _check_networks(networks, spec)
        super().__init__(networks, spec, config, loss_name, terms, critic_learning_rate)
        self.variant, self.label_smoothing, self.critic_steps = variant, label_smoothing, critic_steps
        self.class_weight = class_weight
        self.gradient_penalty = 10.0 if gradient_penalty is None else gradient_penalty
        self._check_options(gradient_penalty)
        self.seed_generator = keras.random.SeedGenerator()
        if self.noise_dim:
            self._judged_on = np.random.default_rng(0).standard_normal((JUDGED_ON, self.noise_dim), "float32")
        self._norms = {n: SpectralNorm(networks[n], self.add_weight) for n in self.critics} if spectral_norm else {}
        heads = {name: _class_head(networks[name]) for name in self.critics}
        named = max((units for units in heads.values() if units), default=None)
        self.takes_labels = bool(named) or any(x.name == "label" for n in networks.values() for x in n.inputs)
        self.classes = (named or config.get("classes") or None) if self.takes_labels else None

        self.count("g_loss")
        for name in self.critics:
            self.count(self.of(name, "d_loss"))
        for name in self.critics:
            told = ("distance", "penalty") if variant == "wasserstein_gp" else ("real_accuracy", "fake_accuracy")
            told += ("real_class_accuracy", "fake_class_accuracy") if heads[name] else ()
            self.count(*(self.of(name, metric) for metric in told))
        self.count(*self.terms, "g_norm", *(self.of(name, "d_norm") for name in self.critics))

    def _check_options(self, gradient_penalty: float | None) -> None:
        where = f"loss {self.loss_name}"
        if self.variant not in VARIANTS:
            raise InputError(f"{where}: variant: one of {', '.join(VARIANTS)} is wanted. Received: {self.variant!r}")
        if self.label_smoothing and self.variant != "log":
            raise InputError(f"{where}: label_smoothing is for the variant log. Received: variant {self.variant}")
        if gradient_penalty is not None and self.variant != "wasserstein_gp":
            raise InputError(
                f"{where}: gradient_penalty is for the variant wasserstein_gp. Received: variant {self.variant}"
            )
        if self.variant == "wasserstein_gp":
            if self.dtype_policy.name == "mixed_float16":
                raise InputError(
                    f"{where}: the penalty of wasserstein_gp underflows in mixed_float16; take mixed_bfloat16"
                )
            critics = [network for name, network in self.networks.items() if name != "network"]
            if any(isinstance(x, keras.layers.BatchNormalization) for c in critics for x in private.layers_of(c)):
                log.warning(
                    "wasserstein_gp: a critic of %s has batch norm; the penalty is of one clip's score, "
                    "and the paper leaves batch norm out",
                    self.spec.name,
                )

    @property
    def clip_shape(self) -> tuple[int, ...]:
        return tuple(self.network.output_shape[1:])

    def call(self, inputs, training=None):
        if isinstance(inputs, Mapping) and "image" in inputs:
            inputs = {**inputs, "image": to_unit_range(inputs["image"])}
        return self.network(inputs, training=training)

    # One step

    def updates(self, name: str) -> int:
        return 1 if name == "network" else self.critic_steps

    def alternate(self, data) -> dict:
        real, given = self._given(data)
        size = ops.shape(real)[0]
        for left in reversed(range(self.critic_steps)):
            inputs = {**given, "noise": self.draw_noise(size)} if self.noise_dim else given
            if left:
                made = self.view(inputs, training=True)
            else:
                made, pull = self.make(inputs)
            for name in self.critics:
                self._update_critic(name, real, ops.stop_gradient(made["clip"]), given)
        self.learn(made, pull, lambda made: self._generator_loss(made, inputs, real, True))
        self.optimizer.step_done()
        return self.results(self._means)

    def _update_critic(self, name: str, real, fake, given: dict) -> None:
        between = None
        if self.variant == "wasserstein_gp":
            part = self.draw_mixture(ops.shape(real)[0])
            between = part * ops.cast(real, "float32") + (1.0 - part) * ops.cast(fake, "float32")
        self.improve(name, lambda: self._critic_loss(name, real, fake, given, True, between))

    def judge(self, data) -> dict:
        real, given = self._given(data)
        size, seen = ops.shape(real)[0], {}
        if self.noise_dim:
            given["noise"] = self._noise_of_judge(size)
        made = self.view(given, training=False)
        for name in self.critics:
            loss, beside = self._critic_loss(name, real, made["clip"], given, False)
            seen |= {self.of(name, metric): value for metric, value in {"d_loss": loss, **beside}.items()}
        loss, beside = self._generator_loss(made, given, real, False)
        seen |= {"g_loss": loss, **beside}
        self.record(seen, size)
        return self.results(seen)

    # Losses

    def _critic_loss(self, name: str, real, fake, given: dict, training: bool, between=None):
        """Return what a critic minimises, and its metrics; `between` are clips to take the penalty at."""
        critic_loss, _, threshold = VARIANTS[self.variant]
        with self._norms[name](training) if self._norms else nullcontext():
            r, real_classes = self._judge(name, real, given, training)
            f, fake_classes = self._judge(name, fake, given, training)
            penalty = None if between is None else self._penalty(name, between, given)
        loss = critic_loss(r, f, self.label_smoothing)
        if threshold is None:
            beside = {"distance": ops.mean(r) - ops.mean(f)}
        else:
            beside = {"real_accuracy": share(r > threshold), "fake_accuracy": share(f <= threshold)}
        if penalty is not None:
            loss = loss + self.gradient_penalty * penalty
            beside["penalty"] = penalty
        if real_classes is not None:
            label = given["label"]
            loss = loss + self.class_weight * _cross_entropy(real_classes, label)
            beside["real_class_accuracy"] = _class_accuracy(real_classes, label)
            beside["fake_class_accuracy"] = _class_accuracy(fake_classes, label)
        return loss, beside

    def _penalty(self, name: str, between, given: dict):
        def score(clips):
            scores, _ = self._judge(name, clips, given, True)
            # A clip's score is the mean of its patches'.
            per_clip = ops.mean(ops.reshape(scores, (ops.shape(scores)[0], -1)), axis=1)
            return ops.sum(per_clip), ()

        _, _, pull = vjp(score, (), (between,), self.state_of(name), twice=True)
        (gradient,) = pull(ops.ones(()))[1]
        square = ops.sum(ops.square(gradient), axis=(1, 2, 3, 4))
        # The root of 0 has no gradient.
        return ops.mean(ops.square(ops.sqrt(square + 1e-12) - 1.0))

    def _generator_loss(self, made: dict, inputs: dict, real, training: bool):
        """Return what the generator minimises, and its terms."""
        generator_loss = VARIANTS[self.variant][1]
        made = {name: ops.cast(value, "float32") for name, value in made.items()}
        total = 0.0
        for name in self.critics:
            with self._norms[name](training) if self._norms else nullcontext():
                scores, classes = self._judge(name, made["clip"], inputs, training)
            total = total + generator_loss(scores)
            if classes is not None:
                total = total + self.class_weight * _cross_entropy(classes, inputs["label"])
        more, beside = self.add_terms({**inputs, "clip": real}, made)
        return total + more, beside

    def _judge(self, name: str, clip, given: dict, training: bool):
        """Return a critic's scores, and the logits of its class head or None, float32."""
        critic = self.networks[name]
        told = critic(pick(critic, {**given, "clip": clip}), training=training)
        scores, classes = (told["score"], told.get("classes")) if isinstance(told, Mapping) else (told, None)
        return ops.cast(scores, "float32"), None if classes is None else ops.cast(classes, "float32")

    def state_of(self, critic: str) -> list:
        norm = self._norms.get(critic)
        return [*super().state_of(critic), *([u for _, u in norm.pairs] if norm else [])]

    # What networks are given

    def check_example(self, where, x, y, weights, look=True):
        super().check_example(where, x, y, weights, look)
        self.check_clips(f"{where}: clips", x, self.clip_shape, look)
        if self.takes_labels:
            if y is None:
                raise InputError(f"{where}: {self.spec.name} is trained with labels: .fit(clips, labels) is wanted")
            arrays.check_labels(f"{where}: labels", y, arrays.count_of(x), self.classes, look)

    def check_inputs(self, where, inputs, look=True):
        wanted = {x.name: tuple(x.shape[1:]) for x in self.network.inputs}
        if not isinstance(inputs, Mapping):
            inputs = inputs if isinstance(inputs, (list, tuple)) else [inputs]
            inputs = dict(zip(wanted, inputs, strict=False)) if len(inputs) == len(wanted) else {}
        if set(inputs) != set(wanted):
            raise InputError(f"{where}: {self.spec.name} takes {' and '.join(wanted)}")
        for name, value in inputs.items():
            if name == "image":
                self.check_clips(f"{where}: {name}", value, wanted[name], look)
            elif name == "label":
                arrays.check_labels(f"{where}: {name}", value, None, self.classes, look)
            else:
                arrays.check_numbers(f"{where}: {name}", value, wanted[name], look)

    @property
    def noise_dim(self) -> int | None:
        """Z, how many numbers the generator's noise has; None where it takes none."""
        return next((x.shape[1] for x in self.network.inputs if x.name == "noise"), None)

    def draw_noise(self, size):
        """Return noise of a step (size, Z)."""
        return keras.random.normal((size, self.noise_dim), seed=self.seed_generator)

    def _noise_of_judge(self, size):
        """Return the noise of the clips to judge next (size, Z): a clip's own, however clips are batched."""
        # The first metric has counted the clips so far.
        first = ops.cast(self._means["g_loss"].count, "int32")
        return ops.take(ops.convert_to_tensor(self._judged_on), (first + ops.arange(size)) % JUDGED_ON, axis=0)

    def draw_mixture(self, size):
        """Return the shares of real clips in those that the penalty is taken at, (size, 1, 1, 1, 1) in 0..1."""
        return keras.random.uniform((size, 1, 1, 1, 1), seed=self.seed_generator)

    def _given(self, data):
        """Return real clips -1..1, and what networks are given beside noise."""
        clips, labels, _ = data
        # On PyTorch a batch comes as NumPy's.
        real = ops.convert_to_tensor(to_unit_range(clips))
        given = {"image": real[:, 0]}
        if self.takes_labels:
            given["label"] = ops.cast(ops.reshape(labels, (-1,)), "int32")
        return real, given

    # Generating

    def generate(
        self,
        count: int,
        seed: int = 0,
        labels: int | Sequence[int] | None = None,
        images: np.ndarray | None = None,
        noise: np.ndarray | None = None,
    ) -> np.ndarray:
        """Make clips.

        Args:
            count: N, how many.
            seed: of the noise, which NumPy draws: the same clips on every backend, to rounding.
            labels: (N,), integers from 0, or one for all; where the generator takes labels.
            images: (N, H, W, C), uint8 or float -1..1; where the generator takes images.
            noise: (N, Z) float in place of what `seed` would draw.

        Returns:
            uint8 (N, T, H, W, C).

        Raises:
            InputError: something is missing, not wanted, or of another shape.
        """
        return to_uint8(self.parts(count, seed, labels, images, noise)["clip"])

    def parts(self, count: int, seed: int = 0, labels=None, images=None, noise=None) -> dict[str, np.ndarray]:
        """Make clips and show what they are made of; takes what `generate` takes.

        Returns:
            float32 arrays: "clip" (N, T, H, W, C) in -1..1, and each of the spec's maps that the network has.
        """
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
            raise InputError(f"generate: count: at least 1 is wanted. Received: {count!r}")
        given = {"noise": noise, "label": labels, "image": images}
        wanted = {x.name: x for x in self.network.inputs}
        for name, value in given.items():
            if value is not None and name not in wanted:
                raise InputError(f"generate: {self.spec.name} takes no {name}; it takes {' and '.join(wanted)}")
            if value is None and name in wanted and name != "noise":
                raise InputError(f"generate: {self.spec.name} wants {name}s, one for each clip")
        inputs = {}
        if "noise" in wanted:
            draw = np.random.default_rng(seed).standard_normal((count, self.noise_dim))
            inputs["noise"] = np.asarray(draw if noise is None else noise, "float32")
        if "label" in wanted:
            inputs["label"] = self._checked_labels(labels, count)
        if "image" in wanted:
            inputs["image"] = np.asarray(ops.convert_to_numpy(to_unit_range(np.asarray(images))), "float32")
        for name, value in inputs.items():
            shape = (count, *wanted[name].shape[1:])
            if value.shape != shape:
                raise InputError(f"generate: {name}: an array {shape} is wanted. Received: {value.shape}")
        if "noise" in wanted:
            arrays.check_numbers("generate: noise", inputs["noise"], wanted["noise"].shape[1:])
        if "image" in wanted:
            self.check_clips("generate: images", np.asarray(images), wanted["image"].shape[1:])
        view = self.view.network
        made = [
            view.predict_on_batch({name: value[start : start + 16] for name, value in inputs.items()})
            for start in range(0, count, 16)
        ]
        return {name: np.concatenate([np.asarray(part[name], "float32") for part in made]) for name in self.view.names}

    def _checked_labels(self, labels, count: int) -> np.ndarray:
        labels = np.asarray(labels)
        limit = np.iinfo("int32").max if self.classes is None else self.classes
        if labels.dtype.kind not in "iu" or labels.min(initial=0) < 0 or labels.max(initial=0) >= limit:
            raise InputError(
                f"generate: labels: integers from 0{f' to {limit - 1}' if self.classes else ''} are wanted. "
                f"Received: {labels.tolist()}"
            )
        return np.full(count, labels, "int32") if labels.ndim == 0 else labels.astype("int32")


def _cross_entropy(logits, label):
    return ops.mean(ops.sparse_categorical_crossentropy(label, logits, from_logits=True))


def _class_accuracy(logits, label):
    return share(ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), label))


def _class_head(critic: keras.Model) -> int | None:
    told = critic.output
    return told["classes"].shape[-1] if isinstance(told, Mapping) and "classes" in told else None


def _check_networks(networks: dict[str, keras.Model], spec: ModelSpec) -> None:
    where = f"model {spec.name}"
    generator = networks["network"]
    critics = {name: network for name, network in networks.items() if name != "network"}
    if not critics:
        raise InputError(
            f"{where}: the loss adversarial wants a critic, and the spec names none: critics={{'critic': 'module:function'}}"
        )
    if len(generator.outputs) != 1 or len(generator.outputs[0].shape) != 5 or None in generator.outputs[0].shape[1:]:
        shapes = [tuple(x.shape) for x in generator.outputs]
        raise InputError(f"{where}: the generator returns one clip (B, T, H, W, C) of a fixed size. Received: {shapes}")
    shape = tuple(generator.outputs[0].shape[1:])
    sizes = {"clip": shape, "image": shape[1:], "label": ()}
    for part, network in networks.items():
        who, legal = ("the generator", GENERATOR_INPUTS) if part == "network" else (f"the critic {part}", CRITIC_INPUTS)
        for x in network.inputs:
            if x.name not in legal:
                raise InputError(f"{where}: {who} has an input {x.name!r}; inputs are named {', '.join(legal)}")
            if x.name in sizes and tuple(x.shape[1:]) != sizes[x.name]:
                raise InputError(
                    f"{where}: {who}'s input {x.name} is (B, …) with … = {sizes[x.name]}. Received: {tuple(x.shape[1:])}"
                )
        if part != "network" and "clip" not in {x.name for x in network.inputs}:
            raise InputError(f"{where}: {who} has no input named clip")
        if part != "network" and isinstance(network.output, Mapping) and "score" not in network.output:
            raise InputError(f"{where}: {who} returns no score, but {', '.join(network.output)}")
