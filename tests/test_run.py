"""Runs: what one fit leaves, that it repeats to the bit, and that a cut one goes on to the same bits."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import kvzoo
from kvzoo.errors import InputError, Interrupted, TrainingFailed
from kvzoo.recipe.resolve import load
from kvzoo.run import checkpoint, training
from kvzoo.run.folder import RunFolder
from kvzoo.run.training import collapses

RECIPE = """
model: {name: gru_ae, frames: 3, image_size: 16, latent_dim: 8, units: 12, width: 4}
data: {source: stick_actions, videos: 12, people: 4, seconds: 0.4, actions: [walk, bend]}
fit:
  steps: 10
  batch_size: 2
  sample_every: 4
  checkpoint_every: 3
  optimizer: {name: adam, learning_rate: {name: CosineDecay, initial_learning_rate: 1e-3}}
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The recipe's run, not cut."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "small.yaml").write_text(RECIPE)
    return kvzoo.fit(folder / "small.yaml", out=folder / "whole")


def state_of(run) -> dict[str, np.ndarray]:
    """All arrays of a finished run: its last checkpoint, and its network."""
    _, arrays = checkpoint.read_newest(RunFolder(run.path).checkpoints)
    return arrays


def assert_same_bits(first, second) -> None:
    a, b = state_of(first), state_of(second)
    assert a.keys() == b.keys()
    assert any("adam" in name for name in a)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert (first.path / "history.csv").read_text() == (second.path / "history.csv").read_text()


def test_a_fit_leaves_what_it_promises(recipe):
    run = kvzoo.fit(recipe)
    assert run.path == Path("runs/small-1")
    assert Path("runs/latest").resolve() == run.path.resolve()
    names = {str(f.relative_to(run.path)) for f in run.path.rglob("*") if f.is_file()}
    assert {"recipe.lock.yaml", "model.keras", "history.csv", "loss.png", "log.txt"} <= names
    assert {f"samples/step-{s:06d}.{e}" for s in (0, 4, 8, 10) for e in ("png", "gif")} <= names
    assert {n for n in names if n.startswith("checkpoints")} == {f"checkpoints/step-{s:08d}.npz" for s in (6, 9, 10)}
    assert {"report.html", "state.json", "timing.json"} <= names
    assert not [n for n in names if "part" in n]
    with open(run.path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "4", "8", "10"]
    assert all(float(row["val_psnr"]) > 0 for row in rows)
    strip = np.asarray(Image.open(run.path / "samples" / "step-000010.png"))
    assert strip.shape[1] == 3 * 16
    with Image.open(run.path / "samples" / "step-000010.gif") as gif:
        assert gif.n_frames == 3
    assert kvzoo.fit(recipe, ["fit.steps=1"]).path == Path("runs/small-2")


def test_another_seed_is_another_run(recipe, whole):
    assert kvzoo.fit(recipe, ["fit.seed=1"]).history[-1]["loss"] != whole.history[-1]["loss"]


def test_the_lock_file_makes_the_run_again_to_the_same_bits(recipe, whole):
    lock = load(whole.path / "recipe.lock.yaml")
    assert lock.values == load(recipe).values
    assert lock.lock["backend"] == keras.backend.backend()
    again = kvzoo.fit(whole.path / "recipe.lock.yaml")
    assert again.path.name == "small-1"
    assert_same_bits(whole, again)


@pytest.mark.slow
@pytest.mark.parametrize("at", [2, 4, 9])
def test_a_cut_run_goes_on_to_the_same_bits(recipe, whole, at, monkeypatch):
    cut_at(monkeypatch, at)
    with pytest.raises(Interrupted, match=f"SIGTERM at step {at}.*kvzoo resume cut"):
        kvzoo.fit(recipe, out="cut")
    monkeypatch.undo()
    assert_same_bits(whole, kvzoo.resume(recipe.parent / "cut"))


def cut_at(monkeypatch, step: int) -> None:
    """Have this process get a SIGTERM within the given step."""
    from kvzoo.run.progress import Progress

    real = Progress.step
    monkeypatch.setattr(
        Progress,
        "step",
        lambda self, at, logs: (real(self, at, logs), os.kill(os.getpid(), signal.SIGTERM) if at == step else None),
    )


@pytest.mark.slow  # tests/test_torture.py kills runs in one process
def test_a_killed_run_goes_on_from_its_last_checkpoint(recipe, tmp_path):
    longer = ["fit.steps=120", "fit.sample_every=40", "fit.checkpoint_every=10"]
    whole = kvzoo.fit(recipe, longer, out="whole")
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-m", "kvzoo", "fit", str(recipe), *(f"-o{x}" for x in longer), "--out", str(killed)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and len(checkpoint.found(killed / "checkpoints")) < 3:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (killed / "checkpoints" / "step-00000120.npz").exists()
    assert_same_bits(whole, kvzoo.resume(killed))


