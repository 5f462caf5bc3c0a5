"""Frames of what an app wrote."""

import av
import numpy as np


def shown(path) -> list[np.ndarray]:
    """Return the frames of a file."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
