"""The runs in a folder: their states and best figures. Needs no Keras."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

from kvzoo.errors import InputError
from kvzoo.run.folder import LOCK, RunFolder, State
from kvzoo.run.history import History


@dataclass(frozen=True)
class Listed:
    """One run.

    Attributes:
        path: its folder.
        model: its registered name; "?" where the recipe is broken.
        state: how far it is.
        best: name of a metric, the step where it was best and its value; None where nothing was measured.
        problem: what is wrong with the folder, "" where nothing is.
    """

    path: Path
    model: str
    state: State
    best: tuple[str, int, float] | None
    problem: str = ""


def runs(folder: str | os.PathLike = "runs") -> list[Listed]:
    """Return the runs in a folder, the newest last.

    Raises:
        InputError: there is no such folder.
    """
    folder = Path(folder)
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: no such folder")
    paths = [path.parent for path in folder.glob(f"*/{LOCK}") if not path.parent.is_symlink()]
    return sorted(map(_listed, paths), key=lambda run: (run.path / LOCK).stat().st_mtime)


def _listed(path: Path) -> Listed:
    run = RunFolder(path)
    try:
        recipe = run.recipe(check_paths=False)
        best = History(run, upto=math.inf).best(recipe["fit"].get("best"))
        return Listed(path, recipe["model"]["name"], run.state(), best)
    except (InputError, ValueError, KeyError, OSError) as error:
        # One broken run does not hide the others.
        return Listed(path, "?", run.state(), None, " ".join(str(error).split()))
