"""`kvzoo embed`: features of videos."""

import click

from kvzoo.apps.embed import check_request
from kvzoo.cli.group import verb
from kvzoo.cli.options import backend, out_file, overwrite
from kvzoo.cli.terminal import backend_starts, say
from kvzoo.progress import progress


@verb()
@click.argument("run", type=click.Path())
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path())
@out_file("Feature file to write, .npz.")
@click.option(
    "--stride", type=click.IntRange(min=1), help="Frames between windows (default: the length of the network's input)."
)
@overwrite
@backend
def command(run: str, files: tuple[str, ...], out: str, stride: int | None, overwrite: bool) -> None:
    """Extract the features of RUN's network for every window of FILEs, videos or folders of videos."""
    _, listed = check_request(run, files, out, stride, overwrite)
    with backend_starts():
        from kvzoo.apps.embed import embed

    with progress(len(listed), "video", out) as update:
        done = embed(run, files, out, stride=stride, overwrite=overwrite, progress=update)
    for name, reason in done.skipped:
        click.echo(f"kvzoo: skipped {name}: {reason}", err=True)
    for name, reason in done.broken:
        click.echo(f"kvzoo: {name}: {reason}", err=True)
    rows, numbers = done.features.shape
    say(f"{out}: {len(done.names)} videos, {rows} windows of {numbers} features each")
