"""Parse recipe text to plain values and record the origin of each value.

YAML 1.2, safely: mappings, lists and scalars only. Tags are refused (a recipe is data), and so are
anchors, because aliases of aliases can grow without bound.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvzoo.errors import InputError

Keys = tuple[str | int, ...]

LARGEST_RECIPE = 1_000_000  # bytes; a lock file has a few thousand


@dataclass(frozen=True)
class Origin:
    """Origin of a value: a file with line and column (from 1), or something else by name."""

    where: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.where}:{self.line}:{self.column}" if self.line else self.where


DEFAULT = Origin("default")


@dataclass
class Tree:
    """Nested dicts and lists, and the origin of each key and item by its path of keys."""

    values: dict
    origins: dict[Keys, Origin]

    def origin(self, keys: Keys) -> Origin:
        """Return the origin of a value, or of its nearest ancestor that has one."""
        while keys and keys not in self.origins:
            keys = keys[:-1]
        return self.origins.get(keys, DEFAULT)

    def put(self, keys: Keys, value: Any, origin: Origin) -> None:
        """Set a value, creating the mappings that contain it; an earlier value is replaced."""
        node = self.values
        for i, key in enumerate(keys[:-1]):
            inner = node.get(key) if isinstance(node, dict) else None
            if not isinstance(inner, dict):
                inner = node[key] = {}
                self.origins[keys[: i + 1]] = origin
            node = inner
        node[keys[-1]] = value
        self.drop_origins(keys)
        self.origins.update({(*keys, *inner): origin for inner in _paths(value)})

    def drop_origins(self, keys: Keys) -> None:
        """Remove the origins of a value and of everything in it."""
        for known in [k for k in self.origins if k[: len(keys)] == keys]:
            del self.origins[known]


def dotted(keys: Keys) -> str:
    """Return keys in dotted form: fit.optimizer.name, callbacks.0."""
    return ".".join(str(key) for key in keys)


def read(path: Path) -> Tree:
    """Read a recipe file.

    Raises:
        InputError: the file cannot be read, is not YAML, or contains more than plain data.
    """
    try:
        if path.stat().st_size > LARGEST_RECIPE:
            raise InputError(f"{path}: not a recipe: larger than {LARGEST_RECIPE} bytes")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a recipe: not UTF-8 text") from None
    return parse(text, str(path))


def parse(text: str, where: str) -> Tree:
    """Parse recipe text; `where` names it in errors."""
    value, origins = _parse(text, where)
    if not isinstance(value, dict):
        raise InputError(f"{where}:1:1: a recipe must be a mapping of keys to values. Received: {type(value).__name__}")
    return Tree(value, origins)


def parse_value(text: str, where: str) -> Any:
    """Parse one YAML value, such as the right side of `-o key=value`."""
    return _parse(text, where)[0]


def parse_pairs(texts: Iterable[str], flag: str, example: str) -> dict[str, Any]:
    """Parse the values of a command-line option: "key=value" strings with values in YAML.

    Raises:
        InputError: one has no key or no "=", or its value is not YAML; the message names `flag` and `example`.

    Example:

        >>> from kvzoo.recipe.text import parse_pairs
        >>> parse_pairs(["videos=4", "cameras=varied"], "-o", "videos=4")
        {'videos': 4, 'cameras': 'varied'}
    """
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(f"{flag} {text}: must be key=value, such as {example}")
        pairs[key.strip()] = parse_value(value, f"{flag} {text}")
    return pairs


def _parse(text: str, where: str) -> tuple[Any, dict[Keys, Origin]]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    yaml = YAML(typ="safe", pure=True)
    origins: dict[Keys, Origin] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about duplicate anchors: any anchor is refused below
            node = yaml.compose(text)
        value = None if node is None else _construct(node, (), origins, where, yaml.constructor)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        raise InputError(f"{place}: not YAML: {error.problem}") from None
    except YAMLError as error:
        raise InputError(f"{where}: not YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise InputError(f"{where}: not a recipe: nested too deeply") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where}: not YAML: {error}") from None
    return value, origins


def _construct(node, keys: Keys, origins: dict[Keys, Origin], where: str, constructor) -> Any:
    from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

    place = Origin(where, node.start_mark.line + 1, node.start_mark.column + 1)
    origins.setdefault(keys, place)
    if node.anchor:
        raise InputError(f"{place}: anchors and aliases are not allowed in a recipe; use `extends`")
    if not str(node.tag).startswith("tag:yaml.org,2002:") or str(node.tag).count("/"):
        raise InputError(f"{place}: the tag {str(node.tag)!r} is not allowed: a recipe is plain data")
    kind = str(node.tag).rpartition(":")[2]
    if isinstance(node, MappingNode) and kind == "map":
        mapping: dict = {}
        for key_node, value_node in node.value:
            key = _construct(key_node, (*keys, "?"), {}, where, constructor)
            at = Origin(where, key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key, str):
                raise InputError(f"{at}: keys must be strings. Received: {key!r}")
            if key in mapping:
                raise InputError(f"{at}: {dotted((*keys, key))}: duplicate key")
            origins[(*keys, key)] = at
            mapping[key] = _construct(value_node, (*keys, key), origins, where, constructor)
        return mapping
    if isinstance(node, SequenceNode) and kind == "seq":
        return [_construct(item, (*keys, i), origins, where, constructor) for i, item in enumerate(node.value)]
    if kind not in ("str", "int", "float", "bool", "null") or not isinstance(node, ScalarNode):
        if kind != "timestamp" or not isinstance(node, ScalarNode):
            raise InputError(f"{place}: the tag {kind!r} is not allowed: a recipe is plain data")
        return node.value
    try:
        return constructor.construct_object(node, deep=True)
    except (ValueError, LookupError):
        raise InputError(f"{place}: not YAML: not a value of the type {kind}") from None


def _paths(value: Any) -> list[Keys]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *((key, *path) for key, item in inner for path in _paths(item))]
