"""tensorflow-io: a store streamed within a tf.data graph, and files fetched by its file systems.

Works with TensorFlow 2.16 only (`kvzoo[tfio]`). Run as a module it fetches: `python -m kvzoo.run.tfio ADDRESS TARGET`.
"""

import json
import logging
import os
import posixpath
import sys
from collections.abc import Iterator
from pathlib import Path

from kvzoo.data.hdf5 import Hdf5
from kvzoo.data.pipeline import Clips
from kvzoo.data.remote import place, tfio_mismatch
from kvzoo.data.samplers import Window
from kvzoo.errors import InputError
from kvzoo.files import written_whole

log = logging.getLogger("kvzoo")


def stream(clips: Clips, batch_size: int, seed: int, start: int = 0):
    """Return an endless tf.data.Dataset of training batches, read from a store by tensorflow-io's HDF5 reader.

    Every clip comes once a pass. Resuming at a step goes on with other examples than the run would have had without a
    break: the exact resume of `kvzoo.data.pipeline.batches` is not kept.

    Raises:
        InputError: another TensorFlow, another source than a store, or clips that are more than windows of it.
    """
    if problem := tfio_mismatch():
        raise InputError(f"data.reader: {problem}")
    source, (frames, *size) = clips.source, clips.shapes[0]
    if not isinstance(source, Hdf5):
        raise InputError("data.reader: tfio reads only stores (data.source: hdf5)")
    if tuple(size) != source.shape:
        raise InputError(f"data.reader: tfio reads frames as stored, {source.shape}; the model requires {tuple(size)}")
    if type(clips.sampler) is not Window or clips.short != "drop" or clips.videos[0].times is not None:
        raise InputError(
            "data.reader: tfio supports only the window sampler, without fps and short; use data.reader: native"
        )
    import tensorflow as tf
    import tensorflow_io as tfio

    log.warning("data.reader: tfio: a resumed run does not continue with the same examples")
    firsts = tf.constant([video.key for video in clips.videos], tf.int64)
    starts = tf.constant([video.frames - frames + 1 for video in clips.videos], tf.int64)
    labels = tf.constant([clips.classes.index(video.label) if clips.classes else 0 for video in clips.videos], tf.int32)
    rows = sum(video.frames for video in source.videos)
    width = source.shape[0] * source.shape[1] * source.shape[2]
    spec = {"/frames": tf.TensorSpec((rows, width), tf.uint8)}
    stored = tfio.IOTensor.from_hdf5(source.path, spec=spec)("/frames")

    def example(number, index):
        draw = tf.random.stateless_uniform((), tf.stack([number, tf.cast(seed, tf.int64)]), dtype=tf.float64)
        at = firsts[index] + tf.cast(draw * tf.cast(starts[index], tf.float64), tf.int64)
        clip = tf.reshape(stored[at : at + frames], (frames, *source.shape))
        return (clip, labels[index]) if clips.classes else (clip,)

    count = len(clips.videos)
    options = tf.data.Options()
    options.autotune.enabled = False
    return (
        tf.data.Dataset.range(count)
        .shuffle(count, seed=seed + start, reshuffle_each_iteration=True)
        .repeat()
        .enumerate(start * batch_size)
        .map(example)
        .batch(batch_size, drop_remainder=True)
        .prefetch(2)
        .with_options(options)
    )


def fetch(address: str, target: Path) -> None:
    """Copy a file, or all below a prefix, by tensorflow-io's file systems; what has its size already stays."""
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
        os.environ.setdefault("S3_ENDPOINT", endpoint)
        os.environ.setdefault("S3_USE_HTTPS", str(int(endpoint.startswith("https"))))
        os.environ.setdefault("S3_VERIFY_SSL", str(int(endpoint.startswith("https"))))
    import tensorflow as tf
    import tensorflow_io  # noqa: F401  registers the file systems

    files = tf.io.gfile
    addresses = list(_below(files, address)) if address.startswith("s3://") and files.isdir(address) else [address]
    # All keys are checked before anything is written.
    places = {key: place(target, address, key) for key in addresses}
    for key, file in places.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_file() and file.stat().st_size == files.stat(key).length:
            continue
        with files.GFile(key, "rb") as there, written_whole(file) as temporary, open(temporary, "wb") as here:
            while part := there.read(1 << 22):
                here.write(part)


def _below(files, address: str) -> Iterator[str]:
    for folder, _, names in files.walk(address):
        yield from (posixpath.join(folder, name) for name in names if name)


if __name__ == "__main__":
    error = ""
    try:
        fetch(sys.argv[1], Path(sys.argv[2]))
    except Exception as raised:
        error = getattr(raised, "message", None) or str(raised) or type(raised).__name__
    print(json.dumps({"error": error}), flush=True)
    # Its S3 file system aborts the process that ends as usual.
    os._exit(0)
