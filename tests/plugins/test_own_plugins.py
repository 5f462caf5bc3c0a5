"""The distributions under plugins/: what each offers loads and builds. Their own tests, `pytest plugins/NAME`, say the rest."""

import ast

import pytest
from conftest import ROOT
from distributions import metadata_of

from kvzoo import catalog, registry
from kvzoo.recipe.resolve import load
from kvzoo.testing import Battery

REGISTRIES = {r.spec_type.group: r for r in catalog.REGISTRIES.values()}


@pytest.fixture(
    scope="module", params=sorted(p.parent for p in (ROOT / "plugins").glob("*/pyproject.toml")), ids=lambda p: p.name
)
def plugin(request, tmp_path_factory):
    """A distribution's folder and its entry points by group, while it is as if installed."""
    folder = tmp_path_factory.mktemp("site")
    groups = metadata_of(request.param, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(request.param))
        patch.syspath_prepend(str(folder))
        registry._entry_points.cache_clear()
        yield request.param, groups
    registry._entry_points.cache_clear()


def offered(groups: dict, group: str) -> list:
    """Return a plugin's specs of a group, as the registry finds them."""
    return [REGISTRIES[group].get(name) for name in groups.get(group, ())]


def test_every_spec_loads_and_builds(plugin):
    _, groups = plugin
    for group in groups.keys() & REGISTRIES.keys():
        for name, spec in zip(groups[group], offered(groups, group), strict=True):
            assert spec.name == name
            assert type(spec).from_json(spec.to_json()) == spec
            assert callable(spec.load())


def test_models_are_what_their_specs_say(plugin):
    _, groups = plugin
    names = tuple(groups["kvzoo.models"])
    for name in names:
        for row in ("spec", "parameters", "config"):
            Battery(*names).run(name, row)


def test_recipes_resolve_and_state_their_result(plugin):
    folder, groups = plugin
    recipes = [
        f for package in groups["kvzoo.recipes"].values() for f in (folder / package.replace(".", "/")).glob("*.yaml")
    ]
    assert recipes
    for recipe in recipes:
        assert load(recipe).model_spec.name in groups["kvzoo.models"]
        assert recipe.read_text(encoding="utf-8").startswith("# ") and "Result:" in recipe.read_text(encoding="utf-8")


def test_specs_import_nothing_heavy(plugin):
    folder, groups = plugin
    modules = {value.split(":")[0] for group in groups.keys() & REGISTRIES.keys() for value in groups[group].values()}
    for module in modules:
        tree = ast.parse((folder / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
        imported = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert imported <= {"kvzoo.registry"} and not any(isinstance(n, ast.Import) for n in ast.walk(tree))
