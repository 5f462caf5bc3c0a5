"""Compare the two ways in which `kvzoo speed` runs a network's windows: every one by itself, or shared chunks.

    python benchmarks/sliding_windows.py runs/speednet-1

Draws a video of 1,000 frames whose stretches play at 1x, 1.5x and 2x, judges it at 1x in both modes, and prints the
seconds of each on the clock and of the processor (a first call, which compiles, is not counted), the largest and the
95th-percentile difference in P(sped up), and the share of windows on whose side of 0.5 both are. Below, the same
without the separate windows that the fast mode pins itself to, and for the exact mode with a stride.
"""

import argparse
import os
import tempfile
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    import numpy as np

    import kvzoo
    from kvzoo.apps import speed
    from kvzoo.data.videos import open_video
    from kvzoo.data.worlds.stick_actions import StickActions
    from kvzoo.media.clips import write_mp4
    from kvzoo.models.sliding import sliding

    model = kvzoo.load(options.run)
    length, image_size, _, _ = model.clip_shape
    source = StickActions(videos=-(-options.frames // 60), people=8, seconds=6, seed=options.seed)
    frames = []
    for i, video in enumerate(source.videos):
        at = np.round(np.arange(0, video.frames, (1, 1.5, 2)[i % 3])).astype(int)
        frames.extend(source.read(video, at[at < video.frames], max(image_size, 64), 3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        write_mp4(path, frames[: options.frames], 25)
        network = sliding(model.network, model.spec.map_layer, length)
        ways = {
            "exact": lambda stream: speed._exact(model, stream, (1.0,), 1),
            "fast": lambda stream: speed._fast(model, network, stream, (1.0,)),
            "fast, not pinned": lambda stream: speed._from_chunks(model, network, stream, (1.0,)),
        }
        for stride in (length // 8, length // 4, length // 2):
            ways[f"exact, stride {stride}"] = partial(lambda stride, s: speed._exact(model, s, (1.0,), stride), stride)
        found = {}
        for name, way in ways.items():
            way(open_video(path))
            begin, used = time.perf_counter(), time.process_time()
            found[name] = (*way(open_video(path))[0], time.perf_counter() - begin, time.process_time() - used)
    places, logits, _, cost = found["exact"]
    wanted = 1 / (1 + np.exp(-logits))
    print(
        f"{len(places)} windows of {length} frames, {image_size}x{image_size}; logits {logits.mean():.2f} +- {logits.std():.2f}"
    )
    print(f"{'way':<18}{'seconds':>9}{'CPU seconds':>13}{'times less':>12}{'largest':>10}{'95th':>8}{'equal':>8}")
    for name, (at, values, took, used) in found.items():
        seen = np.interp(places, at, 1 / (1 + np.exp(-values)))
        off, equal = np.abs(seen - wanted), ((seen > 0.5) == (wanted > 0.5)).mean()
        print(
            f"{name:<18}{took:9.2f}{used:13.2f}{cost / used:12.1f}{off.max():10.3f}{np.percentile(off, 95):8.3f}{equal:8.1%}"
        )


if __name__ == "__main__":
    main()
