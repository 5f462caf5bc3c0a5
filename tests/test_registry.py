"""Names become specs: built-ins, specs from code, plugins' entry points, and what is said when they do not."""

import inspect
import json
from dataclasses import FrozenInstanceError, replace

import pytest
from distributions import environment, install, model_source

import kvzoo
from kvzoo import catalog
from kvzoo.errors import InputError, PluginError, UnknownNameError
from kvzoo.registry import KINDS, LossSpec, ModelSpec, OptimizerSpec, Option, Registry, SourceSpec

BUILT_IN = [entry.spec for registry in catalog.REGISTRIES.values() for entry in registry._own.values()]


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch):
    """What happens to be installed here is not what is tested; subprocesses allow their own."""
    monkeypatch.setenv("KVZOO_PLUGINS", "")
    monkeypatch.delenv("KVZOO_STRICT", raising=False)


@pytest.fixture
def own_registries(monkeypatch):
    """Registrations of a test are forgotten after it."""
    for registry in catalog.REGISTRIES.values():
        monkeypatch.setattr(registry, "_own", dict(registry._own))


def models(*names: str) -> Registry:
    return Registry(ModelSpec, tuple(ModelSpec(name=name, builder="m:f") for name in names))


@pytest.mark.parametrize("spec", BUILT_IN, ids=lambda s: f"{s.noun}-{s.name}")
def test_a_spec_survives_json(spec):
    again = type(spec).from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert again.to_json() == spec.to_json()


def test_a_spec_with_everything_set_survives_json():
    spec = ModelSpec(
        name="all",
        builder="m:f",
        summary="größer",
        options={"size": Option("int", 64, "pixels", 16, 512, 16, (32, 64)), "path": Option("path", required=True)},
        kind="classifier",
        loss="mse",
        discriminators={"video": "m:g"},
        tiny={"size": 32},
        optimizer={"name": "sgd", "learning_rate": 0.1},
        l2=0.1,
        parameters={"network": 2**40, "video": 1},
        macs=10**12,
        feature_layer="a",
        map_layer="b",
        causal=True,
        paper="p",
        article="q",
        licence="MIT",
    )
    assert ModelSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    with pytest.raises(FrozenInstanceError):
        spec.name = "other"


@pytest.mark.parametrize("spec", BUILT_IN, ids=lambda s: f"{s.noun}-{s.name}")
def test_a_built_in_spec_names_only_what_there_is(spec):
    assert spec.summary
    assert catalog.REGISTRIES[spec.noun].get(spec.name) is spec
    for option in spec.options.values():
        assert option.help
        assert option.required or option.choices is None or option.default in (*option.choices, None)
    if isinstance(spec, ModelSpec):
        assert spec.kind in catalog.LOSSES.get(spec.loss).kinds
        assert set(spec.tiny) <= set(spec.options)
        assert spec.optimizer["name"] in catalog.OPTIMIZERS.names()
        assert set(spec.parameters) == {"network", *spec.discriminators}
    if isinstance(spec, LossSpec):
        assert set(spec.kinds) <= set(KINDS)
        assert catalog.SAMPLERS.get(spec.sampler)


@pytest.mark.parametrize(
    "spec", [s for s in BUILT_IN if s.noun in ("source", "sampler")], ids=lambda s: f"{s.noun}-{s.name}"
)
def test_a_built_in_spec_has_the_options_of_its_builder(spec):
    """The frames of a sampler are the model's to say."""
    arguments = inspect.signature(spec.load()).parameters
    assert set(arguments) - set(spec.options) <= {"frames", "frames_in", "frames_out"}
    for name, option in spec.options.items():
        assert arguments[name].default in (option.default, inspect.Parameter.empty)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ModelSpec(name="x", builder="m.f"), "builder must be 'module:function'"),
        (lambda: ModelSpec(name="x", builder="m:f", kind="magic"), "kind must be one of reconstructor, "),
        (lambda: Option("integer"), "type must be one of int, "),
    ],
)
def test_a_wrong_spec_is_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*", ["gru_ae", "speednet", "conv3d_ae"]),
        ("*_ae", ["gru_ae", "conv3d_ae"]),
        ("?ru_ae", ["gru_ae"]),
        ("[gs]*", ["gru_ae", "speednet"]),
        ("speednet", ["speednet"]),
        ("GRU*", []),
        ("", []),
    ],
)
def test_wildcards(pattern, names):
    assert models("gru_ae", "speednet", "conv3d_ae").names(pattern) == names


