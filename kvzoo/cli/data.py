"""`kvzoo data`: creates, prepares and checks data."""

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
from kvzoo.cli.options import as_json, out_file, out_folder, overrides, overwrite, seed
from kvzoo.cli.terminal import say
from kvzoo.errors import InputError
from kvzoo.options import check_options
from kvzoo.progress import progress
from kvzoo.recipe.text import parse_pairs
from kvzoo.signals import undone

SHOWN = 20  # pairs or files of a kind that are listed


@click.group(cls=Group)
def command() -> None:
    """Create, prepare and check data."""


@command.command(short_help="Write a synthetic source as video files")
@click.argument("source")
@out_folder("Folder for the mp4 files; labels become subfolders.", required=True)
@click.option(
    "--size",
    type=click.IntRange(16, 1024),
    default=128,
    show_default=True,
    help="Height and width in pixels, an even number.",
)
@overrides("Set an option of the source, e.g. videos=12.", "settings")
@seed("Random seed of the source; the same as -o seed=N.")
def synth(source: str, out: str, size: int, settings: tuple[str, ...], seed: int | None) -> None:
    """Write the videos of SOURCE, a synthetic source such as stick_actions, as mp4 files.

    Also writes labels.csv if the source labels frames, and speeds.csv if it knows their speed.
    """
    spec = catalog.SOURCES.get(source)
    if "path" in spec.options:
        raise InputError(f"data synth: {source} reads files; choose a synthetic source, such as stick_actions")
    if size % 2:
        raise InputError(f"--size: must be an even number of pixels. Received: {size}")
    pairs = parse_pairs(settings, "-o", "videos=12")
    if seed is not None:
        pairs["seed"] = seed
    arguments = check_options("source", source, spec.options, pairs)
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"--out {out}: {'is not empty' if folder.is_dir() else 'is a file'}")
    opened = spec.load()(**arguments)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror}") from None
    with _whole(folder):
        say(_write_videos(opened, folder, size))


@contextmanager
def _whole(folder: Path):
    """Within, fill an empty folder; it is removed unless everything succeeds."""

    def remove() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    with undone(remove):
        try:
            yield
        except BaseException:
            remove()
            raise


def _write_videos(opened, folder: Path, size: int) -> str:
    """Write a source's videos and its labels and speeds of frames; return a summary."""
    from kvzoo.media.clips import write_mp4

    with progress(len(opened.videos), "video", folder) as update:
        for video in opened.videos:
            file = folder / f"{video.name}.mp4"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_mp4(file, opened.decode(video, 0, video.frames, size, 3), video.fps)
            update()
    summary = f"{len(opened.videos)} videos in {folder}"
    if hasattr(opened, "frame_labels"):
        rows = [row[:3] for row in _runs(opened.videos, opened.frame_labels) if row[3]]
        _write_csv(folder / "labels.csv", ("video", "start", "stop"), rows)
        summary += f", {len(rows)} anomalies in labels.csv"
    if hasattr(opened, "frame_speeds"):
        rows = _runs(opened.videos, opened.frame_speeds)
        _write_csv(folder / "speeds.csv", ("video", "start", "stop", "speed"), rows)
        summary += f", {len(rows)} spans in speeds.csv"
    return summary


