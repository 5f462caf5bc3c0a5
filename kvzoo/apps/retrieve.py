"""The clips of a gallery that are most like a query, by the cosine of their features.

A gallery's features are kept in a file; only videos that are new or changed are read again.
"""

import base64
import hashlib
import io
import json
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from kvzoo.apps.embed import Features, run_with_features
from kvzoo.apps.outputs import check_file
from kvzoo.data.source import files_under, square
from kvzoo.data.videos import ENDINGS, open_video
from kvzoo.errors import InputError
from kvzoo.media.clips import written_whole
from kvzoo.recipe.resolve import Recipe
from kvzoo.run.folder import RunFolder

SIDE = 160  # pixels of a picture's side on the page
SHOWN = 64  # frames of a clip on the page, at most
SAVE_EVERY = 30.0  # seconds after which a long indexing is saved
VERSION = 1


@dataclass(frozen=True)
class Match:
    """A clip that is like the query: its video, relative to the gallery, its time in seconds, and the cosine."""

    name: str
    seconds: float
    similarity: float


@dataclass(frozen=True)
class Retrieved:
    """What was found.

    Attributes:
        matches: the most alike first, one of each video.
        videos: how many the gallery has.
        embedded: how many of them were read this time; the others were in the index.
        skipped: (name, why) of those that cannot be read.
        index: the file that keeps the gallery's features.
        note: what was wrong with the index; "" where nothing was.
    """

    matches: list[Match]
    videos: int
    embedded: int
    skipped: list[tuple[str, str]]
    index: Path
    note: str = ""


def retrieve(
    run: str | os.PathLike,
    query: str | os.PathLike,
    gallery: str | os.PathLike,
    out: str | os.PathLike,
    top: int = 5,
    *,
    index: str | os.PathLike | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Retrieved:
    """Find the clips of a gallery that are most like a query, and write a page on which they play.

    The query is the mean of its windows' features; each video of the gallery answers with the window that is most
    alike. The query itself is left out where it lies in the gallery.

    Args:
        run: a run folder of a model with a layer of features.
        query: a video file.
        gallery: a folder of video files, searched with its subfolders.
        out: the page to write, .html.
        top: how many to find.
        index: the file that keeps the gallery's features; one in the run folder when None.
        overwrite: whether `out` may be there already.
        progress: called with 1 after each video of the gallery.

    Raises:
        InputError: no run, no model yet, a model without such features, no query or gallery that can be read, a file
            that cannot be written as wanted.
    """
    _, files = check(run, query, gallery, out, top, overwrite)
    features = Features(run)
    asked = features(query).features.mean(0)

    kept = _Index(Path(index) if index else _own_index(run, gallery), RunFolder(run).model)
    embedded = kept.update(Path(gallery), files, features, progress)
    rivals = [row for row in kept.rows if not (Path(gallery) / row.name).samefile(query)]
    found = sorted((row.nearest(asked) for row in rivals if not row.reason), key=lambda match: -match.similarity)[:top]
    skipped = [(row.name, row.reason) for row in rivals if row.reason]
    if not found:
        why = f", such as {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        raise InputError(f"{gallery}: nothing usable among {len(rivals)} videos{why}")
    try:
        _write_page(Path(out), Path(query), Path(gallery), found, features.length)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written: {error.strerror or error}") from error
    return Retrieved(found, len(files), embedded, skipped, kept.path, kept.note)


def check(run, query, gallery, out, top: int = 5, overwrite: bool = False) -> tuple[Recipe, list[Path]]:
    """Return a run's recipe and the gallery's files; refuses what can be refused without Keras."""
    recipe = run_with_features("retrieve", run)
    if top < 1:
        raise InputError(f"--top: at least 1. Received: {top}")
    check_file(out, (".html",), overwrite)
    open_video(query)
    return recipe, files_under(gallery, ENDINGS)


def _own_index(run: str | os.PathLike, gallery: str | os.PathLike) -> Path:
    place = Path(gallery).resolve()
    return RunFolder(run).path / "index" / f"{place.name}-{hashlib.sha256(str(place).encode()).hexdigest()[:8]}.npz"


@dataclass
class _Row:
    """A video of the index: its file as it was, and its windows or why there are none."""

    name: str
    size: int
    changed: int
    fps: float = 0.0
    reason: str = ""
    first: np.ndarray = field(default_factory=lambda: np.empty(0, int), repr=False)
    features: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32), repr=False)

    def nearest(self, query: np.ndarray) -> Match:
        lengths = np.linalg.norm(self.features, axis=1) * np.linalg.norm(query)
        cosines = self.features @ query / np.maximum(lengths, 1e-12)
        best = int(cosines.argmax())
        return Match(self.name, float(self.first[best] / self.fps), float(cosines[best]))


