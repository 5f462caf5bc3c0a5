"""The run folder, with everything that one fit writes. Needs no Keras."""

import json
import os
import re
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from kvzoo import catalog
from kvzoo.errors import InputError
from kvzoo.files import Locked, WriterLock, leftovers, link_whole, writing, written_whole
from kvzoo.recipe.resolve import Recipe, load, to_yaml

LOCK = "recipe.lock.yaml"
BEST = "best.keras"
STATES = ("running", "done", "interrupted", "failed", "killed", "unknown")


@dataclass(frozen=True)
class State:
    """How far a run is.

    Attributes:
        state: one of STATES; "killed" where its process ended without noting why, "unknown" of a run of an older version.
        step: steps done and saved.
        steps: that it is to have; None where nothing says.
        message: why it ended.
        pid, host: of the process that wrote this.
        time: when, in seconds since 1970.
    """

    state: str = "unknown"
    step: int = 0
    steps: int | None = None
    message: str = ""
    pid: int | None = None
    host: str = ""
    time: float = 0.0


class RunFolder:
    """Paths of a run, and the lock on writing to it.

    Args:
        path: the folder, or its best.keras, for the run with that network as its model.

    Attributes:
        path: the folder.
        model: the plain network, which stock Keras loads.
    """

    def __init__(self, path: str | os.PathLike):
        path = Path(path)
        of_best = path.name == BEST and not path.is_dir()
        self.path, self.model = (path.parent, path) if of_best else (path, path / "model.keras")
        self._writer = WriterLock(self.path / ".writer")

    @property
    def best(self) -> Path:
        """The plain network where the metric of `fit.best` was best."""
        return self.path / BEST

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def history(self) -> Path:
        return self.path / "history.csv"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    def recipe(self, overrides: Iterable[str] = (), check_paths: bool = True) -> Recipe:
        """Return the recipe of the run.

        Raises:
            InputError: the folder is no run, or its lock file is broken.
        """
        if not (self.path / LOCK).is_file():
            raise InputError(f"{self.path}: not a run folder: no {LOCK} in it")
        return load(self.path / LOCK, overrides, check_paths=check_paths)

    def trained(self, verb: str, check_paths: bool = False) -> Recipe:
        """Return the recipe of a run that has a model, for a verb, or an option, that serves its task.

        Raises:
            InputError: the folder is no run, its task is none that the verb serves, or there is no model yet.
        """
        recipe = self.recipe(check_paths=check_paths)
        task = catalog.task_of(recipe.model_spec, recipe.loss_spec)
        if verb.lstrip("-") not in task.apps:
            tasks = ", ".join(catalog.serving(verb.lstrip("-")))
            raise InputError(
                f"{self.path}: {recipe.model_spec.name} was trained for {task.name}; {verb} is for {tasks}"
            )
        if self.model == self.best and not self.best.is_file():
            raise InputError(f"{self.path}: no {BEST}; it is saved if fit.best names a metric")
        if not self.model.is_file():
            raise InputError(f"{self.path}: no {self.model.name} yet; finish the run with: kvzoo resume {self.path}")
        return recipe

    def acquire(self) -> None:
        """Become the one writer of this folder.

        Raises:
            InputError: another process writes to it, or nobody can.
        """
        try:
            self._writer.acquire()
        except Locked as holder:
            raise InputError(f"{self.path}: {holder} is writing to this run") from None
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written to: {error.strerror}") from None
        # Partial files of a killed process.
        for file in leftovers(self.path):
            file.unlink(missing_ok=True)

    def release(self) -> None:
        """Let others write to this folder."""
        self._writer.release()

    def note(self, state: str, step: int, steps: int, message: str = "") -> None:
        """Record how far the run is."""
        now = State(state, step, steps, message, os.getpid(), socket.gethostname(), time.time())
        path = self.path / "state.json"
        with writing(path), written_whole(path) as temporary:
            temporary.write_text(json.dumps(asdict(now), indent=2) + "\n", encoding="utf-8")

    def state(self) -> State:
        """Return how far the run is: as recorded, but "killed" where the process that was running it no longer exists."""
        last = self._recorded()
        step = max([step_of(f) for f in self.saved()], default=0)
        if last.state == "unknown" or (last.state == "running" and not self._writer.holder()):
            state = "killed" if last.state == "running" else "unknown"
            return State(state, step, last.steps, last.message, last.pid, last.host, last.time)
        return last

    def saved(self) -> list[Path]:
        """Return the checkpoints, oldest first."""
        return checkpoints_in(self.checkpoints)

    def _recorded(self) -> State:
        # A file that anybody can edit: what is no state says nothing.
        try:
            record = json.loads((self.path / "state.json").read_text(encoding="utf-8"))
            state = State(**record)
        except (OSError, ValueError, TypeError, RecursionError):
            return State()
        numbers = (state.step, state.steps or 0, state.pid or 0, state.time)
        if state.state not in STATES or not all(isinstance(n, (int, float)) for n in numbers):
            return State()
        return State(**{**record, "message": str(state.message), "host": str(state.host)})

    def write_lock(self, values: dict) -> None:
        path = self.path / LOCK
        with writing(path), written_whole(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.write("# A resolved recipe: `kvzoo fit` on this file reproduces the run.\n")
            to_yaml(values, file)


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, oldest first."""
    return sorted(f for f in folder.glob("step-*.npz") if re.fullmatch(r"step-\d+\.npz", f.name))


def step_of(checkpoint: Path) -> int:
    """Return the step that a checkpoint was written at."""
    return int(checkpoint.stem.removeprefix("step-"))


def planned(recipe_name: str, out: str | os.PathLike | None) -> Path:
    """Return where a new run goes: `out`, or the next free runs/RECIPE-N. Makes nothing.

    Raises:
        InputError: `out` exists and is not empty, or cannot be written to.
    """
    if out is not None:
        path = Path(out)
        try:
            names = os.listdir(path)
        except FileNotFoundError:
            names = []
        except NotADirectoryError:
            raise InputError(f"--out {path}: is {'a file' if os.path.isfile(path) else 'in a file'}") from None
        except OSError as error:
            raise InputError(f"--out {path}: cannot be written to: {error.strerror}") from None
        if LOCK in names:
            raise InputError(f"--out {path}: already holds a run; resume it with: kvzoo resume {path}")
        if names:
            raise InputError(f"--out {path}: is not empty")
    else:
        number = re.compile(re.escape(recipe_name) + r"-(\d+)")
        numbers = [int(m[1]) for f in Path("runs").glob("*") if (m := number.fullmatch(f.name))]
        path = Path("runs") / f"{recipe_name}-{max(numbers, default=0) + 1}"
    parent = path.absolute()
    while not os.path.exists(parent):
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"--out {path}: {parent} cannot be written to")
    return path


def create(path: Path) -> RunFolder:
    """Make a run folder and, next to it, the link `latest`.

    Raises:
        InputError: it cannot be made.
    """
    folder, new = RunFolder(path), not os.path.exists(path)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.checkpoints.mkdir()
        folder.samples.mkdir()
    except FileExistsError:
        raise InputError(f"--out {path}: another run has just started there") from None
    except OSError as error:
        for new_folder in (folder.samples, folder.checkpoints, *([folder.path] if new else [])):
            with suppress(OSError):
                new_folder.rmdir()
        raise InputError(f"--out {path}: cannot be written to: {error.strerror}") from None
    folder.acquire()
    _link_latest(path)
    return folder


def _link_latest(path: Path) -> None:
    latest = path.parent / "latest"
    if latest.is_symlink() or not latest.exists():
        with suppress(OSError):  # A file system without links loses a convenience, not a run.
            link_whole(path.name, latest)
