"""Specs and the registry: how a name becomes a model, a loss, a source or a callback.

Built-ins (catalog.py), plugins (entry points) and specs registered from code come in by one
door. Names are read from package metadata; a plugin's code is imported by `Registry.get` and
nowhere else. Standard library only.
"""

import contextlib
import dataclasses
import fnmatch
import functools
import importlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from kvzoo import deprecations
from kvzoo.errors import InputError, PluginError, UnknownNameError, did_you_mean
from kvzoo.options import Option

KINDS = {
    "reconstructor": "clip to clip",
    "translator": "frames to frames",
    "generator": "noise, label or image to clip",
    "classifier": "clip to logits",
}


@dataclass(frozen=True)
class Spec:
    """The record behind a registered name, which survives JSON. Base of all specs.

    Attributes:
        name: the registered name.
        builder: "package.module:function" (or class), imported only when it is used.
        summary: one line.
        options: the builder's arguments by name.
    """

    group: ClassVar[str]
    noun: ClassVar[str]

    name: str
    builder: str
    summary: str = ""
    options: Mapping[str, Option] = field(default_factory=dict)

    def __post_init__(self):
        options = {k: Option(**v) if isinstance(v, Mapping) else v for k, v in self.options.items()}
        object.__setattr__(self, "options", options)
        if ":" not in self.builder:
            raise InputError(f"{self.noun} {self.name}: builder must be 'module:function'. Received: {self.builder!r}")

    def to_json(self) -> dict:
        """Return the spec as plain JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, record: Mapping) -> "Spec":
        """Return the spec from the result of its `to_json`."""
        return cls(**record)

    def load(self) -> Callable:
        """Import and return the builder."""
        return load_object(self.builder)

    @property
    def defaults(self) -> dict:
        """The options' defaults by name."""
        return {name: option.default for name, option in self.options.items()}


@dataclass(frozen=True)
class Term:
    """A term that a network adds to its loss, next to the adversarial loss.

    Attributes:
        function: "module:function", called as function(inputs, outputs) -> scalar. `inputs` has the step's
            noise, label, image and clip (the real one, -1..1) by name, a translator's has inputs and targets;
            `outputs` has the network's output as clip, and each of the spec's maps; all float32.
        weight: the reference weight; a recipe can override it by the term's name, and 0 turns it off.
        maps: the maps that it reads; a network that lacks one does without the term.
        help: what it is.
    """

    function: str
    weight: float = 1.0
    maps: tuple[str, ...] = ()
    help: str = ""

    def __post_init__(self):
        object.__setattr__(self, "maps", tuple(self.maps))

    def load(self) -> Callable:
        """Import and return the function."""
        return load_object(self.function)


