"""`kvzoo explain`: what it prints is the recipe again, and each value has its true origin."""

import json

import pytest
from click.testing import CliRunner

from kvzoo.cli.explain import command
from kvzoo.recipe.explain import as_yaml, explained
from kvzoo.recipe.resolve import load, shipped_recipes
from kvzoo.recipe.text import dotted

RECIPES = {file.stem: file for file in shipped_recipes()}


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_printed_is_the_same_recipe(name, tmp_path):
    recipe = load(name, check_paths=False)
    again = tmp_path / "again.yaml"
    again.write_text(as_yaml(recipe))
    assert load(again, check_paths=False).values == recipe.values


def origins(*arguments: str) -> dict[str, str]:
    shown = CliRunner().invoke(command, [*map(str, arguments), "--json"], catch_exceptions=False)
    return {row["key"]: row["origin"] for row in json.loads(shown.stdout)}


@pytest.fixture
def child(tmp_path):
    (tmp_path / "base.yaml").write_text(
        "model: {name: gru_ae, width: 8}\ndata: {source: stick_actions, videos: 9}\nfit: {steps: 9, batch_size: 3}\n"
    )
    (tmp_path / "child.yaml").write_text("extends: base.yaml\nfit:\n  steps: 20\n  optimizer: {learning_rate: 1e-3}\n")
    return tmp_path / "child.yaml"


def test_every_kind_of_origin(child):
    base = child.with_name("base.yaml")
    found = origins(child, "-o", "data.people=4")
    assert {key: found[key] for key in ("fit.steps", "fit.batch_size", "model.width", "data.people")} == {
        "fit.steps": f"{child}:3:3",
        "fit.batch_size": f"{base}:3:17",
        "model.width": f"{base}:1:23",
        "data.people": "-o data.people=4",
    }
    assert found["model.units"] == "default of gru_ae"
    assert found["loss.name"] == "default of gru_ae"
    assert found["data.seconds"] == "default of stick_actions"
    assert found["data.sampler.name"] == "default of mse"
    assert found["fit.optimizer.learning_rate"] == f"{child}:4:15"
    assert found["fit.optimizer.name"] == "reference of gru_ae"
    assert found["fit.l2"] == "reference of gru_ae"
    assert found["fit.optimizer.beta_2"] == found["fit.seed"] == "default"


def test_smoke_is_an_origin_where_it_lowers(child):
    found = origins(child, "--smoke")
    assert found["fit.steps"] == found["model.width"] == "--smoke"
    assert found["model.frames"] == "default of gru_ae"


def test_nothing_is_left_out_and_lists_of_mappings_are_opened(child):
    with child.open("a") as file:
        file.write("callbacks: []\n")
    recipe = load(child)
    keys = [dotted(keys) for keys, _, _ in explained(recipe)]
    assert len(keys) == len(set(keys))
    assert {key.split(".")[0] for key in keys} == set(recipe.values)
