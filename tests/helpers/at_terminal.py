"""Runs the verbs of `verbs.py` one after the other at the terminal that is this process's standard output.

python at_terminal.py FOLDER COLUMNS
"""

import fcntl
import functools
import json
import logging
import os
import shutil
import struct
import sys
import termios
import time
import traceback
from pathlib import Path


def run(line: str) -> int:
    """Run `kvzoo LINE` as the console script does; return its exit code."""
    from kvzoo.cli.main import main

    sys.argv = ["kvzoo", *line.split()]
    logging.getLogger("kvzoo").handlers.clear()  # each start adds its own
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # so many models in a process seem wrong to it
    try:
        main()
    except SystemExit as stop:
        return stop.code or 0
    except BaseException:
        traceback.print_exc()
    return 1


def make_runs(run: str) -> None:
    """Make runs of fresh networks, where `fit` would take longer, and a copy of a run."""
    import keras
    import speed_runs
    import translator_runs

    import kvzoo

    keras.utils.set_random_seed(0)
    speed_runs.make_run(Path("speed"), "speednet", "binary_speed", frames=4, image_size=16, width=0.0625)
    translator_runs.make_run(Path("flow"), "flow_interpolator", translator_runs.FLOW)
    translator_runs.make_run(Path("future"), "pix2pix", translator_runs.PAINT, "predict", frames_in=3)
    shutil.copytree(run, "twin")
    generator = Path("generator")
    generator.mkdir()
    options = {"frames": 16, "image_size": 16, "noise_dim": 8, "width": 4}
    kvzoo.get("videogan", compile=False, **options).network.save(generator / "model.keras")
    written = ", ".join(f"{key}: {value}" for key, value in options.items())
    (generator / "recipe.lock.yaml").write_text(
        f"model: {{name: videogan, {written}}}\nloss: adversarial\ndata: {{source: stick_actions}}\nfit: {{steps: 1}}\n"
    )


if __name__ == "__main__":
    # Not at the top: `data prepare` starts processes that import this file, and what libraries say then is no progress.
    from verbs import ROWS

    folder, columns = sys.argv[1:]
    os.chdir(folder)
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, int(columns), 0, 0))
    codes = {}
    for verb, (line, _) in ROWS.items():
        print(f"\n=== {verb} ===", flush=True)
        began = time.process_time()
        codes[verb] = run(line)
        print(f"{time.process_time() - began:.2f} s of the processor", flush=True)
        if verb == "fit":
            from kvzoo import zoo

            make_runs("run")
            zoo.load = functools.cache(zoo.load)
    Path("codes.json").write_text(json.dumps(codes))
