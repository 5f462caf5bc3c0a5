"""Benchmark of models: build, first step, training step, forward pass and memory, relative to the machine's matrix rate.

Each model is measured in a process of its own, at the size and batch of its recipe, on examples in memory.
"""

import dataclasses
import importlib.metadata
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kvzoo import catalog, process
from kvzoo.errors import InputError
from kvzoo.recipe.resolve import Recipe, load, shipped_recipes

STEPS = 5  # timed, after two that are not
SECONDS = 20.0  # after which no more steps are timed
QUICK_START = "gru_ae"
USUAL_SHARE = 0.6  # of the matrix rate, that the quick start has from its first step to its last, samples included
MATRIX = 2048  # rows and columns of the product that tells the machine's rate
# Passes of a training step through the main network and through each of its discriminators, a gradient's pass through weights
# and one through activations counted as one forward pass each.
PASSES = {"adversarial": (3, 9), "conditional": (3, 9)}


@dataclass(frozen=True)
class Cost:
    """A row of `kvzoo bench`: the cost of a model, and the conditions.

    Attributes:
        model: its name.
        recipe: the recipe whose size and batch it has; "" where none trains it: then the spec's defaults, one example.
        batch_size: examples a step.
        parameters: trainable, of all its networks.
        macs: multiply-accumulates of one forward pass of its main network, of one example.
        build_s: seconds until the model is built and compiled, libraries already imported.
        first_step_s: seconds of the first training step, which traces and compiles.
        step_s, forward_s: medians, a batch each.
        clips_s: examples a second in training.
        train_share, forward_share: of the machine's matrix rate; a training step counts as three forward passes.
        peak_memory_mb: most main memory that the process held, libraries included, in MiB.
        matrix_gflops: of a float32 matrix product of 2048 x 2048 on the same backend, 10^9 operations a second.
        processor, cores, backend, backend_version, keras, kvzoo, onednn, allocator: the conditions.
    """

    model: str
    recipe: str
    batch_size: int
    parameters: int
    macs: int
    build_s: float
    first_step_s: float
    step_s: float
    forward_s: float
    clips_s: float
    train_share: float
    forward_share: float
    peak_memory_mb: float
    matrix_gflops: float
    processor: str
    cores: int
    backend: str
    backend_version: str
    keras: str
    kvzoo: str
    onednn: str
    allocator: str


def measure_in_process(name: str, recipe: Path | None = None) -> Cost:
    """Measure a registered model in a fresh process.

    Args:
        name: a registered model.
        recipe: whose size and batch it is measured at; `recipe_of(name)` when None.

    Raises:
        InputError: the model cannot be measured; the message is the last line of what its process printed.
    """
    command = [sys.executable, "-m", "kvzoo.testing.bench", name, *([str(recipe)] if recipe else [])]
    worker = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if worker.returncode:
        lines = [line for line in worker.stderr.splitlines() if line.strip()]
        raise InputError(f"bench: {name}: {lines[-1] if lines else f'its process ended with code {worker.returncode}'}")
    return Cost(**json.loads(worker.stdout.splitlines()[-1]))


def recipe_of(name: str) -> Path | None:
    """Return the shipped recipe that trains a model at a size for a CPU: the one of its name, else the first."""
    files = [f for f in shipped_recipes() if load(f, check_paths=False)["model"]["name"] == name]
    files = [f for f in files if not f.stem.endswith("_paper")]
    return next((f for f in files if f.stem == name), files[0] if files else None)


def measure(name: str, recipe: Recipe | None) -> Cost:
    """Measure a registered model in this process, at a recipe's size or at its spec's defaults."""
    import keras

    from kvzoo import zoo
    from kvzoo.testing.rows import examples_for, inputs_for, networks_of

    spec = catalog.MODELS.get(name)
    started = time.perf_counter()
    if recipe is None:
        batch_size, model = 1, zoo.get(name)
    else:
        settings = recipe["fit"]
        batch_size = settings["batch_size"]
        model = zoo.get(name, loss=recipe["loss"], compile=False, **recipe.model_options)
        zoo.compile_model(model, settings["optimizer"], settings["l2"], settings["jit_compile"])
    build_s = time.perf_counter() - started

    examples, inputs = examples_for(model, batch_size), inputs_for(model, batch_size)
    network, rate = networks_of(model)["network"], matrix_rate()
    first_step_s, step_s = _timed(lambda: model.train_on_batch(*examples))
    predict = keras.Model(network.inputs, network.outputs)
    packed = keras.tree.pack_sequence_as(predict.input, inputs)
    _, forward_s = _timed(lambda: predict.predict_on_batch(packed))

    counts = {part: macs(each, model.clip_shape) for part, each in networks_of(model).items()}
    main, discriminators = counts.pop("network"), sum(counts.values())
    passes, of_discriminators = PASSES.get(spec.loss, (3, 0))
    backend = keras.backend.backend()
    conditions = {setting.name: setting.value for setting in process.prepare()}
    return Cost(
        model=name,
        recipe=recipe.name if recipe else "",
        batch_size=batch_size,
        parameters=sum(math.prod(v.shape) for v in model.trainable_variables),
        macs=main,
        build_s=round(build_s, 2),
        first_step_s=round(first_step_s, 2),
        step_s=round(step_s, 4),
        forward_s=round(forward_s, 4),
        clips_s=round(len(examples[0]) / step_s, 2),
        train_share=round(
            2 * len(examples[0]) * (passes * main + of_discriminators * discriminators) / step_s / rate, 3
        ),
        forward_share=round(2 * batch_size * main / forward_s / rate, 3),
        peak_memory_mb=round(_peak_memory_mb(), 1),
        matrix_gflops=round(rate / 1e9, 1),
        processor=process.processor(),
        cores=process.cores(),
        backend=backend,
        backend_version=importlib.metadata.version(backend),
        keras=keras.__version__,
        kvzoo=importlib.metadata.version("kvzoo"),
        onednn=conditions["oneDNN"],
        allocator=conditions["allocator"],
    )


