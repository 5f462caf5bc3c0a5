"""Samplers: which frames of a video make one example, and what becomes of them on the way to a batch.

A sampler draws a *plan*: a tuple of arrays of frame indices, one for each clip that is read.
"""

import numpy as np

Plan = tuple[np.ndarray, ...]
Arrays = tuple[np.ndarray, ...]


class Sampler:
    """Base of all samplers: an example is what its plan reads.

    Attributes:
        needs: frames that a video must have.
    """

    needs: int

    def draw(self, length: int, rng: np.random.Generator) -> Plan:
        """Return a random plan for a video of `length` frames."""
        raise NotImplementedError

    def cover(self, length: int) -> list[Plan]:
        """Return the plans that evaluation reads, evenly over a video of `length` frames."""
        raise NotImplementedError

    def read_size(self, image_size: int) -> int:
        """Return the size that frames are read at in training; larger where `example` crops them."""
        return image_size

    def example(self, clips: Arrays, rng: np.random.Generator | None) -> Arrays:
        """Return the example that a plan's clips make; `rng` is None in evaluation, where nothing is random."""
        return clips

    def batch(self, arrays: Arrays, rng: np.random.Generator | None) -> Arrays:
        """Return what `fit` is given for a batch of stacked examples; `rng` is None in evaluation."""
        return arrays


class Window(Sampler):
    """`frames` consecutive frames, anywhere in the video: an example is one clip.

    Evaluation reads windows side by side, from the first frame on.
    """

    def __init__(self, frames: int):
        self.needs = frames

    def draw(self, length: int, rng: np.random.Generator) -> Plan:
        start = int(rng.integers(length - self.needs + 1))
        return (np.arange(start, start + self.needs),)

    def cover(self, length: int) -> list[Plan]:
        return [(np.arange(start, start + self.needs),) for start in range(0, length - self.needs + 1, self.needs)]
