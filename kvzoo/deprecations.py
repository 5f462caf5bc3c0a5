"""What has been renamed: old names are still accepted, with one warning each, and are listed nowhere.

To rename something, change it everywhere and add its old name to one of the tables here. The tables are read where names
are read: by `registry.py` (registered names, fields of specs), `recipe/resolve.py` (recipe keys, options) and
`run/checkpoint.py` (variables). Standard library only.
"""

import difflib
import logging
from collections.abc import Callable, Container, Iterator, Mapping
from functools import wraps
from typing import Any

from kvzoo.errors import InputError

log = logging.getLogger("kvzoo")

# Registered names by noun, old to new: {"model": {"gru": "gru_ae"}}.
NAMES: dict[str, dict[str, str]] = {}

# Fixed keys of a recipe, dotted, old to new: {"fit.keep_last": "fit.keep"}.
KEYS: dict[str, str] = {}

# Options of a registered model, loss, source, sampler or callback, by noun and name.
OPTIONS: dict[tuple[str, str], dict[str, str]] = {
    ("loss", "adversarial"): {
        "critic_steps": "discriminator_steps",
        "critic_learning_rate": "discriminator_learning_rate",
    },
}

# Fields of specs by class.
FIELDS: dict[str, dict[str, str]] = {"ModelSpec": {"critics": "discriminators"}}

# Functions and classes, "module:old" to the new name in the same module.
OBJECTS: dict[str, str] = {
    "kvzoo.models.pix2pix:pix2pix_critic": "pix2pix_discriminator",
    "kvzoo.models.videogan:videogan_critic": "videogan_discriminator",
    "kvzoo.models.videogan:videogan_image_critic": "videogan_image_discriminator",
    "kvzoo.models.videogan:videogan_label_critic": "videogan_label_discriminator",
}

# Words in the paths of a checkpoint's variables.
VARIABLES: dict[str, str] = {"critic": "discriminator"}

_warned: set[tuple[str, str]] = set()


def warn(place: str, old: str, new: str) -> None:
    """Log that `old` is now `new`, once in a process.

    Args:
        place: where the old name stands, such as "recipes/x.yaml:7:3"; "" where `old` says it.
        old: the old name; dotted where it is a recipe's key.
        new: the current one.

    Example:
        >>> warn("recipes/x.yaml:7:3", "loss.critic_steps", "loss.discriminator_steps")
    """
    # An option is the same one in a recipe and in code.
    name = (old.rpartition(".")[2], new.rpartition(".")[2])
    if name not in _warned:
        _warned.add(name)
        log.warning("kvzoo: %s%s is now %s", f"{place}: " if place else "", old, new)


def options(noun: str, name: str, known: Container[str] = ()) -> dict[str, str]:
    """Return the old names of a registered thing's options, each with its new one.

    Args:
        noun: what it is: model, loss, source, sampler or callback.
        name: its registered name.
        known: its options; one that it has (a plugin of the same name may) is no old name.

    Example:
        >>> options("loss", "adversarial")["critic_steps"]
        'discriminator_steps'
    """
    return {old: new for old, new in OPTIONS.get((noun, name), {}).items() if old not in known}


def renamed(values: Mapping[str, Any], names: Mapping[str, str], place: str) -> dict[str, Any]:
    """Return values under their current names, and warn of old ones.

    Args:
        values: by name, old or current.
        names: old names, each with its new one.
        place: what the values are of, for messages.

    Raises:
        InputError: a value under both of its names.

    Example:
        >>> renamed({"old": 1, "other": 2}, {"old": "new"}, "loss x")
        {'new': 1, 'other': 2}
    """
    for old in values:
        if old in names:
            if names[old] in values:
                raise InputError(f"{place}: {old} is the old name of {names[old]}, which is set too")
            warn(place, old, names[old])
    return {names.get(name, name): value for name, value in values.items()}


def intended(name: str, names: Mapping[str, str]) -> str:
    """Return the new name of the old one that `name` nearly is; `name` itself where it is near to none.

    Example:
        >>> intended("critic_step", options("loss", "adversarial"))
        'discriminator_steps'
    """
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.8)
    return names[near[0]] if near else name


def named_sections(recipe: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Return where a recipe names registered things: the section's keys, the noun, and the key that has the name.

    Args:
        recipe: plain nested values, which need not be checked yet.

    Example:
        >>> list(named_sections({"model": {"name": "gru_ae"}, "data": {"source": "strips"}}))
        [(('model',), 'model', 'name'), (('data',), 'source', 'source')]
    """
    data = recipe.get("data")
    tests = data.get("tests") if isinstance(data, Mapping) else None
    callbacks = recipe.get("callbacks")
    places: list[tuple[tuple[str | int, ...], str, str]] = [(("model",), "model", "name"), (("loss",), "loss", "name")]
    for keys in (("data",), *(("data", "tests", test) for test in (tests if isinstance(tests, Mapping) else ()))):
        places += [(keys, "source", "source"), ((*keys, "sampler"), "sampler", "name")]
    for i in range(len(callbacks) if isinstance(callbacks, list) else 0):
        places.append((("callbacks", i), "callback", "name"))
    for keys, noun, key in places:
        section: Any = recipe
        for step in keys:
            inner = section.get(step) if isinstance(section, Mapping) else None
            section = section[step] if isinstance(section, list) else inner
        if isinstance(section, Mapping):
            yield keys, noun, key


def variable(path: str) -> str:
    """Return a variable's path in the words of today.

    Example:
        >>> variable("videogan_critic.critic_1.kernel")
        'videogan_discriminator.discriminator_1.kernel'
    """
    for old, new in VARIABLES.items():
        path = path.replace(old, new)
    return path


def takes_old_fields(cls: type) -> type:
    """Let a dataclass be made with the old names of its fields, and be read by them."""
    names, init = FIELDS[cls.__name__], cls.__init__

    @wraps(init)
    def __init__(self, *values, **fields):
        place = f"{self.noun} {fields.get('name') or next(iter(values), '')}"
        init(self, *values, **renamed(fields, names, place))

    cls.__init__ = __init__
    for old, new in names.items():
        setattr(cls, old, property(lambda self, new=new: getattr(self, new)))
    return cls


def old_objects(module: str) -> Callable[[str], Any]:
    """Return a module's `__getattr__`, which finds its functions and classes by their old names."""

    def __getattr__(name: str) -> Any:
        import sys

        new = OBJECTS.get(f"{module}:{name}")
        if new is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn(module, name, new)
        return getattr(sys.modules[module], new)

    return __getattr__
