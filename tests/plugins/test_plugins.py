"""Plugins: what a broken one does to the others (nothing), `kvzoo plugin list`, recipes that plugins ship."""

import json
import sys
import time
from pathlib import Path

import pytest
from distributions import environment, install, model_source

import kvzoo
from kvzoo import catalog, registry
from kvzoo.errors import InputError
from kvzoo.plugins.states import states
from kvzoo.recipe.resolve import find

SPEC = "from kvzoo.registry import ModelSpec\n"

# fault: (the module of the spec, of the builder, what `kvzoo plugin list` says)
FAULTS = {
    "import_error": ("import no_such_module_at_all", "", "No module named 'no_such_module_at_all'"),
    "exception": ("raise RuntimeError('at import')", "", "RuntimeError: at import"),
    "wrong_type": ("spec = {'name': 'wrong_type'}", "", "is not a ModelSpec. Received: dict"),
    "no_model": (None, "def build(): return 'no network'", "must return a keras.Model. Received: str"),
    "gru_ae": (None, "", "the name 'gru_ae' is taken by kvzoo itself; fault-gru-ae:gru_ae works"),
    "no_backend": (None, "import paddle\ndef build(): pass", "No module named 'paddle'"),
    "no_module": ("", "", "No module named 'not_there_at_all'"),
    "slow": ("import time\ntime.sleep(10)\n", "", "to import, and every command that names it waits for it"),
    "exits": ("import sys\nprint('hello from a plugin')\nsys.exit(0)", "", "SystemExit: 0"),
    "tensorflow_at_top": ("import tensorflow\n", "", "module imports keras and tensorflow"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder with a plugin for every fault, two that share a name, one that is blocked and a good one."""
    folder = tmp_path_factory.mktemp("site")
    good = "import keras\ndef build():\n    x = keras.Input((2, 8, 8, 1))\n    return keras.Model(x, x)\n"
    for name, (source, builder, _) in FAULTS.items():
        module = f"fault_{name}"
        spec = f"{SPEC}spec = ModelSpec(name={name!r}, builder='{module}_net:build')\n"
        if source is None or name in ("slow", "tensorflow_at_top"):
            source = (source or "") + spec
        where = "not_there_at_all:spec" if name == "no_module" else ":spec"
        install(folder, module.replace("_", "-"), {name: where}, source, version="0.9")
        (folder / f"{module}_net.py").write_text(builder or good)
    for distribution in ("alpha", "beta"):
        install(folder, distribution, {"same": ":same"}, model_source("same"))
    (folder / "heavy_same.py").write_text(good)
    install(folder, "fine", {"fine": ":fine"}, model_source("fine"))
    (folder / "heavy_fine.py").write_text(good)
    install(folder, "locked-out", {"locked": ":spec"}, "raise SystemExit('I was imported')")
    install(folder, "misspelt", {"m": ":spec"}, "", group="kvzoo.model")
    return folder


ALLOWED = ",".join(["fine", "alpha", "beta", "misspelt", *(f"fault-{name}" for name in FAULTS)])


def imported(site: Path) -> set[str]:
    """Return what of a folder's modules this process has imported."""
    return {file.stem for file in site.glob("*.py")} & set(sys.modules)


@pytest.fixture
def here(site, monkeypatch):
    """This process sees the distributions of `site`."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("KVZOO_PLUGINS", ALLOWED)
    monkeypatch.delenv("KVZOO_STRICT", raising=False)
    registry._entry_points.cache_clear()
    yield site
    for module in imported(site):
        del sys.modules[module]
    registry._entry_points.cache_clear()


@pytest.fixture(scope="module")
def listed(site) -> dict[str, list]:
    """What `kvzoo plugin list` says of each name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.setenv("KVZOO_PLUGINS", ALLOWED)
        registry._entry_points.cache_clear()
        rows: dict[str, list] = {}
        for row in states(at_once=4):
            rows.setdefault(row.name, []).append(row)
    registry._entry_points.cache_clear()
    return rows


@pytest.mark.parametrize("name", FAULTS)
def test_plugin_list_names_the_culprit(name, listed):
    (row,) = listed[name]
    assert (row.state, row.group, row.version) == ("broken", "kvzoo.models", "0.9")
    assert row.distribution == f"fault-{name}".replace("_", "-")
    assert FAULTS[name][2] in row.error
    assert "\n" not in row.error


def test_plugin_list_of_clashes_blocked_good_and_misspelt_ones(listed):
    assert [(row.distribution, row.state) for row in listed["same"]] == [("alpha", "broken"), ("beta", "broken")]
    assert listed["same"][0].error == "the name 'same' is taken by beta; alpha:same works"
    assert [(row.state, row.error) for row in listed["fine"]] == [("ok", None)]
    assert [(row.state, row.error) for row in listed["locked"]] == [("blocked", None)]
    assert listed["m"][0].state == "broken"
    assert "kvzoo.model; did you mean kvzoo.models" in listed["m"][0].error


def test_a_fit_of_a_built_in_imports_no_plugin(here, tmp_path):
    recipe = tmp_path / "small.yaml"
    recipe.write_text(
        "model: {name: gru_ae, frames: 2, image_size: 16, latent_dim: 4, units: 6, width: 2}\n"
        "data: {source: stick_actions, videos: 6, people: 3, seconds: 0.4, validation: 0}\n"
        "fit: {steps: 2, batch_size: 2}\n"
    )
    run = kvzoo.fit(recipe, out=tmp_path / "run")
    assert run.history[-1]["step"] == 2
    assert not imported(here)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "no_backend",
            "model no_backend: fault_no_backend_net:build cannot be loaded: ModuleNotFoundError: No module named",
        ),
        ("no_model", "model no_model: fault_no_model_net:build must return a keras.Model. Received: str"),
        ("exits", "the model 'exits' of the plugin fault-exits 0.9 cannot be loaded: SystemExit: 0"),
    ],
)
def test_who_uses_a_broken_one_is_told_so(name, said, here):
    with pytest.raises(InputError, match=said):
        kvzoo.get(name)


