"""Create a plugin: a small, complete distribution that installs, trains and passes its own tests."""

import importlib.util
import keyword
import os
import re
from pathlib import Path

import kvzoo
from kvzoo import catalog
from kvzoo.errors import InputError
from kvzoo.recipe.resolve import shipped_recipes
from kvzoo.registry import KINDS

TEMPLATES = Path(__file__).parent / "template"

# Files of the new distribution and their templates; {model} is the package's name, {kind} the kind of its model.
FILES = {
    "pyproject.toml": "pyproject.toml.j2",
    "README.md": "README.md.j2",
    ".gitignore": "gitignore.j2",
    ".github/workflows/tests.yml": "ci.yml.j2",
    "{model}/__init__.py": "init.py.j2",
    "{model}/spec.py": "{kind}/spec.py.j2",
    "{model}/model.py": "{kind}/model.py.j2",
    "{model}/recipes/{model}.yaml": "{kind}/recipe.yaml.j2",
    "tests/test_{model}.py": "test.py.j2",
}


def create(name: str, kind: str = "reconstructor", out: str | os.PathLike | None = None) -> tuple[Path, list[str]]:
    """Create a new plugin.

    Args:
        name: name of the distribution, such as wave-ae; with underscores also of the package and the model.
        kind: kind of its model, one of those that have a template.
        out: its folder, empty or not existing; by default `name` in the current folder.

    Returns:
        The folder, and the files in it.

    Raises:
        InputError: the name is invalid or taken, the folder is not empty, or there is no template of this kind.

    Example:

        >>> from kvzoo.plugins.new import create
        >>> folder, files = create("wave-ae")
        >>> (folder / "wave_ae" / "model.py").is_file()
        True
    """
    folder, model = Path(name if out is None else out), name.replace("-", "_")
    _check_name(name, model)
    if not (TEMPLATES / kind).is_dir():
        legal = ", ".join(k for k in KINDS if (TEMPLATES / k).is_dir())
        raise InputError(f"plugin new: there is no template of the kind {kind!r}; known: {legal}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"plugin new: {folder} {'is not empty' if folder.is_dir() else 'is a file'}")

    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    values = {"name": name, "model": model, "kind": kind, "mapping": KINDS[kind], "kvzoo": kvzoo.__version__}
    texts = {
        file.format(model=model): templates.get_template(template.format(kind=kind)).render(values)
        for file, template in FILES.items()
    }
    for file, text in texts.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
    return folder, list(texts)


def _check_name(name: str, model: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", name) or keyword.iskeyword(model):
        raise InputError(
            f"plugin new: the name must consist of lower-case letters, digits and dashes, such as wave-ae. "
            f"Received: {name!r}"
        )
    for registry in catalog.REGISTRIES.values():
        for entry in registry.entries():
            if entry.name == model:
                raise InputError(
                    f"plugin new: the {registry.spec_type.noun} {model!r} already exists in {entry.distribution}"
                )
    if model in {file.stem for file in shipped_recipes()}:
        raise InputError(f"plugin new: the recipe {model!r} already exists in kvzoo")
    # A folder of this name on the path has a spec too, but no origin.
    if (module := importlib.util.find_spec(model)) is not None and module.origin:
        raise InputError(f"plugin new: a Python module {model!r} is already installed")
