"""Find the clips of a gallery that are most similar to a query, by the cosine of their features.

A gallery's features are stored in an index file; only new or changed videos are read again.
"""

import base64
import contextlib
import hashlib
import io
import json
import os
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from kvzoo.apps.embed import Features, run_with_features
from kvzoo.apps.outputs import check_creatable, check_file, unique_stem
from kvzoo.data.source import files_under, square
from kvzoo.data.videos import ENDINGS, open_video
from kvzoo.errors import InputError
from kvzoo.files import writing, written_whole
from kvzoo.media.pages import render
from kvzoo.recipe.resolve import Recipe
from kvzoo.run.folder import RunFolder

SIDE = 160  # pixels of an image's side on the page
SHOWN = 64  # frames of a clip on the page, at most
SAVE_EVERY = 30.0  # seconds after which a long indexing is saved
VERSION = 2
WINDOWS = ("first", "seconds", "features")  # arrays of an index, one row per window


@dataclass(frozen=True)
class Match:
    """A clip similar to the query.

    Attributes:
        name: its video, relative to the gallery.
        first: its first frame.
        seconds: display time of that frame.
        similarity: cosine similarity.
    """

    name: str
    first: int
    seconds: float
    similarity: float


@dataclass(frozen=True)
class Retrieval:
    """The result of `retrieve`.

    Attributes:
        matches: closest matches first, one per video.
        videos: number of videos in the gallery.
        embedded: number of videos read by this call; the others were in the index.
        skipped: (name, reason) of the videos that cannot be read.
        index: the file with the gallery's features.
        note: what is wrong with the index; "" if nothing is.
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
    out: str | os.PathLike | None = None,
    top: int = 5,
    *,
    index: str | os.PathLike | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Retrieval:
    """Find the clips of a gallery that are most similar to a query, and optionally write a page that plays them.

    The query is the mean of its windows' features; each video of the gallery is represented by its most similar window.
    The query itself is excluded if it is in the gallery.

    Args:
        run: a run folder of a model with a feature layer.
        query: a video file.
        gallery: a folder of video files, searched with its subfolders.
        out: the page to write, .html; None for no page.
        top: number of matches.
        index: the file with the gallery's features; by default one in the run folder.
        overwrite: replace `out` if it exists.
        progress: called with 1 after each video of the gallery.

    Raises:
        InputError: `run` is not a run folder, has no model yet, or its model has no feature layer; the query or all of
            the gallery cannot be read; or a file cannot be written.
    """
    _, files = check_request(run, query, gallery, out, top, overwrite, index)
    features = Features(run)
    query_windows = features(query)

    gallery_index = _Index(Path(index) if index else _own_index(run, gallery), RunFolder(run).model)
    embedded = gallery_index.update(Path(gallery), files, features, progress)
    itself = os.path.realpath(query)
    rivals = [row for row in gallery_index.rows if os.path.realpath(Path(gallery) / row.name) != itself]
    mean = query_windows.features.mean(0)
    matches = sorted((row.nearest(mean) for row in rivals if not row.reason), key=lambda match: -match.similarity)[:top]
    skipped = [(row.name, row.reason) for row in rivals if row.reason]
    if not matches:
        why = f", such as {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        raise InputError(f"{gallery}: none of the {len(rivals)} videos is usable{why}")
    if out is not None:
        # The middle of the decodable part of the query.
        first = max(0, (int(query_windows.first[-1]) + features.length - SHOWN) // 2)
        _write_page(Path(out), Path(query), first, Path(gallery), matches, features.length)
    return Retrieval(matches, len(files), embedded, skipped, gallery_index.path, gallery_index.note)


def check_request(
    run, query, gallery, out=None, top: int = 5, overwrite: bool = False, index: str | os.PathLike | None = None
) -> tuple[Recipe, list[Path]]:
    """Validate the arguments without Keras and return the run's recipe and the gallery's files."""
    recipe = run_with_features("retrieve", run)
    if top < 1:
        raise InputError(f"--top: must be at least 1. Received: {top}")
    if out is not None:
        check_file(out, (".html",), overwrite)
    _check_index(Path(index) if index else _own_index(run, gallery))
    open_video(query)
    return recipe, files_under(gallery, ENDINGS)


def _check_index(index: Path) -> None:
    """Check that an index file can be written, and does not replace another kind of file."""
    check_creatable(index.parent, f"--index {index}")
    if os.path.isdir(index):
        raise InputError(f"--index {index}: is a folder")
    try:
        # A damaged index may be replaced; it begins like any archive.
        with open(index, "rb") as file:
            foreign = file.read(2) not in (b"PK", b"") or (
                zipfile.is_zipfile(index) and "record.npy" not in zipfile.ZipFile(index).namelist()
            )
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"--index {index}: {error.strerror}") from None
    if foreign:
        raise InputError(f"--index {index}: exists and is not an index; use another file")


def _own_index(run: str | os.PathLike, gallery: str | os.PathLike) -> Path:
    place = Path(gallery).resolve()
    name = unique_stem(place.name, set())
    return RunFolder(run).path / "index" / f"{name}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:8]}.npz"


@dataclass
class _Row:
    """A video of the index: the state of its file, and its windows or why there are none."""

    name: str
    size: int
    changed: int
    reason: str = ""
    first: np.ndarray = field(default_factory=lambda: np.empty(0, int), repr=False)
    seconds: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)
    features: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32), repr=False)

    @property
    def key(self) -> tuple[str, int, int]:
        return self.name, self.size, self.changed

    def nearest(self, query: np.ndarray) -> Match:
        lengths = np.linalg.norm(self.features, axis=1) * np.linalg.norm(query)
        cosines = self.features @ query / np.maximum(lengths, 1e-12)
        best = int(cosines.argmax())
        return Match(self.name, int(self.first[best]), float(self.seconds[best]), float(cosines[best]))


class _Index:
    """The stored features of a gallery for one network.

    Attributes:
        path: the file.
        rows: one per video.
        note: what is wrong with the file.
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
                windows = {key: arrays[key] for key in WINDOWS}
                for row, begin, end in zip(record["rows"], ends, ends[1:], strict=False):
                    self.rows.append(_Row(**row, **{key: values[begin:end] for key, values in windows.items()}))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            self.rows, self.note = [], f"{path} could not be read and is rebuilt"

    def update(self, gallery: Path, files: list[Path], features: Features, progress) -> int:
        """Read new and changed videos and return their number; the result so far is saved even if an error occurs."""
        previous = {(row.name, row.size, row.changed): row for row in self.rows}
        rows: dict[tuple, _Row] = {}
        embedded, last_save, complete = 0, time.monotonic(), False
        try:
            for file in files:
                row = _state(file, gallery)
                if (old := previous.get(row.key)) is not None:
                    row = old
                else:
                    embedded += 1
                    try:
                        windows = features(file)
                        row.first, row.seconds, row.features = windows.first, windows.seconds, windows.features
                    except InputError as error:
                        row.reason = str(error).removeprefix(f"{file}: ")
                rows[row.key] = row
                if progress:
                    progress(1)
                if embedded and time.monotonic() - last_save > SAVE_EVERY:
                    self._save([*{**previous, **rows}.values()])
                    last_save = time.monotonic()
            complete = True
        finally:
            # Earlier rows of videos that were not reached are kept.
            self.rows = [*(rows if complete else {**previous, **rows}).values()]
            if embedded or (complete and len(rows) != len(previous)):
                self._save(self.rows)
        return embedded

    def _save(self, rows: list[_Row]) -> None:
        records = [
            {"name": r.name, "size": r.size, "changed": r.changed, "reason": r.reason, "windows": len(r.first)}
            for r in rows
        ]
        usable = [row for row in rows if not row.reason] or [_Row("", 0, 0)]
        arrays = {key: np.concatenate([getattr(row, key) for row in usable]) for key in WINDOWS}
        record = json.dumps({"version": VERSION, "model": self._model, "rows": records})
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # An open file, because NumPy adds an ending to a name without one.
            with written_whole(self.path) as temporary, open(temporary, "wb") as file:
                np.savez(file, record=np.array(record), **arrays)


