"""`kvzoo explain`: a recipe with all its values, and where each comes from."""

import json

import click

from kvzoo.recipe.explain import as_yaml, explained
from kvzoo.recipe.resolve import load
from kvzoo.recipe.text import dotted


@click.command()
@click.argument("recipe")
@click.option("-o", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value, such as fit.steps=50.")
@click.option("--smoke", is_flag=True, help="As `kvzoo fit --smoke` would run it.")
@click.option("--json", "as_json", is_flag=True, help="A list of objects: key, value, origin.")
def command(recipe: str, overrides: tuple[str, ...], smoke: bool, as_json: bool) -> None:
    """Print a recipe (a file, the name of a shipped one, or a run's lock file) with every value that it leaves out.

    Behind each value stands its origin: a place in a file, the command line, or whose default it is.
    """
    resolved = load(recipe, overrides, smoke, check_paths=False)
    if as_json:
        rows = [{"key": dotted(keys), "value": value, "origin": at} for keys, value, at in explained(resolved)]
        click.echo(json.dumps(rows, indent=2))
    else:
        click.echo(as_yaml(resolved), nl=False)
