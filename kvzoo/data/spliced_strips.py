"""The source `spliced_strips`: clips of actions, and test videos interrupted by another action, labelled frame by frame."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kvzoo.data.source import Skipped, Source, Video, split
from kvzoo.data.strips import Strips
from kvzoo.errors import InputError, did_you_mean

PARTS = ("normal", "test")
SHORTEST, LONGEST = 20, 60  # frames of a piece
PLAIN = 5  # one test video of so many is without anomaly
Piece = tuple[Video, np.ndarray]  # a clip and the indices of its frames that are shown


class SplicedStrips(Source):
    """A labelled anomaly benchmark made from a folder of strips, one subfolder per action.

    The normal part is the training people's clips of all actions but one, as they are. A video of the test part is
    spliced from one test person's clips of one take: a normal action, an interruption, the action from where it
    stopped, another interruption, and the action to the end. One interruption is the anomaly, the other another
    normal action; in one video of five both are normal. The normal action plays forward and backward in turn, so that it has
    no seam of its own; an interruption plays forward around the middle of its clip, and turns at its ends only where
    the clip is shorter.

    A cut gives nothing away: an interruption begins and ends with one whether it is the anomaly or not. A piece lasts 20
    to 60 frames whatever it shows, and half of that at the ends of the video, where it has one cut only; so cuts are
    as frequent among normal frames as among anomalous ones, and a score that jumps at cuts neither gains nor loses
    by them. How far a cut jumps depends on the clips: takes differ in clothes and light.

    Labels are the normal actions, groups the people. `frame_labels` marks the anomalous frames.

    Args:
        path: folder of actions' folders of images; a take is the clips of one person whose files have the same name.
        anomaly: the action that interrupts, one of the folders.
        person: regular expression that finds the person in a file's path; its first parenthesis where it has one.
        part: "normal" or "test".
        videos: number of test videos; people, actions and takes alternate.
        test_people: the people in the test part; drawn at random when None.
        test_share: fraction of the people to draw.
        layout, native_fps: as those of `strips`.
        seed: for drawing people and splicing videos.

    Raises:
        InputError: no image, an unknown action or person, or an empty part.
    """

    version = 1

    def __init__(
        self,
        path: str,
        anomaly: str,
        person: str = r"(person\d+)",
        part: str = "normal",
        videos: int = 36,
        test_people: Sequence[str] | None = None,
        test_share: float = 0.3,
        layout: str = "auto",
        native_fps: float = 25.0,
        seed: int = 0,
    ):
        if part not in PARTS:
            raise InputError(f"data.part: {part!r} is unknown{did_you_mean(part, PARTS) or '; known: normal, test'}")
        self._strips = Strips(path, layout=layout, native_fps=native_fps)
        self._anomaly, self._seed = anomaly, seed
        self._spliced: list[SplicedVideo] = []
        skipped = self._strips.skipped
        skipped += [Skipped(v.name, "is not in an action's folder") for v in self._strips.videos if not v.label]
        clips = _clips([v for v in self._strips.videos if v.label], person)
        actions = sorted({clip.video.label for clip in clips})
        if anomaly not in actions:
            raise InputError(
                f"data.anomaly: no action {anomaly!r}{did_you_mean(anomaly, actions)}; actions: {', '.join(actions)}"
            )
        if len(actions) < 2:
            raise InputError(f"data.anomaly: {anomaly!r} is the only action; at least 1 normal action is required")
        people = _test_people(clips, test_people, test_share, seed)
        clips = [clip for clip in clips if (clip.video.group in people) == (part == "test")]
        if part == "normal":
            videos_of_part = [clip.video for clip in clips if clip.video.label != anomaly]
        else:
            starts, more = _starts(clips, anomaly)
            skipped += more
            self._spliced = [_splice(starts, clips, anomaly, seed, i) for i in range(videos if starts else 0)]
            videos_of_part = [video.video for video in self._spliced]
        if not videos_of_part:
            why = f"; {skipped[-1].name}: {skipped[-1].reason}" if skipped else ""
            raise InputError(f"{path}: no usable clip of a normal action in the {part} part{why}")
        super().__init__(videos_of_part, skipped)

    def decode(self, video: Video, start: int, stop: int, image_size: int, channels: int) -> np.ndarray:
        if not self._spliced:
            return self._strips.decode(video, start, stop, image_size, channels)
        frames = []
        for clip, indices in self._spliced[video.key].pieces:
            if len(visible := indices[max(start, 0) : max(stop, 0)]):
                first = visible.min()
                decoded = self._strips.decode(clip, first, visible.max() + 1, image_size, channels)
                frames.append(decoded[visible - first])
            start, stop = start - len(indices), stop - len(indices)
        return np.concatenate(frames)

    def frame_labels(self, video: Video) -> np.ndarray:
        """Return uint8 (frames,): 1 where a frame is of the anomaly's clip, 0 elsewhere."""
        if not self._spliced:
            return np.zeros(video.frames, np.uint8)
        pieces = self._spliced[video.key].pieces
        labels = np.concatenate(
            [np.full(len(indices), clip.label == self._anomaly, np.uint8) for clip, indices in pieces]
        )
        return labels if video.times is None else labels[video.times]

    def fingerprint(self) -> str:
        details = f"-{self._strips.fingerprint()}-{self._seed}-{self._anomaly}" if self._spliced else ""
        return super().fingerprint() + details


