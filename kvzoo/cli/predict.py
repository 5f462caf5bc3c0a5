"""`kvzoo predict`: a video, and how a run's model goes on with it."""

import time

import click

from kvzoo.apps.predict import check
from kvzoo.cli.terminal import backend_starts
from kvzoo.progress import progress


@click.command()
@click.argument("run", type=click.Path())
@click.argument("video", type=click.Path())
@click.option("--frames", type=int, required=True, help="How many new ones.")
@click.option("--out", type=click.Path(), required=True, help="The file to write, .mp4 or .mkv.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
def command(run: str, video: str, frames: int, out: str, overwrite: bool) -> None:
    """Go on with VIDEO by frames that the model of RUN, a run folder, predicts."""
    _, stream = check(run, video, out, frames, overwrite)
    with backend_starts():
        from kvzoo.apps.predict import predict

    begin = time.monotonic()
    copied = 0

    with progress(frames, out=out) as update:

        def count(written: int) -> None:
            nonlocal copied
            # Frames that are only copied would make new ones seem as fast.
            copied += written
            if copied > stream.frames:
                update(written)

        done = predict(run, video, out, frames, overwrite, progress=count)
    seconds = time.monotonic() - begin
    for note in filter(None, (done.broken, done.sound)):
        click.echo(f"kvzoo: {video}: {note}", err=True)
    click.echo(f"{out}: {done.frames} frames, {frames} of them new, at {done.fps:g} a second, in {seconds:.1f} s")