def test_listing_imports_no_plugin_and_takes_no_time_with_them(here):
    started = time.process_time()
    names = catalog.list_models()
    assert {*FAULTS} - {"gru_ae"} < set(names)
    assert {"gru_ae", "fault-gru-ae:gru_ae", "alpha:same", "beta:same"} < set(names)
    assert not imported(here)
    assert time.process_time() - started < 5  # the slow one alone would take 10


def test_plugin_list_on_the_command_line(tmp_path, kvzoo_cli):
    install(tmp_path, "odd", {"odd": ":spec"}, "import os\nprint('last words', flush=True)\nos._exit(7)")
    install(tmp_path, "other", {"other": ":spec"}, "")
    env = environment(tmp_path, "odd")
    done = kvzoo_cli("plugin", "list", "--json", "--quick", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["odd"] == {
        "name": "odd",
        "group": "kvzoo.models",
        "distribution": "odd",
        "version": "1.0",
        "state": "broken",
        "error": "its process ended with exit code 7 while loading: last words",
    }
    assert (rows["other"]["state"], rows["other"]["error"]) == ("blocked", None)
    table = kvzoo_cli("plugin", "list", "--quick", env=env)
    assert table.returncode == 0
    assert [line.split()[:2] for line in table.stdout.splitlines()] == [["broken", "odd"], ["blocked", "other"]]


def test_plugin_list_is_an_error_where_it_is_strict(tmp_path, kvzoo_cli):
    install(tmp_path, "good", {"good": ":good"}, model_source("good"))
    install(tmp_path, "odd", {"odd": ":spec"}, "raise OSError")
    done = kvzoo_cli("plugin", "list", "--quick", env={**environment(tmp_path, "good,odd"), "KVZOO_STRICT": "1"})
    assert done.returncode == 2
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["ok", "good"], ["broken", "odd"]]
    assert done.stderr == "kvzoo: 1 of 2 plugin names are broken, e.g. 'odd'\n"


def test_a_plugin_that_hangs_is_left(tmp_path, monkeypatch):
    install(tmp_path, "hangs", {"hangs": ":spec"}, "import time\ntime.sleep(1000)")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("KVZOO_PLUGINS", "hangs")
    registry._entry_points.cache_clear()
    (row,) = [row for row in states(seconds=2) if row.state != "blocked"]
    registry._entry_points.cache_clear()
    assert (row.name, row.state, row.error) == ("hangs", "broken", "did not load within 2 s")


