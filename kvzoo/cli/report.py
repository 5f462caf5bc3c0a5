"""`kvzoo report`: the report page of a run, rebuilt."""

import click

from kvzoo.cli.group import verb
from kvzoo.cli.terminal import say
from kvzoo.run.report import report


@verb()
@click.argument("run", type=click.Path())
def command(run: str) -> None:
    """Rebuild report.html of RUN, a run folder: samples, curves, figures and recipe on one page."""
    say(str(report(run)))
