"""Videos of any length through a model: windows, batches of them, and threads that work ahead.

Nothing here holds more than a few batches, however long a video is.
"""

import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

WINDOWS = 4  # a batch
AHEAD = 2  # batches between two threads

T = TypeVar("T")
Tag = TypeVar("Tag")


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


def windows_at_rates(
    frames: Iterable[np.ndarray], rates: Sequence[float], length: int, stride: int, least: int | None = None
) -> Iterator[tuple[np.ndarray, tuple[int, int, int]]]:
    """Yield windows of a video sped up at several rates, each with (index of the rate, first frame, new frames).

    Frame k of the video at rate x is the frame of the video that is nearest to k * x. At each rate the last window
    ends with the last frame.

    Args:
        frames: the video's, read once.
        rates: 1 or more each.
        length: frames of a window.
        stride: from the beginning of a window to that of the next.
        least: where a sped-up video is shorter than `length`, but has as many frames as this, it is one window.
    """
    held = [deque(maxlen=length) for _ in rates]
    count, new, wanted = [0] * len(rates), [0] * len(rates), [length] * len(rates)

    def window(i: int) -> tuple[np.ndarray, tuple[int, int, int]]:
        fresh, new[i], wanted[i] = new[i], 0, stride
        return np.stack(held[i]), (i, count[i] - len(held[i]), fresh)

    for number, frame in enumerate(frames):
        for i, rate in enumerate(rates):
            if number == round(count[i] * rate):
                held[i].append(frame)
                count[i], new[i] = count[i] + 1, new[i] + 1
                if new[i] == wanted[i]:
                    yield window(i)
    for i in range(len(rates)):
        if new[i] and len(held[i]) >= (least or length):
            yield window(i)


def batches(windows: Iterable[tuple[np.ndarray, Tag]], size: int = WINDOWS) -> Iterator[tuple[np.ndarray, list[Tag]]]:
    """Yield `size` windows at a time, (B, T, H, W, C), and what came with each."""
    held = []
    for window in windows:
        held.append(window)
        if len(held) == size:
            yield np.stack([clip for clip, _ in held]), [tag for _, tag in held]
            held = []
    if held:
        yield np.stack([clip for clip, _ in held]), [tag for _, tag in held]


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
