"""`kvzoo data`: makes and looks at data."""

import csv
from collections.abc import Callable, Iterable
from itertools import groupby
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
    """Write a built-in SOURCE, such as stick_actions, as mp4 files.

    Where the source labels frames labels.csv is written too, where it knows how fast they play speeds.csv.
    """
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
    from kvzoo.media.clips import write_mp4

    with click.progressbar(opened.videos, label=f"writing {len(opened.videos)} videos") as videos:
        for video in videos:
            file = folder / f"{video.name}.mp4"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_mp4(file, opened.decode(video, 0, video.frames, size, 3), video.fps)
    said = f"{len(opened.videos)} videos in {folder}"
    if hasattr(opened, "frame_labels"):
        rows = [row[:3] for row in _runs(opened.videos, opened.frame_labels) if row[3]]
        _write_csv(folder / "labels.csv", ("video", "start", "stop"), rows)
        said += f", {len(rows)} anomalies in labels.csv"
    if hasattr(opened, "frame_speeds"):
        rows = _runs(opened.videos, opened.frame_speeds)
        _write_csv(folder / "speeds.csv", ("video", "start", "stop", "speed"), rows)
        said += f", {len(rows)} spans in speeds.csv"
    click.echo(said)


def _runs(videos: Iterable, values_of: Callable) -> list[tuple[str, int, int, float]]:
    """Return (file, start, stop, value) of each run of equal values: frames from start to before stop."""
    rows = []
    for video in videos:
        start = 0
        for value, run in groupby(values_of(video).tolist()):
            stop = start + len(list(run))
            rows.append((f"{video.name}.mp4", start, stop, value))
            start = stop
    return rows


def _write_csv(path: Path, header: tuple[str, ...], rows: list[tuple]) -> None:
    from kvzoo.media.clips import written_whole

    with written_whole(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
