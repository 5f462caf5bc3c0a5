"""`kvzoo predict`: a video, continued with predicted frames."""

import time

import click

from kvzoo.apps.predict import check_request
from kvzoo.cli.group import verb
from kvzoo.cli.options import backend, out_file, overwrite
from kvzoo.cli.terminal import backend_starts, say
from kvzoo.progress import progress


@verb()
@click.argument("run", type=click.Path())
@click.argument("video", type=click.Path())
@click.option("--frames", type=click.IntRange(min=1), required=True, help="Number of frames to predict.")
@out_file("Video to write, .mp4 or .mkv.")
@overwrite
@backend
def command(run: str, video: str, frames: int, out: str, overwrite: bool) -> None:
    """Continue VIDEO with frames that the model of RUN, a run folder, predicts."""
    _, stream = check_request(run, video, out, frames, overwrite)
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
    say(f"{out}: {done.frames} frames, {frames} of them new, at {done.fps:g} fps in {seconds:.1f} s")
