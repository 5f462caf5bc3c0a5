"""`kvzoo anomaly`: where videos are not as those that a run's model was trained on."""

import contextlib
import math
from pathlib import Path

import click

from kvzoo.apps.anomaly import MEASURES, Detection, Settings, check
from kvzoo.cli.terminal import backend_starts
from kvzoo.errors import InputError
from kvzoo.progress import progress
from kvzoo.recipe.text import parse_pairs


@click.command()
@click.argument("run", type=click.Path())
@click.argument("videos", metavar="VIDEO…", nargs=-1, type=click.Path())
@click.option("--out", type=click.Path(), required=True, help="Folder for CSVs, plots and overlay videos.")
@click.option(
    "--data",
    "given",
    multiple=True,
    metavar="KEY=VALUE",
    help="Score the videos of a source instead: a key of a recipe's data, such as part=test. May be repeated.",
)
@click.option(
    "--labels",
    type=click.Path(),
    help="CSV with the columns video, start, stop, a row an anomaly: frames from start to before stop.",
)
@click.option("--measure", type=click.Choice(MEASURES), default="patch", show_default=True, help="Of the error map.")
@click.option("--stride", type=click.IntRange(min=1), help="Frames between windows; a quarter of one when left out.")
@click.option("--smooth", type=click.FloatRange(min=0), default=0.2, show_default=True, help="Seconds, Gaussian sigma.")
@click.option("--normalise", is_flag=True, help="Scale each video's scores to 0..1.")
@click.option("--fit-threshold", type=float, metavar="SHARE", help="Of false alarms wanted; RUN is given normal data.")
@click.option("--threshold", metavar="NUMBER|FILE", help="Mark frames above it; FILE is a fitted threshold.json.")
@click.option("--no-overlay", is_flag=True, help="Write no overlay videos.")
def command(
    run, videos, out, given, labels, measure, stride, smooth, normalise, fit_threshold, threshold, no_overlay
) -> None:
    """Score every frame of VIDEOs by how badly the model of RUN, trained on normal data, gives it back."""
    data = parse_pairs(given, "--data", "part=test")
    if threshold is not None:
        with contextlib.suppress(ValueError):
            threshold = float(threshold)
        if isinstance(threshold, float) and not math.isfinite(threshold):
            raise InputError(f"--threshold: a finite number is wanted. Received: {threshold}")
    asked = Settings(measure, stride or 1, smooth, normalise)
    recipe = check(run, videos, out, data, labels, asked, threshold, fit_threshold)
    settings = Settings(measure, stride or max(1, recipe["model"].get("frames", 1) // 4), smooth, normalise)
    with backend_starts():
        from kvzoo.apps.anomaly import anomaly

    with _left_with_results(Path(out)), progress(None, out=out) as update:
        found = anomaly(
            run,
            videos,
            out,
            data=data,
            labels=labels,
            settings=settings,
            threshold=threshold,
            false_alarms=fit_threshold,
            overlay=not no_overlay,
            progress=update,
        )
    for name, why in found.skipped:
        click.echo(f"kvzoo: skipped {name}: {why}", err=True)
    for video in found.videos:
        for note in filter(None, (video.broken, video.sound)):
            click.echo(f"kvzoo: {video.name}: {note}", err=True)
    for note in found.notes:
        click.echo(f"kvzoo: {note}", err=True)
    click.echo(_as_text(found, out))


@contextlib.contextmanager
def _left_with_results(folder: Path):
    """Within, make a folder; where the work ends early, what is whole in it stays, and an empty one goes."""
    new = not folder.exists()
    try:
        yield
    except BaseException:
        if new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _as_text(found: Detection, out: str) -> str:
    frames = sum(len(video.scores) for video in found.videos)
    said = [f"{out}: {len(found.videos)} videos, {frames} frames"]
    if found.threshold is not None:
        above = sum(int((video.scores > found.threshold).sum()) for video in found.videos)
        said.append(f"threshold {found.threshold:.4g}: {above} frames above it ({above / frames:.1%})")
    if found.auroc:
        width = max(map(len, found.auroc))
        said.append(f"{'frame-level AUROC':<{width}}  micro  macro  (macro: mean of the videos with both classes)")
        said += [
            f"{name:<{width}}  {row['micro']:.3f}  {row['macro']:.3f}  ({row['videos']} videos)"
            for name, row in found.auroc.items()
        ]
    return "\n".join(said)
