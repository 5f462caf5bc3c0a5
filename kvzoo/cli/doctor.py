"""`kvzoo doctor`: versions, backend, devices, and what is slow here and why."""

import importlib.metadata
import platform

import click

from kvzoo.cli.terminal import backend_starts

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


@click.command()
def command() -> None:
    """Print versions, backend and devices, and what is slow here and why."""
    import kvzoo
    from kvzoo import process

    click.echo(f"kvzoo {kvzoo.__version__}, Python {platform.python_version()}, {platform.platform(terse=True)}")
    click.echo(f"processor: {process.processor()}, {process.cores()} cores")
    for setting in process.prepare():
        click.echo(f"{setting.name}: {setting.value} ({setting.reason})")
    for package in PACKAGES:
        try:
            click.echo(f"  {package:<24} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            click.echo(f"  {package:<24} not installed")
    try:
        with backend_starts():
            import keras

            devices = _devices(keras.backend.backend())
    except Exception as error:
        click.echo(f"Keras does not import: {type(error).__name__}: {error}".splitlines()[0], err=True)
        raise click.exceptions.Exit(2) from None
    backend = keras.backend.backend()
    on_gpu = any("gpu" in d.lower() or "cuda" in d.lower() for d in devices)
    click.echo(f"backend: {backend} (KERAS_BACKEND or ~/.keras/keras.json chooses)")
    click.echo(f"devices: {', '.join(devices)}")
    if backend == "tensorflow" and not on_gpu:
        click.echo(_matrix_rate())
    for line in advice(backend, on_gpu):
        click.echo(f"- {line}")


def _matrix_rate() -> str:
    from kvzoo.testing.bench import matrix_rate, quick_start_minutes

    rate = matrix_rate(1024)  # under a second
    return (
        f"float32 matrix rate: {rate / 1e9:.0f} GFLOP/s; `kvzoo fit gru_ae` takes about "
        f"{quick_start_minutes(rate):.0f} minutes at this rate"
    )


def advice(backend: str, on_gpu: bool) -> list[str]:
    """Return what is slow with this backend on this device, and why."""
    if on_gpu:
        return ["a GPU: `jit_compile: auto` compiles with XLA; the first step takes longer, the others less"]
    from kvzoo import process

    lines = {
        "tensorflow": [
            "a CPU: `jit_compile: auto` leaves XLA off; it made GRU-AE slower and the 3D autoencoder never compiled"
        ],
        "jax": [
            "JAX on a CPU: convolutions are about ten times slower than TensorFlow's; KERAS_BACKEND=tensorflow trains faster"
        ],
        "torch": [
            "PyTorch under Keras on a CPU: about five times slower than TensorFlow, for Keras keeps channels last; "
            "KERAS_BACKEND=tensorflow trains faster"
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
