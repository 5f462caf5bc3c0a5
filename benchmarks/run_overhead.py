"""What checkpoints, samples, validation and the report of a run cost, as shares of its wall time.

    python benchmarks/run_overhead.py gru_ae -o fit.steps=600

Runs a recipe with its own intervals and times every call of what keeps the run, in the process that trains. The share
of ten minutes is what the same calls would cost a run of ten minutes at the rate of steps that was seen.
"""

import argparse
import functools
import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

WALL = 600.0  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("-o", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()

    import kvzoo
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
    timed(training, "save_network")
    timed(samples, "draw")
    timed(fit, "write_report")
    timed(fit, "write_curves")
    with tempfile.TemporaryDirectory() as folder:
        run = kvzoo.fit(arguments.recipe, arguments.overrides, out=Path(folder) / "run")
        timing = json.loads((run.path / "timing.json").read_text())
        size = (run.path / "report.html").stat().st_size

    print(f"{timing['steps']} steps of {timing['step_s']:.3f} s, wall {timing['wall_s']:.0f} s")
    total = 0.0
    for name, seconds in spent.items():
        at_end = name in ("write_report", "write_curves")
        # What is done once an interval is done as often as the run has intervals, the rest once.
        each = sum(seconds) / len(seconds)
        calls = 1 if at_end else WALL / timing["wall_s"] * len(seconds)
        total += each * calls
        print(f"{name:13} {len(seconds):4} calls, {each:.3f} s each, {100 * each * calls / WALL:.2f} % of ten minutes")
    print(f"all           {100 * total / WALL:.2f} % of ten minutes; the report has {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
