"""`kvzoo data check` counts what is there, finds duplicates and mirror images, and says what a recipe can use."""

import base64
import io
import json
import re

import av
import numpy as np
import pytest
from commands import run
from PIL import Image
from videos import damage, picture, write_strip, write_video, x264

from kvzoo.data.check import scan
from kvzoo.data.strips import Strips
from kvzoo.data.worlds.stick_actions import StickActions
from kvzoo.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six drawn clips, one of them twice (coded again, smaller), one mirrored, one damaged, one still, one no video."""
    folder = tmp_path_factory.mktemp("videos")
    drawn = StickActions(videos=6, people=3, seconds=1.2)
    for i, video in enumerate(drawn.videos):
        frames = drawn.read(video, np.arange(30), 96, 3)
        write(folder / "a" / f"clip{i}.mp4", frames)
        if i == 2:
            write(folder / "b" / "again.mkv", frames, crf=30, size=64)
        if i == 4:
            write(folder / "b" / "turned.mp4", frames[:, :, ::-1])
    damage(write_video(folder / "b" / "broken.mp4", 40, codec_options=x264(10, 0)), range(12, 40))
    write(folder / "b" / "still.mp4", np.repeat(picture(5, 48, 64)[None], 30, axis=0))
    (folder / "text.mp4").write_text("hello")
    return folder


def write(path, frames, crf=18, size=None):
    path.parent.mkdir(exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": str(crf)})
        stream.height, stream.width = (size, size) if size else frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(frame.reformat(stream.width, stream.height)))
        container.mux(stream.encode())


def rows_of(said: str) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for line in said.splitlines():
        rows.setdefault(line[:11].strip(), []).append(line[11:])
    return rows


def test_what_is_said(folder, tmp_path):
    said = run("check", folder, "--recipe", "gru_ae_16", "--out", tmp_path / "sheet.html")
    rows = rows_of(said)
    assert (
        rows["source"] == ["videos"]
        and rows["files"] == rows["clips"] == ["9"]
        and rows["frames"] == ["270 (0.2 minutes)"]
    )
    assert rows["sizes"] == ["96x96 (7), 64x64 (1), 64x48 (1)"] and rows["rates"] == ["25 fps (9)"]
    assert rows["labels"] == ["a (6), b (3)"] and rows["still"] == ["1 clips in which nothing moves"]
    assert rows["duplicates"] == ["1 pairs"] and rows["mirrors"] == ["1 pairs"] and rows["broken"] == ["2"]
    assert "2 of these pairs have different groups" in rows["warning"][0]
    assert "duplicates: a/clip2.mp4 = b/again.mkv" in said and "mirrors: a/clip4.mp4 = b/turned.mp4" in said
    assert "broken: text.mp4: not a video, or damaged" in said and "broken: b/broken.mp4: 28 of the frames" in said
    assert rows["recipe"] == [
        "gru_ae_16: 9 of 9 clips can be used; 16 frames are needed",
        "7 clips of 7 groups to train on, 2 of 2 held out",
    ]
    page = (tmp_path / "sheet.html").read_text()
    pictures = re.findall(r'src="data:image/webp;base64,([^"]+)"', page)
    assert len(pictures) == 9 and not re.search(r'(src|href)="(?!data:)', page)
    assert Image.open(io.BytesIO(base64.b64decode(pictures[0]))).size == (8 * 64, 64)


def test_short_clips_and_labels_are_told(tmp_path):
    rng = np.random.default_rng(0)
    for i, count in enumerate((4, 9, 30, 31)):
        write_strip(tmp_path / "c" / f"person{i % 3}_{i}.png", rng.integers(0, 256, (count, 8, 8, 3), np.uint8))
    said = run("check", tmp_path, "--recipe", "tiny_c3d", "--group", r"(person\d)")
    rows = rows_of(said)
    assert rows["groups"] == ["person0 (2), person1 (1), person2 (1)"]
    assert "2 of 4 clips can be used; 16 frames are needed" in rows["recipe"][0]
    assert "1 classes, but the model has" in rows["recipe"][-1]


def test_clips_that_are_only_similar_are_no_duplicates():
    drawn = StickActions(videos=24, people=3, rooms=1, seconds=1.0)
    findings = scan(drawn, drawn.videos)
    assert len(findings.clips) == 24 and findings.duplicates == findings.mirrors == ()


def test_mirrors_of_real_clips_are_found(real_data):
    source = Strips(str(real_data / "actions"))
    findings = scan(source, source.videos)
    wanted = {(v.name, v.name.replace("mirror", "original")) for v in source.videos if "mirror" in v.name}
    assert set(findings.mirrors) == wanted and len(wanted) == 28 and not findings.duplicates


def test_json_is_the_report(tmp_path):
    for name in ("person0_0", "person1_0"):
        write_strip(tmp_path / "c" / f"{name}.png", np.full((9, 8, 8, 3), 60, np.uint8))
    (tmp_path / "c" / "text.png").write_text("hello")
    record = json.loads(run("check", tmp_path, "--group", r"(person\d)", "--recipe", "tiny_c3d", "--json"))
    assert record["report"]["clips"] == "2" and "16 frames are needed" in record["report"]["recipe"][0]
    assert [(clip["frames"], clip["label"], clip["group"], clip["motion"]) for clip in record["clips"]] == [
        (9, "c", "person0", 0.0),
        (9, "c", "person1", 0.0),
    ]
    assert len(record["duplicates"]) == 1 and [each["name"] for each in record["skipped"]] == ["c/text.png"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["/none/here"], "no such file or folder"),
        (["stick_actons"], "did you mean stick_actions"),
        (["{folder}", "--recipe", "gru_aee"], "did you mean gru_ae"),
        (["{folder}", "--out", "{folder}"], "is a folder"),
        (["{folder}", "--out", "{folder}/text.mp4"], "text.mp4 already exists; use --overwrite to replace it"),
        (["{folder}", "-o", "cvs=1"], "cvs"),
    ],
)
def test_check_refuses_in_one_line(folder, args, words):
    with pytest.raises(InputError, match=words) as raised:
        run("check", *(arg.format(folder=folder) for arg in args))
    assert "\n" not in str(raised.value)
