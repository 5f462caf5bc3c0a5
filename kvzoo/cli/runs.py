"""`kvzoo runs`: the runs of a folder."""

import json
from dataclasses import asdict

import click

from kvzoo.run.listing import runs


@click.command()
@click.argument("folder", type=click.Path(), default="runs")
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
def command(folder: str, as_json: bool) -> None:
    """List the runs in FOLDER (runs/ when left out): model, state, steps, and the best figure of each."""
    found = runs(folder)
    if as_json:
        click.echo(json.dumps([{**asdict(run), "path": str(run.path)} for run in found], indent=2))
        return
    lines = [("run", "model", "state", "steps", "best")]
    for run in found:
        of = f"/{run.state.steps}" if run.state.steps else ""
        best = run.problem or (f"{run.best[0]} {run.best[2]:.4g} at step {run.best[1]}" if run.best else "-")
        if run.state.state == "failed" and run.state.message:
            best += f"; {run.state.message}"
        lines.append((str(run.path), run.model, run.state.state, f"{run.state.step}{of}", best))
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    for line in lines:
        click.echo("  ".join([*(cell.ljust(width) for cell, width in zip(line[:4], widths, strict=True)), line[4]]))
