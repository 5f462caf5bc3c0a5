"""What an error within a run leaves: the error as it is, the run's folder, and a state that tells of it."""

import shutil
from pathlib import Path

import keras
import pytest

import kvzoo
from kvzoo.cli.runs import command
from kvzoo.data.worlds.stick_actions import StickActions
from kvzoo.errors import InputError, TrainingFailed, WriteError
from kvzoo.files import writing
from kvzoo.registry import CallbackSpec, Option
from kvzoo.run import samples
from kvzoo.run.folder import RunFolder

RECIPE = """
model: {name: gru_ae, frames: 3, image_size: 16, latent_dim: 8, units: 12, width: 4}
data: {source: stick_actions, videos: 8, people: 4, seconds: 0.4, actions: [walk, bend]}
fit: {steps: 4, batch_size: 2, sample_every: 2, checkpoint_every: 2, validation_clips: 2}
"""


class Breaks(keras.callbacks.Callback):
    """Raises an error at one of its methods."""

    errors = {
        "file": lambda: Path("class_weights.json").read_text(),
        "value": lambda: int("a value"),
        "memory": lambda: (_ for _ in ()).throw(MemoryError("out of it")),
        "keyboard": lambda: (_ for _ in ()).throw(KeyboardInterrupt()),
        "exit": lambda: (_ for _ in ()).throw(SystemExit("enough")),
    }

    def __init__(self, error: str, at: str):
        super().__init__()
        if at == "__init__":
            self.errors[error]()
        setattr(self, at, lambda *_, **__: self.errors[error]())


@pytest.fixture
def recipe(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    options = {"error": Option("str", None, "which", required=True), "at": Option("str", None, "where", required=True)}
    kvzoo.register(CallbackSpec("breaks", builder="test_failures:Breaks", options=options))
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    yield path
    kvzoo.catalog.CALLBACKS._own.pop("breaks")


def breaking(error: str, at: str) -> list[str]:
    return [f"callbacks=[{{name: breaks, error: {error}, at: {at}}}]"]


def told(run: str, state: str, reason: str, traceback: str = "Traceback") -> None:
    """Assert that all that tells of a run's end says why."""
    noted = RunFolder(run).state()
    assert (noted.state, reason in noted.message) == (state, True), noted
    assert reason in Path(run, "report.html").read_text()
    assert traceback in Path(run, "log.txt").read_text()


@pytest.mark.parametrize(
    ("error", "raised", "reason"),
    [
        ("file", FileNotFoundError, "FileNotFoundError: [Errno 2] No such file or directory"),
        pytest.param("value", ValueError, "ValueError: invalid literal for int() with base 10", marks=pytest.mark.slow),
        ("memory", MemoryError, "MemoryError: out of it"),
        pytest.param("exit", SystemExit, "SystemExit: enough", marks=pytest.mark.slow),
    ],
)
def test_an_error_of_a_callback_is_shown_as_it_is_and_the_folder_stays(recipe, error, raised, reason):
    with pytest.raises(raised):
        kvzoo.fit(recipe, breaking(error, "on_train_begin"), out="run")
    told("run", "failed", reason)


def test_a_run_that_is_stopped_at_once_is_interrupted_where_something_is_saved(recipe):
    with pytest.raises(KeyboardInterrupt):
        kvzoo.fit(recipe, breaking("keyboard", "on_train_begin"), out="run")
    assert not Path("run").exists()
    with pytest.raises(KeyboardInterrupt):
        kvzoo.fit(recipe, [*breaking("keyboard", "on_epoch_end"), "fit.checkpoint_every=1"], out="run")
    told("run", "interrupted", "interrupted")
    assert RunFolder("run").state().step == 1


def test_what_is_refused_before_a_run_begins_leaves_nothing(recipe):
    with pytest.raises(ValueError, match="a value"):
        kvzoo.fit(recipe, breaking("value", "__init__"), out="run")
    assert not Path("run").exists() and not Path("latest").is_symlink()


def test_errors_of_sources_samples_and_resumed_runs_are_shown_as_they_are(recipe, monkeypatch, capsys):
    def broken(*_):
        raise OSError(5, "the disk is gone", "frames.bin")

    # While the first sample is drawn.
    monkeypatch.setattr(samples, "draw", broken)
    with pytest.raises(OSError, match=r"the disk is gone"):
        kvzoo.fit(recipe, out="sample")
    told("sample", "failed", "the disk is gone")
    monkeypatch.undo()
    monkeypatch.chdir(recipe.parent)
    run = kvzoo.fit(recipe, ["fit.steps=2"], out="run").path
    # Within the thread that reads ahead: TensorFlow would wrap it.
    copy = shutil.copytree(run, "copy")
    monkeypatch.setattr(samples, "fixed_clips", lambda clips, real=samples.fixed_clips: (real(clips), later())[0])

    def later():
        monkeypatch.setattr(StickActions, "decode", broken)

    with pytest.raises(OSError, match=r"the disk is gone"):
        kvzoo.resume(copy, ["fit.steps=9000"])
    told(copy, "failed", "the disk is gone")
    assert RunFolder(copy).state().step == 2
    command.callback(".", as_json=False)
    shown = capsys.readouterr().out
    assert "OSError: [Errno 5] the disk is gone" in next(line for line in shown.splitlines() if "sample" in line)


def test_our_own_writes_are_told_by_path_and_reason(recipe, tmp_path):
    for error, said in (
        (OSError(28, "No space left on device"), "No space left"),
        (RuntimeError("Unable to write (file write failed: errno = 28, error message = 'x')"), "No space left"),
        (OSError("encoder error -2 when writing image file"), "Input/output error"),
    ):
        with pytest.raises(WriteError, match=f"a.png: cannot be written: {said}"), writing(tmp_path / "a.png"):
            raise error
    with pytest.raises(RuntimeError, match="theirs"), writing(tmp_path / "a.png"):
        raise RuntimeError("theirs")


class TakesFolder(keras.callbacks.Callback):
    """Takes the folder of samples away, as a disk that is unmounted does."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            shutil.rmtree("run/samples")


def test_a_folder_that_goes_away_is_told_as_such(recipe):
    kvzoo.register(CallbackSpec("takes_folder", builder="test_failures:TakesFolder"))
    with pytest.raises(TrainingFailed, match=r"run: cannot be written to: No such file.*saved up to step 2"):
        kvzoo.fit(recipe, ["callbacks=[{name: takes_folder}]"], out="run")
    told("run", "failed", "cannot be written to: No such file", traceback="WriteError")
    with pytest.raises(InputError, match="--out run: already holds a run"):
        kvzoo.fit(recipe, out="run")
