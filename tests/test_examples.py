"""The examples in docstrings run as they stand, and every public function has one."""

import doctest
import inspect
from importlib import import_module

import pytest

import kvzoo
from kvzoo import catalog

FUNCTIONS = [name for name in kvzoo._PUBLIC if name[0].islower()]
# Later ones use the run of earlier ones, runs/latest.
ON_A_RUN = ["fit", "load", "evaluate", "resume"]
MODULES = [
    "apps.interpolate",
    "apps.outputs",
    "apps.predict",
    "apps.speedup",
    "apps.streams",
    "data.samplers",
    "data.source",
    "media.charts",
    "media.clips",
    "media.pages",
    "plugins.new",
    "process",
    "progress",
    "recipe.resolve",
    "recipe.schema",
    "recipe.text",
]


def failures(*docs: doctest.DocTest) -> str:
    """Run examples one after the other and return what failed, as doctest reports it."""
    report, runner = [], doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE, verbose=False)
    for doc in docs:
        runner.run(doc, out=report.append)
    return "".join(report)


def examples(function) -> doctest.DocTest:
    """Return the examples of a public function."""
    (doc,) = doctest.DocTestFinder(recurse=False).find(function, function.__name__, module=False, globs={})
    return doc


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalog.MODELS, "_own", dict(catalog.MODELS._own))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_has_an_example(name):
    assert examples(getattr(kvzoo, name)).examples, f"kvzoo.{name} has no example in its docstring"


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in ON_A_RUN])
def test_examples_of_public_functions(name):
    assert not failures(examples(getattr(kvzoo, name)))


def test_examples_on_a_run():
    assert not failures(*(examples(getattr(kvzoo, name)) for name in ON_A_RUN))


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_modules(name):
    docs = [doc for doc in doctest.DocTestFinder().find(import_module(f"kvzoo.{name}")) if doc.examples]
    assert docs and not failures(*docs)


def test_public_names_are_what_they_say():
    assert {*kvzoo.__all__} == {"__version__", *kvzoo._PUBLIC}
    for name in kvzoo._PUBLIC:
        thing = getattr(kvzoo, name)
        assert thing.__name__ == name
        assert inspect.isclass(thing) == name[0].isupper()
        assert thing.__doc__


def test_importing_the_public_api_is_lazy(in_process):
    loaded = in_process("import sys, kvzoo; dir(kvzoo); kvzoo.list_models(); print(*sys.modules)").split()
    assert not {"keras", "tensorflow", "jax", "torch", "cv2"} & set(loaded)
    light = in_process("import sys, kvzoo; kvzoo.Source, kvzoo.Sampler, kvzoo.ModelSpec; print(*sys.modules)").split()
    assert not {"keras", "tensorflow", "jax", "torch"} & set(light)
