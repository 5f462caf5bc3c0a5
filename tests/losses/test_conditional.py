"""The loss `conditional`: pix2pix's turns against plain PyTorch, and what `fit` promises."""

import importlib.util

import conditional_reference as reference
import keras
import numpy as np
import pytest
from conftest import ROOT

import kvzoo
from kvzoo import zoo
from kvzoo.errors import InputError

CASES = list(reference.CASES)
ON_ALL = ("paper", "term")  # one step of the network and two; the latter with all parts of the loss
REFERENCE = ROOT / "tests" / "reference"


def small(loss: dict | None = None, name: str = "small_translator", **fields):
    """Return the small translator as a third party gets it: registered, then asked for by name."""
    kvzoo.register(reference.spec(name, **fields))
    keras.utils.set_random_seed(0)
    return kvzoo.get(name, loss={"name": "conditional", **(loss or {})})


def examples(count: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return tuple(rng.integers(0, 256, (count, *s), dtype=np.uint8) for s in (reference.INPUTS, reference.TARGETS))


def state(model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(v.value) for v in (*model.variables, *model.optimizer.variables)]


# Against plain PyTorch


def by_hand(start: dict, case: str) -> dict:
    pytest.importorskip("torch")
    # TensorFlow and PyTorch live in one process as long as PyTorch shares out no work.
    import torch

    torch.set_num_threads(1)
    return reference.in_torch(case, {k.removeprefix("start/"): v for k, v in start.items() if k.startswith("start/")})


def assert_equal_to_hand(got: dict, wanted: dict):
    for player in ("network", "discriminator"):
        names = [name for name in wanted if name.startswith(f"end/{player}")]
        # A step of SGD shows the gradients, of two steps their sum; running statistics are in the records as well.
        a, b = ({n: (x[n] - got[n.replace("end", "start")]) / reference.RATE for n in names} for x in (got, wanted))
        largest = max((np.abs(x).max() for x in b.values()), default=1.0)
        assert largest > 0.05
        for name in names:
            np.testing.assert_allclose(a[name], b[name], atol=1e-5 * max(1.0, largest), err_msg=name)
            np.testing.assert_allclose(got[name], wanted[name], atol=1e-5, err_msg=name)
    for name in (name for name in wanted if name.startswith("log/")):
        np.testing.assert_allclose(got[name], wanted[name], rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(got["losses"], wanted["losses"], rtol=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_gradients_steps_and_losses_are_those_of_plain_pytorch(case):
    got = reference.in_keras(case)
    assert ("log/d_loss" in got) == (case != "l1_only")
    assert_equal_to_hand(got, by_hand(got, case))


@pytest.mark.backend
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_other_backends_equal_plain_pytorch(in_process, tmp_path, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install 'kvzoo[{backend}]'")
    code = (
        f"import sys; sys.path.insert(0, {str(REFERENCE)!r})\n"
        "import conditional_reference as r, keras, kvzoo, numpy as np\n"
        f"assert keras.backend.backend() == {backend!r}\n"
        f"for case in {ON_ALL!r}:\n"
        f"    np.savez({str(tmp_path)!r} + f'/{{case}}.npz', **r.in_keras(case))\n"
        # What is given at test time, with dropout on, is given on every backend, and changes nothing.
        "model = kvzoo.get('pix2pix', loss={'name': 'conditional', 'test_time': 'paper'}, frames_out=1, image_size=32,\n"
        "                  width=2, patch=16)\n"
        "x, y = (np.random.default_rng(0).integers(0, 256, (2, *s), dtype='uint8') for s in model.clip_shapes)\n"
        "model.fit(x, y, batch_size=2, verbose=0)\n"
        "before = [keras.ops.convert_to_numpy(v.value) for v in model.variables]\n"
        "a, b = model.predict(x, verbose=0), model.predict(x, verbose=0)\n"
        "np.testing.assert_array_equal(a, b)\n"
        "for v, w in zip(model.variables, before): np.testing.assert_array_equal(keras.ops.convert_to_numpy(v.value), w)\n"
        "assert np.abs(a - keras.ops.convert_to_numpy(model.network(x / 127.5 - 1))).max() > 1e-3\n"
    )
    in_process(
        code, env={"KERAS_BACKEND": backend, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "OMP_NUM_THREADS": "1"}, timeout=600
    )
    for case in ON_ALL:
        got = dict(np.load(tmp_path / f"{case}.npz"))
        assert_equal_to_hand(got, by_hand(got, case))


# One step


@pytest.mark.parametrize("g_steps", [1, 3])
def test_the_network_runs_anew_for_each_further_step(g_steps):
    model = small({"g_steps": g_steps})
    norm = next(x for x in model.network.layers if isinstance(x, keras.layers.BatchNormalization))
    norm.momentum = 0.5
    norm.moving_mean.assign(keras.ops.full_like(norm.moving_mean, 1000.0))
    model.train_on_batch(*examples())
    # Each forward in training halves what was there.
    np.testing.assert_allclose(norm.moving_mean, 1000.0 * 0.5**g_steps, atol=5.0)
    counts = {name: int(player.iterations) for name, player in model.optimizer.players.items()}
    assert counts == {"network": g_steps, "discriminator": 1}
    assert int(model.optimizer.iterations) == 1


def test_the_discriminator_sees_what_the_network_was_given():
    model = small()
    inputs, targets = examples()
    zero, one = (
        model.evaluate(x, targets, verbose=0, return_dict=True)["d_loss"] for x in (inputs, np.zeros_like(inputs))
    )
    assert zero != one


def test_without_the_gan_there_is_no_discriminator():
    model = small({"gan_weight": 0.0}, name="alone", discriminators={})
    history = model.fit(*examples(), batch_size=3, verbose=0).history
    assert history.keys() == {"g_loss", "l1", "psnr", "g_norm"}
    assert history["g_loss"][0] == pytest.approx(100 * history["l1"][0], rel=1e-5)
    assert set(small({"gan_weight": 0.0}).networks) == {"network"}


def test_the_models_own_loss_options_hold_for_its_own_loss():
    options = {"loss_options": {"gan_weight": 0.0, "l1_weight": 7.0}, "discriminators": {}}
    kvzoo.register(reference.spec("own_options", **options))
    assert (m := kvzoo.get("own_options")).l1_weight == 7.0 and m.gan_weight == 0.0
    assert kvzoo.get("own_options", loss="conditional").l1_weight == 7.0
    assert kvzoo.get("own_options", loss={"name": "conditional", "l1_weight": 3.0}).l1_weight == 3.0


def test_validation_changes_nothing_and_figures_are_right():
    model = small()
    inputs, targets = examples()
    model.fit(inputs, targets, batch_size=3, verbose=0)
    before = state(model)
    told = model.evaluate(inputs, targets, batch_size=6, verbose=0, return_dict=True)
    for a, b in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(a, b)
    assert told.keys() == {"g_loss", "d_loss", "l1", "psnr", "real_accuracy", "fake_accuracy"}
    made, truth = model.predict(inputs, verbose=0), targets / 127.5 - 1
    assert told["l1"] == pytest.approx(np.abs(made - truth).mean(), rel=1e-4)
    squares = np.square((made - truth) / 2).mean((2, 3, 4))
    assert told["psnr"] == pytest.approx((-10 * np.log10(squares)).mean(), rel=1e-4)


def test_learns_to_turn_one_picture_into_another():
    model = small()
    inputs, _ = examples(8)
    # Targets are the inputs' mean: what can be learned from nothing but the inputs.
    targets = np.repeat(inputs.mean((1, 4), keepdims=True), 3, axis=1).astype("uint8")
    zoo.compile_model(model, {"name": "adam", "learning_rate": 5e-3, "beta_1": 0.5}, 0.0)
    history = model.fit(inputs, targets, batch_size=4, epochs=40, verbose=0).history
    assert history["l1"][-1] < 0.5 * history["l1"][0]


def test_paper_at_test_time_is_the_network_in_training_and_leaves_no_trace():
    options = {"frames_out": 1, "image_size": 32, "width": 2, "patch": 16}
    model = kvzoo.get("pix2pix", loss={"name": "conditional", "test_time": "paper"}, **options)
    plain = kvzoo.get("pix2pix", **options)
    plain.network.set_weights(model.network.get_weights())
    x = np.random.default_rng(0).integers(0, 256, (2, 2, 32, 32, 3), dtype="uint8")
    before = state(model)
    first, again = model.predict(x, verbose=0), model.predict(x, verbose=0)
    np.testing.assert_array_equal(first, again)
    for a, b in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(a, b)
    # Batch norm takes the batch's own statistics: an example's result depends on the other.
    alone = model.predict(x[:1], verbose=0)
    assert np.abs(alone - first[:1]).max() > 1e-3
    np.testing.assert_allclose(plain.predict(x[:1], verbose=0), plain.predict(x, verbose=0)[:1], atol=1e-5)


@pytest.mark.parametrize(
    ("loss", "fields", "said"),
    [
        ({}, {"discriminators": {}}, "has no discriminator; gan_weight: 0 trains it without one"),
        ({"gan_weight": 0.0, "l1_weight": 0.0}, {}, "both 0: nothing is left to minimise"),
        ({}, {"builder": "conditional_reference:discriminator"}, "the network's inputs must be named inputs"),
        (
            {},
            {"discriminators": {"discriminator": "conditional_reference:translator"}},
            "the discriminator discriminator's inputs must be named inputs",
        ),
        ({"g_steps": 0}, {}, "g_steps: must be greater than or equal to 1"),
        ({"test_time": "papr"}, {}, "'inference' or 'paper'"),
    ],
)
def test_refused_networks_and_options(loss, fields, said):
    kvzoo.register(reference.spec(f"refused_{abs(hash(said))}", **fields))
    with pytest.raises(InputError, match=said):
        kvzoo.get(f"refused_{abs(hash(said))}", loss={"name": "conditional", **loss})


def test_refused_examples():
    model = small()
    inputs, targets = examples()
    with pytest.raises(InputError, match=r"requires \.fit\(inputs, targets\)"):
        model.fit(inputs, verbose=0)
    with pytest.raises(InputError, match=r"targets: shape \(N, 3, 8, 8, 1\) is required"):
        model.fit(inputs, targets[:, :2], verbose=0)
