"""`kvzoo interpolate`: a video at N times its frame rate, or in slow motion."""

import time

import click

from kvzoo.apps.interpolate import check
from kvzoo.cli.terminal import backend_starts
from kvzoo.progress import progress


@click.command()
@click.argument("run", type=click.Path())
@click.argument("video", type=click.Path())
@click.option("--factor", type=int, required=True, help="How many times the frame rate.")
@click.option("--out", type=click.Path(), required=True, help="The file to write, .mp4 or .mkv.")
@click.option("--keep-rate", is_flag=True, help="Play at VIDEO's own rate: slow motion.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
def command(run: str, video: str, factor: int, out: str, keep_rate: bool, overwrite: bool) -> None:
    """Make new frames between those of VIDEO with the model of RUN, a run folder."""
    _, stream = check(run, video, out, factor, overwrite)
    with backend_starts():
        from kvzoo.apps.interpolate import interpolate

    begin = time.monotonic()
    with progress((stream.frames - 1) * factor + 1, out=out) as update:
        done = interpolate(run, video, out, factor, keep_rate, overwrite, progress=update)
    seconds = time.monotonic() - begin
    for note in filter(None, (done.broken, done.sound)):
        click.echo(f"kvzoo: {video}: {note}", err=True)
    cuts = f", {done.cuts} cuts left as they are" if done.cuts else ""
    click.echo(f"{out}: {done.frames} frames at {done.fps:g} a second{cuts}, in {seconds:.1f} s")
