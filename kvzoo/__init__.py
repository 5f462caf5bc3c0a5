"""kvzoo: a zoo of Keras 3 video models with a plugin registry.

    model = kvzoo.get("gru_ae")          # a name becomes a model
    model.fit(clips)                     # uint8 (N, T, H, W, C)

Importing kvzoo imports neither Keras nor a backend; the first call that needs them does. It prepares the process
for them (kvzoo/process.py): what the environment sets is left alone.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

from kvzoo import process as _process

__version__ = "0.1.0"

_process.prepare()

_PUBLIC = {
    "get": "kvzoo.zoo",
    "load": "kvzoo.zoo",
    "fit": "kvzoo.run.fit",
    "resume": "kvzoo.run.fit",
    "dataset": "kvzoo.run.dataset",
    "list_models": "kvzoo.catalog",
    "register": "kvzoo.catalog",
}

__all__ = ["__version__", "dataset", "fit", "get", "list_models", "load", "register", "resume"]

if _TYPE_CHECKING:
    from kvzoo.catalog import list_models, register
    from kvzoo.run.dataset import dataset
    from kvzoo.run.fit import fit, resume
    from kvzoo.zoo import get, load


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'kvzoo' has no attribute {name!r}")
    return getattr(_import_module(_PUBLIC[name]), name)


def __dir__():
    return __all__
