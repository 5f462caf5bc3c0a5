"""The command line at a terminal: every verb on a wide and a narrow one, one line of progress, signals, streams that end."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from io import StringIO
from pathlib import Path

import click
import pytest
from conftest import ROOT
from rich.cells import cell_len
from rich.console import Console
from verbs import ROWS
from videos import write_video

from kvzoo import progress as module
from kvzoo.cli.verbs import cli
from kvzoo.progress import Live, Rate, progress
from kvzoo.signals import MOMENT, NUMBERS, Signals

pty = pytest.importorskip("pty", reason="no pseudo-terminals here")

RECIPE = """
model: {name: gru_ae, frames: 3, image_size: 16, channels: 1, latent_dim: 8, units: 12, width: 4}
loss: mse
data: {source: stick_actions, videos: 8, people: 4, seconds: 0.5, validation: 0.25}
fit: {steps: 3, batch_size: 4, sample_every: 3, checkpoint_every: 100000, validation_clips: 2}
"""
# Those with a line of progress.
PROGRESS = (
    *("fit", "resume", "reconstruct", "anomaly", "interpolate", "predict", "speed", "speedup", "saliency", "embed"),
    *("retrieve", "data synth", "data check", "data prepare"),
)


def commands(group: click.Group = cli, before: str = "") -> list[str]:
    """Return all verbs and sub-verbs."""
    names = []
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        names += commands(command, f"{before}{name} ") if isinstance(command, click.Group) else [before + name]
    return names


def at_terminal(command: list[str], cwd: Path, timeout: float = 300) -> tuple[int, str]:
    """Run a command at a pseudo-terminal; return its exit code and all that was shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'helpers'}"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the other end is closed
        while part := os.read(ours, 1 << 16):
            shown += part
    os.close(ours)
    return process.wait(timeout), shown.decode()


@pytest.fixture
def place(tmp_path):
    (tmp_path / "r.yaml").write_text(RECIPE)
    write_video(tmp_path / "v.mp4", 12)
    write_video(tmp_path / "gallery" / "w.mp4", 12)
    return tmp_path


@pytest.mark.parametrize("columns", [100, pytest.param(50, marks=pytest.mark.slow)])
def test_every_verb_works_at_a_terminal(place, columns):
    assert sorted(ROWS) == sorted(commands())
    script = [sys.executable, str(ROOT / "tests" / "helpers" / "at_terminal.py"), str(place), str(columns)]
    code, shown = at_terminal(script, place)
    assert code == 0, shown[-2000:]
    assert "Traceback" not in shown and "rror:" not in shown, shown
    assert json.loads((place / "codes.json").read_text()) == {verb: code for verb, (_, code) in ROWS.items()}, shown
    parts = dict(re.findall(r"=== ([^=]+) ===(.*?)(?=\n=== |\Z)", shown, re.S))
    for verb in PROGRESS:
        # The line is no wider than the terminal, and the cursor is there at the end.
        plain = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", parts[verb])
        lines = [
            line
            for line in re.split(r"[\r\n]+", plain)
            if re.search(r"\d+/\d+ (frames|videos)|step \d+/\d+|^\d+ frames", line)
        ]
        assert lines, parts[verb]
        assert not [line for line in lines if cell_len(line) > columns], parts[verb]
        assert parts[verb].count("\x1b[?25l") == parts[verb].count("\x1b[?25h") > 0, parts[verb]


