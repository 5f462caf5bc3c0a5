"""The callback `memory_use`: how much of a memory is read, a figure of each interval of the history.

A memory of which few items are read can be smaller; one that has collapsed to a handful draws every clip alike.
"""

import logging

import keras
import numpy as np
from keras import ops

from kvzoo.errors import InputError

log = logging.getLogger("kvzoo")

READ = 0.01  # an item is read that has at least this part of an equal share


class MemoryUse(keras.callbacks.Callback):
    """Adds to each interval's figures `items_read`, how many items have a part in what is recalled, and
    `items_effective`, exp of the entropy of their shares: N where all are read alike, 1 where one is.

    It reads the running mean of the loss `mse_entropy`, and warns once where fewer than `least` of the items are read.
    """

    def __init__(self, least: float = 0.02):
        super().__init__()
        self.least = least
        self.warned = False

    def on_train_begin(self, logs=None):
        if not hasattr(self.model, "use"):
            raise InputError(f"callbacks: memory_use wants the loss mse_entropy. Received: {self.model.loss_name}")

    def on_epoch_end(self, epoch, logs=None):
        use = ops.convert_to_numpy(self.model.use)
        share = use / max(use.sum(), 1e-12)
        read = int((share * share.size >= READ).sum())
        if logs is not None:
            logs["items_read"] = float(read)
            logs["items_effective"] = float(np.exp(-np.sum(share * np.log(share + 1e-12))))
        if read < self.least * share.size and not self.warned:
            log.warning("memory_use: %d of %d items are read: the memory has collapsed", read, share.size)
            self.warned = True

    def get_state(self) -> dict:
        return {"warned": self.warned}

    def set_state(self, state: dict) -> None:
        self.warned = state["warned"]
