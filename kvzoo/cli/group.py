"""Verbs and groups of them, and the message where no command or option has a name."""

import difflib
import functools
from collections.abc import Mapping, Sequence

import click

from kvzoo.cli.options import verbosity
from kvzoo.errors import did_you_mean


class Verb(click.Command):
    """A verb: it has --quiet and --verbose, and still takes old spellings of its options.

    Args:
        renamed: the new spelling of each old one, such as {"--csv": "--out"}.
    """

    def __init__(self, *args, renamed: Mapping[str, str] | None = None, **settings):
        super().__init__(*args, **settings)
        self.renamed = dict(renamed or {})
        for parameter in self.params:
            # Click calls them INTEGER RANGE and FLOAT RANGE.
            if isinstance(parameter, click.Option) and isinstance(parameter.type, (click.IntRange, click.FloatRange)):
                parameter.metavar = parameter.metavar or (
                    "N" if isinstance(parameter.type, click.IntRange) else "NUMBER"
                )
        self.params += verbosity()

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(context, [*self._respelt(args, context.resilient_parsing)])

    def _respelt(self, args: Sequence[str], silent: bool) -> list[str]:
        """Return arguments with the new spellings of options; warn once for each old one."""
        options = args[: args.index("--")] if "--" in args else args
        for old, new in self.renamed.items():
            current = [new + arg[len(old) :] if arg.partition("=")[0] == old else arg for arg in options]
            if current != options and not silent:
                click.echo(f"kvzoo: {old} is deprecated; use {new}", err=True)
            options = current
        return [*options, *args[len(options) :]]


verb = functools.partial(click.command, cls=Verb)


class Group(click.Group):
    """A group that suggests the nearest of its commands where none has a name."""

    command_class = Verb

    def resolve_command(self, context: click.Context, args: list[str]):
        name = args[0]
        if self.get_command(context, name) is None and not name.startswith("-"):
            hint = did_you_mean(name, self.list_commands(context))
            raise click.UsageError(f"No such command {name!r}{hint}", context)
        return super().resolve_command(context, args)


def in_one_line(error: click.ClickException) -> str:
    """Return a usage error in one line, with the nearest option where none has a name."""
    message, context = error.format_message(), getattr(error, "ctx", None)
    if context is None:
        return message
    if isinstance(error, click.NoSuchOption):
        message = f"No such option {error.option_name}{_nearest(error.option_name, context.command)}"
    return f"{message} (try `{context.command_path} --help`)"


def _nearest(name: str, command: click.Command) -> str:
    """Return '; did you mean --smoke?' for the options near to a name; a recipe's settings count as options."""
    shown = {"help": "--help"} | {
        option.lstrip("-"): option
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
        if option.startswith("--")
    }
    if "overrides" in (parameter.name for parameter in command.params):
        from kvzoo.recipe.schema import Fit

        shown |= {key: f"-o fit.{key}=…" for key in Fit.model_fields if key not in shown}
    # Compared without dashes, which would make all options alike.
    near = difflib.get_close_matches(name.lstrip("-"), shown, n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(shown[each] for each in near)}?" if near else ""
