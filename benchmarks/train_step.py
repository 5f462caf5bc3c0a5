"""Time a whole `kvzoo fit` step against plain PyTorch's, as ratios taken in one run.

    python benchmarks/train_step.py --reference path/to/torch_reference.py gru_ae

Four workers, a process each, take turns of a few steps, so that a noisy machine is noisy for all:

    torch   the reference's bare train step, data in memory
    kept    the same, with glibc told to keep freed memory, as kvzoo tells it
    keras   the same network's bare Keras train step (`train_on_batch`), data in memory
    fit     `kvzoo fit`: pipeline, callbacks, history, samples and checkpoints included

Prints the median of the turns' ratios, the seconds to the first step of `fit`, and what falls short of the aims. The share of the
matrix rate is the convolutions' and matrix products' FLOP over `fit`'s seconds and the rate of a product of two matrices
of 2048x2048, measured in the same turns. On a busy machine the processor's seconds say more than the clock's
and stand beside. As many turns are taken as fit in `--minutes`, three at least.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# What the PyTorch reference runs, as recipes: the same clip, batch and optimizer. So few videos are all drawn before the turns
# begin: drawing one for the first time costs as much as a step of some of these models.
RECIPES = {
    "gru_ae": {
        "model": {"name": "gru_ae"},
        "data": {"source": "stick_actions", "videos": 16, "people": 8},
        "fit": {"batch_size": 16, "sample_every": 200, "checkpoint_every": 200},
    },
    "conv3d_ae": {
        "model": {"name": "conv3d_ae"},
        "data": {"source": "stick_actions", "videos": 16, "people": 8},
        "fit": {"batch_size": 4, "sample_every": 200, "checkpoint_every": 200},
    },
    "videogan": {
        "model": {"name": "videogan"},
        "data": {"source": "stick_actions", "videos": 16, "people": 8},
        "fit": {"batch_size": 8, "sample_every": 200, "checkpoint_every": 200},
    },
    "pix2pix": {
        "model": {"name": "pix2pix"},
        "data": {"source": "stick_actions", "videos": 16, "people": 8, "sampler": {"name": "interpolate", "jitter": 4}},
        "fit": {"batch_size": 4, "sample_every": 200, "checkpoint_every": 200},
    },
    "speednet": {
        "model": {"name": "speednet", "frames": 16, "image_size": 64},
        # Pairs: 8 clips a step, all of one size.
        "data": {
            "source": "stick_actions",
            "cameras": "varied",
            "videos": 16,
            "people": 8,
            "sampler": {"name": "speed_pair", "spatial": False},
        },
        "fit": {"batch_size": 4, "sample_every": 200, "checkpoint_every": 200},
    },
}

# GFLOP of a step's convolutions, forward and backward, from oneDNN's log (ONEDNN_VERBOSE=1); videogan's from its layers.
GFLOP = {"gru_ae": 58.7, "conv3d_ae": 185.8, "videogan": 368.0, "pix2pix": 90.4, "speednet": 190.7}
AIMS = {"torch_over_fit": 2.0, "kept_over_fit": 1.5}
LOOP_AIM = 0.05  # the loop's cost, of the bare step
LEAST_TURNS = 3
WARM = 5  # steps of `fit` before the turns
KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "4294967296", "MALLOC_TOP_PAD_": "67108864"}


def torch_worker(name: str, reference: str) -> None:
    spec = importlib.util.spec_from_file_location("torch_reference", reference)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    _, step, _ = module.build(name)
    step(), step()
    answer({"ready": True})
    for count in turns():
        began = time.process_time()
        seconds = [timed(step) for _ in range(count)]
        answer({"seconds": seconds, "cpu": (time.process_time() - began) / count})


def keras_worker(name: str, reference: str) -> None:
    import kvzoo  # isort: skip
    import keras
    import numpy as np

    recipe = RECIPES[name]
    options = dict(recipe["model"])
    model = kvzoo.get(options.pop("name"), **options)
    rng, size = np.random.default_rng(0), recipe["fit"]["batch_size"]
    clips = [rng.integers(0, 256, (size, *shape), np.uint8) for shape in model.clip_shapes]
    if model.loss_name == "binary_speed":
        clips = [np.concatenate(2 * clips), np.arange(2 * size) % 2]
    for _ in range(2):
        model.train_on_batch(*clips)
    answer({"ready": True})
    square = keras.random.normal((2048, 2048))
    for count in turns():
        began = time.process_time()
        seconds = [timed(lambda: model.train_on_batch(*clips)) for _ in range(count)]
        cpu = (time.process_time() - began) / count
        product = min(timed(lambda: keras.ops.convert_to_numpy(keras.ops.matmul(square, square))) for _ in range(3))
        answer({"seconds": seconds, "cpu": cpu, "gflops": 2 * 2.048**3 / product})


def fit_worker(name: str, reference: str) -> None:
    started = time.perf_counter()
    from kvzoo import process

    with process.without_side_packages():  # as the command line does
        import keras

    import kvzoo
    from kvzoo.recipe.resolve import to_yaml
    from kvzoo.registry import CallbackSpec

    class Gate(keras.callbacks.Callback):
        """Lets `fit` run a turn of steps, and tells how long it took."""

        left = -1

        def on_train_batch_end(self, batch, logs=None):
            if self.left < 0:
                answer({"ready": True, "first_step": time.perf_counter() - started})
                self.left = WARM  # the first steps after tracing are slow, and draw the videos
            self.left -= 1
            if self.left == 0:
                if self.began is not None:
                    seconds, cpu = ((now - began) / self.count for now, began in zip(clocks(), self.began, strict=True))
                    answer({"seconds": [seconds], "cpu": cpu})
                self.count = self.left = next(turns(), 0)
                if not self.count:
                    self.model.stop_training = True
                    os._exit(0)
                self.began = clocks()

        began = None

    globals()["Gate"] = Gate
    kvzoo.register(CallbackSpec("gate", builder="__main__:Gate"))
    recipe = {**RECIPES[name], "callbacks": [{"name": "gate"}]}
    recipe["fit"] = {**recipe["fit"], "steps": 1_000_000}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bench.yaml")
        with open(path, "w", encoding="utf-8") as file:
            to_yaml(recipe, file)
        kvzoo.fit(path, out=os.path.join(folder, "run"))


WORKERS = {"torch": torch_worker, "kept": torch_worker, "keras": keras_worker, "fit": fit_worker}


def turns():
    for line in sys.stdin:
        yield int(line)


def answer(record: dict) -> None:
    print(json.dumps(record), flush=True)


def clocks() -> tuple[float, float]:
    """Return the clock's seconds and this process's of the processor, all threads together."""
    return time.perf_counter(), time.process_time()


def timed(step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(RECIPES), help=f"of {', '.join(RECIPES)}")
    parser.add_argument("--reference", required=True, help="the PyTorch reference script")
    parser.add_argument("--turns", type=int, default=7, help="at most")
    parser.add_argument("--steps", type=int, default=2, help="steps a turn")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all rows together")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        WORKERS[args.worker](args.models[0], args.reference)
        return
    end = time.perf_counter() + 60 * args.minutes
    for i, name in enumerate(args.models):
        left = end - time.perf_counter()
        row = compare(name, args, time.perf_counter() + left / (len(args.models) - i))
        print(json.dumps(row) if args.json else in_words(row), flush=True)


def in_words(row: dict) -> str:
    short = [f"{name.replace('_', ' ')} is under {aim}" for name, aim in AIMS.items() if row[name] < aim]
    if row["fit_over_keras"] > 1 + LOOP_AIM:
        short.append(f"the loop costs more than {LOOP_AIM:.0%}")
    lines = [
        f"{row['model']}, {row['turns']} turns of {row['steps']} steps: seconds a step, by the clock and of the processor: "
        + ", ".join(f"{worker} {row[f'{worker}_s']:.3f} and {row[f'{worker}_cpu_s']:.3f}" for worker in WORKERS),
        f"fit is {row['torch_over_fit']:.2f} times as fast as PyTorch, {row['kept_over_fit']:.2f} times with kept memory; "
        f"the loop costs {row['fit_over_keras'] - 1:.1%}; {row['share']:.0%} of {row['gflops']:.0f} GFLOP/s; "
        f"first step after {row['first_step_s']:.1f} s",
        *(f"short of the aim: {each}" for each in short),
    ]
    return "\n  ".join(lines)


def compare(name: str, args, until: float) -> dict:
    """Return medians of the turns' seconds a step and ratios; turns end at `until`."""
    workers, seconds, rates = {}, {worker: [] for worker in WORKERS}, []
    cpu = {worker: [] for worker in WORKERS}
    for worker in WORKERS:
        if worker == "fit":
            # The others begin together; `fit` alone, for its first step is timed.
            for process in workers.values():
                listen(process)
        command = [sys.executable, __file__, name, "--reference", args.reference, "--worker", worker]
        workers[worker] = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **(KEPT if worker == "kept" else {})},
        )
    first_step = listen(workers["fit"])["first_step"]
    turns = 0
    while turns < args.turns and (turns < LEAST_TURNS or time.perf_counter() < until):
        turns += 1
        for worker, process in workers.items():
            process.stdin.write(f"{args.steps}\n")
            process.stdin.flush()
            told = listen(process)
            seconds[worker].append(statistics.median(told["seconds"]))
            cpu[worker].append(told["cpu"])
            rates += [told["gflops"]] if "gflops" in told else []
    for process in workers.values():
        process.stdin.close()
        process.wait()

    def ratio(above: str, below: str) -> float:
        return statistics.median(a / b for a, b in zip(seconds[above], seconds[below], strict=True))

    medians = {f"{worker}_s": round(statistics.median(s), 4) for worker, s in seconds.items()}
    gflops = statistics.median(rates)
    return {
        "model": name,
        "turns": turns,
        "steps": args.steps,
        **medians,
        **{f"{worker}_cpu_s": round(statistics.median(c), 4) for worker, c in cpu.items()},
        "torch_over_fit": round(ratio("torch", "fit"), 3),
        "kept_over_fit": round(ratio("kept", "fit"), 3),
        "fit_over_keras": round(ratio("fit", "keras"), 3),
        "gflops": round(gflops, 1),
        "share": round(GFLOP[name] / medians["fit_s"] / gflops, 3),
        "first_step_s": round(first_step, 2),
    }


def listen(process: subprocess.Popen) -> dict:
    """Return the worker's next answer; other lines that it prints are passed over."""
    for line in process.stdout:
        if line.startswith("{"):
            return json.loads(line)
    raise SystemExit(f"a worker stopped with code {process.wait()}")


if __name__ == "__main__":
    main()
