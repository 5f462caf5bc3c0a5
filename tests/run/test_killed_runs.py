"""Runs that are killed: at any step, within the writing of a checkpoint, with a full disk; they go on to the same bits."""

import contextlib
import functools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

import kvzoo
from kvzoo.errors import InputError, TrainingFailed
from kvzoo.media import clips
from kvzoo.recipe.resolve import load
from kvzoo.run import checkpoint
from kvzoo.run.folder import RunFolder
from kvzoo.run.training import Loop
from recipes import BUILT_IN, RECIPES

RECIPE = """
model: {name: gru_ae, frames: 3, image_size: 16, latent_dim: 8, units: 12, width: 4}
data: {source: stick_actions, videos: 12, people: 4, seconds: 0.4, actions: [walk, bend]}
fit: {steps: 9, batch_size: 2, sample_every: 4, checkpoint_every: 2, validation_clips: 4, best: val_psnr}
"""
# One of each way to train; the others are slow tests.
QUICK = ("tiny_c3d",)


@pytest.fixture
def recipe(tmp_path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return path


def assert_same_bits(first: Path, second: Path) -> None:
    """Two finished runs ended with the same weights, optimizer slots, seeds, history and network."""
    (_, a), (_, b) = (checkpoint.read_newest(path / "checkpoints") for path in (first, second))
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert (first / "history.csv").read_text() == (second / "history.csv").read_text()


class Killed(BaseException):
    """What stands for SIGKILL where a whole process would be too dear: nobody catches it."""


@contextlib.contextmanager
def killed_copies(folder: Path, within: dict[int, str]):
    """Copy a run's folder as SIGKILL at certain points would leave it, while the run itself goes on.

    Args:
        folder: of the run; the copies lie beside it.
        within: by step, where: "step" before its end, "checkpoint" within the writing of its checkpoint, "sample"
            within the drawing of its sample, "network" within the saving of its network.
    """

    def copy(at: str) -> None:
        shutil.copytree(folder, folder.with_name(f"{folder.name}-{at}"))

    real, write, at = Loop.on_train_batch_end, clips.written_whole, {"step": 0}

    def on_train_batch_end(self, batch, logs=None):
        at["step"] = self.step + 1
        if within.get(self.step + 1) == "step":
            copy(f"{self.step + 1}-step")
        real(self, batch, logs)

    @contextlib.contextmanager
    def written_whole(path, durable=False):
        with write(path, durable=durable) as beside:
            yield beside
            kinds = {"checkpoints": "checkpoint", "samples": "sample"}
            kind = kinds.get(Path(path).parent.name, "network" if Path(path).suffix == ".keras" else "")
            name = f"{at['step']}-{kind}"
            if within.get(at["step"]) == kind and not folder.with_name(f"{folder.name}-{name}").exists():
                whole = beside.read_bytes()
                beside.write_bytes(whole[: len(whole) // 2])
                copy(name)
                beside.write_bytes(whole)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "on_train_batch_end", on_train_batch_end)
        for module in ("checkpoint", "training", "history"):
            patch.setattr(f"kvzoo.run.{module}.written_whole", written_whole)
        patch.setattr("kvzoo.media.clips.written_whole", written_whole)
        yield


KILLS = {3: "step", 4: "checkpoint", 5: "step", 6: "network", 8: "sample", 9: "network"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The recipe's run, not cut; beside it what kills would have left."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "small.yaml").write_text(RECIPE)
    with killed_copies(folder / "whole", KILLS):
        return kvzoo.fit(folder / "small.yaml", out=folder / "whole").path


@pytest.mark.parametrize("step", [4, 5, 9, *(pytest.param(step, marks=pytest.mark.slow) for step in (3, 6, 8))])
def test_a_run_killed_anywhere_goes_on_to_the_same_bits(whole, step):
    cut = whole.with_name(f"whole-{step}-{KILLS[step]}")
    assert RunFolder(cut).state().state == "killed"
    assert bool(list(cut.rglob(".*.part*"))) == (KILLS[step] != "step")
    kvzoo.resume(cut)
    assert_same_bits(whole, cut)
    assert not list(cut.rglob(".*.part*"))
    networks = [keras.saving.load_model(path / "best.keras").get_weights() for path in (whole, cut)]
    for a, b in zip(*networks, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in BUILT_IN if n not in QUICK)]
)
def test_a_shipped_recipe_killed_within_a_checkpoint_goes_on_to_the_same_bits(name, tmp_path):
    whole, step = tmp_path / "whole", random.Random(name).choice((4, 5))
    recipe = load(RECIPES[name], ["fit.seed=7"], smoke=True)
    with killed_copies(whole, {step: "step", 6: "checkpoint"}):
        kvzoo.fit(recipe, out=whole)
    for cut in (tmp_path / f"whole-{step}-step", tmp_path / "whole-6-checkpoint"):
        assert [int(f.stem[5:]) for f in checkpoint.checkpoints_in(cut / "checkpoints")] == [3]
        kvzoo.resume(cut)
        assert_same_bits(whole, cut)


@pytest.mark.slow
def test_fifty_kills(recipe, tmp_path):
    """Real ones, at random times, of one run, which then ends a little behind the last of them."""
    every = ["fit.sample_every=40", "fit.checkpoint_every=7"]
    cut, chance, kills, out = tmp_path / "cut", random.Random(0), 0, subprocess.DEVNULL
    first = ["fit", str(recipe), "-ofit.steps=1000000", *(f"-o{each}" for each in every), "--out", str(cut)]
    while kills < 50:
        command = first if not checkpoint.checkpoints_in(cut / "checkpoints") else ["resume", str(cut)]
        shutil.rmtree(cut, ignore_errors=True) if command is first else None
        before = {f.name for f in checkpoint.checkpoints_in(cut / "checkpoints")}
        process = subprocess.Popen([sys.executable, "-m", "kvzoo", *command], stdout=out, stderr=out)
        # From the first new checkpoint on, so that each process gets somewhere, within the next tenths of a second.
        while process.poll() is None and {f.name for f in checkpoint.checkpoints_in(cut / "checkpoints")} <= before:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.4))
        assert process.poll() is None, "the run ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        assert RunFolder(cut).state().state == "killed"
    steps = f"fit.steps={RunFolder(cut).state().step + 50}"
    kvzoo.resume(cut, [steps])
    assert_same_bits(kvzoo.fit(recipe, [*every, steps], out=tmp_path / "whole").path, cut)


