"""The input pipeline of a model, for calling `model.fit` directly."""

from collections.abc import Mapping
from typing import Any

import grain

from kvzoo import catalog
from kvzoo.data.pipeline import batches, open_data
from kvzoo.losses.base import VideoModel
from kvzoo.recipe.resolve import check_data


def dataset(
    source: str | Mapping, model: VideoModel, *, batch_size: int = 16, seed: int = 0, **options: Any
) -> grain.IterDataset:
    """Return endless training batches for a model, for `model.fit(…, steps_per_epoch=…)`.

    Args:
        source: the name of a source, or a whole `data` section as a recipe has it.
        model: from `kvzoo.get`; says the clip's shape and what an example is.
        batch_size: examples per batch.
        seed: the batch at step n is a function of (seed, n).
        options: of the source, and other keys of a recipe's `data`; nothing is held out unless
            `validation` says so.

    Raises:
        InputError: an unknown source or option, or no usable video.

    Example:

        >>> import kvzoo
        >>> model = kvzoo.get("gru_ae", frames=3, image_size=16, latent_dim=8, units=12, width=4)
        >>> batches = kvzoo.dataset("moving_shapes", model, batch_size=2, seed=1, videos=4)
        >>> (clips,) = next(iter(batches))
        >>> clips.shape, str(clips.dtype)
        ((2, 3, 16, 16, 1), 'uint8')
    """
    section = {"source": source} if isinstance(source, str) else dict(source)
    loss = catalog.LOSSES.get(model.loss_name)
    section = check_data({"validation": 0.0, **section, **options}, loss)
    data = open_data(section, model.clip_shapes, seed, model.wanted_classes)
    return batches(data.training, batch_size, seed)
