"""Schedules, clipping, accumulation, averages, early stopping: each with each loss does what Keras says it does."""

import functools
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kvzoo
from kvzoo import catalog, zoo
from kvzoo.apps import compare, reconstruct
from kvzoo.errors import InputError
from kvzoo.run import checkpoint, evaluate
from kvzoo.run.folder import RunFolder
from kvzoo.run.history import History
from kvzoo.run.training import averaged

# loss: (a model that it trains, its options)
LOSSES = {
    "mse": ("gru_ae", {}),
    "cross_entropy": ("tiny_c3d", {}),
    "binary_speed": ("speednet", {}),
    "adversarial": ("videogan", {"discriminator_steps": 2}),
    "conditional": ("pix2pix", {"g_steps": 2}),
}
EXPONENTIAL = {"name": "ExponentialDecay", "initial_learning_rate": 0.1, "decay_steps": 1, "decay_rate": 0.5}


def trained(loss: str, steps: int, **optimizer):
    """Train a tiny model without tracing; return it and its trainable weights before and after each step."""
    keras.utils.set_random_seed(1)
    name, options = LOSSES[loss]
    model = kvzoo.get(name, loss={"name": loss, **options}, compile=False, **catalog.MODELS.get(name).tiny)
    zoo.compile_model(model, {"name": "sgd", "learning_rate": 0.1, **optimizer}, l2=0.0, jit_compile=False)
    model.run_eagerly = True
    rng = np.random.default_rng(0)
    batch = [rng.integers(0, 256, (2, *shape), np.uint8) for shape in model.clip_shapes]
    if loss in ("cross_entropy", "binary_speed"):
        batch.append(np.array([0, 1], "int32"))
    seen = [weights_of(model)]
    for _ in range(steps):
        model.train_on_batch(*batch)
        seen.append(weights_of(model))
    return model, seen


def weights_of(model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]


def moved(before: list[np.ndarray], after: list[np.ndarray]) -> float:
    return max(float(abs(a - b).max()) for a, b in zip(before, after, strict=True))


def optimizers(model) -> dict[str, keras.optimizers.Optimizer]:
    return getattr(model.optimizer, "players", {"network": model.optimizer})


# SpeedNet's many layers are slow without tracing, and it takes its step as tiny_c3d does.
SLOW = {"binary_speed": [pytest.mark.slow]}
each_loss = pytest.mark.parametrize("loss", [pytest.param(name, marks=SLOW.get(name, [])) for name in LOSSES])


def test_the_table_has_every_loss():
    assert set(LOSSES) == set(catalog.LOSSES.names())


@each_loss
def test_a_schedule_goes_by_steps_however_often_a_step_updates(loss):
    model, _ = trained(loss, 2, learning_rate=EXPONENTIAL)
    for name, optimizer in optimizers(model).items():
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        assert rate == pytest.approx(0.1 * 0.5**2), name


@functools.cache
def free_step(loss: str) -> list:
    return trained(loss, 1)[1]


@each_loss
@pytest.mark.parametrize("clipping", ["clipnorm", "clipvalue", "global_clipnorm"])
def test_clipping_holds_every_update_back(loss, clipping):
    free = free_step(loss)
    _, held = trained(loss, 1, **{clipping: 1e-6})
    assert moved(*free) > 1e-4
    # Two updates of at most 0.1 times the bound, and what float32 rounds.
    assert moved(*held) < 5e-7


@each_loss
def test_accumulated_gradients_are_applied_together(loss):
    model, seen = trained(loss, 2, gradient_accumulation_steps=2)
    for name, network in getattr(model, "networks", {"network": model.network}).items():
        mine = [i for i, v in enumerate(model.trainable_variables) if any(v is w for w in network.trainable_variables)]
        first, second = ([[weights[i] for i in mine] for weights in pair] for pair in (seen[:2], seen[1:]))
        twice = getattr(model, "updates", lambda _: 1)(name) == 2
        assert (moved(*first) > 0) == twice, name
        assert moved(*second) > 0, name


@each_loss
def test_a_moving_average_is_what_is_judged_and_kept(loss):
    model, seen = trained(loss, 3, use_ema=True, ema_momentum=0.5)
    wanted = None
    if all(getattr(model, "updates", lambda _: 1)(name) == 1 for name in optimizers(model)):
        wanted = seen[1]
        for weights in seen[2:]:
            wanted = [0.5 * a + 0.5 * w for a, w in zip(wanted, weights, strict=True)]
    with averaged(model):
        within = weights_of(model)
    assert moved(within, seen[-1]) > 0
    assert moved(weights_of(model), seen[-1]) == 0
    if wanted:
        assert moved(within, wanted) < 1e-6
    model.optimizer.finalize_variable_values(model.trainable_variables)
    assert moved(weights_of(model), within) == 0


def test_an_average_of_nothing_is_not_shown():
    model, seen = trained("mse", 0, use_ema=True)
    with averaged(model):
        assert moved(weights_of(model), seen[0]) == 0


