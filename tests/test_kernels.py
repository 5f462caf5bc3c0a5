"""The kernels can be turned off, and step back to stock Keras where a private name of Keras is gone."""

import keras
import numpy as np
import pytest

import kvzoo
from kvzoo.errors import InputError
from kvzoo.kernels import private
from kvzoo.kernels.few_filters import widen


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


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="this kernel is TensorFlow's")
def test_transposed_convolutions_with_few_filters():
    import tensorflow as tf

    layer = keras.layers.Conv3DTranspose(3, 4, 2, "same", activation="tanh", bias_initializer="normal")
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 1, 3, 2, 6)), "float32")
    layer.build(x.shape)
    results = []
    for accelerated in (False, True):
        if accelerated:
            widen([layer])
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(tf.square(y))
        results.append([y, *tape.gradient(loss, [x, layer.kernel.value, layer.bias.value])])
    assert layer.call.__module__ == "kvzoo.kernels.few_filters"
    for stock, fast in zip(*results, strict=True):
        np.testing.assert_allclose(fast, stock, rtol=1e-4, atol=1e-4)


FITS = """
import logging, sys
logging.basicConfig(format="%(message)s", stream=sys.stdout)
from kvzoo.kernels.compiled import keep_compiled
keep_compiled()
import jax
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
print(jax.jit(lambda x: (x * 3).sum())(jax.numpy.ones(4)))
"""


@pytest.mark.parametrize("cache", ["cache", "file/cache"])
def test_what_jax_compiles_is_kept_where_it_can_be(tmp_path, in_process, cache):
    pytest.importorskip("jax")
    (tmp_path / "file").touch()
    environment = {"KERAS_BACKEND": "jax", "KVZOO_CACHE": str(tmp_path / cache)}
    out = in_process(FITS, env=environment)
    assert out.split()[-1] == "12.0"
    assert out.count("cannot be written to") == (cache != "cache")
    assert bool(list(tmp_path.glob("cache/jax/*/*-cache"))) == (cache == "cache")
