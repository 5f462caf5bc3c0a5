"""Measure what a speed network's maps, features and curves are worth, on drawn videos whose truth is known.

    python benchmarks/speediness.py runs/speednet-1

- saliency: clips whose left half plays at 1x and whose right half at 2x, or the other way round, and clips that change
  from one to the other half way in time. AUROC of the map for the places that play at 2x, at the map's own size.
- retrieve: windows of the six drawn actions by people who were not in the training data of recipes/speednet.yaml, as
  queries to those of all other people. Precision at 5 by action, beside that of the mean frame at 16x16 and of chance.
- speedup: videos of slowed, natural and sped-up spans. Spearman's rank correlation of the curve S(t) at rate 2 with how
  much each frame can be sped up until it is at 2x, beside that of a uniform speed-up, which is constant: 0.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def saliency(model, count: int) -> dict[str, float]:
    """Return the AUROC of the map for what plays at 2x, in space and in time."""
    import numpy as np
    from sklearn.metrics import roc_auc_score

    from kvzoo.data.worlds.stick_actions import StickActions
    from kvzoo.models.sliding import map_logits

    length, size, _, channels = model.clip_shape
    source = StickActions(videos=2 * count, people=max(4, count // 2), seconds=4, cameras="varied", seed=77)
    network = map_logits(model.network, model.spec.map_layer)
    rng = np.random.default_rng(0)
    maps, truths = {"space": [], "time": []}, {"space": [], "time": []}
    for i in range(count):
        pair = source.videos[2 * i : 2 * i + 2]
        at = [np.arange(length) * rate + int(rng.integers(0, 4)) for rate in (1, 2)]
        halves = [source.read(video, times, size, channels) for video, times in zip(pair, at, strict=True)]
        left = int(rng.integers(2))
        clip = np.concatenate([halves[left], halves[1 - left]], axis=2)
        found = np.asarray(network(clip[None].astype("float32") / 127.5 - 1.0))[0]
        truth = np.zeros(found.shape, bool)
        half = found.shape[2] // 2
        truth[..., slice(half, None) if left == 0 else slice(0, half)] = True
        maps["space"].append(found.ravel())
        truths["space"].append(truth.ravel())

        rates = np.repeat([1, 2] if left == 0 else [2, 1], length)
        times = np.concatenate([[0], np.cumsum(rates)[:-1]])
        found = np.asarray(network(source.read(pair[0], times, size, channels)[None].astype("float32") / 127.5 - 1.0))[
            0
        ]
        maps["time"].append(found.mean((1, 2)))
        truths["time"].append(rates == 2)
    return {key: float(roc_auc_score(np.concatenate(truths[key]), np.concatenate(maps[key]))) for key in maps}


def retrieval(model, count: int) -> dict[str, float]:
    """Return the precision at 5, by action, of the network's features, of mean frames, and by chance."""
    import numpy as np

    from kvzoo import zoo
    from kvzoo.data.worlds.stick_actions import StickActions

    length, size, _, channels = model.clip_shape
    source = StickActions(videos=count, people=20, cameras="varied", seed=78)
    clips = np.stack([source.read(video, np.arange(length), size, channels) for video in source.videos])
    labels = np.array([video.label for video in source.videos])
    groups = np.array([video.group for video in source.videos])
    network = zoo.part(model.network, model.spec.feature_layer)
    small = clips.mean(1).reshape(count, 16, size // 16, 16, size // 16, channels).mean((2, 4)).reshape(count, -1)
    features = {
        "network": np.asarray(network.predict(clips.astype("float32") / 127.5 - 1.0, batch_size=8, verbose=0)),
        "mean frame": small - small.mean(1, keepdims=True),
    }
    others = groups[:, None] != groups[None]
    found = {"chance": float(np.mean([(labels[o] == own).mean() for o, own in zip(others, labels, strict=True)]))}
    for name, rows in features.items():
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        near = np.argsort(np.where(others, -(unit @ unit.T), np.inf), axis=1)[:, :5]
        found[name] = float((labels[near] == labels[:, None]).mean())
    return found


def speedup(run: str, count: int) -> dict[str, float]:
    """Return the rank correlation of S(t) with the truth, the mean over videos and the least."""
    import numpy as np
    from scipy.stats import spearmanr

    from kvzoo.apps.speedup import speedup
    from kvzoo.data.worlds.speed_spans import SpeedSpans
    from kvzoo.media.clips import write_mp4

    source = SpeedSpans(videos=count, seconds=18, seed=79)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for video in source.videos:
            file = Path(folder) / f"{len(found)}.mp4"
            write_mp4(file, source.read(video, np.arange(video.frames), 64, 3), 25)
            seen = speedup(run, file, file.with_suffix(".out.mp4"), 2.0)
            found.append(spearmanr(seen.speeds, 1 / source.frame_speeds(video)[: len(seen.speeds)]).statistic)
    return {"mean": float(np.mean(found)), "least": float(np.min(found))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--clips", type=int, default=60, help="clips of saliency; twice as many of retrieve")
    parser.add_argument("--videos", type=int, default=6, help="videos of speedup")
    options = parser.parse_args()

    import kvzoo

    model = kvzoo.load(options.run)
    for name, figures in (
        ("saliency, AUROC for what plays at 2x", saliency(model, options.clips)),
        ("retrieve, precision at 5", retrieval(model, 2 * options.clips)),
        ("speedup, rank correlation of S(t) with the truth", speedup(options.run, options.videos)),
    ):
        print(f"{name:50}", "  ".join(f"{key} {value:.3f}" for key, value in figures.items()), flush=True)


if __name__ == "__main__":
    main()
