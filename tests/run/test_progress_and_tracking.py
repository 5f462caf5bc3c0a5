"""What a run tells while it goes: the live line, the log, TensorBoard; and what a resumed one refuses."""

import json
import re
import shutil
import sys
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import kvzoo
from kvzoo.errors import InputError
from kvzoo.run import progress as progress_module
from kvzoo.run.feed import TrainingExamples
from kvzoo.run.folder import RunFolder
from kvzoo.run.progress import Progress
from kvzoo.run.timing import Timing
from kvzoo.run.tracking import tracked

RECIPE = """
model: {name: gru_ae, frames: 3, image_size: 16, latent_dim: 8, units: 12, width: 4}
data:
  source: stick_actions
  videos: 12
  people: 4
  seconds: 0.4
  tests: {far: {source: moving_shapes, videos: 4}}
fit:
  steps: 4
  batch_size: 2
  sample_every: 2
  checkpoint_every: 2
  validation_clips: 4
  optimizer: {name: adam, learning_rate: 1e-3, use_ema: true, ema_momentum: 0.5}
track: [tensorboard]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    pytest.importorskip("tensorboard")
    folder = tmp_path_factory.mktemp("keeping")
    (folder / "small.yaml").write_text(RECIPE)
    return kvzoo.fit(folder / "small.yaml", out=folder / "run").path


@pytest.fixture
def copy(run, tmp_path) -> Path:
    return shutil.copytree(run, tmp_path / "copy")


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {tag: {e.step: e.value for e in events.Scalars(tag)} for tag in events.Tags()["scalars"]}, events


def test_tensorboard_has_what_history_has(run, copy):
    history = kvzoo.run.history.History(RunFolder(run), upto=99)
    found, events = scalars(run / "tensorboard")
    for column, tag in (("loss", "loss/training"), ("val_psnr", "psnr/held out"), ("test_far_psnr", "psnr/far")):
        assert found[tag] == pytest.approx(dict(zip(*history.curve(column), strict=True)))
    images = events.Images("sample")
    assert [image.step for image in images] == [0, 2, 4]
    assert images[-1].encoded_image_string == (run / "samples" / "step-000004.png").read_bytes()
    # A process that was cut at step 4, before its checkpoint: what it tracked behind the last one is made again.
    time.sleep(1)  # files of events are ordered by the second
    with tracked(["tensorboard"], RunFolder(copy), 2, ["far"]) as trackers:
        trackers[0]({"step": 4, "loss": 7.0, "val_psnr": float("nan")})
    found, _ = scalars(copy / "tensorboard")
    assert found["loss/training"][4] == 7.0 and sorted(found["loss/training"]) == [2, 4]


def test_a_tracker_that_is_not_installed_leaves_nothing(run, tmp_path, monkeypatch):
    for name in [n for n in sys.modules if n.startswith("tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(InputError, match=r"pip install 'kvzoo\[tensorboard\]'"):
        kvzoo.fit(run.parent / "small.yaml", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_with_an_average_the_kept_network_is_what_was_judged(run):
    model = kvzoo.load(run)
    recipe = RunFolder(run).recipe()
    data = kvzoo.data.pipeline.open_data(recipe["data"], model.clip_shapes, 0)
    found = model.evaluate(*data.validation.arrays(4), batch_size=2, verbose=0, return_dict=True)
    told = kvzoo.run.history.History(RunFolder(run), upto=99).rows[-1]
    assert found["psnr"] == pytest.approx(told["val_psnr"], abs=1e-4)


def test_resume_refuses_what_changed_and_says_what(copy):
    lock = copy / "recipe.lock.yaml"
    text = lock.read_text()
    longer = "fit.steps=5"
    for old, new, said in (
        (
            "batch_size: 2",
            "batch_size: 3",
            r"fit.batch_size is 3, but was 2 when the run was interrupted; .* start a new one with",
        ),
        ("use_ema: true", "use_ema: false", "fit.optimizer.use_ema is false, but was true"),
        ("validation_clips: 4", "validation_clips: 3", r"fit.validation_clips is 3, .*: -o fit.validation_clips=3"),
        ("learning_rate: 0.001", "learning_rate: 0.1", r"to confirm: -o fit.optimizer.learning_rate=0.1"),
    ):
        assert old in text
        lock.write_text(text.replace(old, new))
        with pytest.raises(InputError, match=said):
            kvzoo.resume(copy, [longer])
    lock.write_text(text)
    with pytest.raises(InputError, match="model.width is 8, but was 4"):
        kvzoo.resume(copy, [longer, "model.width=8"])
    with pytest.raises(
        InputError,
        match=r"the data has changed .*12 training videos|the data has changed .*6 training videos.*--new-data",
    ):
        kvzoo.resume(copy, [longer, "data.videos=16"])
    assert RunFolder(copy).state().state == "done"
    assert lock.read_text() == text


def test_changes_that_are_told_are_made_and_kept(copy):
    told = ["fit.steps=6", "data.videos=16", "fit.optimizer.learning_rate=0.25", "track=[]"]
    model = kvzoo.resume(copy, told, new_data=True).model
    assert float(model.optimizer.learning_rate) == 0.25
    said = (copy / "log.txt").read_text()
    for line in (
        "fit.steps is 6, but was 4",
        "data.videos is 16, but was 12",
        "the data has changed since the run began",
    ):
        assert line in said
    recipe = RunFolder(copy).recipe()
    assert (recipe["fit"]["steps"], recipe["data"]["videos"], recipe["track"]) == (6, 16, [])
    assert recipe.lock["origins"]["fit.steps"] == "-o fit.steps=6"
    assert "small.yaml:11:3" in recipe.lock["origins"]["fit.batch_size"]
    with pytest.raises(InputError, match="already finished at step 6"):
        kvzoo.resume(copy)


def test_the_live_line_says_rate_losses_and_waiting(monkeypatch, caplog):
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    with Progress(100, 0, console) as progress:
        progress.pace = (0.25, 0.4)
        progress.step(50, {"loss": 0.125})
    assert all(text in screen.getvalue() for text in ("step 50/100", "loss 0.125", "4 steps/s", "40% waiting for data"))
    # On a narrow terminal what counts is there, however many losses there are.
    for width in (50, 80):
        screen = StringIO()
        with Progress(1500, 0, Console(file=screen, force_terminal=True, width=width)) as progress:
            progress.pace = (0.24, 0.06)
            progress.step(1200, {f"loss_{i}": 0.125 for i in range(12)})
        line = re.findall(r"step 1200.*", screen.getvalue())[-1]
        assert "step 1200/1500 4.17 steps/s, 6% waiting " in line and ":" in line
        assert ("loss_0 0.125" in line) == (width == 80)
    # In a log a line a minute within a long interval, and no more.
    monkeypatch.setattr(progress_module, "EVERY", 0.05)
    plain = Progress(1000, 0)
    plain.pace = (12.0, 0.0)
    with caplog.at_level("INFO", logger="kvzoo"):
        for step in range(1, 9):
            plain.step(step, {"loss": 1.0})
            time.sleep(0.02)
    lines = [record.getMessage() for record in caplog.records]
    assert 1 <= len(lines) <= 4
    assert "loss 1  12 s/step, 0% waiting for data" in lines[-1] and "left" in lines[-1]


class Slow:
    """Batches that take their time, or are there before they are asked for."""

    sizes_vary = False

    def __init__(self, seconds: float):
        self.seconds = seconds

    def __iter__(self):
        import numpy as np

        # More than are made in advance while a slow machine begins.
        for _ in range(30):
            time.sleep(self.seconds)
            yield (np.zeros((2, 3), "uint8"),)


@pytest.mark.parametrize(("seconds", "share"), [(0.1, (0.25, 0.95)), (0.0, (0.0, 0.25))])
def test_waiting_is_what_a_step_spends_without_its_batch(tmp_path, seconds, share):
    import keras

    if keras.backend.backend() != "tensorflow":
        pytest.skip("batches are fetched within the step there")
    examples, timing = TrainingExamples(Slow(seconds)), Timing(RunFolder(tmp_path), 0)
    with examples:
        timing.go()
        for i, _ in enumerate(examples.for_fit()):
            time.sleep(0.05)
            timing.step(lambda start, i=i: examples.ready(i, start))
    timing.write(30)
    waiting = json.loads((tmp_path / "timing.json").read_text())["waiting"]
    assert share[0] <= waiting <= share[1]
