"""The command line: what it prints, what it refuses and how, and that it stays light until it trains."""

import csv
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import click
import pytest
from click.testing import CliRunner

import kvzoo
from kvzoo import catalog
from kvzoo.cli.data import synth
from kvzoo.cli.group import Verb
from kvzoo.cli.verbs import SECTIONS, cli
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


def test_help_has_a_section_for_each_kind_of_verb(kvzoo_cli):
    lines = kvzoo_cli("--help").stdout.splitlines()
    assert [line for line in lines if line.endswith(":") and not line.startswith(" ")] == [
        "Options:",
        *(f"{title}:" for title in SECTIONS),
    ]
    columns = {
        line.index(text) for verbs in SECTIONS.values() for text in verbs.values() for line in lines if text in line
    }
    assert len(columns) == 1  # summaries stand in one column
    assert all(text[0].isupper() and text[-1].isalpha() for verbs in SECTIONS.values() for text in verbs.values())


def verbs(group: click.Group = cli, before: str = "") -> dict[str, click.Command]:
    """Return all verbs and sub-verbs by name."""
    every = {}
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        every |= verbs(command, f"{before}{name} ") if isinstance(command, click.Group) else {before + name: command}
    return every


def test_an_option_means_the_same_in_every_verb():
    every = verbs()
    assert all(isinstance(command, Verb) for command in every.values())
    options = {
        name: {spelling: option for option in command.params for spelling in option.opts if spelling[0] == "-"}
        for name, command in every.items()
    }
    for name, known in options.items():
        assert {"-q", "--quiet", "-v", "--verbose"} <= known.keys(), name
        assert ("-o" in known) == ("--set" in known), name
        if "--out" in known:
            assert known["--out"].metavar in ("FILE", "DIR"), name
        if "--overwrite" in known:
            assert "--out" in known and known["--overwrite"].is_flag, name
        for spelling in {"-o", "--data"} & known.keys():
            assert known[spelling].multiple and known[spelling].metavar == "KEY=VALUE", name
        for option in known.values():
            assert not isinstance(option.type, (click.types.IntParamType, click.types.FloatParamType)) or isinstance(
                option.type, (click.IntRange, click.FloatRange)
            ), f"{name} {option.name}: any number"
            assert option.help[0].isupper() and option.help.endswith((".", ").")), f"{name} {option.name}"
    having = {
        spelling: {name for name in options if spelling in options[name]} for spelling in ("--backend", "--json", "-o")
    }
    light = {"list", "info", "explain", "runs", "report", "data synth", "data prepare", "data check", "plugin new"}
    assert having["--backend"] == every.keys() - light
    assert having["-o"] == {"explain", "fit", "resume", "data synth", "data prepare", "data check"}
    assert having["--json"] == {
        *("list", "info", "explain", "runs", "evaluate", "compare", "anomaly", "speed", "retrieve", "data check"),
        *("plugin list", "plugin check", "bench", "doctor"),
    }


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("generate run --out a.gif --count 0", "0 is not in the range 1<=x<=4096"),
        ("generate run --out a.gif --seed -1", "-1 is not in the range x>=0"),
        ("interpolate run v.mp4 --out a.mp4 --factor 33", "33 is not in the range 2<=x<=32"),
        ("predict run v.mp4 --out a.mp4 --frames 0", "0 is not in the range x>=1"),
        ("anomaly run v.mp4 --out a --fit-threshold 1.5", "1.5 is not in the range 0<x<1"),
        ("speed run v.mp4 --out a --stride 0", "0 is not in the range x>=1"),
        ("speedup run v.mp4 --out a.mp4 --rate 0.5", "0.5 is not in the range x>=1"),
        ("speedup run v.mp4 --out a.mp4 --smooth 0", "0.0 is not in the range x>0"),
        ("embed run v.mp4 --out a.npz --stride 0", "0 is not in the range x>=1"),
        ("retrieve run v.mp4 videos --top 0", "0 is not in the range x>=1"),
    ],
)
def test_numbers_out_of_range_are_refused(args, message):
    done = CliRunner().invoke(cli, args.split())
    assert done.exit_code == 2 and message in done.output


def test_old_spellings_of_options_work_with_a_warning(tmp_path):
    (tmp_path / "there.html").touch()
    for args in (["--html", "{}"], ["--html={}"]):
        args = [arg.format(tmp_path / "there.html") for arg in args]
        done = CliRunner().invoke(cli, ["data", "check", "stick_actions", *args])
        assert done.stderr == "kvzoo: --html is deprecated; use --out\n"
        assert str(done.exception) == f"{tmp_path / 'there.html'} already exists; use --overwrite to replace it"
    done = CliRunner().invoke(cli, ["bench", "gru_ae", "--csv", str(tmp_path / "none" / "a.csv")])
    assert done.stderr == "kvzoo: --csv is deprecated; use --out\n" and "no such folder" in str(done.exception)
    assert "--csv" not in CliRunner().invoke(cli, ["bench", "--help"]).output


