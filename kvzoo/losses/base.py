"""What all models that `kvzoo.get` returns share, whatever their loss.

A model wraps a plain functional network: it takes uint8 0..255 (scaled here, on the device) or float
-1..1, and is trained by Keras's own `fit`.
"""

import functools
import inspect
import logging
import os
from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from kvzoo import catalog
from kvzoo.errors import InputError
from kvzoo.kernels.accelerate import accelerate, accelerate_optimizer
from kvzoo.kernels.bfloat16 import steady_bfloat16, warn_of_bfloat16
from kvzoo.losses import arrays
from kvzoo.registry import ModelSpec

log = logging.getLogger("kvzoo")

HALF = ("float16", "bfloat16")


def to_unit_range(x):
    """Scale integers 0..255 to float32 -1..1; floats pass unchanged.

    Example:
        >>> ops.convert_to_numpy(to_unit_range(np.array([0, 255], "uint8"))).tolist()
        [-1.0, 1.0]
    """
    if keras.backend.standardize_dtype(x.dtype).startswith(("int", "uint")):
        return ops.cast(x, "float32") / 127.5 - 1.0
    return x


def to_uint8(x):
    """Scale float -1..1 (an array or tensor) to a NumPy array of uint8 0..255, rounded and clipped.

    Example:
        >>> to_uint8(np.array([-1.0, 0.0, 2.0])).tolist()
        [0, 128, 255]
    """
    x = ops.convert_to_numpy(ops.cast(x, "float32"))
    return ((x + 1.0) * 127.5).clip(0, 255).round().astype("uint8")


def to_probabilities(logits) -> np.ndarray:
    """Return the probabilities of classes, float64 (N, K), from logits (N, K).

    Logits (N, 1) are those of the second of two classes; the result is then (N, 2).

    Example:
        >>> to_probabilities(np.array([[0.0]])).tolist()
        [[0.5, 0.5]]
    """
    logits = np.asarray(ops.convert_to_numpy(logits), np.float64)
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    return probabilities / probabilities.sum(1, keepdims=True)


to_chances = to_probabilities  # its name in 0.1


def _checked_first(method):
    """Wrap one of Keras's methods, such as `fit`, so that its data is checked before anything else is done."""
    name, signature = method.__name__, inspect.signature(method)

    @functools.wraps(method)
    def wrapped(self, *args, **options):
        call = signature.bind(self, *args, **options)
        if not arrays.already_checked():
            arguments = call.arguments
            self._check_class_weight(name, arguments.get("class_weight"))
            arguments["x"] = self._look(name, arguments.get("x"), arguments.get("y"), arguments.get("sample_weight"))
            if arguments.get("validation_data") is not None:
                x, y, weights = keras.utils.unpack_x_y_sample_weight(arguments["validation_data"])
                # A generator comes back with its first batch put back.
                if (data := self._look(f"{name}: validation_data", x, y, weights)) is not x:
                    arguments["validation_data"] = data
        with arrays.checked():
            return method(*call.args, **call.kwargs)

    return wrapped


