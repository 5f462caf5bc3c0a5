"""Runs of verbs within the test's own process."""

from click.testing import CliRunner

from kvzoo.cli.data import command


def run(*args) -> str:
    """Run `kvzoo data` in this process; the processes that it starts are real."""
    done = CliRunner().invoke(command, [str(arg) for arg in args], catch_exceptions=False, standalone_mode=False)
    return done.output
