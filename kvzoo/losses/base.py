"""What every model that `kvzoo.get` returns shares, whatever its loss.

A model wraps a plain functional network: it takes uint8 0..255 (scaled here, on the device) or float
-1..1, and is trained by Keras's own `fit`.
"""

import keras
import numpy as np
from keras import ops

from kvzoo.errors import InputError
from kvzoo.kernels.accelerate import accelerate, accelerate_optimizer
from kvzoo.registry import ModelSpec


def to_unit_range(x):
    """Scale integers 0..255 to float -1..1; floats pass as they are."""
    if keras.backend.standardize_dtype(x.dtype).startswith(("int", "uint")):
        return ops.cast(x, "float32") / 127.5 - 1.0
    return x


def to_uint8(x):
    """Scale float -1..1 (an array or tensor) to a NumPy array of uint8 0..255, rounded."""
    x = ops.convert_to_numpy(ops.cast(x, "float32"))
    return ((x + 1.0) * 127.5).clip(0, 255).round().astype("uint8")


def to_chances(logits) -> np.ndarray:
    """Return the classes' probabilities, float64 (N, K), of logits (N, K); one logit is the second of two classes'."""
    logits = np.asarray(ops.convert_to_numpy(logits), np.float64)
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    chances = np.exp(logits - logits.max(1, keepdims=True))
    return chances / chances.sum(1, keepdims=True)


class VideoModel(keras.Model):
    """A network with a loss, ready for `.fit`.

    Attributes:
        network: the plain functional model, float -1..1 in and out.
        spec: the record that it was made from.
        config: the options that it was built with.
        loss_name: the registered loss that trains it.
        takes_labels: whether an example carries its class.
        classes: how many there are; None where the model does not say.
    """

    takes_labels = False
    classes: int | None = None

    def __init__(self, networks: dict[str, keras.Model], spec: ModelSpec, config: dict, loss_name: str):
        super().__init__(name=spec.name)
        self.loss_name = loss_name
        self.network = networks["network"]
        self.spec = spec
        self.config = dict(config)
        for network in networks.values():
            accelerate(network)
        self.built = True

    def compile(self, *args, **options):
        super().compile(*args, **options)
        accelerate_optimizer(self.optimizer)

    def call(self, x, training=None):
        return self.network(to_unit_range(x), training=training)

    @property
    def wanted_classes(self) -> int | None:
        """How many classes the data must have, 0 for any number; None where examples carry no class."""
        return (self.classes or 0) if self.takes_labels else None

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """Shape of one clip, (T, H, W, C): as asked for where the network takes clips of any."""
        size = self.config.get("image_size")
        asked = (self.config.get("frames"), size, size, self.config.get("channels"))
        return tuple(a if n is None else n for n, a in zip(self.network.input_shape[1:], asked, strict=True))

    @property
    def clip_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the clips that a sampler reads for one example."""
        return (self.clip_shape,)

    def get_config(self):
        raise InputError(
            "a kvzoo model is saved as its plain network: model.network.save(path); "
            "kvzoo.get(name, weights=path) makes a model of it again"
        )


def optimizer(name: str, learning_rate, l2: float = 0.0, **options) -> keras.optimizers.Optimizer:
    """Return a Keras optimizer.

    Args:
        name: as a recipe names it (kvzoo/recipe/keras_names.py).
        learning_rate: a number, or {"name": a schedule of keras.optimizers.schedules, its arguments}.
        l2: added to each gradient times its weight, before everything else, as torch's
            `weight_decay` does. Keras's own `weight_decay` shrinks weights beside the gradient.
        options: the optimizer's own.
    """
    from kvzoo.recipe.keras_names import OPTIMIZERS

    if isinstance(learning_rate, dict):
        arguments = dict(learning_rate)
        learning_rate = getattr(keras.optimizers.schedules, arguments.pop("name"))(**arguments)
    base = getattr(keras.optimizers, OPTIMIZERS[name][0])
    if not l2:
        return base(learning_rate=learning_rate, **options)

    class WithL2(base):
        # `apply` is the one method through which every backend's trainer passes its gradients.
        def apply(self, grads, trainable_variables=None):
            variables = self._trainable_variables if trainable_variables is None else trainable_variables
            pairs = zip(grads, variables, strict=True)
            grads = [None if g is None else g + ops.cast(l2 * ops.convert_to_tensor(v), g.dtype) for g, v in pairs]
            return super().apply(grads, trainable_variables)

    WithL2.__name__ = base.__name__
    return WithL2(learning_rate=learning_rate, **options)


def compiled_by_xla(jit_compile: bool | str) -> bool:
    """Return what `jit_compile: auto` means here: XLA on JAX and on a GPU, not on a CPU.

    On two cores the GRU-AE step is slower with XLA than without, and the 3D autoencoder did not
    compile within four minutes; JAX without XLA runs operation by operation.
    """
    if jit_compile != "auto":
        return bool(jit_compile)
    backend = keras.backend.backend()
    if backend == "jax":
        return True
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    return False
