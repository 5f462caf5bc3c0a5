"""`kvzoo bench`: speed and memory of models on this machine."""

import csv
import dataclasses
import io
import json
from pathlib import Path

import click

from kvzoo import catalog
from kvzoo.cli.group import verb
from kvzoo.cli.options import as_json, backend, out_file, overwrite
from kvzoo.errors import InputError, did_you_mean

COLUMNS = {
    "model": "{0.model}",
    "batch": "{0.batch_size}",
    "parameters": "{0.parameters:,}",
    "GMACs": "{1:.2f}",
    "first step": "{0.first_step_s:.1f} s",
    "step": "{0.step_s:.3f} s",
    "of matrix rate": "{0.train_share:.0%}",
    "clips/s": "{0.clips_s:.1f}",
    "memory": "{0.peak_memory_mb:.0f} MB",
}


@verb(renamed={"--csv": "--out"})
@click.argument("pattern", default="*")
@out_file("CSV file to write all columns to.", required=False)
@overwrite
@as_json
@backend
def command(pattern: str, out: str | None, overwrite: bool, as_json: bool) -> None:
    """Measure the models that match PATTERN (default: all), each at the size and batch size of its recipe.

    "of matrix rate" is the share of this machine's float32 matrix-product rate that a training step reaches.
    """
    names = catalog.MODELS.names(pattern)
    if not names:
        raise InputError(f"no model matches {pattern!r}{did_you_mean(pattern, catalog.MODELS.names())}")
    if out:
        from kvzoo.apps.outputs import check_file

        check_file(out, (Path(out).suffix.lower(),), overwrite)
    from kvzoo.testing.bench import Cost, measure_in_process

    widths = [max(len(title), 9) for title in COLUMNS]
    widths[0] = max(map(len, names))
    costs: list[Cost] = []
    for name in names:
        click.echo(f"measuring {name} ({len(costs) + 1} of {len(names)}) …", err=True)
        costs.append(cost := measure_in_process(name))
        if out:
            _write(Path(out), costs)  # an interrupted run keeps what it has
        if not as_json:
            if len(costs) == 1:
                click.echo(f"{cost.processor}, {cost.cores} cores, {cost.matrix_gflops:.0f} GFLOP/s; ", nl=False)
                click.echo(f"{cost.backend} {cost.backend_version}, oneDNN {cost.onednn}, memory {cost.allocator}")
                click.echo(_line(list(COLUMNS), widths))
            click.echo(_line([text.format(cost, cost.macs / 1e9) for text in COLUMNS.values()], widths))
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(cost) for cost in costs], indent=2))


def _line(cells: list[str], widths: list[int]) -> str:
    first, *rest = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
    return "  ".join([f"{first.strip():<{widths[0]}}", *rest])


def _write(file: Path, costs: list) -> None:
    from kvzoo.media.clips import written_whole

    rows = [dataclasses.asdict(cost) for cost in costs]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    with written_whole(file) as part:
        part.write_text(text.getvalue(), encoding="utf-8", newline="")
