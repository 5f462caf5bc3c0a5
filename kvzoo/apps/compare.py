"""Runs side by side: one table, and one page on which their outputs of the same clips move together.

Figures stand in one column only where they were measured under the same conditions.
"""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kvzoo import catalog
from kvzoo.apps.outputs import check_makeable
from kvzoo.errors import InputError
from kvzoo.media.charts import chart
from kvzoo.media.clips import writing, written_whole
from kvzoo.media.pages import render, webp
from kvzoo.recipe.resolve import Recipe
from kvzoo.run import evaluate as evaluation
from kvzoo.run.folder import RunFolder

CLIPS = 4
MOST = 8  # clips on a page
PAGE = "compare.html"
PICTURES = 4_700_000  # characters of pictures on a page, which so stays under 5 MB
GAP = 2  # pixels between pictures

# Quality compares where these are the same; the rest of an evaluation's conditions only explains a difference.
QUALITY = ("frames", "image_size", "channels", "value_range", "precision", "clips", "pixels", "measures")
EXPLAINS = ("part", "source", "path", "csv", "groups", "videos", "fps", "short", "crop", "resize", "choice")
# What the seconds and the memory of a run depend on beside its model.
COST = ("backend", "device", "cores", "batch_size", "precision", "jit_compile")
CURVE = ("validation_clips", "precision")


@dataclass(frozen=True)
class Column:
    """A column of the table: the key of its figures, its title, how a figure is written, and what is better."""

    key: str
    title: str
    form: str
    better: str = ""


# What stands in the table behind the figures of the task.
SIZES_AND_COSTS = (
    Column("parameters", "parameters", "{:,}"),
    Column("code_size", "code size", "{:,}"),
    Column("steps", "steps", "{:,}"),
    Column("step_s", "s a step", "{:.3g}", "lower"),
    Column("peak_memory_mb", "peak memory, MiB", "{:,.0f}", "lower"),
    Column("wall_s", "wall time, s", "{:,.0f}", "lower"),
)
COSTS = ("step_s", "peak_memory_mb", "wall_s")


@dataclass(frozen=True)
class Row:
    """What is known of one run.

    Attributes:
        name: short, and its own in the comparison.
        run: the folder as it was given.
        model: its registered name.
        figures: by the columns' keys; None where there is none, or none that compares.
        code_shape: of the code of one clip; None for a model without a feature layer.
        curve: steps and held-out PSNR of its history.
        output: uint8 (N, T, H, W, C), of the comparison's clips.
    """

    name: str
    run: str
    model: str
    figures: dict[str, float | None]
    code_shape: tuple[int, ...] | None
    curve: tuple[list[int], list[float]]
    output: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Comparison:
    """Runs that compare.

    Attributes:
        rows: in the order of the runs.
        conditions: that all quality figures share.
        notes: what was left out of the table or the curves and why, and what is not as it was.
        clips: held-out clips, uint8 (N, T, H, W, C).
        fps: of the clips.
        columns: of the table, behind the runs' names.
    """

    rows: list[Row]
    conditions: dict[str, Any]
    notes: list[str]
    clips: np.ndarray = field(repr=False)
    fps: float
    columns: tuple[Column, ...] = ()


def check(runs: Sequence[str | os.PathLike], out: str | os.PathLike) -> list[Recipe]:
    """Return the runs' recipes; refuses what can be refused without Keras.

    Raises:
        InputError: fewer than two runs, one named twice, no run, nothing held out, clips of different sizes, an
            `out` that is no folder.
    """
    if len(runs) < 2:
        raise InputError(f"compare: at least two runs are wanted. Received: {', '.join(map(str, runs)) or 'none'}")
    seen: dict[Path, str | os.PathLike] = {}
    for run in runs:
        path = Path(run).resolve()
        if path in seen:
            raise InputError(f"compare: {run} is the same run as {seen[path]}")
        seen[path] = run
    recipes = [evaluation.check(run, verb="compare")[0] for run in runs]
    _same(runs, [recipe["model"] for recipe in recipes], recipes)
    check_makeable(out, f"--out {out}")
    return recipes


