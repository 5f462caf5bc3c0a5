"""`kvzoo reconstruct`: a video and what a run's model makes of it, one above the other."""

import time

import click

from kvzoo.apps.reconstruct import check
from kvzoo.cli.terminal import backend_starts
from kvzoo.progress import progress


@click.command()
@click.argument("run", type=click.Path())
@click.argument("video", type=click.Path())
@click.option("--out", type=click.Path(), required=True, help="The file to write, .mp4 or .gif.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
def command(run: str, video: str, out: str, overwrite: bool) -> None:
    """Show VIDEO above what the model of RUN, a run folder, makes of it."""
    _, stream = check(run, video, out, overwrite)
    with backend_starts():
        from kvzoo.apps.reconstruct import reconstruct

    begin = time.monotonic()
    with progress(stream.frames, out=out) as update:
        done = reconstruct(run, video, out, overwrite, progress=update)
    seconds = time.monotonic() - begin
    for note in filter(None, (done.broken, done.sound)):
        click.echo(f"kvzoo: {video}: {note}", err=True)
    click.echo(f"{out}: {done.frames} frames at {done.fps:g} a second, in {seconds:.1f} s")
