"""The loss `adversarial`: every variant against plain PyTorch, and what `fit` promises."""

import importlib.util
import json
import logging
from pathlib import Path

import gan_reference as reference
import keras
import numpy as np
import pytest
from conftest import ROOT

import kvzoo
from kvzoo import zoo
from kvzoo.errors import InputError, TrainingFailed
from kvzoo.losses.alternating import OfPlayer
from kvzoo.recipe.resolve import load
from kvzoo.run import checkpoint

CASES = list(reference.CASES)
REFERENCE = ROOT / "tests" / "reference"


def small(loss: dict | None = None, seed: int = 0, **options):
    """Return the small GAN as a third party gets it: registered, then asked for by name."""
    kvzoo.register(reference.spec())
    keras.utils.set_random_seed(seed)
    return kvzoo.get("small_gan", loss={"name": "adversarial", **(loss or {})}, **options)


def clips_for(model, count: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *model.clip_shape), dtype=np.uint8)


def state(model) -> dict[str, np.ndarray]:
    variables = [*model.variables, *model.optimizer.variables]
    return {f"{i}:{v.path}": keras.ops.convert_to_numpy(v.value) for i, v in enumerate(variables)}


def assert_same(a: dict, b: dict):
    assert len(a) == len(b)
    for (name, left), right in zip(a.items(), b.values(), strict=True):
        np.testing.assert_array_equal(left, right, err_msg=name)


