"""Comparison of runs: one table and one page, of figures that compare only."""

import base64
import io
import json
import os
import re
import shutil
import signal
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from ruamel.yaml import YAML

import kvzoo
from kvzoo.apps.compare import PAGE, check_request, compare, write_page
from kvzoo.cli.compare import command
from kvzoo.errors import InputError, Interrupted
from kvzoo.run.evaluate import evaluate
from kvzoo.run.folder import LOCK
from kvzoo.run.progress import Progress

RECIPE = """
model: {name: gru_ae, frames: 3, image_size: 16, latent_dim: 8, units: 12, width: 4}
data: {source: stick_actions, videos: 12, people: 4, seconds: 0.4, actions: [walk, bend]}
fit: {steps: 6, batch_size: 2, sample_every: 2, checkpoint_every: 3, validation_clips: 4}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    (folder / "small.yaml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def fitted(folder):
    def fit(name: str, *overrides: str):
        return kvzoo.fit(folder / "small.yaml", overrides, out=folder / name).path

    return fit


@pytest.fixture(scope="module")
def wide(fitted):
    return fitted("wide")


@pytest.fixture(scope="module")
def narrow(fitted):
    return fitted("narrow", "model.latent_dim=2", "fit.steps=4")


@pytest.fixture
def changed(tmp_path):
    """Copy a run with values of its lock file replaced."""

    def change(run, **sections):
        path = shutil.copytree(run, tmp_path / "changed")
        yaml = YAML()
        recipe = yaml.load(path / LOCK)
        for name, values in sections.items():
            assert recipe[name].keys() >= values.keys()
            recipe[name].update(values)
        yaml.dump(recipe, path / LOCK)
        return path

    return change


@pytest.fixture(scope="module")
def compared(wide, narrow):
    return compare([wide, narrow], clips=2)


@pytest.fixture(scope="module")
def page(compared, folder):
    return write_page(compared, folder / "out" / "new").read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Elements of a page as (tag, attributes), its text, and whether each one that was opened was closed."""

    EMPTY = ("meta", "img", "source", "br", "line", "polyline")

    def __init__(self, page: str):
        super().__init__()
        self.found, self.words, self._open = [], "", []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.found if name == tag]


def decoded(uri: str) -> Image.Image:
    kind, data = uri.split(",")
    assert kind == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_the_table_holds_what_evaluate_and_the_runs_say(compared, wide, narrow):
    first, second = compared.rows
    assert (first.name, second.name) == ("wide", "narrow")
    own = evaluate(wide)
    for name in ("mse", "psnr", "ssim", "sharpness_ratio"):
        assert first.figures[name] == own.metrics[name]
    assert compared.conditions == own.conditions
    assert first.figures["parameters"] - second.figures["parameters"] > 0
    assert (first.code_shape, first.figures["code_size"], second.figures["code_size"]) == ((3, 8), 24, 6)
    assert (first.figures["steps"], second.figures["steps"]) == (6, 4)
    timing = json.loads((wide / "timing.json").read_text())
    assert all(first.figures[name] == timing[name] > 0 for name in ("step_s", "peak_memory_mb", "wall_s"))
    assert first.curve[0] == [0, 2, 4, 6]
    assert compared.notes == []


def test_the_page_needs_nothing_but_itself(page):
    found = Elements(page)
    assert "://" not in page
    assert not found.all("script") and not found.all("link")
    pointing = {key for _, attributes in found.found for key in attributes} & {"href", "src", "srcset"}
    assert pointing == {"src", "srcset"}
    assert all(a["src"].startswith("data:") and "wide, narrow" in a["alt"] for a in found.all("img"))
    assert len(found.all("img")) == 2
    assert len(page) < 5_000_000


def test_the_page_shows_what_the_models_made(page, compared):
    picture = decoded(Elements(page).all("img")[1]["src"])
    assert picture.n_frames == 3
    picture.seek(2)
    shown = np.asarray(picture.convert("RGB"))[..., 0].astype(int)
    clip, outputs = compared.clips[1, 2, ..., 0], [row.output[1, 2, ..., 0] for row in compared.rows]
    for column, wanted in enumerate([clip, *outputs]):
        np.testing.assert_array_equal(shown[:16, 18 * column : 18 * column + 16], wanted)
    gain = int(re.search(r"\|output . input\| . (\d+)", Elements(page).words)[1])
    for column, output in enumerate(outputs, 1):
        error = np.minimum(gain * np.abs(clip.astype(int) - output), 255)
        np.testing.assert_array_equal(shown[18:, 18 * column : 18 * column + 16], error)


