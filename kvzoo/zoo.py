"""Build models by name, and load them from runs and weights files."""

import json
import math
import os
import threading
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import h5py
import keras

from kvzoo import catalog
from kvzoo.errors import InputError, did_you_mean
from kvzoo.kernels import private
from kvzoo.losses.base import VideoModel, compiled_by_xla, optimizer
from kvzoo.options import check_options
from kvzoo.recipe.resolve import load as load_recipe
from kvzoo.registry import ModelSpec, load_object


def get(
    name: str,
    *,
    loss: str | dict | None = None,
    weights: str | os.PathLike | None = None,
    compile: bool = True,
    **config: Any,
) -> VideoModel:
    """Build a registered model.

    Args:
        name: a registered name, or "distribution:name".
        loss: the loss that trains it, by name or as {"name": …, options}; the spec's own when None.
        weights: a run folder, or a `.keras` or `.weights.h5` file, to load weights from.
        compile: whether to compile it with the reference optimizer of its spec.
        config: the builder's options; `kvzoo info NAME` lists them.

    Returns:
        A model ready for `.fit`; its plain network is `model.network`.

    Raises:
        InputError: an unknown name or option, an invalid value, a loss for another kind of model, or weights of
            another network.

    Example:

        >>> import numpy as np
        >>> import kvzoo
        >>> model = kvzoo.get("gru_ae", frames=3, image_size=16, latent_dim=8, units=12, width=4)
        >>> clips = np.zeros((4, 3, 16, 16, 1), np.uint8)
        >>> history = model.fit(clips, batch_size=2, verbose=0)
        >>> model.network.output_shape
        (None, 3, 16, 16, 1)
    """
    spec = catalog.MODELS.get(name)
    loss = spec.loss_settings(loss)
    loss_spec = catalog.LOSSES.get(loss.pop("name"))
    if spec.kind not in loss_spec.kinds:
        raise InputError(
            f"the loss {loss_spec.name} supports only {' and '.join(loss_spec.kinds)} models; {spec.name} is a {spec.kind}"
        )
    config = check_options("model", spec.name, spec.options, config)
    networks = build(spec, config)
    loss = check_options("loss", loss_spec.name, loss_spec.options, loss)
    model = loss_spec.load()(networks, spec, config, loss_spec.name, **loss)
    if weights is not None:
        load_weights(model, Path(weights))
    if compile:
        compile_model(model, dict(spec.optimizer), spec.l2)
    return model


@contextmanager
def dtype_policy(policy: str):
    """Build layers under one of Keras's dtype policies, and restore the one before, which Keras keeps for each thread.

    Raises:
        InputError: no policy of Keras's, or one with weights in half precision.
    """
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(policy)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"precision: must be float32, mixed_float16 or mixed_bfloat16. Received: {policy!r}"
        ) from error
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


_BUILDING = threading.RLock()


@contextmanager
def channels_last():
    """Build layers with the channels last, whatever `image_data_format` in keras.json says.

    Keras keeps that setting for the whole process, so one thread builds at a time.
    """
    with _BUILDING:
        before = keras.config.image_data_format()
        keras.config.set_image_data_format("channels_last")
        try:
            yield
        finally:
            keras.config.set_image_data_format(before)


def build(spec: ModelSpec, config: dict) -> dict[str, keras.Model]:
    """Build a model's networks, the main one as "network" and discriminators by their names.

    Raises:
        InputError: the builder refuses the configuration, or returns no network.
    """
    networks = {}
    for part, builder in {"network": spec.builder, **spec.discriminators}.items():
        try:
            with channels_last():
                network = load_object(builder)(**config)
        except (ValueError, TypeError) as error:
            raise InputError(f"model {spec.name}: {str(error).splitlines()[0]}") from error
        if not isinstance(network, keras.Model):
            raise InputError(
                f"model {spec.name}: {builder} must return a keras.Model. Received: {type(network).__name__}"
            )
        networks[part] = network
    return networks


def compile_model(model: VideoModel, settings: dict, l2: float, jit_compile: bool | str = "auto") -> None:
    """Compile a model with an optimizer as a recipe names it, and make the optimizer's variables.

    Making them before the first step halves the time to it: TensorFlow traces a function twice when
    variables are created inside.
    """
    model.compile(optimizer=optimizer(**settings, l2=l2), jit_compile=compiled_by_xla(jit_compile))
    model.optimizer.build(model.trainable_variables)


def load(run: str | os.PathLike, precision: str | None = None) -> VideoModel:
    """Return a run's model, with its trained weights, compiled with the reference optimizer.

    Args:
        run: a run folder, such as runs/latest, or the best.keras in one.
        precision: Keras's dtype policy; the one that it was trained in when None.

    Raises:
        InputError: `run` is not a run folder, or has no model yet.

    Example:

        >>> import kvzoo
        >>> model = kvzoo.load("runs/latest")
        >>> model.spec.name
        'gru_ae'
    """
    weights = Path(run)
    folder = weights.parent if weights.name == "best.keras" and weights.is_file() else weights
    lock = folder / "recipe.lock.yaml"
    if not lock.is_file():
        raise InputError(f"{folder}: not a run folder: no recipe.lock.yaml in it")
    recipe = load_recipe(lock, check_paths=False)
    with dtype_policy(precision or recipe["fit"]["precision"]):
        return get(recipe["model"]["name"], loss=recipe["loss"], weights=weights, **recipe.model_options)


