"""`kvzoo list`: the registered models, from specs and package metadata alone."""

import json

import click

from kvzoo import catalog


@click.command()
@click.argument("pattern", default="*")
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
def command(pattern: str, as_json: bool) -> None:
    """Print the registered models that match PATTERN (wildcards), built-ins first."""
    rows = []
    for name, entry in zip(catalog.MODELS.names(pattern), catalog.MODELS.entries(pattern), strict=True):
        spec = entry.spec
        rows.append(
            {
                "name": name,
                "kind": spec.kind if spec else None,
                "loss": spec.loss if spec else None,
                "distribution": entry.distribution,
                "version": entry.version or None,
                "summary": spec.summary if spec else None,
            }
        )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo(f"no model matches {pattern!r}", err=True)
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        what = (
            f"{row['kind']:<13}  {row['summary']}"
            if row["kind"]
            else f"of the plugin {row['distribution']} {row['version']}"
        )
        click.echo(f"{row['name']:<{width}}  {what}")
