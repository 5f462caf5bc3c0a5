"""Samplers: which frames of a video make one example.

A sampler draws a *plan*: a tuple of arrays of frame indices, one for each array of the example.
"""

import numpy as np

Plan = tuple[np.ndarray, ...]


class Window:
    """`frames` consecutive frames, anywhere in the video: an example is one clip.

    Attributes:
        needs: frames that a video must have.
    """

    def __init__(self, frames: int):
        self.needs = frames

    def draw(self, length: int, rng: np.random.Generator) -> Plan:
        """Return a random plan for a video of `length` frames."""
        start = int(rng.integers(length - self.needs + 1))
        return (np.arange(start, start + self.needs),)

    def cover(self, length: int) -> list[Plan]:
        """Return the plans that evaluation reads: windows side by side, from the first frame on."""
        return [(np.arange(start, start + self.needs),) for start in range(0, length - self.needs + 1, self.needs)]
