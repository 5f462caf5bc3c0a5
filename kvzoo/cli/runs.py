"""`kvzoo runs`: the runs of a folder."""

import json
from dataclasses import asdict

import click

from kvzoo.cli.group import verb
from kvzoo.cli.options import as_json
from kvzoo.run.listing import runs


@verb()
@click.argument("folder", type=click.Path(), default="runs")
@as_json
def command(folder: str, as_json: bool) -> None:
    """List the runs in FOLDER (default: runs): model, state, steps and best metric."""
    listed = runs(folder)
    if as_json:
        click.echo(json.dumps([{**asdict(run), "path": str(run.path)} for run in listed], indent=2))
        return
    if not listed:
        click.echo(f"kvzoo: no runs in {folder}", err=True)
        return
    lines = [("run", "model", "state", "steps", "best")]
    for run in listed:
        of = f"/{run.state.steps}" if run.state.steps else ""
        best = run.problem or (f"{run.best[0]} {run.best[2]:.4g} at step {run.best[1]}" if run.best else "-")
        if run.state.state == "failed" and run.state.message:
            best += f"; {run.state.message}"
        lines.append((str(run.path), run.model, run.state.state, f"{run.state.step}{of}", best))
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    for line in lines:
        click.echo("  ".join([*(cell.ljust(width) for cell, width in zip(line[:4], widths, strict=True)), line[4]]))
