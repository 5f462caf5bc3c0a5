"""`kvzoo explain`: a recipe with every value and its origin."""

import json

import click

from kvzoo.cli.group import verb
from kvzoo.cli.options import as_json, overrides
from kvzoo.recipe.explain import as_yaml, explained
from kvzoo.recipe.resolve import load
from kvzoo.recipe.text import dotted


@verb()
@click.argument("recipe")
@overrides("Override a recipe value, e.g. fit.steps=50.")
@click.option("--smoke", is_flag=True, help="Explain what `kvzoo fit --smoke` would run.")
@as_json
def command(recipe: str, overrides: tuple[str, ...], smoke: bool, as_json: bool) -> None:
    """Show RECIPE (a file, the name of a shipped recipe, or a run's lock file) with every default filled in.

    Each value is followed by its origin: a place in a file, the command line, or the default of a model, loss or source.
    """
    resolved = load(recipe, overrides, smoke, check_paths=False)
    if as_json:
        rows = [{"key": dotted(keys), "value": value, "origin": at} for keys, value, at in explained(resolved)]
        click.echo(json.dumps(rows, indent=2))
    else:
        click.echo(as_yaml(resolved), nl=False)
