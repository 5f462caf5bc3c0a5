"""`kvzoo anomaly`: anomalies in videos, found by a model that was trained on normal ones."""

import contextlib
import math
from pathlib import Path

import click

from kvzoo.apps.anomaly import MEASURES, Detection, Settings, check_request
from kvzoo.cli.group import verb
from kvzoo.cli.options import as_json, backend, data, out_folder
from kvzoo.cli.terminal import backend_starts
from kvzoo.errors import InputError
from kvzoo.progress import progress
from kvzoo.recipe.text import parse_pairs


@verb()
@click.argument("run", type=click.Path())
@click.argument("videos", metavar="VIDEO…", nargs=-1, type=click.Path())
@out_folder("Folder for CSVs, plots and overlay videos.", required=True)
@data("Score the videos of a source instead, by a key of a recipe's data section, e.g. part=test.")
@click.option(
    "--labels",
    type=click.Path(),
    metavar="FILE",
    help="CSV with the columns video, start, stop: one row per anomaly, frames from start up to, not including, stop.",
)
@click.option(
    "--measure",
    type=click.Choice(MEASURES),
    default="patch",
    show_default=True,
    help="How to reduce the error map to one score.",
)
@click.option("--stride", type=click.IntRange(min=1), help="Frames between windows (default: a quarter of a window).")
@click.option(
    "--smooth",
    type=click.FloatRange(min=0),
    default=0.2,
    show_default=True,
    help="Sigma of the Gaussian that smooths scores over time, in seconds.",
)
@click.option("--normalise", is_flag=True, help="Scale each video's scores to 0..1.")
@click.option(
    "--fit-threshold",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="RATE",
    help="Target false-alarm rate (0 to 1) of the threshold, fitted on normal videos.",
)
@click.option(
    "--threshold", metavar="NUMBER|FILE", help="Mark frames that score above it; FILE is a fitted threshold.json."
)
@click.option("--no-overlay", is_flag=True, help="Do not write overlay videos.")
@as_json
@backend
def command(
    run, videos, out, pairs, labels, measure, stride, smooth, normalise, fit_threshold, threshold, no_overlay, as_json
) -> None:
    """Score every frame of VIDEOs by the reconstruction error of RUN's model, which was trained on normal videos."""
    data = parse_pairs(pairs, "--data", "part=test")
    if threshold is not None:
        with contextlib.suppress(ValueError):
            threshold = float(threshold)
        if isinstance(threshold, float) and not math.isfinite(threshold):
            raise InputError(f"--threshold: must be a finite number. Received: {threshold}")
    requested = Settings(measure, stride or 1, smooth, normalise)
    recipe = check_request(run, videos, out, data, labels, requested, threshold, fit_threshold)
    settings = Settings(measure, stride or max(1, recipe["model"].get("frames", 1) // 4), smooth, normalise)
    with backend_starts():
        from kvzoo.apps.anomaly import anomaly

    with _left_with_results(Path(out)), progress(None, out=out) as update:
        detection = anomaly(
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
    for name, reason in detection.skipped:
        click.echo(f"kvzoo: skipped {name}: {reason}", err=True)
    for video in detection.videos:
        for note in filter(None, (video.broken, video.sound)):
            click.echo(f"kvzoo: {video.name}: {note}", err=True)
    for note in detection.notes:
        click.echo(f"kvzoo: {note}", err=True)
    # The folder has the same record.
    record = Path(out, "anomaly.json")
    click.echo(record.read_text(encoding="utf-8").rstrip() if as_json else _as_text(detection, out))


@contextlib.contextmanager
def _left_with_results(folder: Path):
    """Within, a folder may be created; if the work ends early, complete files in it stay, and an empty folder goes."""
    new = not folder.exists()
    try:
        yield
    except BaseException:
        if new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _as_text(detection: Detection, out: str) -> str:
    frames = sum(len(video.scores) for video in detection.videos)
    lines = [f"{out}: {len(detection.videos)} videos, {frames} frames"]
    if detection.threshold is not None:
        above = sum(int((video.scores > detection.threshold).sum()) for video in detection.videos)
        lines.append(f"threshold {detection.threshold:.4g}: {above} frames above it ({above / frames:.1%})")
    if detection.auroc:
        width = max(map(len, detection.auroc))
        lines.append(f"{'frame-level AUROC':<{width}}  micro  macro  (macro: mean of the videos with both classes)")
        lines += [
            f"{name:<{width}}  {row['micro']:.3f}  {row['macro']:.3f}  ({row['videos']} videos)"
            for name, row in detection.auroc.items()
        ]
    return "\n".join(lines)
