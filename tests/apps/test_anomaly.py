"""`anomaly`: every frame has a score that is what it says, labels are believed, and what is refused."""

import csv
import json
import os
import re

import av
import numpy as np
import pytest
from click.testing import CliRunner
from outputs import shown
from scipy.ndimage import gaussian_filter1d
from videos import damage, picture, write_video

import kvzoo
from kvzoo.apps.anomaly import TRIVIAL, Settings, anomaly
from kvzoo.cli.anomaly import command
from kvzoo.errors import InputError

T, SIDE = 4, 16
RECIPE = f"""
model: {{name: gru_ae, frames: {T}, image_size: {SIDE}, channels: 3, latent_dim: 8, units: 12, width: 4}}
data: {{source: stick_anomalies, videos: 4, people: 2, seconds: 3, rooms: 1}}
fit: {{steps: 1, batch_size: 2, sample_every: 1, validation_clips: 2}}
"""
PLAIN = Settings(measure="mean", stride=T, smooth=0.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "small.yaml").write_text(RECIPE)
    return kvzoo.fit(folder / "small.yaml", out=folder / "run").path


def lossless(path, count):
    """Write numbered pictures of the model's size without loss; return them, (N, H, W, 3)."""
    write_video(path, count, codec="ffv1", pixels="bgr0", size=(SIDE, SIDE))
    return np.stack([picture(i, SIDE, SIDE) for i in range(count)])


