"""`kvzoo resume`: continues an interrupted run."""

import click

from kvzoo.cli.group import verb
from kvzoo.cli.options import backend, overrides
from kvzoo.cli.terminal import backend_starts
from kvzoo.run.folder import RunFolder


@verb()
@click.argument("run", type=click.Path())
@overrides("Override a recipe value, e.g. fit.steps=2000 to train longer.")
@click.option("--new-data", is_flag=True, help="Resume even if the data has changed.")
@backend
def command(run: str, overrides: tuple[str, ...], new_data: bool) -> None:
    """Resume RUN, a run folder, from its newest checkpoint."""
    RunFolder(run).recipe(overrides)
    with backend_starts():
        from kvzoo.run.fit import resume

    resume(run, overrides, new_data=new_data)
