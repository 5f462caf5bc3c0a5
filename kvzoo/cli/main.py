"""`kvzoo`: the entry point, which answers signals before it loads anything, and turns errors into exit codes."""

import os
import sys

from kvzoo.signals import INTERRUPTED, command


def main() -> None:
    """Entry point: exit codes are 0 done, 1 our fault, 2 the user's input, 3 training failed, 130 interrupted."""
    _open_closed()
    command.begin()
    from kvzoo.cli.terminal import lost, prepare, refuse

    prepare()
    try:
        code = _run(refuse)
    except BaseException:
        # Whatever a library has made of the interruption.
        if not command.received:
            raise
        code = INTERRUPTED
    if command.received:
        command.end()
    if code == 0 and (why := lost()):
        code = refuse(f"standard output could not be written: {why}", 2)
    sys.exit(code)


def _open_closed() -> None:
    """Open what of the standard streams is closed: the next file to be opened would take its place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        if getattr(sys, name) is None:
            stream = open(number, "r" if number == 0 else "w", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def _run(refuse) -> int:
    """Run the verb; return the exit code."""
    import click

    from kvzoo.cli.group import in_one_line
    from kvzoo.cli.verbs import cli
    from kvzoo.errors import InputError, KvzooError

    try:
        with command.working():
            return cli.main(prog_name="kvzoo", standalone_mode=False) or 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help(), err=True)
        return error.exit_code
    except click.ClickException as error:
        return refuse(in_one_line(error), error.exit_code)
    except KvzooError as error:
        return refuse(str(error), error.exit_code)
    except FileNotFoundError as error:
        if "temporary directory" not in str(error):
            raise
        return refuse(f"{error.strerror}; set TMPDIR to a folder that can be written to", InputError.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED if command.received else refuse("Interrupted", INTERRUPTED)
