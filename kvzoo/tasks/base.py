"""What a task is in code: the class that a TaskSpec names. Its figures, its apps and all else that needs no Keras the spec has.

A task of one's own is a subclass of Task that draws a sample and measures a model; `reconstruction.py` is a short one.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kvzoo import catalog
from kvzoo.data.pipeline import Clips, FixedExamples
from kvzoo.registry import TaskSpec
from kvzoo.tasks.measured import EvaluationOptions, Measured
from kvzoo.tasks.samples import Drawn, Shown

if TYPE_CHECKING:
    from kvzoo.losses.base import VideoModel

CACHE_BYTES = 64 << 20  # of decoded frames: examples lie side by side, and no frame is read twice


class Examples:
    """Fixed examples of one part of the data that are read as they are measured, and never all held.

    Args:
        clips: the part.
        limit: examples at most.
        look: called with the arrays of each batch as it goes by.

    Attributes:
        count: clips that the last pass read.
    """

    def __init__(self, clips: Clips, limit: int, look: Callable[..., None] | None = None):
        clips.source.cache_bytes = CACHE_BYTES
        self._clips, self._fixed, self._look = clips, FixedExamples(clips, limit), look
        self._digest, self.count = hashlib.sha256(), 0

    def batches(self, size: int) -> Iterator[tuple]:
        """Yield the examples as uint8 arrays, with their labels where they have some, in batches of `size`.

        Raises:
            InputError: none decodes.
        """
        self._digest, self.count = hashlib.sha256(), 0
        for batch in self._fixed.batches(size):
            self._digest.update(batch[0])
            self.count += len(batch[0])
            if self._look:
                self._look(*batch)
            yield batch

    def pixels(self) -> str:
        """Return a hash over all first clips, then all second ones, of the examples that the last pass read."""
        for place in range(1, len(self._clips.shapes)):
            # One pass cannot give the order; what it takes is less than what measuring takes.
            for batch in self._fixed.batches(1):
                self._digest.update(batch[place])
        return self._digest.hexdigest()[:16]


class ExtraMetrics:
    """The registered metrics of a task's evaluation, gathered batch by batch.

    Args:
        task: whose evaluation includes them.
    """

    def __init__(self, task: TaskSpec):
        self._functions = {spec.name: spec.load() for spec in catalog.metrics_of(task)}
        self._values: dict[str, list] = {name: [] for name in self._functions}

    def add(self, output: np.ndarray, target: np.ndarray) -> None:
        """Add a batch of what a model returned and of what it should have."""
        for name, function in self._functions.items():
            self._values[name].append(np.asarray(function(output, target), np.float64).reshape(len(output)))

    def means(self) -> dict[str, float]:
        """Return the mean of each metric over all examples."""
        return {name: float(np.concatenate(values).mean()) for name, values in self._values.items()}


class Task:
    """What models are trained for.

    A subclass overrides `draw` and `evaluate`; the rest has defaults that suit most tasks.

    Attributes:
        spec: the record that names it.
        repeatable: whether the same examples give the same loss each time; false where each evaluation draws noise.
    """

    repeatable = True

    def __init__(self, spec: TaskSpec):
        self.spec = spec

    # Samples while training

    def draw(self, model: "VideoModel", shown: Shown) -> Drawn:
        """Draw a sample: at least a picture, and an animation where it moves.

        Args:
            model: of this task.
            shown: what to show, the same through the whole run.
        """
        raise NotImplementedError(f"the task {self.spec.name} cannot draw samples")

    # Evaluation

    def evaluate(
        self, model: "VideoModel", clips: Clips, examples: Examples, batch_size: int, options: EvaluationOptions
    ) -> Measured:
        """Measure a model.

        Args:
            model: in float32.
            clips: the part of the data that the examples are of.
            examples: read in batches; holding them all takes too much memory.
            batch_size: the run's.
            options: of the evaluation, such as its seed.

        Returns:
            The figures that the spec declares.
        """
        raise NotImplementedError(f"the task {self.spec.name} has no evaluation")

    def features(self) -> Any:
        """Return an object whose `add` takes each batch's arrays, for baselines that are fitted; None without such."""
        return None

    def fit_baselines(self, training: Any, parts: Mapping[str, Any]) -> tuple[dict[str, dict[str, float]], str]:
        """Fit baselines on training examples and measure them.

        Args:
            training: `features` that has seen training examples.
            parts: by part of the data, the `features` that has seen its examples.

        Returns:
            Figures by part and name, and what the baselines were fitted on, in words.
        """
        return {part: {} for part in parts}, ""

    # What the battery checks

    def check_shapes(self, model: "VideoModel", inputs: tuple[int, ...], output: tuple[int, ...]) -> None:
        """Check that a network's shapes are what its configuration says.

        Args:
            model: at any configuration.
            inputs: shape of the first input that is a clip, without the batch; () where none is.
            output: shape of the network's output for a batch of 2.

        Raises:
            AssertionError: they are not.
        """

    def overfit(self, model: "VideoModel", examples: tuple[np.ndarray, ...]) -> tuple[float, float]:
        """Train a compiled model on eight examples over and over, and return the loss at first and in the end."""
        losses = loss_of(model.fit(*examples, epochs=60, batch_size=8, verbose=0).history)
        return losses[0], losses[-1]

    def outcome(self, model: "VideoModel", examples: tuple[np.ndarray, ...]) -> tuple[float, list[float] | None]:
        """Return numbers that must be the same on every backend for the same weights and examples.

        Returns:
            One number of the model as it is; and several more, or None where these are the losses before and after a
            training step.
        """
        return float(loss_of(model.evaluate(*examples, verbose=0, return_dict=True))), None


def task_of(model: "VideoModel") -> Task:
    """Return what a model is trained for."""
    spec = catalog.task_of(model.spec, catalog.LOSSES.get(model.loss_name))
    return spec.load()(spec)


def loss_of(logs: dict):
    """Return the loss of logs or of a history: of a GAN the generator's."""
    return logs["loss"] if "loss" in logs else logs["g_loss"]


def check_shape(model: "VideoModel", what: str, shape: tuple, legal: tuple) -> None:
    """Check a shape against one in which None stands for any number.

    Raises:
        AssertionError: it is another.
    """
    same = len(shape) == len(legal) and all(b is None or a == b for a, b in zip(shape, legal, strict=True))
    sizes = [key for key in ("frames", "frames_in", "frames_out", "image_size") if key in model.config]
    at = ", ".join(f"{key}={model.config[key]}" for key in sizes)
    words = ", ".join("any" if n is None else str(n) for n in legal)
    assert same, f"at {at}: {what} is {shape}; a {model.spec.kind}'s is ({words})"
