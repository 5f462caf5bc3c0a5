"""`kvzoo report`: a run's page, made again."""

import click

from kvzoo.run.report import report


@click.command()
@click.argument("run", type=click.Path())
def command(run: str) -> None:
    """Make report.html of RUN, a run folder, again: samples, curves, figures, recipe, on one page."""
    click.echo(report(run))
