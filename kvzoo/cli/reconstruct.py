"""`kvzoo reconstruct`: a video above its reconstruction."""

import time

import click

from kvzoo.apps.reconstruct import check_request
from kvzoo.cli.group import verb
from kvzoo.cli.options import backend, out_file, overwrite
from kvzoo.cli.terminal import backend_starts, say
from kvzoo.progress import progress


@verb()
@click.argument("run", type=click.Path())
@click.argument("video", type=click.Path())
@out_file("File to write, .mp4 or .gif.")
@overwrite
@backend
def command(run: str, video: str, out: str, overwrite: bool) -> None:
    """Show VIDEO above its reconstruction by the model of RUN, a run folder."""
    _, stream = check_request(run, video, out, overwrite)
    with backend_starts():
        from kvzoo.apps.reconstruct import reconstruct

    begin = time.monotonic()
    with progress(stream.frames, out=out) as update:
        done = reconstruct(run, video, out, overwrite, progress=update)
    seconds = time.monotonic() - begin
    for note in filter(None, (done.broken, done.sound)):
        click.echo(f"kvzoo: {video}: {note}", err=True)
    say(f"{out}: {done.frames} frames at {done.fps:g} fps in {seconds:.1f} s")