def matrix_rate(size: int = MATRIX) -> float:
    """Return how many float32 operations a second this backend's matrix product does here: the best of five."""
    import keras

    a = keras.random.normal((size, size), seed=0)

    def product() -> None:
        float(keras.ops.convert_to_numpy(keras.ops.matmul(a, a)[0, 0]))

    product()
    return 2 * size**3 / min(_seconds(product) for _ in range(5))


def quick_start_minutes(rate: float) -> float:
    """Return about how many minutes the README's quick start takes on a machine of this matrix rate, operations a second."""
    from kvzoo import zoo

    recipe = load(QUICK_START)
    model = zoo.get(recipe["model"]["name"], compile=False, **recipe.model_options)
    examples = recipe["fit"]["steps"] * recipe["fit"]["batch_size"]
    return 2 * 3 * macs(model.network, model.clip_shape) * examples / (USUAL_SHARE * rate) / 60


def macs(network, clip_shape: tuple[int, ...]) -> int:
    """Return the multiply-accumulates of one forward pass of one example: of convolutions, dense and recurrent layers.

    Args:
        network: a functional model.
        clip_shape: (T, H, W, C), for networks that take clips of any size.
    """
    import keras
    import numpy as np

    shapes: list[tuple] = []
    # A copy whose layers note what they are called with; its weights are not read.
    copy = keras.models.clone_model(network)

    def recording(layer, call):
        def call_and_note(*args, **options):
            out = call(*args, **options)
            # A recurrent layer may return its states as well.
            first = keras.tree.flatten(out)[0]
            shapes.append((layer, tuple(args[0].shape), tuple(first.shape)))
            return out

        return call_and_note

    for layer in _leaves(copy):
        if hasattr(layer, "kernel") or isinstance(layer, keras.layers.RNN):
            layer.call = recording(layer, layer.call)
    examples = [np.zeros((1, *(clip_shape if None in x.shape[1:] else x.shape[1:])), x.dtype) for x in copy.inputs]
    copy(keras.tree.pack_sequence_as(copy.input, examples), training=False)
    return sum(_macs_of(layer, shape_in, shape_out) for layer, shape_in, shape_out in shapes)


def _leaves(layer):
    """Yield the layers that compute: no models and no wrappers around layers."""
    inner = getattr(layer, "layers", None)
    if inner is None:
        yield layer
    else:
        for each in inner:
            yield from _leaves(each)


def _macs_of(layer, shape_in: tuple, shape_out: tuple) -> int:
    import keras

    if isinstance(layer, keras.layers.RNN):
        cell = layer.cell
        return math.prod(shape_in[:2]) * (math.prod(cell.kernel.shape) + math.prod(cell.recurrent_kernel.shape))
    if "Conv" in type(layer).__name__ and hasattr(layer, "kernel"):
        # A transposed convolution multiplies each value that it takes by the whole kernel, another each that it returns.
        places = shape_in if "Transpose" in type(layer).__name__ else shape_out
        return math.prod(places[:-1]) * math.prod(layer.kernel.shape)
    if isinstance(layer, (keras.layers.Dense, keras.layers.EinsumDense)):
        return math.prod(shape_in[:-1]) * math.prod(layer.kernel.shape)
    return 0


def _timed(step: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of the first call, and the median of some calls after the second."""
    first = _seconds(step)
    step()
    started, seconds = time.perf_counter(), []
    while len(seconds) < STEPS and (not seconds or time.perf_counter() - started < SECONDS):
        seconds.append(_seconds(step))
    return first, statistics.median(seconds)


def _seconds(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def _peak_memory_mb() -> float:
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Measure one model and print its row as JSON."""
    name, *path = sys.argv[1:]
    file = Path(path[0]) if path else recipe_of(name)
    cost = measure(name, load(file, check_paths=False) if file else None)
    print(json.dumps(dataclasses.asdict(cost)))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