def test_the_page_has_figures_and_curves(page, compared):
    found = Elements(page)
    assert f"{compared.rows[1].figures['psnr']:.2f}" in found.words
    drawing = next(svg for svg in found.all("svg") if svg.get("role") == "img")
    assert f"narrow ends at {compared.rows[1].curve[1][-1]:.2f} dB at step 4" in drawing["aria-label"]
    curves = [a["points"].split() for a in found.all("polyline") if "class" in a and "fill" in a.get("style", "")]
    assert list(map(len, curves)) == [4, 3]


def test_the_command_prints_and_writes(wide, narrow, tmp_path):
    arguments = [str(wide), str(narrow), "--out", str(tmp_path), "--clips", "1"]
    said = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
    record = json.loads(said.stdout)
    assert [run["name"] for run in record["runs"]] == ["wide", "narrow"]
    assert record["runs"][0]["figures"]["psnr"] > 0
    assert len(Elements((tmp_path / PAGE).read_text()).all("img")) == 1
    with pytest.raises(InputError, match=f"{PAGE} already exists; use --overwrite to replace it"):
        CliRunner().invoke(command, arguments, catch_exceptions=False)


def test_other_clips_are_refused_by_name(wide, changed):
    other = changed(wide, data={"seed": 1})
    with pytest.raises(InputError, match=r"wide and .*changed were .*different conditions: .*data\.seed \(0, 1\)"):
        compare([wide, other])


def test_other_sizes_are_refused_by_name_before_anything_is_read(wide, changed):
    longer = changed(wide, model={"frames": 4, "channels": 3})
    with pytest.raises(InputError, match=r"different conditions: frames \(3, 4\), channels \(1, 3\)$"):
        check_request([wide, longer], ".")


def test_costs_of_other_batches_do_not_stand_in_one_column(wide, changed):
    compared = compare([wide, changed(wide, fit={"batch_size": 3, "validation_clips": 2})], clips=1)
    assert [row.figures["step_s"] for row in compared.rows] == [None, None]
    assert all(row.figures["psnr"] for row in compared.rows)
    assert [row.curve for row in compared.rows] == [([], []), ([], [])]
    assert "batch_size (2, 3)" in compared.notes[0] and "validation_clips (4, 2)" in compared.notes[1]


def test_a_page_too_large_loses_bits_and_then_clips_and_says_so(compared, page, tmp_path, monkeypatch):
    uris = [a["src"] for a in Elements(page).all("img")] + [a["srcset"] for a in Elements(page).all("source")]
    monkeypatch.setattr("kvzoo.apps.compare.PICTURES", sum(map(len, uris)) // 3)
    found = Elements(write_page(compared, tmp_path).read_text(encoding="utf-8"))
    assert "compressed with loss" in found.words and "omitted to keep the page small: 1." in found.words
    assert len(found.all("img")) == 1
    assert "compressed with loss" not in page and "Clips omitted" not in page


def test_a_run_without_timing_shows_a_dash(wide, narrow, tmp_path):
    old = shutil.copytree(wide, tmp_path / "old", ignore=shutil.ignore_patterns("timing.json"))
    said = CliRunner().invoke(command, [str(old), str(narrow), "--out", str(tmp_path)], catch_exceptions=False)
    lines = said.stdout.splitlines()
    assert lines[1].split()[0] == "old" and lines[1].split()[-3:] == ["-", "-", "-"]
    assert "-" not in lines[2].split()


def test_what_cannot_be_compared_is_refused(wide, narrow, tmp_path):
    for runs, message in (
        ([wide], "at least 2 runs"),
        ([wide, wide.parent / "wide"], "is the same run as"),
        ([wide, tmp_path], "not a run folder"),
    ):
        with pytest.raises(InputError, match=message):
            compare(runs)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="not a writable folder"):
        compare([wide, narrow], out=tmp_path / "file")
    with pytest.raises(InputError, match=r"from 1 to 8.*Received: 9"):
        compare([wide, narrow], clips=9)


def test_the_command_exits_with_2(kvzoo_cli, tmp_path):
    done = kvzoo_cli("compare", tmp_path, tmp_path / "none")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "not a run folder" in done.stderr


@pytest.mark.slow
def test_a_resumed_run_counts_the_time_before_it(folder, fitted, monkeypatch):
    real = Progress.step
    monkeypatch.setattr(Progress, "step", lambda *args: (real(*args), os.kill(os.getpid(), signal.SIGTERM)))
    with pytest.raises(Interrupted, match="at step 1;"):
        fitted("cut")
    monkeypatch.undo()
    path = folder / "cut" / "timing.json"
    before = json.loads(path.read_text())
    assert before["steps"] == 1 and before["wall_s"] > 0 and before["step_s"] is None
    path.write_text(json.dumps({**before, "wall_s": 1000.0}))
    kvzoo.resume(folder / "cut")
    after = json.loads(path.read_text())
    assert after["steps"] == 6 and after["wall_s"] > 1000 and after["step_s"] > 0
    assert (after["device"], after["backend"]) == (before["device"], before["backend"])
