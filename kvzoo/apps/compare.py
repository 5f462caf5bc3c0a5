"""Compare runs: one table, and one page that plays their outputs on the same clips side by side.

A column has figures only if they were measured under the same conditions.
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
from kvzoo.apps.outputs import check_creatable
from kvzoo.errors import InputError
from kvzoo.files import writing, written_whole
from kvzoo.media.charts import chart
from kvzoo.media.pages import render, webp
from kvzoo.recipe.resolve import Recipe
from kvzoo.run import evaluate as evaluation
from kvzoo.run.folder import RunFolder

CLIPS = 4
MOST = 8  # clips on a page
PAGE = "compare.html"
PICTURES = 4_700_000  # characters of images on a page, which thus stays under 5 MB
GAP = 2  # pixels between images

# Quality is comparable if these are equal; the other conditions of an evaluation only explain differences.
QUALITY = ("frames", "image_size", "channels", "value_range", "precision", "clips", "pixels", "measures")
EXPLAINS = ("part", "source", "path", "csv", "groups", "videos", "fps", "short", "crop", "resize", "choice")
# What time and memory of a run depend on, in addition to its model.
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
    Column("step_s", "time per step (s)", "{:.3g}", "lower"),
    Column("peak_memory_mb", "peak RAM (MiB)", "{:,.0f}", "lower"),
    Column("wall_s", "wall time (s)", "{:,.0f}", "lower"),
)
COSTS = ("step_s", "peak_memory_mb", "wall_s")


@dataclass(frozen=True)
class Row:
    """One run of a comparison.

    Attributes:
        name: short name, unique in the comparison.
        run: the run folder as passed.
        model: registered name of its model.
        figures: figures by the columns' keys; None if unknown or not comparable.
        code_shape: shape of the code of one clip; None for a model without a feature layer.
        curve: steps and held-out PSNR of its history.
        output: uint8 (N, T, H, W, C), its outputs for the comparison's clips.
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
    """A comparison of runs.

    Attributes:
        rows: one per run, in order.
        conditions: conditions shared by all quality figures.
        notes: what is missing in the table or the curves and why, and what has changed since training.
        clips: held-out clips, uint8 (N, T, H, W, C).
        fps: frames per second of the clips.
        columns: of the table, behind the runs' names.
    """

    rows: list[Row]
    conditions: dict[str, Any]
    notes: list[str]
    clips: np.ndarray = field(repr=False)
    fps: float
    columns: tuple[Column, ...] = ()


def check_request(runs: Sequence[str | os.PathLike], out: str | os.PathLike) -> list[Recipe]:
    """Validate the arguments without Keras and return the runs' recipes.

    Raises:
        InputError: fewer than two runs, a duplicate or invalid run, no held-out clips, clips of different sizes, or
            `out` is not a folder.
    """
    if len(runs) < 2:
        raise InputError(f"compare: at least 2 runs are required. Received: {', '.join(map(str, runs)) or 'none'}")
    paths: dict[Path, str | os.PathLike] = {}
    for run in runs:
        path = Path(run).resolve()
        if path in paths:
            raise InputError(f"compare: {run} is the same run as {paths[path]}")
        paths[path] = run
    recipes = [evaluation.check_request(run, verb="compare")[0] for run in runs]
    _same(runs, [recipe["model"] for recipe in recipes], recipes)
    check_creatable(out, f"--out {out}")
    return recipes


