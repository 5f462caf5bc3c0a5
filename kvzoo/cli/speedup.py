"""`kvzoo speedup`: a video sped up, most where it still looks natural."""

import click

from kvzoo.apps.speedup import FASTEST, SMOOTH, check_request
from kvzoo.cli.group import verb
from kvzoo.cli.options import backend, out_file, overwrite
from kvzoo.cli.speed import mode_option, stride_option
from kvzoo.cli.terminal import backend_starts, say
from kvzoo.progress import progress


@verb()
@click.argument("run", type=click.Path())
@click.argument("video", type=click.Path())
@out_file("Video to write, .mp4; a plot is written next to it, as .png.")
@click.option(
    "--rate",
    type=click.FloatRange(min=1),
    default=2.0,
    show_default=True,
    help=f"Overall speed-up, at most {FASTEST:.2f}.",
)
@mode_option
@stride_option
@click.option(
    "--smooth",
    type=click.FloatRange(min=0, min_open=True),
    default=SMOOTH,
    show_default=True,
    help="Time over which the speed changes, in seconds.",
)
@click.option("--no-audio", is_flag=True, help="Leave out the sound.")
@click.option("--compare", is_flag=True, help="Also write a uniform speed-up, and a page to choose between the two.")
@overwrite
@backend
def command(run, video, out, rate, mode, stride, smooth, no_audio, compare, overwrite) -> None:
    """Speed up VIDEO adaptively: most where it still looks natural to RUN's network.

    Frames are dropped; the sound is stretched.
    """
    _, stream = check_request(run, video, out, rate, mode, stride, smooth, compare, overwrite)
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
    say(
        f"{out}: {before} frames in {after}, {before / after:.3g} times as fast, "
        f"from {done.speeds.min():.2f}x to {done.speeds.max():.2f}x; threshold {done.threshold:g}; "
        f"{'with' if done.sound else 'without'} sound"
    )
    if done.left_out:
        say(f"too short to evaluate at {', '.join(f'{rate:.2f}x' for rate in done.left_out)}")
    for file in done.files[1:]:
        say(str(file))
