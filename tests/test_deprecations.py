"""Old names: still accepted wherever a name is read, with one warning, and listed nowhere; runs of 0.1 go on."""

import dataclasses
import json
import logging
import shutil
from pathlib import Path

import pytest
from conftest import ROOT

import kvzoo
from kvzoo import catalog, deprecations
from kvzoo.errors import InputError, UnknownNameError
from kvzoo.options import check_options
from kvzoo.recipe.explain import explained_run
from kvzoo.recipe.resolve import current, load
from kvzoo.registry import ModelSpec, Option, SourceSpec
from kvzoo.run import checkpoint
from kvzoo.run.folder import RunFolder
from kvzoo.run.history import History
from kvzoo.run.resume import check_changes

RUNS = ROOT / "tests" / "reference" / "runs_0.1"  # made by kvzoo 0.1.0, whose last commit before renaming was 275580e
RECIPE = """\
model: videogan
loss:
  name: adversarial
  {steps}: 3
data: {{source: moving_shapes}}
fit: {{steps: 1}}
"""


@pytest.fixture(autouse=True)
def warned_of_nothing(monkeypatch):
    monkeypatch.setattr(deprecations, "_warned", set())


@pytest.fixture
def warnings(caplog):
    """What was logged as a warning."""
    caplog.set_level(logging.WARNING, "kvzoo")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture
def renamed(monkeypatch):
    """Rename one thing of each kind, as a later version might."""
    monkeypatch.setattr(deprecations, "NAMES", {"model": {"gru": "gru_ae"}, "source": {"shapes": "moving_shapes"}})
    monkeypatch.setitem(deprecations.NAMES, "loss", {"squares": "mse"})
    monkeypatch.setitem(deprecations.NAMES, "sampler", {"cut": "window"})
    monkeypatch.setattr(deprecations, "KEYS", {"fit.every": "fit.sample_every", "fit.stop": "fit.early_stopping"})
    monkeypatch.setitem(deprecations.OPTIONS, ("model", "gru_ae"), {"hidden": "units"})
    monkeypatch.setitem(deprecations.OPTIONS, ("source", "moving_shapes"), {"count": "videos"})
    monkeypatch.setitem(deprecations.OPTIONS, ("sampler", "interpolate"), {"flip": "mirror"})


