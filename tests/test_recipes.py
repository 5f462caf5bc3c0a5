"""Every shipped recipe: it says what it is, it runs, and `slow`: it gives the result that it states."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import kvzoo
from kvzoo import catalog
from kvzoo.recipe.resolve import load, shipped_recipes
from kvzoo.registry import ModelSpec

RECIPES = {f.stem: f for f in shipped_recipes()}
BUILT_IN = [
    name
    for name, file in RECIPES.items()
    if "path" not in catalog.SOURCES.get(load(file, check_paths=False)["data"]["source"]).options
]
STATED = re.compile(r"^# Result: PSNR ([\d.]+) dB held out", re.MULTILINE)


@pytest.mark.parametrize("name", RECIPES)
def test_begins_with_what_it_is(name):
    assert RECIPES[name].read_text().startswith("# ")


# SpeedNet's trunk is half a minute of graph however narrow it is; two are videogan's but for an input.
LARGE = ("speednet", "action_transfer", "videogan_label", "videogan_image")


def variants_later(names):
    """Yield the names as parameters; recipes that vary another one are slow: what they vary from runs in any case."""
    for name in names:
        varies = re.search(r"^extends:", RECIPES[name].read_text(), re.MULTILINE)
        yield pytest.param(name, marks=pytest.mark.slow if varies or name in LARGE else ())


@pytest.mark.parametrize("name", variants_later(BUILT_IN))
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
