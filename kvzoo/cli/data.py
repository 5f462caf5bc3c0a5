"""`kvzoo data`: makes and looks at data."""

import csv
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import click

from kvzoo import catalog
from kvzoo.cli.group import Group
from kvzoo.errors import InputError
from kvzoo.options import check_options
from kvzoo.progress import progress
from kvzoo.recipe.text import parse_pairs
from kvzoo.signals import undone

SHOWN = 20  # pairs or files of a kind that are listed


@click.group(cls=Group)
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
    with _whole(folder):
        click.echo(_drawn(opened, folder, size))


@contextmanager
def _whole(folder: Path):
    """Within, fill an empty folder; it is removed unless all goes well."""

    def remove() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    with undone(remove):
        try:
            yield
        except BaseException:
            remove()
            raise


def _drawn(opened, folder: Path, size: int) -> str:
    """Write a source's videos, and tables of what it knows of them; return what was written, in words."""
    from kvzoo.media.clips import write_mp4

    with progress(len(opened.videos), "video", folder) as update:
        for video in opened.videos:
            file = folder / f"{video.name}.mp4"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_mp4(file, opened.decode(video, 0, video.frames, size, 3), video.fps)
            update()
    said = f"{len(opened.videos)} videos in {folder}"
    if hasattr(opened, "frame_labels"):
        rows = [row[:3] for row in _runs(opened.videos, opened.frame_labels) if row[3]]
        _write_csv(folder / "labels.csv", ("video", "start", "stop"), rows)
        said += f", {len(rows)} anomalies in labels.csv"
    if hasattr(opened, "frame_speeds"):
        rows = _runs(opened.videos, opened.frame_speeds)
        _write_csv(folder / "speeds.csv", ("video", "start", "stop", "speed"), rows)
        said += f", {len(rows)} spans in speeds.csv"
    return said


@command.command()
@click.argument("path", type=click.Path())
@click.option("--out", type=click.Path(), required=True, help="The store, such as clips.h5.")
@click.option(
    "--source",
    type=click.Choice(("auto", "videos", "frames", "strips", "npy")),
    default="auto",
    show_default=True,
    help="What PATH is a folder of.",
)
@click.option("--size", type=click.IntRange(8, 1024), default=64, show_default=True, help="Pixels, each way.")
@click.option("--channels", type=click.Choice(("1", "3")), default="3", show_default=True, help="1: grey, 3: RGB.")
@click.option("--fps", type=click.FloatRange(0, min_open=True), help="Frames a second; each video's own when left out.")
@click.option(
    "--fit",
    type=click.Choice(("crop", "whole")),
    default="crop",
    show_default=True,
    help="crop: the centred square; whole: all of the frame, with black beside it.",
)
@click.option("--stabilise", is_flag=True, help="Make a shaking camera calm; pans stay.")
@click.option("--group", metavar="REGEX", help="Finds in a name what must not be split, such as '(person\\d+)'.")
@click.option("--workers", type=click.IntRange(1), help="Processes; one for each core when left out.")
@click.option(
    "-o", "options", multiple=True, metavar="KEY=VALUE", help="An option of the source, such as csv=table.csv."
)
def prepare(
    path: str,
    out: str,
    source: str,
    size: int,
    channels: str,
    fps: float | None,
    fit: str,
    stabilise: bool,
    group: str | None,
    workers: int | None,
    options: tuple[str, ...],
) -> None:
    """Decode a folder of videos, frames or strips once, into one store that training reads.

    A call that was cut goes on where it was when it is made again. What is left out is told in the store and in
    OUT.skipped.csv.
    """
    from kvzoo.data.kind import source_for
    from kvzoo.data.prepare import Settings
    from kvzoo.data.remote import local
    from kvzoo.data.source import regroup, resample
    from kvzoo.files import Locked, WriterLock, check_writable

    path, file = local(path), Path(out)
    if file.suffix.lower() not in (".h5", ".hdf5"):
        raise InputError(f"--out {out}: a store is wanted, a file that ends in .h5")
    name = source_for(path) if source == "auto" else source
    spec = catalog.SOURCES.get(name)
    if name == "hdf5":
        raise InputError(f"{path}: is a store already")
    given = check_options("source", name, spec.options, {"path": path, **parse_pairs(options, "-o", "csv=table.csv")})
    settings = Settings(size, int(channels), stabilise)
    said = {"source": name, "options": given, "size": size, "channels": channels, "fps": fps, "fit": fit}
    said |= {"stabilise": stabilise, "group": group}
    made_from = _made_from(Path(path), file, said)
    lock = WriterLock(file.with_name(f".{file.name}.lock"))
    try:
        if holder := lock.holder():
            raise Locked(holder)
        if file.exists():
            _say_finished(file, made_from)
            return
        check_writable(file)
        # What is refused here leaves nothing behind: the lock's file stays once it exists.
        opened = spec.load()(**given)
        opened.whole = fit == "whole"
        videos = regroup(opened.videos, group) if group and opened.videos else opened.videos
        if fps:
            videos = [resample(video, fps) for video in videos]
        file.parent.mkdir(parents=True, exist_ok=True)
        with lock:
            if file.exists():
                _say_finished(file, made_from)
                return
            click.echo(f"{path}: {len(videos)} {name}, {sum(video.frames for video in videos)} frames")
            done = _prepared(opened, videos, file, settings, made_from, workers)
    except Locked as holder:
        raise InputError(f"--out {out}: {holder} is preparing it") from None
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror or error}") from None
    click.echo(f"{done.clips} clips, {done.frames} frames of {size}x{size}x{channels} in {file}{_skipped(file, done)}")


