"""What data holds: everything read once, duplicates found, what a recipe can use of it."""

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
PLACES = 16  # frames of a signature, spread evenly
SAME = (
    3.5  # grey levels, root mean square: coding again changes a signature by 3 at most, other clips are 5 off or more
)
STILL = 0.1  # grey levels; less motion is none
SHOWN = 8  # frames of a clip on the sheet
SHEET = 500  # clips on the sheet


@dataclass(frozen=True)
class Seen:
    """One clip, read once.

    Attributes:
        video: as its source lists it.
        signature: (PLACES, SIDE, SIDE) grey; what duplicates share.
        motion: mean absolute difference of frames, in grey levels.
        pictures: (n, SIZE, SIZE, 3) frames for the sheet.
        broken: why frames are missing; "" where none are.
    """

    video: Video
    signature: np.ndarray
    motion: float
    pictures: np.ndarray
    broken: str = ""


@dataclass(frozen=True)
class Findings:
    """What was found: clips that were read, what was not, and pairs that are alike.

    Attributes:
        seen: the clips of which frames could be read.
        skipped: files and clips that cannot be used, or in parts only, and why.
        duplicates: names of two clips with the same content, coded twice perhaps.
        mirrors: names of two clips of which one is the other's mirror image.
        split_apart: duplicates and mirrors whose two clips have different groups.
    """

    seen: tuple[Seen, ...]
    skipped: tuple[Skipped, ...]
    duplicates: tuple[tuple[str, str], ...]
    mirrors: tuple[tuple[str, str], ...]
    split_apart: tuple[tuple[str, str], ...]


def check(source: Source, videos: Sequence[Video], progress: Callable[[int], None] = lambda frames: None) -> Findings:
    """Read all frames of videos once.

    Args:
        source: reads them.
        videos: of the source, with the groups that they shall have.
        progress: told how many more frames were read, now and then.
    """

    def read(video: Video) -> Seen | Skipped:
        return _read(source, video, progress)

    with ThreadPoolExecutor(cores()) as pool:
        results = list(pool.map(read, videos))
    seen = tuple(each for each in results if isinstance(each, Seen))
    skipped = [*source.skipped, *(each for each in results if isinstance(each, Skipped))]
    skipped += [Skipped(each.video.name, each.broken) for each in seen if each.broken]
    duplicates, mirrors = _alike(seen)
    apart = [(a, b) for a, b in (*duplicates, *mirrors) if seen[a].video.group != seen[b].video.group]
    named = [
        tuple((seen[a].video.name, seen[b].video.name) for a, b in pairs) for pairs in (duplicates, mirrors, apart)
    ]
    return Findings(seen, tuple(skipped), *named)


def _read(source: Source, video: Video, progress: Callable[[int], None]) -> Seen | Skipped:
    places = np.linspace(0, video.frames - 1, PLACES).round().astype(int)
    sheet = set(places[:: PLACES // SHOWN].tolist())
    signature, pictures, motions, before, broken = [], [], [], None, ""
    for first in range(0, video.frames, CHUNK):
        indices = np.arange(first, min(first + CHUNK, video.frames))
        try:
            frames = source.read(video, indices, SIZE, 3)
        except BrokenVideo as error:
            broken = str(error)
            break
        progress(len(frames))
        grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]).astype(np.float32)
        joined = grey if before is None else np.concatenate([before, grey])
        motions.append(np.abs(np.diff(joined, axis=0)).mean(axis=(1, 2)))
        before = grey[-1:]
        for place in places[(places >= first) & (places < first + len(frames))]:
            signature.append(cv2.resize(grey[place - first], (SIDE, SIDE), interpolation=cv2.INTER_AREA))
            if place in sheet:
                pictures.append(frames[place - first])
    if not signature:
        return Skipped(video.name, broken)
    broken = broken or source.faults_in_words(video)
    signature += signature[-1:] * (PLACES - len(signature))
    motion = np.concatenate(motions)
    return Seen(
        video, np.stack(signature), float(motion.mean()) if len(motion) else 0.0, np.stack(pictures[:SHOWN]), broken
    )


