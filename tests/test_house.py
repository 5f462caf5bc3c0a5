"""The house: a file imports only from floors below its own."""

import ast

import pytest
from conftest import ROOT

FLOORS = (
    ("errors", "process", "signals"),
    ("files", "options", "progress"),
    ("registry",),
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
