"""`kvzoo doctor`: versions, backend, devices, and advice on performance."""

import importlib.metadata
import json
import platform

import click

from kvzoo.cli.group import verb
from kvzoo.cli.options import as_json, backend
from kvzoo.cli.terminal import backend_starts
from kvzoo.progress import plural

PACKAGES = (
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "grain",
    "av",
    "opencv-python-headless",
    "numpy",
    "h5py",
    "tensorflow-io",
)


@verb()
@as_json
@backend
def command(as_json: bool) -> None:
    """Show versions, backend and devices, with advice on performance."""
    import kvzoo
    from kvzoo import process

    def show(line: str) -> None:
        if not as_json:
            click.echo(line)

    settings = process.prepare()
    versions = {package: _version(package) for package in PACKAGES}
    system = platform.platform(terse=True)
    show(f"kvzoo {kvzoo.__version__}, Python {platform.python_version()}, {system}")
    show(f"processor: {process.processor()}, {plural(process.cores(), 'core')}")
    for setting in settings:
        show(f"{setting.name}: {setting.value} ({setting.reason})")
    for package, number in versions.items():
        show(f"  {package:<24} {number or 'not installed'}")
    try:
        with backend_starts():
            import keras

            devices = _devices(keras.backend.backend())
    except Exception as error:
        click.echo(f"kvzoo: Keras cannot be imported: {type(error).__name__}: {error}".splitlines()[0], err=True)
        raise click.exceptions.Exit(2) from None
    backend = keras.backend.backend()
    on_gpu = any("gpu" in d.lower() or "cuda" in d.lower() for d in devices)
    rate = _matrix_rate() if backend == "tensorflow" and not on_gpu else None
    if as_json:
        record = {
            "kvzoo": kvzoo.__version__,
            "python": platform.python_version(),
            "platform": system,
            "processor": process.processor(),
            "cores": process.cores(),
            "settings": {setting.name: {"value": setting.value, "reason": setting.reason} for setting in settings},
            "packages": versions,
            "backend": backend,
            "devices": devices,
            "matrix_gflops": rate and rate / 1e9,
            "advice": advice(backend, on_gpu),
        }
        click.echo(json.dumps(record, indent=2))
        return
    show(f"backend: {backend} (set by --backend, KERAS_BACKEND or ~/.keras/keras.json)")
    show(f"devices: {', '.join(devices)}")
    if rate:
        show(_in_minutes(rate))
    for line in advice(backend, on_gpu):
        show(f"- {line}")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _matrix_rate() -> float:
    """Return the float32 operations per second of a matrix product."""
    from kvzoo.testing.bench import matrix_rate

    return matrix_rate(1024)  # under a second


def _in_minutes(rate: float) -> str:
    from kvzoo.testing.bench import quick_start_minutes

    minutes = max(1, round(quick_start_minutes(rate)))
    return (
        f"float32 matrix rate: {rate / 1e9:.0f} GFLOP/s; `kvzoo fit gru_ae` takes about "
        f"{plural(minutes, 'minute')} at this rate"
    )


def advice(backend: str, on_gpu: bool) -> list[str]:
    """Return advice on the speed of this backend on this device."""
    if on_gpu:
        return ["GPU: `jit_compile: auto` compiles with XLA; the first step is slower, later ones are faster"]
    from kvzoo import process

    lines = {
        "tensorflow": [
            "CPU: `jit_compile: auto` turns XLA off; with it gru_ae was slower and conv3d_ae never finished compiling"
        ],
        "jax": ["JAX on a CPU: convolutions are about ten times slower than TensorFlow's; use --backend tensorflow"],
        "torch": [
            "PyTorch on a CPU: about five times slower than TensorFlow, because Keras uses channels_last; "
            "use --backend tensorflow"
        ],
    }.get(backend, [])
    if backend == "tensorflow" and process.prepare()[0].value == "off":
        lines.append("oneDNN is off: convolutions are about half as fast")
    return lines


def _devices(backend: str) -> list[str]:
    if backend == "tensorflow":
        import tensorflow as tf

        return [d.name.removeprefix("/physical_device:") for d in tf.config.list_physical_devices()]
    if backend == "jax":
        import jax

        return [str(d) for d in jax.devices()]
    if backend == "torch":
        import torch

        return [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cpu"]
    return ["unknown"]
