"""Tasks: what the built-in ones declare is what they return, and a plugin's own task does all that theirs do."""

import json
import textwrap

import numpy as np
import pytest
from click.testing import CliRunner
from distributions import environment, metadata_of

import kvzoo
from kvzoo import catalog, registry
from kvzoo.apps.reconstruct import check_request as check_reconstruct
from kvzoo.cli.evaluate import command as evaluate_command
from kvzoo.errors import InputError
from kvzoo.recipe.schema import mode_of
from kvzoo.registry import Figure, LossSpec, MetricSpec, ModelSpec, TaskSpec, figure_of
from kvzoo.run.evaluate import EvaluationOptions, evaluate
from kvzoo.run.folder import RunFolder
from kvzoo.run.history import History, panels
from kvzoo.testing import ROWS, Battery

BUILT_IN = [entry.spec for entry in catalog.TASKS.offered() if entry.distribution == "kvzoo"]

# Built-in tasks

DATA = "{source: stick_actions, videos: 12, people: 6, seconds: 1, actions: [walk, bend], validation: 0.5}"
FIT = "{steps: 1, batch_size: 2, sample_every: 1, validation_clips: 2}"
PIX2PIX = "{name: pix2pix, frames_in: 2, frames_out: 2, image_size: 32, width: 2, patch: 16, channels: 1}"
# run: (task, model, loss, sampler, figures that it has no cause to return)
RUNS = {
    "gru_ae": (
        "reconstruction",
        "{name: gru_ae, frames: 3, image_size: 16, latent_dim: 8, units: 12, width: 4}",
        "mse",
        "window",
        set(),
    ),
    "between": (
        "translation",
        PIX2PIX,
        "conditional",
        "interpolate",
        {"copy_last_psnr", "copy_last_ssim", "copy_last_sharpness"},
    ),
    "behind": (
        "translation",
        PIX2PIX,
        "conditional",
        "predict",
        {f"{name}_{figure}" for name in ("cross_fade", "nearest") for figure in ("psnr", "ssim", "sharpness")},
    ),
    "tiny_c3d": (
        "classification",
        "{name: tiny_c3d, frames: 16, image_size: 16, width: 4, classes: 2}",
        "cross_entropy",
        "window",
        set(),
    ),
    "videogan_label": (
        "generation",
        "{name: videogan_label, frames: 16, image_size: 16, noise_dim: 8, width: 4, classes: 2}",
        "adversarial",
        "window",
        set(),
    ),
    "speednet": (
        "speediness",
        "{name: speednet, frames: 8, image_size: 32, width: 0.0625}",
        "binary_speed",
        "speed_pair",
        set(),
    ),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each of RUNS, by name."""
    folder = tmp_path_factory.mktemp("runs")
    for name, (_, model, loss, sampler, _) in RUNS.items():
        data = DATA.replace("}", f", sampler: {sampler}}}")
        (folder / f"{name}.yaml").write_text(f"model: {model}\nloss: {loss}\ndata: {data}\nfit: {FIT}\n")
        kvzoo.fit(folder / f"{name}.yaml", out=folder / name)
    return folder


@pytest.mark.parametrize("name", RUNS)
def test_an_evaluation_returns_the_figures_that_its_task_declares(name, runs):
    task, _, _, _, missing = RUNS[name]
    options = EvaluationOptions(judge=runs / "tiny_c3d") if task == "generation" else None
    evaluation = evaluate(runs / name, clips=12, options=options)
    declared = catalog.TASKS.get(task).figures
    assert set(evaluation.metrics) == {figure.name for figure in declared} - missing
    assert missing <= {figure.name for figure in declared if figure.where}
    meanings = {figure.name: figure.meaning for figure in declared}
    assert evaluation.conditions["measures"] == {key: meanings[key] for key in evaluation.metrics}


def test_every_task_is_run_here():
    assert {task for task, *_ in RUNS.values()} == {task.name for task in BUILT_IN}


@pytest.mark.parametrize("task", BUILT_IN, ids=lambda task: task.name)
def test_a_built_in_task_says_all_that_there_is_to_say(task):
    assert task.example and task.figures and "evaluate" in task.apps
    names = [figure.name for figure in task.figures]
    assert len(set(names)) == len(names)
    assert all(figure.words for figure in task.figures)
    assert all(catalog.better(column, task) for column in task.best)


def test_each_kind_of_model_has_a_task_and_each_loss_names_its_own():
    assert {task.kind for task in BUILT_IN if task.kind} == set(registry.KINDS)
    tasks = {entry.name: entry.spec.task for entry in catalog.LOSSES.offered() if entry.distribution == "kvzoo"}
    assert tasks == {
        "mse": "reconstruction",
        "cross_entropy": "classification",
        "binary_speed": "speediness",
        "adversarial": "generation",
        "conditional": "translation",
    }


@pytest.mark.parametrize(
    ("model", "loss", "task"),
    [
        # A plugin of 0.1 names no task: the kind of its model tells.
        ({"kind": "reconstructor", "loss": "theirs"}, {}, "reconstruction"),
        ({"kind": "translator", "loss": "theirs"}, {}, "translation"),
        ({"kind": "generator", "loss": "theirs"}, {}, "generation"),
        ({"kind": "classifier", "loss": "theirs"}, {}, "classification"),
        ({"kind": "classifier", "loss": "theirs"}, {"task": "speediness"}, "speediness"),
        ({"kind": "classifier", "loss": "theirs", "task": "speediness"}, {"task": "classification"}, "speediness"),
        ({"kind": "classifier", "loss": "other", "task": "speediness"}, {"task": "classification"}, "classification"),
        ({"kind": "classifier", "loss": "other", "task": "speediness"}, {}, "classification"),
    ],
)
def test_the_loss_names_the_task_else_the_kind_does(model, loss, task):
    model = ModelSpec(name="theirs", builder="m:f", **model)
    assert catalog.task_of(model, LossSpec(name="theirs", builder="m:f", **loss)).name == task


@pytest.mark.parametrize(
    ("column", "mode"),
    [
        ("val_psnr", "max"),
        ("test_far_ssim", "max"),
        ("val_pair_accuracy", "max"),
        ("diversity", "max"),
        ("loss", "min"),
        ("val_d_loss", "min"),
        ("val_cross_entropy", "min"),
        ("frechet_distance", "min"),
        # Nobody declares these.
        ("val_top5_accuracy", "max"),
        ("val_flow_error", "min"),
        ("mask_l1", "min"),
    ],
)
def test_a_figure_says_which_values_are_better(column, mode):
    assert mode_of(column) == mode
    assert mode_of(column, "min") == "min"


@pytest.mark.parametrize("column", ["val_sharpness", "val_sharpness_ratio", "g_norm", "val_wobble"])
def test_a_figure_without_a_direction_wants_a_mode(column):
    with pytest.raises(ValueError, match=f"{column}: cannot tell from the name whether higher is better"):
        mode_of(column)


def test_the_figures_of_the_runs_own_task_count_first():
    task = TaskSpec(name="theirs", builder="m:f", figures=(Figure("rare_loss", better="higher"),))
    assert (mode_of("val_rare_loss", task=task), mode_of("val_rare_loss")) == ("max", "min")
    assert figure_of("val_rare_loss", task.figures) is task.figures[0]
    assert figure_of("rarer_loss", task.figures) is None


def test_a_task_and_a_metric_refuse_an_unknown_direction():
    for make in (
        lambda: Figure("x", better="more"),
        lambda: TaskSpec(name="x", builder="m:f", figures=({"name": "y", "better": "more"},)),
        lambda: MetricSpec(name="x", builder="m:f", better="more"),
    ):
        with pytest.raises(InputError, match="better must be one of 'higher', 'lower', 'nearer 1', ''"):
            make()


def test_a_verb_refuses_the_runs_of_other_tasks(runs):
    said = "gru_ae was trained for reconstruction; --judge is for classification"
    with pytest.raises(InputError, match=said):
        evaluate(runs / "videogan_label", options=EvaluationOptions(judge=runs / "gru_ae"))
    with pytest.raises(InputError, match="speednet was trained for speediness; reconstruct is for reconstruction"):
        check_reconstruct(runs / "speednet", "video.mp4", "out.mp4")


def test_an_unknown_task_is_refused_with_the_recipe(tmp_path):
    catalog.register(LossSpec(name="lost", builder="m:f", kinds=("reconstructor",), task="recontruction"))
    (tmp_path / "lost.yaml").write_text(f"model: gru_ae\nloss: lost\ndata: {DATA}\nfit: {FIT}\n")
    with pytest.raises(InputError, match=r"lost.yaml:2:.*unknown task 'recontruction'; did you mean reconstruction"):
        kvzoo.fit(tmp_path / "lost.yaml", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# A plugin's task: how bright is a clip?

PLUGIN = {
    "pyproject.toml": """
        [project]
        name = "bright-zoo"
        version = "1.0"
        [project.entry-points."kvzoo.models"]
        light_meter = "bright_zoo.specs:MODEL"
        [project.entry-points."kvzoo.losses"]
        brightness_error = "bright_zoo.specs:LOSS"
        [project.entry-points."kvzoo.tasks"]
        metering = "bright_zoo.specs:TASK"
        [project.entry-points."kvzoo.metrics"]
        squared_error = "bright_zoo.specs:METRIC"
        """,
    "bright_zoo/__init__.py": "",
    "bright_zoo/specs.py": """
        from kvzoo.registry import Figure, LossSpec, MetricSpec, ModelSpec, Option, TaskSpec

        MODEL = ModelSpec(
            name="light_meter",
            builder="bright_zoo.network:light_meter",
            summary="a clip to its brightness",
            kind="classifier",
            loss="brightness_error",
            options={
                "frames": Option("int", 2, "frames of a clip", minimum=1),
                "image_size": Option("int", 8, "height and width in pixels", minimum=4),
                "channels": Option("int", 1, "1 (grey) or 3 (RGB)", choices=(1, 3)),
            },
            parameters={"network": 45},
        )
        LOSS = LossSpec(
            name="brightness_error",
            builder="bright_zoo.loss:BrightnessError",
            summary="squared error of a clip's mean value",
            kinds=("classifier",),
            example=".fit(clips)",
            task="metering",
        )
        TASK = TaskSpec(
            name="metering",
            builder="bright_zoo.task:Metering",
            summary="how bright is a clip?",
            example="a clip",
            figures=(
                Figure("offset", "mean error", "stops", better="lower", title="offset"),
                Figure("mean_offset", "the same of the mean of the training clips", where="with the run's own data"),
            ),
            history=(Figure("likeness", better="higher", panel="likeness"), Figure("loss", better="lower")),
            best=("val_likeness",),
            clips=6,
            note="Light is all that counts.",
        )
        METRIC = MetricSpec(
            name="squared_error",
            builder="bright_zoo.metric:squared_error",
            summary="mean of the squared errors",
            better="lower",
            tasks=("metering",),
        )
        """,
    "bright_zoo/network.py": """
        import keras
        from keras import layers


        def light_meter(frames=2, image_size=8, channels=1):
            clip = keras.Input((frames, image_size, image_size, channels), name="clip")
            x = layers.Conv3D(4, (1, 3, 3), padding="same")(clip)
            brightness = layers.Dense(1, bias_initializer="ones")(layers.GlobalAveragePooling3D()(x))
            return keras.Model(clip, brightness, name="light_meter")
        """,
    "bright_zoo/loss.py": """
        import keras
        from keras import ops

        from kvzoo.losses.base import VideoModel, to_unit_range


        class BrightnessError(VideoModel):
            def __init__(self, *args, **options):
                super().__init__(*args, **options)
                self.likeness = keras.metrics.Mean("likeness")

            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                target = ops.mean(to_unit_range(x), axis=(1, 2, 3, 4))
                error = ops.square(ops.cast(y_pred[:, 0], "float32") - target)
                self.likeness.update_state(-error)
                return ops.mean(error)
        """,
    "bright_zoo/metric.py": """
        import numpy as np


        def squared_error(output, target):
            return np.square(output - target)
        """,
    "bright_zoo/task.py": """
        import numpy as np

        from kvzoo.media.clips import strip, write_png
        from kvzoo.tasks.base import ExtraMetrics, Task, check_shape
        from kvzoo.tasks.measured import Measured
        from kvzoo.tasks.samples import Drawn


        def brightness(clips):
            return (clips / 127.5 - 1).mean((1, 2, 3, 4))


        class Brightnesses:
            def __init__(self):
                self.values = []

            def add(self, clips):
                self.values += brightness(clips).tolist()


        class Metering(Task):
            def draw(self, model, shown):
                output = np.asarray(model.predict_on_batch(shown.clips))[:, 0]
                offset = float(np.abs(output - brightness(shown.clips)).mean())
                note = {"rows": ["input"]}
                return Drawn({".png": lambda path: write_png(path, strip(shown.clips[0]), note)}, {"offset": offset})

            def evaluate(self, model, clips, examples, batch_size, options):
                offsets, extra = [], ExtraMetrics(self.spec)
                for (batch,) in examples.batches(batch_size):
                    output = np.asarray(model.predict_on_batch(batch), np.float64)[:, 0]
                    offsets += np.abs(output - brightness(batch)).tolist()
                    extra.add(output, brightness(batch))
                return Measured({"offset": float(np.mean(offsets)), **extra.means()}, {"value_range": "-1 to 1"})

            def features(self):
                return Brightnesses()

            def fit_baselines(self, training, parts):
                mean = np.mean(training.values)
                figures = {n: {"mean_offset": float(np.abs(np.array(p.values) - mean).mean())} for n, p in parts.items()}
                return figures, f"fitted on {len(training.values)} clips"

            def check_shapes(self, model, inputs, output):
                size, config = model.config["image_size"], model.config
                check_shape(model, "an input", inputs, (config["frames"], size, size, config["channels"]))
                check_shape(model, "the output", output, (2, 1))
        """,
}
RECIPE = """
model: {name: light_meter, frames: 2, image_size: 8}
data:
  source: moving_shapes
  videos: 12
  validation: 0.5
  tests: {far: {source: moving_shapes, videos: 4, seed: 9}}
fit: {steps: 4, batch_size: 2, sample_every: 2, validation_clips: 4, best: val_likeness}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the plugin as pip would leave it, on the path."""
    project, folder = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("site")
    for name, text in PLUGIN.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(textwrap.dedent(text))
    metadata_of(project, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(project))
        patch.syspath_prepend(str(folder))
        patch.delenv("KVZOO_PLUGINS", raising=False)
        registry._entry_points.cache_clear()
        yield project, folder
    registry._entry_points.cache_clear()


@pytest.fixture(scope="module")
def metered(site, tmp_path_factory):
    """A run of the plugin's model."""
    folder = tmp_path_factory.mktemp("metered")
    (folder / "small.yaml").write_text(RECIPE)
    return kvzoo.fit(folder / "small.yaml", out=folder / "run")


def test_a_plugins_task_trains_and_draws_samples(metered):
    assert {"val_likeness", "test_far_likeness", "offset"} <= metered.history[-1].keys()
    assert sorted(f.name for f in (metered.path / "samples").iterdir()) == [f"step-00000{i}.png" for i in (0, 2, 4)]


def test_its_figures_direct_the_history_and_the_curves(metered):
    history = History(RunFolder(metered.path), upto=9)
    values = dict(zip(*history.curve("val_likeness"), strict=True))
    best = max((value, -step) for step, value in values.items() if step)
    assert history.best() == ("val_likeness", -best[1], best[0])
    assert set(panels(history, ("far",))["likeness"]) == {"training", "held out", "far"}
    assert (metered.path / "best.keras").is_file()


def test_a_plugins_task_reports(metered):
    page = (metered.path / "report.html").read_text(encoding="utf-8")
    assert "best val_likeness" in page and "Light is all that counts." in page


def test_a_plugins_task_evaluates(metered):
    evaluation = evaluate(metered.path)
    names = ["offset", "squared_error", "mean_offset"]
    assert set(evaluation.metrics) == {*names, *(f"test_far_{name}" for name in names)}
    assert evaluation.conditions["clips"] == 6  # as many as the task says
    assert evaluation.conditions["measures"]["offset"] == "stops, mean error"
    assert evaluation.conditions["measures"]["squared_error"] == "mean of the squared errors"
    assert evaluation.conditions["baselines"] == "fitted on 6 clips"
    assert evaluation.metrics["squared_error"] >= evaluation.metrics["offset"] ** 2
    assert np.isfinite(list(evaluation.metrics.values())).all()
    shown = CliRunner().invoke(evaluate_command, [str(metered.path), "--json"])
    assert json.loads(shown.stdout)["metrics"] == pytest.approx(evaluation.metrics)


def test_a_plugins_task_refuses_verbs_that_it_does_not_name(metered):
    with pytest.raises(InputError, match="light_meter was trained for metering; reconstruct is for reconstruction"):
        check_reconstruct(metered.path, "video.mp4", "out.mp4")


def test_a_plugins_task_passes_the_battery(site):
    rows = tuple(row for row in ROWS if row != "backends")
    results = list(Battery("light_meter").results("light_meter", rows))
    assert [(r.row, r.detail) for r in results if r.state == "failed"] == []
    assert {r.row for r in results if r.state == "skipped"} <= {"causal"}


@pytest.mark.backend
def test_a_plugins_task_is_the_same_on_every_backend(site):
    (result,) = Battery("light_meter").results("light_meter", ("backends",))
    assert result.state != "failed", result.detail


def test_a_plugins_task_is_read_without_keras(site, in_process):
    project, folder = site
    env = environment(folder)
    env["PYTHONPATH"] = f"{project}:{env['PYTHONPATH']}"
    out = in_process(
        "import sys\n"
        "from kvzoo.cli.verbs import cli\n"
        "for words in (['info', 'metering'], ['info', 'squared_error'], ['list', 'light*']):\n"
        "    cli(words, standalone_mode=False)\n"
        "print([m for m in ('keras', 'tensorflow', 'numpy', 'bright_zoo.task') if m in sys.modules])\n",
        env=env,
    )
    assert "offset       stops, mean error; lower is better" in out
    assert "  tasks          metering\n" in out
    assert out.splitlines()[-1] == "[]"
