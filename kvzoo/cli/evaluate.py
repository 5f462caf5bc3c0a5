"""`kvzoo evaluate`: metrics of a trained model, with the conditions they were measured under."""

import json
import math
from collections.abc import Iterable

import click

from kvzoo.cli.group import verb
from kvzoo.cli.options import as_json, backend, data, seed
from kvzoo.cli.terminal import backend_starts
from kvzoo.recipe.text import parse_pairs
from kvzoo.run.evaluate import Evaluation, EvaluationOptions, check_request


@verb()
@click.argument("run", type=click.Path())
@data("Evaluate on other data, by a key of a recipe's data section, e.g. path=new_clips.")
@click.option(
    "--clips",
    type=click.IntRange(min=1),
    help="Maximum clips (default: 512 for generators and classifiers, else 128).",
)
@seed("Seed for the generator's noise.", default=0, show_default=True)
@click.option(
    "--judge", type=click.Path(), metavar="RUN", help="Run of a classifier that scores the classes of generated clips."
)
@as_json
@backend
def command(run: str, pairs: tuple[str, ...], clips: int | None, seed: int, judge: str | None, as_json: bool) -> None:
    """Evaluate the model of RUN, a run folder, on held-out clips."""
    data = parse_pairs(pairs, "--data", "path=new_clips")
    options = EvaluationOptions(seed, judge)
    check_request(run, data, options)
    with backend_starts():
        from kvzoo.run.evaluate import evaluate

    evaluation = evaluate(run, data, clips, options)
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
    """Return a line per predicted frame, with a column per metric of the model, the baselines and the ground truth."""
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
