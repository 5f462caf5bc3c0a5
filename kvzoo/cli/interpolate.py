"""`kvzoo interpolate`: a video at N times its frame rate, or in slow motion."""

import time

import click

from kvzoo.apps.interpolate import MOST, check_request
from kvzoo.cli.group import verb
from kvzoo.cli.options import backend, out_file, overwrite
from kvzoo.cli.terminal import backend_starts, say
from kvzoo.progress import progress


@verb()
@click.argument("run", type=click.Path())
@click.argument("video", type=click.Path())
@click.option("--factor", type=click.IntRange(2, MOST), required=True, help="Multiple of the frame rate.")
@out_file("Video to write, .mp4 or .mkv.")
@click.option("--keep-rate", is_flag=True, help="Keep VIDEO's frame rate: slow motion.")
@overwrite
@backend
def command(run: str, video: str, factor: int, out: str, keep_rate: bool, overwrite: bool) -> None:
    """Insert new frames between those of VIDEO with the model of RUN, a run folder."""
    _, stream = check_request(run, video, out, factor, overwrite)
    with backend_starts():
        from kvzoo.apps.interpolate import interpolate

    begin = time.monotonic()
    with progress((stream.frames - 1) * factor + 1, out=out) as update:
        done = interpolate(run, video, out, factor, keep_rate, overwrite, progress=update)
    seconds = time.monotonic() - begin
    for note in filter(None, (done.broken, done.sound)):
        click.echo(f"kvzoo: {video}: {note}", err=True)
    cuts = f", {done.cuts} scene cuts not interpolated" if done.cuts else ""
    say(f"{out}: {done.frames} frames at {done.fps:g} fps{cuts} in {seconds:.1f} s")
