"""What must hold for every registered model, at its tiny configuration."""

import json
import math

import keras
import numpy as np
import pytest

import kvzoo
from kvzoo import catalog
from kvzoo.errors import InputError

MODELS = [entry.name for entry in catalog.MODELS.entries() if entry.distribution == "kvzoo"]


def tiny(name: str, **options):
    return kvzoo.get(name, **{**catalog.MODELS.get(name).tiny, **options})


def examples_for(model, count: int = 4, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Return what `fit` takes: clips, targets of a translator, labels where the model wants them."""
    rng = np.random.default_rng(seed)
    first, *more = model.clip_shapes
    clips = (rng.integers(0, 256, (count, *first), dtype=np.uint8),)
    # Targets are something to be learned: each of one brightness.
    clips += tuple(np.broadcast_to(rng.integers(0, 256, (count, 1, 1, 1, 1), np.uint8), (count, *x)) for x in more)
    return (*clips, np.arange(count) % (model.classes or 2)) if model.takes_labels else clips


def inputs_for(network: keras.Model, count: int = 2, seed: int = 0) -> list[np.ndarray]:
    """Return what a network takes, in the order of its inputs."""
    rng = np.random.default_rng(seed)
    draw = {"noise": rng.standard_normal, "label": lambda shape: np.arange(count)}
    return [
        draw.get(x.name, lambda shape: rng.uniform(-1, 1, shape))((count, *x.shape[1:])).astype(x.dtype)
        for x in network.inputs
    ]


def networks_of(model) -> dict[str, keras.Model]:
    return getattr(model, "networks", {"network": model.network})


def loss_of(logs: dict):
    """Return the loss of logs or of a history: where several players learn, the main network's."""
    return logs["loss"] if "loss" in logs else logs["g_loss"]


@pytest.fixture(scope="module", params=MODELS)
def name(request) -> str:
    return request.param


def test_parameters_are_those_of_the_spec(name):
    networks = networks_of(kvzoo.get(name, compile=False))
    counted = {part: sum(math.prod(v.shape) for v in n.trainable_variables) for part, n in networks.items()}
    assert counted == catalog.MODELS.get(name).parameters


def test_network_maps_as_its_kind_says_and_is_finite(name):
    model, spec = tiny(name), catalog.MODELS.get(name)
    inputs = inputs_for(model.network)
    out = model.network.predict(inputs, verbose=0)
    assert np.isfinite(out).all()
    if spec.kind == "classifier":
        assert out.shape == (2, model.classes)
    else:
        assert out.shape == (2, *model.clip_shapes[-1])
        assert np.abs(out).max() <= 1
    if spec.kind == "reconstructor":
        assert inputs[0].shape == out.shape


def test_every_weight_learns(name):
    model = tiny(name)
    # A bias before a batch norm changes nothing, so it has no gradient.
    idle = {"bias"} if catalog.MODELS.get(name).kind == "generator" else set()
    before = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    model.fit(*examples_for(model), epochs=2, batch_size=2, verbose=0)
    still = [
        v.path
        for v, b in zip(model.trainable_variables, before, strict=True)
        if (keras.ops.convert_to_numpy(v) == b).all() and v.name not in idle
    ]
    assert not still


def test_loss_falls_on_one_repeated_batch(name):
    if catalog.MODELS.get(name).kind == "generator":
        pytest.skip("a game of two players has no loss that must fall")
    keras.utils.set_random_seed(0)
    alone = {"loss": {"gan_weight": 0.0}} if catalog.MODELS.get(name).kind == "translator" else {}
    model = tiny(name, compile=False, **alone)
    from kvzoo.zoo import compile_model

    compile_model(model, {"name": "adam", "learning_rate": 3e-3}, 0.0)
    history = loss_of(model.fit(*examples_for(model), epochs=60, batch_size=4, verbose=0).history)
    assert history[-1] < 0.8 * history[0]


def test_fits_numpy_arrays_of_both_ranges(name):
    model = tiny(name)
    examples = examples_for(model)
    scaled = [x.astype("float32") / 127.5 - 1 if x.dtype == np.uint8 else x for x in examples]
    if model.spec.kind != "generator":  # which is judged by fresh noise
        told = [loss_of(model.evaluate(*given, verbose=0, return_dict=True)) for given in (examples, scaled)]
        assert told[0] == pytest.approx(told[1], rel=1e-5)
    for given in (examples, scaled):
        assert np.isfinite(loss_of(model.fit(*given, verbose=0).history)).all()


def test_networks_load_with_stock_keras_in_a_fresh_process(tmp_path, in_process):
    wanted = {}
    for name in MODELS:
        model = tiny(name)
        model.fit(*examples_for(model), verbose=0)
        model.network.save(tmp_path / f"{name}.keras")
        inputs = inputs_for(model.network, seed=1)
        np.savez(tmp_path / f"{name}.npz", *inputs)
        wanted[name] = model.network.predict(inputs, verbose=0)
    # One process for all: a start of the backend costs more than all the rest.
    in_process(
        "import keras, numpy as np, pathlib, sys\n"
        f"for file in sorted(pathlib.Path({str(tmp_path)!r}).glob('*.keras')):\n"
        "    network = keras.saving.load_model(file)\n"
        "    given = np.load(file.with_suffix('.npz'))\n"
        "    np.save(file.with_suffix('.npy'), network.predict([given[name] for name in given.files], verbose=0))\n"
        "assert not [m for m in sys.modules if m.startswith('kvzoo')]\n"
    )
    for name, out in wanted.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), out, atol=1e-6, err_msg=name)


def test_weights_go_from_model_to_model(name, tmp_path):
    first = tiny(name)
    first.fit(*examples_for(first), verbose=0)
    first.network.save(tmp_path / "model.keras")
    second, inputs = tiny(name, weights=tmp_path / "model.keras"), inputs_for(first.network)
    np.testing.assert_array_equal(first.network.predict(inputs, verbose=0), second.network.predict(inputs, verbose=0))


def test_config_survives_json(name):
    model = tiny(name)
    again = kvzoo.get(name, **json.loads(json.dumps(model.config)))
    assert again.config == model.config


def test_mixed_precision_trains(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tiny(name)
        assert np.isfinite(loss_of(model.fit(*examples_for(model), verbose=0).history)).all()
    finally:
        keras.config.set_dtype_policy(before)


def test_causal_models_do_not_see_the_future(name):
    if not catalog.MODELS.get(name).causal:
        pytest.skip(f"{name} is not causal")
    keras.utils.set_random_seed(0)
    network = tiny(name).network
    for weight in network.trainable_variables:
        weight.assign(2.0 * weight)  # fresh weights answer with next to nothing
    clip = np.random.default_rng(0).uniform(-1, 1, (1, *network.input_shape[1:])).astype("float32")
    changed = clip.copy()
    changed[:, -1] = -changed[:, -1]
    a, b = network.predict(clip, verbose=0), network.predict(changed, verbose=0)
    np.testing.assert_allclose(a[:, :-1], b[:, :-1], atol=1e-6)
    assert np.abs(a[:, -1] - b[:, -1]).max() > 1e-6


def test_a_wrong_option_is_refused_with_its_name(name):
    with pytest.raises(InputError, match="fames"):
        kvzoo.get(name, fames=3)


def test_weights_that_do_not_fit_are_refused(name, tmp_path):
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    other.save(tmp_path / "model.keras")
    for path, reason in ((tmp_path / "model.keras", "does not fit"), (tmp_path / "none.keras", "no such file")):
        with pytest.raises(InputError, match=reason):
            tiny(name, weights=path)
