"""Options of registered things, and the validation of their values.

Specs are made of options, so this file needs the standard library only; pydantic comes in with the first check.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from kvzoo import deprecations
from kvzoo.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel, BeforeValidator

TYPES: dict[str, Any] = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "path": str,
    "size": Any,
    "list[int]": list[int],
    "list[float]": list[float],
    "list[str]": list[str],
    "dict[str, float]": dict[str, float],
}
OPTION_TYPES = tuple(TYPES)
STRICT = {"extra": "forbid", "strict": True, "allow_inf_nan": False}  # unknown keys and wrong types are errors


@dataclass(frozen=True)
class Option:
    """One argument of a builder, as a recipe may set it.

    Attributes:
        type: one of OPTION_TYPES; `path` is a string, taken relative to the recipe; `size` is an integer, or a pair
            [height, width] where they differ.
        default: the reference setting; None where the builder chooses.
        help: what it is, with its unit.
        minimum, maximum, multiple_of, choices: what is legal, of a list's items; None where anything is.
        required: whether a recipe must give it.
    """

    type: str
    default: Any = None
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    multiple_of: int | None = None
    choices: tuple | None = None
    required: bool = False

    def __post_init__(self):
        if self.type not in OPTION_TYPES:
            raise InputError(f"Option: type must be one of {', '.join(OPTION_TYPES)}. Received: {self.type!r}")
        if self.choices is not None:
            object.__setattr__(self, "choices", tuple(self.choices))


def check_options(noun: str, name: str, options: Mapping[str, Option], values: Mapping[str, Any]) -> dict:
    """Return validated option values with defaults filled in, for callers without a recipe.

    Args:
        noun, name: owner of the options for messages, such as "model" and "gru_ae".
        options: the options by name.
        values: the values by the options' names.

    Raises:
        InputError: an unknown option, a wrong type, a value out of range.
    """
    from pydantic import ValidationError

    old = deprecations.options(noun, name, options)
    values = deprecations.renamed(values, old, f"{noun} {name}")
    try:
        return options_model(name, options).model_validate(values).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(key) for key in first["loc"])
        raise InputError(f"{noun} {name}: {key}: {in_words(first, (list(options), []), old)}") from None


def options_model(name: str, options: Mapping[str, Option], base: "type[BaseModel] | None" = None) -> "type[BaseModel]":
    """Return the pydantic model for options, with the keys of `base` added."""
    from pydantic import ConfigDict, create_model

    fields = {key: _field(option) for key, option in options.items()}
    if base is None:
        return create_model(name, __config__=ConfigDict(**STRICT), **fields)
    return create_model(name, __base__=base, **fields)


def _field(option: Option) -> tuple[Any, Any]:
    """Return the pydantic type and default of an option."""
    from pydantic import Field

    kind: Any = TYPES[option.type]
    if option.choices is not None:
        kind = Literal[tuple(option.choices)]
    limits = {"ge": option.minimum, "le": option.maximum, "multiple_of": option.multiple_of}
    limits = {k: v for k, v in limits.items() if v is not None}
    if option.type == "size":
        kind, limits = Annotated[Any, _size(option)], {}
    if limits and option.type in ("list[int]", "list[float]"):
        kind, limits = list[Annotated[get_args(kind)[0], Field(**limits)]], {}
    kind = Annotated[kind, Field(description=option.help, **limits)]
    if option.required:
        return kind, ...
    return (kind | None if option.default is None else kind), option.default


def _size(option: Option) -> "BeforeValidator":
    """Return the validator of an integer or a pair of integers; a pair becomes a list, as in YAML."""
    from pydantic import BeforeValidator

    limits = (
        f"at least {option.minimum}" if option.minimum is not None else "",
        f"divisible by {option.multiple_of}" if option.multiple_of else "",
    )
    legal = f"must be an integer or [height, width]{', ' if any(limits) else ''}{' and '.join(filter(None, limits))}"

    def validate_size(value: Any) -> Any:
        pair = isinstance(value, (list, tuple))
        sides = list(value) if pair else [value]
        fits = len(sides) == 1 + pair and all(
            type(side) is int
            and (option.minimum is None or side >= option.minimum)
            and side % (option.multiple_of or 1) == 0
            for side in sides
        )
        if not fits:
            raise ValueError(legal)
        return sides if pair else value

    return BeforeValidator(validate_size)


def in_words(error: Mapping, known: tuple[list[str], list[str]], old: Mapping[str, str]) -> str:
    """Return a pydantic error in the words of a recipe.

    Args:
        error: one of a ValidationError's `errors()`.
        known: the known keys of the same section, and those of other sections.
        old: old names of keys, each with its new one.
    """
    kind, context = error["type"], error.get("ctx", {})
    try:
        received = f". Received: {error['input']!r}"
    except ValueError:
        received = ". Received: an integer of thousands of digits"
    if kind == "extra_forbidden":
        wrong = deprecations.intended(str(error["loc"][-1]), old)
        for keys in known:
            by_last = {k.rpartition(".")[2]: k for k in reversed(keys)}
            if hint := did_you_mean(wrong, by_last):
                for last, full in by_last.items():
                    hint = hint.replace(f" {last}?", f" {full}?").replace(f" {last} or", f" {full} or")
                return f"unknown key{hint}"
        siblings = sorted(k.rpartition(".")[2] for k in known[0])
        return f"unknown key; known: {', '.join(siblings) or 'only name'}"
    if kind == "missing":
        return "required key is missing"
    if kind == "literal_error":
        return f"must be {context['expected']}{received}"
    if kind == "value_error":
        return f"{context['error']}{received}"
    return f"{error['msg'].replace('Input should', 'must')}{received}"
