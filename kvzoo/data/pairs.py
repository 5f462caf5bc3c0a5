"""The source `pairs`: a folder of inputs and a folder of targets, matched by name."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kvzoo.data import videos as video_files
from kvzoo.data.images import BROKEN, ENDINGS, pixels, reason_of, size_and_pages
from kvzoo.data.source import BrokenVideo, Skipped, Source, Video, find_files, label_of, square


class Pairs(Source):
    """Images or videos of two folders, matched by their path within the folder without its ending.

    The first clip of an example is read from the inputs, the others from the targets: the buffers of a renderer and its
    images, weather maps now and later, sketches and photographs. An image is a video of one frame, for the sampler
    `offsets` with the place 0. Each side is read with the network's channels for it. Files without a counterpart of
    equal length are skipped and reported.

    Args:
        path: folder of inputs, searched with its subfolders.
        target_path: folder of targets.
        native_fps: frames per second of images, for their samples.

    Raises:
        InputError: one of the folders does not exist or has neither images nor videos.
    """

    def __init__(self, path: str, target_path: str, native_fps: float = 25.0):
        (inputs, skipped), (targets, more) = (_side(Path(side), native_fps) for side in (path, target_path))
        skipped += more
        videos = []
        for stem, video in inputs.items():
            target = targets.pop(stem, None)
            if target is None:
                skipped.append(Skipped(video.name, f"no target {stem} in {target_path}"))
            elif target.frames != video.frames:
                reason = f"{video.frames} frames, its target {target.name} has {target.frames}"
                skipped.append(Skipped(video.name, reason))
            else:
                videos.append(replace(video, target=replace(target, fps=video.fps)))
        skipped += [Skipped(target.name, f"no input {stem} in {path}") for stem, target in targets.items()]
        super().__init__(videos, skipped)

    def files_of(self, video: Video) -> Sequence[str]:
        both = (video, video.target) if video.target else (video,)
        return [v.key.key.path if isinstance(v.key, _OfVideos) else v.key for v in both]

    def decode(self, video: Video, start: int, stop: int, image_size: int, channels: int) -> np.ndarray:
        if isinstance(video.key, _OfVideos):
            inner = replace(video, key=video.key.key)
            return video.key.source.decode(inner, start, stop, image_size, channels)
        try:
            return square(pixels(video.key), image_size, channels)[None]
        except BROKEN as error:
            raise BrokenVideo(reason_of(error)) from None


@dataclass(frozen=True)
class _OfVideos:
    """The source that reads a video of a pair, and its key there."""

    source: Source
    key: object


def _side(folder: Path, native_fps: float) -> tuple[dict[str, Video], list[Skipped]]:
    """Return a folder's videos by their names without endings, and what is skipped and why."""
    files, skipped = find_files(folder, ENDINGS + video_files.ENDINGS)
    videos = []
    if any(file.suffix.lower() in video_files.ENDINGS for file in files):
        source = video_files.Videos(str(folder))
        videos += [replace(video, key=_OfVideos(source, video.key)) for video in source.videos]
        skipped = list(dict.fromkeys(skipped + source.skipped))
    for file in files:
        if file.suffix.lower() in video_files.ENDINGS:
            continue
        name = file.relative_to(folder).as_posix()
        try:
            *_, pages = size_and_pages(file)
        except BROKEN as error:
            skipped.append(Skipped(name, reason_of(error)))
            continue
        if pages > 1:
            skipped.append(Skipped(name, f"further pages ignored: {pages - 1}"))
        videos.append(Video(name, 1, native_fps, group=name, label=label_of(file, folder), key=str(file)))
    stems = {video.name: Path(video.name).with_suffix("").as_posix() for video in videos}
    counts = Counter(stems.values())
    twice = [video for video in videos if counts[stems[video.name]] > 1]
    skipped += [Skipped(video.name, "another file has the same name with another ending") for video in twice]
    return {stems[video.name]: video for video in videos if counts[stems[video.name]] == 1}, skipped