def write(folder: Path, text: str, name: str = "x.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


# Options


def test_old_and_new_options_resolve_to_the_same_recipe_with_one_warning(tmp_path, warnings):
    old = load(write(tmp_path, RECIPE.format(steps="critic_steps")))
    load(tmp_path / "x.yaml")
    assert warnings() == [f"kvzoo: {tmp_path}/x.yaml:4:3: loss.critic_steps is now loss.discriminator_steps"]
    new = load(write(tmp_path, RECIPE.format(steps="discriminator_steps")))
    assert old.values == new.values and old["loss"]["discriminator_steps"] == 3
    assert len(warnings()) == 1
    assert {key: str(place) for key, place in old.origins.items()} == {k: str(p) for k, p in new.origins.items()}


@pytest.mark.parametrize("in_recipe", ["critic_steps", "discriminator_steps"])
@pytest.mark.parametrize("override", ["critic_steps", "discriminator_steps"])
def test_an_override_wins_however_either_is_spelt(tmp_path, in_recipe, override):
    path = write(tmp_path, RECIPE.format(steps=in_recipe))
    recipe = load(path, [f"loss.{override}=5"])
    assert recipe["loss"]["discriminator_steps"] == 5
    assert str(recipe.origins["loss", "discriminator_steps"]) == f"-o loss.{override}=5"
    assert load(path, [f"loss={{name: adversarial, {override}: 7}}"])["loss"]["discriminator_steps"] == 7


@pytest.mark.parametrize("of_parent", ["critic_steps", "discriminator_steps"])
@pytest.mark.parametrize("of_child", ["critic_steps", "discriminator_steps"])
def test_a_child_wins_over_its_parent_however_either_is_spelt(tmp_path, of_parent, of_child):
    write(tmp_path, RECIPE.format(steps=of_parent), "parent.yaml")
    child = write(tmp_path, f"extends: parent.yaml\nloss: {{{of_child}: 4}}\n")
    assert load(child)["loss"]["discriminator_steps"] == 4


def test_both_spellings_at_once_are_refused(tmp_path):
    both = RECIPE.format(steps="discriminator_steps").replace("data:", "  critic_steps: 2\ndata:")
    with pytest.raises(InputError, match=r"x.yaml:5:3: loss.critic_steps: the old name of loss.discriminator_steps"):
        load(write(tmp_path, both))
    write(tmp_path, RECIPE.format(steps="critic_steps"), "parent.yaml")
    child = write(tmp_path, "extends: parent.yaml\nloss: {critic_steps: 2, discriminator_steps: 3}\n")
    with pytest.raises(InputError, match="the old name of loss.discriminator_steps, which is set too"):
        load(child)
    with pytest.raises(InputError, match="critic_steps is the old name of discriminator_steps, which is set too"):
        kvzoo.get("videogan", loss={"critic_steps": 2, "discriminator_steps": 2})


def test_unknown_options_get_the_nearest_new_name(tmp_path):
    for wrong in ("critic_step", "critics_steps", "discriminator_step"):
        with pytest.raises(InputError, match=rf"x.yaml:4:3: loss.{wrong}: .*did you mean loss.discriminator_steps"):
            load(write(tmp_path, RECIPE.format(steps=wrong)))
    with pytest.raises(InputError, match="did you mean discriminator_learning_rate"):
        kvzoo.get("videogan", loss={"critic_learning_rat": 1e-4})


def test_values_under_old_names_are_checked_where_they_stand(tmp_path):
    recipe = RECIPE.format(steps="critic_steps").replace("3", "0")
    with pytest.raises(InputError, match="x.yaml:4:3: loss.discriminator_steps: must be greater than or equal to 1"):
        load(write(tmp_path, recipe))


def test_code_may_use_old_options(warnings):
    options = {"frames": 16, "image_size": 16, "noise_dim": 2, "width": 1, "compile": False}
    model = kvzoo.get("videogan", loss={"name": "adversarial", "critic_steps": 2}, **options)
    assert model.discriminator_steps == 2
    assert warnings() == ["kvzoo: loss adversarial: critic_steps is now discriminator_steps"]


def test_a_plugins_own_option_of_an_old_name_stays_its_own(warnings):
    """Of a loss theirs:adversarial, which has the built-in one's name."""
    theirs = {"critic_steps": Option("int", 1)}
    assert check_options("loss", "adversarial", theirs, {"critic_steps": 3}) == {"critic_steps": 3}
    assert not warnings()


# Specs


def test_a_plugins_spec_may_use_old_fields(warnings):
    fields = {"name": "theirs", "builder": "m:f", "kind": "generator", "loss": "adversarial"}
    old = ModelSpec(**fields, critics={"video": "m:g"}, loss_options={"critic_steps": 2})
    new = ModelSpec(**fields, discriminators={"video": "m:g"}, loss_options={"critic_steps": 2})
    assert old == new and old.critics == old.discriminators == {"video": "m:g"}
    assert old.loss_settings(None) == {"discriminator_steps": 2, "name": "adversarial"}
    assert old.loss_settings({"critic_steps": 3}) == {"discriminator_steps": 3, "name": "adversarial"}
    assert warnings() == [
        "kvzoo: model theirs: critics is now discriminators",
        "kvzoo: model theirs: loss_options: critic_steps is now discriminator_steps",
    ]
    record = json.loads(json.dumps(new.to_json()))
    record["critics"] = record.pop("discriminators")
    assert ModelSpec.from_json(record) == dataclasses.replace(new) == new
    with pytest.raises(InputError, match="critics is the old name of discriminators, which is set too"):
        ModelSpec(**fields, critics={}, discriminators={})


def test_functions_are_found_by_their_old_names(warnings):
    from kvzoo.losses.base import to_chances, to_probabilities
    from kvzoo.models import pix2pix, videogan
    from kvzoo.registry import load_object

    assert videogan.videogan_critic is videogan.videogan_discriminator
    assert load_object("kvzoo.models.pix2pix:pix2pix_critic") is pix2pix.pix2pix_discriminator
    assert to_chances is to_probabilities
    assert warnings()[0] == "kvzoo: kvzoo.models.videogan: videogan_critic is now videogan_discriminator"
    with pytest.raises(AttributeError, match="no attribute 'videogan_judge'"):
        videogan.videogan_judge  # noqa: B018
    for path, new in deprecations.OBJECTS.items():
        assert load_object(path).__name__ == new


# Names and keys, of which no built-in one has been renamed yet


@pytest.mark.usefixtures("renamed")
def test_renamed_names_and_keys_resolve_to_the_same_recipe(tmp_path, warnings):
    text = (
        "model: {{name: {0}, {1}: 12}}\nloss: {2}\ndata:\n  source: {3}\n  {4}: 9\n  sampler: {5}\n"
        "  tests: {{more: {{source: {3}, {4}: 3}}}}\nfit: {{steps: 1, {6}: 5, {7}: {{patience: 3}}}}\n"
    )
    old_names = ("gru", "hidden", "squares", "shapes", "count", "cut", "every", "stop")
    new_names = ("gru_ae", "units", "mse", "moving_shapes", "videos", "window", "sample_every", "early_stopping")
    old, new = (load(write(tmp_path, text.format(*names), "x.yaml")) for names in (old_names, new_names))
    assert old.values == new.values
    assert len(warnings()) == len(old_names)
    assert f"kvzoo: {tmp_path}/x.yaml:1:9: model.name: gru is now gru_ae" in warnings()
    assert f"kvzoo: {tmp_path}/x.yaml:8:17: fit.every is now fit.sample_every" in warnings()
    overrides = ["fit.stop.patience=4", "fit.every=2", "data.count=7", "model.hidden=13", "data.tests.more.count=2"]
    changed = load(tmp_path / "x.yaml", overrides)
    assert changed["fit"]["early_stopping"]["patience"] == 4 and changed["fit"]["sample_every"] == 2
    assert changed["data"]["videos"] == 7 and changed["data"]["tests"]["more"]["videos"] == 2
    assert changed["model"]["units"] == 13
    assert load(tmp_path / "x.yaml", ["model=gru"])["model"]["name"] == "gru_ae"
    child = write(tmp_path, "extends: x.yaml\nmodel: {name: gru, latent_dim: 5}\n", "child.yaml")
    assert load(child)["model"]["units"] == 12  # the same model by another name: its options stay


@pytest.mark.usefixtures("renamed")
def test_a_renamed_name_is_found_and_not_listed(warnings):
    assert catalog.MODELS.get("gru") is catalog.MODELS.get("gru_ae")
    assert warnings() == ["kvzoo: the model gru is now gru_ae"]
    assert "gru" not in catalog.list_models()
    with pytest.raises(UnknownNameError, match="did you mean moving_shapes"):
        catalog.SOURCES.get("shapess")
    assert (
        check_options("source", "moving_shapes", catalog.SOURCES.get("moving_shapes").options, {"count": 4})["videos"]
        == 4
    )


@pytest.mark.usefixtures("renamed")
def test_a_name_that_something_still_has_is_no_old_one(monkeypatch, warnings):
    monkeypatch.setattr(catalog.SOURCES, "_own", dict(catalog.SOURCES._own))
    theirs = SourceSpec(name="shapes", builder="m:f")
    catalog.register(theirs)
    assert catalog.SOURCES.get("shapes") is theirs and not warnings()


# Runs of 0.1


@pytest.mark.parametrize("name", ["small_gan", "small_translator", "small_classifier"])
def test_a_lock_of_0_1_is_a_recipe_and_its_run_has_not_changed(name, warnings):
    folder = RunFolder(RUNS / name)
    recipe = folder.recipe()
    record = {"recipe": _values_of_0_1(folder)}
    assert check_changes(folder, recipe, record, False) == {}
    assert current(record["recipe"]) == recipe.values
    # Where values came from when the run began is known under the new names too.
    origins = {".".join(map(str, keys)): origin for keys, _, origin in explained_run(recipe)}
    if name == "small_gan":
        assert origins["loss.discriminator_steps"] == "small_gan.yaml:2:92"
        assert len(warnings()) == 2
    else:
        assert not warnings()


def _values_of_0_1(folder: RunFolder) -> dict:
    from ruamel.yaml import YAML

    values = YAML(typ="safe", pure=True).load((folder.path / "recipe.lock.yaml").read_text())
    del values["lock"]
    return values


def test_a_run_of_0_1_is_resumed_to_what_it_became(tmp_path):
    """The GAN's checkpoint has the old keys in its recipe and in its variables' paths."""
    run = shutil.copytree(RUNS / "small_gan", tmp_path / "run")
    (run / "samples").mkdir()
    record, arrays = checkpoint.read_newest(run / "checkpoints")
    assert record["step"] == 2 and "critic_steps" in record["recipe"]["loss"]
    assert any("critic" in name for name in arrays)
    expected = History(RunFolder(run), upto=4).rows
    assert len(expected) == 3
    rows = kvzoo.resume(run).history
    assert rows[:2] == expected[:2]
    assert rows[2] == pytest.approx(expected[2], rel=1e-2, abs=1e-3)
    with pytest.raises(InputError, match=r"loss.discriminator_steps is 3, but was 2"):
        kvzoo.resume(run, ["fit.steps=6", "loss.critic_steps=3"])
    # The new checkpoint has today's keys, which the old lock file's equal.
    model = kvzoo.resume(run, ["fit.steps=6", "loss.critic_learning_rate=0.001"]).model
    rate = model.optimizer.players["discriminator"].learning_rate
    assert float(rate) == pytest.approx(0.001)