def test_fifty_plugins_cost_one_look_at_the_metadata(tmp_path, in_process):
    for i in range(50):
        install(tmp_path, f"zoo-{i}", {f"model_{i}": ":spec"}, "raise SystemExit('I was imported')")
    code = """
import collections, importlib.metadata, sys
from click.testing import CliRunner
reads, read = collections.Counter(), importlib.metadata.PathDistribution.read_text
def counted(self, name):
    reads[(str(self._path), name)] += 1
    return read(self, name)
importlib.metadata.PathDistribution.read_text = counted
from kvzoo.cli.verbs import cli
done = CliRunner().invoke(cli, ["list"])
assert done.exit_code == 0, done.output
listed = [line.split()[0] for line in done.output.splitlines()]
print(sum(name.startswith("model_") for name in listed))
print(max(n for (_, name), n in reads.items() if name == "entry_points.txt"))
print({n for (path, name), n in reads.items() if name == "METADATA"})
print(sum("zoo_" not in path for path, name in reads if name == "METADATA") < 9)
print([m for m in sys.modules if m.startswith("zoo_") or m in ("keras", "tensorflow", "numpy", "pydantic")])
"""
    allowed = ",".join(f"zoo-{i}" for i in range(50))
    assert in_process(code, env=environment(tmp_path, allowed)).split() == ["50", "1", "{1}", "True", "[]"]


# Recipes


def ship(folder: Path, distribution: str, value: str, **recipes: str) -> None:
    """Install a distribution with a package of its own name that must not be imported, and recipes in it."""
    install(folder, distribution, {"recipes": value}, group="kvzoo.recipes")
    package = folder / distribution.replace("-", "_")
    (package / "recipes").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('I was imported')")
    (folder / f"{package.name}.py").unlink()
    for name, text in recipes.items():
        (package / "recipes" / f"{name}.yaml").write_text(text)


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Two plugins that ship recipes, one of a folder that is not there, one that is not allowed."""
    text = "model: gru_ae\ndata: {source: stick_actions}\nfit: {steps: 1}\n"
    ship(tmp_path, "my-zoo", "my_zoo.recipes", waves=text, shared=text, gru_ae=text)
    ship(tmp_path, "other-zoo", "other_zoo.recipes", shared=text, typo=text.replace("steps", "stepps"))
    ship(tmp_path, "no-folder", "no_folder.reciped")
    ship(tmp_path, "locked-out", "locked_out.recipes", locked=text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("KVZOO_PLUGINS", "my-zoo,other-zoo,no-folder")
    registry._entry_points.cache_clear()
    yield tmp_path
    assert not {"my_zoo", "other_zoo", "no_folder", "locked_out"} & set(sys.modules)
    registry._entry_points.cache_clear()


def test_a_plugins_recipe_is_found_by_name(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a folder has the package's name
    recipes = shipped / "my_zoo" / "recipes"
    for name in ("waves", "waves.yaml", "my-zoo:waves", "my_zoo:waves"):
        assert find(name) == recipes / "waves.yaml"
    assert find("other-zoo:shared").parent.parent.name == "other_zoo"
    assert find("gru_ae").parent != recipes
    assert find("kvzoo:gru_ae") == find("gru_ae")
    assert find("my-zoo:gru_ae") == recipes / "gru_ae.yaml"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("shared", "two plugins ship a recipe 'shared': my-zoo and other-zoo; use my-zoo:shared or other-zoo:shared"),
        ("wavs", "no such recipe; did you mean waves"),
        ("locked", "no such recipe"),
        ("locked-out:locked", "no such recipe"),
        ("my-zoo:nothing", "no such recipe"),
        ("my_zoo", "is a folder, not a recipe file"),
    ],
)
def test_a_recipe_that_is_not_to_be_had(name, said, shipped, monkeypatch):
    monkeypatch.chdir(shipped)
    with pytest.raises(InputError, match=said):
        find(name)


def test_plugin_list_checks_recipes(shipped):
    rows = {row.distribution: row for row in states()}
    assert {name: row.state for name, row in rows.items() if name in ("my-zoo", "other-zoo", "no-folder")} == {
        "my-zoo": "ok",
        "other-zoo": "broken",
        "no-folder": "broken",
    }
    assert rows["other-zoo"].error.endswith(
        "typo.yaml:3:7: fit.stepps: unknown key; did you mean fit.steps or fit.epochs?"
    )
    assert "no folder no_folder.reciped" in rows["no-folder"].error
