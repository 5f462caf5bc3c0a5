"""Verbs of plugins: entry points in the group kvzoo.commands, each a `click.Command`, imported when it is called."""

import os

import click

from kvzoo.errors import InputError, PluginError
from kvzoo.registry import COMMANDS, Entry, allowed, blocked, installed, same_name


def names(builtins: tuple[str, ...] = ()) -> dict[str, Entry]:
    """Return the verbs of plugins by the name that calls them, from package metadata alone.

    "distribution:name" calls one that shares its name with a built-in or another plugin. With KVZOO_STRICT=1 each is
    imported, so that a broken one is an error here.

    Raises:
        PluginError: with KVZOO_STRICT=1, one is broken.
    """
    entries = [entry for entry in installed(COMMANDS) if allowed(entry.distribution)]
    if os.environ.get("KVZOO_STRICT") == "1":
        for entry in entries:
            load(entry)
    taken = [*builtins, *(entry.name for entry in entries)]
    return {e.name if taken.count(e.name) == 1 else f"{e.distribution}:{e.name}": e for e in entries}


def find(name: str) -> Entry | None:
    """Return the verb that a name calls, without importing it; None where there is none.

    Raises:
        InputError: two plugins offer it, or KVZOO_PLUGINS blocks the one that does.
    """
    distribution, _, plain = name.rpartition(":")
    matches = [
        entry
        for entry in installed(COMMANDS)
        if entry.name == plain
        and allowed(entry.distribution)
        and (not distribution or same_name(entry.distribution, distribution))
    ]
    if len(matches) > 1:
        owners = " and ".join(entry.distribution for entry in matches)
        legal = " or ".join(f"{entry.distribution}:{plain}" for entry in matches)
        raise InputError(f"two plugins offer the command {name!r}, {owners}; use {legal}")
    if not matches and (reason := blocked(name, COMMANDS)):
        raise InputError(f"no such command {name!r}{reason}")
    return matches[0] if matches else None


def load(entry: Entry) -> click.Command:
    """Import a verb.

    Raises:
        PluginError: it does not import, or is no `click.Command`.
    """
    owner = f"the command {entry.name!r} of the plugin {entry.distribution} {entry.version}"
    try:
        command = entry.entry_point.load()
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise PluginError(f"{owner} cannot be loaded: {reason}") from error
    if not isinstance(command, click.Command):
        raise PluginError(f"{owner} must be a click.Command. Received: {type(command).__name__}")
    return command
