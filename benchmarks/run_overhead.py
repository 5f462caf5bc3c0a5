"""What checkpoints, samples and the report of a run cost, as shares of its wall time.

    python benchmarks/run_overhead.py gru_ae

Trains a recipe for a few steps with short intervals, times every call of what keeps the run, in the process that trains,
and says what the calls would cost a run of ten minutes at the recipe's own intervals and the seconds a step that were seen.
"""

import argparse
import functools
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

WALL = 600.0  # seconds
EVERY = 8  # steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("-o", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()

    import kvzoo
    import kvzoo.recipe.resolve
    from kvzoo.run import checkpoint, fit, samples, training

    spent: dict[str, list[float]] = {}

    def timed(module, name: str) -> None:
        function = getattr(module, name)

        @functools.wraps(function)
        def around(*args, **options):
            started = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                spent.setdefault(name, []).append(time.perf_counter() - started)

        setattr(module, name, around)

    timed(checkpoint, "save")
    timed(training.Loop, "save_network")
    timed(samples, "draw")
    timed(fit, "write_report")
    timed(fit, "write_curves")
    settings = kvzoo.recipe.resolve.load(arguments.recipe, arguments.overrides)["fit"]
    short = [f"fit.steps={3 * EVERY}", f"fit.sample_every={EVERY}", f"fit.checkpoint_every={EVERY}"]
    with tempfile.TemporaryDirectory() as folder:
        run = kvzoo.fit(arguments.recipe, [*arguments.overrides, *short], out=Path(folder) / "run")
        timing = json.loads((run.path / "timing.json").read_text())
        size = (run.path / "report.html").stat().st_size

    steps, total = WALL / timing["step_s"], 0.0
    print(f"a step takes {timing['step_s']:.3f} s; ten minutes have {steps:.0f}")
    every = {"draw": settings["sample_every"], "save": settings["checkpoint_every"]}
    every["save_network"] = every["save"]
    for name, seconds in spent.items():
        each, calls = statistics.median(seconds), max(1, round(steps / every[name])) if name in every else 1
        total += each * calls
        print(f"{name:13} {each:.3f} s each, {calls:3} times: {100 * each * calls / WALL:.2f} %")
    print(f"together      {100 * total / WALL:.2f} %; the report has {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
