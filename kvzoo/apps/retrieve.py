"""The clips of a gallery that are most like a query, by the cosine of their features.

A gallery's features are kept in a file; only videos that are new or changed are read again.
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
from kvzoo.apps.outputs import check_file, check_makeable, unique_stem
from kvzoo.data.source import files_under, square
from kvzoo.data.videos import ENDINGS, open_video
from kvzoo.errors import InputError
from kvzoo.media.clips import writing, written_whole
from kvzoo.media.pages import render
from kvzoo.recipe.resolve import Recipe
from kvzoo.run.folder import RunFolder

SIDE = 160  # pixels of a picture's side on the page
SHOWN = 64  # frames of a clip on the page, at most
SAVE_EVERY = 30.0  # seconds after which a long indexing is saved
VERSION = 2
WINDOWS = ("first", "seconds", "features")  # arrays of an index, a row a window


@dataclass(frozen=True)
class Match:
    """A clip that is like the query.

    Attributes:
        name: of its video, relative to the gallery.
        first: its first frame.
        seconds: when that is shown.
        similarity: the cosine.
    """

    name: str
    first: int
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
    out: str | os.PathLike | None = None,
    top: int = 5,
    *,
    index: str | os.PathLike | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Retrieved:
    """Find the clips of a gallery that are most like a query; write a page on which they play if asked to.

    The query is the mean of its windows' features; each video of the gallery answers with the window that is most
    alike. The query itself is left out where it lies in the gallery.

    Args:
        run: a run folder of a model with a layer of features.
        query: a video file.
        gallery: a folder of video files, searched with its subfolders.
        out: the page to write, .html; none when None.
        top: how many to find.
        index: the file that keeps the gallery's features; one in the run folder when None.
        overwrite: whether `out` may be there already.
        progress: called with 1 after each video of the gallery.

    Raises:
        InputError: no run, no model yet, a model without such features, no query or gallery that can be read, a file
            that cannot be written as wanted.
    """
    _, files = check(run, query, gallery, out, top, overwrite, index)
    features = Features(run)
    asked = features(query)

    kept = _Index(Path(index) if index else _own_index(run, gallery), RunFolder(run).model)
    embedded = kept.update(Path(gallery), files, features, progress)
    itself = os.path.realpath(query)
    rivals = [row for row in kept.rows if os.path.realpath(Path(gallery) / row.name) != itself]
    mean = asked.features.mean(0)
    found = sorted((row.nearest(mean) for row in rivals if not row.reason), key=lambda match: -match.similarity)[:top]
    skipped = [(row.name, row.reason) for row in rivals if row.reason]
    if not found:
        why = f", such as {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        raise InputError(f"{gallery}: nothing usable among {len(rivals)} videos{why}")
    if out is not None:
        # The query's middle, as far as it can be decoded.
        first = max(0, (int(asked.first[-1]) + features.length - SHOWN) // 2)
        _write_page(Path(out), Path(query), first, Path(gallery), found, features.length)
    return Retrieved(found, len(files), embedded, skipped, kept.path, kept.note)


def check(
    run, query, gallery, out=None, top: int = 5, overwrite: bool = False, index: str | os.PathLike | None = None
) -> tuple[Recipe, list[Path]]:
    """Return a run's recipe and the gallery's files; refuses what can be refused without Keras."""
    recipe = run_with_features("retrieve", run)
    if top < 1:
        raise InputError(f"--top: at least 1. Received: {top}")
    if out is not None:
        check_file(out, (".html",), overwrite)
    _check_index(Path(index) if index else _own_index(run, gallery))
    open_video(query)
    return recipe, files_under(gallery, ENDINGS)


def _check_index(index: Path) -> None:
    """Refuse to write an index in place of a file that is none."""
    check_makeable(index.parent, f"--index {index}")
    if os.path.isdir(index):
        raise InputError(f"--index {index}: is a folder")
    try:
        # A damaged index may be replaced; it begins as archives do, too.
        with open(index, "rb") as file:
            none = file.read(2) not in (b"PK", b"") or (
                zipfile.is_zipfile(index) and "record.npy" not in zipfile.ZipFile(index).namelist()
            )
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"--index {index}: {error.strerror}") from None
    if none:
        raise InputError(f"--index {index}: is no index of an earlier call, and is not replaced")


def _own_index(run: str | os.PathLike, gallery: str | os.PathLike) -> Path:
    place = Path(gallery).resolve()
    name = unique_stem(place.name, set())
    return RunFolder(run).path / "index" / f"{name}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:8]}.npz"


@dataclass
class _Row:
    """A video of the index: its file as it was, and its windows or why there are none."""

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
                windows = {key: arrays[key] for key in WINDOWS}
                for row, begin, end in zip(record["rows"], ends, ends[1:], strict=False):
                    self.rows.append(_Row(**row, **{key: values[begin:end] for key, values in windows.items()}))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            self.rows, self.note = [], f"{path} could not be read and is made anew"

    def update(self, gallery: Path, files: list[Path], features: Features, progress) -> int:
        """Read the videos that are new or have changed; return how many. What is known is saved, however it ends."""
        known = {(row.name, row.size, row.changed): row for row in self.rows}
        rows: dict[tuple, _Row] = {}
        embedded, saved, done = 0, time.monotonic(), False
        try:
            for file in files:
                row = _state(file, gallery)
                if (before := known.get(row.key)) is not None:
                    row = before
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
                if embedded and time.monotonic() - saved > SAVE_EVERY:
                    self._save([*{**known, **rows}.values()])
                    saved = time.monotonic()
            done = True
        finally:
            # What was known of videos that were not reached is kept.
            self.rows = [*(rows if done else {**known, **rows}).values()]
            if embedded or (done and len(rows) != len(known)):
                self._save(self.rows)
        return embedded

    def _save(self, rows: list[_Row]) -> None:
        listed = [
            {"name": r.name, "size": r.size, "changed": r.changed, "reason": r.reason, "windows": len(r.first)}
            for r in rows
        ]
        read = [row for row in rows if not row.reason] or [_Row("", 0, 0)]
        arrays = {key: np.concatenate([getattr(row, key) for row in read]) for key in WINDOWS}
        record = json.dumps({"version": VERSION, "model": self._model, "rows": listed})
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # An open file, as NumPy adds an ending to a name that has none.
            with written_whole(self.path) as beside, open(beside, "wb") as file:
                np.savez(file, record=np.array(record), **arrays)


def _state(file: Path, gallery: Path) -> _Row:
    """Return a row for a file as it is now."""
    name = file.relative_to(gallery).as_posix()
    try:
        state = file.stat()
    except OSError:  # It is gone; reading it says so.
        return _Row(name, -1, 0)
    return _Row(name, state.st_size, state.st_mtime_ns)


def _write_page(out: Path, query: Path, first: int, gallery: Path, found: list[Match], length: int) -> None:
    page = render(
        "apps/retrieve.html.j2",
        name=query.name,
        query=_moving(query, first, SHOWN),
        clips=[(match, _moving(gallery / match.name, match.first, min(length, SHOWN))) for match in found],
        length=length,
        side=SIDE,
    )
    with writing(out), written_whole(out) as beside:
        beside.write_text(page, encoding="utf-8")


def _moving(path: Path, first: int, count: int) -> str:
    """Return frames of a video as a data URI that plays for ever at their own times; "" where none can be decoded."""
    try:
        stream = open_video(path)
    except InputError:  # It was there when it was embedded.
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
