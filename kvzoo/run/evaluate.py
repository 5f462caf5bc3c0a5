"""Evaluate a run's model on held-out clips, and record the conditions."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kvzoo import catalog
from kvzoo.errors import InputError
from kvzoo.recipe.resolve import Recipe, check_data
from kvzoo.registry import TaskSpec
from kvzoo.run.folder import RunFolder
from kvzoo.tasks.measured import EvaluationOptions


@dataclass(frozen=True)
class Evaluation:
    """Figures, and the conditions under which they were measured.

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
    options: EvaluationOptions | None = None,
) -> Evaluation:
    """Measure a run's model on the groups that its recipe held out, or on other data.

    Args:
        run: a run folder.
        data: keys of a recipe's `data` laid over the run's own, such as {"path": "new_clips"}; all that they
            name is then evaluated.
        clips: how many examples at most; the same ones for the same data and seed. As many as the task says when None.
        options: of generators only.

    Raises:
        InputError: no run, no model yet, a task without an evaluation, unknown keys of data, nothing held out, no
            data.

    Example:

        >>> import kvzoo
        >>> evaluation = kvzoo.evaluate("runs/latest", clips=2)
        >>> evaluation.metrics["psnr"] > 0, evaluation.conditions["clips"]
        (True, 2)
    """
    options = options or EvaluationOptions()
    recipe, section = check_request(run, data, options)
    spec = catalog.task_of(recipe.model_spec, recipe.loss_spec)
    clips = spec.clips if clips is None else clips
    if clips < 1:
        raise InputError(f"clips: must be at least 1. Received: {clips}")
    from kvzoo import zoo
    from kvzoo.data.pipeline import open_data
    from kvzoo.run.fit import fingerprint
    from kvzoo.tasks.base import Examples, task_of

    # One precision for all runs, whatever they were trained in.
    model = zoo.load(run, precision="float32")
    classes = recipe.lock.get("classes", model.wanted_classes)
    opened = open_data(section, model.clip_shapes, recipe["fit"]["seed"], classes)
    part = opened.training if data else opened.validation
    task = task_of(model)
    parts = {"": part} | {f"test_{name}_": test for name, test in opened.tests.items()}
    # With other data there are no training clips to fit the baselines on.
    training = None if data else task.features()
    features = {} if training is None else {prefix: task.features() for prefix in parts}
    examples = {
        prefix: Examples(each, clips, features[prefix].add if features else None) for prefix, each in parts.items()
    }
    batch_size = recipe["fit"]["batch_size"]
    measured = {
        prefix: task.evaluate(model, each, examples[prefix], batch_size, options) for prefix, each in parts.items()
    }
    metrics = {f"{prefix}{name}": value for prefix, each in measured.items() for name, value in each.metrics.items()}
    more_conditions = dict(measured[""].conditions)
    if features:
        for batch in Examples(opened.training, clips).batches(batch_size):
            training.add(*batch)
        figures, more_conditions["baselines"] = task.fit_baselines(training, features)
        metrics |= {f"{prefix}{name}": value for prefix, each in figures.items() for name, value in each.items()}

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
        **more_conditions,
        **{
            f"test_{name}": f"{examples[f'test_{name}_'].count} clips of {len(test.videos)} videos, "
            f"source {section['tests'][name]['source']}, fingerprint {test.source.fingerprint()}"
            for name, test in opened.tests.items()
        },
        "precision": "float32",
        "measures": _meanings(spec, metrics, opened.tests),
    }
    warning = _reused(recipe, section) if data else _changed(recipe, conditions["fingerprint"])
    return Evaluation(metrics, conditions | ({"warning": warning} if warning else {}), measured[""].frames)


def check_request(
    run: str | os.PathLike,
    data: Mapping[str, Any] | None = None,
    options: EvaluationOptions | None = None,
    verb: str = "evaluate",
) -> tuple[Recipe, dict]:
    """Return a run's recipe and the `data` section to evaluate; refuses what can be refused without Keras."""
    recipe = RunFolder(run).trained(verb, check_paths=not data)
    if options and options.judge is not None:
        _check_judge(recipe, RunFolder(options.judge).trained("--judge"))
    if data:
        return recipe, laid_over(recipe, data)
    if not recipe["data"]["validation"]:
        raise InputError(
            f"{run}: its recipe holds nothing out; use --data, e.g. --data path=new_clips, to evaluate other clips"
        )
    return recipe, recipe["data"]


def _check_judge(recipe: Recipe, judge: Recipe) -> None:
    classes, known = recipe.lock.get("classes"), judge.lock.get("classes")
    if not classes:
        raise InputError(f"--judge: {recipe.model_spec.name} was trained without labels, so no class can be requested")
    if classes != known:
        raise InputError(
            f"--judge: was trained on the classes {', '.join(known or ())}, the run has {', '.join(classes)}"
        )


def laid_over(recipe: Recipe, data: Mapping[str, Any]) -> dict:
    """Return a run's `data` section with other keys laid over it, checked; nothing of it is held out."""
    for key in ("validation", "tests"):
        if key in data:
            raise InputError(f"data.{key}: not supported here: all clips of --data are evaluated")
    section = dict(recipe["data"])
    if data.get("source", section["source"]) != section["source"]:
        section = {key: section[key] for key in ("fps", "short", "sampler")}
    if "path" in data:
        section.pop("csv", None)  # It lists the files of the other folder.
    return check_data({**section, "group": None, **data, "validation": 0.0, "tests": {}}, recipe.loss_spec)


def _meanings(task: TaskSpec, metrics: Iterable[str], tests: Iterable[str]) -> dict[str, str]:
    """Return what each figure says, with its unit."""
    figures = {figure.name: figure.meaning for figure in task.figures}
    figures |= {spec.name: spec.figure.meaning for spec in catalog.metrics_of(task)}
    tests = {f"test_{test}_{name}": f"{name} on the test set {test}" for test in tests for name in figures}
    meanings = {**figures, **tests}
    return {name: meanings.get(name, "") for name in metrics}


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
    return f"the data has changed since the run (its fingerprint was {known}): other groups may be held out"


def _reused(recipe: Recipe, section: dict) -> str | None:
    if any(section.get(key) != recipe["data"].get(key) for key in ("source", "path", "seed")):
        return None
    return "the run's own data, read differently: it may include training videos"
