"""`kvzoo retrieve`: the clips of a gallery that are most like a query."""

import click

from kvzoo.apps.retrieve import check
from kvzoo.cli.terminal import backend_starts
from kvzoo.progress import progress


@click.command()
@click.argument("run", type=click.Path())
@click.argument("query", type=click.Path())
@click.argument("gallery", type=click.Path())
@click.option("--out", type=click.Path(), required=True, help="The page to write, .html.")
@click.option("--top", type=int, default=5, show_default=True, help="How many to find.")
@click.option("--index", type=click.Path(), help="File that keeps the gallery's features; in RUN when left out.")
@click.option("--overwrite", is_flag=True, help="Replace the page if it is there.")
def command(run: str, query: str, gallery: str, out: str, top: int, index: str | None, overwrite: bool) -> None:
    """Find the clips of GALLERY, a folder of videos, that are most like QUERY, a video, to RUN's network."""
    _, files = check(run, query, gallery, out, top, overwrite, index)
    with backend_starts():
        from kvzoo.apps.retrieve import retrieve

    with progress(len(files), "video", out) as update:
        found = retrieve(run, query, gallery, out, top, index=index, overwrite=overwrite, progress=update)
    if found.note:
        click.echo(f"kvzoo: {found.note}", err=True)
    for name, why in found.skipped:
        click.echo(f"kvzoo: skipped {name}: {why}", err=True)
    for match in found.matches:
        click.echo(f"{match.similarity:.3f}  {match.name} at {match.seconds:.1f} s")
    click.echo(f"{out}: {found.videos} videos, {found.embedded} of them new or changed; index {found.index}")