@deprecations.takes_old_fields
@dataclass(frozen=True)
class ModelSpec(Spec):
    """A model: the builder of its network, and its properties without importing Keras.

    Attributes:
        kind: what the network maps, one of KINDS.
        loss: the loss that trains it when none is named.
        task: the task when that loss trains it; "" for the task of the loss.
        loss_options: options of that loss that differ from its defaults.
        discriminators: builders of the discriminators by name, for adversarial losses.
        maps: names of the layers whose outputs are shown next to the clip, such as a mask.
        terms: further terms of its loss by name.
        tiny: options of a configuration small enough for tests on every backend.
        optimizer: name and arguments of the reference optimizer.
        l2: L2 penalty of the reference, added to the gradient as torch's weight_decay.
        parameters: trainable parameters of each network at the defaults.
        macs: multiply-accumulates of one forward pass at the defaults, a batch of one.
        feature_layer, map_layer: layers that apps read features and class activation maps from.
        causal: whether output t depends on inputs up to t only.
        paper, article, licence: its origin.
    """

    group: ClassVar[str] = "kvzoo.models"
    noun: ClassVar[str] = "model"

    kind: str = "reconstructor"
    loss: str = "mse"
    task: str = ""
    loss_options: Mapping[str, Any] = field(default_factory=dict)
    discriminators: Mapping[str, str] = field(default_factory=dict)
    maps: tuple[str, ...] = ()
    terms: Mapping[str, Term] = field(default_factory=dict)
    tiny: Mapping[str, Any] = field(default_factory=dict)
    optimizer: Mapping[str, Any] = field(default_factory=lambda: {"name": "adam", "learning_rate": 1e-3})
    l2: float = 0.0
    parameters: Mapping[str, int] = field(default_factory=dict)
    macs: int | None = None
    feature_layer: str | None = None
    map_layer: str | None = None
    causal: bool = False
    paper: str = ""
    article: str = ""
    licence: str = ""

    def __post_init__(self):
        super().__post_init__()
        if self.kind not in KINDS:
            raise InputError(f"model {self.name}: kind must be one of {', '.join(KINDS)}. Received: {self.kind!r}")
        object.__setattr__(self, "maps", tuple(self.maps))
        terms = {k: Term(**v) if isinstance(v, Mapping) else v for k, v in self.terms.items()}
        object.__setattr__(self, "terms", terms)

    def loss_settings(self, loss: str | Mapping[str, Any] | None) -> dict[str, Any]:
        """Return a loss as {"name": …, options}, with this model's own options where it is the model's own loss.

        Args:
            loss: a name, or {"name": …, options}; without a name it is the model's own.

        Example:
            >>> ModelSpec(name="x", builder="m:f", loss="conditional", loss_options={"l1_weight": 10.0}).loss_settings(None)
            {'l1_weight': 10.0, 'name': 'conditional'}
        """
        settings = {"name": self.loss, **({"name": loss} if isinstance(loss, str) else loss or {})}
        old = deprecations.options("loss", settings["name"])
        settings = deprecations.renamed(settings, old, f"loss {settings['name']}")
        if settings["name"] != self.loss:
            return settings
        return {**deprecations.renamed(self.loss_options, old, f"model {self.name}: loss_options"), **settings}

    def term_weights(self, weights: Mapping[str, float] | None) -> dict[str, float]:
        """Return the weight of each of the spec's terms: that in `weights`, else the reference.

        Raises:
            InputError: a name that is no term of this model.
        """
        for name in weights or {}:
            if name not in self.terms:
                known = f"; known: {', '.join(self.terms)}" if self.terms else "; the model has none"
                raise InputError(f"unknown term {name!r} of {self.name}{did_you_mean(name, self.terms) or known}")
        return {name: term.weight for name, term in self.terms.items()} | dict(weights or {})


@dataclass(frozen=True)
class LossSpec(Spec):
    """A loss: how a model is trained.

    Attributes:
        kinds: the kinds of model that it accepts.
        sampler: the sampler that cuts its examples when a recipe names none; others must make what it makes.
        example: the arguments of `.fit`, in words.
        task: the task that it trains models for; "" for that of the model's kind.
    """

    group: ClassVar[str] = "kvzoo.losses"
    noun: ClassVar[str] = "loss"

    kinds: tuple[str, ...] = ()
    sampler: str = "window"
    example: str = ""
    task: str = ""

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "kinds", tuple(self.kinds))


BETTER = ("higher", "lower", "nearer 1", "")


@dataclass(frozen=True)
class Figure:
    """A number by which models are evaluated.

    Attributes:
        name: its key in an evaluation, or its column in history.csv without "val_" or "test_NAME_".
        words: its meaning.
        unit: such as "dB"; "" for a plain number.
        better: one of BETTER; "" where more of it is neither better nor worse, as of a baseline.
        where: when an evaluation has it, in words; "" for always.
        title: of its column where runs are compared; "" for none.
        form: how it is written there, for `str.format`.
        panel: of the curves that it shares with others of its unit; "" for one of its own.
    """

    name: str
    words: str = ""
    unit: str = ""
    better: str = ""
    where: str = ""
    title: str = ""
    form: str = "{:.4g}"
    panel: str = ""

    def __post_init__(self):
        if self.better not in BETTER:
            legal = ", ".join(map(repr, BETTER))
            raise InputError(f"figure {self.name}: better must be one of {legal}. Received: {self.better!r}")

    @property
    def meaning(self) -> str:
        """What it says, after its unit."""
        return ", ".join(filter(None, (self.unit, self.words)))


def figure_of(column: str, figures: Iterable[Figure]) -> Figure | None:
    """Return the figure behind a column of a history, such as val_psnr: the longest name that ends it."""
    matches = [f for f in figures if column == f.name or column.endswith(f"_{f.name}")]
    return max(matches, key=lambda figure: len(figure.name), default=None)