def test_set_is_o(kvzoo_cli, tmp_path):
    short, long = (kvzoo_cli("explain", "gru_ae", option, "fit.steps=7", "--json") for option in ("-o", "--set"))
    assert short.returncode == long.returncode == 0 and short.stdout == long.stdout
    assert {"key": "fit.steps", "value": 7, "origin": "-o fit.steps=7"} in json.loads(long.stdout)


def test_a_dry_run_says_what_would_run_and_makes_nothing(kvzoo_cli, tmp_path):
    (tmp_path / "r.yaml").write_text(
        "model: {name: gru_ae, frames: 3, image_size: 16, channels: 1, latent_dim: 8, units: 12, width: 4}\n"
        "data: {source: stick_actions, videos: 8, people: 4, seconds: 0.5, validation: 0.25}\nfit: {steps: 3}\n"
    )
    options = ["--seed", "5", "--set", "fit.steps=7", "--backend", "tensorflow", "-v"]
    done = kvzoo_cli("fit", "r.yaml", "--dry-run", *options, cwd=tmp_path, env={"KERAS_BACKEND": "none"})
    assert done.returncode == 0, done.stderr
    rows = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if re.match(r"[a-z]+  ", line))
    assert rows["folder"] == "runs/r-1" and rows["backend"] == "tensorflow"
    assert re.fullmatch(r"[\d,]+ trainable", rows["parameters"])
    assert rows["training"] == "6 videos, 72 frames; 1 group" and rows["validation"] == "2 videos, 24 frames; 1 group"
    recipe = {" ".join(line.split()) for line in done.stdout.splitlines()}
    assert {"seed: 5 # -o fit.seed=5", "steps: 7 # -o fit.steps=7"} <= recipe
    assert re.search(r"^Keras \S+ on tensorflow, loaded in \d", done.stderr, re.MULTILINE)  # --verbose
    assert [file.name for file in tmp_path.iterdir()] == ["r.yaml"]


def test_a_backend_that_is_not_installed_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)  # as Python marks what cannot be imported
    done = CliRunner().invoke(cli, ["fit", "gru_ae", "--backend", "jax"])
    assert str(done.exception) == "--backend jax: not installed; pip install 'kvzoo[jax]'"
    done = CliRunner().invoke(cli, ["fit", "gru_ae", "--backend", "theano"])
    assert done.exit_code == 2 and "'theano' is not one of 'tensorflow', 'jax', 'torch'" in done.output


@pytest.mark.parametrize("args", [["-q", "data", "synth"], ["data", "synth", "--quiet"]])
def test_quiet_leaves_only_results_warnings_and_errors(args, kvzoo_cli, tmp_path):
    options = ["stick_actions", "--out", "a", "--size", "16", "--seed", "1", "-o", "videos=2", "-o", "seconds=0.2"]
    done = kvzoo_cli(*args, *options, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(list(tmp_path.rglob("*.mp4"))) == 2
    done = kvzoo_cli(*args, *options, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "kvzoo: --out a: is not empty\n")


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("kvzoo re", ["resume", "report", "reconstruct", "retrieve"]),
        ("kvzoo data pr", ["prepare"]),
        ("kvzoo fit --ba", ["--backend"]),
        ("kvzoo fit --backend t", ["tensorflow", "torch"]),
    ],
)
def test_bash_completes_verbs_options_and_choices(words, completions, kvzoo_cli):
    environment = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_KVZOO_COMPLETE": "bash_complete"}
    code = "import sys; sys.argv = ['kvzoo']; from kvzoo.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, text=True, capture_output=True, timeout=60
    )
    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == completions, done.stderr


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
    nothing = kvzoo_cli("list", "gru_a")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert nothing.stderr.startswith("kvzoo: no model matches 'gru_a'; did you mean gru_ae")


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
        (["fti"], "No such command 'fti'; did you mean fit?"),
        (["data", "prepaer"], "No such command 'prepaer'; did you mean prepare?"),
        (["fit", "r.yaml", "--setps", "3"], "No such option --setps; did you mean -o fit.steps=… or --set?"),
        (["list", "-q", "-v"], "--quiet and --verbose exclude each other"),
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
        (
            ["data", "synth", "strips", "--out", "x"],
            "strips reads files; choose a synthetic source, such as stick_actions",
        ),
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
        ("run", "--out run: already holds a run; resume it with: kvzoo resume run"),
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
from kvzoo.recipe import resolve, schema, text
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