@command.command(short_help="Decode videos into one store for fast training")
@click.argument("path", type=click.Path())
@out_file("Store to write, .h5.")
@click.option(
    "--source",
    type=click.Choice(("auto", "videos", "frames", "strips", "npy")),
    default="auto",
    show_default=True,
    help="What PATH contains.",
)
@click.option("--size", type=click.IntRange(8, 1024), default=64, show_default=True, help="Height and width in pixels.")
@click.option(
    "--channels", type=click.Choice(("1", "3")), default="3", show_default=True, help="Channels: 1 (grey) or 3 (RGB)."
)
@click.option(
    "--fps", type=click.FloatRange(0, min_open=True), help="Frame rate to resample to (default: each video's own)."
)
@click.option(
    "--fit",
    type=click.Choice(("crop", "whole")),
    default="crop",
    show_default=True,
    help="Crop to the centred square, or keep the whole frame and pad with black.",
)
@click.option("--stabilise", is_flag=True, help="Remove camera shake; keep pans.")
@click.option(
    "--group",
    metavar="REGEX",
    help="Regular expression for the part of a name that must stay in one split, e.g. '(person\\d+)'.",
)
@click.option("--workers", type=click.IntRange(1), help="Number of processes (default: one per core).")
@overrides("Set an option of the source, e.g. csv=table.csv.", "pairs")
@overwrite
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
    pairs: tuple[str, ...],
    overwrite: bool,
) -> None:
    """Decode PATH, a folder of videos, frames or strips, into one store for fast training.

    If interrupted, run the same command again to continue. Files that were skipped are listed in the store and in
    OUT.skipped.csv.
    """
    from kvzoo.data.kind import source_for
    from kvzoo.data.prepare import Settings
    from kvzoo.data.remote import local
    from kvzoo.data.source import regroup, resample
    from kvzoo.files import Locked, WriterLock, check_writable

    path, file = local(path), Path(out)
    if file.suffix.lower() not in (".h5", ".hdf5"):
        raise InputError(f"--out {out}: must end in .h5")
    name = source_for(path) if source == "auto" else source
    spec = catalog.SOURCES.get(name)
    if name == "hdf5":
        raise InputError(f"{path}: already a store")
    arguments = check_options("source", name, spec.options, {"path": path, **parse_pairs(pairs, "-o", "csv=table.csv")})
    settings = Settings(size, int(channels), stabilise)
    made_with = {"source": name, "options": arguments, "size": size, "channels": channels, "fps": fps, "fit": fit}
    made_with |= {"stabilise": stabilise, "group": group}
    made_from = _made_from(Path(path), file, made_with)
    lock = WriterLock(file.with_name(f".{file.name}.lock"))
    try:
        if holder := lock.holder():
            raise Locked(holder)
        if _is_finished(file, made_from, overwrite):
            return
        check_writable(file)
        # What is refused here leaves nothing behind: the lock's file stays once it exists.
        opened = spec.load()(**arguments)
        opened.whole = fit == "whole"
        videos = regroup(opened.videos, group) if group and opened.videos else opened.videos
        if fps:
            videos = [resample(video, fps) for video in videos]
        file.parent.mkdir(parents=True, exist_ok=True)
        with lock:
            if _is_finished(file, made_from, overwrite):
                return
            say(f"{path}: {len(videos)} {name}, {sum(video.frames for video in videos)} frames")
            store = _prepare(opened, videos, file, settings, made_from, workers)
    except Locked as holder:
        raise InputError(f"--out {out}: {holder} is writing it") from None
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror or error}") from None
    say(f"{store.clips} clips, {store.frames} frames of {size}x{size}x{channels} in {file}{_skipped(file, store)}")


def _skipped(file: Path, store) -> str:
    """Write the table of what is missing from a store, in full or in part, and return a note on it."""
    table = file.with_name(f"{file.stem}.skipped.csv")
    _write_csv(table, ("name", "reason"), [(each.name, each.reason) for each in store.skipped])
    return f"; {len(store.skipped)} left out or in parts, see {table}" if store.skipped else ""


def _prepare(opened, videos: list, file: Path, settings, made_from: str, workers: int | None):
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


