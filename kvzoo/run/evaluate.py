"""What a run's model is worth: figures on clips that it has not seen, and the conditions they hold under."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kvzoo import catalog
from kvzoo.errors import InputError
from kvzoo.recipe.resolve import Recipe, check_data
from kvzoo.run.evaluators import CLIPS, EVALUATORS, Asked, add_speed_baselines, speediness
from kvzoo.run.folder import RunFolder

if TYPE_CHECKING:
    from kvzoo.data.pipeline import Clips
    from kvzoo.run.speed_baselines import Features

CACHE_BYTES = 64 << 20  # of decoded frames: examples lie side by side, and no frame is read twice


@dataclass(frozen=True)
class Evaluation:
    """Figures, and what they were measured on and how.

    Attributes:
        metrics: figures by name; NaN where there is none.
        frames: of translators, a row for each frame that is made: "time", counted from the first frame of an example,
            and for the model and each trivial baseline its figures.
        conditions: plain JSON values. Figures compare where the conditions are the same; "measures" says what
            each figure is, and "warning" is there only if something is not as it was when the run was made.
    """

    metrics: dict[str, float]
    conditions: dict[str, Any]
    frames: list[dict[str, Any]] = field(default_factory=list)


def evaluate(
    run: str | os.PathLike,
    data: Mapping[str, Any] | None = None,
    clips: int | None = None,
    asked: Asked | None = None,
) -> Evaluation:
    """Measure a run's model on the groups that its recipe held out, or on other data.

    Args:
        run: a run folder.
        data: keys of a recipe's `data` laid over the run's own, such as {"path": "new_clips"}; all that they
            name is then evaluated.
        clips: how many examples at most; the same ones for the same data and seed. As many as CLIPS says for the
            kind of model when None.
        asked: of generators only.

    Raises:
        InputError: no run, no model yet, a kind of model without an evaluation, unknown keys of data, nothing
            held out, no data.

    Example:

        >>> import kvzoo
        >>> evaluation = kvzoo.evaluate("runs/latest", clips=2)
        >>> evaluation.metrics["psnr"] > 0, evaluation.conditions["clips"]
        (True, 2)
    """
    asked = asked or Asked()
    recipe, section = check(run, data, asked)
    kind = recipe.model_spec.kind
    clips = CLIPS[kind] if clips is None else clips
    if clips < 1:
        raise InputError(f"clips: at least 1 is wanted. Received: {clips}")
    from kvzoo import zoo
    from kvzoo.data.pipeline import open_data
    from kvzoo.run.fit import fingerprint
    from kvzoo.run.speed_baselines import Features

    # One precision for all runs, whatever they were trained in.
    model = zoo.load(run, precision="float32")
    classes = recipe.lock.get("classes", model.wanted_classes)
    opened = open_data(section, model.clip_shapes, recipe["fit"]["seed"], classes)
    part = opened.training if data else opened.validation
    evaluator = EVALUATORS[kind] if recipe["loss"]["name"] != "binary_speed" else speediness
    # Other data says nothing of what the run was trained on, which the baselines are fitted on.
    beside_baselines = evaluator is speediness and not data
    parts = {"": part} | {f"test_{name}_": test for name, test in opened.tests.items()}
    features = {prefix: Features() for prefix in parts} if beside_baselines else {}
    examples = {prefix: Examples(each, clips, features.get(prefix)) for prefix, each in parts.items()}
    batch_size = recipe["fit"]["batch_size"]
    measured = evaluator(model, part, examples[""], batch_size, asked)
    for name, test in opened.tests.items():
        found = evaluator(model, test, examples[f"test_{name}_"], batch_size, asked)
        for metric, value in found.metrics.items():
            measured.metrics[f"test_{name}_{metric}"] = value
            measured.measures[f"test_{name}_{metric}"] = f"the same of the test set {name}"
    if beside_baselines:
        training = Features()
        for batch in Examples(opened.training, clips).batches(batch_size):
            training.add(*batch)
        add_speed_baselines(measured, training, features)

    rates = sorted({video.fps for video in part.videos})
    conditions = {
        "part": "all that --data names" if data else "held-out groups",
        **_of_source(section),
        "fingerprint": part.source.fingerprint() if data else fingerprint(opened),
        "groups": len({video.group for video in part.videos}),
        "videos": len(part.videos),
        "skipped": len(opened.skipped) + len(part.broken),
        "clips": examples[""].count,
        "choice": "windows side by side, spread evenly over the videos and their length",
        # Of the pixels themselves: what neither names nor lengths tell, it tells.
        "pixels": examples[""].pixels(),
        **_of_shapes(model),
        "fps": " to ".join(f"{rate:g}" for rate in dict.fromkeys((rates[0], rates[-1]))),
        "short": section["short"],
        **({"classes": list(part.classes)} if part.classes else {}),
        **measured.conditions,
        **{
            f"test_{name}": f"{examples[f'test_{name}_'].count} clips of {len(test.videos)} videos, "
            f"source {section['tests'][name]['source']}, fingerprint {test.source.fingerprint()}"
            for name, test in opened.tests.items()
        },
        "precision": "float32",
        "measures": measured.measures,
    }
    warning = _reused(recipe, section) if data else _changed(recipe, conditions["fingerprint"])
    return Evaluation(measured.metrics, conditions | ({"warning": warning} if warning else {}), measured.frames)


class Examples:
    """Fixed examples of one part that are read as they are measured, and never all held.

    Args:
        part: of the data.
        limit: examples at most.
        features: what the baselines need of the examples is added here as they go by.

    Attributes:
        count: clips that the last pass read.
    """

    def __init__(self, part: "Clips", limit: int, features: "Features | None" = None):
        from kvzoo.data.pipeline import FixedExamples

        part.source.cache_bytes = CACHE_BYTES
        self._part, self._fixed, self._features = part, FixedExamples(part, limit), features
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
            if self._features:
                self._features.add(*batch)
            yield batch

    def pixels(self) -> str:
        """Return a hash over all first clips, then all second ones, of the examples that the last pass read."""
        for place in range(1, len(self._part.shapes)):
            # One pass cannot give the order; what it takes is less than what measuring takes.
            for batch in self._fixed.batches(1):
                self._digest.update(batch[place])
        return self._digest.hexdigest()[:16]


def check(
    run: str | os.PathLike, data: Mapping[str, Any] | None = None, asked: Asked | None = None, verb: str = "evaluate"
) -> tuple[Recipe, dict]:
    """Return a run's recipe and the `data` section to evaluate; refuses what can be refused without Keras."""
    kinds = ("reconstructor",) if verb == "compare" else EVALUATORS
    recipe = RunFolder(run).trained(verb, kinds, check_paths=not data)
    if asked and asked.judge is not None:
        _check_judge(recipe, RunFolder(asked.judge).trained("--judge", ("classifier",)))
    if data:
        return recipe, laid_over(recipe, data)
    if not recipe["data"]["validation"]:
        raise InputError(
            f"{run}: its recipe holds nothing out; --data, such as --data path=new_clips, names other clips"
        )
    return recipe, recipe["data"]


