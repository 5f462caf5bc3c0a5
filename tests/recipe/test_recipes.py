"""Every shipped recipe: it says what it is, it runs, and `slow`: it gives the result that it states."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import kvzoo
from kvzoo import catalog, zoo
from kvzoo.media.clips import strip, write_mp4
from kvzoo.recipe.resolve import Recipe, load
from kvzoo.registry import ModelSpec
from recipes import BUILT_IN, RECIPES

STATED = re.compile(r"^# Result: PSNR ([\d.]+) dB (?:held out|on held-out clips)", re.MULTILINE)


@pytest.mark.parametrize("name", RECIPES)
def test_begins_with_what_it_is(name):
    assert RECIPES[name].read_text().startswith("# ")


# A trunk of many layers is half a minute of graph, however narrow it is, and takes long operation by operation, too.
LARGE = ("speednet", "s3dg")


def large_later(names):
    """Yield the names as parameters, slow where the network is a large one."""
    for name in names:
        large = load(RECIPES[name], check_paths=False)["model"]["name"] in LARGE
        yield pytest.param(name, marks=pytest.mark.slow if large else ())


def moving(frames: int, size: int = 40, seed: int = 0) -> np.ndarray:
    """Return a clip of a bright square that moves over noise, uint8 (T, H, W, 3)."""
    clip = np.random.default_rng(seed).integers(0, 120, (1, size, size, 3), np.uint8).repeat(frames, axis=0)
    for i, frame in enumerate(clip):
        at = (seed + i) % (size - 8)
        frame[at : at + 8, at : at + 8] = 255
    return clip


# Names as the recipes expect them: folders are labels, and where something must not be split it is a person.
NAMES = [f"class{label}/person{person}_{label}" for label in range(4) for person in range(4)]


def as_strips(folder: Path) -> None:
    for i, name in enumerate(NAMES):
        # One is shorter than any network takes: `short` says what becomes of it.
        frames = moving(2 if i == 0 else 34, seed=i)
        Image.fromarray(strip(frames)).save((folder / name).with_suffix(".png"))


def as_frames(folder: Path) -> None:
    for i, name in enumerate(NAMES):
        (folder / name / "img1").mkdir(parents=True)
        for k, frame in enumerate(moving(9, 150, i)):
            Image.fromarray(frame).save(folder / name / "img1" / f"{k + 1:06d}.jpg")


def as_videos(folder: Path) -> None:
    for i, name in enumerate(NAMES[::2]):
        write_mp4((folder / name).with_suffix(".mp4"), moving(200, seed=i), 25.0)


AS_FILES = {"strips": as_strips, "frames": as_frames, "videos": as_videos}
# What a built-in source draws, as few as its own options allow: each group takes part, and each class.
FEW = {"videos": 24, "people": 6, "shapes": 6, "bodies": 6}


def miniature(recipe: Recipe, folder: Path, network: bool = True) -> list[str]:
    """Return the overrides that shrink a recipe's data, and its network, and leave everything else as it stands."""
    data = {"data": recipe["data"], **{f"data.tests.{name}": test for name, test in recipe["data"]["tests"].items()}}
    overrides = ["fit.steps=2", "fit.sample_every=2", "fit.validation_clips=4"]
    for key, section in data.items():
        options = catalog.SOURCES.get(section["source"]).options
        if "path" in options:
            for name in NAMES:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
            AS_FILES[section["source"]](folder)
            overrides.append(f"{key}.path={folder}")
        overrides += [f"{key}.{name}={count}" for name, count in FEW.items() if name in options]
    if network:
        kept = ("frames_in", "frames_out", "channels", "channels_out", "classes")
        tiny = {name: value for name, value in recipe.model_spec.tiny.items() if name not in kept}
        overrides += [f"model.{name}={value}" for name, value in tiny.items() if value < (recipe["model"][name] or 1e9)]
    return overrides


@pytest.fixture
def eagerly(monkeypatch):
    """Steps run operation by operation: two of them do not pay for the tracing of a graph."""
    real = zoo.compile_model

    def compile_model(model, *arguments):
        real(model, *arguments)
        model.run_eagerly = True

    monkeypatch.setattr(zoo, "compile_model", compile_model)


@pytest.mark.parametrize("name", large_later(RECIPES))
def test_trains_two_steps_as_it_stands(name, tmp_path, eagerly):
    """With its own batch size, optimizer, schedule, precision, loss, sampler and source."""
    recipe = load(RECIPES[name], check_paths=False)
    run = kvzoo.fit(RECIPES[name], miniature(recipe, tmp_path / "data"), out=tmp_path / "run")
    held_out = {key: value for key, value in run.history[-1].items() if key.startswith("val_")}
    assert run.history[-1]["step"] == 2
    assert held_out and np.isfinite(list(held_out.values())).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pix2pix_interpolation_paper", "pix2pix_prediction_paper"])
def test_trains_two_steps_at_its_true_size(name, tmp_path):
    recipe = load(RECIPES[name], check_paths=False)
    run = kvzoo.fit(RECIPES[name], miniature(recipe, tmp_path / "data", network=False), out=tmp_path / "run")
    assert run.history[-1]["step"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_smoke_runs(name, tmp_path):
    run = kvzoo.fit(RECIPES[name], smoke=True, out=tmp_path / "run")
    held_out = {key: value for key, value in run.history[-1].items() if key.startswith("val_")}
    assert held_out and np.isfinite(list(held_out.values())).all()


def small_trunk(frames: int = 16, image_size: int = 64, channels: int = 3) -> keras.Model:
    clip = keras.Input((None, None, None, channels))
    features = keras.layers.GlobalMaxPooling3D()(keras.layers.Conv3D(4, 3, strides=2, activation="relu")(clip))
    return keras.Model(clip, keras.layers.Dense(1)(features))


def test_speednets_recipe_runs_with_a_smaller_network(tmp_path):
    """Its pairs of many sizes, its further test set."""
    options = {name: catalog.MODELS.get("speednet").options[name] for name in ("frames", "image_size", "channels")}
    kvzoo.register(
        ModelSpec(
            name="small_trunk",
            builder="test_recipes:small_trunk",
            kind="classifier",
            loss="binary_speed",
            options=options,
            optimizer={"name": "adam", "learning_rate": 1e-3},
        )
    )
    model = "model={name: small_trunk, frames: 16, image_size: 64, channels: 3}"
    run = kvzoo.fit(load(RECIPES["speednet"], [model], smoke=True), out=tmp_path / "run")
    assert {"val_accuracy", "val_loss", "test_abroad_accuracy", "test_abroad_loss"} <= run.history[-1].keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in BUILT_IN if STATED.search(RECIPES[n].read_text())])
def test_gives_the_result_that_it_states(name, tmp_path):
    stated = float(STATED.search(Path(RECIPES[name]).read_text()).group(1))
    run = kvzoo.fit(RECIPES[name], out=tmp_path / "run")
    assert run.history[-1]["val_psnr"] == pytest.approx(stated, abs=0.5)
