"""report.html: a run and its results on one self-contained page. Needs no Keras.

It is made from the files of the run's folder, so that it can be made again at any time.
"""

import base64
import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from kvzoo.errors import InputError
from kvzoo.media.charts import chart
from kvzoo.media.clips import read_note, written_whole
from kvzoo.media.pages import render, webp
from kvzoo.recipe.explain import explained_run
from kvzoo.recipe.resolve import Recipe
from kvzoo.recipe.text import dotted
from kvzoo.run.folder import RunFolder, State, step_of, writing
from kvzoo.run.history import History, metric_of, panels

STEPS = 24  # samples on the slider at most
PICTURES = 4_000_000  # characters of the slider's images at most; beyond that fewer steps are shown
MOVING = 2_000_000  # bytes of the moving sample
SHAPE = 1.6  # width to height that clips are laid out to
# What the lock file says of where a run was made, and what it is called.
PLACE = {
    "kvzoo": "kvzoo",
    "keras": "Keras",
    "backend": "backend",
    "tensorflow": "TensorFlow",
    "jax": "JAX",
    "torch": "PyTorch",
    "python": "Python",
    "platform": "platform",
}
STATES = {
    "running": "still in progress as of this report",
    "done": "done",
    "interrupted": "interrupted",
    "failed": "failed",
    "killed": "interrupted: its process was killed",
    "unknown": "from an older version of kvzoo, which did not record how runs end",
}


def write_report(run: RunFolder) -> Path:
    """Write a run's report and return its path.

    Raises:
        InputError: it is no run, or has nothing to show yet.
    """
    recipe, state, history = run.recipe(check_paths=False), run.state(), History(run, upto=math.inf)
    drawn = [path for path in sorted(run.samples.glob("step-*.png"), key=step_of) if _is_whole(path)]
    if not history.rows and not drawn and state.state != "failed":
        raise InputError(f"{run.path}: nothing to report yet")
    tests = tuple(recipe["data"]["tests"])
    timing = _read(run.path / "timing.json")
    pictures = _pictures(drawn)
    note = read_note(drawn[-1]) if drawn else {}
    moving = drawn[-1].with_suffix(".gif") if drawn else None
    page = render(
        "run/report.html.j2",
        name=run.path.resolve().name,
        recipe=recipe,
        spec=recipe.model_spec,
        task=history.task,
        state=state,
        state_in_words=STATES[state.state],
        when=time.strftime("%Y-%m-%d %H:%M", time.localtime(state.time)) if state.time else "",
        facts=_facts(state, history, timing),
        pictures=pictures,
        left_out=len(drawn) - len(pictures),
        rows=_words(note.get("rows")),
        moving=_moving(moving) if moving and moving.is_file() else None,
        charts_=_charts(history, tests),
        table=_table(history, tests),
        videos=_videos(recipe),
        place=_place(recipe, timing),
        costs=_costs(timing),
        values=[(dotted(keys), _text(value), at) for keys, value, at in explained_run(recipe)],
    )
    with writing(run.report), written_whole(run.report) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return run.report


def _is_whole(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return True


def _read(path: Path) -> dict:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _words(value) -> list[str]:
    return [str(word) for word in value] if isinstance(value, list) else []


def _text(value) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) or value is None else f"{value}"


def _facts(state: State, history: History, timing: dict) -> list[tuple[str, str, str]]:
    """Return the figures that come first: title, value, and a word on it."""
    facts = []
    steps = history.rows[-1]["step"] if history.rows else state.step
    of = f"of {state.steps:,}" if state.steps and state.steps > steps else ""
    facts.append(("steps", f"{steps:,}", of))
    if best := history.best():
        name, step, value = best
        facts.append((f"best {name}", f"{value:.4g}", f"at step {step:,}"))
        last = history.curve(name)[1][-1]
        facts.append((f"last {name}", f"{last:.4g}", ""))
    if timing.get("wall_s"):
        facts.append(("wall time", duration(timing["wall_s"]), ""))
    if timing.get("step_s"):
        facts.append(("time per step", f"{timing['step_s']:.3g} s", timing.get("device", "")))
    return facts


