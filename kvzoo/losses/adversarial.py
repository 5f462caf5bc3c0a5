"""The loss `adversarial`: a generator and its discriminators, trained in turns.

A discriminator learns to tell real clips from generated ones, the generator to make it err (Goodfellow et al.,
"Generative Adversarial Networks", NIPS 2014, arXiv 1406.2661). In a step, as `Adversarial.alternate` writes it, the
generator runs once, the discriminators are updated on its clips and real ones, then the updated discriminators score the
same generated clips, and that score's gradient is pulled back through the generator.

With scores r of real and f of generated clips, means over all, softplus(x) = log(1 + exp(x)):

    variant           a discriminator minimises                      the generator minimises
    log               (softplus(-r) + softplus(f)) / 2               softplus(-f)
    hinge             max(0, 1 - r) + max(0, 1 + f)                  -f
    least_squares     ((r - 1)^2 + f^2) / 2                          (f - 1)^2 / 2
    wasserstein_gp    f - r + penalty * (|gradient| - 1)^2           -f

`log` is the non-saturating loss of the 2014 paper, its two halves averaged as in VideoGAN (Vondrick et al., NIPS 2016);
`label_smoothing` s makes the target of real clips 1 - s (Salimans et al., 2016, arXiv 1606.03498).
`hinge`: Lim and Ye, 2017, arXiv 1705.02894. `least_squares`: Mao et al., ICCV 2017, arXiv 1611.04076.
`wasserstein_gp`: Gulrajani et al., NIPS 2017, arXiv 1704.00028; the gradient is that of a clip's score at a random
point between a real and a generated clip. The paper's discriminators, which it calls critics, have no batch norm,
because batch norm mixes the clips.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

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
DISCRIMINATOR_INPUTS = ("clip", "label", "image")
VALIDATION_NOISE = 1024  # draws of noise that validation goes through


def _log_loss(real, fake, smoothing):
    of_real = (1.0 - smoothing) * ops.softplus(-real) + smoothing * ops.softplus(real)
    return (ops.mean(of_real) + ops.mean(ops.softplus(fake))) / 2.0


def _hinge_loss(real, fake, _):
    return ops.mean(ops.relu(1.0 - real)) + ops.mean(ops.relu(1.0 + fake))


def _least_squares_loss(real, fake, _):
    return (ops.mean(ops.square(real - 1.0)) + ops.mean(ops.square(fake))) / 2.0


def _wasserstein_loss(real, fake, _):
    return ops.mean(fake) - ops.mean(real)


# variant: what a discriminator minimises, what the generator does, the score above which a clip counts as real
VARIANTS = {
    "log": (_log_loss, lambda fake: ops.mean(ops.softplus(-fake)), 0.0),
    "hinge": (_hinge_loss, lambda fake: -ops.mean(fake), 0.0),
    "least_squares": (_least_squares_loss, lambda fake: ops.mean(ops.square(fake - 1.0)) / 2.0, 0.5),
    "wasserstein_gp": (_wasserstein_loss, lambda fake: -ops.mean(fake), None),
}


class Adversarial(AlternatingModel):
    """Trains a generator: `.fit(clips)` with clips (N, T, H, W, C), uint8 or float -1..1.

    `.fit(clips, labels)` with labels (N,), integers from 0, where the generator or a discriminator takes a "label" or a
    discriminator has a class head; clips are generated for the real ones' labels. An "image" is the real clip's first
    frame. The generator's inputs are named "noise" (B, Z), "label" (B,) and "image" (B, H, W, C), a discriminator's
    "clip" (B, T, H, W, C), "label" and "image". A discriminator returns scores of any shape (B, …), or
    {"score", "classes"}, where classes (B, K) are logits of a class head (Odena et al., "Conditional Image Synthesis
    with Auxiliary Classifier GANs", ICML 2017, arXiv 1610.09585): its cross-entropy counts on real clips in the
    discriminator's loss, on generated ones in the generator's.

    Discriminators see real and generated clips in separate batches, so that batch norm tells them apart as in VideoGAN's
    code. The third pass, which the generator learns from, updates the running statistics too, as in PyTorch's training
    mode; only validation reads them. The scores of several discriminators are summed in the generator's loss (MoCoGAN,
    Tulyakov et al., CVPR 2018, arXiv 1707.04993), not averaged.

    Metrics, means over the epoch, a discriminator's with its name appended where there are several: `g_loss` and
    `d_loss`, what the networks minimise; `real_accuracy` and `fake_accuracy`, shares that a discriminator gets right
    (wasserstein_gp: `distance`, its estimate of the distance, and `penalty`); `real_class_accuracy` and
    `fake_class_accuracy`; `g_norm` and `d_norm`, gradient norms; each term by its name, not weighted. Validation
    runs in inference mode and omits the norms and the penalty. Its metrics are means over clips, each clip with the same
    noise every time, so they do not depend on the batch size, unless a term is no mean over clips.

    Args:
        networks: the generator as "network", discriminators by their names.
        spec, config, loss_name: as for every model.
        variant: one of VARIANTS.
        gradient_penalty: weight of wasserstein_gp's penalty; None is 10.
        label_smoothing: how far below 1 the target of real clips is, `log` only.
        discriminator_steps: discriminator updates per step, each with its own noise and the same real clips; the
            generator is updated on the last noise.
        discriminator_learning_rate: of the discriminators' optimizers (Heusel et al., NIPS 2017, arXiv 1706.08500: two
            time scales); None is the generator's. With a schedule it is the rate that theirs begins at, and stays in
            proportion to the generator's.
        spectral_norm: whether to normalise the discriminators' kernels.
        class_weight: of the class head's cross-entropy.
        terms: weights of the spec's terms by name; the spec's own by default, 0 turns one off.

    Raises:
        InputError: networks that do not fit together, or options that exclude each other.

    Example:
        >>> import kvzoo
        >>> model = kvzoo.get("videogan", frames=16, image_size=16, width=1, loss={"name": "adversarial", "variant": "hinge"})
        >>> logs = model.train_on_batch(np.zeros((2, 16, 16, 16, 3), "uint8"), return_dict=True)
        >>> sorted(logs)
        ['d_loss', 'd_norm', 'fake_accuracy', 'g_loss', 'g_norm', 'mask_l1', 'real_accuracy']
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
        discriminator_steps: int = 1,
        discriminator_learning_rate: float | None = None,
        spectral_norm: bool = False,
        class_weight: float = 1.0,
        terms: Mapping[str, float] | None = None,
    ):
        _check_networks(networks, spec)
        super().__init__(networks, spec, config, loss_name, terms, discriminator_learning_rate)
        self.variant, self.label_smoothing = variant, label_smoothing
        self.discriminator_steps, self.class_weight = discriminator_steps, class_weight
        self.gradient_penalty = 10.0 if gradient_penalty is None else gradient_penalty
        self._check_options(gradient_penalty)
        self.seed_generator = keras.random.SeedGenerator()
        if self.noise_dim:
            draws = np.random.default_rng(0).standard_normal((VALIDATION_NOISE, self.noise_dim), "float32")
            self._validation_noise = draws
        names = self.discriminators if spectral_norm else ()
        self._norms = {name: SpectralNorm(networks[name], self.add_weight) for name in names}
        heads = {name: _class_head(networks[name]) for name in self.discriminators}
        classes = max((units for units in heads.values() if units), default=None)
        self.takes_labels = bool(classes) or any(x.name == "label" for n in networks.values() for x in n.inputs)
        self.classes = (classes or config.get("classes") or None) if self.takes_labels else None

        self.add_means("g_loss")
        for name in self.discriminators:
            self.add_means(self.metric_of(name, "d_loss"))
        for name in self.discriminators:
            metrics = ("distance", "penalty") if variant == "wasserstein_gp" else ("real_accuracy", "fake_accuracy")
            metrics += ("real_class_accuracy", "fake_class_accuracy") if heads[name] else ()
            self.add_means(*(self.metric_of(name, metric) for metric in metrics))
        self.add_means(*self.terms, "g_norm", *(self.metric_of(name, "d_norm") for name in self.discriminators))

    def _check_options(self, gradient_penalty: float | None) -> None:
        where = f"loss {self.loss_name}"
        if self.variant not in VARIANTS:
            raise InputError(f"{where}: variant must be one of {', '.join(VARIANTS)}. Received: {self.variant!r}")
        if self.label_smoothing and self.variant != "log":
            raise InputError(f"{where}: label_smoothing is for the variant log. Received: variant {self.variant}")
        if gradient_penalty is not None and self.variant != "wasserstein_gp":
            raise InputError(
                f"{where}: gradient_penalty is for the variant wasserstein_gp. Received: variant {self.variant}"
            )
        if self.variant == "wasserstein_gp":
            if self.dtype_policy.name == "mixed_float16":
                raise InputError(
                    f"{where}: the penalty of wasserstein_gp underflows in mixed_float16; use mixed_bfloat16"
                )
            networks = [self.networks[name] for name in self.discriminators]
            if any(isinstance(x, keras.layers.BatchNormalization) for n in networks for x in private.layers_of(n)):
                log.warning(
                    "wasserstein_gp: a discriminator of %s has batch norm; the penalty is of one clip's score, "
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

    def alternate(self, data) -> dict:
        real, conditions = self._read(data)
        batch_size = ops.shape(real)[0]
        for remaining in reversed(range(self.discriminator_steps)):
            inputs = {**conditions, "noise": self.draw_noise(batch_size)} if self.noise_dim else conditions
            if remaining:
                outputs = self.view(inputs, training=True)
            else:
                outputs, pullback = self.run_network(inputs)  # the generator learns from the last noise
            for name in self.discriminators:
                self._alternate_discriminator(name, real, ops.stop_gradient(outputs["clip"]), conditions)
        self.update_network(outputs, pullback, lambda outputs: self._generator_loss(outputs, inputs, real, True))
        self.optimizer.step_done()
        return self.results(self._means)

    def _alternate_discriminator(self, name: str, real, fake, conditions: dict) -> None:
        penalty_clips = None
        if self.variant == "wasserstein_gp":
            mixture = self.draw_mixture(ops.shape(real)[0])
            penalty_clips = mixture * ops.cast(real, "float32") + (1.0 - mixture) * ops.cast(fake, "float32")
        self.update_discriminator(
            name, lambda: self._discriminator_loss(name, real, fake, conditions, True, penalty_clips)
        )

    def updates(self, name: str) -> int:
        return 1 if name == "network" else self.discriminator_steps

    def score(self, data) -> dict:
        real, inputs = self._read(data)
        batch_size, logs = ops.shape(real)[0], {}
        if self.noise_dim:
            inputs["noise"] = self._next_validation_noise(batch_size)
        outputs = self.view(inputs, training=False)
        for name in self.discriminators:
            loss, metrics = self._discriminator_loss(name, real, outputs["clip"], inputs, False)
            logs |= {self.metric_of(name, metric): value for metric, value in {"d_loss": loss, **metrics}.items()}
        loss, metrics = self._generator_loss(outputs, inputs, real, False)
        logs |= {"g_loss": loss, **metrics}
        self.record(logs, batch_size)
        return self.results(logs)

    def _read(self, data) -> tuple[Any, dict[str, Any]]:
        """Return a batch's real clips (B, T, H, W, C) in -1..1, and the networks' inputs other than clips and noise."""
        clips, labels, _ = data
        # On PyTorch a batch is NumPy's.
        real = ops.convert_to_tensor(to_unit_range(clips))
        conditions = {"image": real[:, 0]}
        if self.takes_labels:
            conditions["label"] = ops.cast(ops.reshape(labels, (-1,)), "int32")
        return real, conditions

    # Losses

    def _discriminator_loss(self, name: str, real, fake, conditions: dict, training: bool, penalty_clips=None):
        """Return what a discriminator minimises, and its metrics; `penalty_clips` are the clips of the penalty, or None."""
        discriminator_loss, _, threshold = VARIANTS[self.variant]
        with self._norms[name](training) if self._norms else nullcontext():
            r, real_classes = self._scores(name, real, conditions, training)
            f, fake_classes = self._scores(name, fake, conditions, training)
            penalty = None if penalty_clips is None else self._penalty(name, penalty_clips, conditions)
        loss = discriminator_loss(r, f, self.label_smoothing)
        if threshold is None:
            metrics = {"distance": ops.mean(r) - ops.mean(f)}
        else:
            metrics = {"real_accuracy": share(r > threshold), "fake_accuracy": share(f <= threshold)}
        if penalty is not None:
            loss = loss + self.gradient_penalty * penalty
            metrics["penalty"] = penalty
        if real_classes is not None:
            label = conditions["label"]
            loss = loss + self.class_weight * _cross_entropy(real_classes, label)
            metrics["real_class_accuracy"] = _class_accuracy(real_classes, label)
            metrics["fake_class_accuracy"] = _class_accuracy(fake_classes, label)
        return loss, metrics

    def _penalty(self, name: str, penalty_clips, conditions: dict):
        """Return the mean of (|gradient of a clip's score| - 1)^2 at the clips `penalty_clips`."""

        def total_score(clips):
            scores, _ = self._scores(name, clips, conditions, True)
            # A clip's score is the mean of its patches'.
            per_clip = ops.mean(ops.reshape(scores, (ops.shape(scores)[0], -1)), axis=1)
            return ops.sum(per_clip), ()

        _, _, pullback = vjp(total_score, (), (penalty_clips,), self.state_of(name), twice=True)
        (gradient,) = pullback(ops.ones(()))[1]
        square = ops.sum(ops.square(gradient), axis=(1, 2, 3, 4))
        # The root of 0 has no gradient.
        return ops.mean(ops.square(ops.sqrt(square + 1e-12) - 1.0))

    def _generator_loss(self, outputs: dict, inputs: dict, real, training: bool):
        """Return what the generator minimises, and its terms."""
        generator_loss = VARIANTS[self.variant][1]
        outputs = {name: ops.cast(value, "float32") for name, value in outputs.items()}
        total = 0.0
        for name in self.discriminators:
            with self._norms[name](training) if self._norms else nullcontext():
                scores, classes = self._scores(name, outputs["clip"], inputs, training)
            total = total + generator_loss(scores)
            if classes is not None:
                total = total + self.class_weight * _cross_entropy(classes, inputs["label"])
        sum_of_terms, terms = self.add_terms({**inputs, "clip": real}, outputs)
        return total + sum_of_terms, terms

    def _scores(self, name: str, clip, conditions: dict, training: bool):
        """Return a discriminator's scores, and the logits of its class head or None, float32."""
        discriminator = self.networks[name]
        output = discriminator(pick(discriminator, {**conditions, "clip": clip}), training=training)
        scores, classes = (output["score"], output.get("classes")) if isinstance(output, Mapping) else (output, None)
        return ops.cast(scores, "float32"), None if classes is None else ops.cast(classes, "float32")

    def state_of(self, name: str) -> list:
        norm = self._norms.get(name)
        return [*super().state_of(name), *([u for _, u in norm.pairs] if norm else [])]

    # Noise

    @property
    def noise_dim(self) -> int | None:
        """Z, the size of the generator's noise; None where it takes none."""
        return next((x.shape[1] for x in self.network.inputs if x.name == "noise"), None)

    def draw_noise(self, batch_size):
        """Return the noise of a step, (B, Z)."""
        return keras.random.normal((batch_size, self.noise_dim), seed=self.seed_generator)

    def draw_mixture(self, batch_size):
        """Return the shares of real clips in the clips of the penalty, (B, 1, 1, 1, 1) in 0..1."""
        return keras.random.uniform((batch_size, 1, 1, 1, 1), seed=self.seed_generator)

    def _next_validation_noise(self, batch_size):
        """Return the noise of the next clips of a validation, (B, Z): a clip's own, however clips are batched."""
        # The first metric has counted the clips so far.
        first = ops.cast(self._means["g_loss"].count, "int32")
        rows = (first + ops.arange(batch_size)) % VALIDATION_NOISE
        return ops.take(ops.convert_to_tensor(self._validation_noise), rows, axis=0)

    # Checks

    def check_example(self, where, x, y, weights, look=True):
        super().check_example(where, x, y, weights, look)
        self.check_clips(f"{where}: clips", x, self.clip_shape, look)
        if self.takes_labels:
            if y is None:
                raise InputError(f"{where}: {self.spec.name} requires labels: .fit(clips, labels)")
            arrays.check_labels(f"{where}: labels", y, arrays.count_of(x), self.classes, look)

    def check_inputs(self, where, inputs, look=True):
        shapes = {x.name: tuple(x.shape[1:]) for x in self.network.inputs}
        if not isinstance(inputs, Mapping):
            inputs = inputs if isinstance(inputs, (list, tuple)) else [inputs]
            inputs = dict(zip(shapes, inputs, strict=False)) if len(inputs) == len(shapes) else {}
        if set(inputs) != set(shapes):
            raise InputError(f"{where}: {self.spec.name} takes {' and '.join(shapes)}")
        for name, value in inputs.items():
            if name == "image":
                self.check_clips(f"{where}: {name}", value, shapes[name], look)
            elif name == "label":
                arrays.check_labels(f"{where}: {name}", value, None, self.classes, look)
            else:
                arrays.check_numbers(f"{where}: {name}", value, shapes[name], look)

    # Generating

    def generate(
        self,
        count: int,
        seed: int = 0,
        labels: int | Sequence[int] | None = None,
        images: np.ndarray | None = None,
        noise: np.ndarray | None = None,
    ) -> np.ndarray:
        """Generate clips.

        Args:
            count: N, how many.
            seed: of the noise, which NumPy draws: the same clips on every backend, up to rounding.
            labels: (N,), integers from 0, or one for all; where the generator takes labels.
            images: (N, H, W, C), uint8 or float -1..1; where the generator takes images.
            noise: (N, Z) float, instead of drawing it.

        Returns:
            uint8 (N, T, H, W, C).

        Raises:
            InputError: an input is missing, not supported, or of the wrong shape.

        Example:
            >>> import kvzoo
            >>> kvzoo.get("videogan", frames=16, image_size=16, width=1).generate(2, seed=1).shape
            (2, 16, 16, 16, 3)
        """
        return to_uint8(self.parts(count, seed, labels, images, noise)["clip"])

    def parts(self, count: int, seed: int = 0, labels=None, images=None, noise=None) -> dict[str, np.ndarray]:
        """Generate clips, and return what they are composed of; takes the arguments of `generate`.

        Returns:
            float32 arrays: "clip" (N, T, H, W, C) in -1..1, and each of the spec's maps that the network has.

        Raises:
            InputError: as `generate`.
        """
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
            raise InputError(f"generate: count must be at least 1. Received: {count!r}")
        takes = {x.name: x for x in self.network.inputs}
        for name, value in {"noise": noise, "label": labels, "image": images}.items():
            if value is not None and name not in takes:
                raise InputError(f"generate: {self.spec.name} takes no {name}; it takes {' and '.join(takes)}")
            if value is None and name in takes and name != "noise":
                raise InputError(f"generate: {self.spec.name} requires {name}s, one for each clip")
        inputs = {}
        if "noise" in takes:
            draws = np.random.default_rng(seed).standard_normal((count, self.noise_dim))
            inputs["noise"] = np.asarray(draws if noise is None else noise, "float32")
        if "label" in takes:
            inputs["label"] = self._checked_labels(labels, count)
        if "image" in takes:
            inputs["image"] = np.asarray(ops.convert_to_numpy(to_unit_range(np.asarray(images))), "float32")
        for name, value in inputs.items():
            shape = (count, *takes[name].shape[1:])
            if value.shape != shape:
                raise InputError(f"generate: {name} must be an array of shape {shape}. Received: {value.shape}")
        if "noise" in takes:
            arrays.check_numbers("generate: noise", inputs["noise"], takes["noise"].shape[1:])
        if "image" in takes:
            self.check_clips("generate: images", np.asarray(images), takes["image"].shape[1:])
        batches = [
            self.view.network.predict_on_batch({name: value[start : start + 16] for name, value in inputs.items()})
            for start in range(0, count, 16)
        ]
        return {
            name: np.concatenate([np.asarray(batch[name], "float32") for batch in batches]) for name in self.view.names
        }

    def _checked_labels(self, labels, count: int) -> np.ndarray:
        labels = np.asarray(labels)
        limit = np.iinfo("int32").max if self.classes is None else self.classes
        if labels.dtype.kind not in "iu" or labels.min(initial=0) < 0 or labels.max(initial=0) >= limit:
            raise InputError(
                f"generate: labels must be integers from 0{f' to {limit - 1}' if self.classes else ''}. "
                f"Received: {labels.tolist()}"
            )
        return np.full(count, labels, "int32") if labels.ndim == 0 else labels.astype("int32")


class SpectralNorm:
    """Spectral normalisation of a discriminator (Miyato et al., ICLR 2018, arXiv 1802.05957).

    The discriminator's convolutions and dense layers read W / sigma in place of W, where sigma is W's largest singular
    value, estimated by one power iteration each time that W is new: once for the discriminator's update and once for
    what the generator learns from. Gradients pass through sigma. Keras's own layer divides W itself by sigma: then JAX
    alone has a gradient through sigma, and PyTorch refuses two passes, of real and generated clips, before a gradient.

    Args:
        discriminator: its network.
        add_weight: creates the vectors u, which are state of the model, as `keras.Layer.add_weight` does.
    """

    def __init__(self, discriminator: keras.Model, add_weight):
        kinds = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
        self.discriminator = discriminator
        self.pairs = []
        for layer in private.layers_of(discriminator):
            if isinstance(layer, kinds):
                u = add_weight(
                    shape=(layer.kernel.shape[-1],),
                    initializer=keras.initializers.RandomNormal(stddev=1.0),
                    trainable=False,
                    dtype="float32",
                    name=f"{discriminator.name}_{layer.name}_u",
                )
                self.pairs.append((layer.kernel, u))

    @contextmanager
    def __call__(self, training: bool):
        """Let the discriminator read normalised kernels within the context; in training u takes a step."""
        kernels = []
        for kernel, u in self.pairs:
            weights = ops.reshape(ops.cast(kernel.value, "float32"), (-1, kernel.shape[-1]))
            constant = ops.stop_gradient(weights)
            right = _unit(ops.matmul(constant, ops.convert_to_tensor(u.value)))
            left = _unit(ops.matmul(right, constant))
            if training:
                u.assign(left)
            sigma = ops.sum(ops.matmul(right, weights) * left)
            kernels.append((kernel, kernel.value / ops.cast(sigma, kernel.dtype)))
        others = [(v, v.value) for v in self.discriminator.variables]
        with keras.StatelessScope(state_mapping=others + kernels) as scope:
            statistics = [(v, scope.get_current_value(v)) for v in self.discriminator.non_trainable_variables]
            yield
        # Batch norm's statistics are kept, the kernels are not.
        for variable, before in statistics:
            if (value := scope.get_current_value(variable)) is not before:
                variable.assign(value)


def _unit(vector):
    return vector / ops.maximum(ops.sqrt(ops.sum(ops.square(vector))), 1e-12)


def _cross_entropy(logits, label):
    return ops.mean(ops.sparse_categorical_crossentropy(label, logits, from_logits=True))


def _class_accuracy(logits, label):
    return share(ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), label))


