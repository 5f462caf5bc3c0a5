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

from kvzoo import deprecations
from kvzoo.errors import InputError
from kvzoo.files import copy_whole, writing, written_whole
from kvzoo.run.folder import checkpoints_in

log = logging.getLogger("kvzoo")

BEST = "best.npz"


def save(folder: Path, model: keras.Model, step: int, record: dict, keep: int = 3) -> Path:
    """Write all state of a compiled model after `step` steps; of the checkpoints only the last `keep` stay.

    Args:
        folder: the run's checkpoints.
        model: built and compiled.
        step: training steps done.
        record: plain JSON values to keep with it.
        keep: at least 1.
    """
    path = folder / f"step-{step:08d}.npz"
    arrays = {f"{i:05d}:{_path(v)}": _to_numpy(v) for i, v in enumerate(_variables(model))}
    text = json.dumps({**record, "step": step})
    with writing(path), written_whole(path, durable=True) as temporary, open(temporary, "wb") as file:
        np.savez(file, record=np.frombuffer(text.encode(), np.uint8), **arrays)
    for old in checkpoints_in(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return path


def keep_best(path: Path) -> None:
    """Keep a copy of a checkpoint as the best one."""
    best = path.with_name(BEST)
    with writing(best):
        copy_whole(path, best)


def read_newest(folder: Path, aside: bool = False) -> tuple[dict, dict[str, np.ndarray]] | None:
    """Return the record and arrays of the newest intact checkpoint; None where there is no checkpoint.

    Args:
        folder: the run's checkpoints.
        aside: whether damaged ones are renamed, so that they do not count among the last ones.

    Raises:
        InputError: there are checkpoints, and all are damaged.
    """
    paths, damaged = checkpoints_in(folder), []
    for path in reversed(paths):
        try:
            contents = _read(path)
        except DAMAGE as error:
            log.warning("skipped damaged checkpoint %s: %s", path, error)
            damaged.append(path)
            continue
        for each in damaged if aside else ():
            each.replace(each.with_suffix(".damaged"))
        return contents
    if paths:
        raise InputError(f"{folder}: all {len(paths)} checkpoints are damaged")
    return None


# What reading a truncated, corrupt or malicious file can raise.
DAMAGE = (OSError, ValueError, KeyError, EOFError, MemoryError, RecursionError, RuntimeError, zipfile.BadZipFile)


def _read(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    with zipfile.ZipFile(path) as archive:
        # Written uncompressed, so that reading takes no more memory than the file.
        if any(m.compress_type != zipfile.ZIP_STORED for m in archive.infolist()):
            raise ValueError("compressed, which kvzoo's are not")
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    record = json.loads(arrays.pop("record").tobytes())
    if not isinstance(record, dict) or not isinstance(record.get("step"), int):
        raise ValueError("no step in its record")
    if unknown := [name for name in arrays if not re.match(r"\d{5}:", name)]:
        raise ValueError(f"{unknown[0]!r} is not the name of a variable")
    return record, arrays


def restore(model: keras.Model, arrays: dict[str, np.ndarray], learning_rates: bool = True) -> None:
    """Put a checkpoint's arrays into a compiled model.

    Args:
        model: built and compiled.
        arrays: of the checkpoint.
        learning_rates: whether its learning rates too; else the model keeps its own, which may be schedules where the
            checkpoint has numbers, or numbers where it has schedules.

    Raises:
        InputError: the checkpoint is of another model.
    """
    variables = [v for v in _variables(model) if learning_rates or not _is_rate(_path(v))]
    names = [name for name in sorted(arrays) if learning_rates or not _is_rate(name)]
    if len(names) != len(variables):
        raise InputError(f"the checkpoint has {len(names)} variables, the model {len(variables)}")
    for name, variable in zip(names, variables, strict=True):
        path = deprecations.variable(name.partition(":")[2])
        if arrays[name].shape != tuple(variable.shape) or path != deprecations.variable(_path(variable)):
            raise InputError(
                f"the checkpoint's {name.partition(':')[2]} {arrays[name].shape} does not fit {_path(variable)} {variable.shape}"
            )
    for name, variable in zip(names, variables, strict=True):
        variable.assign(arrays[name])


def _variables(model: keras.Model) -> list:
    """All state: weights and seed generators, metrics, the optimizer's slots."""
    state = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
    return list({id(v): v for v in state}.values())


def _is_rate(path: str) -> bool:
    return path.endswith(".learning_rate")


def _path(variable) -> str:
    # Automatic names count up within a process (conv2d_7); the layer's kind is what stays.
    return re.sub(r"_\d+(?=[_/]|$)", "", variable.path).replace("/", ".")


def _to_numpy(variable) -> np.ndarray:
    array = keras.ops.convert_to_numpy(variable.value)
    # npz has no bfloat16; float32 holds its values exactly.
    return array.astype("float32") if array.dtype.name == "bfloat16" else array