@dataclass(frozen=True)
class TaskSpec(Spec):
    """A task: what models are trained for. Its builder is a class like `kvzoo.tasks.base.Task`.

    Attributes:
        example: what an example is, in words.
        kind: the kind of model that it is the task of where neither loss nor model names one; "" for none.
        figures: all that its evaluation returns.
        history: those in a run's history that it knows: of training, of validation and of samples.
        best: columns of the history that rank runs, the most important first.
        metrics: registered metrics that its evaluation includes.
        clips: most examples that an evaluation reads by default.
        apps: the verbs that support its runs.
        note: a sentence below the figures of a run's report.
    """

    group: ClassVar[str] = "kvzoo.tasks"
    noun: ClassVar[str] = "task"

    example: str = ""
    kind: str = ""
    figures: tuple[Figure, ...] = ()
    history: tuple[Figure, ...] = ()
    best: tuple[str, ...] = ("val_loss", "loss")
    metrics: tuple[str, ...] = ()
    clips: int = 128
    apps: tuple[str, ...] = ("evaluate",)
    note: str = ""

    def __post_init__(self):
        super().__post_init__()
        for name in ("figures", "history"):
            figures = (Figure(**f) if isinstance(f, Mapping) else f for f in getattr(self, name))
            object.__setattr__(self, name, tuple(figures))
        for name in ("best", "metrics", "apps"):
            object.__setattr__(self, name, tuple(getattr(self, name)))


@dataclass(frozen=True)
class MetricSpec(Spec):
    """A figure that evaluations include. Its builder is a function of arrays.

    It is called for each batch as function(output, target), with the arrays that the task compares (the class of the task
    says which), and returns a value for each example, (N,); the figure is their mean. `summary` says what it is in words.

    Attributes:
        tasks: the tasks whose evaluations include it, in addition to those that name it themselves.
        unit, better, title, form: as a Figure's.
    """

    group: ClassVar[str] = "kvzoo.metrics"
    noun: ClassVar[str] = "metric"

    tasks: tuple[str, ...] = ()
    unit: str = ""
    better: str = ""
    title: str = ""
    form: str = "{:.4g}"

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "tasks", tuple(self.tasks))
        _ = self.figure  # refuses what no figure can be

    @property
    def figure(self) -> Figure:
        """The figure that it adds."""
        return Figure(self.name, self.summary, self.unit, self.better, title=self.title, form=self.form)


@dataclass(frozen=True)
class SourceSpec(Spec):
    """A source: where videos come from.

    Attributes:
        version: of a built-in source's clips; a change that alters them raises it.
        labels: whether its videos carry labels.
        groups: what its own groups are; "" where a recipe sets them by `data.group`.
    """

    group: ClassVar[str] = "kvzoo.sources"
    noun: ClassVar[str] = "source"

    version: int = 1
    labels: bool = False
    groups: str = ""


@dataclass(frozen=True)
class SamplerSpec(Spec):
    """A sampler: cuts a video into one example.

    Attributes:
        makes: what an example is, in words; a loss takes samplers that make what its own one makes.
    """

    group: ClassVar[str] = "kvzoo.samplers"
    noun: ClassVar[str] = "sampler"

    makes: str = "clips"


@dataclass(frozen=True)
class CallbackSpec(Spec):
    """A Keras callback that a recipe may name."""

    group: ClassVar[str] = "kvzoo.callbacks"
    noun: ClassVar[str] = "callback"


@dataclass(frozen=True)
class OptimizerSpec(Spec):
    """An optimizer that `fit.optimizer` may name.

    Its builder is a subclass of `keras.optimizers.Optimizer`. Its options are those of its own: `learning_rate` and what
    every Keras optimizer takes, such as `clipnorm`, are not repeated.
    """

    group: ClassVar[str] = "kvzoo.optimizers"
    noun: ClassVar[str] = "optimizer"


