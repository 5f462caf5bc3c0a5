"""What a recipe may say: its fixed keys as pydantic models, and options of registered things.

Every key of a recipe is defined here, but for the options of models, losses, sources, samplers and
callbacks (in their specs) and of Keras's optimizers and schedules (keras_names.py).
"""

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    create_model,
    field_validator,
    model_validator,
)

from kvzoo import catalog
from kvzoo.registry import Option, TaskSpec

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


def mode_of(name: str, mode: str = "auto", task: TaskSpec | None = None) -> str:
    """Return "max" where a higher value of a metric is better, "min" where a lower one is; `mode` if it says.

    Args:
        name: a column of history.csv.
        mode: "auto", "min" or "max".
        task: of the run, whose figures count first.

    Raises:
        ValueError: neither the mode nor a figure of that name tells.
    """
    if mode != "auto":
        return mode
    if which := catalog.better(name, task):
        return {"higher": "max", "lower": "min"}[which]
    raise ValueError(f"{name}: whether more of it is better cannot be told from its name; mode: min or max says it")


Mode = Annotated[Literal["auto", "min", "max"], Field(description="which is better; auto: as the name tells")]


def _tells_its_mode(section):
    mode_of(section.monitor, section.mode)
    return section


class Best(Section):
    """Keys of `fit.best`; the metric's name alone will do."""

    monitor: Annotated[str, Field(description="a column of history.csv, such as val_psnr")]
    mode: Mode = "auto"
    _tells = model_validator(mode="after")(_tells_its_mode)


class EarlyStopping(Section):
    """Keys of `fit.early_stopping`, as keras.callbacks.EarlyStopping has them; its epochs are intervals of sample_every."""

    monitor: Annotated[str, Field(description="a column of history.csv")] = "val_loss"
    min_delta: Annotated[float, Field(ge=0, description="less than this is no improvement")] = 0.0
    patience: Annotated[int, Field(ge=0, description="intervals without improvement before it stops")] = 0
    mode: Mode = "auto"
    baseline: Annotated[float | None, Field(description="what has to be improved on")] = None
    start_from_epoch: Annotated[int, Field(ge=0, description="intervals before it begins to watch")] = 0
    _tells = model_validator(mode="after")(_tells_its_mode)


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
        Literal["float32", "mixed_float16", "mixed_bfloat16"], Field(description="Keras's dtype policy")
    ] = "float32"
    jit_compile: Annotated[
        bool | Literal["auto"], Field(description="XLA; auto: on a GPU and on JAX, not on a CPU")
    ] = "auto"
    sample_every: Annotated[
        PositiveInt, Field(description="steps between samples, validations and rows of history")
    ] = 200
    checkpoint_every: Annotated[PositiveInt, Field(description="steps between checkpoints")] = 200
    keep: Annotated[PositiveInt, Field(description="checkpoints that stay: the last ones")] = 3
    best: Annotated[Best | None, Field(description="a metric; the checkpoint where it was best stays too")] = None
    early_stopping: Annotated[
        EarlyStopping | None, Field(description="stops where a metric gets no better; Keras's own settings")
    ] = None
    validation_freq: Annotated[PositiveInt, Field(description="intervals of sample_every between validations")] = 1
    validation_clips: Annotated[PositiveInt, Field(description="held-out examples that each validation reads")] = 128

    @field_validator("precision", mode="before")
    @classmethod
    def _keeps_weights(cls, precision: Any) -> Any:
        if precision in ("float16", "bfloat16"):
            raise ValueError(
                f"'float32', 'mixed_float16' or 'mixed_bfloat16' is required: weights in {precision} lose small updates, "
                f"mixed_{precision} computes in it and keeps weights in float32"
            )
        return precision

    @field_validator("best", mode="before")
    @classmethod
    def _by_name(cls, best: Any) -> Any:
        return {"monitor": best} if isinstance(best, str) else best


class RecipeModel(Section):
    """The top level of a recipe."""

    model: Annotated[Named, Field(description="a registered model and its options")]
    loss: Annotated[Named | None, Field(description="a registered loss and its options")] = None
    data: Annotated[dict[str, Any], Field(description="where clips come from")]
    fit: Annotated[Fit, Field(description="how the model is trained")]
    callbacks: Annotated[list[Named], Field(description="registered callbacks and their options")] = []
    track: Annotated[
        list[Literal["tensorboard"]], Field(description="where figures go too; a plugin's tracker is a callback")
    ] = []


class Lock(BaseModel):
    """What a run's lock file says of the run; anything more is for people to read."""

    model_config = ConfigDict(strict=True)

    recipe: str | None = None
    data: str | None = None
    classes: list[str] | None = None
    videos: dict[str, int | dict[str, int | float]] = {}
    origins: dict[str, str] = {}


_TYPES = {
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


def _size(option: Option) -> BeforeValidator:
    """Return the check of an integer or a pair of them; a pair becomes a list, as in YAML."""
    limits = (
        f"of at least {option.minimum}" if option.minimum is not None else "",
        f"divisible by {option.multiple_of}" if option.multiple_of else "",
    )
    legal = (
        f"an integer or [height, width]{', ' if any(limits) else ''}{' and '.join(filter(None, limits))}, is required"
    )

    def check(value: Any) -> Any:
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

    return BeforeValidator(check)


def _field(option: Option) -> tuple[Any, Any]:
    """Return the pydantic type and default of an option."""
    kind: Any = _TYPES[option.type]
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


def options_model(name: str, options: Mapping[str, Option], base: type[Section] = Section) -> type[Section]:
    """Return the pydantic model of a registered thing's options."""
    return create_model(name, __base__=base, **{key: _field(option) for key, option in options.items()})


@functools.cache
def fixed_keys() -> dict[str, list[str]]:
    """Return the fixed keys of each section by the section's dotted name."""
    sections = {"": RecipeModel, "fit": Fit, "data": Data, "fit.best": Best, "fit.early_stopping": EarlyStopping}
    keys = {name: list(section.model_fields) for name, section in sections.items()}
    return {**keys, "data": [*keys["data"], "tests"]}
