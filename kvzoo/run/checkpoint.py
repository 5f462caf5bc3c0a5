"""One file holds all training state: weights, optimizer slots, seeds, metrics, step.

The file is a `.npz` without pickles: arrays by number and variable path, and one JSON record. Each
array carries a checksum, so that a damaged file is noticed.
"""

import json
import logging
import re
import zipfile
from pathlib import Path

import keras
import numpy as np

from kvzoo.errors import InputError
from kvzoo.media.clips import written_whole

log = logging.getLogger("kvzoo")

KEEP = 3


def save(folder: Path, model: keras.Model, step: int, record: dict) -> Path:
    """Write all state of a compiled model after `step` steps; old checkpoints beyond the last KEEP go.

    Args:
        folder: the run's checkpoints.
        model: built and compiled.
        step: training steps done.
        record: plain JSON values to keep with it.
    """
    path = folder / f"step-{step:08d}.npz"
    arrays = {f"{i:05d}:{_path(v)}": _to_numpy(v) for i, v in enumerate(_variables(model))}
    text = json.dumps({**record, "step": step})
    with written_whole(path) as beside, open(beside, "wb") as file:
        np.savez(file, record=np.frombuffer(text.encode(), np.uint8), **arrays)
    for old in found(folder)[:-KEEP]:
        old.unlink(missing_ok=True)
    return path


def found(folder: Path) -> list[Path]:
    """Return the checkpoints of a run, oldest first."""
    return sorted(f for f in folder.glob("step-*.npz") if re.fullmatch(r"step-\d+\.npz", f.name))


def read_newest(folder: Path) -> tuple[dict, dict[str, np.ndarray]] | None:
    """Return the newest whole checkpoint's record and arrays; None where there is no checkpoint.

    Raises:
        InputError: there are checkpoints, and all are damaged.
    """
    paths = found(folder)
    for path in reversed(paths):
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return json.loads(arrays.pop("record").tobytes()), arrays
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            log.warning("%s is damaged and left aside: %s", path, error)
    if paths:
        raise InputError(f"{folder}: all {len(paths)} checkpoints are damaged")
    return None


def restore(model: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    """Put a checkpoint's arrays into a compiled model.

    Raises:
        InputError: the checkpoint is of another model.
    """
    variables = _variables(model)
    names = sorted(arrays)
    if len(names) != len(variables):
        raise InputError(f"the checkpoint has {len(names)} variables, the model {len(variables)}")
    for name, variable in zip(names, variables, strict=True):
        if arrays[name].shape != tuple(variable.shape) or name.partition(":")[2] != _path(variable):
            raise InputError(
                f"the checkpoint's {name.partition(':')[2]} {arrays[name].shape} does not fit {_path(variable)} {variable.shape}"
            )
    for name, variable in zip(names, variables, strict=True):
        variable.assign(arrays[name])


def _variables(model: keras.Model) -> list:
    """All state: weights and seed generators, metrics, the optimizer's slots."""
    state = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
    return list({id(v): v for v in state}.values())


def _path(variable) -> str:
    # Automatic names count up within a process (conv2d_7); the layer's kind is what stays.
    return re.sub(r"_\d+(?=[_/]|$)", "", variable.path).replace("/", ".")


def _to_numpy(variable) -> np.ndarray:
    array = keras.ops.convert_to_numpy(variable.value)
    # npz has no bfloat16; float32 holds its values exactly.
    return array.astype("float32") if array.dtype.name == "bfloat16" else array
