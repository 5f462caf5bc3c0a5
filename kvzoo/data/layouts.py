"""Layouts of published data sets: which files belong to a split, their labels and their groups."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from kvzoo.data.source import files_under, is_no_data
from kvzoo.errors import InputError

HMDB_PARTS = {"1": "train", "2": "test"}  # 0: in neither of them

# Clips of one film share its scenes: UCF101 numbers them by class, HMDB51 names the film before its tags.
UCF_GROUP = re.compile(r"v_(.+_g\d+)_c\d+")
HMDB_GROUP = re.compile(r"(.+?)_[a-z_]+_[a-z]_(?:cm|nm)_np\d_")


def rows_of(layout: str, folder: Path, endings: tuple[str, ...], lists: str | None, fold: int, part: str) -> list[dict]:
    """Return the clips of one split, each with path, start, end (seconds), label and group.

    Args:
        layout: "ucf101" (CLASS/v_CLASS_gNN_cNN.avi, trainlist01.txt, …), "hmdb51" (CLASS/NAME.avi,
            CLASS_test_split1.txt, …) or "kinetics" (a CSV with label, youtube_id, time_start, time_end, split; files
            named ID_START_END.mp4, or ID.mp4 for whole ones).
        folder: the folder of the videos.
        endings: file name endings of videos.
        lists: the folder of the split lists, or the CSV.
        fold: number of the published split, 1 to 3.
        part: "train", "test", "validate" or "all".

    Raises:
        InputError: the lists do not exist or are not in the layout's format, or the split has no clip.
    """
    if lists is None:
        raise InputError(
            f"data.lists: required key is missing: the {'CSV' if layout == 'kinetics' else 'folder of split lists'} of {layout}"
        )
    try:
        rows = list(
            {"ucf101": _ucf101, "hmdb51": _hmdb51, "kinetics": _kinetics}[layout](folder, endings, Path(lists), fold)
        )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"data.lists: {lists}: {getattr(error, 'strerror', None) or error}") from None
    clips = [row for row in rows if part in ("all", row.pop("part"))]
    if not clips:
        raise InputError(f"data.lists: {lists}: no clip in part {part!r} of fold {fold}")
    return clips


def _ucf101(folder: Path, endings: tuple[str, ...], lists: Path, fold: int) -> Iterator[dict]:
    for part in ("train", "test"):
        table = lists / f"{part}list{fold:02d}.txt"
        if not table.is_file():
            raise InputError(
                f"data.lists: {table}: no such file; UCF101's splits are trainlist01.txt, testlist01.txt, …"
            )
        for line in filter(None, map(str.strip, table.read_text(encoding="utf-8").splitlines())):
            name = re.sub(r"\s+\d+$", "", line)  # training lists also have the class number
            group = UCF_GROUP.search(name)
            yield _row(folder / name, Path(name).parent.name, group.group(1) if group else name, part)


def _hmdb51(folder: Path, endings: tuple[str, ...], lists: Path, fold: int) -> Iterator[dict]:
    tables = sorted(file for file in lists.glob(f"*_test_split{fold}.txt") if not is_no_data(file.name))
    if not tables:
        raise InputError(f"data.lists: {lists}: no file *_test_split{fold}.txt (the lists of HMDB51)")
    for table in tables:
        label = table.name.removesuffix(f"_test_split{fold}.txt")
        for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            name, _, part = line.strip().rpartition(" ")
            if part not in ("0", "1", "2"):
                raise InputError(f"{table}:{number}: must be a name followed by 0, 1 or 2. Received: {line!r}")
            group = HMDB_GROUP.match(name)
            yield _row(
                folder / label / name.strip(), label, group.group(1) if group else name, HMDB_PARTS.get(part, "")
            )


def _kinetics(folder: Path, endings: tuple[str, ...], lists: Path, fold: int) -> Iterator[dict]:
    stems = {file.stem: file for file in files_under(folder, endings)}
    columns = ("label", "youtube_id", "time_start", "time_end", "split")
    with open(lists, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        reader.fieldnames = [column.strip() for column in reader.fieldnames or ()]
        if missing := [name for name in columns if name not in reader.fieldnames]:
            raise InputError(f"{lists}:1: no column {missing[0]!r}; Kinetics has {', '.join(columns)}")
        for cells in reader:
            line = {name: (cells[name] or "").strip() for name in columns}
            try:
                start, end = float(line["time_start"]), float(line["time_end"])
            except (TypeError, ValueError):
                raise InputError(
                    f"{lists}:{reader.line_num}: time_start and time_end must be in seconds. "
                    f"Received: {line['time_start']!r}, {line['time_end']!r}"
                ) from None
            name = line["youtube_id"]
            stem = f"{name}_{int(start):06d}_{int(end):06d}"
            whole = stem not in stems and name in stems
            path = stems[name] if whole else stems.get(stem, folder / f"{stem}.mp4")
            yield _row(path, line["label"], name, line["split"], start if whole else 0.0, end if whole else None)


def _row(path: Path, label: str, group: str, part: str, start: float = 0.0, end: float | None = None) -> dict:
    return {"path": path, "label": label, "group": group, "part": part, "start": start, "end": end}