def compare(runs: Sequence[str | os.PathLike], clips: int = CLIPS, out: str | os.PathLike = ".") -> Comparison:
    """Measure runs on the clips that all of them held out.

    Args:
        runs: run folders, two or more.
        clips: how many to show, 1 to 8. Figures are of as many as `evaluate` takes.
        out: where the page will go; only looked at.

    Raises:
        InputError: what `check` refuses, or quality that was measured under different conditions.
    """
    from kvzoo import zoo
    from kvzoo.data.pipeline import open_data
    from kvzoo.losses.base import to_uint8
    from kvzoo.run.history import History
    from kvzoo.tasks.samples import fixed_clips

    recipes = check(runs, out)
    if not 1 <= clips <= MOST:
        raise InputError(f"clips: 1 to {MOST} are wanted. Received: {clips}")
    measured = [evaluation.evaluate(run) for run in runs]
    conditions = [each.conditions for each in measured]
    _same(runs, conditions, recipes)

    names, notes = _names(runs), []
    for name, each in zip(names, conditions, strict=True):
        if "warning" in each:
            notes.append(f"{name}: {each['warning']}")
    timings = [_timing(run) for run in runs]
    costs = [
        {**{key: recipe["fit"][key] for key in COST if key in recipe["fit"]}, **{k: v[k] for k in COST if k in v}}
        for recipe, v in zip(recipes, timings, strict=True)
        if v
    ]
    if differ := _differences(costs, COST):
        notes.append(f"seconds a step, peak memory and wall time are left out, for they do not compare: {differ}")
        timings = [{} for _ in runs]
    given = [
        {**{key: recipe["fit"][key] for key in CURVE}, "data": each.get("warning")}
        for recipe, each in zip(recipes, conditions, strict=True)
    ]
    histories = [History(RunFolder(run), upto=math.inf) for run in runs]
    curves = [history.curve("val_psnr") for history in histories]
    if differ := _differences(given, (*CURVE, "data")):
        notes.append(f"quality over steps is left out, for the runs do not compare: {differ}")
        curves = [([], []) for _ in runs]

    columns = (*_quality_columns(recipes), *SIZES_AND_COSTS)
    rows, shown = [], None
    for i, (run, recipe) in enumerate(zip(runs, recipes, strict=True)):
        model = zoo.load(run, precision="float32")  # as `evaluate` measures it
        if shown is None:
            data = open_data(recipe["data"], model.clip_shapes, recipe["fit"]["seed"])
            shown, fps = fixed_clips(data.validation).clips[:clips], data.validation.videos[0].fps
        layer = recipe.model_spec.feature_layer
        code_shape = tuple(model.network.get_layer(layer).output.shape[1:]) if layer else None
        values = {
            **measured[i].metrics,
            **{key: timings[i].get(key) for key in COSTS},
            "parameters": sum(math.prod(variable.shape) for variable in model.network.trainable_variables),
            "code_size": math.prod(code_shape) if code_shape else None,
            "steps": histories[i].rows[-1]["step"] if histories[i].rows else None,
        }
        figures = {column.key: _finite(values.get(column.key)) for column in columns}
        output = np.concatenate([to_uint8(model.predict_on_batch(clip[None])) for clip in shown])
        rows.append(Row(names[i], str(run), recipe.model_spec.name, figures, code_shape, curves[i], output))
    return Comparison(rows, {k: v for k, v in conditions[0].items() if k != "warning"}, notes, shown, fps, columns)


def _quality_columns(recipes: Sequence[Recipe]) -> list[Column]:
    """Return the figures of the runs' tasks that have a title, in the tasks' order."""
    tasks = [catalog.task_of(recipe.model_spec, recipe.loss_spec) for recipe in recipes]
    figures = [f for task in tasks for f in (*task.figures, *(spec.figure for spec in catalog.metrics_of(task)))]
    columns = {f.name: Column(f.name, f.title, f.form, f.better) for f in figures[::-1] if f.title}
    return list(columns.values())[::-1]


def _same(runs: Sequence, conditions: list[dict], recipes: list[Recipe]) -> None:
    """Refuse runs whose quality was measured under different conditions, naming the conditions."""
    for i in range(1, len(runs)):
        pair = [conditions[0], conditions[i]]
        keys = [key for key in QUALITY if all(key in c for c in pair) and pair[0][key] != pair[1][key]]
        if not keys:
            continue
        said = [_differences(pair, [key for key in keys if key != "pixels"])]
        # A size that differs explains pixels that differ.
        if keys == ["pixels"]:
            said += ["the held-out clips", _differences(pair, EXPLAINS), _differences(_data(recipes[0], recipes[i]))]
        raise InputError(
            f"{runs[0]} and {runs[i]} were measured under different conditions: {', '.join(filter(None, said))}"
        )


def _data(*recipes: Recipe) -> list[dict]:
    """Return what a recipe says of its clips, flat, but for what an evaluation's conditions say too."""
    return [
        {**{f"data.{k}": v for k, v in recipe["data"].items() if k not in EXPLAINS}, "fit.seed": recipe["fit"]["seed"]}
        for recipe in recipes
    ]


def _differences(conditions: Sequence[dict], keys: Sequence[str] | None = None) -> str:
    """Return the keys under which dicts differ, with their values: 'seed (0, 1)'."""
    keys = dict.fromkeys(key for each in conditions for key in each) if keys is None else keys
    said = []
    for key in keys:
        values = list(dict.fromkeys(str(each.get(key)) for each in conditions))
        if len(values) > 1:
            said.append(f"{key} ({', '.join(values)})")
    return ", ".join(said)