def _state(file: Path, gallery: Path) -> _Row:
    """Return a row with the current state of a file."""
    name = file.relative_to(gallery).as_posix()
    try:
        state = file.stat()
    except OSError:  # It was deleted; reading it reports that.
        return _Row(name, -1, 0)
    return _Row(name, state.st_size, state.st_mtime_ns)


def _write_page(out: Path, query: Path, first: int, gallery: Path, matches: list[Match], length: int) -> None:
    page = render(
        "apps/retrieve.html.j2",
        name=query.name,
        query=_animation(query, first, SHOWN),
        clips=[(match, _animation(gallery / match.name, match.first, min(length, SHOWN))) for match in matches],
        length=length,
        side=SIDE,
    )
    with writing(out), written_whole(out) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _animation(path: Path, first: int, count: int) -> str:
    """Return frames of a video as a data URI that loops at their own times; "" if none can be decoded."""
    try:
        stream = open_video(path)
    except InputError:  # It existed when it was embedded.
        return ""
    with contextlib.closing(iter(stream)) as frames:
        images = [Image.fromarray(square(frame, SIDE, 3)) for frame in islice(frames, first, first + count)]
    if not images:
        return ""
    times = np.append(stream.seconds, np.inf)[first : first + len(images) + 1]
    durations = np.diff(times)
    durations[~np.isfinite(durations)] = 1 / stream.fps
    file = io.BytesIO()
    images[0].save(
        file, "WEBP", save_all=True, append_images=images[1:], duration=np.round(1000 * durations).astype(int).tolist(),
        loop=0, quality=80,
    )  # fmt: skip
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")
