"""Explain a resolved recipe: the origin of each of its values."""

from collections.abc import Iterator
from typing import Any

from kvzoo import catalog
from kvzoo.recipe.resolve import Recipe
from kvzoo.recipe.text import Keys, dotted


def explained(recipe: Recipe) -> Iterator[tuple[Keys, Any, str]]:
    """Return (keys, value, origin) of each value: a position in a file, `-o …`, `--smoke`, or the owner of a default.

    A list is one value unless it contains mappings; so are mappings that a spec does not list, and empty ones.
    """
    return _leaves(recipe, (), recipe.values)


def explained_run(recipe: Recipe) -> Iterator[tuple[Keys, Any, str]]:
    """Return the same for a run's recipe, with the origins recorded in its recipe lock for values that come from it."""
    recorded = recipe.lock.get("origins", {})
    for keys, value, origin in explained(recipe):
        place = recipe.origins.get(keys)
        from_lock = place is not None and place.line > 0
        yield keys, value, recorded.get(dotted(keys), origin) if from_lock else origin


def as_yaml(recipe: Recipe) -> str:
    """Return the recipe as YAML for `kvzoo fit`, with the origin of each value as a comment."""
    lines: list[tuple[str, str]] = []
    previous: Keys = ()
    for keys, value, origin in explained(recipe):
        for depth, key in enumerate(keys):
            if previous[: depth + 1] == keys[: depth + 1]:
                continue
            # The first key of a list item follows its dash.
            indent = "  " * depth if isinstance(key, str) else "  " * (depth - 1) + "-"
            text = f"{indent}{key}:" if isinstance(key, str) else indent
            if depth and isinstance(keys[depth - 1], int) and lines[-1][0].endswith("-"):
                text = f"{lines.pop()[0]} {key}:"
            lines.append((text, "") if depth < len(keys) - 1 else (f"{text} {_flow(value)}", origin))
        previous = keys
    width = min(60, max(len(text) for text, origin in lines if origin))
    return "".join(f"{text:<{width}}  # {origin}\n" if origin else f"{text}\n" for text, origin in lines)


def _leaves(recipe: Recipe, keys: Keys, value: Any) -> Iterator[tuple[Keys, Any, str]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    children = [(key, item) for key, item in inner]
    if children and (isinstance(value, dict) or any(isinstance(item, dict) for _, item in children)):
        for key, item in children:
            yield from _leaves(recipe, (*keys, key), item)
    else:
        yield keys, value, _origin(recipe, keys)


def _origin(recipe: Recipe, keys: Keys) -> str:
    if keys in recipe.origins:
        return str(recipe.origins[keys])
    model, loss = recipe["model"]["name"], recipe["loss"]["name"]
    if keys[0] == "model":
        return f"default of {model}"
    if keys[0] == "loss":
        return f"default of {model}" if keys[1] in ("name", "terms") else f"default of {loss}"
    if keys[:2] == ("fit", "optimizer") or keys == ("fit", "l2"):
        return f"reference of {model}" if keys in _reference(recipe) else "default"
    if keys[-2:] == ("sampler", "name"):
        return f"default of {loss}"
    if keys[0] == "data":
        section = recipe["data"]["tests"][keys[2]] if keys[1] == "tests" and len(keys) > 2 else recipe["data"]
        if keys[-1] in catalog.SOURCES.get(section["source"]).options:
            return f"default of {section['source']}"
    return "default"


def _reference(recipe: Recipe) -> set[Keys]:
    """Return the keys of `fit` set by the model's spec; those of the optimizer only if the recipe does not change it."""
    spec = recipe.model_spec
    unchanged = spec.optimizer["name"] == recipe["fit"]["optimizer"]["name"]
    return {("fit", "l2")} | ({("fit", "optimizer", key) for key in spec.optimizer} if unchanged else set())


def _flow(value: Any) -> str:
    from io import StringIO

    from ruamel.yaml import YAML

    yaml, out = YAML(typ="safe", pure=True), StringIO()
    yaml.default_flow_style = True
    yaml.width = 10_000
    yaml.dump(value, out)
    return out.getvalue().removesuffix("...\n").strip()
