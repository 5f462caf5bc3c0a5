"""Schema of recipes: the fixed keys as pydantic models, and the options of registered things.

Every key of a recipe is defined here, except the options of models, losses, sources, samplers and
callbacks (in their specs) and of Keras's optimizers and schedules (keras_names.py).
"""

import functools
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    field_validator,
    model_validator,
)

from kvzoo import catalog
from kvzoo.options import STRICT
from kvzoo.registry import TaskSpec

Named = dict[str, Any]

ADDRESSES = ("http://", "https://", "s3://")  # of remote paths


class Section(BaseModel):
    """A section of a recipe: unknown keys and wrong types are errors."""

    model_config = ConfigDict(**STRICT)


class Data(Section):
    """Keys of `data`, in addition to the options of its source."""

    source: Annotated[str, Field(description="where videos come from: a registered source")]
    group: Annotated[
        str | None, Field(description="regular expression for the part of a path that must stay in one split")
    ] = None
    validation: Annotated[
        Annotated[float, Field(ge=0, lt=1)] | list[str],
        Field(description="fraction of the groups to hold out, or their names"),
    ] = 0.2
    fps: Annotated[float | None, Field(gt=0, description="frames per second to resample to")] = None
    short: Annotated[
        Literal["drop", "repeat_last", "loop"], Field(description="how to treat videos that are too short")
    ] = "drop"
    sampler: Annotated[Named | None, Field(description="cuts a video into examples; by default the loss's own")] = None

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
    """Keys of `model`, in addition to the options of the model."""

    weights: Annotated[
        str | None,
        Field(description="run folder or .keras file; layers of the same name and shape start with its weights"),
    ] = None
    trainable: Annotated[
        Literal["all", "head"], Field(description="which layers to train; head: those after the feature layer")
    ] = "all"


def mode_of(name: str, mode: str = "auto", task: TaskSpec | None = None) -> str:
    """Return "max" if a higher value of a metric is better, else "min": `mode`, or by the name if it is "auto".

    Args:
        name: a column of history.csv.
        mode: "auto", "min" or "max".
        task: of the run, whose figures count first.

    Raises:
        ValueError: the mode is "auto" and no figure of that name is known.

    Example:

        >>> from kvzoo.recipe.schema import mode_of
        >>> mode_of("val_psnr"), mode_of("loss"), mode_of("my_score", "max")
        ('max', 'min', 'max')
    """
    if mode != "auto":
        return mode
    if which := catalog.better(name, task):
        return {"higher": "max", "lower": "min"}[which]
    raise ValueError(f"{name}: cannot tell from the name whether higher is better; set mode to min or max")


Mode = Annotated[
    Literal["auto", "min", "max"], Field(description="whether lower or higher is better; auto: by the name")
]


def _tells_its_mode(section):
    mode_of(section.monitor, section.mode)
    return section


class Best(Section):
    """Keys of `fit.best`; the metric's name alone is enough."""

    monitor: Annotated[str, Field(description="a column of history.csv, such as val_psnr")]
    mode: Mode = "auto"
    _tells = model_validator(mode="after")(_tells_its_mode)


class EarlyStopping(Section):
    """Keys of `fit.early_stopping`, those of keras.callbacks.EarlyStopping; an epoch is an interval of sample_every."""

    monitor: Annotated[str, Field(description="a column of history.csv")] = "val_loss"
    min_delta: Annotated[float, Field(ge=0, description="smallest change that counts as an improvement")] = 0.0
    patience: Annotated[int, Field(ge=0, description="intervals without improvement before training stops")] = 0
    mode: Mode = "auto"
    baseline: Annotated[float | None, Field(description="value to improve on")] = None
    start_from_epoch: Annotated[int, Field(ge=0, description="intervals before monitoring begins")] = 0
    _tells = model_validator(mode="after")(_tells_its_mode)


class Fit(Section):
    """Keys of `fit`."""

    steps: Annotated[PositiveInt | None, Field(description="training steps")] = None
    epochs: Annotated[PositiveInt | None, Field(description="passes over the training videos, instead of steps")] = None
    batch_size: Annotated[PositiveInt, Field(description="examples per step")] = 16
    optimizer: Annotated[Named | None, Field(description="a Keras optimizer; by default the model's own")] = None
    l2: Annotated[
        float | None, Field(ge=0, description="factor of the weights added to the gradient (torch's weight_decay)")
    ] = None
    seed: Annotated[int, Field(ge=0, lt=2**31, description="seed for weights, noise and data")] = 0
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
    keep: Annotated[PositiveInt, Field(description="number of latest checkpoints to keep")] = 3
    best: Annotated[Best | None, Field(description="a metric; its best checkpoint is kept too")] = None
    early_stopping: Annotated[
        EarlyStopping | None, Field(description="stop when a metric no longer improves; Keras's settings")
    ] = None
    validation_freq: Annotated[PositiveInt, Field(description="intervals of sample_every between validations")] = 1
    validation_clips: Annotated[PositiveInt, Field(description="held-out examples per validation")] = 128

    @field_validator("precision", mode="before")
    @classmethod
    def _keeps_weights(cls, precision: Any) -> Any:
        if precision in ("float16", "bfloat16"):
            raise ValueError(
                f"must be 'float32', 'mixed_float16' or 'mixed_bfloat16': weights in {precision} lose small updates; "
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
        list[Literal["tensorboard"]],
        Field(description="also write metrics to these trackers; a plugin's tracker is a callback"),
    ] = []


class Lock(BaseModel):
    """The record of a run in its recipe lock; further keys are for people to read."""

    model_config = ConfigDict(strict=True)

    recipe: str | None = None
    data: str | None = None
    classes: list[str] | None = None
    videos: dict[str, int | dict[str, int | float]] = {}
    origins: dict[str, str] = {}


@functools.cache
def fixed_keys() -> dict[str, list[str]]:
    """Return the fixed keys of each section by the section's dotted name."""
    sections = {"": RecipeModel, "fit": Fit, "data": Data, "fit.best": Best, "fit.early_stopping": EarlyStopping}
    keys = {name: list(section.model_fields) for name, section in sections.items()}
    return {**keys, "data": [*keys["data"], "tests"]}