def test_list_models_takes_wildcards():
    assert "gru_ae" in catalog.list_models()
    assert "gru_ae" in catalog.list_models("*_ae")
    assert catalog.list_models("no_such_*") == []


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        models("gru_ae", "speednet").get("sped_net")
    assert str(caught.value) == "unknown model 'sped_net'; did you mean speednet?"
    assert isinstance(caught.value, InputError)
    assert isinstance(caught.value, KeyError)


def test_an_unknown_name_like_no_other_gets_all_or_the_way_to_them():
    with pytest.raises(UnknownNameError, match="^unknown model 'zzz'; known: gru_ae, speednet$"):
        models("gru_ae", "speednet").get("zzz")
    with pytest.raises(UnknownNameError, match="^unknown model 'zzz'; `kvzoo list` prints them all$"):
        models(*(f"model_{i}" for i in range(30))).get("zzz")


def test_an_unknown_distribution_is_said_to_be_missing():
    with pytest.raises(UnknownNameError, match="unknown model 'their-zoo:gru_ae': no plugin 'their-zoo' is installed"):
        catalog.MODELS.get("their-zoo:gru_ae")


def test_a_known_distribution_without_that_name():
    with pytest.raises(UnknownNameError, match="unknown model 'kvzoo:gru_a'; did you mean .*gru_ae"):
        catalog.MODELS.get("kvzoo:gru_a")


def test_built_ins_have_a_full_name():
    assert catalog.MODELS.get("kvzoo:gru_ae") is catalog.MODELS.get("gru_ae")


@pytest.mark.usefixtures("own_registries")
def test_register_from_code():
    mine = ModelSpec(name="mine", builder="m:f")
    catalog.register(mine)
    assert catalog.MODELS.get("mine") is mine
    assert "mine" in catalog.list_models("m*")
    catalog.register(replace(mine))
    assert catalog.list_models("mine") == ["mine"]


@pytest.mark.usefixtures("own_registries")
def test_register_finds_the_registry_of_each_type():
    for noun, registry in catalog.REGISTRIES.items():
        spec = registry.spec_type(name=f"my_{noun}", builder="m:f")
        catalog.register(spec)
        others = [r for r in catalog.REGISTRIES.values() if r is not registry]
        assert registry.get(f"my_{noun}") is spec
        assert not any(f"my_{noun}" in r.names() for r in others)


@pytest.mark.usefixtures("own_registries")
def test_register_refuses_a_taken_name():
    with pytest.raises(InputError, match="the model 'gru_ae' is already registered by kvzoo"):
        catalog.register(ModelSpec(name="gru_ae", builder="m:f"))
    catalog.register(ModelSpec(name="mine", builder="m:f"))
    with pytest.raises(InputError, match="the model 'mine' is already registered by code"):
        catalog.register(ModelSpec(name="mine", builder="m:g"))
    assert catalog.MODELS.get("mine").builder == "m:f"


@pytest.mark.parametrize("thing", ["gru_ae", None, 3, ModelSpec, {"name": "x", "builder": "m:f"}], ids=repr)
def test_register_refuses_what_is_no_spec(thing):
    before = catalog.list_models()
    with pytest.raises(InputError, match="register: spec must be a (spec, such as |)ModelSpec.* Received: "):
        catalog.register(thing)
    assert catalog.list_models() == before


def test_a_registry_refuses_specs_of_another():
    with pytest.raises(InputError, match="must be a ModelSpec. Received: LossSpec"):
        catalog.MODELS.register(LossSpec(name="x", builder="m:f"))


@pytest.mark.parametrize("code", ["import kvzoo", "import kvzoo.catalog", "import kvzoo; kvzoo.list_models()"])
def test_importing_kvzoo_is_light(code, in_process):
    loaded = in_process(f"import sys\n{code}\nprint(*(m.partition('.')[0] for m in sys.modules))").split()
    assert "kvzoo" in loaded
    assert not {"keras", "tensorflow", "jax", "torch", "numpy", "pydantic", "click", "ruamel"} & set(loaded)


