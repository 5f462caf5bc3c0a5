"""`kvzoo fit`: a recipe becomes a run."""

import click

from kvzoo.cli.terminal import backend_starts
from kvzoo.recipe.resolve import load


@click.command()
@click.argument("recipe")
@click.option("-o", "overrides", multiple=True, metavar="KEY=VALUE", help="Set a recipe's key, such as fit.steps=50.")
@click.option("--out", type=click.Path(), help="The run folder; runs/RECIPE-N when left out.")
@click.option("--smoke", is_flag=True, help="Shrink steps, batch and network: under a minute.")
def command(recipe: str, overrides: tuple[str, ...], out: str | None, smoke: bool) -> None:
    """Train what RECIPE says: a YAML file, the name of a shipped recipe, or a run's lock file."""
    resolved = load(recipe, overrides, smoke)
    # What can be refused without Keras is refused before it is imported.
    from kvzoo.run.folder import planned

    planned(resolved.name, out)
    with backend_starts():
        from kvzoo.run.fit import fit

    fit(resolved, out=out)