def test_interrupted_from_the_terminal(recipe, kvzoo_cli, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "kvzoo", "fit", str(recipe), "-o", "fit.steps=100000", "--out", "cut"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not list((tmp_path / "cut").glob("checkpoints/*.npz")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.strip().endswith("progress saved. Resume with: kvzoo resume cut")
    step = checkpoint.read_newest(tmp_path / "cut" / "checkpoints")[0]["step"]
    done = kvzoo_cli("resume", "cut", "-o", f"fit.steps={step + 2}")
    assert done.returncode == 0, done.stderr
    assert f"step {step + 2}/{step + 2}" in done.stdout


def copy_of(run, path: Path) -> RunFolder:
    shutil.copytree(run.path, path)
    return RunFolder(path)


def test_a_damaged_checkpoint_is_left_aside(whole, tmp_path):
    run = copy_of(whole, tmp_path / "run")
    newest = checkpoint.found(run.path / "checkpoints")[-1]
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    record, _ = checkpoint.read_newest(run.path / "checkpoints")
    assert record["step"] == 9
    for path in checkpoint.found(run.path / "checkpoints"):
        path.write_bytes(b"x")
    with pytest.raises(InputError, match="all 3 checkpoints are damaged"):
        kvzoo.resume(run.path)


def test_resume_refuses_what_it_cannot_go_on_with(whole, tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        kvzoo.resume(tmp_path)
    run = copy_of(whole, tmp_path / "run")
    with pytest.raises(InputError, match="done already"):
        kvzoo.resume(run.path)
    with pytest.raises(InputError, match="the data changed"):
        kvzoo.resume(run.path, ["fit.steps=12", "data.seed=5"])
    other = RunFolder(run.path)
    other.take()
    with pytest.raises(InputError, match="process .* is writing"):
        kvzoo.resume(run.path, ["fit.steps=12"])
    other.leave()
    assert kvzoo.resume(run.path, ["fit.steps=12"]).history[-1]["step"] == 12


def test_a_loss_that_is_not_finite_stops_with_code_3(recipe, kvzoo_cli):
    with pytest.raises(TrainingFailed, match=r"loss is .* at step \d+"):
        kvzoo.fit(recipe, ["fit.optimizer={name: sgd, learning_rate: 1e30}"])
    done = kvzoo_cli("fit", recipe, "-o", "fit.optimizer={name: sgd, learning_rate: 1e30}", cwd=recipe.parent)
    assert done.returncode == 3
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_the_step_of_a_nan_is_named_though_logs_stay_on_the_device(recipe, monkeypatch):
    long = ["fit.optimizer={name: sgd, learning_rate: 1e30}", "fit.steps=30", "fit.sample_every=30"]
    said = []
    for steps in (1, 1000):
        monkeypatch.setattr(training, "LOGS_STEPS", steps)
        monkeypatch.setattr(training, "LOGS_SECONDS", 1e9)
        looked = []
        monkeypatch.setattr(training.Progress, "step", lambda self, step, logs, to=looked: to.append(step))
        with pytest.raises(TrainingFailed, match=r"loss is (nan|inf) at step \d+; there is no checkpoint") as error:
            kvzoo.fit(recipe, [*long, "fit.checkpoint_every=30"], out=f"run-{steps}")
        said.append(str(error.value))
        assert looked[-1:] == ([29] if steps == 1000 else [int(said[0].split("step ")[1].split(";")[0]) - 1])
    assert said[0] == said[1]
    assert RunFolder("run-1000").state().message == said[0]


@pytest.mark.parametrize(
    "override",
    ["data={source: strips, path: empty}", "data={source: videos, path: texts}", "data.videos=1", "data.seconds=0.1"],
)
def test_data_that_cannot_be_used_leaves_no_folder(recipe, override):
    Path("empty").mkdir()
    Path("texts").mkdir()
    Path("texts/a.mp4").write_text("this is not a video")
    with pytest.raises(InputError):
        kvzoo.fit(recipe, [override])
    assert not Path("runs").exists()


def test_unusable_files_are_reported_and_the_run_goes_on(recipe, kvzoo_cli):
    Path("strips").mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 256, (16, 16 * 5), np.uint8)).save(f"strips/good{i}.png")
    Image.fromarray(rng.integers(0, 256, (16, 16 * 2), np.uint8)).save("strips/short.png")
    Path("strips/corrupt.png").write_bytes(Path("strips/good0.png").read_bytes()[:200])
    done = kvzoo_cli("fit", recipe, "-o", "data={source: strips, path: strips}", "--out", "out", cwd=recipe.parent)
    assert done.returncode == 0, done.stderr
    assert "skipped short.png: 2 frames, 3 are needed" in done.stderr
    assert "skipped corrupt.png" in done.stderr
    assert "2 skipped" in done.stdout
    assert "skipped corrupt.png" in Path("out/log.txt").read_text()


def test_load_gives_the_model_back_in_a_fresh_process(whole, in_process, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clips = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16, 1), np.uint8)
    np.save("clips.npy", clips)
    in_process(
        "import kvzoo, numpy as np\n"
        f"model = kvzoo.load({str(whole.path)!r})\n"
        "np.save('out.npy', model.predict(np.load('clips.npy'), verbose=0))\n"
        "model.fit(np.load('clips.npy'), verbose=0)\n"
    )
    np.testing.assert_allclose(np.load("out.npy"), whole.model.predict(clips, verbose=0), atol=1e-6)


