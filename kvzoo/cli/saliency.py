"""`kvzoo saliency`: where in a video things seem slow or fast."""

import click

from kvzoo.apps.saliency import check
from kvzoo.cli.terminal import backend_starts
from kvzoo.progress import progress


@click.command()
@click.argument("run", type=click.Path())
@click.argument("video", type=click.Path())
@click.option("--out", type=click.Path(), required=True, help="The file to write, .mp4.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
def command(run: str, video: str, out: str, overwrite: bool) -> None:
    """Show where VIDEO seems slow (yellow) or sped up (blue) to RUN's network, frame by frame."""
    _, stream = check(run, video, out, overwrite)
    with backend_starts():
        from kvzoo.apps.saliency import saliency

    with progress(2 * stream.frames, out=out) as update:
        done = saliency(run, video, out, overwrite, progress=update)
    for note in filter(None, (done.broken, done.sound)):
        click.echo(f"kvzoo: {video}: {note}", err=True)
    frames, height, width = done.maps.shape
    click.echo(
        f"{out}: {frames} frames, a map of {width}x{height} places each; yellow seems slow, blue sped up, "
        f"strongest from {done.strongest:.2g} (logits) on; {(done.maps > 0).mean():.0%} of all places seem sped up"
    )