def duration(seconds: float) -> str:
    """Return seconds in words: 75 s, 12 min 5 s, 3 h 20 min."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 2:
        return f"{round(seconds)} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 120 else f"{minutes} min {rest} s"


def _pictures(drawn: Sequence[Path]) -> list[tuple[int, str, tuple[int, int]]]:
    """Return samples over steps, each (step, data URI, size): all, or as many as a page holds, evenly."""
    count = min(len(drawn), STEPS)
    pictures: dict[Path, tuple[int, str, tuple[int, int]]] = {}
    while count:
        chosen = [drawn[i] for i in np.linspace(0, len(drawn) - 1, count).round().astype(int)]
        for path in chosen[::-1]:
            if path not in pictures:
                picture = _laid_out(path)
                pictures[path] = (step_of(path), webp([picture], lossless=False, quality=80), picture.shape[1::-1])
        if count == 1 or sum(len(pictures[path][1]) for path in chosen) <= PICTURES:
            return [pictures[path] for path in chosen]
        count = max(1, count // 2)
    return []


def _laid_out(path: Path) -> np.ndarray:
    """Return a sample's picture; of clips that lie one below the other, in as many columns as come near to SHAPE."""
    picture = np.asarray(Image.open(path).convert("RGB"))
    clips, gap = (read_note(path).get(key) for key in ("clips", "gap"))
    height, width = picture.shape[:2]
    if not isinstance(clips, int) or clips < 2 or not isinstance(gap, int) or (height + gap) % clips:
        return picture
    parts = [picture[i : i + (height + gap) // clips - gap] for i in range(0, height, (height + gap) // clips)]

    def shape(columns: int) -> float:
        return (width + gap) * columns / (-(-clips // columns) * len(parts[0]))

    columns = min((n for n in range(1, clips + 1) if clips % n == 0), key=lambda n: abs(math.log(shape(n) / SHAPE)))
    lines = -(-clips // columns)
    # Between clips the page's own paper is seen.
    out = np.zeros((lines * (len(parts[0]) + gap) - gap, columns * (width + gap) - gap, 4), np.uint8)
    for i, part in enumerate(parts):
        top, left = i // columns * (len(part) + gap), i % columns * (width + gap)
        out[top : top + len(part), left : left + width, :3] = part
        out[top : top + len(part), left : left + width, 3] = 255
    return out


def _moving(path: Path) -> dict | None:
    """Return the moving sample as it is, and a still of its middle, as data URIs; None where it is too large."""
    if path.stat().st_size > MOVING:
        return None
    with Image.open(path) as gif:
        frames = getattr(gif, "n_frames", 1)
        gif.seek(frames // 2)
        still = np.asarray(gif.convert("RGB"))
    uri = "data:image/gif;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
    return {"moving": uri, "still": webp([still]), "width": still.shape[1], "height": still.shape[0]}


def _charts(history: History, tests: Sequence[str]) -> list[dict]:
    """Return a chart for each unit, with names and a text for those who do not see it."""
    out = []
    for unit, curves in panels(history, tests).items():
        if (drawn := chart(list(curves.values()), log="loss" in unit)) is None:
            continue
        ends = ", ".join(f"{name} ends at {ys[-1]:.4g} at step {xs[-1]}" for name, (xs, ys) in curves.items() if ys)
        out.append(
            {"unit": unit, "chart": drawn, "names": list(curves), "label": f"Curves of {unit} over steps: {ends}."}
        )
    return out


def _table(history: History, tests: Sequence[str]) -> dict:
    """Return the last figures: metrics down, parts of the data across."""
    last: dict[tuple[str, str], float] = {}
    for name in history.names():
        values = history.curve(name)[1]
        last[metric_of(name, tests)] = values[-1]
    parts = [p for p in ("training", "held out", *tests) if p in {part for _, part in last}]
    metrics = list(dict.fromkeys(metric for metric, _ in last))
    rows = [(m, [f"{last[m, p]:.4g}" if (m, p) in last else "–" for p in parts]) for m in metrics]
    return {"parts": parts, "rows": rows}


def _videos(recipe: Recipe) -> list[tuple[str, dict]]:
    """Return what the data held by part: what training and held-out clips are of, and each further test set."""
    parts = {name: part for name, part in recipe.lock.get("videos", {}).items() if isinstance(part, dict)}
    sources = {name: test["source"] for name, test in recipe["data"]["tests"].items()}
    return [(name, {"source": sources.get(name, recipe["data"]["source"]), **part}) for name, part in parts.items()]


def _place(recipe: Recipe, timing: dict) -> list[tuple[str, str]]:
    place = [(title, str(recipe.lock[key])) for key, title in PLACE.items() if key in recipe.lock]
    if timing.get("device"):
        place.append(("device", f"{timing['device']}, {timing.get('cores', '?')} cores"))
    return place


def _costs(timing: dict) -> list[tuple[str, str]]:
    """Return what the run cost, in words."""
    costs = []
    if timing.get("wall_s"):
        costs.append(("wall time", f"{duration(timing['wall_s'])}, over all processes that trained it"))
    if timing.get("step_s"):
        costs.append(("time per step", f"{timing['step_s']:.3g} s, median over intervals"))
    if timing.get("waiting") is not None:
        costs.append(("waiting for data", f"{timing['waiting']:.1%} of the step time"))
    if timing.get("peak_memory_mb"):
        costs.append(("peak RAM", f"{timing['peak_memory_mb']:,.0f} MiB"))
    return costs


def report(run: str | os.PathLike) -> Path:
    """Make a run's report again.

    Raises:
        InputError: it is no run, has nothing to show yet, or cannot be written to.
    """
    folder = RunFolder(run)
    try:
        return write_report(folder)
    except OSError as error:
        raise InputError(f"{folder.report}: cannot be written: {error.strerror}") from None