# Against plain PyTorch


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory) -> dict[str, dict[str, np.ndarray]]:
    """Each case's start and its record in plain PyTorch, made in a process of its own."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed: pip install 'kvzoo[torch]'")
    return in_backend(
        "torch", tmp_path_factory.mktemp("by_hand"), "[s := r.start(case), r.in_torch(case, s)]", ("start", "record")
    )


def in_backend(backend: str, folder: Path, expression: str, names: tuple[str, ...]) -> dict[str, dict]:
    """Evaluate `expression`, a list of records, for every case on a backend; return them by case and name."""
    from conftest import python_in_process

    code = (
        f"import sys; sys.path.insert(0, {str(REFERENCE)!r})\n"
        "import gan_reference as r, keras, numpy as np\n"
        f"assert keras.backend.backend() == {backend!r}\n"
        "for case in r.CASES:\n"
        f"    for name, record in zip({names!r}, {expression}):\n"
        f"        np.savez({str(folder)!r} + f'/{{case}}-{{name}}.npz', **record)\n"
    )
    # JAX spends its time on optimising what runs once, PyTorch on sharing out what is small.
    quick = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "OMP_NUM_THREADS": "1"}
    python_in_process(code, env={"KERAS_BACKEND": backend, **quick}, timeout=600)
    return {case: {name: dict(np.load(folder / f"{case}-{name}.npz")) for name in names} for case in CASES}


def assert_equal_to_hand(got: dict, start: dict, wanted: dict, case: str):
    rate_of_discriminator = reference.CASES[case][0].get("discriminator_learning_rate", reference.RATE)
    for player, rate in (("network", reference.RATE), ("discriminator", rate_of_discriminator)):
        # A step of SGD shows the gradients; running statistics are in the records as well.
        a, b = ({n: (x[n] - start[n]) / rate for n in start if n.startswith(player)} for x in (got, wanted))
        largest = max(np.abs(x).max() for x in b.values())
        assert largest > 0.1
        for name in a:
            np.testing.assert_allclose(a[name], b[name], atol=1e-5 * max(1.0, largest), err_msg=name)
    for name in wanted.keys() - {"losses"}:
        # A loss of twelve has a last digit of 1e-6, which sums in another order change.
        np.testing.assert_allclose(got[name], wanted[name], rtol=2e-6, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(got["losses"], wanted["losses"], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_gradients_steps_and_losses_are_those_of_plain_pytorch(by_hand, case):
    assert_equal_to_hand(reference.in_keras(case), by_hand[case]["start"], by_hand[case]["record"], case)


@pytest.mark.backend
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_other_backends_equal_plain_pytorch(by_hand, tmp_path, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install 'kvzoo[{backend}]'")
    records = in_backend(backend, tmp_path, "[r.in_keras(case)]", ("record",))
    for case in CASES:
        assert_equal_to_hand(records[case]["record"], by_hand[case]["start"], by_hand[case]["record"], case)


def test_pytorch_with_its_own_spectral_norm_agrees():
    """The one power iteration is that of torch.nn.utils.spectral_norm."""
    torch = pytest.importorskip("torch")
    from kvzoo.losses.adversarial import SpectralNorm

    network = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, use_bias=False)])
    norm = SpectralNorm(network, keras.layers.Layer().add_weight)
    ((kernel, u),) = norm.pairs
    linear = torch.nn.Linear(5, 4, bias=False)
    linear.weight.data.copy_(torch.tensor(keras.ops.convert_to_numpy(kernel)).T)
    linear = torch.nn.utils.spectral_norm(linear)
    u.assign(linear.weight_u.numpy())
    x = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    for _ in range(3):
        with norm(training=True):
            ours = keras.ops.convert_to_numpy(network(x))
        np.testing.assert_allclose(ours, linear(torch.from_numpy(x)).detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(u), linear.weight_u.numpy(), atol=1e-5)


# One step


@pytest.mark.parametrize("rounds", [1, 3])
def test_the_generator_runs_once_for_each_discriminator_step(rounds):
    model = small({"discriminator_steps": rounds})
    norm = next(x for x in model.network.layers if isinstance(x, keras.layers.BatchNormalization))
    norm.momentum = 0.5
    norm.moving_mean.assign(keras.ops.full_like(norm.moving_mean, 1000.0))
    model.train_on_batch(clips_for(model, 4))
    # Each forward in training halves what was there; a clip's own mean is far below 1.
    np.testing.assert_allclose(norm.moving_mean, 1000.0 * 0.5**rounds, atol=2.0)


def test_each_player_has_its_turns():
    model = small({"discriminator_steps": 3})
    model.fit(clips_for(model), batch_size=4, epochs=2, verbose=0)
    counts = {name: int(player.iterations) for name, player in model.optimizer.players.items()}
    assert counts == {"network": 4, "discriminator": 12}
    assert int(model.optimizer.iterations) == 4


def test_several_discriminators_are_summed_and_named():
    kvzoo.register(
        reference.spec(
            "two_discriminators", discriminators=dict.fromkeys(("first", "second"), "gan_reference:discriminator")
        )
    )
    model = kvzoo.get("two_discriminators", loss={"name": "adversarial", "terms": {"mask_l1": 0.0}})
    first, second = model.networks["first"], model.networks["second"]
    second.set_weights(first.get_weights())
    logs = model.evaluate(clips_for(model), batch_size=8, verbose=0, return_dict=True)
    fake = model.networks["network"].predict({"noise": model._validation_noise[:8]})
    alone = np.log1p(np.exp(-first.predict(fake, verbose=0))).mean()
    assert logs["g_loss"] == pytest.approx(2 * alone, rel=1e-4)
    trained = model.fit(clips_for(model), batch_size=4, verbose=0).history
    assert {"d_loss_first", "d_loss_second", "fake_accuracy_second", "d_norm_first"} <= trained.keys()


def test_discriminators_may_see_label_and_image():
    kvzoo.register(reference.spec("seen", discriminators={"discriminator": "gan_reference:seeing_discriminator"}))
    model = kvzoo.get("seen", classes=3)
    clips = clips_for(model)
    model.fit(clips, np.arange(8) % 3, batch_size=4, verbose=0)
    told = [
        model.evaluate(c, y, verbose=0, return_dict=True)["d_loss"]
        for c, y in ((clips, np.zeros(8, int)), (clips, np.ones(8, int)))
    ]
    assert told[0] != told[1]


def test_validation_changes_nothing_but_metrics():
    model = small({"spectral_norm": True})
    clips = clips_for(model)
    model.fit(clips, batch_size=4, verbose=0)
    before = state(model)
    first = model.evaluate(clips, batch_size=4, verbose=0, return_dict=True)
    assert first == model.evaluate(clips, batch_size=4, verbose=0, return_dict=True)
    assert_same(before, state(model))
    assert {"g_loss", "d_loss", "real_accuracy", "fake_accuracy", "mask_l1"} == first.keys()
    history = model.fit(clips, batch_size=4, validation_data=(clips,), verbose=0).history
    assert {"val_g_loss", "val_d_loss", "g_norm", "d_norm"} <= history.keys()


def test_a_class_head_learns_the_classes():
    model = small({"class_weight": 1.0}, classes=3)
    labels = np.arange(24) % 3
    # A class is a brightness.
    clips = np.broadcast_to(labels[:, None, None, None, None] * 100 + 20, (24, *model.clip_shape)).astype("uint8")
    zoo.compile_model(model, {"name": "adam", "learning_rate": 5e-3, "beta_1": 0.5}, 0.0)
    history = model.fit(clips, labels, batch_size=8, epochs=25, verbose=0).history
    assert history["real_class_accuracy"][-1] > 0.95


def test_learns_to_make_clips_of_the_data_brightness():
    model = small({"terms": {"mask_l1": 0.0}})
    clips = np.full((16, *model.clip_shape), 170, "uint8")
    zoo.compile_model(model, {"name": "adam", "learning_rate": 3e-3, "beta_1": 0.5}, 0.0)
    before = abs(model.generate(16).mean() - 170)
    model.fit(clips, batch_size=8, epochs=60, verbose=0)
    assert abs(model.generate(16).mean() - 170) < before / 2


# What fit promises


def test_several_steps_an_execution_give_the_same_weights():
    clips, labels, *_ = reference.fixed(4)
    models = [reference.keras_model("classes", "adam", steps_per_execution=n) for n in (1, 2)]
    for model in models:
        model.fit(clips.reshape(-1, *reference.CLIP), labels.reshape(-1), batch_size=4, shuffle=False, verbose=0)
    assert int(models[1].optimizer.iterations) == 4
    assert_same(state(models[0]), state(models[1]))


def test_xla_gives_the_same_losses():
    logs = []
    for jit in (False, True):
        model = reference.keras_model("log")
        model.jit_compile = jit
        clips, *_ = reference.fixed(1)
        logs.append(model.train_on_batch(clips[0], return_dict=True))
    assert logs[0].keys() == logs[1].keys()
    for name in logs[0]:
        assert float(logs[1][name]) == pytest.approx(float(logs[0][name]), rel=1e-4, abs=1e-5)


def test_cut_and_resumed_is_bit_equal(tmp_path):
    def fresh(seed):
        model = small({"variant": "wasserstein_gp", "discriminator_steps": 2, "spectral_norm": True}, seed)
        settings = {"name": "adam", "learning_rate": {"name": "CosineDecay", "initial_learning_rate": 1e-3}}
        settings["learning_rate"]["decay_steps"] = 4
        zoo.compile_model(model, {**settings, "use_ema": True}, 1e-4)
        return model

    whole = fresh(0)
    clips = clips_for(whole, 16)
    for step in range(4):
        if step == 2:
            checkpoint.save(tmp_path, whole, 2, {})
        whole.train_on_batch(clips[4 * step : 4 * step + 4])
    cut = fresh(1)
    checkpoint.restore(cut, checkpoint.read_newest(tmp_path)[1])
    for step in (2, 3):
        cut.train_on_batch(clips[4 * step : 4 * step + 4])
    assert_same(state(whole), state(cut))
    kinds = " ".join(state(cut))
    assert "momentum" in kinds and "average" in kinds and "seed_generator" in kinds and "_u" in kinds


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_like_float32(in_process, precision):
    code = f"""
