"""`kvzoo plugin`: creates, lists and checks plugins."""

import json
import logging
from dataclasses import asdict

import click

from kvzoo import catalog
from kvzoo.cli.group import Group
from kvzoo.cli.options import as_json, backend, out_folder
from kvzoo.cli.terminal import say
from kvzoo.errors import InputError, PluginError, did_you_mean
from kvzoo.progress import plural
from kvzoo.registry import KINDS


@click.group(cls=Group)
def command() -> None:
    """Create, list and check plugins."""


@command.command("list", short_help="List installed plugins and whether they load")
@as_json
@click.option("--quick", is_flag=True, help="Import specs only; do not build models.")
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=120, show_default=True, help="Time limit per name, in seconds."
)
@backend
def list_(as_json: bool, quick: bool, timeout: float) -> None:
    """List what plugins offer and whether it loads; each name is loaded in a process of its own."""
    import os

    from kvzoo.cli.verbs import VERBS
    from kvzoo.plugins.states import in_words, states

    rows = list(states(quick, timeout, verbs=VERBS))
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
    elif not rows:
        click.echo("no plugin is installed; `kvzoo plugin new NAME` creates one", err=True)
    else:
        for row, line in in_words(rows):
            click.secho(line, fg={"broken": "red", "blocked": "yellow"}.get(row.state))
    broken = [row for row in rows if row.state == "broken"]
    if broken and os.environ.get("KVZOO_STRICT") == "1":
        raise PluginError(f"{len(broken)} of {len(rows)} plugin names are broken, e.g. {broken[0].name!r}")


@command.command(short_help="Create a plugin")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(list(KINDS)),
    default="reconstructor",
    show_default=True,
    help="Kind of model to start from.",
)
@out_folder("Folder of the plugin (default: NAME).")
def new(name: str, kind: str, out: str | None) -> None:
    """Create the distribution NAME, e.g. wave-ae: a small model that installs, trains and passes its tests."""
    from kvzoo.plugins.new import create

    folder, files = create(name, kind, out)
    for file in files:
        say(f"  {folder / file}")
    model = name.replace("-", "_")
    say(
        f"next: cd {folder} && pip install -e '.[test]' && kvzoo fit {model} --smoke && kvzoo plugin check {model} && pytest"
    )


@command.command(short_help="Run the test battery on a model")
@click.argument("name")
@click.option(
    "--row",
    "rows",
    multiple=True,
    metavar="ROW",
    help="Run only this row, and print the traceback if it fails. May be repeated.",
)
@as_json
@backend
def check(name: str, rows: tuple[str, ...], as_json: bool) -> None:
    """Run the test battery on the model NAME, or on every model of the distribution NAME."""
    from kvzoo.testing import ROWS

    for row in rows:
        if row not in ROWS:
            raise InputError(f"--row {row}: unknown row{did_you_mean(row, ROWS)}; known: {', '.join(ROWS)}")
    names = _models_of(name)
    from kvzoo.cli.terminal import backend_starts

    with backend_starts():
        from kvzoo.testing.rows import Battery
    # Many small models are traced here, which TensorFlow takes for a mistake.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    battery, failed, results = Battery(*names), [], {}
    for model in names:
        if not as_json:
            click.echo(f"{model} ({plural(len(rows or ROWS), 'row')})")
        results[model] = []
        for result in battery.results(model, rows or tuple(ROWS)):
            results[model].append(result)
            failed += [(model, result.row)] * (result.state == "failed")
            if not as_json:
                _show(model, result, bool(rows))
    if as_json:
        plain = {m: [{k: v for k, v in asdict(r).items() if k != "trace"} for r in rs] for m, rs in results.items()}
        click.echo(json.dumps(plain, indent=2))
    if failed:
        listed = ", ".join(row if len(names) == 1 else f"{model} {row}" for model, row in failed)
        raise InputError(
            f"plugin check: {name} fails {len(failed)} of {sum(map(len, results.values()))} rows: {listed}"
        )


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
