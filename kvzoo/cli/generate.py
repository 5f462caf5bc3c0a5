"""`kvzoo generate`: clips from a run's generator."""

import click

from kvzoo.apps.generate import check
from kvzoo.cli.terminal import backend_starts


@click.command()
@click.argument("run", type=click.Path())
@click.option("--out", type=click.Path(), required=True, help="The file to write: .gif, .mp4, .png or .npz.")
@click.option("--count", type=int, help="Clips; 16, or as many as there are images, when left out.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the noise.")
@click.option("--label", "labels", multiple=True, help="A class to make clips of; several take turns.")
@click.option("--image", "images", multiple=True, type=click.Path(), help="A still image to go on from.")
@click.option("--interpolate", is_flag=True, help="Clips on the way from one noise to another.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
def command(run, out, count, seed, labels, images, interpolate, overwrite) -> None:
    """Make clips with the generator of RUN, a run folder. The same seed gives the same clips."""
    count = (len(images) or 16) if count is None else count
    check(run, out, count, labels=labels, images=images, interpolate=interpolate, overwrite=overwrite)
    with backend_starts():
        from kvzoo.apps.generate import generate

    made = generate(run, out, count, seed, labels=labels, images=images, interpolate=interpolate, overwrite=overwrite)
    for note in made.notes:
        click.echo(note)
    frames, height, width, _ = made.clips.shape[1:]
    of = f" of {', '.join(dict.fromkeys(made.labels))}" if made.labels else ""
    click.echo(f"{out}: {len(made.clips)} clips{of}, {frames} frames of {width}x{height} at {made.fps:g} a second")