import sys; sys.path.insert(0, {str(REFERENCE)!r})
import gan_reference as reference, numpy as np
clips, labels, *_ = reference.fixed(2)
losses = []
for policy in ("float32", {precision!r}):
    model = reference.keras_model("classes", precision=policy)
    logs = model.train_on_batch(clips[0], labels[0], return_dict=True)
    losses.append([float(logs[k]) for k in ("d_loss", "g_loss", "d_norm", "g_norm")])
np.testing.assert_allclose(losses[1], losses[0], rtol=0.05, atol=0.02)
assert {precision!r} != "mixed_float16" or float(model.optimizer.scale("discriminator")) > 1
"""
    # oneDNN's kernels for bfloat16 are not to be relied on: kvzoo/kernels/bfloat16.py.
    in_process(code, {"KERAS_BACKEND": "tensorflow", "TF_ENABLE_ONEDNN_OPTS": "0"})


def test_float16_leaves_out_a_step_that_overflows():
    model = reference.keras_model("log", precision="mixed_float16")
    clips, *_ = reference.fixed(1)
    for player in model.optimizer.players.values():
        player.dynamic_scale.assign(1e30)
    before = [v.copy() for v in model.networks["discriminator"].get_weights()]
    logs = model.train_on_batch(clips[0], return_dict=True)
    trainable = [i for i, v in enumerate(model.networks["discriminator"].weights) if v.trainable]
    for i in trainable:
        np.testing.assert_array_equal(before[i], model.networks["discriminator"].get_weights()[i])
    assert np.isfinite([float(x) for x in logs.values()]).all()
    assert float(model.optimizer.scale("discriminator")) == pytest.approx(5e29)


def test_learning_rates_can_be_set_and_keep_their_proportion():
    model = small({"discriminator_learning_rate": 4e-4})
    callback = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 1e-4)
    model.fit(clips_for(model), batch_size=4, callbacks=[callback], verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-4)
    assert float(model.optimizer.players["discriminator"].learning_rate) == pytest.approx(2e-4)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, 4)))
    with pytest.raises(InputError, match="a schedule sets it"):
        model.optimizer.learning_rate = 1e-4


@pytest.mark.parametrize("discriminator_steps", [1, 3])
def test_a_schedule_keeps_the_discriminators_own_rate_in_proportion(discriminator_steps):
    model = small({"discriminator_learning_rate": 4e-4, "discriminator_steps": discriminator_steps})
    cosine = keras.optimizers.schedules.CosineDecay(1e-4, 4, alpha=0.1)
    model.compile(keras.optimizers.SGD(cosine), run_eagerly=True)
    clips = clips_for(model, 4)
    for step in range(3):
        rates = {name: float(player.learning_rate) for name, player in model.optimizer.players.items()}
        assert rates == pytest.approx({"network": float(cosine(step)), "discriminator": 4 * float(cosine(step))})
        model.train_on_batch(clips)
    again = OfPlayer.from_config(OfPlayer(cosine, 3, 0.5).get_config())
    assert float(again(6)) == pytest.approx(0.5 * float(cosine(2)))
    from_nothing = keras.optimizers.schedules.CosineDecay(0.0, 4, warmup_target=1e-3, warmup_steps=2)
    with pytest.raises(InputError, match="begins at 0 gives discriminator_learning_rate no proportion"):
        model.compile(keras.optimizers.SGD(from_nothing))


def test_clipping_l2_accumulation_and_moving_averages_reach_both_players():
    model = small()
    clips = clips_for(model, 4)
    sgd = {"name": "sgd", "learning_rate": 1.0}
    zoo.compile_model(model, {**sgd, "global_clipnorm": 1e-3}, 0.0)
    for _ in range(2):
        before = {n: [w.copy() for w in network.get_weights()] for n, network in model.networks.items()}
        model.train_on_batch(clips)
        for name, network in model.networks.items():
            moves = [
                (a - b).ravel()
                for a, b, v in zip(network.get_weights(), before[name], network.weights, strict=True)
                if v.trainable
            ]
            assert np.linalg.norm(np.concatenate(moves)) == pytest.approx(1e-3, rel=1e-2)
    zoo.compile_model(model, {**sgd, "gradient_accumulation_steps": 2}, 0.0)
    before = [v.numpy() for v in model.trainable_variables]
    model.train_on_batch(clips)
    assert all((v.numpy() == b).all() for v, b in zip(model.trainable_variables, before, strict=True))
    model.train_on_batch(clips)
    assert any((v.numpy() != b).any() for v, b in zip(model.trainable_variables, before, strict=True))
    start, moved = model.get_weights(), []
    for l2 in (0.0, 0.1):
        model.set_weights(start)
        zoo.compile_model(model, sgd, l2)
        model.seed_generator.state.assign([1, 1])
        model.train_on_batch(clips)
        moved.append([v.numpy() for v in model.networks["discriminator"].trainable_variables])
    first = [
        w
        for w, v in zip(start, model.weights, strict=True)
        if v is model.networks["discriminator"].trainable_variables[0]
    ]
    np.testing.assert_allclose(moved[1][0] - moved[0][0], -0.1 * first[0], atol=1e-5)
    zoo.compile_model(model, {**sgd, "learning_rate": 1e-2, "use_ema": True, "ema_momentum": 0.5}, 1e-2)
    model.fit(clips, batch_size=2, verbose=0)
    for name, network in model.networks.items():
        averages = model.optimizer.players[name]._model_variables_moving_average
        for variable, average in zip(network.trainable_variables, averages, strict=True):
            np.testing.assert_array_equal(variable.numpy(), average.numpy())


def test_the_penalty_passes_through_the_fused_batch_norm():
    """TensorFlow's fused kernel has second-order gradients: the case with batch norm equals PyTorch only if used."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's kernel")
    model = reference.keras_model("wasserstein_gp_batch_norm")
    norm = next(x for x in model.networks["discriminator"].layers if isinstance(x, keras.layers.BatchNormalization))
    assert norm.call.__module__ == "kvzoo.kernels.fused_batch_norm"


