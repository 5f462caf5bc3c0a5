"""`kvzoo plugin new`: what it writes installs, lists, trains and passes its own rows as it stands."""

import subprocess
import sys
from pathlib import Path

import pytest
from distributions import metadata_of
from hypothesis import given, settings
from hypothesis import strategies as st

import kvzoo
from kvzoo import catalog, registry
from kvzoo.errors import InputError
from kvzoo.plugins.new import TEMPLATES, create
from kvzoo.plugins.states import states
from kvzoo.testing import ROWS, Battery

KINDS = sorted(folder.name for folder in TEMPLATES.iterdir() if folder.is_dir())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A new plugin of each kind, on the path as pip would put them there."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        for kind in KINDS:
            create(f"my-{kind}", kind, folder / f"my-{kind}")
            metadata_of(folder / f"my-{kind}", folder)
            patch.syspath_prepend(str(folder / f"my-{kind}"))
        patch.syspath_prepend(str(folder))
        patch.setenv("KVZOO_PLUGINS", ",".join(f"my-{kind}" for kind in KINDS))
        registry._entry_points.cache_clear()
        yield folder
    registry._entry_points.cache_clear()


def test_there_is_one_of_every_kind():
    assert set(registry.KINDS) == set(KINDS)


def test_it_is_listed(made):
    assert catalog.list_models("my_*") == [f"my_{kind}" for kind in KINDS]
    rows = {(row.name, row.group): row for row in states(quick=True) if row.distribution.startswith("my-")}
    assert len(rows) == 2 * len(KINDS)
    assert {row.error for row in rows.values()} == {None}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind == "reconstructor" else pytest.mark.slow) for kind in KINDS]
)
def test_it_passes_the_rows_that_need_no_process(kind, made):
    rows = tuple(r for r in ROWS if r not in ("save", "backends"))
    bad = [(r.row, r.detail) for r in Battery(f"my_{kind}").results(f"my_{kind}", rows) if r.state == "failed"]
    assert not bad


@pytest.mark.parametrize("kind", KINDS)
def test_its_recipe_trains(kind, made, tmp_path):
    run = kvzoo.fit(f"my_{kind}", smoke=True, out=tmp_path / "run")
    assert run.history[-1]["step"] == 6
    assert (run.path / "model.keras").is_file()


def test_it_is_clean_code(made):
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(["ruff", *command, "."], cwd=made, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_its_own_tests_pass(kind, made):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], cwd=made / f"my-{kind}", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "must consist of lower-case letters"),
        ("My-zoo", "must consist of lower-case letters"),
        ("1st", "must consist of lower-case letters"),
        ("a--b", "must consist of lower-case letters"),
        ("../up", "must consist of lower-case letters"),
        ("lambda", "must consist of lower-case letters"),
        ("gru-ae", "the model 'gru_ae' already exists in kvzoo"),
        ("mse", "the loss 'mse' already exists in kvzoo"),
        ("gru-ae-paper", "the recipe 'gru_ae_paper' already exists in kvzoo"),
        ("numpy", "a Python module 'numpy' is already installed"),
        ("random", "a Python module 'random' is already installed"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused(name, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        create(name)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_in_use_is_refused(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("")
    for name, said in (("full", "is not empty"), ("file", "is a file")):
        with pytest.raises(InputError, match=said):
            create("my-new-zoo", out=tmp_path / name)
    assert [f.name for f in (tmp_path / "full").iterdir()] == ["thesis.txt"]


def test_a_kind_without_a_template_is_refused(tmp_path):
    with pytest.raises(InputError, match="no template of the kind 'magician'; known: reconstructor"):
        create("my-new-zoo", "magician", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@settings(max_examples=60)
@given(name=st.text(max_size=12) | st.from_regex(r"[a-z0-9_-]{1,12}", fullmatch=True))
def test_any_name_is_either_refused_or_good_python(name, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any") / "new"
    try:
        create(name, out=folder)
    except InputError:
        assert not folder.exists()
        return
    for file in folder.rglob("*.py"):
        compile(file.read_text(), str(file), "exec")
    assert (folder / name.replace("-", "_") / "model.py").is_file()


def test_the_command_line_says_what_is_next(tmp_path, kvzoo_cli):
    done = kvzoo_cli("plugin", "new", "my-new-zoo", "--kind", "classifier", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    *files, after = done.stdout.splitlines()
    assert {tmp_path / line.strip() for line in files} == {f for f in tmp_path.rglob("*") if f.is_file()}
    assert after.startswith("next: cd my-new-zoo && pip install -e '.[test]' && kvzoo fit my_new_zoo --smoke")
    assert Path(tmp_path / "my-new-zoo" / "my_new_zoo" / "model.py").read_text().count("logits") > 1
