"""A process that loads one entry point of a plugin and records the result.

python -P -m kvzoo.plugins.load GROUP NAME DISTRIBUTION RESULT.json quick|build
"""

import json
import sys
import time
from pathlib import Path

from kvzoo import catalog
from kvzoo.errors import KvzooError
from kvzoo.plugins import commands
from kvzoo.registry import COMMANDS, RECIPES, Entry, ModelSpec, Spec, installed, recipe_folder

HEAVY = ("keras", "tensorflow", "jax", "torch")


def main(group: str, name: str, distribution: str, result: str, depth: str) -> None:
    record: dict = {}

    def note(**more) -> None:
        record.update(more)
        Path(result).write_text(json.dumps(record))

    (entry,) = [e for e in installed(group) if (e.name, e.distribution) == (name, distribution)]
    try:
        if group == RECIPES:
            load_recipes(entry)
        elif group == COMMANDS:
            commands.load(entry)
        else:
            registry = next(r for r in catalog.REGISTRIES.values() if r.spec_type.group == group)
            start = time.perf_counter()
            spec = registry.load(entry)
            # Written before building, which may end the process.
            note(seconds=time.perf_counter() - start, heavy=[m for m in HEAVY if m in sys.modules])
            if depth == "build":
                load_builder(spec)
    except KvzooError as error:
        note(error=" ".join(str(error).split()))
    except (Exception, SystemExit) as error:
        note(error=f"{type(error).__name__}: {' '.join(str(error).split())}")
    else:
        note(done=True)


def load_recipes(entry: Entry) -> None:
    """Validate every recipe that a plugin ships; its data need not exist."""
    from kvzoo.recipe.resolve import load

    folder = recipe_folder(entry)
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise FileNotFoundError(f"no recipe (*.yaml) in {folder}")
    for file in files:
        load(file, check_paths=False)


def load_builder(spec: Spec) -> None:
    """Import the builder of a spec; a model is also built, at its tiny configuration."""
    builder = spec.load()
    if not callable(builder):
        raise TypeError(f"{spec.builder}: must be a function or class. Received: {type(builder).__name__}")
    if isinstance(spec, ModelSpec):
        from kvzoo.options import check_options
        from kvzoo.zoo import build

        build(spec, check_options("model", spec.name, spec.options, spec.tiny))


if __name__ == "__main__":
    main(*sys.argv[1:])