@pytest.mark.backend
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on_other_backends_too(backend):
    pytest.importorskip(backend)
    rows = ["-m", "not backend", "-k", "(every_update and global_clipnorm) or by_steps or together or is_judged"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", __file__, *rows],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-3000:]


RECIPE = """
model: {name: gru_ae, frames: 3, image_size: 16, latent_dim: 8, units: 12, width: 4}
data: {source: stick_actions, videos: 12, people: 4, seconds: 0.4, actions: [walk, bend]}
fit: {steps: 12, batch_size: 2, sample_every: 2, checkpoint_every: 50, validation_clips: 4}
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return path


def test_a_run_stops_early_keeps_its_best_and_is_not_gone_on_with_by_mistake(recipe, tmp_path):
    # No learning at all; what statistics of batches change is less than min_delta.
    still = [
        "fit.optimizer={name: sgd, learning_rate: 0.0}",
        "fit.early_stopping={monitor: val_psnr, patience: 2, min_delta: 5}",
        "fit.best=val_psnr",
        "fit.validation_freq=2",
    ]
    run = kvzoo.fit(recipe, still, out=tmp_path / "run")
    assert [row["step"] for row in run.history if "val_psnr" in row] == [0, 4, 8, 12]
    state = RunFolder(run.path).state()
    assert (state.state, state.step) == ("done", 12)
    still.append("fit.validation_freq=1")
    run = kvzoo.fit(recipe, still, out=tmp_path / "other")
    state = RunFolder(run.path).state()
    assert (state.state, state.step, state.steps) == ("done", 6, 12)
    assert "stopped early: val_psnr has not improved on" in state.message
    assert "stopped early at step 6" in (run.path / "log.txt").read_text()
    names = {f.name for f in (run.path / "checkpoints").iterdir()}
    assert names == {"best.npz", *(f"step-0000000{step}.npz" for step in (2, 4, 6))}
    assert (run.path / "best.keras").is_file()
    with pytest.raises(InputError, match="stopped early at step 6"):
        kvzoo.resume(run.path)
    more = kvzoo.resume(run.path, ["fit.early_stopping=null", "fit.steps=7"])
    assert more.history[-1]["step"] == 7
    # What was told once is part of the run from then on.
    assert RunFolder(run.path).recipe()["fit"]["early_stopping"] is None
    assert "fit.early_stopping.monitor is null" in (run.path / "log.txt").read_text()


def test_metrics_that_a_run_will_not_have_are_refused_and_leave_nothing(recipe, tmp_path):
    for override in ("fit.best=val_accuracy", "fit.early_stopping={monitor: val_psnrr, mode: max}"):
        with pytest.raises(InputError, match=r"no metric 'val_\w+'.*known: loss, psnr, val_loss, val_psnr"):
            kvzoo.fit(recipe, [override], out=tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_the_best_checkpoint_is_that_of_the_best_row(recipe, tmp_path):
    run = kvzoo.fit(recipe, ["fit.best={monitor: loss, mode: max}", "fit.keep=1"], out=tmp_path / "run")
    best = max(run.history[1:], key=lambda row: row["loss"])["step"]
    names = sorted(f.name for f in (run.path / "checkpoints").iterdir())
    assert names == ["best.npz", "step-00000012.npz"]
    record, arrays = checkpoint._read(run.path / "checkpoints" / "best.npz")
    assert record["step"] == best
    kernel = next(array for name, array in arrays.items() if name.endswith("kernel"))
    loaded = [kvzoo.load(path).network.get_weights()[0] for path in (run.path / "best.keras", run.path)]
    np.testing.assert_array_equal(loaded[0], kernel)
    assert best < 12 and abs(loaded[1] - kernel).max() > 0
    # The best network stands in for the run where a verb takes one.
    network = run.path / "best.keras"
    assert evaluate.evaluate(network).metrics != evaluate.evaluate(run.path).metrics
    assert compare._names([run.path, network]) == ["run", "run/best.keras"]
    with pytest.raises(InputError, match=r"resumes from its newest checkpoint; use kvzoo resume .*run"):
        kvzoo.resume(network, ["fit.steps=14"])
    network.unlink()
    with pytest.raises(InputError, match=r"no best.keras; it is saved if fit.best names a metric"):
        reconstruct.check_request(network, tmp_path / "a.mp4", tmp_path / "b.mp4")


@given(
    values=st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.31, 0.4, 0.5]), min_size=1, max_size=12),
    patience=st.integers(0, 4),
    min_delta=st.sampled_from([0.0, 0.05]),
    baseline=st.sampled_from([None, 0.25]),
    start=st.integers(0, 3),
    mode=st.sampled_from(["min", "max"]),
)
@settings(max_examples=300)
def test_early_stopping_is_keras_own(values, patience, min_delta, baseline, start, mode):
    watched = {"monitor": "x", "patience": patience, "min_delta": min_delta, "baseline": baseline}
    watched |= {"start_from_epoch": start, "mode": mode}
    theirs = keras.callbacks.EarlyStopping(**watched)
    model = keras.Model()
    theirs.set_model(model)
    theirs.on_train_begin()
    model.stop_training = False
    history = History.__new__(History)
    history.task, history.rows = None, [{"step": 0, "x": 0.0}]
    for epoch, value in enumerate(values):
        theirs.on_epoch_end(epoch, {"x": value})
        history.rows.append({"step": 10 * (epoch + 1), "x": value})
        assert bool(history.stops_early(watched)) == model.stop_training
        if model.stop_training:
            break
