"""How a run's examples come to `fit` and `evaluate`: as Grain's on JAX and PyTorch, through tf.data on TensorFlow."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import grain
import keras

from kvzoo.data.pipeline import Clips, FixedExamples, batches
from kvzoo.errors import InputError

HOLD = 256 << 20  # bytes of each part's validation examples that stay in memory; more are read again every time


class Feed:
    """Base of both: what reading raises within tf.data, which would wrap it, comes back as it was on leaving."""

    def __init__(self):
        self._error: Exception | None = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback) -> None:
        cause, self._error = self._error, None
        if cause is not None and type(error).__module__.startswith("tensorflow"):
            raise cause from None

    def _through_tf_data(self, batches: Callable[[], Iterable], signature: tuple, ahead: int):
        """Return a tf.data.Dataset of batches.

        Keras would make one with autotuning on, whose thread has nothing to tune here and can hold the end of `fit` up
        for a quarter of a minute.
        """
        import tensorflow as tf

        def generate():
            try:
                yield from batches()
            except Exception as error:
                self._error = error
                raise

        options = tf.data.Options()
        options.autotune.enabled = False
        return (
            tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(ahead).with_options(options)
        )


class TrainingExamples(Feed):
    """Endless training batches, in the form that `fit` reads fastest. Notes when each batch was ready.

    Args:
        dataset: of Grain, or a tf.data.Dataset, which stays as it is.
        sizes_vary: whether clips come in several heights and widths.
    """

    def __init__(self, dataset, sizes_vary: bool = False):
        super().__init__()
        self._dataset, self._sizes_vary = dataset, sizes_vary
        self._ready: list[float] = []
        self._ahead = keras.backend.backend() == "tensorflow"  # batches are made ahead of the step

    def ready(self, batch: int, start: float) -> float:
        """Return when a batch was ready, by its number in this `fit`, for the step that began at `start`."""
        if self._ahead:
            return self._ready[batch] if batch < len(self._ready) else start
        # Other backends read within the step, and once more before the first one.
        return self._ready[-1] if self._ready else start

    def for_fit(self):
        if not self._ahead:
            return self._dataset.map(self._with_time)
        import tensorflow as tf

        if isinstance(self._dataset, tf.data.Dataset):
            return self._dataset
        signature = tuple(tf.TensorSpec(self._shape(array), array.dtype) for array in next(iter(self._dataset)))
        return self._through_tf_data(self._batches, signature, ahead=2)

    def _shape(self, array) -> tuple[int | None, ...]:
        varying = self._sizes_vary and array.ndim == 5
        return (*array.shape[:2], None, None, array.shape[4]) if varying else array.shape

    def _with_time(self, example):
        self._ready.append(time.perf_counter())
        return example

    def _batches(self) -> Iterator:
        self._ready.clear()
        return map(self._with_time, self._dataset)


class HeldOutExamples(Feed):
    """The fixed examples of one part in batches, read again by each validation.

    Attributes:
        steps: how many batches they make, which Keras wants to know.

    Raises:
        InputError: none decodes.
    """

    def __init__(self, examples: FixedExamples, batch_size: int):
        super().__init__()
        self._examples, self._batch_size = examples, batch_size
        self._dataset = None
        self.steps = sum(1 for _ in self._batches())

    def for_fit(self):
        if self._dataset is None:
            self._dataset = self._build()
        return self._dataset

    def _build(self):
        if keras.backend.backend() != "tensorflow":
            return _Passes(self._batches)
        import tensorflow as tf

        signature = tuple(tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in next(self._batches()))
        return self._through_tf_data(self._batches, signature, ahead=1)

    def _batches(self) -> Iterator[tuple]:
        return self._examples.batches(self._batch_size)


class _Passes(grain.IterDataset):
    """A Grain dataset of unknown length: every iteration is a new pass."""

    def __init__(self, batches: Callable[[], Iterator]):
        super().__init__()
        self._pass = batches

    def __iter__(self) -> grain.DatasetIterator:
        return _Pass(self._pass())


class _Pass(grain.DatasetIterator):
    def __init__(self, batches: Iterator):
        super().__init__()
        self._iterator = batches

    def __next__(self):
        return next(self._iterator)

    def get_state(self) -> dict:
        raise NotImplementedError("validation cannot be resumed midway")

    def set_state(self, state: dict) -> None:
        raise NotImplementedError("validation cannot be resumed midway")


def held_out(clips: Clips, settings: Mapping) -> HeldOutExamples:
    """Return the examples of a part that every validation reads."""
    return HeldOutExamples(FixedExamples(clips, settings["validation_clips"], HOLD), settings["batch_size"])


def training(clips: Clips, batch_size: int, seed: int, start: int) -> TrainingExamples:
    """Return the endless examples of a run from step `start` on.

    Raises:
        InputError: `data.reader` is tfio, and the backend is not TensorFlow.
    """
    if getattr(clips.source, "reader", "native") == "tfio":
        if keras.backend.backend() != "tensorflow":
            raise InputError(
                f"data.reader: tfio requires KERAS_BACKEND=tensorflow. Received: {keras.backend.backend()}"
            )
        from kvzoo.run.tfio import stream

        dataset = stream(clips, batch_size, seed, start)
    else:
        dataset = batches(clips, batch_size, seed, start=start)
    return TrainingExamples(dataset, clips.sampler.sizes_vary)
