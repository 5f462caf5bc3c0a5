"""`kvzoo speed`: how fast a video looks, over time and at eleven playback rates."""

import json

import click

from kvzoo.apps.speed import MODES, check_request
from kvzoo.cli.group import verb
from kvzoo.cli.options import as_json, backend, out_folder
from kvzoo.cli.terminal import backend_starts
from kvzoo.progress import progress

# `kvzoo speedup` has them too.
mode_option = click.option(
    "--mode",
    type=click.Choice(MODES),
    default="exact",
    show_default=True,
    help="Run each window separately (exact), or long stretches at once (fast).",
)
stride_option = click.option(
    "--stride",
    type=click.IntRange(min=1),
    help="Frames between windows in exact mode (default: an eighth of a window).",
)


@verb()
@click.argument("run", type=click.Path())
@click.argument("video", type=click.Path())
@out_folder("Folder for speed.csv and speed.png.", required=True)
@mode_option
@stride_option
@as_json
@backend
def command(run: str, video: str, out: str, mode: str, stride: int | None, as_json: bool) -> None:
    """Estimate the probability that VIDEO is sped up with RUN's network, at 1x and at rates up to 9.31x."""
    _, stream = check_request(run, video, out, mode, stride)
    with backend_starts():
        from kvzoo.apps.speed import speed

    with progress(stream.frames, out=out) as update:
        result = speed(run, video, out, mode=mode, stride=stride, progress=update)
    if result.broken:
        click.echo(f"kvzoo: {video}: {result.broken}", err=True)
    means = {rate: float(values.mean()) for rate, values in zip(result.rates, result.sped_up, strict=True)}
    if as_json:
        record = {
            "video": video,
            "folder": out,
            "frames": result.frames,
            "fps": result.fps,
            "rates": [{"rate": rate, "sped_up": mean} for rate, mean in means.items()],
            "left_out": list(result.left_out),
        }
        click.echo(json.dumps(record, indent=2))
        return
    click.echo(f"{out}: {result.frames} frames at {result.fps:g} fps; mean P(sped up):")
    for rate, mean in means.items():
        click.echo(f"{rate:5.2f}x  {mean:.3f}")
    if result.left_out:
        click.echo(f"too short for a window at {', '.join(f'{rate:.2f}x' for rate in result.left_out)}")
