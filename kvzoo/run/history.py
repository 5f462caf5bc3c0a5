"""history.csv: what a run measured, one row per interval. Needs no Keras."""

import csv
import functools
import io
import math
from collections.abc import Iterable, Mapping, Sequence

from kvzoo import catalog
from kvzoo.errors import KvzooError
from kvzoo.media.clips import written_whole
from kvzoo.recipe.schema import mode_of
from kvzoo.registry import TaskSpec
from kvzoo.run.folder import RunFolder, writing


class History:
    """The rows of history.csv, with columns as they come.

    Attributes:
        rows: by step, in order.
    """

    def __init__(self, folder: RunFolder, upto: float | None = None):
        self._folder, self._path = folder, folder.history
        self.rows: list[dict[str, float]] = []
        if upto is not None and self._path.exists():
            with open(self._path, newline="") as file:
                rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
            # Rows after the checkpoint are measured again.
            self.rows = [{**r, "step": int(r["step"])} for r in rows if r["step"] <= upto]

    @functools.cached_property
    def task(self) -> TaskSpec | None:
        """What the run trains its model for; None where its recipe does not say, as where a plugin is missing."""
        try:
            recipe = self._folder.recipe(check_paths=False)
            return catalog.task_of(recipe.model_spec, recipe.loss_spec)
        except KvzooError:
            return None

    def add(self, row: dict[str, float]) -> None:
        self.rows.append(row)
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        # repr keeps every bit, so that equal runs have equal files.
        writer.writerows({k: repr(v) for k, v in row.items()} for row in self.rows)
        with writing(self._path), written_whole(self._path) as temporary:
            temporary.write_text(text.getvalue())

    def names(self) -> list[str]:
        """Return the columns but for the step."""
        return list(dict.fromkeys(name for row in self.rows for name in row if name != "step"))

    def curve(self, name: str) -> tuple[list[int], list[float]]:
        """Return the steps and values of one column."""
        rows = [row for row in self.rows if name in row]
        return [row["step"] for row in rows], [row[name] for row in rows]

    def best(self, criterion: Mapping | None = None, since: int = 0) -> tuple[str, int, float] | None:
        """Return the name of a metric, the step after 0 where it was best and its value there.

        Args:
            criterion: {"monitor": …, "mode": …} of a recipe's `fit.best`; when None the first of the task's `best`
                columns that the history has.
            since: a step; earlier rows do not count.
        """
        name = criterion["monitor"] if criterion else self._default_monitor()
        points = (
            [(step, value) for step, value in zip(*self.curve(name), strict=True) if step >= max(1, since)]
            if name
            else []
        )
        if not points:
            return None
        sign = self._sign(name, criterion["mode"] if criterion else "auto")
        value, step = min((sign * value, step) for step, value in points)
        return name, step, sign * value

    def _default_monitor(self) -> str | None:
        columns = self.task.best if self.task else TaskSpec.best
        return next((name for name in columns if name in self.names()), None)

    def _sign(self, name: str, mode: str) -> int:
        return -1 if mode_of(name, mode, self.task) == "max" else 1

    def stops_early(self, settings: Mapping) -> str | None:
        """Return in words why the run stops; None where it does not.

        Args:
            settings: a recipe's `fit.early_stopping`, with the meaning of keras.callbacks.EarlyStopping.
        """
        name = settings["monitor"]
        sign = self._sign(name, settings["mode"])
        best, best_at, wait = math.inf, 0, 0
        # The row of step 0 is of no interval.
        for interval, row in enumerate(row for row in self.rows if row["step"]):
            if name not in row or interval < settings["start_from_epoch"]:
                continue
            value, wait = sign * row[name], wait + 1
            if value < best - settings["min_delta"]:
                best, best_at = value, row["step"]
                if settings["baseline"] is None or value < sign * settings["baseline"] - settings["min_delta"]:
                    wait = 0
            elif wait >= settings["patience"] and interval > 0:
                return f"{name} has not improved on {sign * best:.4g} since step {best_at}"
        return None


def metric_of(name: str, tests: Iterable[str]) -> tuple[str, str]:
    """Return the metric behind a column, and the part of the data that it is of.

    Args:
        name: of the column.
        tests: names of the further test sets.
    """
    prefixes = {"val": "held out", **{f"test_{test}": test for test in tests}}
    # The longest first: one test set's name may begin another's.
    for prefix in sorted(prefixes, key=len, reverse=True):
        if name.startswith(f"{prefix}_"):
            return name.removeprefix(f"{prefix}_"), prefixes[prefix]
    return name, "training"


def panels(history: History, tests: Sequence[str]) -> dict[str, dict[str, tuple[list[int], list[float]]]]:
    """Return the curves of a run by name, in panels by their unit."""
    out: dict[str, dict] = {}
    for name in history.names():
        metric, part = metric_of(name, tests)
        panel = catalog.panel(metric, history.task)
        out.setdefault(panel, {})[f"{metric}, {part}" if panel != metric else part] = history.curve(name)
    return out
