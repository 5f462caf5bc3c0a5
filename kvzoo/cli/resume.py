"""`kvzoo resume`: goes on with a run that was cut."""

import click

from kvzoo.cli.terminal import backend_starts
from kvzoo.run.folder import RunFolder


@click.command()
@click.argument("run", type=click.Path())
@click.option(
    "-o", "overrides", multiple=True, metavar="KEY=VALUE", help="A change that is meant, such as fit.steps=2000."
)
@click.option("--new-data", is_flag=True, help="Go on though the data is not what it was.")
def command(run: str, overrides: tuple[str, ...], new_data: bool) -> None:
    """Go on with RUN, a run folder, from its newest checkpoint."""
    RunFolder(run).recipe(overrides)
    with backend_starts():
        from kvzoo.run.fit import resume

    resume(run, overrides, new_data=new_data)