def test_a_rate_leaves_out_the_first_step_and_counts_bursts_whole():
    rate = Rate()
    assert rate.per_second is None
    rate.note(1, 60.0)  # a minute of compiling
    assert rate.per_second is None
    rate.note(2, 60.5)
    rate.note(3, 61.0)
    assert rate.per_second == pytest.approx(2.0)
    # Batches of 16 frames, one every 4 s, whose frames are then written 10 ms apart.
    rate = Rate()
    for i in range(160):
        rate.note(i + 1, 30 + (i // 16) * 4.0 + (i % 16) * 0.01)
        assert rate.per_second is None or rate.per_second == pytest.approx(4.0)
    assert rate.per_second is not None
    # Without any stall.
    rate = Rate()
    for i in range(1000):
        rate.note(i + 1, 0.02 * i)
    assert rate.per_second == pytest.approx(50.0)


def shown(width: int, total: int | None, done: int, seconds: float, monkeypatch, **options) -> str:
    """Return the last line of progress, where each unit took some time, on a terminal of some width."""
    screen, now = StringIO(), 0.0
    monkeypatch.setattr(
        module, "Live", lambda total: Live(total, Console(file=screen, force_terminal=True, width=width))
    )
    monkeypatch.setattr(module.time, "perf_counter", lambda: now)
    with progress(total, **options) as update:
        for i in range(done):
            now += 60.0 if i == 0 else seconds
            update(1)
    plain = re.sub(r"\x1b\[[?\d;]*\w", "", screen.getvalue())
    return [line for line in re.split(r"[\r\n]+", plain) if line.strip()][-1].rstrip()


@pytest.mark.parametrize("width", [100, 50, 40])
def test_the_line_fits_its_terminal(width, monkeypatch):
    line = shown(width, 36000, 20, 0.125, monkeypatch, out="a/very/long/path/of/a/file.mp4")
    assert "20/36000 frames 8 frames/s 1:14:58" in line and cell_len(line) <= width
    assert ("to a/very/long/path/of/a/file.mp4" in line) == (width == 100)
    line = shown(width, None, 20, 20.0, monkeypatch, unit="video", out="x")
    assert line == "20 videos 20 s/video to x"


def test_elsewhere_there_is_a_line_a_minute(monkeypatch, capsys):
    now = 0.0
    monkeypatch.setattr(module.time, "perf_counter", lambda: now)
    with progress(200, out="x.mp4") as update:
        for _ in range(30):
            now += 5.0
            update(1)
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines() == [
        "13/200 frames to x.mp4, 5 s/frame, 0:15:35 left",
        "26/200 frames to x.mp4, 5 s/frame, 0:14:30 left",
    ]


def test_a_signal_that_comes_twice_in_a_moment_is_one(monkeypatch):
    now = 100.0
    monkeypatch.setattr("kvzoo.signals.time.monotonic", lambda: now)
    before = [signal.getsignal(number) for number in NUMBERS]
    with Signals() as signals:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)  # there is nothing to save yet
        signals.trains = True
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signals.saves = True
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
            signal.raise_signal(number)
            now += 10 * MOMENT
        assert signals.received == "SIGHUP"
        now -= 9.5 * MOMENT
        signal.raise_signal(signal.SIGINT)
        now += MOMENT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in NUMBERS] == before


def test_signals_that_somebody_has_a_use_for_are_left_to_them():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with Signals():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_scheduler_that_stops_the_first_step_can_resume_the_run():
    with Signals() as signals:
        signals.trains = True
        signal.raise_signal(signal.SIGTERM)
        assert signals.received == "SIGTERM"
        signal.raise_signal(signal.SIGINT)  # within a moment, as a terminal sends it
        assert signals.received == "SIGTERM"


def begin(*arguments, cwd: Path, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "kvzoo", *map(str, arguments)], cwd=cwd, start_new_session=True, text=True,
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("verb", ["list", "info gru_ae", "explain gru_ae"])
def test_output_on_a_full_disk_is_an_error_in_one_line(tmp_path, verb):
    with open("/dev/full", "w") as full:
        process = begin(*verb.split(), cwd=tmp_path, stdout=full)
    err = process.communicate(timeout=60)[1]
    assert (process.returncode, err) == (2, "kvzoo: standard output could not be written: No space left on device\n")


def wait_for(condition, process: subprocess.Popen) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def test_an_interruption_while_libraries_load_is_answered_at_once(place):
    process = begin("fit", "r.yaml", "--out", "run", cwd=place, stdout=subprocess.PIPE)
    maps = Path(f"/proc/{process.pid}/maps")
    if maps.exists():
        wait_for(lambda: "numpy" in maps.read_text(), process)  # Keras imports it, then its backend
    else:
        time.sleep(2)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "kvzoo: Interrupted\n")
    assert process.returncode == 130
    assert not (place / "run").exists()


