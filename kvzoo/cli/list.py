"""`kvzoo list`: the registered models, from specs and package metadata alone."""

import json

import click

from kvzoo import catalog
from kvzoo.cli.group import verb
from kvzoo.cli.options import as_json
from kvzoo.errors import did_you_mean


@verb()
@click.argument("pattern", default="*")
@as_json
def command(pattern: str, as_json: bool) -> None:
    """List the registered models that match PATTERN (wildcards; default: all), built-in ones first."""
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
    elif rows:
        width = max(len(row["name"]) for row in rows)
        for row in rows:
            description = (
                f"{row['kind']:<13}  {row['summary']}"
                if row["kind"]
                else f"from the plugin {row['distribution']} {row['version']}"
            )
            click.echo(f"{row['name']:<{width}}  {description}")
    if not rows:
        click.echo(f"kvzoo: no model matches {pattern!r}{did_you_mean(pattern, catalog.MODELS.names())}", err=True)
        raise click.exceptions.Exit(1)
