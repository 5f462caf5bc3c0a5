"""Evaluation of a run: its figures are those of training and of a second implementation, on stated conditions."""

import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import ops
from PIL import Image
from scipy import ndimage

import kvzoo
from kvzoo.cli.evaluate import command
from kvzoo.data.pipeline import open_data
from kvzoo.errors import InputError
from kvzoo.run.evaluate import evaluate
from kvzoo.run.folder import LOCK, RunFolder

RECIPE = """
model: {name: gru_ae, frames: 3, image_size: 16, latent_dim: 8, units: 12, width: 4}
data: {source: stick_actions, videos: 12, people: 4, seconds: 0.4, actions: [walk, bend]}
fit: {steps: 10, batch_size: 3, sample_every: 5, validation_clips: 4}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "small.yaml").write_text(RECIPE)
    return kvzoo.fit(folder / "small.yaml", out=folder / "run")


@pytest.fixture(scope="module")
def own(run):
    """The run evaluated on the clips that each of its validations read."""
    return evaluate(run.path, clips=4)


@pytest.fixture
def changed(run, tmp_path):
    """Copy the run with a text of its lock file replaced."""

    def change(old: str, new: str):
        path = tmp_path / "changed"
        path.mkdir()
        text = (run.path / LOCK).read_text()
        assert text.count(old) == 1
        (path / LOCK).write_text(text.replace(old, new))
        shutil.copy(run.path / "model.keras", path)
        return path

    return change


def test_the_figures_are_those_of_the_last_validation(run, own):
    last = run.history[-1]
    assert own.metrics["psnr"] == pytest.approx(last["val_psnr"], abs=1e-3)
    assert 4 * own.metrics["mse"] == pytest.approx(last["val_loss"], rel=1e-4)


def test_the_figures_are_those_of_a_second_implementation(run, own):
    recipe = RunFolder(run.path).recipe()
    held_out = open_data(recipe["data"], [(3, 16, 16, 1)], recipe["fit"]["seed"]).validation
    (clips,) = held_out.arrays(4)
    output = kvzoo.load(run.path).network.predict(clips / np.float32(127.5) - 1, verbose=0)
    shown, truth = ((array.reshape(-1, 16, 16, 1) + 1) / 2 for array in (output, clips / 127.5 - 1))
    similarity = ops.image.ssim(ops.cast(truth, "float32"), ops.cast(shown, "float32"), data_format="channels_last")
    sharp, wanted = (np.mean([ndimage.laplace(f[..., 0], mode="mirror").var() for f in x]) for x in (shown, truth))

    assert len(clips) > recipe["fit"]["batch_size"]
    assert own.metrics == pytest.approx(
        {
            "mse": np.mean((shown - truth) ** 2),
            "psnr": np.mean(-10 * np.log10(np.mean((shown - truth).reshape(len(clips), -1) ** 2, axis=1))),
            "ssim": float(ops.mean(similarity)),
            "sharpness": sharp,
            "input_sharpness": wanted,
            "sharpness_ratio": sharp / wanted,
        },
        rel=1e-3,
    )


def test_conditions_say_what_was_measured(run, own):
    conditions = dict(own.conditions)
    assert conditions.pop("measures").keys() == own.metrics.keys()
    assert len(conditions.pop("pixels")) == 16
    assert conditions == {
        "part": "held-out groups",
        "source": "stick_actions",
        "crop": "none, drawn square",
        "resize": "none, drawn at this size",
        "fingerprint": RunFolder(run.path).recipe().lock["data"],
        "groups": 1,
        "videos": 2,
        "skipped": 0,
        "clips": 4,
        "choice": "windows side by side, spread evenly over the videos and their length",
        "frames": 3,
        "image_size": 16,
        "channels": 1,
        "fps": "25",
        "short": "drop",
        "value_range": "0 to 1, the model's output neither clipped nor rounded",
        "precision": "float32",
    }


def test_a_process_that_trains_in_another_precision_measures_the_same(run, own):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert evaluate(run.path, clips=4) == own
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")


def test_other_data_is_evaluated_whole(run, own, tmp_path, monkeypatch):
    people = evaluate(run.path, {"seed": 1})
    assert people.conditions["part"] == "all that --data names"
    assert (people.conditions["groups"], people.conditions["videos"]) == (4, 12)
    assert people.conditions["pixels"] != own.conditions["pixels"]
    assert "warning" not in people.conditions

    monkeypatch.chdir(tmp_path)
    (tmp_path / "strips").mkdir()
    for i in range(2):
        clip = np.random.default_rng(i).integers(0, 256, (20, 20 * 4), np.uint8)
        Image.fromarray(clip).save(tmp_path / "strips" / f"{i}.png")
    Image.fromarray(clip[:, :20]).save(tmp_path / "strips" / "short.png")
    strips = evaluate(run.path, {"source": "strips", "path": "strips"}).conditions
    assert strips["path"] == str(tmp_path / "strips")
    assert (strips["clips"], strips["videos"], strips["skipped"]) == (2, 2, 1)
    assert (strips["crop"], strips["resize"]) == (
        "the centred square",
        "area averaging down, bilinear up (OpenCV)",
    )


def test_the_runs_own_data_read_in_another_way_is_told(run):
    conditions = evaluate(run.path, {"fps": 50.0}).conditions
    assert conditions["fps"] == "50"
    assert "may include training videos" in conditions["warning"]


def test_data_that_changed_since_is_told(run, changed):
    known = RunFolder(run.path).recipe().lock["data"]
    path = changed(f"data: {known}", "data: 0123-0")
    assert "the data has changed since the run (its fingerprint was 0123-0)" in evaluate(path).conditions["warning"]


def test_a_flat_input_has_no_ratio(run, tmp_path):
    (tmp_path / "flat").mkdir()
    Image.new("L", (16 * 3, 16), 90).save(tmp_path / "flat" / "flat.png")
    data = {"source": "strips", "path": str(tmp_path / "flat")}
    options = [text for key, value in data.items() for text in ("--data", f"{key}={value}")]
    shown = CliRunner().invoke(command, [str(run.path), "--json", *options])
    metrics = json.loads(shown.stdout)["metrics"]
    assert metrics["input_sharpness"] == 0
    assert metrics["sharpness_ratio"] is None


@pytest.mark.parametrize(
    ("data", "clips", "said"),
    [
        ({"vidoes": 4}, 1, r"data\.vidoes: unknown key; did you mean data\.videos"),
        ({"videos": "four"}, 1, r"data\.videos: must be a valid integer. Received: 'four'"),
        ({"source": "strip"}, 1, "unknown source 'strip'; did you mean strips"),
        ({"source": "strips"}, 1, r"data\.path: required key is missing"),
        ({"source": "strips", "path": "no_such"}, 1, "no such file or folder: .*no_such"),
        ({"validation": 0.5}, 1, r"data\.validation: not supported here"),
        ({"tests": {}}, 1, r"data\.tests: not supported here"),
        (None, 0, "clips: must be at least 1. Received: 0"),
    ],
)
def test_refused_arguments(run, data, clips, said):
    with pytest.raises(InputError, match=said):
        evaluate(run.path, data, clips)


def test_what_is_no_finished_run_is_refused(run, changed, tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        evaluate(tmp_path)
    path = changed("validation: 0.2", "validation: 0.0")
    with pytest.raises(InputError, match="holds nothing out; use --data"):
        evaluate(path)
    assert evaluate(path, {"seed": 1}).metrics == evaluate(run.path, {"seed": 1}).metrics
    (path / "model.keras").unlink()
    with pytest.raises(InputError, match=r"no model\.keras yet; finish the run with: kvzoo resume"):
        evaluate(path)


MEASURED = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-m", "kvzoo", *sys.argv[1:]], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.slow
def test_the_memory_of_an_evaluation_does_not_grow_with_its_clips(tmp_path, kvzoo_cli):
    recipe = tmp_path / "pairs.yaml"
    recipe.write_text(
        "model: {name: speednet, frames: 8, image_size: 160, width: 0.0625}\n"
        "data: {source: stick_actions, videos: 260, people: 10, seconds: 2.6, validation: 0.5}\n"
        "fit: {steps: 1, batch_size: 4, validation_clips: 4}\n"
    )
    assert kvzoo_cli("fit", recipe, "--out", tmp_path / "run").returncode == 0
    peaks = []
    for pairs in (64, 512):
        command = [sys.executable, "-c", MEASURED, "evaluate", str(tmp_path / "run"), "--clips", str(pairs)]
        peaks.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    # All clips of 512 pairs take 1.2 GB.
    assert peaks[1] < 1.1 * peaks[0], peaks


OTHER_KIND = """
from kvzoo import register
from kvzoo.errors import InputError
from kvzoo.registry import LossSpec, ModelSpec
from kvzoo.run.evaluate import check_request
register(ModelSpec(name="judge", builder="nowhere:judge", kind="translator", loss="entropy"))
register(LossSpec(name="entropy", builder="nowhere:entropy", kinds=("translator",)))
try:
    check_request({path!r}, verb='compare')
