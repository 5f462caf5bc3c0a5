"""Options that verbs share: one name, one meaning."""

import importlib.util
import logging
import os
import sys

import click

from kvzoo.cli.terminal import set_level
from kvzoo.errors import InputError

BACKENDS = ("tensorflow", "jax", "torch")
LEVELS = {"quiet": logging.WARNING, "verbose": logging.DEBUG}


def overrides(help: str, name: str = "overrides"):
    """-o, --set KEY=VALUE: override a value; may be repeated."""
    return click.option("-o", "--set", name, multiple=True, metavar="KEY=VALUE", help=f"{help} May be repeated.")


def data(help: str):
    """--data KEY=VALUE: a value of a recipe's data section; may be repeated."""
    return click.option("--data", "pairs", multiple=True, metavar="KEY=VALUE", help=f"{help} May be repeated.")


def out_file(help: str, required: bool = True):
    """--out FILE."""
    return click.option("--out", type=click.Path(), metavar="FILE", required=required, help=help)


def out_folder(help: str, **settings):
    """--out DIR."""
    return click.option("--out", type=click.Path(), metavar="DIR", help=help, **settings)


def seed(help: str, **settings):
    """--seed N."""
    return click.option("--seed", type=click.IntRange(min=0), help=help, **settings)


overwrite = click.option("--overwrite", is_flag=True, help="Replace existing files.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _choose_backend(context: click.Context, _, name: str | None) -> None:
    """Set KERAS_BACKEND before anything imports Keras."""
    if name is None or context.resilient_parsing:
        return
    if importlib.util.find_spec(name) is None:
        raise InputError(f"--backend {name}: not installed; pip install 'kvzoo[{name}]'")
    if "keras" in sys.modules and (loaded := sys.modules["keras"].backend.backend()) != name:
        raise InputError(f"--backend {name}: Keras is already loaded with {loaded}")
    os.environ["KERAS_BACKEND"] = name


backend = click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    expose_value=False,
    is_eager=True,
    callback=_choose_backend,
    metavar="NAME",
    help="Keras backend: tensorflow, jax or torch (default: KERAS_BACKEND, else keras.json).",
)


def _choose_level(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if not value or context.resilient_parsing:
        return
    # `meta` is one for the root and its verbs.
    if context.meta.setdefault("kvzoo.level", parameter.name) != parameter.name:
        raise click.UsageError("--quiet and --verbose exclude each other", context)
    set_level(LEVELS[parameter.name])


def verbosity() -> list[click.Option]:
    """Return the options -q and -v."""
    settings = {"is_flag": True, "is_eager": True, "expose_value": False, "callback": _choose_level}
    return [
        click.Option(["-q", "--quiet"], help="Show only results, warnings and errors.", **settings),
        click.Option(["-v", "--verbose"], help="Show debug messages.", **settings),
    ]
