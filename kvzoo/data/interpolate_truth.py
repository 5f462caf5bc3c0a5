"""The sampler `interpolate_truth`: frames between two with their true motion, from a source that knows it."""

import numpy as np

from kvzoo.data.samplers import Arrays, Interpolate

HALF = 2  # the truth is at half the frames' size: as fine as a flow is estimated, and a quarter of the work


class InterpolateTruth(Interpolate):
    """Like `interpolate`, with the source's truth in training: an example is inputs, targets and truth.

    The truth is float32 (m, H/2, W/2, 6): the flow to the first frame and to the last, each in pixels of that size
    down and to the right, then whether a pixel is visible in the first, and in the last. `batch` gives
    (inputs, (targets, truth)) in training; in evaluation examples are plain inputs and targets.

    Half of the training examples are mirrored left to right, half top to bottom, half transposed, half reversed in
    time, and colour channels change places: what is true stays true.

    Args:
        frames_in: 2.
        frames_out: frames between.
        augment: whether any of that is done.
    """

    truth = True

    def __init__(self, frames_in: int, frames_out: int, augment: bool = True):
        super().__init__(frames_in, frames_out)
        self.augment = augment

    def example(self, clips: Arrays, rng: np.random.Generator | None) -> Arrays:
        if rng is None or not self.augment:
            return clips
        inputs, targets, truth = clips
        across, down, turned, back = rng.integers(2, size=4)
        colours = rng.permutation(inputs.shape[-1])
        inputs, targets = inputs[..., colours], targets[..., colours]
        if back:
            # The first frame is the last one now.
            inputs, targets = inputs[::-1], targets[::-1]
            truth = truth[::-1][..., [2, 3, 0, 1, 5, 4]]
        if across:
            inputs, targets, truth = (x[:, :, ::-1] for x in (inputs, targets, truth))
            truth = truth * np.float32([1, -1, 1, -1, 1, 1])
        if down:
            inputs, targets, truth = (x[:, ::-1] for x in (inputs, targets, truth))
            truth = truth * np.float32([-1, 1, -1, 1, 1, 1])
        if turned:
            inputs, targets, truth = (x.swapaxes(1, 2) for x in (inputs, targets, truth))
            truth = truth[..., [1, 0, 3, 2, 4, 5]]
        return tuple(np.ascontiguousarray(x) for x in (inputs, targets, truth))

    def batch(self, arrays: Arrays, rng: np.random.Generator | None) -> tuple:
        if rng is None:
            return arrays
        inputs, targets, truth = arrays
        return inputs, (targets, truth)
