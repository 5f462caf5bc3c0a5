"""`kvzoo retrieve`: the clips of a gallery that are most similar to a query."""

import json
from dataclasses import asdict

import click

from kvzoo.apps.retrieve import check_request
from kvzoo.cli.group import verb
from kvzoo.cli.options import as_json, backend, out_file, overwrite
from kvzoo.cli.terminal import backend_starts, say
from kvzoo.errors import InputError
from kvzoo.progress import progress


@verb()
@click.argument("run", type=click.Path())
@click.argument("query", type=click.Path())
@click.argument("gallery", type=click.Path())
@out_file("Page to write, .html, on which the matches play.", required=False)
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Number of matches.")
@click.option(
    "--index", type=click.Path(), metavar="FILE", help="File that caches the gallery's features (default: in RUN)."
)
@overwrite
@as_json
@backend
def command(
    run: str, query: str, gallery: str, out: str | None, top: int, index: str | None, overwrite: bool, as_json: bool
) -> None:
    """Find the clips of GALLERY, a folder of videos, that are most similar to QUERY, a video, by RUN's features."""
    if overwrite and not out:
        raise InputError("--overwrite: needs --out, the page to replace")
    _, files = check_request(run, query, gallery, out, top, overwrite, index)
    with backend_starts():
        from kvzoo.apps.retrieve import retrieve

    with progress(len(files), "video", out) as update:
        result = retrieve(run, query, gallery, out, top, index=index, overwrite=overwrite, progress=update)
    if result.note:
        click.echo(f"kvzoo: {result.note}", err=True)
    for name, reason in result.skipped:
        click.echo(f"kvzoo: skipped {name}: {reason}", err=True)
    if as_json:
        record = {
            "matches": [asdict(match) for match in result.matches],
            "videos": result.videos,
            "embedded": result.embedded,
            "skipped": [{"name": name, "reason": reason} for name, reason in result.skipped],
            "index": str(result.index),
            "page": out,
        }
        click.echo(json.dumps(record, indent=2))
        return
    for match in result.matches:
        click.echo(f"{match.similarity:.3f}  {match.name} at {match.seconds:.1f} s")
    page = f"{out}: " if out else ""
    say(f"{page}{result.videos} videos, {result.embedded} of them new or changed; index {result.index}")