except InputError as error:
    print(error)
"""


def test_a_kind_without_an_evaluation_is_refused(in_process, tmp_path):
    (tmp_path / LOCK).write_text("model: judge\ndata: {source: stick_actions}\nfit: {steps: 1}\n")
    said = in_process(OTHER_KIND.replace("{path!r}", repr(str(tmp_path))))
    assert "judge was trained for translation; compare is for reconstruction" in said


def test_the_table_names_every_figure_and_condition(run, own):
    shown = CliRunner().invoke(command, [str(run.path), "--clips", "4"])
    assert shown.exit_code == 0, shown.exception
    rows = {line.split(maxsplit=1)[0]: line.split(maxsplit=1)[-1] for line in shown.stdout.splitlines() if line}
    for name, value in own.metrics.items():
        assert float(rows[name].split()[0]) == pytest.approx(value, rel=1e-3)
        assert rows[name].endswith(own.conditions["measures"][name])
    for name, value in own.conditions.items():
        assert name == "measures" or rows[name] == str(value)


def test_json_is_the_evaluation(run, kvzoo_cli):
    done = kvzoo_cli("evaluate", run.path, "--clips", "4", "--data", "seed=1", "--data", "actions=[jump]", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    record, ours = json.loads(done.stdout), evaluate(run.path, {"seed": 1, "actions": ["jump"]}, clips=4)
    assert record["run"] == str(run.path)
    assert record["metrics"] == pytest.approx(ours.metrics, rel=1e-6)
    assert record["conditions"] == ours.conditions


def test_the_command_line_refuses_in_one_line(run, kvzoo_cli, tmp_path):
    for args, said in (
        ([tmp_path / "none"], "not a run folder"),
        ([run.path, "--data", "vidoes=4"], "did you mean data.videos"),
        ([run.path, "--data", "seed"], "--data seed: must be key=value"),
        ([run.path, "--clips", "0"], "0 is not in the range"),
    ):
        done = kvzoo_cli("evaluate", *args)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("kvzoo: ")
        assert done.stderr.count("\n") == 1
        assert said in done.stderr