# Generating


def test_the_same_seed_gives_the_same_clips():
    model = small()
    model.fit(clips_for(model), batch_size=4, verbose=0)
    a, b, c = model.generate(20, seed=3), model.generate(20, seed=3), model.generate(20, seed=4)
    assert a.shape == (20, *model.clip_shape) and a.dtype == np.uint8
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    noise = np.random.default_rng(3).standard_normal((20, 6))
    np.testing.assert_array_equal(a, model.generate(20, noise=noise))


def test_parts_are_what_a_clip_is_made_of():
    model = small(image=True)
    images = clips_for(model, 2)[:, 0]
    parts = model.parts(2, images=images)
    assert parts.keys() == {"clip", "foreground", "mask"}
    np.testing.assert_allclose(parts["clip"], parts["mask"] * parts["foreground"], atol=1e-6)
    other = model.parts(2, images=255 - images)
    assert np.abs(other["clip"] - parts["clip"]).max() > 1e-4
    np.testing.assert_allclose(model.predict({"noise": np.zeros((2, 6)), "image": images}).shape, parts["clip"].shape)


def test_labels_choose_what_is_made():
    model = small(classes=3)
    one, two = model.generate(2, labels=1), model.generate(2, labels=[1, 2])
    np.testing.assert_array_equal(one[0], two[0])
    assert (one[1] != two[1]).any()


