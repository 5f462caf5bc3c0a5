"""Stream videos of any length through a model: windows, batches, and threads that work ahead.

Memory is bounded by a few batches, however long a video is.
"""

import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

WINDOWS = 4  # per batch
AHEAD = 2  # batches between two threads

T = TypeVar("T")
Tag = TypeVar("Tag")


def windows(frames: Iterable[np.ndarray], length: int, stride: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield windows (length, H, W, C), each with the number of new frames at its end.

    They begin `stride` frames apart, at most `length`; the last one ends with the last frame, even if that is closer
    to the one before. A video of fewer than `length` frames has none.

    Example:

        >>> import numpy as np
        >>> from kvzoo.apps.streams import windows
        >>> frames = np.arange(7).reshape(7, 1, 1, 1)
        >>> [(clip.ravel().tolist(), new) for clip, new in windows(frames, length=4, stride=2)]
        [([0, 1, 2, 3], 4), ([2, 3, 4, 5], 2), ([3, 4, 5, 6], 1)]
    """
    buffer, new, threshold = deque(maxlen=length), 0, length
    for frame in frames:
        buffer.append(frame)
        new += 1
        if new == threshold:
            yield np.stack(buffer), new
            new, threshold = 0, stride
    if new and len(buffer) == length:
        yield np.stack(buffer), new


def windows_at_rates(
    frames: Iterable[np.ndarray], rates: Sequence[float], length: int, stride: int, least: int | None = None
) -> Iterator[tuple[np.ndarray, tuple[int, int, int]]]:
    """Yield windows of a video sped up at several rates, each with (index of the rate, first frame, new frames).

    Frame k of the video at rate x is the frame of the video that is nearest to k * x. At each rate the last window
    ends with the last frame.

    Args:
        frames: frames of the video, read once.
        rates: rates, at least 1 each.
        length: frames per window.
        stride: frames from the beginning of a window to the next.
        least: a sped-up video shorter than `length` but with at least this many frames is one window.
    """
    buffers = [deque(maxlen=length) for _ in rates]
    count, new, thresholds = [0] * len(rates), [0] * len(rates), [length] * len(rates)

    def window(i: int) -> tuple[np.ndarray, tuple[int, int, int]]:
        fresh, new[i], thresholds[i] = new[i], 0, stride
        return np.stack(buffers[i]), (i, count[i] - len(buffers[i]), fresh)

    for number, frame in enumerate(frames):
        for i, rate in enumerate(rates):
            if number == round(count[i] * rate):
                buffers[i].append(frame)
                count[i], new[i] = count[i] + 1, new[i] + 1
                if new[i] == thresholds[i]:
                    yield window(i)
    for i in range(len(rates)):
        if new[i] and len(buffers[i]) >= (least or length):
            yield window(i)


def batches(windows: Iterable[tuple[np.ndarray, Tag]], size: int = WINDOWS) -> Iterator[tuple[np.ndarray, list[Tag]]]:
    """Yield `size` windows at a time, (B, T, H, W, C), and the tag of each."""
    pending = []
    for window in windows:
        pending.append(window)
        if len(pending) == size:
            yield np.stack([clip for clip, _ in pending]), [tag for _, tag in pending]
            pending = []
    if pending:
        yield np.stack([clip for clip, _ in pending]), [tag for _, tag in pending]


def ahead(items: Iterator[T], depth: int = AHEAD) -> Iterator[T]:
    """Yield the items of an iterator, computed in a thread at most `depth` items ahead.

    Exceptions of the thread are raised here. Closing this generator ends the thread and closes the iterator.
    """
    results: queue.Queue = queue.Queue(depth)
    stopped = threading.Event()

    def put(item) -> bool:
        while not stopped.is_set():
            try:
                results.put(item, timeout=0.1)
                return True
            except queue.Full:
                pass
        return False

    def make() -> None:
        error = None
        try:
            for item in items:
                if not put((item, None, False)):
                    break
        except BaseException as raised:
            error = raised
        finally:
            items.close()
        put((None, error, True))

    thread = threading.Thread(target=make, name="kvzoo-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error, at_end = results.get()
            if error is not None:
                raise error
            if at_end:
                return
            yield item
    finally:
        stopped.set()
        thread.join()
