"""Scan a data set: read every frame once, find duplicates, and say what a recipe can use."""

import base64
import io
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from kvzoo import catalog
from kvzoo.data.source import CHUNK, BrokenVideo, Skipped, Source, Video, regroup, resample, split
from kvzoo.errors import InputError
from kvzoo.media.clips import strip
from kvzoo.process import cores
from kvzoo.recipe.resolve import Recipe

SIZE = 64  # pixels that frames are read at
SIDE = 16  # pixels of a signature's frames
PLACES = 16  # frames of a signature, evenly spaced
# Grey levels, root mean square: re-encoding changes a signature by at most 3, different clips differ by at least 5.
SAME = 3.5
STILL = 0.1  # grey levels; less motion counts as none
SHOWN = 8  # frames of a clip on the sheet
SHEET = 500  # clips on the sheet, at most


@dataclass(frozen=True)
class ScannedClip:
    """One clip after all its frames were read.

    Attributes:
        video: the clip as its source lists it.
        signature: float32 (PLACES, SIDE, SIDE), grey; equal for duplicates up to SAME.
        motion: mean absolute difference between consecutive frames, in grey levels.
        thumbnails: uint8 (n, SIZE, SIZE, 3), frames for the sheet.
        broken: why frames are missing; "" if none are.
    """

    video: Video
    signature: np.ndarray
    motion: float
    thumbnails: np.ndarray
    broken: str = ""


@dataclass(frozen=True)
class Findings:
    """The result of a scan.

    Attributes:
        clips: the clips with at least one readable frame.
        skipped: files and clips that cannot be used, or only in part, and why.
        duplicates: pairs of names of clips with the same content, possibly encoded differently.
        mirrors: pairs of names of clips of which one mirrors the other.
        split_apart: duplicates and mirrors whose two clips are in different groups.
    """

    clips: tuple[ScannedClip, ...]
    skipped: tuple[Skipped, ...]
    duplicates: tuple[tuple[str, str], ...]
    mirrors: tuple[tuple[str, str], ...]
    split_apart: tuple[tuple[str, str], ...]


def scan(source: Source, videos: Sequence[Video], progress: Callable[[int], None] = lambda frames: None) -> Findings:
    """Read all frames of the videos once and compare the clips.

    Args:
        source: decodes the frames.
        videos: videos of the source, with their final groups.
        progress: called now and then with the number of frames read since the last call.
    """

    def scan_one(video: Video) -> ScannedClip | Skipped:
        return _scan(source, video, progress)

    with ThreadPoolExecutor(cores()) as pool:
        results = list(pool.map(scan_one, videos))
    clips = tuple(clip for clip in results if isinstance(clip, ScannedClip))
    skipped = [*source.skipped, *(clip for clip in results if isinstance(clip, Skipped))]
    skipped += [Skipped(clip.video.name, clip.broken) for clip in clips if clip.broken]
    duplicates, mirrors = _alike(clips)
    apart = [(a, b) for a, b in (*duplicates, *mirrors) if clips[a].video.group != clips[b].video.group]
    names = [
        tuple((clips[a].video.name, clips[b].video.name) for a, b in pairs) for pairs in (duplicates, mirrors, apart)
    ]
    return Findings(clips, tuple(skipped), *names)


def _scan(source: Source, video: Video, progress: Callable[[int], None]) -> ScannedClip | Skipped:
    places = np.linspace(0, video.frames - 1, PLACES).round().astype(int)
    sheet = set(places[:: PLACES // SHOWN].tolist())
    signature, thumbnails, motions, previous, broken = [], [], [], None, ""
    for first in range(0, video.frames, CHUNK):
        indices = np.arange(first, min(first + CHUNK, video.frames))
        try:
            frames = source.read(video, indices, SIZE, 3)
        except BrokenVideo as error:
            broken = str(error)
            break
        progress(len(frames))
        grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]).astype(np.float32)
        span = grey if previous is None else np.concatenate([previous, grey])
        motions.append(np.abs(np.diff(span, axis=0)).mean(axis=(1, 2)))
        previous = grey[-1:]
        for place in places[(places >= first) & (places < first + len(frames))]:
            signature.append(cv2.resize(grey[place - first], (SIDE, SIDE), interpolation=cv2.INTER_AREA))
            if place in sheet:
                thumbnails.append(frames[place - first])
    if not signature:
        return Skipped(video.name, broken)
    broken = broken or source.faults_in_words(video)
    signature += signature[-1:] * (PLACES - len(signature))
    motion = np.concatenate(motions)
    return ScannedClip(
        video, np.stack(signature), float(motion.mean()) if len(motion) else 0.0, np.stack(thumbnails[:SHOWN]), broken
    )