def load_weights(model: VideoModel, path: Path) -> None:
    """Load a network's weights from a run folder or a file.

    Raises:
        InputError: the file does not exist, is not a weights file, or is of another network.
    """
    file = _weights_file(path)
    if not file.name.endswith((".keras", ".weights.h5")):
        raise InputError(f"weights: must be a run folder, a .keras or a .weights.h5 file. Received: {path}")
    try:
        if file.suffix == ".keras":
            # `load_weights` would leave layers that it does not find in the file as they are, with a warning.
            model.network.set_weights(_read_network(file).get_weights())
        else:
            _check_stored(file)
            try:
                model.network.load_weights(file)
            except ValueError as error:
                try:
                    model.load_weights(file)  # as its own `save_weights` writes it
                except ValueError:
                    raise error from None
    except Exception as error:
        raise InputError(f"weights: {file} does not fit {model.spec.name}: {_reason(error)}") from error


def part(network: keras.Model, *layers: str) -> keras.Model:
    """Return a network up to one of its layers, or with the outputs of several as a list."""
    known = [layer.name for layer in network.layers]
    for name in layers:
        if name not in known:
            raise InputError(f"model {network.name}: the network has no layer {name!r}{did_you_mean(name, known)}")
    outputs = [network.get_layer(name).output for name in layers]
    return keras.Model(network.input, outputs if len(outputs) > 1 else outputs[0])


def transfer(model: VideoModel, path: Path) -> tuple[list[str], list[str]]:
    """Load the weights of all layers that another network has under the same name and in the same shapes.

    Args:
        model: to load into.
        path: a run folder or a `.keras` file.

    Returns:
        Names of the layers that were loaded, and of those with weights that were not.

    Raises:
        InputError: the file does not exist or is not a network, or no layer fits.
    """
    file = _weights_file(path)
    try:
        sources = {layer.name: layer for layer in private.layers_of(_read_network(file))}
    except Exception as error:
        raise InputError(f"weights: {file} is not a network: {_reason(error)}") from error
    loaded, other = [], []
    for layer in private.layers_of(model.network, include_self=False):
        if not layer.weights:
            continue
        source = sources.get(layer.name)
        shapes = [tuple(w.shape) for w in source.weights] if source else None
        if shapes == [tuple(w.shape) for w in layer.weights]:
            layer.set_weights(source.get_weights())
            loaded.append(layer.name)
        else:
            other.append(layer.name)
    if not loaded:
        raise InputError(f"weights: no layer of {file} has the name and shape of one of {model.spec.name}'s")
    return loaded, other


def freeze_trunk(model: VideoModel) -> None:
    """Let only the head learn: the layers after the spec's layer of features.

    Frozen batch norm runs as at inference.

    Raises:
        InputError: the spec names no layer of features, or one that the network does not have.
    """
    if model.spec.feature_layer is None:
        raise InputError(f"model {model.spec.name}: its spec names no feature_layer, so its head is unknown")
    names = [layer.name for layer in model.network.layers]
    if model.spec.feature_layer not in names:
        raise InputError(
            f"model {model.spec.name}: the network has no feature_layer "
            f"{model.spec.feature_layer!r}{did_you_mean(model.spec.feature_layer, names)}"
        )
    for layer in model.network.layers:
        layer.trainable = False
        if layer.name == model.spec.feature_layer:
            return


def _weights_file(path: Path) -> Path:
    file = path / "model.keras" if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"weights: no such file: {file}")
    return file


def _read_network(file: Path) -> keras.Model:
    """Return the network of a `.keras` file, which may be a stranger's: it takes no more memory than its weights do.

    Raises:
        ValueError: a file that Keras did not write.
    """
    with zipfile.ZipFile(file) as archive:
        if compressed := [m.filename for m in archive.infolist() if m.compress_type != zipfile.ZIP_STORED]:
            raise ValueError(f"{compressed[0]} in it is compressed, which Keras's files are not")
        with archive.open("model.weights.h5") as weights:
            size = _check_stored(weights)
        _check_size(json.loads(archive.read("config.json")), size)
    return keras.saving.load_model(file, compile=False)


def _check_size(config: dict, size: int) -> None:
    """Refuse a network with more weights than its file holds, without giving one of them memory.

    Raises:
        ValueError: it has more.
    """
    with private.uninitialized_variables() as variables, keras.StatelessScope(initialize_variables=False):
        if variables is None:
            return
        keras.saving.deserialize_keras_object({**config, "compile_config": None}, safe_mode=True)
    # Random layers have seeds of their own, which are few.
    if sum(math.prod(variable.shape) for variable in variables) > size + 1000:
        raise ValueError(f"its layers have more weights than the {size} that it holds")


def _check_stored(weights: Path | IO[bytes]) -> int:
    """Return how many values a weights file holds.

    Raises:
        ValueError: it claims more than it holds.
    """
    with h5py.File(weights) as file:
        arrays: list[h5py.Dataset] = []
        # Returns nothing, so that all are visited; links that lead out of the file are not followed.
        file.visititems(lambda _, item: arrays.append(item) if isinstance(item, h5py.Dataset) else None)
        # As Keras writes them they are not packed.
        if sum(d.nbytes for d in arrays) > file.id.get_filesize():
            raise ValueError("its weights declare more values than it holds")
        return sum(d.size for d in arrays)


def _reason(error: Exception) -> str:
    # Keras puts the reason last, behind the network around the layer, and a dump of the layer's configuration behind that.
    reason = str(error).rpartition("Exception encountered: ")[2].partition(" Full object config")[0].strip()
    return (reason or type(error).__name__).splitlines()[0]