def load_object(path: str) -> Any:
    """Import "package.module:name" and return the object.

    Raises:
        PluginError: it is not part of kvzoo and cannot be imported, such as where its backend is missing.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:
        if module.partition(".")[0] == "kvzoo":
            raise
        raise PluginError(f"{path} cannot be loaded: {_in_a_line(error)}") from error


@dataclass(frozen=True)
class Entry:
    """A registered name: who offers it and how to get its spec.

    Attributes:
        name: the name within its group.
        distribution: the package that offers it; "kvzoo" for built-ins, "" for specs from code.
        version: that package's version, "" for specs from code.
        spec: the spec, None for a plugin's before it is loaded.
        entry_point: the entry point of a plugin's spec, None for the others.
    """

    name: str
    distribution: str
    version: str = ""
    spec: Spec | None = None
    entry_point: importlib.metadata.EntryPoint | None = None


class Registry:
    """The names of one group.

    A plain name stands for a built-in first, then for a spec registered from code, then for a
    plugin's. "distribution:name" names one without doubt. Two plugins with the same name clash:
    the plain name is refused, and the error names both.
    """

    def __init__(self, spec_type: type[Spec], builtins: tuple[Spec, ...]):
        self.spec_type = spec_type
        self._own = {spec.name: Entry(spec.name, "kvzoo", spec=spec) for spec in builtins}

    def register(self, spec: Spec) -> None:
        """Add a spec from code.

        Raises:
            InputError: it is not of this registry's type, or its name is taken.
        """
        if not isinstance(spec, self.spec_type):
            raise InputError(f"register: spec must be a {self.spec_type.__name__}. Received: {type(spec).__name__}")
        rivals = [e for e in self.entries() if e.name == spec.name]
        if rivals and rivals[0].spec != spec:
            owner = rivals[0].distribution or "code"
            raise InputError(f"register: the {spec.noun} {spec.name!r} is already registered by {owner}")
        self._own.setdefault(spec.name, Entry(spec.name, "", spec=spec))

    def entries(self, pattern: str = "*") -> list[Entry]:
        """Return who offers what, built-ins first, without importing any plugin.

        With KVZOO_STRICT=1 each plugin is imported, so that a broken one is an error here.

        Args:
            pattern: shell-style wildcards.
        """
        every = self.offered()
        if os.environ.get("KVZOO_STRICT") == "1":
            for entry in every:
                self.load(entry)
        return [e for e in every if fnmatch.fnmatchcase(e.name, pattern)]

    def offered(self) -> list[Entry]:
        """Return who offers what, built-ins first, without importing any plugin even with KVZOO_STRICT=1."""
        return [*self._own.values(), *_plugin_entries(self.spec_type.group)]

    def names(self, pattern: str = "*") -> list[str]:
        """Return the names that `get` takes: plain ones, and "distribution:name" where one is shadowed."""
        entries, names = self.entries(pattern), []
        for entry in entries:
            rivals = [e for e in entries if e.name == entry.name]
            plain = len(rivals) == 1 or entry.entry_point is None
            names.append(entry.name if plain else f"{entry.distribution}:{entry.name}")
        return names

    def get(self, name: str) -> Spec:
        """Return the spec behind a name; the one place where a plugin's code is imported.

        Raises:
            UnknownNameError: nothing has that name.
            InputError: two plugins offer it.
            PluginError: the plugin that offers it does not load.
        """
        return self.load(self.find(name))

    def find(self, name: str) -> Entry:
        """Return the entry behind a name, without importing it."""
        noun = self.spec_type.noun
        distribution, _, plain = name.rpartition(":")
        matches = [
            e
            for e in self.entries()
            if e.name == plain and (not distribution or same_name(e.distribution, distribution))
        ]
        if not matches and (new := self.renamed(name)):
            deprecations.warn("", f"the {noun} {name}", new)
            return self.find(new)
        if not matches:
            raise self._unknown(name, distribution)
        if matches[0].entry_point is None or len(matches) == 1:
            return matches[0]
        owners = " and ".join(e.distribution for e in matches)
        legal = " or ".join(f"{e.distribution}:{plain}" for e in matches)
        raise InputError(f"the {noun} {name!r} is offered by two plugins, {owners}; name it {legal}")

    def renamed(self, name: str) -> str | None:
        """Return the new name where `name` is an old one that nothing has any more; None otherwise."""
        new = deprecations.NAMES.get(self.spec_type.noun, {}).get(name.removeprefix("kvzoo:"))
        return None if new is None or any(e.name == name for e in self.offered()) else new

    def offers(self, distribution: str) -> bool:
        """Whether a distribution has names here."""
        return any(same_name(e.distribution, distribution) for e in self.entries())

    def _unknown(self, name: str, distribution: str) -> UnknownNameError:
        noun, names = self.spec_type.noun, self.names()
        if shut_out := blocked(name, self.spec_type.group):
            return UnknownNameError(f"unknown {noun} {name!r}{shut_out}")
        if distribution and not self.offers(distribution):
            return UnknownNameError(f"unknown {noun} {name!r}: no plugin {distribution!r} is installed and allowed")
        hint = did_you_mean(deprecations.intended(name, deprecations.NAMES.get(noun, {})), names)
        known = f"; known: {', '.join(names) or 'none'}" if len(names) <= 20 else "; `kvzoo list` prints them all"
        return UnknownNameError(f"unknown {noun} {name!r}{hint}{'' if hint else known}")

    def load(self, entry: Entry) -> Spec:
        """Import what a plugin's entry point names and return its spec.

        Raises:
            PluginError: it does not load, is no spec of this group, or is called otherwise.
        """
        if entry.spec is not None:
            return entry.spec
        noun, who = self.spec_type.noun, f"{entry.distribution} {entry.version}"
        try:
            spec = entry.entry_point.load()
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"the {noun} {entry.name!r} of the plugin {who} cannot be loaded: {_in_a_line(error)}"
            ) from error
        if not isinstance(spec, self.spec_type):
            raise PluginError(
                f"the {noun} {entry.name!r} of the plugin {who} is not a {self.spec_type.__name__}. "
                f"Received: {type(spec).__name__}"
            )
        if spec.name != entry.name:
            raise PluginError(
                f"the {noun} {entry.name!r} of the plugin {who} has a different name in its spec: {spec.name!r}"
            )
        return spec


def installed_groups() -> list[str]:
    """Return the groups that begin with "kvzoo." and have entry points, known or not."""
    return list(_entry_points())


def installed(group: str) -> list[Entry]:
    """Return what installed distributions offer to a group, whether it is allowed or not, without importing it."""
    return sorted(_entry_points().get(group, ()), key=lambda e: (e.name, e.distribution))


def _plugin_entries(group: str) -> list[Entry]:
    return [entry for entry in installed(group) if allowed(entry.distribution)]


@dataclass(frozen=True)
class PluginRecipe:
    """A recipe that a plugin ships."""

    name: str
    distribution: str
    path: Path


RECIPES = "kvzoo.recipes"
COMMANDS = "kvzoo.commands"


def plugin_recipes() -> list[PluginRecipe]:
    """Return the recipes of the plugins that are allowed, without importing any; broken plugins have none."""
    recipes = []
    for entry in _plugin_entries(RECIPES):
        with contextlib.suppress(Exception):
            recipes += [
                PluginRecipe(f.stem, entry.distribution, f) for f in sorted(recipe_folder(entry).glob("*.yaml"))
            ]
    return recipes


def recipe_folder(entry: Entry) -> Path:
    """Return the folder that an entry point of the group kvzoo.recipes names, such as "my_zoo.recipes".

    Raises:
        PluginError: there is no such folder.
    """
    # Of a package in a package find_spec would import the outer one.
    top, *inner = entry.entry_point.value.strip().split(".")
    package = importlib.util.find_spec(top)
    for place in (package and package.submodule_search_locations) or ():
        if (folder := Path(place, *inner)).is_dir():
            return folder
    raise PluginError(
        f"the recipes of the plugin {entry.distribution} {entry.version}: no folder {entry.entry_point.value}"
    )


def allowed(distribution: str) -> bool:
    """Whether KVZOO_PLUGINS lets this distribution in: unset lets all in, empty none."""
    listed = os.environ.get("KVZOO_PLUGINS")
    return listed is None or any(same_name(distribution, x) for x in listed.split(","))


def blocked(name: str, *groups: str) -> str:
    """Return in words which plugin KVZOO_PLUGINS keeps from offering a name to these groups; "" where none."""
    distribution, _, plain = name.rpartition(":")
    for entry in (e for group in groups for e in installed(group) if not allowed(e.distribution)):
        if entry.name == plain and (not distribution or same_name(entry.distribution, distribution)):
            return f": it is of the plugin {entry.distribution}, which KVZOO_PLUGINS does not list"
    return ""


def same_name(a: str, b: str) -> bool:
    """Whether two names are of the same distribution, as pip takes them."""
    return _normal(a) == _normal(b)


@functools.lru_cache
def _entry_points() -> dict[str, list[Entry]]:
    """Return what installed distributions offer by group; each one's metadata is read once."""
    groups: dict[str, list[Entry]] = {}
    names = set()
    for distribution in importlib.metadata.distributions():
        # Another package's broken metadata is not our concern.
        with contextlib.suppress(Exception):
            points = [point for point in distribution.entry_points if point.group.startswith("kvzoo.")]
            if not points:
                continue
            about = distribution.metadata
            name, version = about["Name"], about["Version"]
            # As for imports, the first of a name on sys.path wins.
            if _normal(name) not in names:
                names.add(_normal(name))
                for point in points:
                    groups.setdefault(point.group, []).append(Entry(point.name, name, version, entry_point=point))
    return groups


def _in_a_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _normal(distribution: str) -> str:
    return distribution.strip().lower().replace("_", "-").replace(".", "-")