class VideoModel(keras.Model):
    """A network with a loss, ready for `.fit`.

    Clips are uint8 (or other integers) 0..255 or float -1..1. `fit`, `evaluate`, `predict`, their forms for one batch and
    calls refuse arrays of another shape, type or range; of a dataset they check the first batch.

    `compile` takes metrics as any Keras model does; they receive targets, -1..1 where they are clips, and the model's
    output, float32. The loss is the model's own.

    `save` and `export` write the plain network, float -1..1 in and out (of a GAN the generator), which loads without
    kvzoo; so does `ModelCheckpoint`. `kvzoo.get(name, weights=path)` builds a model with it again. `save_weights` writes
    all weights, the optimizer's included, for `load_weights`.

    Args:
        networks: by name; the main one is "network".
        spec: the model's record.
        config: the options that the networks were built with.
        loss_name: the registered loss.

    Attributes:
        network: the plain functional model, float -1..1 in and out.
        spec, config, loss_name: as passed.
        takes_labels: whether an example includes its class.
        classes: how many there are; None where the model does not say.

    Raises:
        InputError: variables in half precision, in which small updates are lost.

    Example:
        >>> import kvzoo
        >>> model = kvzoo.get("gru_ae", frames=2, image_size=16, latent_dim=4, units=4, width=1)
        >>> history = model.fit(np.zeros((2, 2, 16, 16, 1), "uint8"), verbose=0)
        >>> model.predict(np.zeros((2, 2, 16, 16, 1), "uint8"), verbose=0).shape
        (2, 2, 16, 16, 1)
    """

    takes_labels = False
    classes: int | None = None

    def __init__(self, networks: dict[str, keras.Model], spec: ModelSpec, config: dict, loss_name: str):
        super().__init__(name=spec.name)
        self.loss_name = loss_name
        self.network = networks["network"]
        self.spec = spec
        self.config = dict(config)
        self._warned = False
        for network in networks.values():
            if half := next((v.dtype for v in network.trainable_variables if v.dtype in HALF), None):
                raise InputError(
                    f"model {spec.name}: weights must be float32, as {half} loses small updates; "
                    f"the dtype policy mixed_{half} computes in {half}. Received: {half}"
                )
            accelerate(network)
        self.built = True

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, *args, **options):
        """Compile the model, as `keras.Model.compile` does.

        Raises:
            InputError: a loss or loss weights: the loss is the model's own.
        """
        for name, value in (("loss", loss), ("loss_weights", loss_weights)):
            if value is not None:
                raise InputError(
                    f"compile: {name}: {self.spec.name} has its own loss, {self.loss_name}; "
                    f"kvzoo.get(name, loss=…) chooses another. Received: {short(value)}"
                )
        warn_of_bfloat16(self.compute_dtype)
        super().compile(optimizer, None, None, *args, **options)
        if self.optimizer is not None:
            accelerate_optimizer(self.optimizer)

    def call(self, x, training=None):
        return self.network(to_unit_range(x), training=training)

    # Checks of data

    fit = _checked_first(keras.Model.fit)
    evaluate = _checked_first(keras.Model.evaluate)
    predict = _checked_first(keras.Model.predict)
    train_on_batch = _checked_first(keras.Model.train_on_batch)
    test_on_batch = _checked_first(keras.Model.test_on_batch)
    predict_on_batch = _checked_first(keras.Model.predict_on_batch)

    def __call__(self, *args, **options):
        for inputs in (*args[:1], *(options[name] for name in ("x", "inputs") if name in options)):
            self.check_inputs(self.spec.name, inputs, look=not arrays.already_checked())
        with steady_bfloat16(self.compute_dtype):
            return super().__call__(*args, **options)

    def train_step(self, *arguments):
        *state, data = arguments
        with steady_bfloat16(self.compute_dtype):
            return super().train_step(*state, self.example("fit", data))

    def test_step(self, *arguments):
        *state, data = arguments
        with steady_bfloat16(self.compute_dtype):
            return super().test_step(*state, self.example("evaluate", data))

    def example(self, where: str, data) -> tuple:
        """Return a step's data as (x, y, sample weights (N,)), all but its values checked; None for what it lacks."""
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        self.check_example(where, x, y, weights, look=False)
        return x, y, None if weights is None else ops.reshape(weights, (-1,))

    def check_example(self, where: str, x, y, weights, look: bool = True) -> None:
        """Check an example for `fit` and `evaluate`.

        Args:
            where: the method, for messages.
            x, y, weights: the example; None for what it lacks.
            look: whether to check values, besides shapes and types.

        Raises:
            InputError: in one line, with what is legal.
        """
        self.check_inputs(where, x, look)
        if weights is not None:
            arrays.check_weights(f"{where}: sample weights", weights, arrays.count_of(x), look)

    def check_inputs(self, where: str, inputs, look: bool = True) -> None:
        """Check the inputs of `predict`; arguments and errors as `check_example`."""
        if isinstance(shape := self.network.input_shape, tuple):
            self.check_clips(f"{where}: clips", inputs, shape[1:], look)

    def check_clips(self, what: str, clips, shape, look: bool = True, count: int | None = None) -> None:
        """Check clips as `arrays.check_clips` does; floats within 0..1 get a warning, once."""
        if arrays.check_clips(what, clips, shape, look, count) and not self._warned:
            self._warned = True
            log.warning("%s: all floats are within 0..1; a scale of -1..1 is assumed, on which they are bright", what)

    def _check_class_weight(self, where: str, weights) -> None:
        """Refuse weights of classes where examples carry no class, and what is no weight of a class."""
        if weights is None:
            return
        if not self.takes_labels:
            raise InputError(
                f"{where}: class_weight: the loss {self.loss_name} knows no classes; use sample_weight, one for each example"
            )
        if not isinstance(weights, Mapping) or (self.classes and not {*weights} <= {*range(self.classes)}):
            legal = f"0..{self.classes - 1} " if self.classes else ""
            raise InputError(
                f"{where}: class_weight: a dict from class indices {legal}to weights is required. "
                f"Received: {dict(weights) if isinstance(weights, Mapping) else short(weights)}"
            )

    def _look(self, name: str, x, y, weights):
        """Check arrays, or the first batch of a dataset, and return the data to use from here on."""
        batch, data = arrays.first_batch(x)
        if batch is not None:
            x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        elif not (x is None or isinstance(x, (dict, list, tuple)) or hasattr(x, "shape")):
            return data
        if name.startswith("predict"):
            self.check_inputs(name, x)
        else:
            self.check_example(name, x, y, weights)
        return data

    # Saving

    def save(self, filepath: str | os.PathLike, *args, **options) -> None:
        """Save the plain network, as `keras.Model.save` does; takes its arguments."""
        self.network.save(filepath, *args, **options)

    def export(self, filepath: str | os.PathLike, *args, **options) -> None:
        """Export the plain network, as `keras.Model.export` does; takes its arguments."""
        self.network.export(filepath, *args, **options)

    @property
    def wanted_classes(self) -> int | None:
        """How many classes the data must have, 0 for any number; None where examples include no class."""
        return (self.classes or 0) if self.takes_labels else None

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """Shape of one clip, (T, H, W, C): the options' where the network takes clips of any."""
        size = self.config.get("image_size")
        options = (self.config.get("frames"), size, size, self.config.get("channels"))
        return tuple(b if a is None else a for a, b in zip(self.network.input_shape[1:], options, strict=True))

    @property
    def clip_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the clips that a sampler reads for one example."""
        return (self.clip_shape,)

    def get_config(self):
        raise InputError(
            "a kvzoo model is saved as its plain network: model.save(path); "
            "kvzoo.get(name, weights=path) builds a model with it again"
        )


def short(value) -> str:
    """Return a value as messages show it: a string or number itself, anything else by its type.

    Example:
        >>> short("mse"), short([1, 2])
        ("'mse'", 'list')
    """
    return repr(value) if isinstance(value, (str, int, float)) else type(value).__name__


def optimizer(name: str, learning_rate, l2: float = 0.0, **options) -> keras.optimizers.Optimizer:
    """Return a Keras optimizer.

    Args:
        name: a registered one, as in a recipe.
        learning_rate: a number, or {"name": a schedule of keras.optimizers.schedules, its arguments}.
        l2: times the weight, added to each gradient before everything else, as torch's
            `weight_decay` is. Keras's own `weight_decay` shrinks the weights instead.
        options: the optimizer's own.

    Example:
        >>> float(optimizer("adam", 1e-3, l2=1e-5, beta_1=0.5).beta_1)
        0.5
    """
    if isinstance(learning_rate, dict):
        arguments = dict(learning_rate)
        learning_rate = getattr(keras.optimizers.schedules, arguments.pop("name"))(**arguments)
    base = catalog.OPTIMIZERS.get(name).load()
    if not l2:
        return base(learning_rate=learning_rate, **options)

    class WithL2(base):
        # In a function: Keras would take a list of weights for the optimizer's own variables.
        regularized = staticmethod(lambda: [])

        def build(self, variables):
            self.regularized = lambda weights=list(variables): weights
            super().build(variables)

        # `apply` is the one method through which every backend's trainer passes its gradients.
        def apply(self, grads, trainable_variables=None):
            variables = self.regularized() if trainable_variables is None else trainable_variables
            pairs = zip(grads, variables, strict=True)
            grads = [None if g is None else g + ops.cast(l2 * ops.convert_to_tensor(v), g.dtype) for g, v in pairs]
            return super().apply(grads, trainable_variables)

    WithL2.__name__ = base.__name__
    return WithL2(learning_rate=learning_rate, **options)


def compiled_by_xla(jit_compile: bool | str) -> bool:
    """Return whether XLA compiles a model: `auto` is true on JAX and on a GPU, false elsewhere.

    On two cores the GRU-AE step is slower with XLA than without, and the 3D autoencoder did not
    compile within four minutes; JAX without XLA runs operation by operation.

    Args:
        jit_compile: true, false or "auto", as in a recipe.

    Example:
        >>> compiled_by_xla(False)
        False
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