def compare(runs: Sequence[str | os.PathLike], clips: int = CLIPS, out: str | os.PathLike = ".") -> Comparison:
    """Evaluate runs on the clips that all of them held out.

    Args:
        runs: at least two run folders.
        clips: number of clips on the page, 1 to 8. Figures are measured on as many as in `evaluate`.
        out: folder for the page; only checked here.

    Raises:
        InputError: as for `check_request`, or quality was measured under different conditions.
    """
    from kvzoo import zoo
    from kvzoo.data.pipeline import open_data
    from kvzoo.losses.base import to_uint8
    from kvzoo.run.history import History
    from kvzoo.tasks.samples import fixed_clips

    recipes = check_request(runs, out)
    if not 1 <= clips <= MOST:
        raise InputError(f"clips: must be from 1 to {MOST}. Received: {clips}")
    evaluations = [evaluation.evaluate(run) for run in runs]
    conditions = [record.conditions for record in evaluations]
    _same(runs, conditions, recipes)

    names, notes = _names(runs), []
    for name, record in zip(names, conditions, strict=True):
        if "warning" in record:
            notes.append(f"{name}: {record['warning']}")
    timings = [_timing(run) for run in runs]
    costs = [
        {**{key: recipe["fit"][key] for key in COST if key in recipe["fit"]}, **{k: v[k] for k in COST if k in v}}
        for recipe, v in zip(recipes, timings, strict=True)
        if v
    ]
    if differ := _differences(costs, COST):
        notes.append(f"time per step, peak RAM and wall time are omitted, as they are not comparable: {differ}")
        timings = [{} for _ in runs]
    curve_conditions = [
        {**{key: recipe["fit"][key] for key in CURVE}, "data": record.get("warning")}
        for recipe, record in zip(recipes, conditions, strict=True)
    ]
    histories = [History(RunFolder(run), upto=math.inf) for run in runs]
    curves = [history.curve("val_psnr") for history in histories]
    if differ := _differences(curve_conditions, (*CURVE, "data")):
        notes.append(f"quality over steps is omitted, as the runs are not comparable: {differ}")
        curves = [([], []) for _ in runs]

    columns = (*_quality_columns(recipes), *SIZES_AND_COSTS)
    rows, shown_clips = [], None
    for i, (run, recipe) in enumerate(zip(runs, recipes, strict=True)):
        model = zoo.load(run, precision="float32")  # as `evaluate` measures it
        if shown_clips is None:
            data = open_data(recipe["data"], model.clip_shapes, recipe["fit"]["seed"])
            shown_clips, fps = fixed_clips(data.validation).clips[:clips], data.validation.videos[0].fps
        layer = recipe.model_spec.feature_layer
        code_shape = tuple(model.network.get_layer(layer).output.shape[1:]) if layer else None
        values = {
            **evaluations[i].metrics,
            **{key: timings[i].get(key) for key in COSTS},
            "parameters": sum(math.prod(variable.shape) for variable in model.network.trainable_variables),
            "code_size": math.prod(code_shape) if code_shape else None,
            "steps": histories[i].rows[-1]["step"] if histories[i].rows else None,
        }
        figures = {column.key: _finite(values.get(column.key)) for column in columns}
        output = np.concatenate([to_uint8(model.predict_on_batch(clip[None])) for clip in shown_clips])
        rows.append(Row(names[i], str(run), recipe.model_spec.name, figures, code_shape, curves[i], output))
    return Comparison(
        rows, {k: v for k, v in conditions[0].items() if k != "warning"}, notes, shown_clips, fps, columns
    )


def _quality_columns(recipes: Sequence[Recipe]) -> list[Column]:
    """Return the figures of the runs' tasks that have a title, in the tasks' order."""
    tasks = [catalog.task_of(recipe.model_spec, recipe.loss_spec) for recipe in recipes]
    figures = [f for task in tasks for f in (*task.figures, *(spec.figure for spec in catalog.metrics_of(task)))]
    columns = {f.name: Column(f.name, f.title, f.form, f.better) for f in figures[::-1] if f.title}
    return list(columns.values())[::-1]


def _same(runs: Sequence, conditions: list[dict], recipes: list[Recipe]) -> None:
    """Check that the quality of the runs was measured under equal conditions; the error names the others."""
    for i in range(1, len(runs)):
        pair = [conditions[0], conditions[i]]
        keys = [key for key in QUALITY if all(key in c for c in pair) and pair[0][key] != pair[1][key]]
        if not keys:
            continue
        reasons = [_differences(pair, [key for key in keys if key != "pixels"])]
        # Different sizes explain different pixels.
        if keys == ["pixels"]:
            reasons += ["the held-out clips", _differences(pair, EXPLAINS), _differences(_data(recipes[0], recipes[i]))]
        raise InputError(
            f"{runs[0]} and {runs[i]} were measured under different conditions: {', '.join(filter(None, reasons))}"
        )