@pytest.mark.parametrize(
    ("options", "arguments", "reason"),
    [
        ({}, {"count": 0}, "at least 1"),
        ({}, {"count": 2, "labels": [0, 1]}, "takes no label"),
        ({}, {"count": 2, "noise": np.zeros((2, 5))}, r"\(2, 6\).*Received: \(2, 5\)"),
        ({"classes": 3}, {"count": 2}, "requires labels"),
        ({"classes": 3}, {"count": 2, "labels": [0, 3]}, "0 to 2"),
        ({"classes": 3}, {"count": 2, "labels": [0, 1, 2]}, r"\(2,\).*Received: \(3,\)"),
        ({"image": True}, {"count": 1, "images": np.zeros((1, 4, 4, 3))}, r"\(1, 8, 8, 3\)"),
    ],
)
def test_what_cannot_be_generated_is_refused(options, arguments, reason):
    with pytest.raises(InputError, match=reason):
        small(**options).generate(**arguments)


# Bad input


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        ({"terms": {"mask_l2": 1.0}}, "unknown term 'mask_l2'.*did you mean mask_l1"),
        ({"variant": "hing"}, "hinge"),
        ({"variant": "hinge", "label_smoothing": 0.1}, "label_smoothing is for the variant log"),
        ({"gradient_penalty": 1.0}, "gradient_penalty is for the variant wasserstein_gp"),
        ({"discriminator_steps": 0}, "discriminator_steps"),
    ],
)
def test_options_that_exclude_each_other_are_refused(loss, reason):
    with pytest.raises(InputError, match=reason) as error:
        small(loss)
    assert "\n" not in str(error.value)


