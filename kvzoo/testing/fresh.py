"""Processes of their own, one for each backend, in which the networks of a battery are loaded and measured."""

import functools
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from kvzoo import catalog

WORKER = Path(__file__).parent / "worker.py"
SECONDS = 300  # that a process may take for each model


def installed_backends() -> list[str]:
    """Return Keras's backends that are installed."""
    return [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)]


class Fresh:
    """Results of some models in fresh processes.

    Args:
        names: registered models.
        prepare: called as prepare(name, folder) before the first process starts; writes what one reads, and
            returns what this process sees.
    """

    def __init__(self, names: Sequence[str], prepare: Callable[[str, Path], dict]):
        self._names, self._prepare = tuple(names), prepare
        self._ended: dict[str, int | str] = {}

    def result(self, name: str, backend: str, together: Sequence[str] = ()) -> tuple[dict, dict]:
        """Return what this process saw of a model, and what a fresh one on a backend did: "loaded" and "measured".

        Args:
            name: of the model.
            backend: of the process.
            together: backends whose processes are started at the same time.

        Raises:
            Exception: as it was raised here.
            AssertionError: the process did not get to it.
        """
        prepared = self._prepared[name]
        if isinstance(prepared, Exception):
            raise prepared
        if backend not in self._ended:
            self._start({backend, *together} - set(self._ended))
        folder = self._folder_of(name)
        file = folder / f"{backend}.json"
        assert file.is_file(), f"the process on {backend} ended before it was done: {self._ended[backend]}"
        results = json.loads(file.read_text())
        if "error" not in results["loaded"]:
            results["loaded"]["output"] = np.load(folder / f"{backend}.npy")
        return prepared, results

    @functools.cached_property
    def _folder(self) -> tempfile.TemporaryDirectory:
        return tempfile.TemporaryDirectory(prefix="kvzoo-battery-")

    def _folder_of(self, name: str) -> Path:
        return Path(self._folder.name) / str(self._names.index(name))

    @functools.cached_property
    def _prepared(self) -> dict[str, dict | Exception]:
        prepared: dict[str, dict | Exception] = {}
        for name in self._names:
            folder = self._folder_of(name)
            folder.mkdir()
            try:
                prepared[name] = self._prepare(name, folder)
            except Exception as error:
                prepared[name] = error
        return prepared

    def _start(self, backends: set[str]) -> None:
        jobs = [
            {"name": name, "folder": str(self._folder_of(name)), "builder": catalog.MODELS.get(name).builder}
            for name, prepared in self._prepared.items()
            if not isinstance(prepared, Exception)
        ]
        # What was registered from code is not known elsewhere.
        registered = [
            [noun, entry.spec.to_json()]
            for noun, registry in catalog.REGISTRIES.items()
            for entry in registry.entries()
            if entry.distribution == ""
        ]
        running = {}
        for backend in sorted(backends):
            job = Path(self._folder.name) / f"{backend}.json"
            job.write_text(
                json.dumps({"jobs": jobs, "registered": registered, "measure": backend != keras.backend.backend()})
            )
            environment = {
                **os.environ,
                "KERAS_BACKEND": backend,
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path),
            }
            # -P: the script's own folder is no place to import from.
            command = [sys.executable, "-P", str(WORKER), str(job)]
            with open(job.with_suffix(".log"), "w") as log:
                running[backend] = subprocess.Popen(
                    command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
        for backend, process in running.items():
            try:
                code = process.wait(SECONDS * max(1, len(jobs)))
                log = (Path(self._folder.name) / f"{backend}.log").read_text().strip().splitlines()
                self._ended[backend] = f"exit code {code}{'; ' + log[-1] if code and log else ''}"
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self._ended[backend] = f"it took longer than {SECONDS} s per model"
