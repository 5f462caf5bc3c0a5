"""Recipes: what they may say, what is refused and where, and that a resolved one reads back the same."""

import inspect
import io
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutation import RICH, WORDS, mutated

from kvzoo import catalog, keras_names
from kvzoo.errors import InputError
from kvzoo.recipe.resolve import SMOKE, SMOKE_KEEPS, load, shipped_recipes, to_yaml
from kvzoo.recipe.text import LARGEST_RECIPE
from kvzoo.registry import LossSpec, ModelSpec, Option, SourceSpec

SMALL = """\
model: gru_ae
data: {source: stick_actions}
fit:
  steps: 50
"""

SHIPPED = [text for p in shipped_recipes() if "extends:" not in (text := p.read_text(encoding="utf-8"))]


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch):
    """What happens to be installed here is not what is tested."""
    monkeypatch.setenv("KVZOO_PLUGINS", "")


@pytest.fixture
def own_registries(monkeypatch):
    """Registrations of a test are forgotten after it."""
    for registry in catalog.REGISTRIES.values():
        monkeypatch.setattr(registry, "_own", dict(registry._own))


@pytest.fixture
def write(tmp_path):
    """Write a recipe file and return its path."""

    def write(text: str | bytes, name: str = "r.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def refusal(path, overrides=(), **options) -> str:
    """Return what is said of a recipe that must be refused."""
    with pytest.raises(InputError) as caught:
        load(path, overrides, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def model(text: str) -> str:
    return SMALL.replace("gru_ae", text)


def data(text: str) -> str:
    return SMALL.replace("{source: stick_actions}", text)


def fit(line: str) -> str:
    return f"{SMALL}  {line}\n"


def test_a_small_recipe_resolves_to_every_value(write):
    recipe = load(write(SMALL, "small.yaml"))
    spec = catalog.MODELS.get("gru_ae")
    assert recipe.name == "small"
    assert recipe["model"] == {"name": "gru_ae", **spec.defaults}
    assert recipe["loss"] == {"name": "mse"}
    assert recipe["data"].items() >= catalog.SOURCES.get("stick_actions").defaults.items()
    assert recipe["data"]["sampler"] == {"name": "window"}
    assert recipe["data"]["validation"] == 0.2
    assert recipe["fit"]["optimizer"].items() >= {"name": "adam", "learning_rate": 1e-4, "beta_1": 0.9}.items()
    assert recipe["fit"]["l2"] == spec.l2
    assert (recipe["fit"]["steps"], recipe["fit"]["epochs"], recipe["fit"]["seed"]) == (50, None, 0)
    assert recipe["callbacks"] == []
    assert recipe.lock == {}
    assert recipe.model_spec is spec
    assert recipe.loss_spec is catalog.LOSSES.get("mse")


def test_a_rich_recipe_keeps_what_it_says(write):
    recipe = load(write(RICH))
    rate = {"initial_learning_rate": 1e-3, "decay_steps": 20, "warmup_steps": 5, "warmup_target": 2e-3, "alpha": 0.0}
    assert recipe["fit"]["optimizer"]["learning_rate"] == {"name": "CosineDecay", **rate}
    assert recipe["fit"]["optimizer"]["weight_decay"] == 0.004
    assert recipe["fit"]["optimizer"]["clipnorm"] == 1.0
    assert recipe["fit"]["l2"] == 0.0
    assert recipe["data"]["validation"] == ["person001"]
    assert recipe["data"]["tests"]["far"].items() >= {"seed": 7, "seconds": 1.0, "sampler": {"name": "window"}}.items()


@pytest.mark.parametrize("path", shipped_recipes(), ids=lambda p: p.stem)
def test_shipped_recipes_resolve(path):
    recipe = load(path, check_paths=False)
    assert recipe.name == path.stem
    assert load(path.stem, check_paths=False).values == recipe.values


# text, line and column, key, what is said
REFUSED = {
    "key": (fit("step: 5"), "5:3", "fit.step", "unknown key; did you mean fit.steps"),
    "key at the top": (SMALL + "modl: x\n", "5:1", "modl", "unknown key; did you mean model"),
    "key of another section": (SMALL + "batch_size: 4\n", "5:1", "batch_size", "did you mean fit.batch_size"),
    "key of a model": (model("{name: gru_ae, widht: 8}"), "1:23", "model.widht", "did you mean model.width"),
    "key of a source": (data("{source: stick_actions, vidoes: 8}"), "2:31", "data.vidoes", "did you mean data.videos"),
    "key of an optimizer": (
        fit("optimizer: {name: adam, beta1: 0.5}"),
        "5:27",
        "fit.optimizer.beta1",
        "did you mean fit.optimizer.beta_1",
    ),
    "key of a schedule": (
        fit("optimizer: {name: adam, learning_rate: {name: CosineDecay, initial_learning_rate: 1, decay_step: 3}}"),
        "5:88",
        "fit.optimizer.learning_rate.decay_step",
        "did you mean fit.optimizer.learning_rate.decay_steps",
    ),
    "type": (SMALL.replace("50", "fifty"), "4:3", "fit.steps", "integer. Received: 'fifty'"),
    "a fraction": (SMALL.replace("50", "1.5"), "4:3", "fit.steps", "integer. Received: 1.5"),
    "true is no number": (SMALL.replace("50", "true"), "4:3", "fit.steps", "integer. Received: True"),
    "zero steps": (SMALL.replace("50", "0"), "4:3", "fit.steps", "greater than 0. Received: 0"),
    "infinity": (fit("l2: .inf"), "5:3", "fit.l2", "finite number. Received: inf"),
    "negative seed": (fit("seed: -1"), "5:3", "fit.seed", "Received: -1"),
    "choice": (fit("precision: float64"), "5:3", "fit.precision", "'float32', 'mixed_float16'"),
    "half-precision weights": (fit("precision: bfloat16"), "5:3", "fit.precision", "mixed_bfloat16 computes in it"),
    "a pair of sizes": (model("{name: gru_ae, image_size: [32, 48]}"), "1:23", "model.image_size", "valid integer"),
    "a wrong pair": (
        model("{name: flow_interpolator, image_size: [32, 20]}"),
        "1:34",
        "model.image_size",
        "must be an integer or [height, width], at least 8 and divisible by 8. Received: [32, 20]",
    ),
    "a list for a mapping": (model("[gru_ae]"), "1:1", "model", "Received: ['gru_ae']"),
    "a word for a list": (SMALL + "callbacks: x\n", "5:1", "callbacks", "list. Received: 'x'"),
    "model": (model("gru_a"), "1:1", "model.name", "unknown model 'gru_a'; did you mean gru_ae"),
    "model in full": (model("{name: gru_a}"), "1:9", "model.name", "unknown model 'gru_a'; did you mean gru_ae"),
    "plugin's model": (model("'their-zoo:x'"), "1:1", "model.name", "no plugin 'their-zoo' is installed"),
    "loss": (SMALL + "loss: msee\n", "5:1", "loss.name", "unknown loss 'msee'; did you mean mse"),
    "source": (data("{source: stik_actions}"), "2:8", "data.source", "'stik_actions'; did you mean stick_actions"),
    "sampler": (
        data("{source: stick_actions, sampler: windw}"),
        "2:31",
        "data.sampler.name",
        "unknown sampler 'windw'; did you mean window",
    ),
    "optimizer": (fit("optimizer: adm"), "5:3", "fit.optimizer.name", "unknown optimizer 'adm'; did you mean adam"),
    "schedule": (
        fit("optimizer: {name: adam, learning_rate: {name: CosinDecay}}"),
        "5:43",
        "fit.optimizer.learning_rate.name",
        "unknown schedule 'CosinDecay'; did you mean CosineDecay",
    ),
    "callback": (SMALL + "callbacks: [{name: x}]\n", "5:14", "callbacks.0.name", "unknown callback 'x'"),
    "optimizer that is no word": (fit("optimizer: {name: [adam]}"), "5:15", "fit.optimizer.name", "['adam']"),
    "schedule that is no word": (
        fit("optimizer: {name: adam, learning_rate: {name: {a: 1}}}"),
        "5:43",
        "fit.optimizer.learning_rate.name",
        "{'a': 1}",
    ),
    "model without a name": (model("{width: 8}"), "1:1", "model.name", "must be the name of a model"),
    "source without a name": (data("{videos: 8}"), "2:1", "data.source", "stick_actions"),
    "image size": (
        model("{name: gru_ae, image_size: 50}"),
        "1:23",
        "model.image_size",
        "must be a multiple of 16. Received: 50",
    ),
    "channels": (model("{name: gru_ae, channels: 2}"), "1:23", "model.channels", "must be 1 or 3. Received: 2"),
    "path not there": (data("{source: strips, path: not_here}"), "2:24", "data.path", "no such file or folder: /"),
    "path not given": (data("{source: strips}"), "2:1", "data.path", "required key is missing"),
    "path of a test set": (
        data("{source: stick_actions, tests: {far: {source: strips, path: not_here}}}"),
        "2:61",
        "data.tests.far.path",
        "no such file or folder: /",
    ),
    "source of a test set": (
        data("{source: stick_actions, tests: {far: {source: x}}}"),
        "2:45",
        "data.tests.far.source",
        "unknown source 'x'",
    ),
    "test sets in a list": (data("{source: stick_actions, tests: [a]}"), "2:31", "data.tests", "a mapping of names"),
    "regular expression": (
        data("{source: stick_actions, group: '('}"),
        "2:31",
        "data.group",
        "not a regular expression: missing )",
    ),
    "huge regular expression": (
        data("{source: stick_actions, group: 'a{99999999999}'}"),
        "2:31",
        "data.group",
        "not a regular expression: ",
    ),
    "validation of one": (data("{source: stick_actions, validation: 1}"), "2:31", "data.validation", "Received: 1"),
    "steps and epochs": (fit("epochs: 3"), "5:3", "fit.epochs", "either steps or epochs"),
    "neither steps nor epochs": (
        SMALL.replace("steps: 50", "seed: 1"),
        "3:1",
        "fit",
        "required key is missing: steps or epochs",
    ),
    "no fit": (
        "model: gru_ae\ndata: {source: stick_actions}\n",
        "1:1",
        "fit",
        "required key is missing: steps or epochs",
    ),
    "no model": ("data: {source: stick_actions}\nfit: {steps: 1}\n", "1:1", "model", "required key is missing"),
    "learning rate": (
        fit("optimizer: {name: adam, learning_rate: fast}"),
        "5:27",
        "fit.optimizer.learning_rate",
        "must be a number, at least 0, or a schedule {name: …}. Received: 'fast'",
    ),
    "negative learning rate": (
        fit("optimizer: {name: adam, learning_rate: -1}"),
        "5:27",
        "fit.optimizer.learning_rate",
        "Received: -1",
    ),
    "huge learning rate": (
        fit(f"optimizer: {{name: adam, learning_rate: 1{'0' * 400}}}"),
        "5:27",
        "fit.optimizer.learning_rate",
        "Received: 1000",
    ),
    "huge seed": (fit(f"seed: 0x{'f' * 5000}"), "5:3", "fit.seed", "2147483648"),
    "decay of epochs": (
        SMALL.replace("steps: 50", "epochs: 5")
        + "  optimizer: {name: sgd, learning_rate: {name: CosineDecay, initial_learning_rate: 1}}\n",
        "5:26",
        "fit.optimizer.learning_rate.decay_steps",
        "required key is missing (no default with fit.epochs)",
    ),
    "two kinds of clipping": (
        fit("optimizer: {name: adam, clipnorm: 1, clipvalue: 1}"),
        "5:",
        "fit.optimizer",
        "clipvalue",
    ),
    "values that do not fit boundaries": (
        fit("optimizer: {name: sgd, learning_rate: {name: PiecewiseConstantDecay, boundaries: [1], values: [1]}}"),
        "5:",
        "fit.optimizer.learning_rate",
        "values",
    ),
    "home of nobody": (data("{source: strips, path: ~nobody_at_all/x}"), "2:24", "data.path", "no such"),
    "key given twice": (SMALL + "  steps: 60\n", "5:3", "fit.steps", "duplicate key"),
    "section given twice": (SMALL + "model: gru_ae\n", "5:1", "model", "duplicate key"),
    "lock that is no mapping": (SMALL + "lock: 3\n", "5:1", "lock", "must be a mapping"),
    "extends no path": (SMALL + "extends: [a]\n", "5:1", "extends", "must be a path"),
    "extends nothing": (SMALL + "extends: gone.yaml\n", "5:1", "extends", "no such file: /"),
    "extends a null byte": (SMALL + 'extends: "a\\0b"\n', "5:1", "extends", "no such file"),
    "extends too long a name": (SMALL + f"extends: {'a' * 5000}\n", "5:1", "extends", "no such file"),
    "extends itself": (SMALL + "extends: r.yaml\n", "5:1", "extends", "leads back"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_refused_at_its_place(case, write):
    text, place, key, said = REFUSED[case]
    path = write(text)
    message = refusal(path)
    where, found, rest = message.partition(f": {key}")
    assert found, message
    assert where.startswith(f"{path}:{place}") if place.endswith(":") else where == f"{path}:{place}"
    assert said in rest


def test_a_key_that_nothing_is_like_gets_the_keys_of_its_own_section(write):
    assert refusal(write(fit("qqq: 1"))).endswith(
        "fit.qqq: unknown key; known: batch_size, best, checkpoint_every, early_stopping, epochs, jit_compile, keep, l2, "
        "optimizer, precision, sample_every, seed, steps, validation_clips, validation_freq"
    )


@pytest.mark.usefixtures("own_registries")
def test_a_loss_for_another_kind_of_model(write):
    catalog.register(ModelSpec(name="judge", builder="m:f", kind="classifier", loss="judging"))
    catalog.register(LossSpec(name="judging", builder="m:f", kinds=("classifier", "generator")))
    path = write(SMALL + "loss: judging\n")
    assert refusal(path) == (
        f"{path}:5:1: loss: the loss judging supports only classifier and generator models; gru_ae is a reconstructor"
    )
    message = refusal(write(model("judge")), ["loss=mse"])
    assert message == "-o loss=mse: loss: the loss mse supports only reconstructor models; judge is a classifier"
    assert load(write(model("judge")))["loss"] == {"name": "judging"}


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (SMALL, model("{name: gru_ae}")),
        (SMALL + "loss: mse\n", SMALL + "loss: {name: mse}\n"),
        (data("{source: stick_actions, sampler: window}"), data("{source: stick_actions, sampler: {name: window}}")),
        (fit("optimizer: sgd"), fit("optimizer: {name: sgd}")),
        (SMALL + "loss:\n", SMALL + "loss: {name: mse}\n"),
        (
            data("{source: stick_actions, tests: {far: {source: stick_actions, sampler: window}}}"),
            data("{source: stick_actions, tests: {far: {source: stick_actions, sampler: {name: window}}}}"),
        ),
    ],
)
def test_shorthands(short, long, write):
    assert load(write(short)).values == load(write(long)).values


def test_the_reference_optimizer_keeps_its_settings_and_another_does_not(write):
    assert load(write(fit("optimizer: adam")))["fit"]["optimizer"]["learning_rate"] == 1e-4
    assert load(write(fit("optimizer: sgd")))["fit"]["optimizer"]["learning_rate"] == 1e-3
    nameless = load(write(fit("optimizer: {learning_rate: 0.5}")))["fit"]["optimizer"]
    assert (nameless["name"], nameless["learning_rate"]) == ("adam", 0.5)


@pytest.mark.parametrize("text", ["1e-4", "1.0e-4", "0.0001", "1E-4", "+1e-4"])
def test_numbers_as_people_write_them(text, write):
    assert load(write(fit(f"optimizer: {{name: adam, learning_rate: {text}}}")))["fit"]["optimizer"][
        "learning_rate"
    ] == pytest.approx(1e-4)


def test_an_int_is_a_float_where_one_is_wanted_and_true_is_not(write):
    seconds = load(write(data("{source: stick_actions, seconds: 3}")))["data"]["seconds"]
    assert (seconds, type(seconds)) == (3.0, float)
    assert "data.seconds" in refusal(write(data("{source: stick_actions, seconds: true}")))


class TestExtends:
    def test_a_child_lays_its_values_over_its_parents(self, write):
        write(RICH, "base/parent.yaml")
        child = load(write("extends: base/parent.yaml\nfit: {steps: 7}\nmodel: {width: 8}\n"))
        parent = load(write(RICH))
        assert child.name == "r"
        assert child["fit"] == {**parent["fit"], "steps": 7, "optimizer": child["fit"]["optimizer"]}
        assert child["fit"]["optimizer"]["learning_rate"]["decay_steps"] == 7
        assert child["model"] == {**parent["model"], "width": 8}
        assert (child["data"], child["loss"]) == (parent["data"], parent["loss"])

    def test_a_chain(self, write):
        write(SMALL, "a.yaml")
        write("extends: a.yaml\nfit: {steps: 60, seed: 3}\n", "b.yaml")
        recipe = load(write("extends: b.yaml\nfit: {steps: 70}\n", "c.yaml"))
        assert (recipe["fit"]["steps"], recipe["fit"]["seed"], recipe["model"]["name"]) == (70, 3, "gru_ae")

    def test_null_takes_a_parents_value_back(self, write):
        write(SMALL, "parent.yaml")
        recipe = load(write("extends: parent.yaml\nfit: {steps: null, epochs: 2}\n"))
        assert (recipe["fit"]["steps"], recipe["fit"]["epochs"]) == (None, 2)

    @pytest.mark.usefixtures("own_registries")
    def test_another_model_replaces_the_section(self, write):
        catalog.register(ModelSpec(name="other", builder="m:f", options={"depth": Option("int", 3)}))
        write(RICH, "parent.yaml")
        assert load(write("extends: parent.yaml\nmodel: other\n"))["model"] == {"name": "other", "depth": 3}
        assert load(write("extends: parent.yaml\nmodel: gru_ae\n"))["model"]["width"] == 4

    def test_another_source_or_optimizer_replaces_the_section(self, write):
        write(RICH, "parent.yaml")
        recipe = load(write("extends: parent.yaml\ndata: {source: strips, path: .}\nfit: {optimizer: sgd}\n"))
        assert recipe["data"]["source"] == "strips"
        assert (recipe["data"]["group"], recipe["data"]["tests"]) == (None, {})
        assert recipe["fit"]["optimizer"]["learning_rate"] == 1e-3
        assert recipe["fit"]["batch_size"] == 4

    def test_another_schedule_replaces_the_schedule(self, write):
        write(RICH, "parent.yaml")
        rate = "{name: ExponentialDecay, initial_learning_rate: 1, decay_rate: 0.5}"
        recipe = load(write(f"extends: parent.yaml\nfit: {{optimizer: {{learning_rate: {rate}}}}}\n"))
        assert recipe["fit"]["optimizer"]["learning_rate"] == {
            "name": "ExponentialDecay",
            "initial_learning_rate": 1.0,
            "decay_steps": 20,
            "decay_rate": 0.5,
            "staircase": False,
        }

    def test_another_source_replaces_a_test_set(self, write):
        write(RICH, "parent.yaml")
        recipe = load(write("extends: parent.yaml\ndata: {tests: {far: {source: strips, path: .}}}\n"))
        assert recipe["data"]["tests"]["far"]["source"] == "strips"

    def test_a_cycle_is_named_where_it_closes(self, write, tmp_path):
        write("extends: b.yaml\n", "a.yaml")
        write("seed: 1\nextends: c.yaml\n", "b.yaml")
        write("extends: a.yaml\n", "c.yaml")
        assert refusal(tmp_path / "a.yaml") == f"{tmp_path}/c.yaml:1:1: extends: a.yaml leads back to this recipe"

    def test_a_parents_mistake_is_said_at_the_parents_place(self, write, tmp_path):
        write(fit("step: 3"), "parent.yaml")
        assert refusal(write("extends: parent.yaml\nfit: {steps: 5}\n")).startswith(
            f"{tmp_path}/parent.yaml:5:3: fit.step: unknown key"
        )

    def test_a_childs_mistake_is_said_at_the_childs_place(self, write):
        write(RICH, "parent.yaml")
        path = write("extends: parent.yaml\nmodel:\n  image_size: 50\n")
        assert refusal(path).startswith(f"{path}:3:3: model.image_size: must be a multiple of 16")

    def test_a_replaced_mistake_is_none(self, write):
        write(SMALL.replace("50", "many"), "parent.yaml")
        assert load(write("extends: parent.yaml\nfit: {steps: 5}\n"))["fit"]["steps"] == 5


class TestOverrides:
    def test_nested_values_lists_and_the_last_word(self, write):
        recipe = load(
            write(SMALL),
            [
                "fit.steps=7",
                "fit.steps=8",
                "model.width=8",
                "data.validation=[person001, person002]",
                "data.tests.far.source=stick_actions",
                "data.group='(p\\d+)'",
                "fit.optimizer={name: sgd, momentum: 0.5}",
                "fit.optimizer.learning_rate=1e-2",
            ],
        )
        assert (recipe["fit"]["steps"], recipe["model"]["width"]) == (8, 8)
        assert recipe["data"]["validation"] == ["person001", "person002"]
        assert recipe["data"]["tests"]["far"]["videos"] == 240
        assert recipe["data"]["group"] == r"(p\d+)"
        assert recipe["fit"]["optimizer"].items() >= {"name": "sgd", "momentum": 0.5, "learning_rate": 0.01}.items()

    def test_shorthands(self, write):
        recipe = load(write(RICH), ["model=gru_ae", "loss=mse", "data.sampler=window", "fit.optimizer=sgd"])
        assert recipe["model"]["width"] == 32
        assert recipe["fit"]["optimizer"]["name"] == "sgd"

    def test_a_learning_rate_alone_keeps_the_models_optimizer(self, write):
        optimizer = load(write(SMALL), ["fit.optimizer.learning_rate=0.5"])["fit"]["optimizer"]
        assert (optimizer["name"], optimizer["learning_rate"]) == ("adam", 0.5)

    @pytest.mark.parametrize("override", ["fit.steps", "", "=3", " =3", "fit.steps:3"])
    def test_no_key_or_no_value(self, override, write):
        assert refusal(write(SMALL), [override]) == f"-o {override}: must be key=value, such as fit.steps=50"

    @pytest.mark.parametrize(
        ("override", "said"),
        [
            ("fit.stps=3", "fit.stps: unknown key; did you mean fit.steps"),
            ("fit..steps=3", "fit.: unknown key"),
            ("loss.l1_weight=3", "loss.l1_weight: the loss mse has no such option; conditional has it"),
            ("data.path=x", "data.path: the source stick_actions has no such option; spliced_strips, strips, frames,"),
            ("fit.steps.x=3", "fit.steps: must be a valid integer. Received: {'x': 3}"),
            ("fit.steps=many", "fit.steps: must be a valid integer. Received: 'many'"),
            ("fit=3", "fit: must be a valid dictionary"),
            ("model=gru_a", "model.name: unknown model 'gru_a'; did you mean gru_ae"),
            ("extends=x.yaml", "extends: unknown key"),
            ("lock.data=x", "lock: unknown key"),
            ("callbacks.0=x", "callbacks: must be a valid list"),
        ],
    )
    def test_mistakes_are_said_at_the_override(self, override, said, write):
        assert refusal(write(SMALL), [override]).startswith(f"-o {override}: {said}")

    @pytest.mark.parametrize("value", ["[", "!!python/object/apply:os.system [ls]", "&a 1", "*a", "{a: 1, a: 2}"])
    def test_values_are_plain_yaml(self, value, write):
        assert refusal(write(SMALL), [f"fit.steps={value}"]).startswith(f"-o fit.steps={value}:1:")


class TestPaths:
    @pytest.fixture(autouse=True)
    def folders(self, tmp_path, monkeypatch):
        for folder in ("recipes/clips", "here/clips", "here/more"):
            (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "recipes/list.csv").write_text("path\n")
        monkeypatch.chdir(tmp_path / "here")

    def test_a_recipes_paths_are_relative_to_it(self, write, tmp_path):
        text = data("{source: videos, path: clips, csv: list.csv, tests: {far: {source: strips, path: clips}}}")
        write(text, "recipes/r.yaml")
        for path in (tmp_path / "recipes/r.yaml", "../recipes/r.yaml"):
            section = load(path)["data"]
            assert os.path.samefile(section["path"], tmp_path / "recipes/clips")
            assert os.path.samefile(section["csv"], tmp_path / "recipes/list.csv")
            assert os.path.samefile(section["tests"]["far"]["path"], tmp_path / "recipes/clips")
            assert all(os.path.isabs(p) for p in (section["path"], section["csv"], section["tests"]["far"]["path"]))

    def test_a_parents_paths_are_relative_to_the_parent(self, write, tmp_path):
        write(data("{source: strips, path: clips}"), "recipes/parent.yaml")
        recipe = load(write("extends: ../recipes/parent.yaml\n", "here/r.yaml"))
        assert os.path.samefile(recipe["data"]["path"], tmp_path / "recipes/clips")

    @pytest.mark.parametrize(
        "overrides",
        [
            ["data.path=clips"],
            ["data.source=strips", "data.path=./clips"],
            ["data={source: strips, path: clips}"],
        ],
    )
    def test_an_overrides_path_is_relative_to_the_current_folder(self, overrides, write, tmp_path):
        path = write(data("{source: strips, path: elsewhere}"), "recipes/r.yaml")
        found = load(path, overrides)["data"]["path"]
        assert os.path.isabs(found)
        assert os.path.samefile(found, tmp_path / "here/clips")

    @pytest.mark.parametrize("override", ["data.tests.far.path=more", "data.tests.far={source: strips, path: more}"])
    def test_so_is_that_of_a_test_set(self, override, write, tmp_path):
        path = write(data("{source: stick_actions, tests: {far: {source: strips, path: x}}}"), "recipes/r.yaml")
        found = load(path, [override])["data"]["tests"]["far"]["path"]
        assert os.path.isabs(found)
        assert os.path.samefile(found, tmp_path / "here/more")

    def test_home_and_absolute_paths(self, write, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path / "here"))
        assert load(write(data("{source: strips, path: ~/more}")))["data"]["path"] == str(tmp_path / "here/more")
        assert load(write(data(f"{{source: strips, path: {tmp_path}}}")))["data"]["path"] == str(tmp_path)
        assert load(write(SMALL), ["data.source=strips", "data.path=~/more"])["data"]["path"].endswith("here/more")

    @pytest.mark.usefixtures("own_registries")
    def test_whatever_its_name_an_option_of_type_path_is_one(self, write, tmp_path):
        catalog.register(SourceSpec(name="theirs", builder="m:f", options={"folder": Option("path", required=True)}))
        path = write(data("{source: theirs, folder: clips}"), "recipes/r.yaml")
        assert os.path.samefile(load(path)["data"]["folder"], tmp_path / "recipes/clips")

    def test_paths_need_not_be_there_where_only_the_model_is_wanted(self, write):
        path = write(data("{source: strips, path: gone}"))
        assert load(path, check_paths=False)["data"]["path"] == str(path.parent / "gone")


class TestText:
    @pytest.mark.parametrize(
        ("text", "place", "said"),
        [
            ("", ":1:1", "a recipe must be a mapping of keys to values. Received: NoneType"),
            ("- a\n", ":1:1", "a recipe must be a mapping of keys to values. Received: list"),
            ("just words", ":1:1", "a recipe must be a mapping of keys to values. Received: str"),
            ("model: [", ":1:9", "not YAML: "),
            ("model: gru_ae\n\tfit: 3\n", ":2:1", "not YAML: found character '\\t'"),
            ("a: 1\n---\nb: 1\n", ":2:1", "not YAML: but found another document"),
            ("fit: {steps: !!python/object/apply:os.system [ls]}", ":1:14", "is not allowed: a recipe is plain data"),
            ("fit: !env HOME", ":1:6", "the tag '!env' is not allowed"),
            ("fit: !!binary aGk=", ":1:6", "the tag 'binary' is not allowed"),
            ("fit: !!set {a}", ":1:6", "is not allowed: a recipe is plain data"),
            ("fit: &f {steps: 1}\ndata: *f\n", ":1:6", "anchors and aliases are not allowed"),
            ("fit: *f", ":1:6", "not YAML: found undefined alias"),
            ("<<: {a: 1}\n", ":1:1", "is not allowed"),
            ("{fit: 1, 2: 3}", ":1:10", "keys must be strings. Received: 2"),
            ("? [a]\n: 3", ":1:3", "keys must be strings. Received: ['a']"),
            ("fit: {a: {b: 1, b: 2}}", ":1:17", "fit.a.b: duplicate key"),
            ("fit: !!int x", ":1:6", "not YAML: "),
            ("fit: !!bool x", ":1:6", "not YAML: "),
            ("fit: !!float ''", ":1:6", "not YAML: "),
            (f"fit: {'9' * 5000}", ":1:6", "not YAML: "),
            ("fit: a\x07b", "", "not YAML: unacceptable character #x0007"),
            ("a: " + "[" * 3000 + "]" * 3000, "", "not a recipe: nested too deeply"),
            ("a: " + "{a: " * 3000 + "}" * 3000, "", "not a recipe: nested too deeply"),
            (b"\xff\xfe\x00", "", "not a recipe: not UTF-8 text"),
            (SMALL.encode("utf-16"), "", "not a recipe: not UTF-8 text"),
            ("#" * (LARGEST_RECIPE + 1), "", f"not a recipe: larger than {LARGEST_RECIPE} bytes"),
        ],
        ids=range(26),
    )
    def test_what_is_no_recipe(self, text, place, said, write):
        path = write(text)
        message = refusal(path)
        assert message.startswith(f"{path}{place}: ")
        assert said in message

    @pytest.mark.parametrize(
        "text", ["\ufeff" + SMALL, SMALL.replace("\n", "\r\n"), "# größer\n---\n" + SMALL + "...\n"]
    )
    def test_what_editors_make_of_one_is_one(self, text, write):
        assert load(write(text)).values == load(write(SMALL, "plain.yaml")).values

    def test_no_such_recipe(self, tmp_path):
        assert refusal(tmp_path / "gru_a.yaml").startswith(
            f"{tmp_path}/gru_a.yaml: no such recipe; did you mean gru_ae"
        )
        assert refusal(tmp_path) == f"{tmp_path}: is a folder, not a recipe file"

    @pytest.mark.parametrize("name", ["a" * 5000, "a\0b", "recipe.yaml/r.yaml"])
    def test_names_that_no_file_can_have(self, name):
        assert "no such recipe" in refusal(name)


def as_lock(recipe, path: Path) -> Path:
    """Write a recipe as a run keeps it."""
    with open(path, "w", encoding="utf-8") as file:
        to_yaml({**recipe.values, "lock": {"recipe": recipe.name, "data": "abc"}}, file)
    return path


@pytest.mark.parametrize("source", [SMALL, RICH, *SHIPPED])
def test_a_lock_reads_back_to_the_same_recipe(source, write, tmp_path):
    recipe = load(write(source, "mine.yaml"), check_paths=False)
    (tmp_path / "run").mkdir()
    again = load(as_lock(recipe, tmp_path / "run" / "recipe.lock.yaml"), check_paths=False)
    assert again.values == recipe.values
    assert again.name == "mine"
    assert again.lock == {"recipe": "mine", "data": "abc"}


@given(texts=st.lists(st.text(), max_size=5), rate=st.floats(0, allow_infinity=False), seed=st.integers(0, 2**31 - 1))
@settings(max_examples=60, derandomize=True)
def test_any_value_reads_back_the_same(texts, rate, seed, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "values.yaml"
    path.write_text(SMALL)
    values = load(path).values
    values["data"]["validation"] = texts
    values["fit"]["optimizer"]["learning_rate"] = rate
    values["fit"]["seed"] = seed
    stream = io.StringIO()
    to_yaml(values, stream)
    path.write_text(stream.getvalue(), encoding="utf-8", newline="")
    assert load(path).values == values


@pytest.mark.parametrize("source", [RICH, SMALL.replace("steps: 50", "epochs: 500"), *SHIPPED])
def test_smoke_shrinks(source, write):
    path = write(source)
    whole, small = load(path, check_paths=False), load(path, smoke=True, check_paths=False)
    tiny = whole.model_spec.tiny
    assert small["fit"]["epochs"] is None
    for key, value in SMOKE.items():
        assert 0 < small["fit"][key] <= value
    for key in tiny.keys() - set(SMOKE_KEEPS):
        assert small["model"][key] == min(tiny[key], whole["model"][key])
    for key in set(SMOKE_KEEPS) & small["model"].keys():
        assert small["model"][key] == whole["model"][key]
    assert small["data"] == whole["data"]


def test_smoke_never_grows(write):
    tiny = (
        SMALL.replace("50", "2") + "  batch_size: 1\n  sample_every: 1\n  checkpoint_every: 1\n  validation_clips: 1\n"
    )
    small = load(write(tiny), smoke=True)["fit"]
    assert [small[k] for k in SMOKE] == [2, 1, 1, 1, 1]


WORDS += ["'", '"\\0"', '"\\ud800"', "\t", "\n", "\x85", "- ", ": ", "? ", "| ", "<<: ", "#", "{", "}", "[", "]", ","]
WORDS += ["!!bool x", "!!int ''", "!x y", "&a b", "*a", "---\n", "%YAML 1.1\n", "'a{99999999999}'", "~nobody/x"]
WORDS += ["name", "source", "path", "tests", "extends: r.yaml", "lock: {}", "strips", "sgd", "gru_ae", "CosineDecay"]


@given(text=mutated())
@settings(max_examples=150, derandomize=True)
def test_a_damaged_recipe_loads_or_is_refused(text, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    path = folder / "r.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    try:
        recipe = load(path, check_paths=False)
    except InputError as error:
        assert str(error).startswith(str(path))
        return
    assert load(as_lock(recipe, folder / "recipe.lock.yaml"), check_paths=False).values == recipe.values


class TestKerasNames:
    """The tables say of Keras what Keras says of itself."""

    OWN = {"name", "kwargs", "learning_rate", "loss_scale_factor"}  # not a recipe's to set, or set beside

    @pytest.fixture(scope="class")
    def optimizers(self):
        import keras

        return keras.optimizers

    @pytest.mark.parametrize("name", keras_names.OPTIMIZERS)
    def test_an_optimizers_options_are_keras_own(self, name, optimizers):
        class_name, options = keras_names.OPTIMIZERS[name]
        signature = inspect.signature(getattr(optimizers, class_name)).parameters
        assert {key: option.default for key, option in options.items()} == {
            key: parameter.default for key, parameter in signature.items() if key not in self.OWN
        }

    @pytest.mark.parametrize("name", keras_names.SCHEDULES)
    def test_a_schedules_options_are_keras_own(self, name, optimizers):
        options = keras_names.SCHEDULES[name]
        signature = dict(inspect.signature(getattr(optimizers.schedules, name)).parameters)
        signature.pop("name")
        assert set(options) == set(signature)
        for key, option in options.items():
            default = signature[key].default
            if default is inspect.Parameter.empty:
                # A decay lasts as long as the fit where a recipe does not say.
                assert option.required or key in ("decay_steps", "first_decay_steps")
            else:
                assert (option.required, option.default) == (False, default)

    @pytest.mark.parametrize("name", keras_names.OPTIMIZERS)
    def test_keras_takes_what_an_optimizers_limits_allow(self, name, optimizers):
        class_name, options = keras_names.OPTIMIZERS[name]
        for key, option in options.items():
            for value in {option.minimum, option.maximum} - {None}:
                made = getattr(optimizers, class_name)(**{key: float(value) if option.type == "float" else value})
                assert made.get_config()[key] == value

    @pytest.mark.parametrize("name", keras_names.SCHEDULES)
    def test_keras_takes_what_a_schedules_limits_allow(self, name, optimizers):
        options = keras_names.SCHEDULES[name]
        usual = {"initial_learning_rate": 0.1, "decay_rate": 0.5, "boundaries": [5], "values": [0.1, 0.2]}
        usual |= {"decay_steps": 10, "first_decay_steps": 10, "end_learning_rate": 0.01}
        for key, option in options.items():
            for value in {option.minimum, option.maximum} - {None}:
                given = {k: v for k, v in usual.items() if k in options}
                given[key] = float(value) if option.type == "float" else value
                schedule = getattr(optimizers.schedules, name)(**given)
                rates = [float(schedule(step)) for step in (0, 1, 10, 25)]
                assert all(math.isfinite(rate) and rate >= 0 for rate in rates), (key, value, rates)