def _alike(seen: Sequence[Seen]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the pairs of clips with the same content, and those of mirror images, as indices."""
    if len(seen) < 2:
        return [], []
    plain = np.stack([each.signature for each in seen])
    duplicates, mirrors = [], []
    mirrored = plain[..., ::-1].reshape(len(seen), -1)
    plain = plain.reshape(len(seen), -1)
    lengths = np.array([each.video.frames for each in seen])
    for first in range(0, len(seen), 512):
        rows = slice(first, first + 512)
        near = np.abs(lengths[rows, None] - lengths) <= 1 + 0.02 * lengths
        for pairs, other in ((duplicates, plain), (mirrors, mirrored)):
            squared = (plain[rows] ** 2).sum(1)[:, None] + (other**2).sum(1) - 2 * plain[rows] @ other.T
            found = near & (squared < SAME**2 * plain.shape[1])
            pairs += [(int(a) + first, int(b)) for a, b in np.argwhere(found) if a + first < b]
    # What does not move and is symmetric is its own mirror image.
    same = set(duplicates)
    return duplicates, [pair for pair in mirrors if pair not in same]


def usable(videos: Sequence[Video], recipe: Recipe) -> list[str]:
    """Return what a recipe could do with videos, in lines.

    Raises:
        InputError: nothing, or not as its data section says.
    """
    data, options = recipe["data"], recipe.model_options
    counts = [options[key] for key in ("frames_in", "frames_out") if key in options] or [options.get("frames")]
    if counts == [None]:
        raise InputError(f"{recipe.name}: {recipe.model_spec.name} does not say how many frames it takes")
    given = dict(data["sampler"])
    sampler = catalog.SAMPLERS.get(given.pop("name")).load()(*counts, **given)
    if data["group"]:
        videos = regroup(videos, data["group"])
    if data["fps"]:
        videos = [resample(video, data["fps"]) for video in videos]
    enough = [video for video in videos if video.frames >= sampler.needs]
    kept = enough if data["short"] == "drop" else list(videos)
    lines = [f"{recipe.name}: {len(kept)} of {len(videos)} clips can be used; {sampler.needs} frames are needed"]
    if len(enough) < len(kept):
        lines.append(f"{len(kept) - len(enough)} shorter ones are stretched (data.short: {data['short']})")
    if not kept:
        return lines
    if not isinstance(data["validation"], list):
        training, held_out = split(kept, data["validation"], recipe["fit"]["seed"])
        lines.append(
            f"{len(training)} clips of {len({v.group for v in training})} groups to train on, "
            f"{len(held_out)} of {len({v.group for v in held_out})} held out"
        )
    if "classes" in options:
        labels = {video.label for video in kept}
        fit = "as the model wants" if len(labels) == options["classes"] else f"the model wants {options['classes']}"
        lines.append(f"{len(labels)} classes, {fit}")
    return lines


def report(findings: Findings, source: Source) -> list[tuple[str, str]]:
    """Return what was found as rows of (what, how many)."""
    videos = [each.video for each in findings.seen]
    frames = sum(video.frames for video in videos)
    seconds = sum(video.frames / video.fps for video in videos)
    rows = [
        ("clips", f"{len(videos)}"),
        ("frames", f"{frames} ({seconds / 60:.1f} minutes)"),
        ("length", _range([video.frames for video in videos], "frames")),
        ("sizes", _counted(Counter(filter(None, (source.size_of(video) for video in videos))))),
        ("rates", _counted(Counter(f"{video.fps:g} fps" for video in videos))),
        ("labels", _counted(Counter(video.label or "(none)" for video in videos))),
        ("groups", _balance(Counter(video.group for video in videos))),
        ("still", f"{sum(each.motion < STILL for each in findings.seen)} clips in which nothing moves"),
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


def _counted(counts: Counter, most: int = 12) -> str:
    shown = [f"{name} ({count})" for name, count in counts.most_common(most)]
    return ", ".join(shown) + (f", and {len(counts) - most} more" if len(counts) > most else "") or "-"


def _balance(counts: Counter) -> str:
    if len(counts) <= 12:
        return _counted(counts)
    return f"{len(counts)}, {_range(list(counts.values()), 'clips')} each"


def sheet(findings: Findings, rows: Sequence[tuple[str, str]], title: str) -> str:
    """Return one page, self-contained: what was found, and a strip of each clip."""
    import jinja2

    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(PAGE)
    noted = {each.name: each.reason for each in findings.skipped}
    for kind, pairs in (("duplicate", findings.duplicates), ("mirror", findings.mirrors)):
        for a, b in pairs:
            noted.setdefault(a, f"{kind} of {b}")
            noted.setdefault(b, f"{kind} of {a}")
    shown = sorted(findings.seen, key=lambda each: (each.video.label, each.video.name))
    chosen = [shown[i] for i in np.unique(np.linspace(0, len(shown) - 1, min(len(shown), SHEET)).astype(int))]
    clips = [(each.video, _embedded(strip(each.pictures)), noted.get(each.video.name, "")) for each in chosen]
    page = template.render(title=title, rows=rows, clips=clips, total=len(shown), skipped=findings.skipped)
    return page.encode("utf-8", "replace").decode()


def _embedded(image: np.ndarray) -> str:
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
img { width: 100%; display: block } figcaption { font-size: 13px; overflow-wrap: anywhere } .noted { color: #b00 }
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
{% if note %}<span class="noted">{{ note }}</span>{% endif %}</figcaption></figure>
{% endfor %}
{% if skipped %}
<h2>Not used, or in parts</h2>
<table>
{% for each in skipped %}
<tr><td>{{ each.name }}<td>{{ each.reason }}
{% endfor %}
</table>
{% endif %}
</html>
"""
