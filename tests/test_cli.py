"""The command line: what it prints, what it refuses and how, and that it stays light until it trains."""

import csv
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import pytest
from click.testing import CliRunner

import kvzoo
from kvzoo import catalog
from kvzoo.cli.data import synth
from kvzoo.run.folder import LOCK

SMALL = "model: gru_ae\ndata: {source: stick_actions}\nfit: {steps: 5}\n"


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch):
    """What happens to be installed here is not what is tested."""
    monkeypatch.setenv("KVZOO_PLUGINS", "")


@pytest.fixture
def refused(kvzoo_cli, tmp_path):
    """Run what must be refused, in an empty folder but for `r.yaml`; return the one line that is said."""
    (tmp_path / "r.yaml").write_text(SMALL)

    def run(*args, **options) -> str:
        before = sorted(tmp_path.rglob("*"))
        done = kvzoo_cli(*args, cwd=tmp_path, **options)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr[-2000:]
        assert done.stderr.startswith("kvzoo: ")
        assert done.stderr.count("\n") == 1
        assert done.stderr.endswith("\n")
        assert sorted(tmp_path.rglob("*")) == before
        return done.stderr.removeprefix("kvzoo: ").rstrip("\n")

    return run


def test_version(kvzoo_cli):
    done = kvzoo_cli("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"kvzoo {kvzoo.__version__}\n", "")
    assert importlib.metadata.version("kvzoo") == kvzoo.__version__


@pytest.mark.parametrize("args", [["--help"], ["-h"]])
def test_help_names_every_verb(args, kvzoo_cli):
    done = kvzoo_cli(*args)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("  ")]
    assert {"list", "info", "fit", "resume", "evaluate", "reconstruct", "anomaly", "data", "doctor"} <= {
        words[0] for words in lines if words
    }


@pytest.mark.parametrize(
    "verb",
    [
        ["list"],
        ["info"],
        ["fit"],
        ["resume"],
        ["evaluate"],
        ["reconstruct"],
        ["anomaly"],
        ["data"],
        ["data", "synth"],
        ["doctor"],
    ],
)
def test_every_verb_has_help(verb, kvzoo_cli):
    done = kvzoo_cli(*verb, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: kvzoo {' '.join(verb)} ")


@pytest.mark.parametrize("args", [[], ["data"]])
def test_a_group_alone_shows_its_help_as_help(args, kvzoo_cli):
    done = kvzoo_cli(*args)
    shown = (done.stdout + done.stderr).splitlines()
    assert shown[0].startswith("Usage: kvzoo ")
    assert len(shown) > 4


def test_the_script_is_this_command_line():
    (script,) = importlib.metadata.distribution("kvzoo").entry_points.select(group="console_scripts", name="kvzoo")
    from kvzoo.cli.main import main

    assert script.load() is main


def test_list(kvzoo_cli):
    done = kvzoo_cli("list")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == catalog.list_models()
    spec = catalog.MODELS.get("gru_ae")
    assert any(spec.kind in line and line.endswith(spec.summary) for line in done.stdout.splitlines())


def test_list_json(kvzoo_cli):
    rows = json.loads(kvzoo_cli("list", "--json").stdout)
    assert [row["name"] for row in rows] == catalog.list_models()
    for row in rows:
        spec = catalog.MODELS.get(row["name"])
        assert row == {
            "name": spec.name,
            "kind": spec.kind,
            "loss": spec.loss,
            "distribution": "kvzoo",
            "version": None,
            "summary": spec.summary,
        }


def test_list_takes_a_pattern(kvzoo_cli):
    assert "gru_ae" in [row["name"] for row in json.loads(kvzoo_cli("list", "gru*", "--json").stdout)]
    assert json.loads(kvzoo_cli("list", "zz*", "--json").stdout) == []
    nothing = kvzoo_cli("list", "zz*")
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "no model matches 'zz*'\n")


