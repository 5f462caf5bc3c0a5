"""A fresh process of the battery: loads saved networks with stock Keras, then measures the models on its backend.

    python -P worker.py JOB.json

It imports kvzoo only when the loading is done, which has to work without.
"""

import importlib
import json
import sys
from pathlib import Path

import keras
import numpy as np


def load(job: dict) -> dict:
    """Load a network and write its output for the prepared inputs."""
    folder, remark = Path(job["folder"]), ""
    try:
        network = keras.saving.load_model(folder / "network.keras", compile=False)
    except (TypeError, ValueError):
        # Layers of its own are Keras's to find once the module that registers them is imported.
        module = job["builder"].partition(":")[0]
        importlib.import_module(module)
        network = keras.saving.load_model(folder / "network.keras", compile=False)
        remark = f"stock Keras loads it after `import {module}`"
    inputs = list(np.load(folder / "inputs.npz").values())
    out = network(inputs if len(inputs) > 1 else inputs[0], training=False)
    np.save(folder / f"{keras.backend.backend()}.npy", np.asarray(keras.ops.convert_to_numpy(out), "float32"))
    return {"remark": remark}


def main() -> None:
    with open(sys.argv[1]) as file:
        jobs = json.load(file)
    results = {job["name"]: _attempt(load, job) for job in jobs["jobs"]}
    if jobs["measure"]:
        from kvzoo import catalog
        from kvzoo.testing.rows import measured

        for noun, record in jobs["registered"]:
            catalog.register(catalog.REGISTRIES[noun].spec_type.from_json(record))
    for job in jobs["jobs"]:
        # Written one by one: a crash leaves what was done.
        result = {"loaded": results[job["name"]]}
        if jobs["measure"]:
            result["measured"] = _attempt(lambda job: measured(job["name"], Path(job["folder"])), job)
        (Path(job["folder"]) / f"{keras.backend.backend()}.json").write_text(json.dumps(result))


def _attempt(function, job: dict) -> dict:
    try:
        return function(job)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]}


if __name__ == "__main__":
    main()
