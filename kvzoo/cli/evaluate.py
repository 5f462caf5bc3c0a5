"""`kvzoo evaluate`: how good a run's model is, and under which conditions."""

import json
import math
from collections.abc import Iterable

import click

from kvzoo import catalog
from kvzoo.cli.terminal import backend_starts
from kvzoo.recipe.text import parse_pairs
from kvzoo.run.evaluate import Asked, Evaluation, check

CLIPS = {entry.name: entry.spec.clips for entry in catalog.TASKS.offered() if entry.distribution == "kvzoo"}


@click.command()
@click.argument("run", type=click.Path())
@click.option(
    "--data",
    "given",
    multiple=True,
    metavar="KEY=VALUE",
    help="Evaluate other data: a key of a recipe's data, such as path=new_clips. May be repeated.",
)
@click.option(
    "--clips",
    type=click.IntRange(min=1),
    help=f"Clips to read at most; {', '.join(f'{count} for {task}' for task, count in CLIPS.items())} when left out.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of a generator's noise.")
@click.option("--judge", type=click.Path(), help="Run of a classifier, to judge the classes of generated clips.")
@click.option("--json", "as_json", is_flag=True, help="An object with run, metrics and conditions.")
def command(run: str, given: tuple[str, ...], clips: int | None, seed: int, judge: str | None, as_json: bool) -> None:
    """Measure the model of RUN, a run folder, on the clips that its recipe held out."""
    data = parse_pairs(given, "--data", "path=new_clips")
    asked = Asked(seed, judge)
    check(run, data, asked)
    with backend_starts():
        from kvzoo.run.evaluate import evaluate

    evaluation = evaluate(run, data, clips, asked)
    click.echo(_as_json(run, evaluation) if as_json else _as_table(evaluation))


def _as_json(run: str, evaluation: Evaluation) -> str:
    # JSON has no NaN.
    metrics = {name: value if math.isfinite(value) else None for name, value in evaluation.metrics.items()}
    record = {"run": run, "metrics": metrics, "conditions": evaluation.conditions}
    return json.dumps(record | ({"frames": evaluation.frames} if evaluation.frames else {}), indent=2, allow_nan=False)


def _as_table(evaluation: Evaluation) -> str:
    conditions = dict(evaluation.conditions)
    measures = conditions.pop("measures")
    width = max(map(len, [*evaluation.metrics, *conditions]))
    return "\n".join(
        [
            *(f"{name:<{width}}  {value:>8.4g}  {measures[name]}" for name, value in evaluation.metrics.items()),
            *_table_of_frames(evaluation.frames),
            "",
            "conditions",
            *(f"{name:<{width}}  {value}" for name, value in conditions.items()),
        ]
    )


def _table_of_frames(rows: list[dict]) -> list[str]:
    """Return a line for each frame that is made, a column for each figure of the model, the baselines and the truth."""
    if not rows:
        return []
    columns = [(name, figure) for name, figures in rows[0].items() if name != "time" for figure in figures]
    columns.sort(key=lambda column: ("psnr", "ssim", "sharpness").index(column[1]))
    widths = [max(len(name), 9) for name, _ in columns]

    def line(first: str, cells: Iterable[str]) -> str:
        return "  ".join([f"{first:<5}", *(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))])

    return [
        "",
        line("", (figure for _, figure in columns)),
        line("frame", (name for name, _ in columns)),
        *(line(str(row["time"]), (f"{row[name][figure]:.4g}" for name, figure in columns)) for row in rows),
    ]
