"""Runs of translators: resumed to the same bits, drawn, and measured beside what needs no model."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import kvzoo
from kvzoo.cli.evaluate import command
from kvzoo.data.pipeline import open_data
from kvzoo.errors import InputError
from kvzoo.metrics.baselines import baselines, copy_last, cross_fade, nearest
from kvzoo.run import checkpoint
from kvzoo.run.evaluate import evaluate
from kvzoo.run.folder import RunFolder

RECIPE = """
model: {name: pix2pix, frames_in: 2, frames_out: 2, image_size: 32, width: 2, patch: 16, channels: 1}
loss: {g_steps: 2}
data:
  source: stick_actions
  videos: 8
  people: 4
  seconds: 0.4
  actions: [walk, bend]
  sampler: {name: interpolate, jitter: 2, mirror: true}
fit: {steps: 4, batch_size: 2, sample_every: 2, checkpoint_every: 2, validation_clips: 4}
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    file = tmp_path_factory.mktemp("recipe") / "small.yaml"
    file.write_text(RECIPE)
    return file


@pytest.fixture(scope="module")
def run(recipe):
    return kvzoo.fit(recipe, out=recipe.parent / "run")


def write_sequence(folder, clip: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for i, frame in enumerate(clip):
        Image.fromarray(frame[..., 0]).save(folder / f"{i:03d}.png")


def test_a_cut_run_is_resumed_to_the_same_bits(recipe, run, tmp_path):
    kvzoo.fit(recipe, ["fit.steps=2"], out=tmp_path / "cut")
    cut = kvzoo.resume(tmp_path / "cut", ["fit.steps=4"])
    whole, resumed = (checkpoint.read_newest(x.path / "checkpoints")[1] for x in (run, cut))
    assert len(whole) == len(resumed)
    for (name, left), right in zip(whole.items(), resumed.values(), strict=True):
        np.testing.assert_array_equal(left, right, err_msg=name)
    assert run.history == cut.history
    assert {"g_loss", "d_loss", "val_l1", "val_psnr"} <= run.history[-1].keys()


def test_samples_show_inputs_prediction_target_and_error(run):
    files = sorted(f.name for f in (run.path / "samples").iterdir())
    assert files == [f"step-{step:06d}.{ending}" for step in (0, 2, 4) for ending in ("gif", "png")]
    data = open_data(RunFolder(run.path).recipe()["data"], run.model.clip_shapes, 0).validation
    count = min(8, len(data.videos))
    picture = np.asarray(Image.open(run.path / "samples" / "step-000004.png"))
    # Two columns of examples, each of four rows, a frame for each of the four times.
    assert picture.shape == (4 * 32 * count // 2 + 8 * (count // 2 - 1), 2 * 4 * 32 + 8, 3)
    first, last = picture[:32, :32], picture[:32, 96:128]
    assert (first < 255).any() and (last < 255).any()
    assert (picture[:32, 32:96] == 255).all()
    with Image.open(run.path / "samples" / "step-000004.gif") as gif:
        assert gif.n_frames == 4
        assert gif.info["duration"] == 40


def test_figures_are_those_of_a_second_implementation(run):
    told = evaluate(run.path)
    part = open_data(RunFolder(run.path).recipe()["data"], run.model.clip_shapes, 0).validation
    inputs, targets = part.arrays(128)
    truth = targets / 255
    first, last = inputs[:, 0] / 255, inputs[:, 1] / 255
    methods = {
        "": (run.model.predict(inputs, verbose=0) + 1) / 2,
        "cross_fade_": np.stack([(2 * first + last) / 3, (first + 2 * last) / 3], axis=1),
        "nearest_": inputs / 255,
    }
    for name, made in methods.items():
        pairs = [(a, b) for x, y in zip(truth, made, strict=True) for a, b in zip(x, y, strict=True)]
        # Of each frame by itself; frames that are equal have 100 dB.
        psnr = [100.0 if (a == b).all() else peak_signal_noise_ratio(a, b, data_range=1) for a, b in pairs]
        options = {"data_range": 1, "channel_axis": -1, "gaussian_weights": True, "sigma": 1.5}
        ssim = [structural_similarity(a, b, use_sample_covariance=False, **options) for a, b in pairs]
        assert told.metrics[f"{name}psnr"] == pytest.approx(np.mean(psnr), abs=1e-3)
        assert told.metrics[f"{name}ssim"] == pytest.approx(np.mean(ssim), abs=1e-4)
        key = {"": "model"}.get(name, name[:-1])
        by_frame = np.reshape(psnr, (len(targets), 2)).mean(0)
        assert [row[key]["psnr"] for row in told.frames] == pytest.approx(by_frame, abs=1e-3)
    assert [row["time"] for row in told.frames] == [1, 2]
    assert told.metrics["psnr"] == pytest.approx(np.mean([row["model"]["psnr"] for row in told.frames]))
    assert told.conditions["measures"].keys() == told.metrics.keys()
    assert (told.conditions["frames_in"], told.conditions["frames_out"]) == (2, 2)


def test_the_command_prints_the_frames_beside_the_baselines(run):
    shown = CliRunner().invoke(command, [str(run.path), "--clips", "4"])
    assert shown.exit_code == 0, shown.exception
    lines = [line.split() for line in shown.stdout.splitlines()]
    at = next(i for i, line in enumerate(lines) if line[:1] == ["frame"])
    psnr = ["model", "cross_fade", "nearest"]
    assert lines[at] == ["frame", *psnr, *psnr, "target", *psnr]
    assert [line[0] for line in lines[at + 1 : at + 3]] == ["1", "2"]
    record = json.loads(CliRunner().invoke(command, [str(run.path), "--clips", "4", "--json"]).stdout)
    assert record["frames"][1]["time"] == 2
    assert record["metrics"]["cross_fade_psnr"] == pytest.approx(
        np.mean([row["cross_fade"]["psnr"] for row in record["frames"]])
    )


def test_prediction_does_not_see_what_comes_and_is_measured_against_the_last_frame(run, tmp_path):
    clip = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1), np.uint8)
    made = {}
    for name, places in (("as it is", []), ("future", [2, 3]), ("past", [0])):
        changed = clip.copy()
        changed[places] = 255 - changed[places]
        write_sequence(tmp_path / name / "a", changed)
        section = {**RunFolder(run.path).recipe()["data"], "source": "frames", "path": str(tmp_path / name)}
        section |= {"native_fps": None, "validation": 0.0, "sampler": {"name": "predict"}}
        inputs, targets = open_data(section, run.model.clip_shapes, 0).training.arrays(1)
        made[name] = (run.model.predict(inputs, verbose=0), targets)
    np.testing.assert_array_equal(made["as it is"][0], made["future"][0])
    assert (made["as it is"][1] != made["future"][1]).any()
    assert (made["as it is"][0] != made["past"][0]).any()
    data = {"source": "frames", "path": str(tmp_path / "future"), "sampler": "predict"}
    metrics = evaluate(run.path, data).metrics
    assert {"copy_last_psnr", "psnr", "target_sharpness"} <= metrics.keys()
    assert not [name for name in metrics if name.startswith(("cross_fade", "nearest"))]


