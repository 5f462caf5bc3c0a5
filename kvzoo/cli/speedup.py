"""`kvzoo speedup`: a video made shorter where nobody minds."""

import click

from kvzoo.apps.speed import MODES
from kvzoo.apps.speedup import FASTEST, SMOOTH, check
from kvzoo.cli.terminal import backend_starts
from kvzoo.progress import progress


@click.command()
@click.argument("run", type=click.Path())
@click.argument("video", type=click.Path())
@click.option(
    "--out", type=click.Path(), required=True, help="The file to write, .mp4; a plot goes beside it, as .png."
)
@click.option("--rate", type=float, default=2.0, show_default=True, help=f"On the whole, 1 to {FASTEST:.2f}.")
@click.option("--mode", type=click.Choice(MODES), default="exact", show_default=True, help="How windows are run.")
@click.option("--stride", type=int, help="Frames between windows, of the exact mode; an eighth of one when left out.")
@click.option("--smooth", type=float, default=SMOOTH, show_default=True, help="Seconds in which the speed changes.")
@click.option("--no-audio", is_flag=True, help="Leave the sound out.")
@click.option("--compare", is_flag=True, help="Write the uniform speed-up and a page to choose between the two.")
@click.option("--overwrite", is_flag=True, help="Replace the files if they are there.")
def command(run, video, out, rate, mode, stride, smooth, no_audio, compare, overwrite) -> None:
    """Speed VIDEO up, most where it still looks natural to RUN's network; frames are left out, sound is stretched."""
    _, stream = check(run, video, out, rate, mode, stride, smooth, compare, overwrite)
    with backend_starts():
        from kvzoo.apps.speedup import speedup

    with progress((3 if compare else 2) * stream.frames, out=out) as update:
        done = speedup(
            run, video, out, rate, mode=mode, stride=stride, smooth=smooth, sound=not no_audio, compare=compare,
            overwrite=overwrite, progress=update,
        )  # fmt: skip
    for note in filter(None, (done.broken, done.note)):
        click.echo(f"kvzoo: {video}: {note}", err=True)
    before, after = done.frames
    click.echo(
        f"{out}: {before} frames in {after}, {before / after:.3g} times as fast, "
        f"from {done.speeds.min():.2f}x to {done.speeds.max():.2f}x; threshold {done.threshold:g}; "
        f"{'with' if done.sound else 'without'} sound"
    )
    if done.left_out:
        click.echo(f"too short to be judged at {', '.join(f'{rate:.2f}x' for rate in done.left_out)}")
    for file in done.files[1:]:
        click.echo(str(file))
