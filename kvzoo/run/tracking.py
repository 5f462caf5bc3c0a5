"""Trackers that a recipe names under `track`, which write figures next to history.csv."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from kvzoo.errors import InputError
from kvzoo.run.folder import RunFolder, writing
from kvzoo.run.history import metric_of

Tracker = Callable[[dict], None]


@contextmanager
def tracked(names: Sequence[str], folder: RunFolder, step: int, tests: Sequence[str]) -> Iterator[list[Tracker]]:
    """Yield what is to be told of each row of history.

    Args:
        names: of trackers: tensorboard.
        folder: of the run.
        step: where the run starts or resumes; what was tracked after it is overwritten.
        tests: names of the further test sets.

    Raises:
        InputError: a tracker's package is not installed.
    """
    with ExitStack() as stack:
        yield [stack.enter_context({"tensorboard": _tensorboard}[name](folder, step, tests)) for name in names]


@contextmanager
def _tensorboard(folder: RunFolder, step: int, tests: Sequence[str]) -> Iterator[Tracker]:
    """Figures and samples as TensorBoard reads them: `tensorboard --logdir runs`."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError:
        raise InputError("track: tensorboard is not installed; use pip install 'kvzoo[tensorboard]'") from None
    path = folder.path / "tensorboard"
    with writing(path):
        writer = EventFileWriter(str(path))

    def write(at: int, **what) -> None:
        with writing(path):
            writer.add_event(Event(wall_time=time.time(), step=at, **what))
            writer.flush()

    def track(row: dict) -> None:
        named = [(metric_of(name, tests), value) for name, value in row.items() if name != "step"]
        values = [
            Summary.Value(tag=f"{metric}/{part}", simple_value=value)
            for (metric, part), value in named
            if math.isfinite(value)
        ]
        sample = folder.samples / f"step-{row['step']:06d}.png"
        if sample.is_file():
            width, height = _size(sample)
            image = Summary.Image(width=width, height=height, encoded_image_string=sample.read_bytes())
            values.append(Summary.Value(tag="sample", image=image))
        write(row["step"], summary=Summary(value=values))

    if step:
        # TensorBoard then forgets what a process that was cut had written from this step on.
        write(step + 1, session_log=SessionLog(status=SessionLog.SessionStatus.START))
    try:
        yield track
    finally:
        with writing(path):
            writer.close()


def _size(path: Path) -> tuple[int, int]:
    from PIL import Image

    with Image.open(path) as picture:
        return picture.size
