"""Videos of any length through a model: windows, batches of them, and threads that work ahead.

Nothing here holds more than a few batches, however long a video is.
"""

import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np

WINDOWS = 4  # a batch
AHEAD = 2  # batches between two threads

T = TypeVar("T")


def windows(frames: Iterable[np.ndarray], length: int, stride: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield windows (length, H, W, C), each with the number of frames at its end that are new.

    They begin `stride` frames apart, `length` at most; the last one ends with the last frame, nearer to the
    one before where it must. Of fewer frames than `length` there is none.
    """
    held, new, wanted = deque(maxlen=length), 0, length
    for frame in frames:
        held.append(frame)
        new += 1
        if new == wanted:
            yield np.stack(held), new
            new, wanted = 0, stride
    if new and len(held) == length:
        yield np.stack(held), new


def batches(windows: Iterable[tuple[np.ndarray, int]]) -> Iterator[tuple[np.ndarray, list[int]]]:
    """Yield WINDOWS windows at a time, (B, T, H, W, C), and the number of new frames of each."""
    held = []
    for window in windows:
        held.append(window)
        if len(held) == WINDOWS:
            yield np.stack([clip for clip, _ in held]), [new for _, new in held]
            held = []
    if held:
        yield np.stack([clip for clip, _ in held]), [new for _, new in held]


def ahead(items: Iterator[T], depth: int = AHEAD) -> Iterator[T]:
    """Yield what an iterator gives, made in a thread that is at most `depth` items ahead.

    What is raised there is raised here. Closing this generator ends the thread and closes the iterator.
    """
    made: queue.Queue = queue.Queue(depth)
    stopped = threading.Event()

    def put(item) -> bool:
        while not stopped.is_set():
            try:
                made.put(item, timeout=0.1)
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
            item, error, ended = made.get()
            if error is not None:
                raise error
            if ended:
                return
            yield item
    finally:
        stopped.set()
        thread.join()