def test_info(kvzoo_cli):
    done = kvzoo_cli("info", "gru_ae")
    assert (done.returncode, done.stderr) == (0, "")
    spec = catalog.MODELS.get("gru_ae")
    assert done.stdout.startswith(f"gru_ae: {spec.summary}\n")
    shown = {line.split()[0]: " ".join(line.split()[1:]) for line in done.stdout.splitlines()}
    assert shown["kind"] == "reconstructor (clip to clip)"
    assert shown["parameters"] == "4,537,480 (network)"
    assert shown["optimizer"] == "adam, learning_rate 0.0001, L2 1e-05"
    assert shown["builder"] == spec.builder
    assert shown["image_size"] == "int, default 64; a multiple of 16; at least 16; height and width in pixels"
    assert set(spec.options) <= set(shown)


@pytest.mark.parametrize(
    "spec",
    [r.get(name) for r in catalog.REGISTRIES.values() for name in r._own],
    ids=lambda spec: f"{spec.noun}-{spec.name}",
)
def test_info_json_is_the_spec(spec, kvzoo_cli):
    done = kvzoo_cli("info", spec.name, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    record = json.loads(done.stdout)
    assert record.pop("type") == spec.noun
    assert type(spec).from_json(record) == spec


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["lst"], "No such command 'lst'"),
        (["list", "--jsn"], "No such option"),
        (["info"], "Missing argument 'NAME'"),
        (["info", "gru_a"], "unknown name 'gru_a'; did you mean gru_ae"),
        (["info", "stik_actions"], "unknown name 'stik_actions'; did you mean stick_actions"),
        (["info", ""], "unknown name ''"),
        (["info", "their-zoo:gru_ae"], "no plugin 'their-zoo' is installed"),
        (["fit"], "Missing argument 'RECIPE'"),
        (["fit", "no_such"], "no_such: no such recipe"),
        (["fit", "gru_a"], "gru_a: no such recipe; did you mean gru_ae"),
        (["fit", "a" * 5000], "no such recipe"),
        (["fit", "."], ".: is a folder, not a recipe file"),
        (["fit", "r.yaml", "-o", "fit.stps=3"], "-o fit.stps=3: fit.stps: unknown key; did you mean fit.steps"),
        (["fit", "r.yaml", "-o", "fit.steps"], "-o fit.steps: must be key=value, such as fit.steps=50"),
        (["fit", "r.yaml", "-o", "model=gru_a"], "-o model=gru_a: model.name: unknown model 'gru_a'; did you mean"),
        (["fit", "r.yaml", "-o", "model.image_size=50"], "model.image_size: must be a multiple of 16. Received: 50"),
        (["fit", "r.yaml", "-o", "fit.steps=3\nx"], "fit.steps: must be a valid integer"),
        (["fit", "r.yaml", "-o", b"fit.\xff=3"], "unable to parse"),
        (["resume"], "Missing argument 'RUN'"),
        (["resume", "no_such"], "no_such: not a run folder: no recipe.lock.yaml in it"),
        (["resume", "r.yaml"], "r.yaml: not a run folder"),
        (["data", "synth", "stick_actions"], "Missing option '--out'"),
        (
            ["data", "synth", "stick_action", "--out", "x"],
            "unknown source 'stick_action'; did you mean stick_actions",
        ),
        (["data", "synth", "strips", "--out", "x"], "strips reads files; a built-in source that draws is wanted"),
        (["data", "synth", "stick_actions", "--out", "x", "--size", "33"], "even number of pixels. Received: 33"),
        (["data", "synth", "stick_actions", "--out", "x", "--size", "8"], "8 is not in the range 16<=x<=1024"),
        (
            ["data", "synth", "stick_actions", "--out", "x", "-o", "vidoes=2"],
            "vidoes: unknown key; did you mean videos",
        ),
        (["data", "synth", "stick_actions", "--out", "x", "-o", "videos=0"], "greater than or equal to 1. Received: 0"),
        (["data", "synth", "stick_actions", "--out", "x", "-o", "videos"], "must be key=value"),
        (["data", "synth", "stick_actions", "--out", "x", "-o", "videos=["], "not YAML"),
        (["data", "synth", "stick_actions", "--out", "x", "-o", "actions=[fly]"], "unknown action 'fly'"),
        (["data", "synth", "stick_actions", "--out", "r.yaml"], "--out r.yaml: is a file"),
        (["data", "synth", "stick_actions", "--out", "."], "--out .: is not empty"),
        (["data", "synth", "stick_actions", "--out", "r.yaml/x"], "--out r.yaml/x: "),
    ],
)
def test_refusals(args, said, refused):
    assert said in refused(*(a.decode(errors="surrogateescape") if isinstance(a, bytes) else a for a in args))


