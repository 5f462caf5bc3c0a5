"""`kvzoo saliency`: which regions of a video look slow or fast."""

import click

from kvzoo.apps.saliency import check_request
from kvzoo.cli.group import verb
from kvzoo.cli.options import backend, out_file, overwrite
from kvzoo.cli.terminal import backend_starts, say
from kvzoo.progress import progress


@verb()
@click.argument("run", type=click.Path())
@click.argument("video", type=click.Path())
@out_file("Video to write, .mp4.")
@overwrite
@backend
def command(run: str, video: str, out: str, overwrite: bool) -> None:
    """Show which regions of VIDEO look slow (yellow) or sped up (blue) to RUN's network, frame by frame."""
    _, stream = check_request(run, video, out, overwrite)
    with backend_starts():
        from kvzoo.apps.saliency import saliency

    with progress(2 * stream.frames, out=out) as update:
        done = saliency(run, video, out, overwrite, progress=update)
    for note in filter(None, (done.broken, done.sound)):
        click.echo(f"kvzoo: {video}: {note}", err=True)
    frames, height, width = done.maps.shape
    say(
        f"{out}: {frames} frames, a {width}x{height} map each; yellow: slow, blue: sped up, full colour at "
        f"{done.strongest:.2g} (logits); {(done.maps > 0).mean():.0%} of all positions look sped up"
    )
