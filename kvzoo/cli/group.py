"""Groups of commands, and what is said where there is no command or option of a name."""

import difflib

import click

from kvzoo.errors import did_you_mean


class Group(click.Group):
    """A group that names the nearest of its commands where there is none of a name."""

    def resolve_command(self, context: click.Context, args: list[str]):
        name = args[0]
        if self.get_command(context, name) is None and not name.startswith("-"):
            hint = did_you_mean(name, self.list_commands(context))
            raise click.UsageError(f"No such command {name!r}{hint}", context)
        return super().resolve_command(context, args)


def in_one_line(error: click.ClickException) -> str:
    """Return what a user of the command line did wrong, with the nearest option where there is none of a name."""
    message, context = error.format_message(), getattr(error, "ctx", None)
    if context is None:
        return message
    if isinstance(error, click.NoSuchOption):
        message = f"No such option {error.option_name}{_nearest(error.option_name, context.command)}"
    return f"{message} (try `{context.command_path} --help`)"


def _nearest(name: str, command: click.Command) -> str:
    """Return '; did you mean --smoke?' for the options near to a name; a recipe's settings count as options."""
    shown = {"help": "--help"} | {
        option.lstrip("-"): option for parameter in command.params for option in parameter.opts
    }
    if "overrides" in (parameter.name for parameter in command.params):
        from kvzoo.recipe.schema import Fit

        shown |= {key: f"-o fit.{key}=…" for key in Fit.model_fields if key not in shown}
    # Compared without dashes, which would make all options alike.
    near = difflib.get_close_matches(name.lstrip("-"), shown, n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(shown[each] for each in near)}?" if near else ""
