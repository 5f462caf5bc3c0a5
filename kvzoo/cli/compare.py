"""`kvzoo compare`: runs side by side, in a table and on a page."""

import json
import logging
from pathlib import Path

import click

from kvzoo.apps.compare import CLIPS, MOST, PAGE, Comparison, cells, check_request, write_page
from kvzoo.cli.group import verb
from kvzoo.cli.options import as_json, backend, out_folder, overwrite
from kvzoo.cli.terminal import backend_starts, say
from kvzoo.errors import InputError


@verb()
@click.argument("runs", metavar="RUN RUN…", nargs=-1, type=click.Path())
@out_folder(f"Folder for {PAGE}.", default="compare", show_default=True)
@click.option(
    "--clips", type=click.IntRange(1, MOST), default=CLIPS, show_default=True, help="Held-out clips on the page."
)
@overwrite
@as_json
@backend
def command(runs: tuple[str, ...], out: str, clips: int, overwrite: bool, as_json: bool) -> None:
    """Compare run folders on the clips that all of them held out.

    Prints a table, and writes a page that plays input, outputs and errors side by side.
    """
    check_request(runs, out)
    if (page := Path(out, PAGE)).exists() and not overwrite:
        raise InputError(f"{page} already exists; use --overwrite to replace it")
    with backend_starts():
        from kvzoo.apps.compare import compare
    # A model a run: TensorFlow takes that for one that is traced again and again.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)

    comparison = compare(runs, clips, out)
    page = write_page(comparison, out)
    if as_json:
        click.echo(_as_json(comparison, str(page)))
        return
    click.echo(_as_table(comparison))
    say(f"page  {page}")


def _as_json(comparison: Comparison, page: str) -> str:
    runs = [
        {
            "run": row.run,
            "name": row.name,
            "model": row.model,
            "code_shape": row.code_shape,
            "figures": row.figures,
            "val_psnr": [list(point) for point in zip(*row.curve, strict=True)],
        }
        for row in comparison.rows
    ]
    whole = {"runs": runs, "conditions": comparison.conditions, "notes": comparison.notes, "page": page}
    return json.dumps(whole, indent=2, allow_nan=False)


def _as_table(comparison: Comparison) -> str:
    table = [["run", *(column.title for column in comparison.columns)], *cells(comparison)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in table
    ]
    conditions = {key: value for key, value in comparison.conditions.items() if key != "measures"}
    wide = max(map(len, conditions))
    return "\n".join(
        [
            *lines,
            "",
            *(f"note: {note}" for note in comparison.notes),
            "conditions",
            *(f"{name:<{wide}}  {value}" for name, value in conditions.items()),
        ]
    )
