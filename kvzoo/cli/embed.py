"""`kvzoo embed`: videos as features."""

import click

from kvzoo.apps.embed import check
from kvzoo.cli.terminal import backend_starts
from kvzoo.progress import progress


@click.command()
@click.argument("run", type=click.Path())
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path())
@click.option("--out", type=click.Path(), required=True, help="The file to write, .npz.")
@click.option("--stride", type=int, help="Frames between windows; as many as the network takes when left out.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
def command(run: str, files: tuple[str, ...], out: str, stride: int | None, overwrite: bool) -> None:
    """Write the features that RUN's network has of every window of FILEs, videos or folders of them."""
    _, listed = check(run, files, out, stride, overwrite)
    with backend_starts():
        from kvzoo.apps.embed import embed

    with progress(len(listed), "video", out) as update:
        done = embed(run, files, out, stride=stride, overwrite=overwrite, progress=update)
    for name, why in done.skipped:
        click.echo(f"kvzoo: skipped {name}: {why}", err=True)
    for name, why in done.broken:
        click.echo(f"kvzoo: {name}: {why}", err=True)
    rows, numbers = done.features.shape
    click.echo(f"{out}: {len(done.names)} videos, {rows} windows of {numbers} features each")
