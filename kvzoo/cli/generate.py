"""`kvzoo generate`: clips from a run's generator."""

import click

from kvzoo.apps.generate import MOST, check_request
from kvzoo.cli.group import verb
from kvzoo.cli.options import backend, out_file, overwrite, seed
from kvzoo.cli.terminal import backend_starts, say


@verb()
@click.argument("run", type=click.Path())
@out_file("File to write: .gif, .mp4, .png or .npz.")
@click.option("--count", type=click.IntRange(1, MOST), help="Number of clips (default: 16, or the number of images).")
@seed("Seed for the noise.", default=0, show_default=True)
@click.option(
    "--label", "labels", multiple=True, metavar="CLASS", help="Class to generate; repeat to alternate between several."
)
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(),
    metavar="FILE",
    help="Still image to continue; may be repeated.",
)
@click.option("--interpolate", is_flag=True, help="Interpolate between two noise vectors.")
@overwrite
@backend
def command(run, out, count, seed, labels, images, interpolate, overwrite) -> None:
    """Generate clips with the generator of RUN, a run folder. The same seed gives the same clips."""
    count = (len(images) or 16) if count is None else count
    check_request(run, out, count, labels=labels, images=images, interpolate=interpolate, overwrite=overwrite)
    with backend_starts():
        from kvzoo.apps.generate import generate

    result = generate(run, out, count, seed, labels=labels, images=images, interpolate=interpolate, overwrite=overwrite)
    for note in result.notes:
        say(note)
    frames, height, width, _ = result.clips.shape[1:]
    of = f" of {', '.join(dict.fromkeys(result.labels))}" if result.labels else ""
    say(f"{out}: {len(result.clips)} clips{of}, {frames} frames of {width}x{height} at {result.fps:g} a second")