@command.command(renamed={"--html": "--out"}, short_help="Find damaged, duplicate and unbalanced data")
@click.argument("source")
@click.option(
    "--source",
    "kind",
    type=click.Choice(("auto", "videos", "frames", "strips", "npy", "hdf5")),
    default="auto",
    show_default=True,
    help="What SOURCE contains.",
)
@click.option("--recipe", metavar="RECIPE", help="Also report how much of it this recipe can use.")
@click.option(
    "--group",
    metavar="REGEX",
    help="Regular expression for the part of a name that must stay in one split (default: the recipe's).",
)
@out_file("Contact sheet to write, a self-contained .html page.", required=False)
@overrides("Set an option of the source, e.g. csv=table.csv.", "pairs")
@overwrite
@as_json
def check(
    source: str,
    kind: str,
    recipe: str | None,
    group: str | None,
    out: str | None,
    pairs: tuple[str, ...],
    overwrite: bool,
    as_json: bool,
) -> None:
    """Read all of SOURCE once and report on it: a folder of videos, frames or strips, a store, or the name of a source.

    Finds broken files, duplicates (also re-encoded ones) and mirror images, and shows how labels and groups are balanced.
    """
    from kvzoo.data.check import report, scan, sheet, usable
    from kvzoo.data.kind import source_for
    from kvzoo.data.remote import local
    from kvzoo.data.source import regroup
    from kvzoo.files import check_writable, written_whole
    from kvzoo.recipe.resolve import load

    resolved = load(recipe, check_paths=False) if recipe else None
    if out:
        if Path(out).is_dir():
            raise InputError(f"--out {out}: is a folder; must be a file")
        if Path(out).exists() and not overwrite:
            raise InputError(f"{out} already exists; use --overwrite to replace it")
        try:
            check_writable(out)
        except OSError as error:
            raise InputError(f"--out {out}: {error.strerror}") from None
    arguments = parse_pairs(pairs, "-o", "csv=table.csv")
    source = local(source)
    if os.path.exists(source):
        name, arguments = source_for(source) if kind == "auto" else kind, {"path": source, **arguments}
    elif os.sep in source or kind != "auto":
        raise InputError(f"{source}: no such file or folder")
    else:
        name = source
    spec = catalog.SOURCES.get(name)
    opened = spec.load()(**check_options("source", name, spec.options, arguments))
    pattern = group or (resolved and resolved["data"]["group"])
    videos = regroup(opened.videos, pattern) if pattern and opened.videos else opened.videos
    with progress(sum(video.frames for video in videos)) as update:
        findings = scan(opened, videos, update)
    rows = [("source", name), *report(findings, opened), *_not_read(source, opened)]
    if resolved:
        rows += [("recipe", line) for line in usable([each.video for each in findings.clips], resolved)]
    if as_json:
        click.echo(_as_json(rows, findings))
    else:
        for name, value in rows:
            click.echo(f"{name:11}{_printable(value)}")
        for kind, twins in (("duplicates", findings.duplicates), ("mirrors", findings.mirrors)):
            for a, b in twins[:SHOWN]:
                click.echo(f"  {kind}: {_printable(a)} = {_printable(b)}")
        for each in findings.skipped[:SHOWN]:
            click.echo(f"  broken: {_printable(each.name)}: {_printable(each.reason)}")
    if out:
        try:
            with written_whole(out) as temporary:
                temporary.write_text(sheet(findings, rows, source), encoding="utf-8")
        except OSError as error:
            raise InputError(f"--out {out}: {error.strerror}") from None
        if not as_json:
            say(f"contact sheet in {out}")
    if not findings.clips:
        raise InputError(f"{source}: contains nothing usable")


def _as_json(rows: list[tuple[str, str]], findings) -> str:
    """Return what `kvzoo data check` found as JSON; of rows of one name, as a recipe's, there is a list."""
    report: dict[str, str | list[str]] = {name: value for name, value in rows if name != "recipe"}
    if recipe := [value for name, value in rows if name == "recipe"]:
        report["recipe"] = recipe
    record = {
        "report": report,
        "clips": [
            {
                "name": each.video.name,
                "frames": each.video.frames,
                "fps": each.video.fps,
                "label": each.video.label,
                "group": each.video.group,
                "motion": float(each.motion),
            }
            for each in findings.clips
        ],
        "duplicates": [list(pair) for pair in findings.duplicates],
        "mirrors": [list(pair) for pair in findings.mirrors],
        "skipped": [{"name": each.name, "reason": each.reason} for each in findings.skipped],
    }
    return json.dumps(record, indent=2)


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


def _made_from(path: Path, out: Path, settings: dict) -> str:
    """Return a hash over the settings and over names, sizes and times of all files; what `out` writes is left out."""
    from kvzoo.data.source import all_files

    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    own = (str(out), f"{out}.work{os.sep}")
    for file in [path] if path.is_file() else all_files(path)[0]:
        if file.is_file() and not str(file).startswith(own) and file.name != f"{out.stem}.skipped.csv":
            status = file.stat()
            digest.update(os.fsencode(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n"))
    if settings["options"].get("csv"):
        digest.update(Path(settings["options"]["csv"]).read_bytes())
    return digest.hexdigest()[:32]


def _is_finished(file: Path, made_from: str, overwrite: bool) -> bool:
    """Return whether the store exists already, and say so; one that may be replaced counts as missing.

    Raises:
        InputError: another store exists, and may not be replaced.
    """
    if not file.exists():
        return False
    from kvzoo.data.hdf5 import Hdf5, open_store

    try:
        with open_store(file) as opened:
            same = opened.attrs.get("made_from") == made_from
    except InputError:
        if not overwrite or file.is_dir():
            raise
        same = False
    if not same and overwrite:
        return False
    if not same:
        raise InputError(f"{file} already exists, made from other files or settings; use --overwrite to replace it")
    store = Hdf5(str(file))
    frames = sum(video.frames for video in store.videos)
    say(f"{file} is finished: {len(store.videos)} clips, {frames} frames{_skipped(file, store)}")
    return True


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