@dataclass(frozen=True)
class Clip:
    """A strip, its group the person, and its take: what remains of the file's name without the person."""

    video: Video
    take: str


@dataclass(frozen=True)
class SplicedVideo:
    """A test video and the pieces it is spliced from."""

    video: Video
    pieces: tuple[Piece, ...]


def _clips(videos: Iterable[Video], pattern: str) -> list[Clip]:
    try:
        expression = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(f"data.person: {pattern!r} is not a regular expression: {error}") from None
    clips = []
    for video in videos:
        name = video.name.removeprefix(f"{video.label}/")
        # In the file's own name first: a folder, such as person_walking, may have a match too.
        match = expression.search(name) or expression.search(video.name)
        group = 1 if expression.groups else 0
        person = match and match.group(group)
        if not person:
            raise InputError(f"data.person: {pattern!r} does not match {video.name!r}")
        take = name[: match.start(group)] + name[match.end(group) :] if match.string == name else name
        clips.append(Clip(replace(video, group=person), take))
    return clips


def _test_people(clips: Sequence[Clip], names: Sequence[str] | None, share: float, seed: int) -> set[str]:
    people = sorted({clip.video.group for clip in clips})
    if names is not None:
        if unknown := sorted(set(names) - set(people)):
            known_people = ", ".join(people[:12]) + (", …" if len(people) > 12 else "")
            raise InputError(
                f"data.test_people: no person {unknown[0]!r}{did_you_mean(unknown[0], people)}; people: {known_people}"
            )
        if not 0 < len(set(names)) < len(people):
            raise InputError(f"data.test_people: {len(set(names))} of {len(people)} people; each part needs at least 1")
        return set(names)
    if not 0 < share < 1:
        raise InputError(f"data.test_share: must be greater than 0 and less than 1. Received: {share:g}")
    if len(people) < 2:
        raise InputError(
            f"data.person: finds only one person, {people[0]!r}; the parts share none, so at least 2 are required"
        )
    return {video.group for video in split([clip.video for clip in clips], share, seed)[1]}


def _starts(clips: Iterable[Clip], anomaly: str) -> tuple[list[Clip], list[Skipped]]:
    """Return the normal clips that have the anomaly of the same take, people taking turns, and the others."""
    clips = list(clips)
    anomalous_takes = {(clip.video.group, clip.take) for clip in clips if clip.video.label == anomaly}
    normal = [clip for clip in clips if clip.video.label != anomaly]
    lonely = [clip.video for clip in normal if (clip.video.group, clip.take) not in anomalous_takes]
    starts = [clip for clip in normal if (clip.video.group, clip.take) in anomalous_takes]
    starts.sort(key=lambda clip: (clip.take, clip.video.label, clip.video.group))
    return starts, [Skipped(v.name, f"{v.group} has no {anomaly} clip in a file of the same name") for v in lonely]


def _splice(starts: Sequence[Clip], clips: Iterable[Clip], anomaly: str, seed: int, index: int) -> SplicedVideo:
    start = starts[index % len(starts)]
    action = start.video
    take = [clip.video for clip in clips if (clip.video.group, clip.take) == (action.group, start.take)]
    rng = np.random.default_rng((seed, 1, index))
    # Where a person has one normal action only, it is cut to another moment of itself.
    others = [clip for clip in take if clip.label not in (anomaly, action.label)] or [action]
    interruptions = [others[i] for i in rng.integers(len(others), size=2)]
    plain = np.random.default_rng((seed, 2, index // PLAIN)).integers(PLAIN)
    if index % PLAIN != plain:
        interruptions[rng.integers(2)] = next(clip for clip in take if clip.label == anomaly)

    clock = rng.integers(2 * action.frames)
    pieces: list[Piece] = []
    for place in range(5):
        shortest, longest = (SHORTEST // 2, LONGEST // 2) if place in (0, 4) else (SHORTEST, LONGEST)
        length = rng.integers(shortest, longest + 1)
        if place % 2:
            clip = interruptions[place // 2]
            pieces.append((clip, _around_the_middle(rng, clip.frames, length)))
        else:
            pieces.append((action, _to_and_fro(clock + np.arange(length), action.frames)))
            clock += length
    name = f"{action.label}/{action.name.rpartition('/')[2].rpartition('.')[0]}_{index:05d}"
    frames = sum(len(indices) for _, indices in pieces)
    return SplicedVideo(replace(action, name=name, frames=frames, key=index), tuple(pieces))


def _around_the_middle(rng: np.random.Generator, frames: int, length: int) -> np.ndarray:
    """Return indices of a span of a clip that holds its middle, where an action is at its most telling."""
    middle, last = frames // 2, max(frames - length, 0)
    start = rng.integers(min(max(middle - length + 1, 0), last), min(middle, last) + 1)
    return _to_and_fro(start + np.arange(length), frames)


def _to_and_fro(times: np.ndarray, frames: int) -> np.ndarray:
    """Return the indices that a clip shows when it plays forward and backward without end."""
    there_and_back = max(2 * (frames - 1), 1)
    return np.minimum(times % there_and_back, there_and_back - times % there_and_back)
