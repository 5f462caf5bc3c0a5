"""Create the image of a model card from a run: `python docs/pictures.py runs/gru_ae-1 docs/images/gru_ae.gif`.

The animation of a reconstructor shows held-out videos of four groups, input above output; that of a generator, four
clips; that of a translator, from top to bottom, the cross-fade, its frames and the true frames. With the extension .png,
and for classifiers, the image is the last sample of the run.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import kvzoo
from kvzoo.data.pipeline import open_data
from kvzoo.losses.base import to_uint8
from kvzoo.media.clips import stack
from kvzoo.recipe.resolve import load

COLUMNS = 4
FPS = 12.5  # every second frame: half the file size
SHADES = 48  # colours of a GIF
PNG_SHADES = 128
HEIGHT = 776  # pixels of a PNG: three generated clips with their components


def pictures(run: Path) -> list[np.ndarray]:
    """Return the frames (H, W, C) of the animation of a run."""
    recipe = load(run / "recipe.lock.yaml", check_paths=False)
    model = kvzoo.load(run)
    kind = model.spec.kind
    data = open_data(recipe["data"], model.clip_shapes, recipe["fit"]["seed"], model.wanted_classes)
    if kind == "reconstructor":
        rows = _reconstructed(model, data.validation)
    elif kind == "generator":
        rows = _generated(model, len(data.validation.classes))
    elif kind == "translator":
        rows = _between(model, data.validation)
    else:
        raise SystemExit(f"{run}: a {kind} has no animation; use a .png")
    return [stack([stack(list(row), axis=1) for row in frame], axis=0) for frame in rows]


def _reconstructed(model, clips):
    length, size, _, channels = model.clip_shape
    # Different actions, and different people if there are enough.
    videos = list({video.label: video for video in {v.group: v for v in clips.videos[::-1]}.values()}.values())
    videos = [*videos, *(video for video in clips.videos if video not in videos)][:COLUMNS]
    count = min(video.frames for video in videos) // length * length
    inputs = np.stack([clips.source.read(video, np.arange(count), size, channels) for video in videos])
    windows = inputs.reshape(-1, length, size, size, channels)
    outputs = to_uint8(model.predict(windows, batch_size=8, verbose=0)).reshape(inputs.shape)
    return np.stack([inputs, outputs]).transpose(2, 0, 1, 3, 4, 5)[::2]


def _generated(model, classes):
    labels = [i % classes for i in range(COLUMNS)] if classes else None
    return model.generate(COLUMNS, seed=1, labels=labels).transpose(1, 0, 2, 3, 4)[:, None]


def _between(model, clips):
    inputs, targets = (part[:: len(clips.cover(64)) // COLUMNS][:COLUMNS] for part in clips.arrays(64)[:2])
    outputs = to_uint8(model.predict(inputs, verbose=0))
    share = (np.arange(1, targets.shape[1] + 1) / (targets.shape[1] + 1))[:, None, None, None]
    fade = (inputs[:, :1] * (1 - share) + inputs[:, 1:] * share).round().astype(np.uint8)
    rows = np.stack([np.concatenate([inputs[:, :1], part, inputs[:, 1:]], axis=1) for part in (fade, outputs, targets)])
    return rows.transpose(2, 0, 1, 3, 4, 5)


def main() -> None:
    run, out = map(Path, sys.argv[1:])
    if out.suffix == ".png":
        image = Image.open(max((run / "samples").glob("*.png"))).convert("RGB")
        image = image.crop((0, 0, image.width, min(image.height, HEIGHT)))
        image.quantize(PNG_SHADES, dither=Image.Dither.NONE).save(out, optimize=True)
        print(f"{out}: {image.size}, {out.stat().st_size // 1024} KiB")
        return
    frames = [cv2.resize(f, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC) for f in pictures(run)]
    images = [Image.fromarray(frame).convert("RGB") for frame in frames]
    # One palette for all frames, without dithering, compresses best and does not flicker.
    palette = images[len(images) // 2].quantize(SHADES)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    images[0].save(out, save_all=True, append_images=images[1:], duration=round(1000 / FPS), loop=0, optimize=True)
    print(f"{out}: {len(images)} frames of {images[0].size}, {out.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