def test_a_refused_recipe_is_named_with_its_place(refused, tmp_path):
    (tmp_path / "bad.yaml").write_text(SMALL.replace("steps", "step"))
    assert refused("fit", "bad.yaml") == "bad.yaml:3:7: fit.step: unknown key; did you mean fit.steps or fit.seed?"
    (tmp_path / "bad.yaml").write_text("model: !!python/object/apply:os.system [touch pwned]\n")
    assert refused("fit", "bad.yaml").startswith("bad.yaml:1:8: the tag ")
    (tmp_path / "bad.yaml").write_text("model: [&a 1, &a 2]\n")
    assert refused("fit", "bad.yaml").startswith("bad.yaml:1:9: anchors and aliases are not allowed")


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("file", "--out file: is a file"),
        ("file/run", "--out file/run: "),
        ("full", "--out full: is not empty"),
        ("run", "--out run: holds a run already; `kvzoo resume run` goes on with it"),
        ("a" * 300, "--out aaa"),
    ],
)
def test_an_out_that_cannot_be_used_is_refused(out, said, refused, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK).write_text(SMALL)
    assert refused("fit", "r.yaml", "--out", out).startswith(said)


@pytest.fixture
def closed_folder():
    """A folder that an ordinary user can reach and neither read nor write to."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        (Path(folder) / "closed").mkdir(mode=0o000)
        yield Path(folder) / "closed"


# Root may do everything: it becomes an ordinary user, after the imports that need its rights.
ORDINARY = """
import os
from kvzoo.errors import InputError
from kvzoo.recipe import keras_names, resolve, schema, text
from kvzoo.run.folder import planned
import ruamel.yaml
if os.getuid() == 0:
    os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
try:
    print({call})
except InputError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(os, "setresuid"), reason="needs POSIX users")
@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("planned('r', {closed!r})", "cannot be written to"),
        ("planned('r', {closed!r} + '/run')", "cannot be written to"),
        ("planned('r', {closed!r} + '/a/b')", "cannot be written to"),
        ("resolve.load({closed!r} + '/r.yaml')", "/r.yaml: "),
    ],
)
def test_a_folder_without_rights_is_refused(call, said, closed_folder, in_process):
    out = in_process(ORDINARY.replace("{call}", call.replace("{closed!r}", repr(str(closed_folder)))))
    assert said in out


# A verb in a process of its own; what it has imported goes to the last line.
IMPORTED = """
import sys
from kvzoo.cli.main import main
sys.argv = ["kvzoo", *{args}]
try:
    main()
finally:
    print()
    print(*sorted({{m.partition(".")[0] for m in sys.modules}}))
"""


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["list"], 0),
        (["list", "--json"], 0),
        (["info", "gru_ae"], 0),
        (["info", "gru_ae", "--json"], 0),
        (["info", "gru_a"], 2),
        (["fit", "--help"], 0),
        (["fit", "no_such"], 2),
        (["fit", "r.yaml", "-o", "fit.step=3"], 2),
        (["fit", "r.yaml", "-o", "model.image_size=50"], 2),
        (["data", "synth", "strips", "--out", "x"], 2),
    ],
)
def test_light_verbs_import_nothing_heavy(args, code, tmp_path):
    (tmp_path / "r.yaml").write_text(SMALL)
    command = [sys.executable, "-c", IMPORTED.format(args=args)]
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=60)
    assert done.returncode == code, done.stderr
    imported = done.stdout.splitlines()[-1].split()
    assert "kvzoo" in imported
    assert not {"keras", "tensorflow", "jax", "torch", "numpy", "cv2", "av", "grain", "h5py", "matplotlib"} & set(
        imported
    )


