"""Nothing of the process is left changed by building, loading and training, also not by many threads at once."""

import logging
import random
import threading

import keras
import numpy as np
import pytest
from backends import BACKENDS

import kvzoo
from kvzoo import catalog, zoo
from kvzoo.run.reproducible import deterministic_ops, seeded

TINY = {"frames": 3, "image_size": 16, "channels": 1, "latent_dim": 8, "units": 12, "width": 4}
SMALL = ["gru_ae", "conv3d_ae", "videogan", "pix2pix", "tiny_c3d"]
MODELS = [entry.name for entry in catalog.MODELS.entries() if entry.distribution == "kvzoo"]

THREADS = """
import threading
import numpy as np
import keras
import kvzoo
from kvzoo import catalog

tiny = catalog.MODELS.get("gru_ae").tiny | {"channels": 1}
first = kvzoo.get("gru_ae", **tiny)
first.save("first.keras")
clips = np.random.default_rng(0).integers(0, 256, (4, *first.clip_shape), dtype=np.uint8)
wanted = first.evaluate(clips, verbose=0, return_dict=True)["loss"]
methods = {name: getattr(keras.Variable, name) for name in ("__init__", "assign")}
before = keras.config.dtype_policy().name, keras.config.image_data_format(), keras.config.floatx()
problems, losses = [], []

def work(number):
    try:
        with kvzoo.zoo.dtype_policy("mixed_bfloat16" if number % 2 else "float32"):
            model = kvzoo.get("gru_ae", weights="first.keras", **tiny)
        assert model.network.dtype_policy.name == ("mixed_bfloat16" if number % 2 else "float32")
        losses.append(model.evaluate(clips, verbose=0, return_dict=True)["loss"])
        model.fit(clips, batch_size=2, verbose=0)
        assert np.isfinite(model.predict(clips, verbose=0)).all()
    except Exception as error:
        problems.append(repr(error))

threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not problems, problems
np.testing.assert_allclose(losses, wanted, rtol=0.02)
assert methods == {name: getattr(keras.Variable, name) for name in methods}
assert before == (keras.config.dtype_policy().name, keras.config.image_data_format(), keras.config.floatx())
if keras.backend.backend() == "torch":
    import torch

    assert torch.backends.mkldnn.enabled
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", *BACKENDS])
def test_twenty_threads_load_train_and_evaluate_at_once(in_process, tmp_path, monkeypatch, backend):
    monkeypatch.chdir(tmp_path)
    # JAX compiles each of the 20 models anew, which takes most of the time.
    in_process(THREADS, env={"KERAS_BACKEND": backend, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}, timeout=900)


def test_threads_load_while_another_policy_holds_in_this_one(tmp_path):
    kvzoo.get("gru_ae", **TINY).save(tmp_path / "first.keras")
    make, problems = keras.Variable.__init__, []

    def load():
        try:
            model = kvzoo.get("gru_ae", weights=tmp_path / "first.keras", **TINY)
            assert model.network.dtype_policy.name == "float32"
        except Exception as error:
            problems.append(error)

    with zoo.dtype_policy("mixed_bfloat16"):
        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert not problems
    assert keras.Variable.__init__ is make
    assert keras.layers.Dense(3000).build((None, 3000)) is None  # no quota is left behind


def test_a_run_leaves_seeds_determinism_and_logging_as_they_were(tmp_path):
    recipe = tmp_path / "small.yaml"
    recipe.write_text(
        "model: {name: gru_ae, frames: 2, image_size: 16, latent_dim: 4, units: 6, width: 2}\n"
        "data: {source: stick_actions, videos: 8, people: 4, seconds: 0.4, actions: [walk, bend]}\n"
        "fit: {steps: 1, batch_size: 2, sample_every: 1}\n"
    )
    random.seed(1)
    np.random.seed(2)
    level = logging.getLogger("kvzoo").level
    before = random.getstate(), np.random.get_state()[1].copy()
    kvzoo.fit(recipe, out=tmp_path / "run")
    assert random.getstate() == before[0]
    assert (np.random.get_state()[1] == before[1]).all()
    assert logging.getLogger("kvzoo").level == level
    if keras.backend.backend() == "tensorflow":
        from tensorflow.python.framework import config

        assert not config.is_op_determinism_enabled()


def test_seeded_seeds_and_restores_what_keras_draws_from():
    def drawn() -> list:
        draws = [random.random(), np.random.rand(), float(keras.ops.convert_to_numpy(keras.random.uniform(())))]
        return [*draws, keras.initializers.RandomUniform()._init_seed]

    keras.utils.set_random_seed(3)
    wanted = [drawn(), drawn()]
    keras.utils.set_random_seed(3)
    assert drawn() == wanted[0]
    with seeded(5):
        inner = drawn()
    assert drawn() == wanted[1]
    with seeded(5):
        assert drawn() == inner


def test_ops_stay_deterministic_until_the_last_run_ends():
    config = pytest.importorskip("tensorflow.python.framework.config")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's ops only")
    first, second = deterministic_ops(), deterministic_ops()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert config.is_op_determinism_enabled()
    second.__exit__(None, None, None)
    assert not config.is_op_determinism_enabled()


@pytest.mark.parametrize("name", [*SMALL, *(pytest.param(n, marks=pytest.mark.slow) for n in MODELS if n not in SMALL)])
def test_an_old_setting_of_channels_first_changes_nothing(name):
    tiny = catalog.MODELS.get(name).tiny
    keras.config.set_image_data_format("channels_first")
    try:
        model = kvzoo.get(name, compile=False, **tiny)
        assert keras.config.image_data_format() == "channels_first"
        networks = getattr(model, "networks", {"network": model.network})
        for network in networks.values():
            formats = {getattr(layer, "data_format", "channels_last") for layer in network._flatten_layers()}
            assert formats == {"channels_last"}
        inputs = [np.zeros((1, *(size or 16 for size in x.shape[1:])), x.dtype) for x in model.network.inputs]
        here = keras.ops.convert_to_numpy(model.network(inputs if len(inputs) > 1 else inputs[0]))
    finally:
        keras.config.set_image_data_format("channels_last")
    other = kvzoo.get(name, compile=False, **tiny)
    other.network.set_weights(model.network.get_weights())
    there = keras.ops.convert_to_numpy(other.network(inputs if len(inputs) > 1 else inputs[0]))
    np.testing.assert_allclose(here, there, atol=1e-5)