def test_a_plugin_is_listed_without_importing_it_and_loaded_by_get(tmp_path, in_process, monkeypatch):
    monkeypatch.delenv("KVZOO_PLUGINS")
    install(tmp_path, "their-zoo", {"theirs": ":theirs"}, model_source("theirs"), version="2.3")
    out = in_process(
        "import sys, kvzoo\n"
        "from kvzoo import catalog\n"
        "print('theirs' in kvzoo.list_models(), kvzoo.list_models('their*'))\n"
        "entry = catalog.MODELS.find('theirs')\n"
        "print(entry.distribution, entry.version, 'their_zoo' in sys.modules)\n"
        "spec = catalog.MODELS.get('theirs')\n"
        "print(spec.name, spec.kind, spec == catalog.MODELS.get('their-zoo:theirs'), 'their_zoo' in sys.modules)\n"
        "print([m for m in ('keras', 'numpy', 'heavy_theirs') if m in sys.modules])\n",
        env=environment(tmp_path),
    )
    assert out.splitlines() == ["True ['theirs']", "their-zoo 2.3 False", "theirs reconstructor True True", "[]"]


@pytest.mark.parametrize("group", [r.spec_type for r in catalog.REGISTRIES.values()], ids=lambda s: s.noun)
def test_every_group_takes_plugins(group, tmp_path, in_process):
    source = f"from kvzoo.registry import {group.__name__}\nspec = {group.__name__}(name='x', builder='m:f')\n"
    install(tmp_path, "alpha", {"x": ":spec"}, source, group=group.group)
    code = f"from kvzoo.catalog import REGISTRIES\nprint(type(REGISTRIES[{group.noun!r}].get('x')).__name__)"
    assert in_process(code, env=environment(tmp_path, "alpha")).strip() == group.__name__


def test_a_built_in_wins_over_a_plugin_that_has_a_full_name(tmp_path, in_process):
    install(tmp_path, "alpha", {"gru_ae": ":gru_ae"}, model_source("gru_ae"))
    out = in_process(
        "from kvzoo.catalog import MODELS\n"
        "print(MODELS.get('gru_ae').builder, MODELS.get('alpha:gru_ae').builder, MODELS.names('gru_ae'))\n",
        env=environment(tmp_path, "alpha"),
    )
    assert out.split(maxsplit=2)[:2] == ["kvzoo.models.gru_ae:gru_ae", "heavy_gru_ae:build"]
    assert out.strip().endswith("['gru_ae', 'alpha:gru_ae']")


def test_two_plugins_with_one_name_are_both_named(tmp_path, kvzoo_cli, in_process):
    for distribution in ("alpha", "beta"):
        install(tmp_path, distribution, {"same": ":same"}, model_source("same"))
    env = environment(tmp_path, "alpha,beta")
    refused = kvzoo_cli("info", "same", env=env)
    assert refused.returncode == 2
    assert refused.stderr == (
        "kvzoo: the model 'same' is offered by two plugins, alpha and beta; name it alpha:same or beta:same\n"
    )
    assert (
        in_process(
            "import sys\n"
            "from kvzoo.catalog import MODELS\n"
            "print(MODELS.names('same'), MODELS.get('beta:same').name, [m for m in ('alpha', 'beta') if m in sys.modules])",
            env=env,
        ).strip()
        == "['alpha:same', 'beta:same'] same ['beta']"
    )


def test_register_refuses_the_name_of_a_plugin(tmp_path, in_process):
    install(tmp_path, "alpha", {"theirs": ":theirs"}, model_source("theirs"))
    out = in_process(
        "import sys, kvzoo\n"
        "from kvzoo.registry import ModelSpec\n"
        "try: kvzoo.register(ModelSpec(name='theirs', builder='m:f'))\n"
        "except kvzoo.errors.InputError as error: print(error, 'alpha' in sys.modules)\n",
        env=environment(tmp_path, "alpha"),
    )
    assert out == "register: the model 'theirs' is already registered by alpha False\n"


@pytest.mark.parametrize("name", ["my-zoo:x", "my_zoo:x", "My-Zoo:x", "my.zoo:x"])
def test_a_distribution_may_be_written_as_pip_takes_it(name, tmp_path, in_process):
    install(tmp_path, "my-zoo", {"x": ":x"}, model_source("x"))
    code = f"from kvzoo.catalog import MODELS\nprint(MODELS.get({name!r}).name)"
    assert in_process(code, env=environment(tmp_path, "my-zoo")).strip() == "x"


