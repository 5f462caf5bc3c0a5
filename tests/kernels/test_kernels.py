"""The kernels can be turned off, and step back to stock Keras where a private name of Keras is gone."""

import keras
import numpy as np
import pytest

import kvzoo
from kvzoo.errors import InputError
from kvzoo.kernels import private
from kvzoo.kernels.few_filters import widen
from kvzoo.run.reproducible import deterministic_ops, seeded


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
    methods = [layer.call for layer in private.layers_of(model.network)] + [model.optimizer.update_step]
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


def gone(monkeypatch, caplog, name: str, value):
    """Take a private name away; return what is warned of from now on."""
    monkeypatch.setattr(private, name, value)
    monkeypatch.setattr(private, "_warned", set())
    caplog.clear()
    return lambda: [record.getMessage() for record in caplog.records if record.name == "kvzoo"]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="most kernels are TensorFlow's")
@pytest.mark.parametrize(
    ("name", "value"),
    [("VARIABLE_INDEX", "_gone"), ("ADAM_SLOTS", ("_gone", "_velocities")), ("FLATTEN_LAYERS", "_gone")],
)
def test_a_kernel_does_without_a_private_name(monkeypatch, caplog, fast, name, value):
    warnings = gone(monkeypatch, caplog, name, value)
    again, _ = trained(), tiny()
    assert len(warnings()) == 1 and warnings()[0].startswith(f"Keras {keras.__version__} has no ")
    assert "_gone; kvzoo " in warnings()[0]
    np.testing.assert_allclose(fast[0], again[0], rtol=1e-4)


def test_layers_are_found_by_public_names_too(monkeypatch, caplog):
    inner = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.Conv2D(2, 1)])
    x = keras.Input((3, 4, 4, 2))
    network = keras.Model(
        x,
        keras.layers.Bidirectional(keras.layers.GRU(2))(
            keras.layers.Reshape((3, -1))(keras.layers.TimeDistributed(inner)(x))
        ),
    )
    # A Sequential hides its input layer.
    inputs = {id(layer) for layer in private.layers_of(network) if isinstance(layer, keras.layers.InputLayer)}
    layers = {id(layer) for layer in private.layers_of(network)} - inputs
    assert private.layers_of(network)[0] is network and network not in private.layers_of(network, include_self=False)
    warnings = gone(monkeypatch, caplog, "FLATTEN_LAYERS", "_gone")
    by_public_names = private.layers_of(network)
    numbers = [id(layer) for layer in by_public_names]
    assert set(numbers) - inputs == layers and len(numbers) == len(set(numbers)) and by_public_names[0] is network
    assert [id(layer) for layer in private.layers_of(network, include_self=False)] == numbers[1:]
    assert len(warnings()) == 1


def test_a_schedule_is_found_by_public_names_too(monkeypatch, caplog):
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.5)
    scheduled, plain = keras.optimizers.Adam(schedule), keras.optimizers.Adam(0.25)
    assert private.learning_rate_of(scheduled) is schedule
    assert float(private.learning_rate_of(plain)) == 0.25
    warnings = gone(monkeypatch, caplog, "LEARNING_RATE", "_gone")
    assert float(private.learning_rate_of(scheduled)(10)) == pytest.approx(0.25)
    assert float(private.learning_rate_of(plain)) == pytest.approx(0.25)
    assert len(warnings()) == 1 and "_gone; kvzoo makes schedules anew" in warnings()[0]


def test_without_a_layer_s_nodes_none_follows_it(monkeypatch, caplog):
    x = keras.Input((2,))
    dense, norm = keras.layers.Dense(2), keras.layers.BatchNormalization()
    keras.Model(x, norm(dense(x)))
    assert private.consumers_of(dense) == [norm]
    warnings = gone(monkeypatch, caplog, "OUTBOUND_NODES", "_gone")
    assert private.consumers_of(dense) == private.consumers_of(norm) == [] and len(warnings()) == 1


def test_without_keras_s_global_state_models_still_load_and_seeds_hold(monkeypatch, caplog, tmp_path):
    def drawn():
        with seeded(7):
            return keras.ops.convert_to_numpy(keras.random.normal((3,))).tolist()

    model, numbers = tiny(), drawn()
    model.save(tmp_path / "a.keras")
    warnings = gone(monkeypatch, caplog, "GLOBAL_STATE", "keras.src.gone")
    assert drawn() == numbers and drawn() == numbers
    again = kvzoo.get("tiny_c3d", weights=tmp_path / "a.keras", frames=4, image_size=16, width=4)
    for a, b in zip(model.network.get_weights(), again.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(warnings()) == 1 and "has no keras.src.gone; kvzoo " in warnings()[0]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's own")
def test_without_tensorflow_s_private_modules_ops_stay_deterministic(monkeypatch, caplog):
    import tensorflow as tf

    before = private.op_determinism()
    with deterministic_ops():
        assert private.op_determinism() is True
    assert private.op_determinism() is before
    tf.random.set_seed(3)
    assert private.tf_seed() == 3
    warnings = gone(monkeypatch, caplog, "TF_CONFIG", "tensorflow.python.gone")
    try:
        with deterministic_ops():
            pass
        assert private.op_determinism() is None
        monkeypatch.setattr(private, "TF_CONTEXT", "tensorflow.python.away")
        assert private.tf_seed() is None and private.tf_seed() is None
    finally:
        monkeypatch.undo()
        if not before:
            private.disable_op_determinism()
    assert [name in text for name, text in zip(("python.gone", "python.away"), warnings(), strict=True)] == [True, True]
    assert warnings()[0].startswith(f"TensorFlow {tf.__version__} has no ")


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


@pytest.mark.backend
@pytest.mark.parametrize("name", ["gru_ae", "pix2pix", "conv3d_ae"])
def test_bfloat16_trains_on_pytorch_without_onednn(in_process, name):
    pytest.importorskip("torch")
    code = f"""
import numpy as np, torch
import kvzoo
from kvzoo import catalog, zoo
with zoo.dtype_policy("mixed_bfloat16"):
    model = kvzoo.get({name!r}, **catalog.MODELS.get({name!r}).tiny)
clips = [np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8) for shape in model.clip_shapes]
history = model.fit(*clips, batch_size=2, epochs=2, verbose=0).history
assert all(np.isfinite(values).all() for values in history.values()), history
assert torch.backends.mkldnn.enabled
"""
    in_process(code, env={"KERAS_BACKEND": "torch"})