def test_a_run_on_pairs_of_other_channels(tmp_path):
    rng = np.random.default_rng(0)
    for side, shape in (("grey", (32, 32)), ("colour", (32, 32, 3))):
        (tmp_path / side).mkdir()
        for i in range(4):
            Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(tmp_path / side / f"{i}.png")
    (tmp_path / "pairs.yaml").write_text(
        "model: {name: pix2pix, frames_in: 1, frames_out: 1, image_size: 32, width: 2, patch: 16, channels: 1,\n"
        "  channels_out: 3}\n"
        "data: {source: pairs, path: grey, target_path: colour, sampler: {name: offsets, inputs: [0], targets: [0]}}\n"
        "fit: {steps: 1, batch_size: 2}\n"
    )
    run = kvzoo.fit(tmp_path / "pairs.yaml", out=tmp_path / "run")
    assert kvzoo.load(run.path).predict(np.zeros((1, 1, 32, 32, 1)), verbose=0).shape == (1, 1, 32, 32, 3)
    told = evaluate(run.path)
    assert "nearest_psnr" in told.metrics
    assert told.conditions["target_path"] == str(tmp_path / "colour")
    (tmp_path / "run" / "model.keras").unlink()
    shutil.rmtree(tmp_path / "colour")
    with pytest.raises(InputError):
        evaluate(run.path)


def test_clips_that_are_black_or_do_not_move_train_and_are_measured(run, tmp_path):
    levels = (0, 90)
    for level in levels:
        write_sequence(tmp_path / "data" / f"level-{level}", np.full((8, 32, 32, 1), level, np.uint8))
    told = evaluate(run.path, {"source": "frames", "path": str(tmp_path / "data")})
    # What is the same in all frames, both baselines get right.
    assert told.metrics["cross_fade_psnr"] == told.metrics["nearest_psnr"] == 100
    assert np.isfinite(list(told.metrics.values())).all()
    clips = np.stack([np.full((2, 32, 32, 1), level, np.uint8) for level in levels])
    logs = run.model.evaluate(clips, clips, batch_size=2, verbose=0, return_dict=True)
    logs |= run.model.train_on_batch(clips, clips, return_dict=True)
    assert np.isfinite([float(x) for x in logs.values()]).all()


# Baselines


def test_baselines_by_hand():
    inputs = np.arange(3.0)[None, :, None, None, None] * [[[[[10.0]]]]]  # 0, 10 and 20
    given = [0, 4, 6]
    np.testing.assert_allclose(cross_fade(inputs, given, [1, 2, 5]).ravel(), [2.5, 5, 15])
    np.testing.assert_allclose(nearest(inputs, given, [1, 2, 3, 5]).ravel(), [0, 0, 10, 10])
    np.testing.assert_allclose(copy_last(inputs, given, [7, 9]).ravel(), [20, 20])
    # The order of the inputs in the array is theirs.
    np.testing.assert_allclose(cross_fade(inputs[:, ::-1], [6, 4, 0], [1, 2, 5]).ravel(), [2.5, 5, 15])
    assert [*baselines([0, 6], [1, 5])] == ["cross_fade", "nearest"]
    assert [*baselines([0, 1], [2, 3])] == ["copy_last"]
    assert [*baselines([0], [0])] == ["nearest"]