def test_other_kinds_are_refused_by_name():
    with pytest.raises(InputError, match="adversarial supports only generator models; gru_ae is a reconstructor"):
        kvzoo.get("gru_ae", loss="adversarial")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"discriminators": {}}, "requires a discriminator"),
        (
            {"discriminators": {"discriminator": "gan_reference:generator"}},
            "the discriminator discriminator has an input 'noise'.*clip",
        ),
        ({"builder": "gan_reference:discriminator"}, "the generator must return one clip"),
    ],
)
def test_networks_that_do_not_fit_together_are_refused(fields, reason):
    name = f"unfit_{abs(hash(reason))}"
    kvzoo.register(reference.spec(name, **fields))
    with pytest.raises(InputError, match=reason):
        kvzoo.get(name)


def test_data_that_does_not_fit_is_refused():
    model = small(classes=3)
    clips = clips_for(model, 4)
    with pytest.raises(InputError, match="requires labels"):
        model.fit(clips, verbose=0)
    with pytest.raises(InputError, match=r"labels: .*shape \(N,\).*Received: shape \(.*3\)"):
        model.fit(clips, np.eye(3)[[0, 1, 2, 0]], verbose=0)
    with pytest.raises(InputError, match=r"clips: shape \(N, 4, 8, 8, 3\)"):
        model.fit(clips[:, :2], np.zeros(4), verbose=0)


def test_what_cannot_be_compiled_is_refused():
    model = small()
    with pytest.raises(InputError, match="metrics: the loss adversarial has its own"):
        model.compile("adam", metrics=["mae"])
    with pytest.raises(InputError, match="mixed_float16"), zoo.dtype_policy("mixed_float16"):
        small({"variant": "wasserstein_gp"})


def test_batch_norm_under_the_penalty_is_said(caplog):
    with caplog.at_level(logging.WARNING, "kvzoo"):
        small({"variant": "wasserstein_gp"})
    assert "batch norm" in caplog.text
    caplog.clear()
    small({"variant": "wasserstein_gp"}, norm=False)
    assert not caplog.text


# From a spec and a recipe


def test_the_spec_survives_json():
    spec = reference.spec()
    again = type(spec).from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert again.terms["mask_l1"].load() is reference.mask_l1


def test_a_term_of_a_map_that_the_network_lacks_is_left_out():
    fields = {"maps": ("mask", "background")}
    fields["terms"] = {"still": {"function": "gan_reference:mask_l1", "maps": ["background"]}}
    kvzoo.register(reference.spec("without_background", **fields))
    model = kvzoo.get("without_background")
    assert "still" not in model.evaluate(clips_for(model), verbose=0, return_dict=True)


def test_a_recipe_weighs_terms_and_says_where_a_name_is_wrong(tmp_path):
    kvzoo.register(reference.spec())
    text = "model: small_gan\nloss: {name: adversarial, variant: hinge, terms: {mask_l1: %s}}\n"
    text += "data: {source: stick_actions}\nfit: {steps: 2}\n"
    file = tmp_path / "small.yaml"
    file.write_text(text % 0.5)
    assert load(file)["loss"]["terms"] == {"mask_l1": 0.5}
    assert load(file, ["loss.terms.mask_l1=1"])["loss"]["terms"] == {"mask_l1": 1.0}
    file.write_text((text % 0.5).replace("mask_l1", "mask_1"))
    with pytest.raises(InputError, match=r"small.yaml:2:.*loss.terms: unknown term 'mask_1'.*mask_l1"):
        load(file)
    file.write_text(text.replace(", terms: {mask_l1: %s}", ""))
    assert load(file)["loss"]["terms"] == {"mask_l1": 0.2}


