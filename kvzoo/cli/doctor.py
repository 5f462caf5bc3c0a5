"""`kvzoo doctor`: versions, backend, devices, and what is slow here and why."""

import importlib.metadata
import os
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

    click.echo(f"kvzoo {kvzoo.__version__}, Python {platform.python_version()}, {platform.platform(terse=True)}")
    click.echo(f"cores: {os.cpu_count()}")
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
    for line in advice(backend, on_gpu):
        click.echo(f"- {line}")


def advice(backend: str, on_gpu: bool) -> list[str]:
    """Return what is slow with this backend on this device, and why."""
    if on_gpu:
        return ["a GPU: `jit_compile: auto` compiles with XLA; the first step takes longer, the others less"]
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
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0" and backend == "tensorflow":
        lines.append("TF_ENABLE_ONEDNN_OPTS=0 turns the fast CPU kernels off")
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
