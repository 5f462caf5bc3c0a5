"""What a recipe may say: its fixed keys as pydantic models, and options of registered things.

Every key of a recipe is defined here, but for the options of models, losses, sources, samplers and
callbacks (in their specs) and of Keras's optimizers and schedules (keras_names.py).
"""

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, create_model, field_validator

from kvzoo.registry import Option

Named = dict[str, Any]

ADDRESSES = ("http://", "https://", "s3://")  # paths that are none of this machine's


class Section(BaseModel):
    """A part of a recipe: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Data(Section):
    """Keys of `data`, beside the options of its source."""

    source: Annotated[str, Field(description="where videos come from: a registered source")]
    group: Annotated[str | None, Field(description="regular expression; what it finds in a path may not be split")] = (
        None
    )
    validation: Annotated[
        Annotated[float, Field(ge=0, lt=1)] | list[str],
        Field(description="share of the groups held out, or their names"),
    ] = 0.2
    fps: Annotated[float | None, Field(gt=0, description="frames a second to resample to")] = None
    short: Annotated[
        Literal["drop", "repeat_last", "loop"], Field(description="what becomes of videos shorter than needed")
    ] = "drop"
    sampler: Annotated[
        Named | None, Field(description="cuts a video into an example; the loss's own when left out")
    ] = None

    @field_validator("group")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        import re

        if pattern is not None:
            try:
                re.compile(pattern)
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"not a regular expression: {error}") from None
        return pattern


class FineTuning(Section):
    """Keys of `model`, beside the options of the model itself."""

    weights: Annotated[
        str | None,
        Field(description="run folder or .keras file; layers of the same name and shape begin with its weights"),
    ] = None
    trainable: Annotated[
        Literal["all", "head"], Field(description="which layers learn; head: those after the layer of features")
    ] = "all"


class Fit(Section):
    """Keys of `fit`."""

    steps: Annotated[PositiveInt | None, Field(description="training steps")] = None
    epochs: Annotated[PositiveInt | None, Field(description="passes over the training videos, instead of steps")] = None
    batch_size: Annotated[PositiveInt, Field(description="examples a step")] = 16
    optimizer: Annotated[Named | None, Field(description="a Keras optimizer; the model's own when left out")] = None
    l2: Annotated[
        float | None, Field(ge=0, description="times the weight, added to the gradient (torch's weight_decay)")
    ] = None
    seed: Annotated[int, Field(ge=0, lt=2**31, description="seed of weights, noise and data")] = 0
    precision: Annotated[
        Literal["float32", "bfloat16", "mixed_float16", "mixed_bfloat16"], Field(description="Keras's dtype policy")
    ] = "float32"
    jit_compile: Annotated[
        bool | Literal["auto"], Field(description="XLA; auto: on a GPU and on JAX, not on a CPU")
    ] = "auto"
    sample_every: Annotated[
        PositiveInt, Field(description="steps between samples, validations and rows of history")
    ] = 200
    checkpoint_every: Annotated[PositiveInt, Field(description="steps between checkpoints")] = 200
    validation_clips: Annotated[PositiveInt, Field(description="held-out examples that each validation reads")] = 128


class RecipeModel(Section):
    """The top level of a recipe."""

    model: Annotated[Named, Field(description="a registered model and its options")]
    loss: Annotated[Named | None, Field(description="a registered loss and its options")] = None
    data: Annotated[dict[str, Any], Field(description="where clips come from")]
    fit: Annotated[Fit, Field(description="how the model is trained")]
    callbacks: Annotated[list[Named], Field(description="registered callbacks and their options")] = []


_TYPES = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "path": str,
    "list[int]": list[int],
    "list[float]": list[float],
    "list[str]": list[str],
    "dict[str, float]": dict[str, float],
}


def _field(option: Option) -> tuple[Any, Any]:
    """Return the pydantic type and default of an option."""
    kind: Any = _TYPES[option.type]
    if option.choices is not None:
        kind = Literal[tuple(option.choices)]
    limits = {"ge": option.minimum, "le": option.maximum, "multiple_of": option.multiple_of}
    limits = {k: v for k, v in limits.items() if v is not None}
    if limits and option.type in ("list[int]", "list[float]"):
        kind, limits = list[Annotated[get_args(kind)[0], Field(**limits)]], {}
    kind = Annotated[kind, Field(description=option.help, **limits)]
    if option.required:
        return kind, ...
    return (kind | None if option.default is None else kind), option.default


def options_model(name: str, options: Mapping[str, Option], base: type[Section] = Section) -> type[Section]:
    """Return the pydantic model of a registered thing's options."""
    return create_model(name, __base__=base, **{key: _field(option) for key, option in options.items()})


@functools.cache
def fixed_keys() -> dict[str, list[str]]:
    """Return the fixed keys of each section by the section's dotted name."""
    return {"": list(RecipeModel.model_fields), "fit": list(Fit.model_fields), "data": [*Data.model_fields, "tests"]}