def _check_judge(recipe: Recipe, judge: Recipe) -> None:
    classes, known = recipe.lock.get("classes"), judge.lock.get("classes")
    if not classes:
        raise InputError(f"--judge: {recipe.model_spec.name} was trained without labels, so no class can be asked for")
    if classes != known:
        raise InputError(f"--judge: knows the classes {', '.join(known or ())}, the run has {', '.join(classes)}")


def laid_over(recipe: Recipe, data: Mapping[str, Any]) -> dict:
    """Return a run's `data` section with other keys laid over it, checked; nothing of it is held out."""
    for key in ("validation", "tests"):
        if key in data:
            raise InputError(f"data.{key}: has no use here: all that --data names is evaluated")
    kept = dict(recipe["data"])
    if data.get("source", kept["source"]) != kept["source"]:
        kept = {key: kept[key] for key in ("fps", "short", "sampler")}
    if "path" in data:
        kept.pop("csv", None)  # It lists what is in the other folder.
    return check_data({**kept, "group": None, **data, "validation": 0.0, "tests": {}}, recipe.loss_spec)


def _of_source(section: dict) -> dict[str, str]:
    """Where clips came from, and what was done to them on the way to the model's size."""
    files = "path" in catalog.SOURCES.get(section["source"]).options
    return {
        "source": section["source"],
        **{key: section[key] for key in ("path", "target_path", "csv") if section.get(key)},
        "crop": "the centred square" if files else "none, drawn square",
        "resize": "area averaging down, bilinear up (OpenCV)" if files else "none, drawn at this size",
    }


def _of_shapes(model) -> dict[str, int | str]:
    """How large examples are."""
    (frames, height, width, channels), *more = model.clip_shapes
    image_size = height if height == width else f"{height}x{width}"
    if not more:
        return {"frames": frames, "image_size": image_size, "channels": channels}
    names = {"frames_in": frames, "frames_out": more[0][0], "image_size": image_size, "channels": channels}
    return names | ({"channels_out": more[0][-1]} if more[0][-1] != channels else {})


def _changed(recipe: Recipe, now: str) -> str | None:
    known = recipe.lock.get("data")
    if known in (None, now):
        return None
    return f"the data changed since the run (its fingerprint was {known}): other groups may be held out than were then"


def _reused(recipe: Recipe, section: dict) -> str | None:
    if any(section.get(key) != recipe["data"].get(key) for key in ("source", "path", "seed")):
        return None
    return "the run's own data, read in another way: videos that it was trained on may be among them"
