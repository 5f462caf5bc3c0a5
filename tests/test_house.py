"""The house: a file imports only from floors below its own."""

import ast

import pytest
from conftest import ROOT

FLOORS = (
    ("errors", "process", "signals"),
    ("files", "progress", "deprecations"),
    ("options",),
    ("registry", "keras_names"),
    ("catalog",),
    ("recipe",),
    ("media",),
    ("metrics",),
    ("data",),
    ("models",),
    ("kernels",),
    ("losses",),
    ("zoo",),
    ("tasks",),
    ("run",),
    ("testing",),
    ("apps",),
    ("plugins",),
    ("cli", "__main__"),
)
HEIGHT = {name: i for i, names in enumerate(FLOORS) for name in names}
FILES = sorted((ROOT / "kvzoo").rglob("*.py"))


def imports(tree: ast.Module) -> set[str]:
    """Return the modules that a file imports, at its top or within."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_only_from_floors_below(file):
    parts = file.relative_to(ROOT / "kvzoo").with_suffix("").parts
    if parts == ("__init__",):
        return  # the public API: its imports are lazy
    floor = HEIGHT[parts[0]]
    for name in imports(ast.parse(file.read_text(encoding="utf-8"))):
        if name.startswith("kvzoo.") and name.split(".")[1] in HEIGHT:
            assert HEIGHT[name.split(".")[1]] <= floor, f"{'.'.join(parts)} imports {name}"


@pytest.mark.parametrize("name", ["keras", "tensorflow", "jax", "torch"])
def test_backends_are_imported_where_they_are_needed_only(name):
    may = {
        "keras": ("models", "kernels", "losses", "zoo", "tasks", "run", "testing", "cli"),
        "tensorflow": ("kernels", "losses", "run", "testing", "cli"),
    }.get(name, ("kernels", "losses", "cli"))
    for file in FILES:
        parts = file.relative_to(ROOT / "kvzoo").with_suffix("").parts
        if any(i == name or i.startswith(f"{name}.") for i in imports(ast.parse(file.read_text(encoding="utf-8")))):
            assert parts[0] in may, f"{'.'.join(parts)} imports {name}"


def test_the_lowest_floors_need_the_standard_library_only(in_process):
    out = in_process("import sys, kvzoo, kvzoo.catalog; print(*{m.split('.')[0] for m in sys.modules})")
    assert not set(out.split()) & {"keras", "numpy", "pydantic", "click", "tensorflow"}


OURS = {"_exit", "_means"}  # of the module os, and of a base class of kvzoo's


def underscored(tree: ast.Module) -> set[str]:
    """Return what a file takes of others by a name with an underscore: not of `self`, or not set in that file."""
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("_")]
    own = {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
    own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    # Fields of dataclasses, and what a class sets for all.
    own |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return {
        node.attr
        for node in attributes
        if not node.attr.endswith("__")
        and (not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")) or node.attr not in own)
    }


def test_private_names_of_keras_stand_in_one_file():
    tree = ast.parse("self._a = x\nself._a\nself._b\nlayer._c\nlayer.__class__\nsuper()._d\nlayer.e")
    assert underscored(tree) == {"_b", "_c", "_d"}
    floors = ("models", "kernels", "losses", "zoo", "run", "testing", "apps", "cli")
    for file in FILES:
        parts = file.relative_to(ROOT / "kvzoo").with_suffix("").parts
        if parts[0] not in floors:
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        inside = [name for name in imports(tree) if name.startswith(("keras.src", "tensorflow.python"))]
        if parts != ("kernels", "private"):
            names = underscored(tree) - OURS
            assert not names and not inside, f"{'.'.join(parts)}: {names} {inside}"