# name: (text of the module, what the entry point names, what is said)
BROKEN = {
    "needs_more": ("import no_such_module_at_all", ":spec", "No module named 'no_such_module_at_all'"),
    "raises": ("raise RuntimeError('first line\\nsecond line')", ":spec", "RuntimeError: first line"),
    "exits": ("import sys; sys.exit(3)", ":spec", "SystemExit: 3"),
    "syntax": ("def", ":spec", "SyntaxError: "),
    "no_object": ("", ":spec", "AttributeError: "),
    "no_module": ("", "not_there_at_all:spec", "No module named 'not_there_at_all'"),
    "malformed": ("", "not a reference", "cannot be loaded: "),
    "a_dict": ("spec = {'name': 'x'}", ":spec", "is not a ModelSpec. Received: dict"),
    "a_loss": (
        "from kvzoo.registry import LossSpec; spec = LossSpec(name='x', builder='m:f')",
        ":spec",
        "is not a ModelSpec. Received: LossSpec",
    ),
    "wrong_spec": (
        "from kvzoo.registry import ModelSpec; spec = ModelSpec(name='x', builder='m:f', kind='magic')",
        ":spec",
        "kind must be one of",
    ),
}


@pytest.fixture
def broken(tmp_path) -> dict[str, str]:
    """An environment with every broken plugin in it, and a good one."""
    for name, (source, value, _) in BROKEN.items():
        install(tmp_path, f"bad-{name}", {name: value}, source, version="0.9")
    install(tmp_path, "good", {"fine": ":fine"}, model_source("fine"))
    allowed = ",".join(["good", *(f"bad-{name}" for name in BROKEN)])
    return environment(tmp_path, allowed)


def test_broken_plugins_are_listed_and_stop_nobody(broken, kvzoo_cli):
    listed = kvzoo_cli("list", "--json", env=broken)
    assert (listed.returncode, listed.stderr) == (0, "")
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert {*catalog.MODELS.names(), "fine", *BROKEN} == set(rows)
    assert rows["exits"]["distribution"] == "bad-exits"
    assert rows["exits"]["version"] == "0.9"
    for name in ("gru_ae", "fine"):
        assert kvzoo_cli("info", name, env=broken).returncode == 0


def test_a_broken_plugin_is_one_line_with_its_distribution_and_version(broken, kvzoo_cli, in_process):
    code = (
        "import json\n"
        "from kvzoo.catalog import MODELS\n"
        "from kvzoo.errors import PluginError\n"
        "said = {}\n"
        f"for name in {list(BROKEN)}:\n"
        "    try: MODELS.get(name)\n"
        "    except PluginError as error: said[name] = str(error)\n"
        "print(json.dumps(said))\n"
    )
    said = json.loads(in_process(code, env=broken))
    assert set(said) == set(BROKEN)
    for name, message in said.items():
        assert message.startswith(f"the model {name!r} of the plugin bad-{name} 0.9 ")
        assert BROKEN[name][2] in message
        assert len(message.splitlines()) == 1
    for name in ("exits", "raises", "a_dict"):
        refused = kvzoo_cli("info", name, env=broken)
        assert (refused.returncode, refused.stdout, refused.stderr) == (2, "", f"kvzoo: {said[name]}\n")


def test_a_plugin_error_is_the_users_to_mend():
    assert issubclass(PluginError, InputError)
    assert PluginError.exit_code == 2