def test_of_two_that_begin_in_one_folder_at_the_same_moment_one_does(tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom kvzoo.errors import InputError\nfrom kvzoo.run import folder\n"
        "print('ready', flush=True)\nsys.stdin.readline()\n"
        "for i in range(100):\n"
        "    try:\n        run = folder.create(folder.planned('x', Path(f'{i:02d}')))\n"
        "    except InputError as error:\n        print('refused', error)\n"
        "    else:\n        print('began')\n"
    )
    begin = functools.partial(subprocess.Popen, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    processes = [begin([sys.executable, "-c", code]) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    for i, pair in enumerate(zip(*said, strict=True)):
        began, refused = sorted(pair)
        assert began == "began" and refused.startswith(f"refused --out {i:02d}: "), pair
    assert len(said[0]) == 100
    assert {f.name for f in (tmp_path / "00").iterdir()} == {".writer", "checkpoints", "samples"}


@pytest.mark.slow
def test_two_fits_in_one_folder_at_the_same_moment(recipe, tmp_path):
    commands = [[sys.executable, "-m", "kvzoo", "fit", str(recipe), "-o", "fit.steps=40", "--out", "same"]] * 2
    processes = [
        subprocess.Popen(c, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for c in commands
    ]
    ends = [(process.communicate(timeout=300), process.returncode) for process in processes]
    assert sorted(code for _, code in ends) == [0, 2]
    ((_, said), _) = next(end for end in ends if end[1] == 2)
    assert len(said.strip().splitlines()) == 1 and "same" in said
    assert RunFolder(tmp_path / "same").state().state == "done"


def test_a_second_writer_is_told_of_the_first(whole, tmp_path):
    run = RunFolder(shutil.copytree(whole, tmp_path / "run"))
    code = (
        "import sys, time\nfrom kvzoo.run.folder import RunFolder\n"
        f"run = RunFolder({str(run.path)!r}); run.acquire(); run.note('running', 3, 9); print('taken', flush=True)\n"
        "time.sleep(300)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "taken\n"
        assert RunFolder(run.path).state().state == "running"
        with pytest.raises(InputError, match=f"process {other.pid} on .* is writing to this run"):
            kvzoo.resume(run.path, ["fit.steps=10"])
        # What the lock's file holds, or that it is edited, means nothing: the lock is the system's.
        (run.path / ".writer").write_text("pid: 1\n!!python/object/apply:os.system [ls]\n")
        with pytest.raises(InputError, match="is writing to this run"):
            kvzoo.resume(run.path, ["fit.steps=10"])
    finally:
        other.kill()
        other.wait()
    assert RunFolder(run.path).state().state == "killed"
    assert kvzoo.resume(run.path, ["fit.steps=10"]).history[-1]["step"] == 10
    assert f"process {other.pid} on" in (run.path / "log.txt").read_text()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 8 MB; skipped where nobody may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_loses_nothing_that_was_whole(recipe, whole, small_disk):
    real = Loop.on_train_batch_end

    def fill(self, batch, logs=None):
        if self.step == 4:
            with contextlib.suppress(OSError), open(small_disk / "filler", "wb") as file:
                while True:
                    file.write(b"x" * 4096)
                    file.flush()
        real(self, batch, logs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "on_train_batch_end", fill)
        with pytest.raises(TrainingFailed, match=r"No space left.*saved up to step 4 in .*kvzoo resume"):
            kvzoo.fit(recipe, out=small_disk / "run")
    (small_disk / "filler").unlink()
    assert checkpoint.read_newest(small_disk / "run" / "checkpoints")[0]["step"] == 4
    kvzoo.resume(small_disk / "run")
    assert_same_bits(whole, small_disk / "run")


def test_a_disk_that_is_full_from_the_start_is_the_users_to_mend(recipe, small_disk):
    with contextlib.suppress(OSError), open(small_disk / "filler", "wb") as file:
        while True:
            file.write(b"x" * 4096)
            file.flush()
    with pytest.raises(InputError, match="No space left"):
        kvzoo.fit(recipe, out=small_disk / "run")
    assert [f.name for f in small_disk.iterdir()] == ["filler"]


def test_a_folder_that_is_read_only_is_refused_and_nothing_is_left(recipe, whole, small_disk):
    run = RunFolder(shutil.copytree(whole, small_disk / "run"))
    files = {f: f.read_bytes() for f in run.path.rglob("*") if f.is_file()}
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for refused in (
        lambda: kvzoo.fit(recipe, out=small_disk / "new"),
        lambda: kvzoo.resume(run.path, ["fit.steps=20"]),
        lambda: kvzoo.run.report.report(run.path),
    ):
        with pytest.raises(InputError, match=r"cannot be written|Read-only"):
            refused()
    assert {f: f.read_bytes() for f in run.path.rglob("*") if f.is_file()} == files
    assert os.listdir(small_disk) == ["run"]