class _Index:
    """A gallery's features on disk, of one network.

    Attributes:
        path: the file.
        rows: one a video.
        note: what was wrong with the file.
    """

    def __init__(self, path: Path, model: Path):
        self.path, self.note = path, ""
        self._model = hashlib.sha256(model.read_bytes()).hexdigest()
        self.rows: list[_Row] = []
        try:
            with np.load(path, allow_pickle=False) as arrays:
                record = json.loads(str(arrays["record"]))
                if (record["version"], record["model"]) != (VERSION, self._model):
                    return
                ends = np.cumsum([0, *(row.pop("windows") for row in record["rows"])])
                first, features = arrays["first"], arrays["features"]
                for row, begin, end in zip(record["rows"], ends, ends[1:], strict=False):
                    self.rows.append(_Row(**row, first=first[begin:end], features=features[begin:end]))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            self.rows, self.note = [], f"{path} could not be read and is made anew"

    def update(self, gallery: Path, files: list[Path], features: Features, progress) -> int:
        """Read the videos that are new or have changed; return how many."""
        known = {(row.name, row.size, row.changed): row for row in self.rows}
        rows, embedded, saved = [], 0, time.monotonic()
        for file in files:
            state = file.stat()
            row = _Row(file.relative_to(gallery).as_posix(), state.st_size, state.st_mtime_ns)
            if (before := known.get((row.name, row.size, row.changed))) is not None:
                row = before
            else:
                embedded += 1
                try:
                    windows = features(file)
                    row.fps, row.first, row.features = windows.fps, windows.first, windows.features
                except InputError as error:
                    row.reason = str(error).removeprefix(f"{file}: ")
            rows.append(row)
            if progress:
                progress(1)
            if embedded and time.monotonic() - saved > SAVE_EVERY:
                self._save(rows)
                saved = time.monotonic()
        if embedded or len(rows) != len(self.rows):
            self._save(rows)
        self.rows = rows
        return embedded

    def _save(self, rows: list[_Row]) -> None:
        listed = [
            {"name": r.name, "size": r.size, "changed": r.changed, "fps": r.fps, "reason": r.reason,
             "windows": len(r.first)}
            for r in rows
        ]  # fmt: skip
        read = [row for row in rows if not row.reason]
        arrays = {
            "first": np.concatenate([r.first for r in read]) if read else np.empty(0, int),
            "features": np.concatenate([r.features for r in read]) if read else np.empty((0, 0), np.float32),
        }
        record = json.dumps({"version": VERSION, "model": self._model, "rows": listed})
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self.path) as beside:
                np.savez(beside, record=np.array(record), **arrays)
        except OSError as error:
            raise InputError(f"--index {self.path}: cannot be written: {error.strerror or error}") from error


def _write_page(out: Path, query: Path, gallery: Path, found: list[Match], length: int) -> None:
    import jinja2

    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        resources.files("kvzoo.apps").joinpath("retrieve.html.j2").read_text(encoding="utf-8")
    )
    stream = open_video(query)
    first = max(0, (stream.frames - SHOWN) // 2)
    clips = [(match, _moving(gallery / match.name, match.seconds, min(length, SHOWN))) for match in found]
    page = template.render(
        name=query.name, query=_moving(query, first / stream.fps, SHOWN), clips=clips, length=length, side=SIDE
    )
    with written_whole(out) as beside:
        beside.write_text(page, encoding="utf-8")


def _moving(path: Path, seconds: float, count: int) -> str:
    """Return frames of a video as a data URI that plays for ever in its own time."""
    stream = open_video(path)
    first = round(seconds * stream.fps)
    frames: Iterator = islice(stream, first, first + count)
    images, file = [Image.fromarray(square(frame, SIDE, 3)) for frame in frames], io.BytesIO()
    images[0].save(
        file, "WEBP", save_all=True, append_images=images[1:], duration=round(1000 / stream.fps), loop=0, quality=80
    )
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")
