"""Samples during training, from clips or noise that stay the same throughout a run."""

from pathlib import Path

from kvzoo.losses.base import VideoModel
from kvzoo.run.folder import writing
from kvzoo.tasks.base import task_of
from kvzoo.tasks.samples import Shown, fixed_clips

__all__ = ["draw", "fixed_clips"]


def draw(model: VideoModel, shown: Shown, path: Path) -> dict[str, float]:
    """Write a sample as the model's task draws it: a picture (.png) and, where it moves, an animation (.gif).

    Args:
        model: of any task.
        shown: what to show.
        path: without an ending.

    Returns:
        Figures of the sample, for the run's history.

    Raises:
        WriteError: a file cannot be written.
    """
    drawn = task_of(model).draw(model, shown)
    for ending, write in drawn.files.items():
        file = path.with_suffix(ending)
        with writing(file):
            write(file)
    return dict(drawn.figures)
