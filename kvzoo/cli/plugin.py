"""`kvzoo plugin`: the state of installed plugins, the start of a new one, the battery for a model."""

import json
import logging
from dataclasses import asdict

import click

from kvzoo import catalog
from kvzoo.cli.group import Group
from kvzoo.errors import InputError, PluginError
from kvzoo.registry import KINDS


@click.group(cls=Group)
def command() -> None:
    """Make plugins and look after them."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
@click.option("--quick", is_flag=True, help="Import specs only; build nothing.")
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=120, show_default=True, help="Seconds that one may take."
)
def list_(as_json: bool, quick: bool, timeout: float) -> None:
    """Load what plugins offer, each in a process of its own, and print what became of it."""
    import os

    from kvzoo.plugins.states import in_words, states

    rows = list(states(quick, timeout))
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
    elif not rows:
        click.echo("no plugin is installed; `kvzoo plugin new NAME` starts one", err=True)
    else:
        for row, line in in_words(rows):
            click.secho(line, fg={"broken": "red", "blocked": "yellow"}.get(row.state))
    broken = [row for row in rows if row.state == "broken"]
    if broken and os.environ.get("KVZOO_STRICT") == "1":
        raise PluginError(f"{len(broken)} of {len(rows)} names of plugins are broken, such as {broken[0].name!r}")


@command.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(list(KINDS)), default="reconstructor", show_default=True)
@click.option("--out", type=click.Path(), help="Its folder; NAME when left out.")
def new(name: str, kind: str, out: str | None) -> None:
    """Write the distribution NAME, such as wave-ae: a small model that installs, trains and passes its tests."""
    from kvzoo.plugins.new import create

    folder, files = create(name, kind, out)
    for file in files:
        click.echo(f"  {folder / file}")
    model = name.replace("-", "_")
    click.echo(
        f"next: cd {folder} && pip install -e '.[test]' && kvzoo fit {model} --smoke && kvzoo plugin check {model} && pytest"
    )


@command.command()
@click.argument("name")
@click.option("--row", "rows", multiple=True, help="Run this row only, and print the traceback of a failure.")
@click.option("--json", "as_json", is_flag=True, help="An object for each model: its rows.")
def check(name: str, rows: tuple[str, ...], as_json: bool) -> None:
    """Put the model NAME, or every model of the distribution NAME, through the battery."""
    from kvzoo.testing import ROWS

    for row in rows:
        if row not in ROWS:
            raise InputError(f"--row {row}: one of {', '.join(ROWS)} is wanted")
    names = _models_of(name)
    from kvzoo.cli.terminal import backend_starts

    with backend_starts():
        from kvzoo.testing.rows import Battery
    # Many small models are traced here, which TensorFlow takes for a mistake.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    battery, failed, found = Battery(*names), [], {}
    for model in names:
        if not as_json:
            click.echo(f"{model} ({len(rows or ROWS)} rows)")
        found[model] = []
        for result in battery.results(model, rows or tuple(ROWS)):
            found[model].append(result)
            failed += [(model, result.row)] * (result.state == "failed")
            if not as_json:
                _show(model, result, bool(rows))
    if as_json:
        plain = {m: [{k: v for k, v in asdict(r).items() if k != "trace"} for r in f] for m, f in found.items()}
        click.echo(json.dumps(plain, indent=2))
    if failed:
        said = ", ".join(row if len(names) == 1 else f"{model} {row}" for model, row in failed)
        raise InputError(f"plugin check: {name} fails {len(failed)} of {sum(map(len, found.values()))} rows: {said}")


def _models_of(name: str) -> list[str]:
    """Return the model of that name, or all of a distribution's."""
    from kvzoo.registry import same_name

    theirs = [e for e in catalog.MODELS.entries() if same_name(e.distribution, name)]
    if theirs and not any(e.name == name for e in catalog.MODELS.entries()):
        return [f"{e.distribution}:{e.name}" if e.entry_point else e.name for e in theirs]
    catalog.MODELS.get(name)
    return [name]


def _show(model: str, result, trace: bool) -> None:
    from kvzoo.testing import ROWS

    colour = {"ok": "green", "failed": "red"}.get(result.state, "yellow")
    remark = f" ({result.detail})" if result.detail and result.state != "failed" else ""
    click.echo(f"  {click.style(f'{result.state:<7}', fg=colour)}  {result.row:<10}  {ROWS[result.row]}{remark}")
    if result.state == "failed":
        click.echo(f"           {result.detail}")
        click.echo(result.trace if trace else f"           see it: kvzoo plugin check {model} --row {result.row}")
