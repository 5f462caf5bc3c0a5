"""What is special about MemAE: the memory, the entropy in its loss, and how much of the memory is used."""

import keras
import numpy as np
import pytest

import kvzoo
from kvzoo import catalog
from kvzoo.errors import InputError
from kvzoo.testing import battery

test_memae = battery("memae", stock_keras=True)

TINY = dict(catalog.MODELS.get("memae").tiny)


def clips(count: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 16, 16, 1), dtype=np.uint8)


def inner(model, name: str) -> np.ndarray:
    """Return what a layer gives for four clips."""
    view = keras.Model(model.network.inputs, model.network.get_layer(name).output)
    return view.predict(clips().astype("float32") / 127.5 - 1, verbose=0)


def test_at_the_papers_size_it_has_the_authors_maps():
    network = kvzoo.get("memae", compile=False).network
    assert network.get_layer("recalled").output.shape[1:] == (2, 16, 16, 256)
    assert network.get_layer("addressing").output.shape[1:] == (2, 16, 16, 2000)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_a_place_is_recalled_as_the_paper_says(similarity):
    keras.utils.set_random_seed(1)
    model = kvzoo.get("memae", **{**TINY, "shrink": 1.02 / 12, "similarity": similarity})
    kept = keras.ops.convert_to_numpy(model.network.get_layer("memory").kernel)[0]
    before = [layer for layer in model.network.layers if isinstance(layer, keras.layers.LeakyReLU)][3].name
    query, weights, recalled = (inner(model, name) for name in (before, "addressing", "recalled"))
    asked, keys = query, kept
    if similarity == "cosine":
        asked, keys = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (query, kept))
    wanted = np.exp(asked @ keys.T)
    wanted /= wanted.sum(axis=-1, keepdims=True)
    wanted[wanted <= 1.02 / 12] = 0
    assert 0 < (wanted > 0).mean() < 1
    wanted /= np.maximum(wanted.sum(axis=-1, keepdims=True), 1e-6)
    np.testing.assert_allclose(weights, wanted, atol=1e-5)
    np.testing.assert_allclose(recalled, wanted @ kept, atol=1e-5)


def test_the_loss_is_the_error_and_the_weighted_entropy():
    told = {}
    for weight in (0.0, 0.5):
        keras.utils.set_random_seed(0)
        model = kvzoo.get("memae", loss={"name": "mse_entropy", "entropy_weight": weight}, **TINY)
        told[weight] = model.evaluate(clips(), verbose=0, return_dict=True)
    weights = inner(model, "addressing")
    entropy = -np.sum(weights * np.log(weights + 1e-12), axis=-1).mean()
    error = np.square(model.predict(clips(), verbose=0) - (clips() / 127.5 - 1)).mean()
    assert told[0.5]["entropy"] == pytest.approx(entropy, rel=1e-4)
    assert told[0.0]["loss"] == pytest.approx(error, rel=1e-4)
    assert told[0.5]["loss"] == pytest.approx(error + 0.5 * entropy, rel=1e-4)


def test_a_heavy_entropy_makes_addressing_sparse():
    keras.utils.set_random_seed(0)
    model = kvzoo.get("memae", loss={"name": "mse_entropy", "entropy_weight": 1.0}, **{**TINY, "shrink": 0.0})
    model.optimizer.learning_rate = 1e-2
    seen = model.fit(clips(), epochs=30, batch_size=4, verbose=0).history["entropy"]
    assert seen[-1] < 0.5 * seen[0]


def test_another_model_is_refused_by_the_loss():
    with pytest.raises(InputError, match="mse_entropy wants a memory: a layer named addressing"):
        kvzoo.get("gru_ae", loss="mse_entropy", frames=2, image_size=16)


@pytest.mark.parametrize(
    ("option", "value"), [("frames", 12), ("image_size", 24), ("width", 4), ("similarity", "euclid"), ("items", 1)]
)
def test_what_it_cannot_have_is_refused_by_name(option, value):
    with pytest.raises(InputError, match=option):
        kvzoo.get("memae", **{**TINY, option: value})


RECIPE = """
model: {name: memae, frames: 8, image_size: 16, items: 12, shrink: 0.05, width: 3}
LOSS
data: {source: stick_actions, videos: 8, people: 4, seconds: 0.4, validation: 0.25}
fit: {steps: 4, batch_size: 2, sample_every: 2}
callbacks: [{name: memory_use}]
"""


def test_the_history_says_how_much_of_the_memory_is_read(tmp_path):
    recipe = tmp_path / "memae.yaml"
    recipe.write_text(RECIPE.replace("LOSS\n", ""))
    last = kvzoo.fit(recipe, out=tmp_path / "run").history[-1]
    assert 1 <= last["items_effective"] <= 12.001
    assert 1 <= last["items_read"] <= 12


def test_a_collapsed_memory_is_warned_of_once(caplog):
    callback = catalog.CALLBACKS.get("memory_use").load()(least=0.5)
    model = kvzoo.get("memae", **TINY)
    model.use.assign(np.eye(12, dtype="float32")[0])
    callback.set_model(model)
    logs: dict = {}
    for epoch in range(2):
        callback.on_epoch_end(epoch, logs)
    assert logs == {"items_read": 1.0, "items_effective": pytest.approx(1.0)}
    assert caplog.text.count("1 of 12 items are read") == 1


def test_the_callback_refuses_a_model_without_a_memory(tmp_path):
    recipe = tmp_path / "memae.yaml"
    recipe.write_text(RECIPE.replace("LOSS", "loss: mse"))
    with pytest.raises(InputError, match="memory_use wants the loss mse_entropy. Received: mse"):
        kvzoo.fit(recipe, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