@pytest.fixture
def recipe(tmp_path):
    kvzoo.register(reference.spec())
    file = tmp_path / "small.yaml"
    file.write_text(
        "model: small_gan\n"
        "loss: {name: adversarial, variant: hinge}\n"
        "data: {source: stick_actions, videos: 8, people: 4, seconds: 0.4, actions: [walk, bend]}\n"
        "fit: {steps: 4, batch_size: 2, sample_every: 2, checkpoint_every: 2}\n"
    )
    return file


def test_a_run_is_resumed_to_the_same_bits(recipe, tmp_path):
    whole = kvzoo.fit(recipe, out=tmp_path / "whole")
    kvzoo.fit(recipe, ["fit.steps=2"], out=tmp_path / "cut")
    cut = kvzoo.resume(tmp_path / "cut", ["fit.steps=4"])
    assert_same(*(checkpoint.read_newest(run.path / "checkpoints")[1] for run in (whole, cut)))
    assert {"g_loss", "d_loss", "val_g_loss", "g_norm"} <= whole.history[-1].keys()
    np.testing.assert_array_equal(kvzoo.load(tmp_path / "cut").generate(2), whole.model.generate(2))


def test_a_loss_that_is_not_finite_stops_a_run(recipe, tmp_path):
    with pytest.raises(TrainingFailed, match="g_loss is nan at step 1"):
        kvzoo.fit(recipe, ["fit.optimizer={name: sgd, learning_rate: 1.0e+30}"], out=tmp_path / "nan")


@pytest.mark.backend
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_third_party_networks_train_resume_and_generate_elsewhere(in_process, tmp_path, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install 'kvzoo[{backend}]'")
    here = small({"spectral_norm": True}, classes=3)
    here.network.save(tmp_path / "model.keras")
    np.save(tmp_path / "made.npy", here.generate(3, seed=2, labels=[0, 1, 2]))
    code = f"""
import sys; sys.path.insert(0, {str(REFERENCE)!r})
import gan_reference as reference, keras, kvzoo, numpy as np, pathlib
from kvzoo import zoo
from kvzoo.errors import InputError
from kvzoo.run import checkpoint
folder = pathlib.Path({str(tmp_path)!r})
kvzoo.register(reference.spec())
loss = {{"name": "adversarial", "spectral_norm": True}}
def fresh(seed, precision="float32", **options):
    keras.utils.set_random_seed(seed)
    with zoo.dtype_policy(precision):
        return kvzoo.get("small_gan", loss=loss, **options)
model = kvzoo.get("small_gan", loss=loss, classes=3, weights=folder / "model.keras")
made, wanted = model.generate(3, seed=2, labels=[0, 1, 2]), np.load(folder / "made.npy")
assert np.abs(made.astype(int) - wanted).max() <= 1
clips = np.random.default_rng(0).integers(0, 256, (16, *model.clip_shape), dtype=np.uint8)
whole = fresh(0)
whole.fit(clips[:8], batch_size=4, shuffle=False, verbose=0)
checkpoint.save(folder, whole, 2, {{}})
history = whole.fit(clips[8:], batch_size=4, shuffle=False, validation_data=(clips,), verbose=0).history
assert np.isfinite([x[-1] for x in history.values()]).all() and "val_g_loss" in history
cut = fresh(1)
checkpoint.restore(cut, checkpoint.read_newest(folder)[1])
cut.fit(clips[8:], batch_size=4, shuffle=False, verbose=0)
for a, b in zip([*whole.variables, *whole.optimizer.variables], [*cut.variables, *cut.optimizer.variables], strict=True):
    np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(v.value) for v in (a, b)), err_msg=a.path)
half = {{"torch": "mixed_bfloat16", "jax": "mixed_float16"}}[{backend!r}]
history = fresh(0, half).fit(clips, batch_size=4, verbose=0).history
assert np.isfinite([x[-1] for x in history.values()]).all()
def refused(call):
    try:
        call()
    except InputError:
        return True
assert refused(lambda: fresh(0, classes=3).fit(clips, verbose=0))
if {backend!r} == "torch":
    assert refused(lambda: model.compile("adam", steps_per_execution=2))
    assert refused(lambda: model.compile("adam", jit_compile=True))
"""
    in_process(code, env={"KERAS_BACKEND": backend, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"})