def test_an_unusable_out_is_refused_before_keras_is_imported(tmp_path):
    (tmp_path / "r.yaml").write_text(SMALL)
    command = [sys.executable, "-c", IMPORTED.format(args=["fit", "r.yaml", "--out", "r.yaml"])]
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, "kvzoo: --out r.yaml: is a file\n")
    assert not {"keras", "tensorflow", "jax", "torch"} & set(done.stdout.split())


def test_a_reader_who_has_seen_enough_is_no_error():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "kvzoo", "list", "--json"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_data_synth_writes_videos(kvzoo_cli, tmp_path):
    options = ["--size", "32", "-o", "videos=2", "-o", "seconds=0.4", "-o", "actions=[walk, jump]"]
    done = kvzoo_cli("data", "synth", "stick_actions", "--out", "made/clips", *options, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "2 videos in made/clips"
    assert not (tmp_path / "made" / "clips" / "labels.csv").exists()
    files = sorted(f for f in (tmp_path / "made" / "clips").rglob("*") if f.is_file())
    assert [(f.parent.name, f.suffix) for f in files] == [("jump", ".mp4"), ("walk", ".mp4")]
    for file in files:
        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
            assert (stream.codec_context.name, stream.average_rate) == ("h264", 25)
        assert len(frames) == 10
        assert {frame.shape for frame in frames} == {(32, 32, 3)}
        assert any((frame != frames[0]).any() for frame in frames)
    again = kvzoo_cli("data", "synth", "stick_actions", "--out", "made/clips", *options, cwd=tmp_path)
    assert (again.returncode, again.stderr) == (2, "kvzoo: --out made/clips: is not empty\n")


@pytest.mark.parametrize("part", ["test", "normal"])
def test_data_synth_writes_the_labels_of_frames(part, kvzoo_cli, tmp_path):
    options = {"videos": 6, "people": 2, "seconds": 3, "anomalies": ["bend"], "part": part}
    given = [arg for key, value in options.items() for arg in ("-o", f"{key}={json.dumps(value)}")]
    done = kvzoo_cli("data", "synth", "stick_anomalies", "--out", "made", "--size", "16", *given, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    with open(tmp_path / "made" / "labels.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["video", "start", "stop"]
    assert done.stdout.splitlines()[-1] == f"6 videos in made, {len(rows)} anomalies in labels.csv"
    source = catalog.SOURCES.get("stick_anomalies").load()(**options)
    for video in source.videos:
        assert (tmp_path / "made" / f"{video.name}.mp4").is_file()
        labels = [0] * video.frames
        for _, start, stop in (row for row in rows if row[0] == f"{video.name}.mp4"):
            labels[int(start) : int(stop)] = [1] * (int(stop) - int(start))
        assert labels == source.frame_labels(video).tolist()
    assert (len(rows) > 2) == (part == "test")
    assert {row[0] for row in rows} <= {f"{video.name}.mp4" for video in source.videos}


def test_data_synth_writes_the_speeds_of_frames(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"videos": 2, "seconds": 3, "speeds": [1.0, 2.0], "spans": 3, "world": "falling_bodies"}
    given = [arg for key, value in options.items() for arg in ("-o", f"{key}={json.dumps(value)}")]
    done = CliRunner().invoke(synth, ["speed_spans", "--out", "made", "--size", "16", *given])
    assert done.exit_code == 0 and done.output.splitlines()[-1] == "2 videos in made, 6 spans in speeds.csv"
    with open(tmp_path / "made" / "speeds.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["video", "start", "stop", "speed"]
    source = catalog.SOURCES.get("speed_spans").load()(**options)
    for video in source.videos:
        assert (tmp_path / "made" / f"{video.name}.mp4").is_file()
        speeds = []
        for _, start, stop, speed in (row for row in rows if row[0] == f"{video.name}.mp4"):
            assert int(start) == len(speeds)
            speeds += [float(speed)] * (int(stop) - int(start))
        assert speeds == source.frame_speeds(video).tolist()