def _class_head(discriminator: keras.Model) -> int | None:
    output = discriminator.output
    return output["classes"].shape[-1] if isinstance(output, Mapping) and "classes" in output else None


def _check_networks(networks: dict[str, keras.Model], spec: ModelSpec) -> None:
    """Refuse networks whose inputs and outputs do not fit together.

    Raises:
        InputError: in one line, with what is legal.
    """
    where = f"model {spec.name}"
    generator = networks["network"]
    if len(networks) == 1:
        raise InputError(
            f"{where}: the loss adversarial requires a discriminator, and the spec has none: "
            "discriminators={'discriminator': 'module:function'}"
        )
    if len(generator.outputs) != 1 or len(generator.outputs[0].shape) != 5 or None in generator.outputs[0].shape[1:]:
        shapes = [tuple(x.shape) for x in generator.outputs]
        raise InputError(
            f"{where}: the generator must return one clip (B, T, H, W, C) of a fixed size. Received: {shapes}"
        )
    shape = tuple(generator.outputs[0].shape[1:])
    shapes = {"clip": shape, "image": shape[1:], "label": ()}
    for name, network in networks.items():
        is_generator = name == "network"
        who = "the generator" if is_generator else f"the discriminator {name}"
        legal = GENERATOR_INPUTS if is_generator else DISCRIMINATOR_INPUTS
        for x in network.inputs:
            if x.name not in legal:
                raise InputError(f"{where}: {who} has an input {x.name!r}; inputs are named {', '.join(legal)}")
            if x.name in shapes and tuple(x.shape[1:]) != shapes[x.name]:
                raise InputError(
                    f"{where}: {who}'s input {x.name} must be (B, …) with … = {shapes[x.name]}. "
                    f"Received: {tuple(x.shape[1:])}"
                )
        if not is_generator and "clip" not in {x.name for x in network.inputs}:
            raise InputError(f"{where}: {who} has no input named clip")
        if not is_generator and isinstance(network.output, Mapping) and "score" not in network.output:
            raise InputError(f"{where}: {who} returns no score, but {', '.join(network.output)}")