def _skipped(file: Path, store) -> str:
    """Write the table of what is not in a store, or in parts only, and return a word on it."""
    table = file.with_name(f"{file.stem}.skipped.csv")
    _write_csv(table, ("name", "reason"), [(each.name, each.reason) for each in store.skipped])
    return f"; {len(store.skipped)} left out or in parts, see {table}" if store.skipped else ""


def _prepared(opened, videos: list, file: Path, settings, made_from: str, workers: int | None):
    """Call `prepare` and show its progress."""
    from kvzoo.data.prepare import prepare

    shown = 0

    with progress(sum(video.frames for video in videos), out=file) as update:

        def count(done: int, total: int) -> None:
            nonlocal shown
            if done > shown:
                update(done - shown)
                shown = done

        return prepare(opened, videos, file, settings, made_from, workers, count)


@command.command()
@click.argument("source")
@click.option(
    "--source",
    "kind",
    type=click.Choice(("auto", "videos", "frames", "strips", "npy", "hdf5")),
    default="auto",
    show_default=True,
    help="What SOURCE is a folder of.",
)
@click.option("--recipe", help="Say what this recipe can use of it.")
@click.option("--group", metavar="REGEX", help="Finds in a name what must not be split; the recipe's when left out.")
@click.option("--html", type=click.Path(), help="Write a contact sheet, one page that needs nothing else.")
@click.option(
    "-o", "options", multiple=True, metavar="KEY=VALUE", help="An option of the source, such as csv=table.csv."
)
def check(
    source: str, kind: str, recipe: str | None, group: str | None, html: str | None, options: tuple[str, ...]
) -> None:
    """Read all of SOURCE once and say what is in it: a folder of videos, frames or strips, a store, or a source's name.

    Finds what is broken, duplicates (coded again, too) and mirror images, and how labels and groups are balanced.
    """
    from kvzoo.data.check import report, scan, sheet, usable
    from kvzoo.data.kind import source_for
    from kvzoo.data.remote import local
    from kvzoo.data.source import regroup
    from kvzoo.files import check_writable, written_whole
    from kvzoo.recipe.resolve import load

    wanted = load(recipe, check_paths=False) if recipe else None
    if html and Path(html).is_dir():
        raise InputError(f"--html {html}: is a folder; a file is wanted")
    if html:
        try:
            check_writable(html)
        except OSError as error:
            raise InputError(f"--html {html}: {error.strerror}") from None
    given = parse_pairs(options, "-o", "csv=table.csv")
    source = local(source)
    if os.path.exists(source):
        name, given = source_for(source) if kind == "auto" else kind, {"path": source, **given}
    elif os.sep in source or kind != "auto":
        raise InputError(f"{source}: no such file or folder")
    else:
        name = source
    spec = catalog.SOURCES.get(name)
    opened = spec.load()(**check_options("source", name, spec.options, given))
    pattern = group or (wanted and wanted["data"]["group"])
    videos = regroup(opened.videos, pattern) if pattern and opened.videos else opened.videos
    with progress(sum(video.frames for video in videos)) as update:
        findings = scan(opened, videos, update)
    rows = [("source", name), *report(findings, opened), *_not_read(source, opened)]
    if wanted:
        rows += [("recipe", line) for line in usable([each.video for each in findings.clips], wanted)]
    for what, value in rows:
        click.echo(f"{what:11}{_printable(value)}")
    for kind, pairs in (("duplicates", findings.duplicates), ("mirrors", findings.mirrors)):
        for a, b in pairs[:SHOWN]:
            click.echo(f"  {kind}: {_printable(a)} = {_printable(b)}")
    for each in findings.skipped[:SHOWN]:
        click.echo(f"  broken: {_printable(each.name)}: {_printable(each.reason)}")
    if html:
        try:
            with written_whole(html) as beside:
                beside.write_text(sheet(findings, rows, source), encoding="utf-8")
        except OSError as error:
            raise InputError(f"--html {html}: {error.strerror}") from None
        click.echo(f"contact sheet in {html}")
    if not findings.clips:
        raise InputError(f"{source}: nothing in it can be used")


