"""Train steps on a GPU: kvzoo on JAX against the same networks in PyTorch under torch.compile, channels last.

    python benchmarks/gpu.py --reference path/to/torch_reference.py --out gpu.json

For each of the five models at its reference size, in float32 (TF32 products on both sides) and bfloat16: seconds a step, seconds
to the first step, device memory, and the step's operations as a share of the card's own matrix rate in that type. Each
measurement has a process of its own, and the JSON file is written after each, so an interrupted run keeps what it has; what the
time limit leaves no room for is listed as left out. Needs JAX and PyTorch, neither TensorFlow nor a network.

`--tiny` runs kvzoo's side at the specs' tiny sizes, to try the script on a CPU.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

BATCH = {"gru_ae": 16, "conv3d_ae": 4, "videogan": 8, "pix2pix": 4, "speednet": 4}  # speednet: pairs
OPTIONS = {"speednet": {"frames": 16, "image_size": 64}}  # the reference's size; the others' is their default
PRECISIONS = ("float32", "bfloat16")
STEPS = 20  # a turn
TURNS = 5
MATRIX = 8192


def jax_worker(name: str, precision: str, args) -> dict:
    os.environ["KERAS_BACKEND"] = "jax"
    import jax
    import keras
    import numpy as np

    import kvzoo
    from kvzoo import catalog
    from kvzoo.testing.bench import PASSES, macs
    from kvzoo.testing.rows import examples_for, networks_of

    if precision == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    spec = catalog.MODELS.get(name)
    model = kvzoo.get(name, **(spec.tiny if args.tiny else OPTIONS.get(name, {})))
    examples = examples_for(model, BATCH[name])
    size, steps = len(examples[0]), 2 if args.tiny else STEPS
    turn = tuple(np.concatenate([part] * steps) for part in examples)

    def train(arrays) -> float:
        started = time.perf_counter()
        model.fit(*arrays, batch_size=size, shuffle=False, verbose=0)
        jax.block_until_ready([v.value for v in model.trainable_variables])
        return time.perf_counter() - started

    first = train(examples)
    train(turn)
    seconds = [train(turn) / steps for _ in range(TURNS)]
    counted = {part: macs(network, model.clip_shape) for part, network in networks_of(model).items()}
    main, discriminators = counted.pop("network"), sum(counted.values())
    passes, of_discriminators = PASSES.get(spec.loss, (3, 0))
    memory = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    return {
        "step_s": statistics.median(seconds),
        "first_step_s": first,
        "memory_mb": memory and memory / 2**20,
        "operations": 2 * size * (passes * main + of_discriminators * discriminators),
        "device": jax.devices()[0].device_kind,
        "versions": f"jax {jax.__version__}, keras {keras.__version__}",
    }


def torch_worker(name: str, precision: str, args) -> dict:
    import torch

    cuda = torch.cuda.is_available()
    torch.set_default_device("cuda" if cuda else "cpu")
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    location = importlib.util.spec_from_file_location("torch_reference", args.reference)
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    _, step, networks = module.build(name)
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for network in networks:
        for p in network.parameters():
            if p.dim() in layouts:
                p.data = p.data.contiguous(memory_format=layouts[p.dim()])
        if not args.eager:
            network.compile()

    def train(steps: int) -> float:
        started = time.perf_counter()
        with torch.autocast("cuda" if cuda else "cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            for _ in range(steps):
                step()
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - started

    steps = 1 if args.tiny else STEPS
    first = train(1)
    train(1 if args.tiny else 3)
    seconds = [train(steps) / steps for _ in range(1 if args.tiny else TURNS)]
    return {
        "step_s": statistics.median(seconds),
        "first_step_s": first,
        "memory_mb": torch.cuda.max_memory_allocated() / 2**20 if cuda else None,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "versions": f"torch {torch.__version__}, {'eager' if args.eager else 'compiled'}",
    }


def rate_worker(name: str, precision: str, args) -> dict:
    """Measure the card's matrix rate, operations a second."""
    import torch

    device, size = ("cuda", MATRIX) if torch.cuda.is_available() else ("cpu", 512)
    torch.set_float32_matmul_precision("high")
    a = torch.randn(size, size, device=device, dtype=getattr(torch, precision))
    seconds = []
    for _ in range(12):
        started = time.perf_counter()
        a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return {"rate": 2 * size**3 / min(seconds)}


WORKERS = {"jax": jax_worker, "torch": torch_worker, "rate": rate_worker}


def run(worker: str, name: str, precision: str, args, left: float) -> dict:
    """Return what a worker measured; {"error": why} where it did not."""
    command = [sys.executable, __file__, "--worker", worker, "--models", name, "--precisions", precision]
    command += ["--reference", str(args.reference), *(["--tiny"] * args.tiny), *(["--eager"] * args.eager)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(1.0, left))
    except subprocess.TimeoutExpired:
        return {"error": "no time left"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        return {"error": (done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"])[-1][:300]}
    return json.loads(lines[-1])


def row_of(name: str, precision: str, rate: float | None, jax: dict, torch: dict, tiny: bool) -> dict:
    row = {"model": name, "precision": precision, "matrix_rate": rate, "jax": jax, "torch": torch}
    if tiny:
        return row  # the two sides are of different sizes
    if "step_s" in jax and "step_s" in torch:
        row["torch_over_jax"] = torch["step_s"] / jax["step_s"]
    if "step_s" in jax and rate:
        row["jax_share"] = jax["operations"] / jax["step_s"] / rate
        if "step_s" in torch:
            row["torch_share"] = jax["operations"] / torch["step_s"] / rate
    return row


def line_of(row: dict) -> str:
    def cell(side: str) -> str:
        seen = row[side]
        if "error" in seen:
            return f"{side}: {seen['error']}"
        memory = f", {seen['memory_mb']:.0f} MB" if seen.get("memory_mb") else ""
        share = f", {row[f'{side}_share']:.0%} of the matrix rate" if f"{side}_share" in row else ""
        return f"{side} {1000 * seen['step_s']:.2f} ms{share}, first step {seen['first_step_s']:.1f} s{memory}"

    ratio = f"{row['torch_over_jax']:.2f} times as fast" if "torch_over_jax" in row else "no ratio"
    return f"{row['model']:10} {row['precision']:9} {ratio}; {cell('jax')}; {cell('torch')}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True, help="the PyTorch reference script")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="JSON file, written after each row")
    parser.add_argument("--models", nargs="+", default=list(BATCH), choices=BATCH)
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument("--seconds", type=float, default=530, help="time limit of the whole run (default: 530)")
    parser.add_argument("--eager", action="store_true", help="PyTorch without torch.compile")
    parser.add_argument(
        "--tiny", action="store_true", help="kvzoo's side at tiny sizes and few steps, to try the script"
    )
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(WORKERS[args.worker](args.models[0], args.precisions[0], args)))
        return
    started, rows, rates = time.monotonic(), [], {}

    def left() -> float:
        return args.seconds - (time.monotonic() - started)

    # bfloat16 of a model right after its float32: a cut run has whole models.
    for name in args.models:
        for precision in args.precisions:
            if precision not in rates:
                rates[precision] = run("rate", name, precision, args, left()).get("rate")
            jax, torch = (run(side, name, precision, args, left()) for side in ("jax", "torch"))
            rows.append(row_of(name, precision, rates[precision], jax, torch, args.tiny))
            print(line_of(rows[-1]), flush=True)
            part = args.out.with_name(args.out.name + ".part")
            part.write_text(json.dumps(rows, indent=2) + "\n")
            os.replace(part, args.out)


if __name__ == "__main__":
    main()