def rows(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def error_maps(run, clip, starts) -> np.ndarray:
    """Return each frame's mean squared error map over the windows at `starts`, (N, H, W), computed at once."""
    output = kvzoo.load(run).network.predict(np.stack([clip[s : s + T] for s in starts]) / 127.5 - 1.0, verbose=0)
    total, count = np.zeros(clip.shape[:3]), np.zeros(len(clip))
    for start, window in zip(starts, output, strict=True):
        total[start : start + T] += np.square((window + 1) / 2 - clip[start : start + T] / 255).mean(-1)
        count[start : start + T] += 1
    return total / count[:, None, None]


@pytest.mark.parametrize(
    ("count", "stride", "starts"),
    [(T, 1, [0]), (9, 1, range(6)), (9, 2, [0, 2, 4, 5]), (11, 3, [0, 3, 6, 7]), (9, T, [0, 4, 5])],
)
def test_the_score_is_the_mean_error_over_the_windows_of_a_frame(run, tmp_path, count, stride, starts):
    clip = lossless(tmp_path / "a.mkv", count)
    steps = []
    settings = Settings("mean", stride, smooth=0.0)
    found = anomaly(run, [tmp_path / "a.mkv"], tmp_path / "out", settings=settings, progress=steps.append)
    wanted = error_maps(run, clip, list(starts)).mean((1, 2))
    assert found.videos[0].scores == pytest.approx(wanted, rel=1e-4)
    assert sum(steps) == count
    written = rows(next((tmp_path / "out").glob("*.csv")))
    assert [int(row["frame"]) for row in written] == list(range(count))
    assert [float(row["score"]) for row in written] == pytest.approx(wanted, rel=1e-4)
    assert [float(row["seconds"]) for row in written] == pytest.approx(np.arange(count) / 25, abs=1e-3)


def test_patch_is_the_worst_quarter_of_a_side(run, tmp_path):
    clip = lossless(tmp_path / "a.mkv", 8)
    found = anomaly(run, [tmp_path / "a.mkv"], tmp_path / "out", settings=Settings("patch", T, 0.0))
    maps, side = error_maps(run, clip, [0, 4]), SIDE // 4
    # Every whole window of the picture is one that the score saw; those over its border add no more than they mirror.
    places = range(SIDE - side + 1)
    inside = [max(m[y : y + side, x : x + side].mean() for y in places for x in places) for m in maps]
    assert (found.videos[0].scores >= np.asarray(inside) * (1 - 1e-4)).all()
    assert (found.videos[0].scores <= maps.max((1, 2)) * (1 + 1e-4)).all()


def test_smoothing_and_normalising(run, tmp_path):
    lossless(tmp_path / "a.mkv", 20)
    raw, smooth, scaled = (
        anomaly(run, [tmp_path / "a.mkv"], tmp_path / str(i), settings=settings, overlay=False).videos[0].scores
        for i, settings in enumerate((PLAIN, Settings("mean", T, 0.08), Settings("mean", T, 0.0, normalise=True)))
    )
    assert smooth == pytest.approx(gaussian_filter1d(raw, 2.0, mode="nearest"), rel=1e-6)
    assert scaled == pytest.approx((raw - raw.min()) / (raw.max() - raw.min()), rel=1e-6)
    assert not list(tmp_path.glob("?/*.mp4"))


def test_the_overlay_has_a_picture_for_every_frame(run, tmp_path):
    clip = lossless(tmp_path / "a.mkv", 10)
    anomaly(run, [tmp_path / "a.mkv"], tmp_path / "out")
    frames = shown(next((tmp_path / "out").glob("*.mp4")))
    assert len(frames) == 10
    side = frames[0].shape[0]
    for truth, frame in zip(clip, frames, strict=True):
        left = frame[:, :side].reshape(SIDE, side // SIDE, SIDE, side // SIDE, 3).mean((1, 3))
        assert np.abs(left - truth).mean() < 6


def test_labels_of_a_source(run, tmp_path):
    found = anomaly(run, out=tmp_path / "out", data={"part": "test", "seconds": 4, "videos": 4}, overlay=False)
    assert set(found.auroc) == {"reconstruction error", *TRIVIAL}
    source = kvzoo.data.worlds.stick_anomalies.StickAnomalies(videos=4, people=2, seconds=4, part="test", rooms=1)
    for video, scores in zip(source.videos, found.videos, strict=True):
        labels = source.frame_labels(video)
        assert (scores.labels == labels).all()
        frames = source.decode(video, 0, video.frames, SIDE, 3) / 255.0
        moved = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
        trivial = gaussian_filter1d(np.concatenate([moved[:1], moved]), 5.0, mode="nearest")
        assert scores.trivial[TRIVIAL[0]] == pytest.approx(trivial, rel=1e-6)
    assert sum(0 < s.labels.sum() < len(s.labels) for s in found.videos) == found.auroc[TRIVIAL[0]]["videos"]
    assert (tmp_path / "out" / "roc.png").stat().st_size > 5000
    record = json.loads((tmp_path / "out" / "anomaly.json").read_text())
    assert record["auroc"]["reconstruction error"]["micro"] == found.auroc["reconstruction error"]["micro"]
    assert {"label"} <= set(rows(next((tmp_path / "out").glob("*.csv")))[0])


def test_labels_of_a_file(run, tmp_path):
    for name in "ab":
        lossless(tmp_path / f"{name}.mkv", 12)
    (tmp_path / "labels.csv").write_text("video,start,stop\na.mkv,2,4\na.mkv,7,99\n")
    videos = [tmp_path / "a.mkv", tmp_path / "b.mkv"]
    found = anomaly(run, videos, tmp_path / "out", labels=tmp_path / "labels.csv", overlay=False)
    assert found.videos[0].labels.tolist() == [0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1]
    assert found.videos[1].labels.sum() == 0
    assert found.auroc["reconstruction error"]["videos"] == 1


def test_rows_of_labels(run, tmp_path):
    """Blanks mean nothing; what is not used is said; what would make an anomaly normal is refused."""
    for name in ("a.mkv", "b.mkv", "c.mkv"):
        lossless(tmp_path / name, 12)
    videos, file = [tmp_path / "a.mkv", tmp_path / "b.mkv", tmp_path / "b.mkv"], tmp_path / "labels.csv"
    head = "\ufeff video , start,stop \n"
    file.write_text(f'{head}a.mkv,2,4\n\n" b.mkv " , 7 ,99\na.mkv,2,4\n , ,\nc.mkv,1,2\n')
    found = anomaly(run, videos, tmp_path / "out", labels=file, overlay=False)
    assert [np.flatnonzero(v.labels).tolist() for v in found.videos] == [[2, 3], [*range(7, 12)], [*range(7, 12)]]
    assert [note.replace(f"{tmp_path}/", "") for note in found.notes] == [
        "labels.csv:5: repeats labels.csv:2",
        "labels.csv: 1 row names videos that are not scored, such as c.mkv (labels.csv:7)",
        *["labels.csv:4: stop is beyond the 12 frames of b.mkv. Received: 99"] * 2,
    ]
    for row, said in (
        ("b_typo.mkv,3,9", "labels.csv:3: no such video: b_typo.mkv; did you mean b.mkv"),
        ("z/9.avi,3,9", "labels.csv:3: no such video: z/9.avi; paths are relative to the CSV"),
        ("b.mkv,12,13", "labels.csv:3: start must be less than the 12 frames of "),
        (",3,9", "labels.csv:3: video: the cell is empty"),
        ("b.mkv,3", "labels.csv:3: start and stop must be frame numbers with 0 <= start < stop. Received: 3, "),
        ("b.mkv,3,9,5", "labels.csv:3: more cells than columns"),
    ):
        file.write_text(f"video,start,stop\na.mkv,2,4\n{row}\n")
        with pytest.raises(InputError, match=re.escape(said)):
            anomaly(run, videos[:2], tmp_path / "none", labels=file)
    assert not (tmp_path / "none").exists()


def test_times_at_a_variable_rate(run, tmp_path):
    times = [0, 1, 2, 3, 10, 20, 21, 22, 40, 41]
    write_video(tmp_path / "a.mkv", times=times)
    found = anomaly(run, [tmp_path / "a.mkv"], tmp_path / "out", settings=PLAIN)
    seconds = np.array(times) / 25
    assert [float(row["seconds"]) for row in rows(next((tmp_path / "out").glob("*.csv")))] == pytest.approx(seconds)
    with av.open(str(next((tmp_path / "out").glob("*.mp4")))) as container:
        assert [frame.time for frame in container.decode(video=0)] == pytest.approx(seconds, abs=1e-3)
    smooth = anomaly(run, [tmp_path / "a.mkv"], tmp_path / "b", settings=Settings("mean", T, 0.1), overlay=False)
    # Each frame's score from the middle between it and the one before to that between it and the next.
    fine = np.arange(-1, 3, 1e-4)
    curve = found.videos[0].scores[np.abs(fine[:, None] - seconds).argmin(1)]
    weights = np.exp(-0.5 * ((fine - seconds[:, None]) / 0.1) ** 2)
    assert smooth.videos[0].scores == pytest.approx(weights @ curve / weights.sum(1), rel=1e-3)


def test_names_that_meet_or_mean_something_elsewhere(run, tmp_path):
    names = ("x/a$_$b.mkv", "y/a$_$b.mkv", "roc.mkv", "12:30 \N{GRINNING FACE}.mkv")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        lossless(tmp_path / name, 8)
    found = anomaly(run, [tmp_path / name for name in names], tmp_path / "out")
    assert len(found.videos) == 4
    assert all(len(list((tmp_path / "out").glob(f"*.{ending}"))) == 4 for ending in ("csv", "png", "mp4"))


@pytest.mark.skipif(os.name != "posix", reason="a limit on the size of files")
def test_scores_outlive_what_cannot_be_written(run, tmp_path):
    import resource

    clip = lossless(tmp_path / "a.mkv", 40)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    try:
        with pytest.raises(InputError, match=r"a\.mp4: cannot be written: File too large"):
            anomaly(run, [tmp_path / "a.mkv"], tmp_path / "out", settings=PLAIN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert {file.suffix for file in (tmp_path / "out").iterdir()} == {".csv", ".json"}
    scores = [float(row["score"]) for row in rows(next((tmp_path / "out").glob("*.csv")))]
    assert scores == pytest.approx(error_maps(run, clip, range(0, 40, T)).mean((1, 2)), rel=1e-4)


def test_a_threshold_for_a_wanted_share_of_false_alarms(run, tmp_path):
    data = {"videos": 2, "seed": 3}
    fitted = anomaly(run, out=tmp_path / "fit", data=data, false_alarms=0.1, overlay=False)
    assert not fitted.auroc  # nothing in it is anomalous
    scores = np.concatenate([v.scores for v in fitted.videos])
    share = (scores > fitted.threshold).mean()
    assert share <= 0.1 < (scores >= fitted.threshold).mean() + 1 / len(scores)
    again = anomaly(run, out=tmp_path / "use", data=data, threshold=tmp_path / "fit" / "threshold.json", overlay=False)
    assert again.threshold == fitted.threshold
    marked = [int(row["anomalous"]) for file in sorted((tmp_path / "use").glob("*.csv")) for row in rows(file)]
    assert np.mean(marked) == pytest.approx(share)
    with pytest.raises(InputError, match="was fitted with smooth 0.2, these scores have 0"):
        anomaly(
            run,
            out=tmp_path / "no",
            data=data,
            threshold=tmp_path / "fit" / "threshold.json",
            settings=Settings("patch", 1, 0.0),
        )


def test_one_bad_video_among_good_ones(run, tmp_path):
    lossless(tmp_path / "good.mkv", 8)
    lossless(tmp_path / "short.mkv", T - 1)
    (tmp_path / "text.mp4").write_text("not a video")
    videos = [tmp_path / name for name in ("short.mkv", "good.mkv", "text.mp4")]
    found = anomaly(run, videos, tmp_path / "out")
    assert [v.name for v in found.videos] == [str(videos[1])]
    assert [name for name, _ in found.skipped] == [str(videos[0]), str(videos[2])]
    assert "has 3 frames; the model needs at least 4" in found.skipped[0][1]
    with pytest.raises(InputError, match=r"short\.mkv: has 3 frames"):
        anomaly(run, [videos[0], videos[2]], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_video_that_breaks_half_way(run, tmp_path):
    path = write_video(tmp_path / "a.mp4", 40, codec_options={"x264-params": "keyint=10:scenecut=0"})
    damage(path, range(20, 40))
    found = anomaly(run, [path], tmp_path / "out")
    assert "decoded" in found.videos[0].broken
    assert 20 <= len(found.videos[0].scores) <= 40


def test_what_is_refused(run, tmp_path):
    lossless(tmp_path / "a.mkv", 8)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "bad.csv").write_text("video,start,stop\na.mkv,5,2\n")
    (tmp_path / "columns.csv").write_text("video,start\na.mkv,5\n")
    (tmp_path / "others.csv").write_text("video,start,stop\nb.mkv,1,2\n")
    (tmp_path / "t.json").write_text("[]")
    video, out = str(tmp_path / "a.mkv"), ("--out", str(tmp_path / "out"))
    for args, said in (
        ([tmp_path, video, *out], "not a run folder"),
        ([run, *out], "use either video files or --data"),
        ([run, video, *out, "--data", "part=test"], "use either video files or --data"),
        ([run, "none.mp4", *out], "no such file"),
        ([run, tmp_path, *out], "is a folder, not a video file"),
        ([run, video, "--out", tmp_path / "full"], "is not empty"),
        (
            [run, video, *out, "--labels", tmp_path / "bad.csv"],
            "bad.csv:2: start and stop must be frame numbers with 0 <= start < stop",
        ),
        ([run, video, *out, "--labels", tmp_path / "columns.csv"], "stop is missing"),
        (
            [run, video, *out, "--labels", tmp_path / "others.csv"],
            "others.csv:2: no such video: b.mkv; did you mean a.mkv?",
        ),
        ([run, video, *out, "--labels", tmp_path / "no.csv"], "No such file"),
        ([run, video, *out, "--stride", "5"], "at most the model's 4 frames"),
        ([run, video, *out, "--fit-threshold", "0.1", "--threshold", "1"], "use only one of them"),
        ([run, video, *out, "--fit-threshold", "0.1", "--normalise"], "does not support a threshold"),
        ([run, video, *out, "--threshold", "nan"], "must be a finite number"),
        ([run, video, *out, "--threshold", tmp_path / "t.json"], "must be a number, or a threshold.json"),
        ([run, video, *out, "--threshold", "no.json"], "No such file"),
        ([run, *out, "--data", "prat=test"], "did you mean data.part"),
    ):
        done = CliRunner().invoke(command, list(map(str, args)))
        assert isinstance(done.exception, InputError), (args, done.output, done.exception)
        assert said in str(done.exception)
        assert not (tmp_path / "out").exists()


def test_the_command_line(run, tmp_path, kvzoo_cli):
    done = kvzoo_cli(
        "anomaly", run, "--data", "part=test", "--data", "videos=2", "--out", tmp_path / "out", "--no-overlay"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 videos, 150 frames" in done.stdout
    assert "frame-level AUROC" in done.stdout
    assert all(name in done.stdout for name in TRIVIAL)
    arguments = [run, "--data", "part=test", "--data", "videos=2", "--out", tmp_path / "json", "--no-overlay", "--json"]
    record = json.loads(CliRunner().invoke(command, list(map(str, arguments)), catch_exceptions=False).stdout)
    assert [video["frames"] for video in record["videos"]] == [75, 75]
    assert record == json.loads((tmp_path / "out" / "anomaly.json").read_text())
