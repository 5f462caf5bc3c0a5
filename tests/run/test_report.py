"""A run's page and the list of runs: they say what the run did, need nothing but themselves, and a browser shows them."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import kvzoo
from kvzoo.cli import report as report_verb
from kvzoo.cli import runs as runs_verb
from kvzoo.errors import InputError
from kvzoo.media.charts import chart
from kvzoo.media.clips import read_note
from kvzoo.run.report import duration, report

RECIPE = """
model: {name: gru_ae, frames: 3, image_size: 16, latent_dim: 8, units: 12, width: 4}
data:
  source: stick_actions
  videos: 12
  people: 4
  seconds: 0.4
  tests: {far: {source: moving_shapes, videos: 4}}
fit: {steps: 6, batch_size: 2, sample_every: 2, checkpoint_every: 3, validation_clips: 4}
"""
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    (folder / "small.yaml").write_text(RECIPE)
    return kvzoo.fit(folder / "small.yaml", ["fit.seed=3"], out=folder / "runs" / "small-1")


class Page(HTMLParser):
    """Elements of a page as (tag, attributes), and its text."""

    def __init__(self, page: str):
        super().__init__()
        self.found, self.words = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words += f" {data}"

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def page(run):
    return Page((run.path / "report.html").read_text(encoding="utf-8"))


def test_a_page_has_the_samples_of_every_step(page, run):
    pictures = [image for image in page.all("img") if "data-step" in image]
    assert [image["data-step"] for image in pictures] == ["0", "2", "4", "6"]
    assert ["hidden" in image for image in pictures] == [True, True, True, False]
    assert all("input, reconstruction, error × 4" in image["alt"] for image in pictures)
    shown = Image.open(io.BytesIO(base64.b64decode(pictures[-1]["src"].partition(",")[2])))
    assert f"{shown.width}" == pictures[-1]["width"]
    # The same pixels as the sample's, clips laid out in columns: the input of the first clip, but for compression.
    sample = Image.open(run.path / "samples" / "step-000006.png")
    box = (0, 0, 48, 16)
    difference = np.abs(np.asarray(shown.convert("L").crop(box), int) - np.asarray(sample.crop(box), int))
    assert difference.mean() < 8
    assert read_note(run.path / "samples" / "step-000006.png")["rows"] == ["input", "reconstruction", "error × 4"]


def test_an_error_is_that_of_the_pictures_above_it(run):
    sample = np.asarray(Image.open(run.path / "samples" / "step-000006.png"), int)
    given, made, error = sample[:16], sample[16:32], sample[32:48]
    np.testing.assert_array_equal(error, np.minimum(4 * abs(given - made), 255))


def test_a_page_needs_nothing_but_itself(page, run):
    text = run.path.joinpath("report.html").read_text(encoding="utf-8")
    assert "://" not in text
    assert not page.all("link") and not page.all("iframe")
    for tag, attributes in page.found:
        for key in ("src", "srcset", "href"):
            assert attributes.get(key, "data:").startswith("data:"), tag
    assert all(image["alt"] for image in page.all("img"))
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in page.all("svg"))


def test_a_page_says_figures_data_environment_and_recipe_with_origins(page, run):
    words = " ".join(page.words.split())
    last = run.history[-1]
    for name in ("val_psnr", "test_far_psnr", "loss"):
        assert f"{last[name]:.4g}" in words
    assert "held out" in words and "moving_shapes" in words
    assert "training stick_actions 6 1 60 2.4 held out stick_actions 6 1" in words
    for said in ("wall time", "peak RAM", "tensorflow", "Python", "platform"):
        assert said in words
    assert "-o fit.seed=3" in words and "small.yaml:9:7" in words and "default of stick_actions" in words
    assert any("psnr, far ends at" in svg.get("aria-label", "") for svg in page.all("svg"))


def test_report_is_made_again_and_says_how_a_run_ended(run, tmp_path):
    copy = shutil.copytree(run.path, tmp_path / "copy")
    (copy / "report.html").unlink()
    state = json.loads((copy / "state.json").read_text())
    (copy / "state.json").write_text(json.dumps({**state, "state": "failed", "message": "loss is <nan>", "step": 3}))
    said = CliRunner().invoke(report_verb.command, [str(copy)], catch_exceptions=False)
    assert said.stdout.strip() == str(copy / "report.html")
    text = (copy / "report.html").read_text(encoding="utf-8")
    assert "This run is failed: loss is &lt;nan&gt;." in text
    for old in ("timing.json", "state.json", "samples/step-000006.gif"):
        (copy / old).unlink()
    report(copy)
    assert "older version" in (copy / "report.html").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="not a run folder"):
        report(tmp_path)
    shutil.rmtree(copy / "samples")
    (copy / "history.csv").unlink()
    with pytest.raises(InputError, match="nothing to report yet"):
        report(copy)


def test_runs_lists_states_and_best_figures(run, tmp_path):
    (tmp_path / "runs").mkdir()
    for name in ("a", "b", "broken"):
        shutil.copytree(run.path, tmp_path / "runs" / name)
    (tmp_path / "runs" / "latest").symlink_to("a")
    state = json.loads((run.path / "state.json").read_text())
    (tmp_path / "runs" / "b" / "state.json").write_text(json.dumps({**state, "state": "running"}))
    (tmp_path / "runs" / "broken" / "recipe.lock.yaml").write_text("model: [")
    said = CliRunner().invoke(runs_verb.command, [str(tmp_path / "runs"), "--json"], catch_exceptions=False)
    listed = {Path(row["path"]).name: row for row in json.loads(said.stdout)}
    assert {name: row["state"]["state"] for name, row in listed.items()} == {
        "a": "done",
        "b": "killed",
        "broken": "done",
    }
    best = max(run.history[1:], key=lambda row: row["val_psnr"])
    assert listed["a"]["best"] == ["val_psnr", best["step"], best["val_psnr"]]
    assert "not YAML" in listed["broken"]["problem"]
    said = CliRunner().invoke(runs_verb.command, [str(tmp_path / "runs")], catch_exceptions=False)
    assert len(said.stdout.splitlines()) == 4 and f"val_psnr {best['val_psnr']:.4g}" in said.stdout
    said = CliRunner().invoke(runs_verb.command, [str(tmp_path / "none")])
    assert isinstance(said.exception, InputError)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"state": "done"}', '{"state": 3}', '{"state": "done", "pid": []}'])
def test_a_state_that_somebody_wrote_is_data_and_no_more(run, tmp_path, text):
    copy = shutil.copytree(run.path, tmp_path / "copy")
    (copy / "state.json").write_text(text)
    assert kvzoo.run.folder.RunFolder(copy).state().state in ("done", "unknown")


CHECK = """
<script>
window.addEventListener("error", e => document.title = "error: " + e.message);
document.addEventListener("securitypolicyviolation", e => document.title = "left the page: " + e.blockedURI);
window.addEventListener("load", () => {
  const slider = document.getElementById("step"), seen = [];
  for (const value of [0, 2]) {
    slider.value = value;
    slider.dispatchEvent(new Event("input"));
    const shown = [...document.querySelectorAll("#pictures img")].filter(i => i.offsetWidth > 0);
    seen.push(shown.map(i => i.dataset.step + (i.complete && i.naturalWidth ? "" : " broken")).join() + "/" +
      document.getElementById("at").textContent);
  }
  const broken = [...document.images].filter(i => !i.naturalWidth).length;
  const wide = document.documentElement.scrollWidth > innerWidth;
  const style = getComputedStyle(document.body);
  document.body.dataset.found = JSON.stringify({seen, broken, wide, ink: style.color, paper: style.backgroundColor,
    requests: performance.getEntriesByType("resource").filter(e => !e.name.startsWith("data:")).length});
});
</script>
"""


def browse(path: Path, width: int, dark: bool, profile: Path) -> dict:
    """Open a page in a browser without a screen, move the slider, and return what is seen."""
    checked = path.with_name("checked.html")
    checked.write_text(path.read_text(encoding="utf-8").replace("</body>", f"{CHECK}</body>"), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}"]
    flags += ["--virtual-time-budget=5000", "--dump-dom", f"--window-size={width},900"]
    flags += ["--blink-settings=preferredColorScheme=0"] if dark else []
    done = subprocess.run(
        [BROWSER, *flags, "--enable-logging=stderr", checked.as_uri()], capture_output=True, text=True, timeout=120
    )
    assert "CONSOLE" not in done.stderr, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    title = re.search("<title>(.*)</title>", done.stdout)[1]
    assert not title.startswith(("error", "left the page")), title
    return json.loads(Page(done.stdout).all("body")[0]["data-found"])


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_a_browser_shows_it_and_the_slider_moves(run, tmp_path, width, dark):
    shutil.copy(run.path / "report.html", tmp_path)
    seen = browse(tmp_path / "report.html", width, dark, tmp_path / "profile")
    assert seen["seen"] == ["0/0", "4/4"]
    assert (seen["broken"], seen["requests"], seen["wide"]) == (0, 0, False)
    ink, paper = (sum(map(int, re.findall(r"\d+", seen[key])[:3])) for key in ("ink", "paper"))
    assert (ink > paper) == dark and abs(ink - paper) > 400


def test_charts_place_points_between_their_ticks():
    drawn = chart([([0, 10, 20], [1e-3, float("nan"), 2.0]), ([0, 20], [0.5, 0.5])], log=True)
    assert [len(curve) for curve in drawn["curves"]] == [2, 2]
    left, right, top, bottom = drawn["box"]
    for curve in drawn["curves"]:
        assert all(left <= x <= right and top <= y <= bottom for x, y, _ in curve)
    assert [text for _, text in drawn["values"]] == ["0.001", "0.01", "0.1", "1", "10"]
    assert chart([([0], [float("nan")])]) is None
    assert chart([([0], [0.0])])["curves"][0][0][0] == left


def test_durations_in_words():
    assert [duration(s) for s in (0.4, 75, 3600, 12_345)] == ["0 s", "75 s", "60 min 0 s", "3 h 25 min"]


def test_a_report_is_not_held_up_by_a_broken_picture(run, tmp_path):
    copy = shutil.copytree(run.path, tmp_path / "copy")
    os.truncate(copy / "samples" / "step-000004.png", 50)
    report(copy)
    assert 'data-step="4"' not in (copy / "report.html").read_text(encoding="utf-8")
