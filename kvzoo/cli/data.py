"""`kvzoo data`: makes and looks at data."""

import csv
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import click

from kvzoo import catalog
from kvzoo.errors import InputError
from kvzoo.recipe.resolve import check_options
from kvzoo.recipe.text import parse_pairs


@click.group()
def command() -> None:
    """Make and look at data."""


@command.command()
@click.argument("source")
@click.option("--out", type=click.Path(), required=True, help="Folder of the mp4 files; labels become subfolders.")
@click.option("--size", type=click.IntRange(16, 1024), default=128, show_default=True, help="Pixels; even.")
@click.option("-o", "options", multiple=True, metavar="KEY=VALUE", help="An option of the source, such as videos=12.")
def synth(source: str, out: str, size: int, options: tuple[str, ...]) -> None:
    """Write a built-in SOURCE, such as stick_actions, as mp4 files; where it labels frames, also labels.csv."""
    spec = catalog.SOURCES.get(source)
    if "path" in spec.options:
        raise InputError(
            f"data synth: {source} reads files; a built-in source that draws is wanted, such as stick_actions"
        )
    if size % 2:
        raise InputError(f"--size: mp4 wants an even number of pixels. Received: {size}")
    given = check_options("source", source, spec.options, parse_pairs(options, "-o", "videos=12"))
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"--out {out}: {'is not empty' if folder.is_dir() else 'is a file'}")
    opened = spec.load()(**given)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror}") from None
    from kvzoo.media.clips import write_mp4, written_whole

    with click.progressbar(opened.videos, label=f"writing {len(opened.videos)} videos") as videos:
        for video in videos:
            file = folder / f"{video.name}.mp4"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_mp4(file, opened.decode(video, 0, video.frames, size, 3), video.fps)
    said = f"{len(opened.videos)} videos in {folder}"
    if hasattr(opened, "frame_labels"):
        rows = [row for video in opened.videos for row in _anomalies(f"{video.name}.mp4", opened.frame_labels(video))]
        with written_whole(folder / "labels.csv") as beside, open(beside, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("video", "start", "stop"), *rows])
        said += f", {len(rows)} anomalies in labels.csv"
    click.echo(said)


def _anomalies(video: str, labels: Iterable[int]) -> list[tuple[str, int, int]]:
    """Return (video, start, stop) of each run of ones: frames from start to before stop."""
    labels = [0, *map(int, labels), 0]
    edges = [i for i, (before, after) in enumerate(pairwise(labels)) if before != after]
    return [(video, start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
