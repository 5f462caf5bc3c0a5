"""`kvzoo predict`: a video, and how a run's model goes on with it."""

import contextlib
import sys
import time

import click

from kvzoo.apps.predict import check
from kvzoo.cli.main import backend_starts


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

    begin, bar = time.monotonic(), None
    if sys.stderr.isatty():
        bar = click.progressbar(length=stream.frames + frames, label="frames", file=sys.stderr, show_pos=True)
    with bar or contextlib.nullcontext():
        done = predict(run, video, out, frames, overwrite, progress=bar and bar.update)
    seconds = time.monotonic() - begin
    if done.broken:
        click.echo(f"kvzoo: {video}: {done.broken}", err=True)
    click.echo(f"{out}: {done.frames} frames, {frames} of them new, at {done.fps:g} a second, in {seconds:.1f} s")
