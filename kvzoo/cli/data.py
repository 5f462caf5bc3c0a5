"""`kvzoo data`: makes and looks at data."""

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
    """Write a built-in SOURCE, such as stick_actions, as mp4 files."""
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
    click.echo(f"{len(opened.videos)} videos in {folder}")
