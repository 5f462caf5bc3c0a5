"""The kernels can be turned off, and step back to stock Keras where a private name of Keras is gone."""

import keras
import numpy as np
import pytest

import kvzoo
from kvzoo.errors import InputError
from kvzoo.kernels import private


def tiny():
    keras.utils.set_random_seed(0)
    return kvzoo.get("tiny_c3d", frames=4, image_size=16, width=4)


def trained():
    model = tiny()
    clips = np.random.default_rng(0).integers(0, 256, (4, *model.clip_shape), np.uint8)
    losses = [float(model.train_on_batch(clips, np.arange(4) % 2)[0]) for _ in range(3)]
    return losses, model.get_weights()


@pytest.fixture(scope="module")
def fast():
    return trained()


def kernels_of(model) -> set[str]:
    methods = [layer.call for layer in model.network._flatten_layers()] + [model.optimizer.update_step]
    return {method.__module__ for method in methods if method.__module__.startswith("kvzoo")}


def test_one_variable_turns_all_kernels_off_and_the_numbers_stay(monkeypatch, fast):
    if keras.backend.backend() == "tensorflow":
        assert kernels_of(tiny()) >= {"kvzoo.kernels.fused_adam", "kvzoo.kernels.fused_batch_norm"}
    monkeypatch.setenv("KVZOO_STOCK", "1")
    assert not kernels_of(tiny())
    stock = trained()
    np.testing.assert_allclose(fast[0], stock[0], rtol=1e-4)
    for a, b in zip(fast[1], stock[1], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("value", ["maybe", "2", "true", " 1"])
def test_other_values_are_refused(monkeypatch, value):
    monkeypatch.setenv("KVZOO_STOCK", value)
    with pytest.raises(InputError, match=r"^KVZOO_STOCK: 0 .* or 1 .*\. Received: "):
        tiny()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="most kernels are TensorFlow's")
@pytest.mark.parametrize(
    ("name", "value"), [("FLATTEN_LAYERS", None), ("VARIABLE_INDEX", None), ("ADAM_SLOTS", ("_gone", "_velocities"))]
)
def test_a_private_name_that_is_gone_is_warned_of_once(monkeypatch, caplog, fast, name, value):
    monkeypatch.setattr(private, name, value)
    monkeypatch.setattr(private, "_warned", set())
    again, _ = trained(), tiny()
    warnings = [record.getMessage() for record in caplog.records if record.name == "kvzoo"]
    assert len(warnings) == 1 and "uses stock Keras instead" in warnings[0]
    np.testing.assert_allclose(fast[0], again[0], rtol=1e-4)