def _alike(clips: Sequence[ScannedClip]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return pairs of indices: of clips with the same content, and of mirror images."""
    if len(clips) < 2:
        return [], []
    plain = np.stack([clip.signature for clip in clips])
    duplicates, mirrors = [], []
    flipped = plain[..., ::-1].reshape(len(clips), -1)
    plain = plain.reshape(len(clips), -1)
    lengths = np.array([clip.video.frames for clip in clips])
    for first in range(0, len(clips), 512):
        rows = slice(first, first + 512)
        near = np.abs(lengths[rows, None] - lengths) <= 1 + 0.02 * lengths
        for pairs, other in ((duplicates, plain), (mirrors, flipped)):
            distances = (plain[rows] ** 2).sum(1)[:, None] + (other**2).sum(1) - 2 * plain[rows] @ other.T
            matches = near & (distances < SAME**2 * plain.shape[1])
            pairs += [(int(a) + first, int(b)) for a, b in np.argwhere(matches) if a + first < b]
    # A still, symmetric clip is its own mirror image.
    same = set(duplicates)
    return duplicates, [pair for pair in mirrors if pair not in same]


def usable(videos: Sequence[Video], recipe: Recipe) -> list[str]:
    """Return, as lines of text, how many of the videos a recipe can use, and how it splits them.

    Raises:
        InputError: the model does not say how many frames it takes, or `data.group` or `data.validation` does not
            fit the videos.
    """
    data, options = recipe["data"], recipe.model_options
    counts = [options[key] for key in ("frames_in", "frames_out") if key in options] or [options.get("frames")]
    if counts == [None]:
        raise InputError(f"{recipe.name}: {recipe.model_spec.name} does not say how many frames it takes")
    sampler_options = dict(data["sampler"])
    sampler = catalog.SAMPLERS.get(sampler_options.pop("name")).load()(*counts, **sampler_options)
    if data["group"]:
        videos = regroup(videos, data["group"])
    if data["fps"]:
        videos = [resample(video, data["fps"]) for video in videos]
    enough = [video for video in videos if video.frames >= sampler.needs]
    chosen = enough if data["short"] == "drop" else list(videos)
    lines = [f"{recipe.name}: {len(chosen)} of {len(videos)} clips can be used; {sampler.needs} frames are needed"]
    if len(enough) < len(chosen):
        lines.append(f"{len(chosen) - len(enough)} shorter clips are extended (data.short: {data['short']})")
    if not chosen:
        return lines
    if not isinstance(data["validation"], list):
        training, held_out = split(chosen, data["validation"], recipe["fit"]["seed"])
        lines.append(
            f"{len(training)} clips of {len({v.group for v in training})} groups to train on, "
            f"{len(held_out)} of {len({v.group for v in held_out})} held out"
        )
    if "classes" in options:
        labels = {video.label for video in chosen}
        count = options["classes"]
        lines.append(
            f"{len(labels)} classes, " + ("as the model has" if len(labels) == count else f"but the model has {count}")
        )
    return lines


def report(findings: Findings, source: Source) -> list[tuple[str, str]]:
    """Return the findings as rows of (name, value)."""
    videos = [each.video for each in findings.clips]
    frames = sum(video.frames for video in videos)
    seconds = sum(video.frames / video.fps for video in videos)
    rows = [
        ("clips", f"{len(videos)}"),
        ("frames", f"{frames} ({seconds / 60:.1f} minutes)"),
        ("length", _range([video.frames for video in videos], "frames")),
        ("sizes", _counts_in_words(Counter(filter(None, (source.size_of(video) for video in videos))))),
        ("rates", _counts_in_words(Counter(f"{video.fps:g} fps" for video in videos))),
        ("labels", _counts_in_words(Counter(video.label or "(none)" for video in videos))),
        ("groups", _balance(Counter(video.group for video in videos))),
        ("still", f"{sum(each.motion < STILL for each in findings.clips)} clips in which nothing moves"),
        ("duplicates", f"{len(findings.duplicates)} pairs"),
        ("mirrors", f"{len(findings.mirrors)} pairs"),
    ]
    if findings.split_apart:
        rows.append(("warning", f"{len(findings.split_apart)} of these pairs have different groups: set data.group"))
    rows.append(("broken", f"{len(findings.skipped)}"))
    files = {file for video in videos for file in source.files_of(video)}
    return [("files", f"{len(files)}"), *rows] if files else rows


def _range(values: Sequence[float], unit: str) -> str:
    if not len(values):
        return "-"
    return f"{min(values):g} to {max(values):g} {unit}, median {np.median(values):g}"


def _counts_in_words(counts: Counter, most: int = 12) -> str:
    entries = [f"{name} ({count})" for name, count in counts.most_common(most)]
    return ", ".join(entries) + (f", and {len(counts) - most} more" if len(counts) > most else "") or "-"


def _balance(counts: Counter) -> str:
    if len(counts) <= 12:
        return _counts_in_words(counts)
    return f"{len(counts)}, {_range(list(counts.values()), 'clips')} each"


def sheet(findings: Findings, rows: Sequence[tuple[str, str]], title: str) -> str:
    """Return a self-contained HTML page: the findings, and a strip of each clip."""
    import jinja2

    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(PAGE)
    notes = {clip.name: clip.reason for clip in findings.skipped}
    for kind, pairs in (("duplicate", findings.duplicates), ("mirror", findings.mirrors)):
        for a, b in pairs:
            notes.setdefault(a, f"{kind} of {b}")
            notes.setdefault(b, f"{kind} of {a}")
    ordered = sorted(findings.clips, key=lambda clip: (clip.video.label, clip.video.name))
    chosen = [ordered[i] for i in np.unique(np.linspace(0, len(ordered) - 1, min(len(ordered), SHEET)).astype(int))]
    clips = [(clip.video, _data_uri(strip(clip.thumbnails)), notes.get(clip.video.name, "")) for clip in chosen]
    page = template.render(title=title, rows=rows, clips=clips, total=len(ordered), skipped=findings.skipped)
    return page.encode("utf-8", "replace").decode()


def _data_uri(image: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "webp", quality=75)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1100px; padding: 0 1em; color: #222 }
table { border-collapse: collapse } td { padding: .15em 1em .15em 0; vertical-align: top }
td:first-child { color: #666 } figure { margin: 0 0 1em; display: inline-block; width: 540px; max-width: 100% }
img { width: 100%; display: block } figcaption { font-size: 13px; overflow-wrap: anywhere } .note { color: #b00 }
</style>
<h1>{{ title }}</h1>
<table>
{% for name, value in rows %}
<tr><td>{{ name }}<td>{{ value }}
{% endfor %}
</table>
<h2>{{ clips|length }} of {{ total }} clips</h2>
{% for video, image, note in clips %}
<figure><img src="{{ image }}" alt="frames of {{ video.name }}" loading="lazy">
<figcaption>{{ video.label }}{{ ": " if video.label }}{{ video.name }}, {{ video.frames }} frames
{% if note %}<span class="note">{{ note }}</span>{% endif %}</figcaption></figure>
{% endfor %}
{% if skipped %}
<h2>Skipped, or only partly readable</h2>
<table>
{% for each in skipped %}
<tr><td>{{ each.name }}<td>{{ each.reason }}
{% endfor %}
</table>
{% endif %}
</html>
"""
