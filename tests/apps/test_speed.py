"""`speed`, `speedup`, `saliency`, `embed`, `retrieve`: what a speed network says of whole videos, and what is made of it."""

import csv
import json
import shutil

import av
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from outputs import shown
from sound import clicks, onsets
from speed_runs import make_run
from videos import damage, number, picture, write_video, x264

import kvzoo
from kvzoo import zoo
from kvzoo.apps.embed import embed
from kvzoo.apps.retrieve import retrieve
from kvzoo.apps.saliency import overlay_map, saliency
from kvzoo.apps.speed import RATES, estimate_speed, speed
from kvzoo.apps.speedup import FASTEST, curve, fit_rate, frame_numbers, smooth_curve, speedup
from kvzoo.apps.streams import windows_at_rates
from kvzoo.data.videos import open_video
from kvzoo.errors import InputError
from kvzoo.media.audio import RATE, stretch
from kvzoo.models.sliding import map_logits, sliding

T, SIDE = 4, 16


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "speed"
    return make_run(folder, "speednet", "binary_speed", frames=T, image_size=SIDE, width=0.0625)


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    """Of a network that is made and traced in no time, for what only wants features."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    return make_run(folder, "tiny_c3d", "cross_entropy", frames=T, image_size=SIDE, width=4)


@pytest.fixture(scope="module")
def model(run):
    return kvzoo.load(run)


@pytest.fixture(scope="module")
def fast_network(model):
    return sliding(model.network, "map", T)


@pytest.fixture(autouse=True)
def loaded_once(monkeypatch, run, model):
    """The run's model is loaded and compiled once for all tests; other runs are loaded as ever."""
    load = zoo.load
    monkeypatch.setattr(zoo, "load", lambda path: model if path == run else load(path))


def moving(path, count: int, size=(48, 32)):
    """Write pictures that differ from frame to frame, without loss; return the file."""
    return write_video(path, count, codec="ffv1", pixels="bgr0", size=size)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return moving(tmp_path_factory.mktemp("video") / "a.mkv", 90)


# Windows.


@settings(max_examples=40)
@given(st.integers(0, 60), st.integers(1, 9), st.integers(1, 12), st.sampled_from([(1.0,), (1.0, 1.25, 3.7), RATES]))
def test_windows_at_rates(count, length, stride, rates):
    frames = [np.full((1, 1, 1), i) for i in range(count)]
    found = {i: [] for i in range(len(rates))}
    for clip, (i, first, new) in windows_at_rates(frames, rates, length, stride):
        found[i].append((first, clip.ravel().tolist(), new))
    for i, rate in enumerate(rates):
        sped = [n for k in range(count) if (n := round(k * rate)) < count]
        starts = list(range(0, len(sped) - length + 1, stride))
        if starts and starts[-1] != len(sped) - length:
            starts.append(len(sped) - length)
        assert [(first, clip) for first, clip, _ in found[i]] == [(s, sped[s : s + length]) for s in starts]
        assert sum(new for *_, new in found[i]) == (len(sped) if starts else 0)


