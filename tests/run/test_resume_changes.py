"""Changes that a resumed run may make take effect, however they are spelt; the others are refused by name."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

import kvzoo
from kvzoo import catalog, zoo
from kvzoo.errors import InputError
from kvzoo.run import checkpoint
from kvzoo.run.folder import RunFolder
from kvzoo.run.history import History
from kvzoo.run.resume import check_changes

RECIPE = """
model: {name: gru_ae, frames: 3, image_size: 16, latent_dim: 8, units: 12, width: 4}
data: {source: stick_actions, videos: 12, people: 4, seconds: 0.4, actions: [walk, bend]}
fit:
  steps: 4
  batch_size: 2
  sample_every: 2
  checkpoint_every: 2
  validation_clips: 4
  best: val_psnr
  optimizer: {name: adam, learning_rate: 1e-3, beta_1: 0.8}
"""
SCHEDULE = "{name: ExponentialDecay, initial_learning_rate: 0.1, decay_steps: 1, decay_rate: 0.5}"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("changes")
    (folder / "small.yaml").write_text(RECIPE)
    return kvzoo.fit(folder / "small.yaml", out=folder / "run").path


@pytest.fixture
def copy(run, tmp_path) -> Path:
    return shutil.copytree(run, tmp_path / "copy")


def rate_of(model) -> float:
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


RATE = "fit.optimizer.learning_rate"


@pytest.mark.parametrize(
    ("overrides", "changed"),
    [
        ([f"{RATE}=0.5"], {RATE}),
        (["fit.optimizer={name: adam, beta_1: 0.8, learning_rate: 0.5}"], {RATE}),
        ([" fit.optimizer.learning_rate = 0.5"], {RATE}),
        (["fit.best=loss"], {"fit.best.monitor"}),
        (["fit.best={monitor: val_loss}"], {"fit.best.monitor"}),
        (["fit.best=null"], {"fit.best.mode", "fit.best.monitor"}),
        (["fit.early_stopping.monitor=val_psnr"], {f"fit.early_stopping.{key}" for key in ("monitor", "patience")}),
        ([f"{RATE}={SCHEDULE}"], {RATE, f"{RATE}.name", f"{RATE}.decay_rate"}),
        ([f"{RATE}.name=CosineDecay", f"{RATE}.initial_learning_rate=0.1"], {RATE, f"{RATE}.name", f"{RATE}.alpha"}),
        (
            [
                "fit={steps: 9, batch_size: 2, sample_every: 2, checkpoint_every: 1, validation_clips: 4, best: val_psnr, "
                "optimizer: {name: adam, beta_1: 0.8, learning_rate: 1e-3}}"
            ],
            {"fit.steps", "fit.checkpoint_every"},
        ),
        ([f"{RATE}=0.001", "fit.steps=4"], set()),
    ],
)
def test_changes_are_told_by_values_and_not_by_how_they_are_spelt(run, overrides, changed):
    folder = RunFolder(run)
    record, _ = checkpoint.read_newest(folder.checkpoints)
    found = {".".join(keys) for keys in check_changes(folder, folder.recipe(overrides), record, False)}
    assert changed <= found and all(
        any(name.startswith(known.rpartition(".")[0]) for known in changed) for name in found
    )
    # A checkpoint of an older version tells nothing of its recipe; the lock file does.
    del record["recipe"]
    assert {".".join(k) for k in check_changes(folder, folder.recipe(overrides), record, False)} == found


def test_an_option_that_is_new_in_this_version_is_no_change(copy):
    lock = copy / "recipe.lock.yaml"
    lines = lock.read_text().splitlines(keepends=True)
    lock.write_text("".join(line for line in lines if not line.startswith("  validation_freq:")))
    folder = RunFolder(copy)
    record, _ = checkpoint.read_newest(folder.checkpoints)
    del record["recipe"]["fit"]["validation_freq"]
    assert check_changes(folder, folder.recipe([]), record, False) == {}
    overridden = folder.recipe(["fit.validation_freq=2"])
    assert check_changes(folder, overridden, record, False) == {("fit", "validation_freq"): (None, 2)}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("fit.optimizer={name: adam, learning_rate: 0.5}", "fit.optimizer.beta_1 is 0.9, but was 0.8"),
        ("fit={steps: 9}", "fit.batch_size is 16, but was 2"),
        ("fit.l2=0.5", "fit.l2 is 0.5, but was"),
        ("fit.precision=mixed_bfloat16", "fit.precision is .*bfloat16"),
        ("fit.optimizer.use_ema=true", "fit.optimizer.use_ema is true, but was false"),
        ("fit.best=val_psnrr", "cannot tell from the name whether higher is better|no metric 'val_psnrr'"),
        ("fit.early_stopping={monitor: val_ssim}", "fit.early_stopping: no metric 'val_ssim'.*known: loss, psnr"),
        ("fit.steps=3", "already finished at step 4"),
    ],
)
def test_what_cannot_be_changed_is_refused_by_name_and_nothing_is_touched(run, override, said):
    files = {file: file.read_bytes() for file in run.rglob("*") if file.is_file() and file.name != "log.txt"}
    with pytest.raises(InputError, match=said):
        kvzoo.resume(run, ["fit.steps=6", override])
    assert {file: file.read_bytes() for file in files} == files


def test_a_rate_becomes_a_schedule_and_a_number_again(copy):
    """And `fit.best` changes its metric, checkpoints come more often and fewer stay."""
    more = ["fit.steps=6", "fit.best={monitor: loss, mode: max}", "fit.checkpoint_every=1", "fit.keep=1"]
    model = kvzoo.resume(copy, [*more, f"fit.optimizer.learning_rate={SCHEDULE}"]).model
    assert rate_of(model) == pytest.approx(0.1 * 0.5**6)
    rows = History(RunFolder(copy), upto=99).rows
    best = max(rows[-2:], key=lambda row: row["loss"])["step"]
    assert checkpoint._read(copy / "checkpoints" / "best.npz")[0]["step"] == best
    assert [checkpoint.checkpoints_in(copy / "checkpoints")[0].stem] == ["step-00000006"]
    freq = ["fit.steps=9", "fit.validation_freq=2", "fit.validation_clips=3", "fit.best=null"]
    model = kvzoo.resume(copy, [*freq, "fit.optimizer={name: adam, beta_1: 0.8, learning_rate: 0.25}"]).model
    assert rate_of(model) == 0.25
    rows = History(RunFolder(copy), upto=99).rows
    assert [row["step"] for row in rows if "val_psnr" in row] == [0, 2, 4, 6, 8]
    assert rows[-1]["step"] == 9


# The rates of a generator and its discriminator, before and after, and where they are to be at step 0.
GAN = [
    ({"learning_rate": 1e-3}, None, {"learning_rate": 0.5}, None, (0.5, 0.5)),
    ({"learning_rate": 1e-3}, 5e-4, {"learning_rate": 0.5}, 5e-4, (0.5, 5e-4)),
    ({"learning_rate": 1e-3}, None, {"learning_rate": 1e-3}, 0.25, (1e-3, 0.25)),
    ({"learning_rate": 1e-3}, 5e-4, {"learning_rate": "schedule"}, 0.05, (0.1, 0.05)),
    ({"learning_rate": "schedule"}, 0.05, {"learning_rate": 0.5}, None, (0.5, 0.5)),
]


@pytest.mark.parametrize(("before", "discriminator_before", "after", "discriminator_after", "rates"), GAN)
def test_the_rates_of_players_change_too(tmp_path, before, discriminator_before, after, discriminator_after, rates):
    def built(settings: dict, discriminator: float | None, l2: float = 1e-5):
        loss = {"name": "adversarial", "discriminator_learning_rate": discriminator}
        model = kvzoo.get("videogan", loss=loss, compile=False, **catalog.MODELS.get("videogan").tiny)
        rate = settings["learning_rate"]
        schedule = {"name": "ExponentialDecay", "initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}
        optimizer = {"name": "adam", "learning_rate": schedule if rate == "schedule" else rate}
        zoo.compile_model(model, optimizer, l2, jit_compile=False)
        return model

    first, second = built(before, discriminator_before), built(after, discriminator_after)
    slots = [v for v in first.optimizer.variables if "momentum" in v.path]
    for slot in slots:
        slot.assign(keras.ops.ones_like(slot))
    path = checkpoint.save(tmp_path, first, 0, {})
    checkpoint.restore(second, checkpoint._read(path)[1], learning_rates=False)
    assert [rate_of_player(p) for p in second.optimizer.players.values()] == pytest.approx(rates)
    moved = [v for v in second.optimizer.variables if "momentum" in v.path]
    assert len(moved) == len(slots) and all(np.all(keras.ops.convert_to_numpy(v) == 1) for v in moved)


def rate_of_player(player) -> float:
    return float(keras.ops.convert_to_numpy(player.learning_rate))


def test_a_process_that_computes_otherwise_is_named(copy, caplog):
    lock = copy / "recipe.lock.yaml"
    text = lock.read_text()
    assert "oneDNN: " in text
    lock.write_text(text.replace("oneDNN: ", "oneDNN: off # "))
    with caplog.at_level("INFO", "kvzoo"):
        kvzoo.resume(copy, ["fit.steps=6"])
    assert [message for message in caplog.messages if message.startswith("oneDNN: was off when the run began, now")]
