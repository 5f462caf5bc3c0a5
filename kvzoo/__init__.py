"""kvzoo: a zoo of Keras 3 video models with a plugin registry.

    model = kvzoo.get("gru_ae")          # a name becomes a model
    model.fit(clips)                     # uint8 (N, T, H, W, C)

    run = kvzoo.fit("gru_ae")            # a recipe becomes a run
    kvzoo.evaluate(run.path)             # its figures on held-out clips

Importing kvzoo imports neither Keras nor a backend; the first call that needs them does. It prepares the process for
them (kvzoo/process.py); settings of the environment are left alone.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

from kvzoo import process as _process

__version__ = "0.1.0"

_process.prepare()

_PUBLIC = {
    # Models
    "get": "kvzoo.zoo",
    "load": "kvzoo.zoo",
    "list_models": "kvzoo.catalog",
    # Training and evaluation
    "fit": "kvzoo.run.fit",
    "resume": "kvzoo.run.fit",
    "evaluate": "kvzoo.run.evaluate",
    "dataset": "kvzoo.run.dataset",
    # Extending
    "register": "kvzoo.catalog",
    "ModelSpec": "kvzoo.registry",
    "LossSpec": "kvzoo.registry",
    "SourceSpec": "kvzoo.registry",
    "SamplerSpec": "kvzoo.registry",
    "CallbackSpec": "kvzoo.registry",
    "OptimizerSpec": "kvzoo.registry",
    "TaskSpec": "kvzoo.registry",
    "MetricSpec": "kvzoo.registry",
    "Figure": "kvzoo.registry",
    "Task": "kvzoo.tasks.base",
    "Option": "kvzoo.options",
    "Source": "kvzoo.data.source",
    "Video": "kvzoo.data.source",
    "Sampler": "kvzoo.data.samplers",
    "VideoModel": "kvzoo.losses.base",
    # Errors
    "KvzooError": "kvzoo.errors",
    "InputError": "kvzoo.errors",
}

__all__ = [
    "CallbackSpec",
    "Figure",
    "InputError",
    "KvzooError",
    "LossSpec",
    "MetricSpec",
    "ModelSpec",
    "OptimizerSpec",
    "Option",
    "Sampler",
    "SamplerSpec",
    "Source",
    "SourceSpec",
    "Task",
    "TaskSpec",
    "Video",
    "VideoModel",
    "__version__",
    "dataset",
    "evaluate",
    "fit",
    "get",
    "list_models",
    "load",
    "register",
    "resume",
]

if _TYPE_CHECKING:
    from kvzoo.catalog import list_models, register
    from kvzoo.data.samplers import Sampler
    from kvzoo.data.source import Source, Video
    from kvzoo.errors import InputError, KvzooError
    from kvzoo.losses.base import VideoModel
    from kvzoo.options import Option
    from kvzoo.registry import (
        CallbackSpec,
        Figure,
        LossSpec,
        MetricSpec,
        ModelSpec,
        OptimizerSpec,
        SamplerSpec,
        SourceSpec,
        TaskSpec,
    )
    from kvzoo.run.dataset import dataset
    from kvzoo.run.evaluate import evaluate
    from kvzoo.run.fit import fit, resume
    from kvzoo.tasks.base import Task
    from kvzoo.zoo import get, load


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'kvzoo' has no attribute {name!r}")
    return getattr(_import_module(_PUBLIC[name]), name)


def __dir__():
    return __all__
