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


def clips_for(model, count: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *model.clip_shape), dtype=np.uint8)


@pytest.fixture(scope="module", params=MODELS)
def name(request) -> str:
    return request.param


def test_parameters_are_those_of_the_spec(name):
    spec = catalog.MODELS.get(name)
    model = kvzoo.get(name, compile=False)
    counted = sum(math.prod(v.shape) for v in model.network.trainable_variables)
    assert counted == spec.parameters["network"]


def test_network_maps_its_shape_and_is_finite(name):
    model = tiny(name)
    clips = np.random.default_rng(0).uniform(-1, 1, (2, *model.clip_shape)).astype("float32")
    out = keras.ops.convert_to_numpy(model.network(clips))
    assert out.shape == clips.shape
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 1


def test_every_weight_learns(name):
    model = tiny(name)
    before = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    model.fit(clips_for(model), epochs=2, batch_size=2, verbose=0)
    still = [
        v.path
        for v, b in zip(model.trainable_variables, before, strict=True)
        if (keras.ops.convert_to_numpy(v) == b).all()
    ]
    assert not still


def test_loss_falls_on_one_repeated_batch(name):
    keras.utils.set_random_seed(0)
    model = tiny(name, compile=False)
    from kvzoo.zoo import compile_model

    compile_model(model, {"name": "adam", "learning_rate": 3e-3}, 0.0)
    history = model.fit(clips_for(model), epochs=60, batch_size=4, verbose=0).history["loss"]
    assert history[-1] < 0.8 * history[0]


def test_fits_numpy_arrays_of_both_ranges(name):
    model = tiny(name)
    clips = clips_for(model)
    scaled = clips.astype("float32") / 127.5 - 1
    assert model.evaluate(clips, verbose=0, return_dict=True)["loss"] == pytest.approx(
        model.evaluate(scaled, verbose=0, return_dict=True)["loss"], rel=1e-5
    )
    assert np.isfinite(model.fit(scaled, verbose=0).history["loss"]).all()


def test_network_loads_with_stock_keras_in_a_fresh_process(name, tmp_path, in_process):
    model = tiny(name)
    model.fit(clips_for(model), verbose=0)
    model.network.save(tmp_path / "model.keras")
    clips = np.random.default_rng(1).uniform(-1, 1, (2, *model.clip_shape)).astype("float32")
    np.save(tmp_path / "in.npy", clips)
    in_process(
        "import keras, numpy as np, sys\n"
        f"network = keras.saving.load_model({str(tmp_path / 'model.keras')!r})\n"
        "assert not [m for m in sys.modules if m.startswith('kvzoo')]\n"
        f"np.save({str(tmp_path / 'out.npy')!r}, network.predict(np.load({str(tmp_path / 'in.npy')!r}), verbose=0))\n"
    )
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), model.network.predict(clips, verbose=0), atol=1e-6)


def test_weights_go_from_model_to_model(name, tmp_path):
    first, clips = tiny(name), None
    clips = clips_for(first)
    first.fit(clips, verbose=0)
    first.network.save(tmp_path / "model.keras")
    second = tiny(name, weights=tmp_path / "model.keras")
    np.testing.assert_array_equal(first.predict(clips, verbose=0), second.predict(clips, verbose=0))


def test_config_survives_json(name):
    model = tiny(name)
    again = kvzoo.get(name, **json.loads(json.dumps(model.config)))
    assert again.config == model.config


def test_mixed_precision_trains(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tiny(name)
        assert np.isfinite(model.fit(clips_for(model), verbose=0).history["loss"]).all()
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
