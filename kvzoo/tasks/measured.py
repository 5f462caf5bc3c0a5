"""Options and results of an evaluation. Standard library only."""

import os
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class EvaluationOptions:
    """Options for evaluating a generator.

    Attributes:
        seed: of the noise.
        judge: run folder of a classifier of the same classes, asked whether generated clips are of the class that
            was asked for.
    """

    seed: int = 0
    judge: str | os.PathLike | None = None


@dataclass(frozen=True)
class Measured:
    """What a task's evaluation returns.

    Attributes:
        metrics: figures by name, of those that the spec declares; NaN where there is none.
        conditions: under which they hold, plain JSON values; "value_range" is one.
        frames: of translators, a row for each frame that is made.
    """

    metrics: dict[str, float]
    conditions: dict[str, Any] = field(default_factory=dict)
    frames: list[dict[str, Any]] = field(default_factory=list)
