"""How fast data comes, beside what bounds it: decoding against FFmpeg's own command line on the same files, a store
against plain reads of the page cache, and the share of a training step that waits for data.

    python benchmarks/data_throughput.py FOLDER_OF_VIDEOS [--ffmpeg PATH] [--recipe gru_ae]

FFmpeg's command line is that of PATH, of the package imageio-ffmpeg, or the one on this machine. Each figure is the
median of five rounds in which both sides take turns.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from kvzoo.data import source as source_module
from kvzoo.data.hdf5 import Hdf5
from kvzoo.data.prepare import Settings, prepare
from kvzoo.data.videos import Videos

ROUNDS = 5
SIZE = 64


def seconds(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def turns(ours, theirs) -> tuple[float, float]:
    """Return the median seconds of two pieces of work that take turns."""
    ours(), theirs()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    return tuple(statistics.median(side) for side in zip(*pairs, strict=True))


def decoding(folder: str, ffmpeg: str) -> str:
    source_module.CACHE_BYTES = 0
    source = Videos(folder)
    frames = sum(video.frames for video in source.videos)

    def ours():
        def read(video):
            for at in range(0, video.frames, source_module.CHUNK):
                source.decode(video, at, min(at + source_module.CHUNK, video.frames), SIZE, 3)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(read, source.videos))

    def theirs():
        # The same square of the same size; one thread a file and as many files at once as there are cores, as here.
        cut = f"crop='min(iw,ih)':'min(iw,ih)',scale={SIZE}:{SIZE}:flags=area"

        def read(video):
            command = [ffmpeg, "-v", "error", "-threads", "1", "-i", video.key.path, "-vf", cut, "-pix_fmt", "rgb24"]
            subprocess.run([*command, "-f", "rawvideo", "-y", os.devnull], check=True)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(read, source.videos))

    a, b = turns(ours, theirs)
    return f"decoding: {frames / a:.0f} frames/s, FFmpeg's command line {frames / b:.0f}; ratio {b / a:.2f}"


def store_reads(folder: str, scratch: Path) -> str:
    source = Videos(folder)
    # Each file is a class, for models that want some.
    labelled = [replace(video, label=video.name) for video in source.videos]
    prepare(source, labelled, scratch / "a.h5", Settings(SIZE, 3), "benchmark")
    store = Hdf5(str(scratch / "a.h5"))
    rng = np.random.default_rng(0)
    videos = [video for video in store.videos if video.frames >= 16]
    jobs = [
        (v, int(rng.integers(v.frames - 15))) for v in (videos[int(i)] for i in rng.integers(len(videos), size=5000))
    ]
    row, count = SIZE * SIZE * 3, 16
    descriptor = os.open(scratch / "a.h5", os.O_RDONLY)
    buffer = bytearray(row * count)

    def ours():
        for video, at in jobs:
            store.read(video, np.arange(at, at + count), SIZE, 3)

    def theirs():
        for video, at in jobs:
            os.preadv(descriptor, [buffer], store.begin + (video.key + at) * row)

    a, b = turns(ours, theirs)
    size = len(jobs) * row * count / 1e9
    return (
        f"store: {len(jobs) / a:.0f} clips/s of 16x64x64x3 ({size / a:.1f} GB/s) at random places by one thread, the page "
        f"cache {size / b:.1f} GB/s; ratio {b / a:.2f}"
    )


def waiting(scratch: Path, recipe: str) -> str:
    """Train from the store and measure how long `fit` waits for each batch; a model that ate nothing would wait always."""
    import keras

    import kvzoo
    from kvzoo.recipe.resolve import load
    from kvzoo.run.dataset import dataset

    resolved = load(recipe)
    options = dict(resolved.model_options)
    if "classes" in options:
        options["classes"] = len({video.label for video in Hdf5(str(scratch / "a.h5")).videos})
    model = kvzoo.get(resolved["model"]["name"], **options)
    batches = iter(dataset("hdf5", model, path=str(scratch / "a.h5"), batch_size=resolved["fit"]["batch_size"]))
    waited, steps = 0.0, 40
    for step in range(steps + 5):
        started = time.perf_counter()
        batch = next(batches)
        fetched = time.perf_counter()
        model.train_on_batch(*batch)
        if step == 4:
            waited, begun = 0.0, time.perf_counter()
        elif step > 4:
            waited += fetched - started
    whole = time.perf_counter() - begun
    return (
        f"training {resolved['model']['name']} on {keras.backend.backend()}: {1000 * whole / steps:.0f} ms a step, "
        f"{100 * waited / whole:.1f} % of it waiting"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--ffmpeg")
    parser.add_argument("--recipe", nargs="*", default=["tiny_c3d", "gru_ae"])
    given = parser.parse_args()
    ffmpeg = given.ffmpeg or shutil.which("ffmpeg")
    if ffmpeg is None:
        import imageio_ffmpeg

        ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    print(decoding(given.folder, ffmpeg))
    with tempfile.TemporaryDirectory() as scratch:
        print(store_reads(given.folder, Path(scratch)))
        for recipe in given.recipe:
            print(waiting(Path(scratch), recipe))


if __name__ == "__main__":
    main()