def test_exact_windows_say_what_the_network_says(model, video):
    clip = np.stack([picture(i, 32, 48) for i in range(90)])[:, :, 8:40]
    seen = estimate_speed(model, open_video(video), stride=3)
    import cv2

    small = np.stack([cv2.resize(f, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for f in clip])
    for (places, logits), rate in zip(seen.windows, seen.rates, strict=True):
        sped = small[[n for k in range(90) if (n := round(k * rate)) < 90]]
        firsts = np.round(places / rate - (T - 1) / 2).astype(int)
        assert np.diff(firsts).max(initial=0) <= 3 and firsts[-1] == len(sped) - T
        wanted = model.predict_on_batch(np.stack([sped[k : k + T] for k in firsts]))[:, 0]
        # An untrained network's logits reach hundreds: single precision is a matter of their span.
        assert logits == pytest.approx(wanted, rel=1e-3, abs=float(1e-3 * np.ptp(wanted)))
    assert seen.rates == RATES and seen.sped_up.shape == (11, 90)
    places, logits = seen.windows[0]
    assert seen.sped_up[0] == pytest.approx(np.interp(np.arange(90), places, 1 / (1 + np.exp(-logits))))


# The fast mode.


def test_with_a_window_as_wide_as_can_be_the_chunk_is_one_clip(model, fast_network):
    """A running mean over everything is the gates' own mean: then both networks are the same."""
    clip = np.random.default_rng(0).uniform(-1, 1, (2, 9, SIDE, SIDE, 3)).astype("float32")
    network = sliding(model.network, "map", 2 * 9)
    said = np.asarray(network(clip)).mean(1)
    assert said == pytest.approx(np.asarray(model.network(clip))[:, 0], rel=1e-3, abs=1e-3)
    narrow = np.asarray(fast_network(clip)).mean(1)
    assert not np.allclose(narrow, said, rtol=1e-3)
    assert {v.path for v in network.trainable_variables} == {v.path for v in model.network.trainable_variables}


def test_the_fast_mode_does_not_depend_on_where_chunks_end(model, fast_network, tmp_path, monkeypatch):
    file = moving(tmp_path / "long.mkv", 330, size=(16, 16))
    from kvzoo.apps import speed as module

    chunked = module._from_chunks(model, fast_network, open_video(file), (1.0,))
    monkeypatch.setattr(module, "FRESH", 400)
    whole = module._from_chunks(model, fast_network, open_video(file), (1.0,))
    for (firsts, logits), (_, wanted) in zip(chunked, whole, strict=True):
        assert firsts.tolist() == list(range(len(wanted)))
        # Gates of gates reach farther than the margin, ever more weakly.
        assert np.abs(logits - wanted).max() < 0.05 * np.ptp(wanted)


def test_the_fast_mode_is_pinned_to_exact_windows(model, video):
    exact, fast = (
        estimate_speed(model, open_video(video), (1.0,), mode, stride)
        for mode, stride in (("exact", 1), ("fast", None))
    )
    for (places, logits), (again, near) in zip(exact.windows, fast.windows, strict=True):
        assert (places == again).all()
        pins = sorted({*range(0, len(places), 4 * T), len(places) - 1})
        assert near[pins] == pytest.approx(logits[pins], rel=1e-3, abs=float(1e-3 * np.ptp(logits)))


# `speed`.


def rows(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_speed_writes_what_it_saw(run, video, tmp_path):
    steps = []
    seen = speed(run, video, tmp_path / "out", stride=T, progress=steps.append)
    written = rows(tmp_path / "out" / "speed.csv")
    assert [int(row["frame"]) for row in written] == list(range(90))
    assert [row for row in written[0] if row.startswith("p_")] == [f"p_{rate:.2f}x" for rate in RATES]
    assert [float(row["p_1.56x"]) for row in written] == pytest.approx(seen.sped_up[2], abs=1e-4)
    assert sum(steps) == 90
    assert (tmp_path / "out" / "speed.png").stat().st_size > 10_000


def test_rates_that_are_too_short_are_left_out(run, tmp_path):
    seen = speed(run, moving(tmp_path / "a.mkv", 10), tmp_path / "out")
    assert seen.rates == tuple(rate for rate in RATES if round((T - 1) * rate) < 10)
    assert seen.left_out == RATES[len(seen.rates) :] and seen.left_out
    assert len(rows(tmp_path / "out" / "speed.csv")[0]) == 2 + len(seen.rates)


# The curve of `speedup`.


@settings(max_examples=50)
@given(st.integers(1, 60), st.floats(0.1, 30), st.floats(0, 20), st.floats(1, FASTEST), st.integers(0, 99))
def test_the_curve_is_the_minimum(count, decay, beta, rate, seed):
    wanted = np.random.default_rng(seed).choice(RATES, count)
    steps = np.diff(np.eye(count), axis=0)
    matrix = np.eye(count) + decay**2 * steps.T @ steps + beta / count * np.ones((count, count))
    best = np.linalg.solve(matrix, wanted + beta * rate)
    assert smooth_curve(wanted, decay, rate, beta) == pytest.approx(best, rel=1e-6)


@settings(max_examples=100)
@given(st.integers(1, 400), st.floats(1, FASTEST), st.integers(0, 99), st.sampled_from([0.5, 5.0, 50.0]))
def test_the_curve_meets_the_duration_within_its_bounds(count, rate, seed, decay):
    rng = np.random.default_rng(seed)
    normal = np.clip(
        rng.normal(0.8, 0.3, (11, 1)) - 0.08 * np.arange(11)[:, None] + rng.normal(0, 0.3, (11, count)), 0, 1
    )
    threshold, allowed, speeds = curve(normal, RATES, rate, decay)
    assert threshold in [i / 10 for i in range(1, 10)]
    assert set(allowed) <= set(RATES)
    assert speeds.min() >= 1 and speeds.max() <= FASTEST
    assert (1 / speeds).sum() == pytest.approx(count / rate, rel=1e-6)
    frames = frame_numbers(speeds)
    assert len(frames) == 1 or abs(len(frames) - count / rate) < 0.501
    assert (np.diff(frames) > 0).all() and frames[0] >= 0 and frames[-1] < count


def test_what_is_judged_normal_when_sped_up_plays_faster():
    """Two halves: one is normal up to 4x, the other at 1x only."""
    free = np.arange(200) < 100
    normal = np.where(np.asarray(RATES)[:, None] < 4, np.where(free, 0.9, 0.05), np.where(free, 0.1, 0.02))
    normal[0] = 0.95
    _, allowed, speeds = curve(normal, RATES, 2.0, 5.0)
    assert set(allowed[free]) == {RATES[6]} and set(allowed[~free]) == {1.0}
    assert speeds[:80].min() > 2 > speeds[120:].max()


def test_a_video_that_is_nowhere_normal_is_sped_up_evenly():
    _, allowed, speeds = curve(np.zeros((11, 50)), RATES, 3.0, 5.0)
    assert set(allowed) == {1.0}
    assert speeds == pytest.approx(np.full(50, 3.0))


def test_lifting_is_monotone():
    free = np.linspace(0.5, 12, 40)
    means = [fit_rate(free, rate).mean() for rate in np.linspace(1, FASTEST, 9)]
    assert means == sorted(means)


# `speedup`.


def numbers(path) -> list[int]:
    return [number(frame[:, :64]) for frame in shown(path)]


@pytest.mark.parametrize("rate", [1.0, 2.0, 9.31])
def test_speedup(run, tmp_path, rate):
    file = write_video(tmp_path / "a.mp4", 60)
    done = speedup(run, file, tmp_path / "b.mp4", rate, stride=T)
    assert done.frames == (60, round(60 / rate))
    assert done.speeds.min() >= 1 and done.speeds.max() <= FASTEST
    assert 60 / (1 / done.speeds).sum() == pytest.approx(rate, rel=1e-6)
    assert numbers(tmp_path / "b.mp4") == frame_numbers(done.speeds).tolist()
    assert (tmp_path / "b.png").stat().st_size > 10_000
    assert not done.sound


@pytest.mark.parametrize(
    "speeds",
    [np.full(200, 1.0), np.full(200, 6.0), 2 + np.sin(np.arange(200) / 20), np.where(np.arange(200) < 90, 1.0, 4.0)],
    ids=["as it was", "fast", "waves", "a step"],
)
def test_sound_keeps_step(tmp_path, speeds):
    clicks(tmp_path / "a.mp4")
    seconds = np.arange(201) / 25
    sound = np.concatenate([f.to_ndarray().reshape(-1, 2) for f in stretch(tmp_path / "a.mp4", seconds, speeds)])
    ends = np.concatenate([[0], np.cumsum(1 / speeds)]) / 25
    assert len(sound) / RATE == pytest.approx(ends[-1], abs=1e-3)
    wanted, found = np.interp(np.arange(8) + 0.5, seconds, ends), onsets(sound[:, 0], RATE)
    assert all(np.abs(found - at).min() < 0.04 for at in wanted)


def test_sound_comes_along_and_can_be_left_out(run, tmp_path):
    clicks(tmp_path / "a.mp4")
    done = speedup(run, tmp_path / "a.mp4", tmp_path / "b.mp4", 2, stride=T)
    assert done.sound
    with av.open(str(tmp_path / "b.mp4")) as container:
        frames = list(container.decode(audio=0))
        lasts = float(container.streams.video[0].duration * container.streams.video[0].time_base)
    sound = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    assert lasts == pytest.approx(4, abs=0.04)
    assert len(sound) / frames[0].sample_rate == pytest.approx(4, abs=0.05)
    ends = np.concatenate([[0], np.cumsum(1 / done.speeds)]) / 25
    wanted = np.interp(np.arange(8) + 0.5, np.arange(201) / 25, ends)
    found = onsets(sound, frames[0].sample_rate) + frames[0].time
    assert all(np.abs(found - at).min() < 0.06 for at in wanted)
    assert not speedup(run, tmp_path / "a.mp4", tmp_path / "c.mp4", 2, stride=T, sound=False).sound
    with av.open(str(tmp_path / "c.mp4")) as container:
        assert not container.streams.audio


def test_compare_shows_both_and_says_neither(run, tmp_path):
    file = write_video(tmp_path / "a.mp4", 40)
    done = speedup(run, file, tmp_path / "b.mp4", 2, stride=T, compare=True)
    adaptive, _, uniform, page = done.files
    assert numbers(uniform) == list(range(1, 40, 2)) or numbers(uniform) == list(range(0, 40, 2))
    assert len(numbers(adaptive)) == 20
    text = page.read_text()
    assert adaptive.name in text and uniform.name in text and "Math.random" in text


def test_a_still_video(run, tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "bgr0"
        for _ in range(40):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(3, 32, 32), format="rgb24")))
        container.mux(stream.encode())
    done = speedup(run, tmp_path / "a.mkv", tmp_path / "b.mp4", 2, stride=2)
    assert done.speeds == pytest.approx(np.full(40, 2.0), rel=1e-4)
    assert saliency(run, tmp_path / "a.mkv", tmp_path / "c.mp4").maps.shape == (40, 1, 1)


