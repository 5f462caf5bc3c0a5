"""Generators and classifiers as runs: samples, evaluation, `generate`, and what is refused."""

import json

import av
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import kvzoo
from kvzoo.apps.generate import generate
from kvzoo.cli.evaluate import command as evaluate_command
from kvzoo.cli.generate import command
from kvzoo.errors import InputError
from kvzoo.run.evaluate import EvaluationOptions, evaluate
from kvzoo.tasks.generation import to_frames

DATA = "{source: stick_actions, videos: 24, people: 6, seconds: 1, actions: [walk, bend], validation: 0.5}"
FIT = "{steps: 2, batch_size: 2, sample_every: 1, validation_clips: 2}"
MODELS = {
    "videogan": "{name: videogan, frames: 16, image_size: 16, noise_dim: 8, width: 4}",
    "videogan_label": "{name: videogan_label, frames: 16, image_size: 16, noise_dim: 8, width: 4, classes: 2}",
    "videogan_image": "{name: videogan_image, frames: 16, image_size: 16, width: 4}",
    "tiny_c3d": "{name: tiny_c3d, frames: 16, image_size: 16, width: 4, classes: 2}",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each model, by name."""
    folder = tmp_path_factory.mktemp("runs")
    for name, model in MODELS.items():
        loss = "cross_entropy" if name == "tiny_c3d" else "adversarial"
        (folder / f"{name}.yaml").write_text(f"model: {model}\nloss: {loss}\ndata: {DATA}\nfit: {FIT}\n")
        network = kvzoo.fit(folder / f"{name}.yaml", out=folder / name).model.network
        if name != "tiny_c3d":
            # Fresh weights of N(0, 0.01) answer any noise with the same grey clip.
            for weight in network.trainable_variables:
                weight.assign(weight * 30.0 if weight.name == "kernel" else weight)
            network.save(folder / name / "model.keras")
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_a_run_shows_samples_and_says_what_it_needs_later(runs, name):
    folder = runs / name
    assert (folder / "samples" / "step-000002.png").stat().st_size > 500
    lock = (folder / "recipe.lock.yaml").read_text()
    assert "fps: 25" in lock
    assert ("classes:\n  - bend\n  - walk\n" in lock) == (name in ("videogan_label", "tiny_c3d"))
    header = (folder / "history.csv").read_text().splitlines()[0].split(",")
    assert ("diversity" in header) == (name != "tiny_c3d")
    if name != "tiny_c3d":
        rows = {"videogan": 4, "videogan_label": 4, "videogan_image": 5}[name]  # clip and three parts; the image
        with Image.open(folder / "samples" / "step-000002.gif") as gif:
            assert gif.n_frames > 1 or name == "videogan_image"
            assert gif.size[1] == rows * 16


def test_parts_become_clips():
    mask = np.linspace(0, 1, 4 * 2 * 2, dtype="float32").reshape(1, 4, 2, 2, 1)
    shown = to_frames(mask, 4)
    assert (shown.shape, shown.min(), shown.max()) == ((1, 4, 2, 2, 3), 0, 255)
    still = to_frames(np.full((1, 1, 2, 2, 3), -1, "float32"), 4)
    assert still.shape == (1, 4, 2, 2, 3) and not still.any()


@pytest.mark.parametrize("name", ["videogan", "videogan_label", "videogan_image"])
def test_a_generator_is_evaluated_in_the_frozen_features(runs, name):
    found = evaluate(runs / name, clips=12)
    metrics = found.metrics
    assert metrics["frechet_ratio"] == pytest.approx(metrics["frechet_distance"] / metrics["real_frechet_distance"])
    # After two steps it knows nothing: far from the real clips.
    assert metrics["frechet_ratio"] > 1
    assert 0 < metrics["diversity_ratio"] < 1
    assert found.conditions["features"].startswith("tiny_c3d trained on stick_actions (sha256 ")
    assert found.conditions["generated"] == 6
    assert 0 < metrics["mask"] < 1
    assert 0 <= metrics["mask_iou"] <= 1
    assert evaluate(runs / name, clips=12).metrics == metrics
    if name == "videogan":
        other = evaluate(runs / name, clips=12, options=EvaluationOptions(seed=1)).metrics
        assert other["diversity"] != metrics["diversity"]
        assert other["real_diversity"] == metrics["real_diversity"]


def test_a_classifier_judges_the_classes_of_generated_clips(runs):
    found = evaluate(runs / "videogan_label", clips=12, options=EvaluationOptions(judge=runs / "tiny_c3d"))
    judge, model = kvzoo.load(runs / "tiny_c3d"), kvzoo.load(runs / "videogan_label")
    assert 0 <= found.metrics["class_accuracy"] <= 1
    labels = np.asarray([0, 1, 0, 1])
    right = judge.predict(model.generate(4, labels=labels), verbose=0).argmax(1) == labels
    assert right.shape == (4,)
    with pytest.raises(InputError, match="was trained without labels"):
        evaluate(runs / "videogan", clips=12, options=EvaluationOptions(judge=runs / "tiny_c3d"))


def test_a_classifier_is_evaluated(runs):
    metrics = evaluate(runs / "tiny_c3d").metrics
    model = kvzoo.load(runs / "tiny_c3d")
    from kvzoo.data.pipeline import open_data
    from kvzoo.run.folder import RunFolder

    recipe = RunFolder(runs / "tiny_c3d").recipe()
    held_out = open_data(recipe["data"], model.clip_shapes, 0, ["bend", "walk"]).validation
    clips, labels = held_out.arrays(512)
    logs = model.evaluate(clips, labels, verbose=0, return_dict=True)
    assert metrics["accuracy"] == pytest.approx(logs["accuracy"])
    assert metrics["cross_entropy"] == pytest.approx(logs["loss"], rel=1e-4)


def test_the_same_seed_gives_the_same_clips(runs, tmp_path):
    clips = [generate(runs / "videogan", tmp_path / f"{i}.npz", 3, seed).clips for i, seed in enumerate((5, 5, 6))]
    assert clips[0].shape == (3, 16, 16, 16, 3)
    assert (clips[0] == clips[1]).all()
    assert (clips[0] != clips[2]).any()
    with np.load(tmp_path / "0.npz") as file:
        assert (file["clips"] == clips[0]).all()
        assert file["noise"].shape == (3, 8)
        assert float(file["fps"]) == 25
    assert (kvzoo.load(runs / "videogan").generate(3, seed=5) == clips[0]).all()


def test_labels_and_images_take_turns(runs, tmp_path):
    made = generate(runs / "videogan_label", tmp_path / "a.npz", 4)
    assert made.labels == ["bend", "walk", "bend", "walk"]
    assert generate(runs / "videogan_label", tmp_path / "b.npz", 3, labels=["walk"]).labels == ["walk"] * 3
    Image.fromarray(np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)).save(tmp_path / "wide.png")
    Image.new("RGB", (16, 16), "red").save(tmp_path / "red.png")
    files = [tmp_path / "wide.png", tmp_path / "red.png"]
    made = generate(runs / "videogan_image", tmp_path / "c.npz", 4, images=files)
    assert made.notes == (f"{files[0]}: 30x20, cropped to its centred square and resized to 16x16",)
    assert (made.clips[0] == made.clips[2]).all() and (made.clips[0] != made.clips[1]).any()


def test_interpolation_goes_from_one_clip_to_another(runs, tmp_path):
    made = generate(runs / "videogan", tmp_path / "a.npz", 5, seed=2, interpolate=True)
    ends = np.random.default_rng(2).standard_normal((2, 8))
    np.testing.assert_allclose(made.noise[[0, -1]], ends, rtol=1e-5)
    lengths = np.linalg.norm(made.noise, axis=1)
    np.testing.assert_allclose(lengths, np.linspace(lengths[0], lengths[-1], 5), rtol=1e-5)
    angles = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(made.noise, made.noise[1:], strict=False)]
    np.testing.assert_allclose(angles, angles[0], rtol=1e-4)


def test_files(runs, tmp_path):
    for ending in ("gif", "mp4", "png"):
        generate(runs / "videogan", tmp_path / f"a.{ending}", 3)
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (16 * 16, 3 * 16 + 2 * 2)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.size == (2 * 128 + 2, 2 * 128 + 2)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 16
        assert container.streams.video[0].average_rate == 25


def test_what_is_refused(runs, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "there.gif").touch()
    out = ("--out", str(tmp_path / "a.gif"))
    for args, said in (
        ([tmp_path, *out], "not a run folder"),
        ([runs / "tiny_c3d", *out], "tiny_c3d was trained for classification; generate is for generation"),
        ([runs / "videogan", *out, "--label", "walk"], "videogan takes no label"),
        ([runs / "videogan", *out, "--image", tmp_path / "text.png"], "videogan takes no image"),
        ([runs / "videogan", *out, "--count", "1", "--interpolate"], "--count must be at least 2"),
        ([runs / "videogan_label", *out, "--label", "wolk"], "did you mean walk?"),
        ([runs / "videogan_image", *out], "required option is missing"),
        ([runs / "videogan_image", *out, "--image", tmp_path / "none.png"], "no such file"),
        ([runs / "videogan_image", *out, "--image", tmp_path / "text.png"], "cannot be read as an image"),
        ([runs / "videogan", "--out", tmp_path / "a.avi"], "must end in"),
        ([runs / "videogan", "--out", tmp_path / "there.gif"], "use --overwrite to replace it"),
        ([runs / "videogan", "--out", tmp_path / "no" / "a.gif"], "no such folder"),
    ):
        done = CliRunner().invoke(command, list(map(str, args)))
        assert isinstance(done.exception, InputError), (args, done.output, done.exception)
        assert said in str(done.exception), (args, str(done.exception))
        assert not (tmp_path / "a.gif").exists()


def test_labels_must_be_the_data_s(tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"model: {MODELS['tiny_c3d']}\nloss: cross_entropy\ndata: {DATA}\nfit: {FIT}\n".replace(
            "classes: 2", "classes: 3"
        )
    )
    with pytest.raises(InputError, match=r"has 2 classes \(bend, walk\), but the model has 3; set model.classes"):
        kvzoo.fit(recipe, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_of_another_kind_names_the_kinds_it_takes(tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"model: {MODELS['tiny_c3d']}\nloss: adversarial\ndata: {DATA}\nfit: {FIT}\n")
    with pytest.raises(
        InputError, match="the loss adversarial supports only generator models; tiny_c3d is a classifier"
    ):
        kvzoo.fit(recipe, out=tmp_path / "run")


def test_the_command_line(runs, tmp_path, kvzoo_cli):
    done = kvzoo_cli(
        "generate", runs / "videogan_label", "--count", "2", "--label", "walk", "--out", tmp_path / "a.gif"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 clips of walk, 16 frames of 16x16 at 25 a second" in done.stdout
    shown = CliRunner().invoke(evaluate_command, [str(runs / "videogan"), "--clips", "12", "--json"])
    assert shown.exit_code == 0, shown.exception
    assert "frechet_ratio" in json.loads(shown.stdout)["metrics"]