def test_dataset_is_ready_for_fit(recipe):
    model = kvzoo.get("gru_ae", frames=3, image_size=16, width=4)
    batches = kvzoo.dataset("stick_actions", model, batch_size=2, seed=3, videos=4, people=2, seconds=0.4)
    history = model.fit(batches, steps_per_epoch=3, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    again = kvzoo.dataset("stick_actions", model, batch_size=2, seed=3, videos=4, people=2, seconds=0.4)
    np.testing.assert_array_equal(next(iter(batches))[0], next(iter(again))[0])
    with pytest.raises(InputError, match="vidoes.*did you mean"):
        kvzoo.dataset("stick_actions", model, vidoes=4)


def test_smoke_is_quick_and_whole(kvzoo_cli, tmp_path):
    done = kvzoo_cli("fit", "gru_ae", "--smoke", "--out", "smoke", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "smoke" / "model.keras").is_file()
    assert "look at" in done.stdout


def test_l2_is_added_to_the_gradient():
    from kvzoo.losses.base import optimizer

    weight = keras.Variable(np.array([2.0, -4.0], "float32"))
    sgd = optimizer("sgd", 0.5, l2=0.1)
    sgd.apply([keras.ops.zeros((2,))], [weight])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), [2.0 - 0.5 * 0.2, -4.0 + 0.5 * 0.4], rtol=1e-6)


@pytest.mark.slow
def test_a_cut_run_with_a_moving_average_goes_on_to_the_same_bits(recipe, monkeypatch):
    average = ["fit.optimizer.use_ema=true", "fit.optimizer.ema_momentum=0.5"]
    whole = kvzoo.fit(recipe, average, out=recipe.parent / "whole")
    cut_at(monkeypatch, 6)
    with pytest.raises(Interrupted):
        kvzoo.fit(recipe, average, out="cut")
    monkeypatch.undo()
    assert_same_bits(whole, kvzoo.resume(recipe.parent / "cut"))


def test_data_that_breaks_on_the_way_is_the_users_to_mend_and_nothing_is_lost(recipe, monkeypatch):
    from kvzoo.data.source import BrokenVideo
    from kvzoo.data.worlds.stick_actions import StickActions
    from kvzoo.run.progress import Progress

    real = Progress.step

    def break_at_7(self, step, logs):
        real(self, step, logs)
        if step == 7:  # as when a disk goes away

            def gone(*_):
                raise BrokenVideo("no such file")

            monkeypatch.setattr(StickActions, "read", gone)

    monkeypatch.setattr(Progress, "step", break_at_7)
    with pytest.raises(InputError, match="none of the 10 videos can be decoded.*no such file"):
        kvzoo.fit(recipe, ["fit.steps=1000", "fit.sample_every=500"], out="run")
    assert [f.name for f in checkpoint.found(Path("run/checkpoints"))][:2] == ["step-00000003.npz", "step-00000006.npz"]
    assert "none of the 10 videos" in Path("run/log.txt").read_text()


def test_a_collapse_is_said_once():
    def rows(*values, name="diversity"):
        return [{"step": 10 * i, name: value} for i, value in enumerate(values)]

    low = rows(0.0, 0.5, 0.05, 0.05, 0.05)
    assert [bool(collapses(low[: i + 1])) for i in range(5)] == [False, False, False, False, True]
    assert "the samples are nearly all alike" in collapses(low)[0]
    assert not collapses(rows(0.0, 0.5, 0.05, 0.05, 0.05, 0.05))
    assert not collapses(rows(0.0, 0.05, 0.05))  # step 0 does not count
    assert collapses(rows(0.0, 0.05, 0.05, 0.05))
    assert "hardly ever wrong" in collapses(rows(0.7, 0.01, 0.01, 0.01, name="d_loss"))[0]
    assert not collapses(rows(0.7, -5.0, -5.0, -5.0, name="d_loss"))
    assert not collapses(rows(0.7, 0.01, 0.2, 0.01, 0.01, name="d_loss"))