def _not_read(path: str, source) -> list[tuple[str, str]]:
    """Return a row that counts the files of a folder that a source does not list, by their endings."""
    from kvzoo.data.source import all_files

    if not os.path.isdir(path):
        return []
    known = {file for video in source.videos for file in source.files_of(video)}
    # What is skipped is a file, or a sequence's folder.
    known |= {os.path.normpath(os.path.join(path, each.name)) for each in source.skipped}
    left = [file for file in all_files(path)[0] if not known & {str(file), str(file.parent)}]
    endings = Counter(file.suffix.lower() or file.name for file in left).most_common(SHOWN)
    return [("not read", ", ".join(f"{ending} ({count})" for ending, count in endings))] if endings else []


def _printable(name: str) -> str:
    """Return a file's name as one line that any terminal can show: control characters and odd bytes escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _made_from(path: Path, out: Path, said: dict) -> str:
    """Return a hash over the settings and over names, sizes and times of all files; what `out` writes is left out."""
    from kvzoo.data.source import all_files

    digest = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode())
    own = (str(out), f"{out}.work{os.sep}")
    for file in [path] if path.is_file() else all_files(path)[0]:
        if file.is_file() and not str(file).startswith(own) and file.name != f"{out.stem}.skipped.csv":
            status = file.stat()
            digest.update(os.fsencode(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n"))
    if said["options"].get("csv"):
        digest.update(Path(said["options"]["csv"]).read_bytes())
    return digest.hexdigest()[:32]


def _say_finished(file: Path, made_from: str) -> None:
    """Say that a store is there already.

    Raises:
        InputError: it is another one.
    """
    from kvzoo.data.hdf5 import Hdf5, open_store

    with open_store(file) as opened:
        same = opened.attrs.get("made_from") == made_from
    if not same:
        raise InputError(f"--out {file}: is there already, made from other files or settings; give another name")
    store = Hdf5(str(file))
    frames = sum(video.frames for video in store.videos)
    click.echo(f"{file} is finished: {len(store.videos)} clips, {frames} frames{_skipped(file, store)}")


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
    from kvzoo.files import written_whole

    with (
        written_whole(path) as beside,
        open(beside, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