def _data(*recipes: Recipe) -> list[dict]:
    """Return the `data` values of recipes that an evaluation's conditions do not contain."""
    return [
        {**{f"data.{k}": v for k, v in recipe["data"].items() if k not in EXPLAINS}, "fit.seed": recipe["fit"]["seed"]}
        for recipe in recipes
    ]


def _differences(conditions: Sequence[dict], keys: Sequence[str] | None = None) -> str:
    """Return the keys in which dicts differ, with their values: 'seed (0, 1)'."""
    keys = dict.fromkeys(key for record in conditions for key in record) if keys is None else keys
    parts = []
    for key in keys:
        values = list(dict.fromkeys(str(record.get(key)) for record in conditions))
        if len(values) > 1:
            parts.append(f"{key} ({', '.join(values)})")
    return ", ".join(parts)


def _names(runs: Sequence[str | os.PathLike]) -> list[str]:
    paths = [Path(run).resolve() for run in runs]
    names = [path.relative_to(RunFolder(path).path.parent).as_posix() for path in paths]
    return names if len(set(names)) == len(names) else [str(run) for run in runs]


def _timing(run: str | os.PathLike) -> dict:
    """Return the recorded costs of a run; {} for a run of a version that recorded none."""
    try:
        return json.loads((RunFolder(run).path / "timing.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"{run}: timing.json is broken: {error}") from None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def cells(comparison: Comparison) -> list[list[str]]:
    """Return the table as text, one list per row, without titles."""
    return [
        [
            row.name,
            *("-" if (v := row.figures[c.key]) is None else c.form.format(v) for c in comparison.columns),
        ]
        for row in comparison.rows
    ]


def write_page(comparison: Comparison, out: str | os.PathLike) -> Path:
    """Write the comparison as a self-contained page, and return its path.

    Args:
        comparison: the result of `compare`.
        out: a folder, created if it does not exist.
    """
    rows, clips = comparison.rows, comparison.clips
    gain = _gain(clips, rows)
    # A short clip at its own rate would flicker: a loop lasts at least a second and a half.
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
        with written_whole(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
    return path


def _error(clips: np.ndarray, output: np.ndarray) -> np.ndarray:
    return np.abs(clips.astype(np.int16) - output)


def _gain(clips: np.ndarray, rows: Sequence[Row]) -> int:
    """Return the greatest gain of 1, 2, 4, 8, 16 that clips at most one value in 200 of the errors."""
    greatest = max(np.percentile(_error(clips, row.output), 99.5) for row in rows)
    return max(gain for gain in (1, 2, 4, 8, 16) if gain == 1 or gain * greatest <= 255)


def _pictures(comparison: Comparison, gain: int, rate: float) -> tuple[list[tuple[str, str]], bool]:
    """Return the clips that fit on a page, as pairs of data URIs (animated, still), and whether they are lossless."""
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
    """Return one image of a clip, (T, 2 H + gap, (N + 1) W + gaps, 4): input and outputs, with their errors below.

    It is one image because a browser does not keep several synchronised.
    """
    _, height, width, _ = clip.shape
    picture = np.zeros((len(clip), 2 * height + GAP, (1 + len(outputs)) * (width + GAP) - GAP, 4), np.uint8)
    errors = [np.minimum(gain * _error(clip, output), 255) for output in outputs]
    for column, (above, below) in enumerate([(clip, None), *zip(outputs, errors, strict=True)]):
        across = slice(column * (width + GAP), column * (width + GAP) + width)
        for frames, down in ((above, slice(0, height)), (below, slice(height + GAP, None))):
            if frames is not None:
                picture[:, down, across, :3] = frames
                picture[:, down, across, 3] = 255
    return picture
