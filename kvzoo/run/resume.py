"""What a resumed run may change, and the checks before it continues."""

import json
from collections.abc import Mapping
from typing import Any

from kvzoo.data.pipeline import Data
from kvzoo.errors import InputError
from kvzoo.recipe.resolve import Recipe, current
from kvzoo.recipe.text import dotted
from kvzoo.run.folder import LOCK, RunFolder
from kvzoo.run.history import History
from kvzoo.run.provenance import fingerprint, summary

# Where the learning rates of a run stand in its recipe.
RATES = (("fit", "optimizer", "learning_rate"), ("loss", "discriminator_learning_rate"))
# Values that a resumed run may change, by their keys or the first ones of them.
MAY_CHANGE = (
    *(
        ("fit", key)
        for key in (
            "steps",
            "epochs",
            "checkpoint_every",
            "keep",
            "best",
            "early_stopping",
            "validation_freq",
            "validation_clips",
            "jit_compile",
        )
    ),
    *RATES,
    ("track",),
    ("data",),
)

Changes = dict[tuple[str, ...], tuple[Any, Any]]


def check_changes(run_folder: RunFolder, recipe: Recipe, record: dict, new_data: bool) -> Changes:
    """Return each value that is not what it was at the checkpoint, before and now, by its keys.

    Raises:
        InputError: a value changed without an override, or one that a run cannot change.
    """
    # A checkpoint of an older version has no recipe; the run's lock file then says how it was.
    before = record.get("recipe") or run_folder.recipe(check_paths=False).values
    before, now = (_flat(values) for values in (current(before), json.loads(json.dumps(recipe.values))))
    changes = {
        keys: (before.get(keys), now.get(keys))
        for keys in sorted(before.keys() | now.keys())
        if before.get(keys) != now.get(keys)
    }
    for keys, change in changes.items():
        message = f"{run_folder.path}: {change_in_words((keys, change))}"
        if not any(keys[: len(may)] == may for may in MAY_CHANGE):
            raise InputError(
                f"{message}; this cannot change within a run; start a new one with: kvzoo fit {run_folder.path / LOCK}"
            )
        if not (new_data and keys[0] == "data") and not _is_override(recipe, keys):
            raise InputError(f"{message}; to confirm: -o {dotted(keys)}={json.dumps(change[1])}")
    return changes


def change_in_words(change: tuple[tuple[str, ...], tuple[Any, Any]]) -> str:
    """Return one of the changes, its keys and the values before and now, in words."""
    keys, (before, now) = change
    return f"{dotted(keys)} is {json.dumps(now)}, but was {json.dumps(before)} when the run was interrupted"


def _is_override(recipe: Recipe, keys: tuple[str, ...]) -> bool:
    """Return whether an override set a value, or the section that it is in or was in."""
    while keys and keys not in recipe.origins:
        keys = keys[:-1]
    return keys in recipe.origins and recipe.origins[keys].where.startswith("-o ")


def _flat(value: Any, keys: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if not isinstance(value, dict) or not value:
        return {keys: value}
    return {name: leaf for key, inner in value.items() for name, leaf in _flat(inner, (*keys, key)).items()}


def changes_rates(changes: Changes) -> bool:
    """Return whether learning rates are among the changes."""
    return any(keys[: len(rate)] == rate for keys in changes for rate in RATES)


def check_unfinished(
    run_folder: RunFolder, settings: Mapping, total: int | None, history: History, step: int, ended: bool
) -> None:
    """Refuse a run that is finished; one that was interrupted at its last step still has its end to write."""
    if total and step > total - ended:
        raise InputError(f"{run_folder.path}: already finished at step {step}; use -o fit.steps=N to train longer")
    early_stopping = ended and settings["early_stopping"]
    # Early stopping happens at the end of an interval only.
    at_end = history.rows and history.rows[-1]["step"] == step
    if early_stopping and at_end and (why := history.stops_early(early_stopping)):
        raise InputError(
            f"{run_folder.path}: stopped early at step {step}: {why}; use -o fit.early_stopping=null to continue"
        )


def check_data(run_folder: RunFolder, recipe: Recipe, data: Data, new_data: bool) -> str:
    """Return in words how the data has changed since the run began; "" where it has not.

    Raises:
        InputError: it has changed, and `new_data` is false.
    """
    before, now = recipe.lock.get("data"), fingerprint(data)
    if before == now:
        return ""
    message = (
        f"the data has changed since the run began ({_in_short(recipe.lock.get('videos', {}))} with fingerprint "
        f"{before}, now {_in_short(summary(data))} with {now})"
    )
    if not new_data:
        raise InputError(f"{run_folder.path}: {message}; use --new-data to resume anyway")
    return message


def _in_short(videos: Mapping) -> str:
    """Return a summary of the data in words."""
    parts = [
        f"{part.get('videos')} {name.replace(' ', '-')} videos"
        for name, part in videos.items()
        if isinstance(part, dict)
    ]
    return ", ".join(parts) or "unknown videos"