def _names(runs: Sequence[str | os.PathLike]) -> list[str]:
    paths = [Path(run).resolve() for run in runs]
    names = [path.relative_to(RunFolder(path).path.parent).as_posix() for path in paths]
    return names if len(set(names)) == len(names) else [str(run) for run in runs]


def _timing(run: str | os.PathLike) -> dict:
    """Return what the run noted of its costs; {} for one made before runs noted any."""
    try:
        return json.loads((RunFolder(run).path / "timing.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"{run}: timing.json is broken: {error}") from None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def cells(comparison: Comparison) -> list[list[str]]:
    """Return the table as text, a list a row, without titles."""
    return [
        [
            row.name,
            *("-" if (v := row.figures[c.key]) is None else c.form.format(v) for c in comparison.columns),
        ]
        for row in comparison.rows
    ]


def write_page(comparison: Comparison, out: str | os.PathLike) -> Path:
    """Write the comparison as one page that needs no other file, and return its path.

    Args:
        comparison: of `compare`.
        out: a folder, made if it is not there.
    """
    rows, clips = comparison.rows, comparison.clips
    gain = _gain(clips, rows)
    # A short clip in its own time would flicker: a round lasts a second and a half at least.
    rate = min(comparison.fps, max(2.0, clips.shape[1] / 1.5))
    pictures, lossless = _pictures(comparison, gain, rate)
    names = ", ".join(row.name for row in rows)
    page = render(
        "apps/compare.html.j2",
        rows=rows,
        names=names,
        columns=comparison.columns,
        cells=cells(comparison),
        conditions={k: v for k, v in comparison.conditions.items() if k != "measures"},
        measures=comparison.conditions["measures"],
        notes=comparison.notes,
        pictures=pictures,
        lossless=lossless,
        left_out=len(clips) - len(pictures),
        size=clips.shape[2],
        share=100 * GAP / ((1 + len(rows)) * (clips.shape[2] + GAP) - GAP),
        gain=gain,
        white=255 // gain,
        rate=f"{rate:.3g}",
        fps=f"{comparison.fps:.3g}",
        chart=chart([row.curve for row in rows]),
    )
    path = Path(out) / PAGE
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as beside:
            beside.write_text(page, encoding="utf-8")
    return path


def _error(clips: np.ndarray, output: np.ndarray) -> np.ndarray:
    return np.abs(clips.astype(np.int16) - output)


def _gain(clips: np.ndarray, rows: Sequence[Row]) -> int:
    """Return the greatest of 1, 2, 4, 8, 16 that all errors can be shown at with one value in 200 clipped."""
    greatest = max(np.percentile(_error(clips, row.output), 99.5) for row in rows)
    return max(gain for gain in (1, 2, 4, 8, 16) if gain == 1 or gain * greatest <= 255)


def _pictures(comparison: Comparison, gain: int, rate: float) -> tuple[list[tuple[str, str]], bool]:
    """Return as many clips as a page holds, each as data URIs (moving, still); and whether no bit of them is lost."""
    frames = [
        _side_by_side(clip, [row.output[i] for row in comparison.rows], gain) for i, clip in enumerate(comparison.clips)
    ]
    for lossless in (True, False):
        pictures = [(webp(f, rate, lossless), webp(f[len(f) // 2 :][:1], rate, lossless)) for f in frames]
        if sum(len(uri) for pair in pictures for uri in pair) <= PICTURES:
            return pictures, lossless
    while len(pictures) > 1 and sum(len(uri) for pair in pictures for uri in pair) > PICTURES:
        pictures.pop()
    return pictures, False


def _side_by_side(clip: np.ndarray, outputs: Sequence[np.ndarray], gain: int) -> np.ndarray:
    """Return one picture of a clip, (T, 2 H + gap, (N + 1) W + gaps, 4): input and outputs, their errors below.

    One picture, for a browser does not keep several in step.
    """
    _, height, width, _ = clip.shape
    picture = np.zeros((len(clip), 2 * height + GAP, (1 + len(outputs)) * (width + GAP) - GAP, 4), np.uint8)
    errors = [np.minimum(gain * _error(clip, output), 255) for output in outputs]
    for column, (above, below) in enumerate([(clip, None), *zip(outputs, errors, strict=True)]):
        across = slice(column * (width + GAP), column * (width + GAP) + width)
        for part, down in ((above, slice(0, height)), (below, slice(height + GAP, None))):
            if part is not None:
                picture[:, down, across, :3] = part
                picture[:, down, across, 3] = 255
    return picture
