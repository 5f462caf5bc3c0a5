"""How long `kvzoo list` takes, with no plugins and with 50: the median of some runs, beside Python alone.

python benchmarks/list_startup.py
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS, PLUGINS, LIMIT = 15, 50, 0.4


def seconds(command: list[str], folder: str = "") -> float:
    """Return the median wall time of a command, with a folder of distributions on the path."""
    path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    environment.pop("KVZOO_PLUGINS", None)
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    command = [sys.executable, "-m", "kvzoo", "list"]
    with tempfile.TemporaryDirectory() as folder:
        for i in range(PLUGINS):
            info = Path(folder) / f"zoo_{i}-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: zoo-{i}\nVersion: 1.0\n")
            (info / "entry_points.txt").write_text(f"[kvzoo.models]\nmodel_{i} = zoo_{i}:spec\n")
        print(f"python -c pass            {seconds([sys.executable, '-c', 'pass']):.3f} s")
        print(f"kvzoo list                {seconds(command):.3f} s")
        print(f"kvzoo list, {PLUGINS} plugins    {seconds(command, folder):.3f} s (limit {LIMIT} s)")


if __name__ == "__main__":
    main()