# `saliency`.


def test_the_map_is_the_head_on_each_place(model):
    clip = np.random.default_rng(0).uniform(-1, 1, (1, T, 48, 32, 3)).astype("float32")
    features = zoo.part(model.network, "map").predict_on_batch(clip)
    kernel, bias = model.network.layers[-1].get_weights()
    said = np.asarray(map_logits(model.network, "map").predict_on_batch(clip))
    assert said.shape == (1, T, 3, 2)
    assert said == pytest.approx((features @ kernel + bias)[..., 0], rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("count", [T, 11, 23])
def test_saliency_has_a_map_and_a_picture_for_every_frame(run, model, tmp_path, count):
    file, steps = moving(tmp_path / "a.mkv", count, size=(16, 16)), []
    done = saliency(run, file, tmp_path / "b.mp4", progress=steps.append)
    clip = np.stack([picture(i, 16, 16) for i in range(count)]).astype("float32") / 127.5 - 1
    total, times = np.zeros(count), np.zeros(count)
    network = map_logits(model.network, "map")
    for first in sorted({*range(0, count - T + 1, T // 2), count - T}):
        total[first : first + T] += np.asarray(network.predict_on_batch(clip[None, first : first + T]))[0, :, 0, 0]
        times[first : first + T] += 1
    assert done.maps[:, 0, 0] == pytest.approx(total / times, rel=1e-3, abs=1e-3)
    assert len(shown(tmp_path / "b.mp4")) == count
    assert sum(steps) == 2 * count


def test_yellow_is_slow_and_blue_is_fast():
    frame = np.full((40, 40, 3), 128, np.uint8)
    picture_ = overlay_map(frame, np.array([[-1.0, -1.0], [1.0, 1.0]]))
    (red, green, blue), (red_, _, blue_) = picture_[2, 20], picture_[37, 20]
    assert red > 170 and green > 170 and blue < 60
    assert blue_ > 200 and red_ < 60
    assert (overlay_map(frame, np.zeros((2, 2))) == frame).all()


# `embed` and `retrieve`.


def test_embed_writes_every_window(run, model, tmp_path):
    (tmp_path / "videos").mkdir()
    moving(tmp_path / "videos" / "a.mkv", 10, size=(16, 16))
    moving(tmp_path / "videos" / "b.mkv", 9, size=(16, 16))
    moving(tmp_path / "short.mkv", T - 1)
    (tmp_path / "text.mp4").write_text("not a video")
    files = [tmp_path / "videos", tmp_path / "short.mkv", tmp_path / "text.mp4"]
    done = embed(run, files, tmp_path / "out.npz")
    assert [why for _, why in done.skipped] == [
        f"has {T - 1} frames; the network needs at least {T}",
        "not a video, or damaged",
    ]
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays["names"].tolist() == [str(tmp_path / "videos" / name) for name in ("a.mkv", "b.mkv")]
        assert arrays["video"].tolist() == [0, 0, 0, 1, 1, 1]
        assert arrays["first"].tolist() == [0, 4, 6, 0, 4, 5]
        clip = np.stack([picture(i, 16, 16) for i in range(10)]).astype("float32") / 127.5 - 1
        wanted = zoo.part(model.network, "features").predict_on_batch(clip[None, 6:10])
        assert arrays["features"][2] == pytest.approx(wanted[0], rel=1e-3, abs=1e-4)
    with pytest.raises(InputError, match=r"no video can be read: .*short\.mkv: has 3 frames"):
        embed(run, files[1:], tmp_path / "none.npz")
    assert not (tmp_path / "none.npz").exists()


@pytest.fixture
def gallery(tmp_path):
    folder = tmp_path / "gallery"
    (folder / "inner").mkdir(parents=True)
    for i, name in enumerate(("a", "b", "inner/c")):
        write_video(folder / f"{name}.mkv", 8 + 5 * i, codec="ffv1", pixels="bgr0", size=(16, 16 + 16 * i))
    return folder


def test_retrieve_finds_the_same_clip_and_reads_what_changed_only(small_run, gallery, tmp_path):
    shutil.copy(gallery / "b.mkv", tmp_path / "query.mkv")
    (gallery / "broken.mp4").write_text("not a video")
    moving(gallery / "short.mkv", T - 1)

    def find(query=tmp_path / "query.mkv", **options):
        return retrieve(small_run, query, gallery, tmp_path / "page.html", 2, overwrite=True, **options)

    found = find()
    assert found.videos == 5 and found.embedded == 5
    assert [name for name, _ in found.skipped] == ["broken.mp4", "short.mkv"]
    assert len(found.matches) == 2 and found.matches[0].similarity >= found.matches[1].similarity
    assert found.index.parent == small_run / "index"
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/webp") == 3
    assert find().embedded == 0
    assert find().matches == found.matches

    write_video(gallery / "a.mkv", 12, codec="ffv1", pixels="bgr0", size=(16, 16))
    (gallery / "short.mkv").unlink()
    again = find()
    assert (again.videos, again.embedded, len(again.skipped)) == (4, 1, 1)
    # The query is no match of itself.
    assert "b.mkv" not in [match.name for match in find(gallery / "b.mkv").matches]

    found.index.write_bytes(found.index.read_bytes()[:200])
    repaired = find()
    assert repaired.embedded == 4 and "is rebuilt" in repaired.note
    assert find().embedded == 0


def test_an_index_keeps_what_it_knows(small_run, gallery, tmp_path):
    index, query = tmp_path / "index", gallery / "a.mkv"  # a name without an ending

    def find(**options):
        return retrieve(small_run, query, gallery, tmp_path / "a.html", overwrite=True, index=index, **options)

    def interrupt(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find(progress=interrupt)
    assert find().embedded == 2
    assert [file.name for file in tmp_path.glob("index*")] == ["index"]
    write_video(gallery / "0.mkv", 9, codec="ffv1", pixels="bgr0", size=(16, 16))  # comes before those that are known
    with pytest.raises(KeyboardInterrupt):
        find(progress=interrupt)
    assert find().embedded == 0
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and is not an index"):
        retrieve(small_run, query, gallery, tmp_path / "b.html", index=tmp_path / "notes.txt")


def test_a_query_that_breaks_before_its_middle(small_run, gallery, tmp_path):
    file = write_video(tmp_path / "a.mp4", 300, codec_options=x264(10, 0))
    damage(file, range(20, 300))
    found = retrieve(small_run, file, gallery, tmp_path / "a.html")
    assert len(found.matches) == 3 and (tmp_path / "a.html").read_text().count("data:image/webp") == 4


def test_times_at_a_variable_rate(run, small_run, tmp_path):
    times = [*range(6), *range(10, 70, 10), *range(70, 76)]
    file, seconds = write_video(tmp_path / "a.mkv", times=times), np.array(times) / 25
    seen = speed(run, file, tmp_path / "speed", stride=T)
    assert seen.edges[:-1] == pytest.approx(seconds)
    assert (tmp_path / "speed" / "speed.csv").read_text().splitlines()[11].startswith("10,2.000,")
    done = speedup(run, file, tmp_path / "b.mp4", 2, stride=T)
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.duration / av.time_base == pytest.approx(seen.edges[-1] / 2, abs=0.1)
    spans = np.diff(seen.edges)
    assert spans.sum() / (spans / done.speeds).sum() == pytest.approx(2, rel=1e-6)
    saliency(run, file, tmp_path / "c.mp4")
    assert open_video(tmp_path / "c.mp4").seconds == pytest.approx(seconds, abs=1e-3)
    embedded = embed(small_run, [file], tmp_path / "d.npz")
    assert embedded.seconds == pytest.approx(seconds[embedded.first])


def test_an_index_of_other_weights_is_made_anew(small_run, gallery, tmp_path):
    index = tmp_path / "index.npz"
    retrieve(small_run, gallery / "a.mkv", gallery, tmp_path / "a.html", index=index)
    other = make_run(tmp_path / "other", "tiny_c3d", "cross_entropy", frames=T, image_size=SIDE, width=4)
    assert retrieve(other, gallery / "a.mkv", gallery, tmp_path / "b.html", index=index).embedded == 3


# What is refused.


def test_what_is_refused(run, small_run, tmp_path, video):
    moving(tmp_path / "short.mkv", T - 1)
    (tmp_path / "page.html").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    short, mp4 = tmp_path / "short.mkv", tmp_path / "b.mp4"
    for verb, args, said in (
        ("speed", [run, short, "--out", tmp_path / "out"], f"has 3 frames; the network needs at least {T}"),
        (
            "speed",
            [small_run, video, "--out", tmp_path / "out"],
            "was trained for classification; speed is for speediness",
        ),
        ("speed", [tmp_path, video, "--out", tmp_path / "out"], "not a run folder"),
        ("speed", [run, "none.mp4", "--out", tmp_path / "out"], "no such file"),
        ("speed", [run, video, "--out", tmp_path / "full"], "is not empty"),
        ("speed", [run, video, "--out", tmp_path / "out", "--stride", "5"], f"from 1 to the network's {T} frames"),
        (
            "speed",
            [run, video, "--out", tmp_path / "out", "--mode", "fast", "--stride", "2"],
            "the mode fast does not support it",
        ),
        ("speedup", [run, video, "--out", mp4, "--rate", "10"], "--rate: must be from 1 to 9.31. Received: 10"),
        ("speedup", [run, video, "--out", mp4, "--rate", "nan"], "Received: nan"),
        ("speedup", [run, video, "--out", tmp_path / "b.avi"], "must end in .mp4"),
        ("speedup", [run, short, "--out", mp4], f"has 3 frames; the network needs at least {T}"),
        ("speedup", [small_run, video, "--out", mp4], "speedup is for speediness"),
        ("saliency", [run, short, "--out", mp4], f"has 3 frames; the network needs at least {T}"),
        ("saliency", [small_run, video, "--out", mp4], "saliency is for speediness"),
        ("embed", [run, video, "--out", tmp_path / "a.txt"], "must end in .npz"),
        ("embed", [run, tmp_path / "empty", "--out", tmp_path / "a.npz"], "no file with one of the endings"),
        ("retrieve", [run, video, tmp_path / "none", "--out", tmp_path / "a.html"], "no such folder"),
        ("retrieve", [run, short, tmp_path / "full", "--out", tmp_path / "page.html"], "use --overwrite to replace it"),
        ("retrieve", [run, short, tmp_path, "--out", tmp_path / "a.html"], f"the network needs at least {T}"),
        ("retrieve", [run, video, tmp_path, "--overwrite"], "--overwrite: needs --out"),
    ):
        command = __import__(f"kvzoo.cli.{verb}", fromlist=["command"]).command
        done = CliRunner().invoke(command, list(map(str, args)))
        assert isinstance(done.exception, InputError), (verb, args, done.output, done.exception)
        assert said in str(done.exception)
        assert "\n" not in str(done.exception)
    assert not any((tmp_path / name).exists() for name in ("out", "b.mp4", "b.png", "a.npz", "a.html"))


def test_the_verbs_say_what_they_did(run, small_run, tmp_path, gallery):
    file = write_video(tmp_path / "a.mp4", 30)
    for verb, args, said in (
        ("speed", [run, file, "--out", tmp_path / "speed", "--stride", "4"], "mean P(sped up)"),
        ("speedup", [run, file, "--out", tmp_path / "b.mp4", "--stride", "4"], "30 frames in 15, 2 times as fast"),
        ("saliency", [run, file, "--out", tmp_path / "c.mp4"], "30 frames, a 1x1 map each"),
        ("embed", [small_run, file, "--out", tmp_path / "d.npz"], "1 videos, 8 windows of 16 features"),
        ("retrieve", [small_run, file, gallery, "--out", tmp_path / "e.html"], "3 videos, 3 of them new or changed"),
        ("retrieve", [small_run, file, gallery, "--top", "1"], "3 videos, 0 of them new or changed; index"),
    ):
        command = __import__(f"kvzoo.cli.{verb}", fromlist=["command"]).command
        done = CliRunner().invoke(command, list(map(str, args)))
        assert done.exit_code == 0, (verb, done.output, done.exception)
        assert said in done.output
    files = sorted(tmp_path.rglob("*"))
    done = CliRunner().invoke(command, [*map(str, [small_run, file, gallery, "--top", "2", "--json"])])
    record = json.loads(done.stdout)
    assert len(record["matches"]) == 2 and record["page"] is None and sorted(tmp_path.rglob("*")) == files
    from kvzoo.cli.speed import command

    done = CliRunner().invoke(
        command,
        [*map(str, [run, file, "--out", tmp_path / "json", "--mode", "fast", "--json"])],
        catch_exceptions=False,
    )
    record = json.loads(done.stdout)
    assert record["frames"] == 30 and record["rates"][0]["rate"] == 1 and 0 <= record["rates"][0]["sped_up"] <= 1
