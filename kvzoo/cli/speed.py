"""`kvzoo speed`: how fast a video seems, over time and at eleven rates."""

import click

from kvzoo.apps.speed import MODES, check
from kvzoo.cli.terminal import backend_starts
from kvzoo.progress import progress


@click.command()
@click.argument("run", type=click.Path())
@click.argument("video", type=click.Path())
@click.option("--out", type=click.Path(), required=True, help="Folder for speed.csv and speed.png.")
@click.option("--mode", type=click.Choice(MODES), default="exact", show_default=True, help="How windows are run.")
@click.option("--stride", type=int, help="Frames between windows, of the exact mode; an eighth of one when left out.")
def command(run: str, video: str, out: str, mode: str, stride: int | None) -> None:
    """Write the probability that VIDEO is sped up, as RUN's network has it, at 1x and at rates up to 9.31x."""
    _, stream = check(run, video, out, mode, stride)
    with backend_starts():
        from kvzoo.apps.speed import speed

    with progress(stream.frames, out=out) as update:
        seen = speed(run, video, out, mode=mode, stride=stride, progress=update)
    if seen.broken:
        click.echo(f"kvzoo: {video}: {seen.broken}", err=True)
    click.echo(f"{out}: {seen.frames} frames at {seen.fps:g} a second; mean P(sped up):")
    for rate, values in zip(seen.rates, seen.sped_up, strict=True):
        click.echo(f"{rate:5.2f}x  {values.mean():.3f}")
    if seen.left_out:
        click.echo(f"too short for a window at {', '.join(f'{rate:.2f}x' for rate in seen.left_out)}")