@pytest.mark.parametrize(
    ("metadata", "points"),
    [
        pytest.param(None, "[kvzoo.models]\nodd = odd:spec\n", id="no METADATA"),
        pytest.param("Metadata-Version: 2.1\n", "[kvzoo.models]\nodd = odd:spec\n", id="no name"),
        pytest.param("Metadata-Version: 2.1\nName: odd\nVersion: 1\n", "[kvzoo.models]\nodd\n", id="no value"),
    ],
)
def test_broken_metadata_stops_nobody(metadata, points, tmp_path, kvzoo_cli):
    info = tmp_path / "odd-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(points)
    if metadata:
        (info / "METADATA").write_text(metadata)
    install(tmp_path, "good", {"fine": ":fine"}, model_source("fine"))
    listed = kvzoo_cli("list", env=environment(tmp_path, "good"))
    assert (listed.returncode, listed.stderr) == (0, "")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [*catalog.MODELS.names(), "fine"]


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        ("", []),
        (" , ", []),
        ("alpha", ["a"]),
        ("alpha, my_zoo", ["a", "b"]),
        ("MY-ZOO", ["b"]),
        ("nobody", []),
        (None, ["a", "b"]),
    ],
)
def test_the_allow_list(allowed, names, tmp_path, in_process, monkeypatch):
    install(tmp_path, "alpha", {"a": ":a"}, model_source("a"))
    install(tmp_path, "my-zoo", {"b": ":b"}, model_source("b"))
    if allowed is None:
        monkeypatch.delenv("KVZOO_PLUGINS")
    else:
        monkeypatch.setenv("KVZOO_PLUGINS", allowed)
    code = (
        "from kvzoo.catalog import MODELS\n"
        "names = [n for n in MODELS.names() if n in ('a', 'b')]\n"
        "for name in names: MODELS.get(name)\n"
        "print(*names, 'gru_ae' in MODELS.names())"
    )
    assert in_process(code, env=environment(tmp_path)).split() == [*names, "True"]


def test_a_plugin_that_is_not_allowed_is_not_there(tmp_path, kvzoo_cli):
    install(tmp_path, "alpha", {"a": ":a"}, "raise SystemExit(9)")
    for name, said in (
        ("alpha:a", "unknown name 'alpha:a': it is of the plugin alpha, which KVZOO_PLUGINS does not list"),
        ("a", "unknown name 'a': it is of the plugin alpha, which KVZOO_PLUGINS does not list"),
        ("alpha:b", "unknown name 'alpha:b': no plugin 'alpha' is installed and allowed"),
    ):
        refused = kvzoo_cli("info", name, env=environment(tmp_path, ""))
        assert (refused.returncode, refused.stderr) == (2, f"kvzoo: {said}\n")


def test_sources_of_plugins_are_looked_up_like_models(tmp_path, in_process):
    source = "from kvzoo.registry import SourceSpec\nspec = SourceSpec(name='moon', builder='m:f', version=3)\n"
    install(tmp_path, "alpha", {"moon": ":spec"}, source, group=SourceSpec.group)
    (tmp_path / "r.yaml").write_text("model: gru_ae\ndata: {source: moon}\nfit: {steps: 1}\n")
    code = f"from kvzoo.recipe.resolve import load\nprint(load({str(tmp_path / 'r.yaml')!r})['data']['source'])"
    assert in_process(code, env=environment(tmp_path, "alpha")).strip() == "moon"


def test_strict_makes_a_broken_plugin_an_error(tmp_path, kvzoo_cli):
    install(tmp_path, "broken", {"b": ":SPEC"}, "raise OSError('no disk')")
    assert kvzoo_cli("list", env=environment(tmp_path, "broken")).returncode == 0
    done = kvzoo_cli("list", env={**environment(tmp_path, "broken"), "KVZOO_STRICT": "1"})
    assert done.returncode == 2
    assert "broken 1.0 cannot be loaded: OSError: no disk" in done.stderr


def test_an_optimizer_of_ones_own_trains(own_registries, tmp_path, monkeypatch):
    (tmp_path / "slow_start.py").write_text(
        "import keras\n\n\nclass SlowStart(keras.optimizers.SGD):\n    pass\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    options = {"momentum": Option("float", 0.0, "momentum", minimum=0)}
    kvzoo.register(OptimizerSpec("slow_start", "slow_start:SlowStart", options=options))
    (tmp_path / "r.yaml").write_text(
        "model: {name: gru_ae, frames: 3, image_size: 16, channels: 1, latent_dim: 8, units: 12, width: 4}\n"
        "data: {source: stick_actions, videos: 8, people: 4, seconds: 0.5, validation: 0.25}\n"
        "fit: {steps: 1, batch_size: 2, l2: 1.0e-5, optimizer: {name: slow_start, momentum: 0.5, learning_rate: 0.1}}\n"
    )
    run = kvzoo.fit(tmp_path / "r.yaml", out=tmp_path / "run")
    assert (type(run.model.optimizer).__name__, run.model.optimizer.momentum) == ("SlowStart", 0.5)
    with pytest.raises(InputError, match="fit.optimizer.momentum: must be greater than or equal to 0"):
        kvzoo.fit(tmp_path / "r.yaml", ["fit.optimizer.momentum=-1"], out=tmp_path / "other")