def test_a_run_in_hostile_surroundings_saves_when_a_signal_comes_twice(place):
    """Its listener goes, its terminal knows few letters, a notebook's settings are there, and it is stopped twice."""
    surroundings = {
        "PYTHONIOENCODING": "cp1252", "MPLBACKEND": "module://matplotlib_inline.backend_inline", "TMPDIR": "/nowhere",
    }  # fmt: skip
    process = begin(
        "fit", "r.yaml", "--out", "实验", "-o", "fit.steps=100000", cwd=place, stdout=subprocess.PIPE,
        env={**os.environ, **surroundings},
    )  # fmt: skip
    assert process.stdout.readline() == "run \\u5b9e\\u9a8c\n"
    process.stdout.close()
    log = place / "实验" / "log.txt"
    wait_for(lambda: "step 9/" in log.read_text(encoding="utf-8"), process)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.003)
    process.send_signal(signal.SIGTERM)
    err = process.stderr.read()
    assert process.wait(60) == 130, err
    first, last = err.splitlines()
    assert first.startswith("kvzoo: Interrupted; saving")
    step = int(re.fullmatch(r"kvzoo: Interrupted by SIGTERM at step (\d+); progress saved. Resume with: .*", last)[1])
    assert [f.name for f in (log.parent / "checkpoints").iterdir()] == [f"step-{step:08}.npz"]
    assert json.loads((log.parent / "state.json").read_text())["state"] == "interrupted"


# Command lines that take longer than the moments at which they are interrupted.
LONG = {
    "fit": "fit long.yaml --out OUT",
    "resume": "resume run -o fit.steps=1000000",
    "evaluate": "evaluate run --clips 5000 --data videos=2000",
    "reconstruct": "reconstruct run long.mp4 --out OUT.mp4",
    "anomaly": "anomaly run long.mp4 --out OUT",
    "interpolate": "interpolate flow long.mp4 --factor 3 --out OUT.mp4",
    "predict": "predict future v.mp4 --frames 100000 --out OUT.mp4",
    "speed": "speed speed long.mp4 --out OUT",
    "speedup": "speedup speed long.mp4 --out OUT.mp4",
    "saliency": "saliency speed long.mp4 --out OUT.mp4",
    "embed": "embed speed long.mp4 long.mp4 long.mp4 --stride 1 --out OUT.npz",
    "retrieve": "retrieve speed long.mp4 long --out OUT.html",
    "generate": "generate generator --count 4000 --out OUT.gif",
    "compare": "compare run twin --out OUT --clips 8",
    "data synth": "data synth falling_bodies --out OUT --size 256 -o videos=400",
    "data check": "data check moving_shapes -o videos=4000",
    "data prepare": "data prepare long --out OUT.h5 --size 512",
    "plugin check": "plugin check speednet",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with runs and a long video."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "r.yaml").write_text(RECIPE)
    (folder / "long.yaml").write_text(RECIPE.replace("steps: 3,", "steps: 1000000,"))
    write_video(folder / "v.mp4", 24)
    write_video(folder / "long.mp4", 3000, size=(96, 128))
    (folder / "long").mkdir()
    for i in range(12):
        shutil.copy(folder / "long.mp4", folder / "long" / f"{i}.mp4")
    code = "import at_terminal as t; t.run('fit r.yaml --out run'); t.make_runs('run')"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'helpers'}"}
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, check=True, capture_output=True)
    return folder


def files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*")}


@pytest.mark.slow
@pytest.mark.parametrize("verb", LONG)
def test_an_interruption_at_any_moment_leaves_nothing_half_written(runs, verb):
    moments = random.Random(verb)
    for number in range(5):
        before = files(runs)
        out = f"{verb.replace(' ', '_')}{number}"
        process = begin(*LONG[verb].replace("OUT", out).split(), cwd=runs, stdout=subprocess.PIPE)
        time.sleep(moments.uniform(0.3, 20))
        assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        shown = "".join(process.communicate(timeout=120))
        assert process.returncode == 130, shown
        assert "kvzoo: Interrupted" in shown and "Traceback" not in shown and "rror" not in shown, shown
        new = {name for name in files(runs) - before if not name.startswith("long/.")}
        if verb in ("fit", "resume"):
            # All of a run that can be resumed, or nothing.
            assert not [name for name in new if "part" in name]
            assert not new or list((runs / ("run" if verb == "resume" else out) / "checkpoints").glob("*.npz")), new
            assert ("Resume with: kvzoo resume" in shown) == bool(new) or verb == "resume", (new, shown)
        elif verb == "data prepare":
            assert all(name.startswith(f"{out}.h5.work") or name == f".{out}.h5.lock" for name in new), new
        else:
            assert {name for name in new if not name.startswith("speed/index")} == set(), (
                new,
                time.monotonic() - began,
            )
