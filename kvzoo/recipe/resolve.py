"""Resolve a recipe file: extends, overrides, shorthands, names, defaults, validation."""

import contextlib
import copy
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kvzoo import catalog, deprecations, keras_names
from kvzoo.errors import InputError, UnknownNameError, did_you_mean
from kvzoo.options import in_words, options_model
from kvzoo.recipe import schema
from kvzoo.recipe.text import Keys, Origin, Tree, dotted, parse_value, read
from kvzoo.registry import LossSpec, ModelSpec, Registry, Spec, plugin_recipes, same_name

# Keys that accept a bare name: `model: gru_ae` is `model: {name: gru_ae}`.
SHORTHANDS: tuple[Keys, ...] = (("model",), ("loss",), ("data", "sampler"), ("fit", "optimizer"))

# A smoke run takes under a minute, whatever the recipe.
SMOKE = {"steps": 6, "batch_size": 2, "sample_every": 3, "checkpoint_every": 3, "validation_clips": 4}
# Options that depend on the data and the sampler.
SMOKE_KEEPS = ("frames", "frames_in", "frames_out", "channels", "channels_out", "classes")


@dataclass(frozen=True)
class Recipe:
    """A resolved recipe: it contains every value, validated.

    Attributes:
        name: the file's name without its ending; runs are named after it.
        values: plain nested values, ready for YAML.
        origins: origin of each value by its path of keys; all others are defaults.
        lock: the record of a run in the recipe lock that was loaded; {} for other recipes.
    """

    name: str
    values: dict
    origins: dict[Keys, Origin]
    lock: dict

    def __getitem__(self, section: str) -> Any:
        return self.values[section]

    @property
    def model_options(self) -> dict:
        """The options for building the model."""
        return {key: self["model"][key] for key in self.model_spec.options}

    @property
    def model_spec(self) -> ModelSpec:
        return catalog.MODELS.get(self["model"]["name"])

    @property
    def loss_spec(self) -> LossSpec:
        return catalog.LOSSES.get(self["loss"]["name"])


def load(
    path: str | os.PathLike, overrides: Iterable[str] = (), smoke: bool = False, check_paths: bool = True
) -> Recipe:
    """Load a recipe, resolve it and validate everything that can be validated without Keras.

    Args:
        path: a YAML file, a run's recipe lock, or the name of a recipe that kvzoo or a plugin ships.
        overrides: "key=value" strings with dotted keys and values in YAML.
        smoke: shrink steps, batch size and network so that training takes under a minute.
        check_paths: whether the data must exist.

    Raises:
        InputError: the recipe is invalid; the message names the position, the received value and the legal ones.

    Example:

        >>> from kvzoo.recipe import resolve
        >>> recipe = resolve.load("gru_ae", ["fit.steps=50"])
        >>> recipe["model"]["name"], recipe["fit"]["steps"], recipe.loss_spec.name
        ('gru_ae', 50, 'mse')
    """
    file = find(path)
    tree = _read_with_parents(file, ())
    lock = tree.values.pop("lock", None) or {}
    for override in overrides:
        _override(tree, override)
    for keys in _shorthands(tree):
        _expand(tree, keys)
    if not isinstance(lock, dict):
        raise InputError(f"{tree.origin(('lock',))}: lock: must be a mapping. Received: {lock!r}")
    # A run can be resumed and used without the weights that it started with.
    validator = _Validator(tree, check_paths, check_weights=check_paths and not lock)
    validator.lock(lock)
    values = validator.resolve(smoke)
    if isinstance(lock.get("origins"), dict):
        lock = {**lock, "origins": {validator.renamed.get(key, key): origin for key, origin in lock["origins"].items()}}
    stem = lock.get("recipe") or file.name.split(".")[0]
    return Recipe(Path(stem).name or "recipe", values, tree.origins, lock)


def find(path: str | os.PathLike) -> Path:
    """Return the file of a recipe, by its path or by the name of a recipe that kvzoo or a plugin ships.

    Raises:
        InputError: there is no such recipe, or two plugins ship one of that name.
    """
    file = Path(path)
    # os.path's tests return False where pathlib's raise: no permission, an impossible name.
    if os.path.isfile(file):
        return file
    distribution, _, name = str(path).removesuffix(".yaml").rpartition(":")
    own, of_plugins = {f.stem: f for f in shipped_recipes()}, plugin_recipes()
    if name in own and (not distribution or same_name(distribution, "kvzoo")):
        return own[name]
    matches = [
        r for r in of_plugins if r.name == name and (not distribution or same_name(distribution, r.distribution))
    ]
    if len(matches) == 1:
        return matches[0].path
    if matches:
        owners = " and ".join(r.distribution for r in matches)
        legal = " or ".join(f"{r.distribution}:{name}" for r in matches)
        raise InputError(f"two plugins ship a recipe {name!r}: {owners}; use {legal}")
    # After the names: a plugin's recipe is named like its package, whose folder is where its author works.
    if os.path.isdir(file):
        raise InputError(f"{file}: is a folder, not a recipe file")
    raise InputError(f"{path}: no such recipe{did_you_mean(file.stem, [*own, *(r.name for r in of_plugins)])}")


def shipped_recipes() -> list[Path]:
    """Return the files of the recipes that kvzoo ships."""
    package = Path(__file__).parent.parent
    # A wheel has them in the package, a checkout next to it.
    of_wheel, of_checkout = package / "recipes", package.parent / "recipes"
    return sorted((of_wheel if of_wheel.is_dir() else of_checkout).glob("*.yaml"))


def check_data(section: Mapping, loss: LossSpec) -> dict:
    """Return a validated `data` section with defaults filled in, for callers without a recipe.

    Raises:
        InputError: an unknown key, a wrong type, a value out of range, or a missing file.
    """
    tree = Tree({"data": dict(section)}, {(): Origin("data")})
    _expand(tree, ("data", "sampler"))
    _absolute_paths(tree, Path.cwd() / "recipe")
    return _Validator(tree).data(tree.values["data"], loss, ("data",))


def current(values: Mapping[str, Any]) -> dict:
    """Return the values of a resolved recipe, which an older version may have written, under today's names."""
    tree = Tree(copy.deepcopy(dict(values)), {})
    _rename(tree, quietly=True)
    for keys, noun, key in deprecations.named_sections(tree.values):
        name = str(_get_in(tree.values, keys).get(key))
        with contextlib.suppress(InputError):
            for old, new in deprecations.options(noun, name, catalog.REGISTRIES[noun].get(name).options).items():
                _move(tree, (*keys, old), (*keys, new))
    return tree.values


def _read_with_parents(file: Path, children: tuple[Path, ...]) -> Tree:
    tree = read(file)
    for keys in _shorthands(tree):
        _expand(tree, keys)
    _rename(tree)
    _absolute_paths(tree, file)
    parent = tree.values.pop("extends", None)
    if parent is None:
        return tree
    origin = tree.origin(("extends",))
    if not isinstance(parent, str):
        raise InputError(f"{origin}: extends: must be a path. Received: {parent!r}")
    parent_file = Path(os.path.abspath(file.parent / parent.replace("\0", "?")))
    if os.path.exists(parent_file):
        parent_file = parent_file.resolve()
    if parent_file in (*children, file.resolve()):
        raise InputError(f"{origin}: extends: {parent} leads back to this recipe")
    if not os.path.isfile(parent_file):
        raise InputError(f"{origin}: extends: no such file: {parent_file}")
    base = _read_with_parents(parent_file, (*children, file.resolve()))
    _merge(base, tree)
    return base


def _merge(base: Tree, child: Tree) -> None:
    """Merge a child into its parent. A section with another name replaces the parent's section as a whole."""
    identity = {("model",): "name", ("loss",): "name", ("data",): "source", ("data", "sampler"): "name"}
    identity[("fit", "optimizer")] = identity[("fit", "optimizer", "learning_rate")] = "name"

    def lay(keys: Keys, value: Any) -> None:
        old: Any = base.values
        for key in keys:
            old = old.get(key) if isinstance(old, dict) else None
        name = "source" if len(keys) == 3 and keys[:2] == ("data", "tests") else identity.get(keys)
        replaces = (
            name
            and isinstance(value, dict)
            and isinstance(old, dict)
            and value.get(name, old.get(name)) != old.get(name)
        )
        if isinstance(value, dict) and isinstance(old, dict) and not replaces:
            for key, inner in value.items():
                lay((*keys, key), inner)
            return
        for other in _spellings(base.values, keys):
            if other not in child.origins:  # or it is for `_Checker` to refuse that both are set
                _move(base, other, None)
        base.put(keys, value, child.origin(keys))
        base.origins.update({k: o for k, o in child.origins.items() if k[: len(keys)] == keys})

    for key, value in child.values.items():
        lay((key,), value)


def _shorthands(tree: Tree) -> list[Keys]:
    data = tree.values.get("data")
    tests = data.get("tests") if isinstance(data, dict) else None
    return [*SHORTHANDS, *(("data", "tests", name, "sampler") for name in (tests if isinstance(tests, dict) else ()))]


def _expand(tree: Tree, keys: Keys) -> None:
    node: Any = tree.values
    for key in keys[:-1]:
        node = node.get(key) if isinstance(node, dict) else None
    if isinstance(node, dict) and isinstance(node.get(keys[-1]), str):
        node[keys[-1]] = {"name": node[keys[-1]]}
        tree.origins[(*keys, "name")] = tree.origin(keys)


def _rename(tree: Tree, quietly: bool = False) -> None:
    """Put fixed keys and registered names under their current names; options wait until their owner is known.

    Raises:
        InputError: a key under both of its names.
    """
    for old, new in deprecations.KEYS.items():
        old_keys, new_keys = tuple(old.split(".")), tuple(new.split("."))
        if not _has(tree.values, old_keys):
            continue
        if _has(tree.values, new_keys):
            raise InputError(f"{tree.origin(old_keys)}: {old}: the old name of {new}, which is set too")
        if not quietly:
            deprecations.warn(str(tree.origin(old_keys)), old, new)
        _move(tree, old_keys, new_keys)
    for keys, noun, key in deprecations.named_sections(tree.values):
        section = _get_in(tree.values, keys)
        name = section.get(key)
        if isinstance(name, str) and (new := catalog.REGISTRIES[noun].renamed(name)):
            if not quietly:
                place = str(tree.origin((*keys, key)))
                deprecations.warn(place, f"{dotted((*keys, key))}: {name}", new)
            section[key] = new


def _spellings(recipe: Mapping, keys: Keys) -> list[Keys]:
    """Return the other names of an option, old or new, whatever the thing that may have it is called."""
    *section, name = keys
    nouns = {noun for place, noun, _ in deprecations.named_sections(recipe) if place == tuple(section)}
    renames = [old for (noun, _), old in deprecations.OPTIONS.items() if noun in nouns]
    pairs = [pair for names in renames for pair in names.items()]
    return [(*section, b if name == a else a) for a, b in pairs if name in (a, b)]


def _has(values: Any, keys: Keys) -> bool:
    outer = _get_in(values, keys[:-1])
    return isinstance(outer, dict) and keys[-1] in outer


def _get_in(values: Any, keys: Keys) -> Any:
    """Return what stands at some keys; None where nothing does."""
    for key in keys:
        try:
            values = values[key]
        except (KeyError, IndexError, TypeError):
            return None
    return values


def _move(tree: Tree, old: Keys, new: Keys | None) -> None:
    """Move a value and its origins to other keys, or away where they are None; nothing where there is no value."""
    if not _has(tree.values, old):
        return
    value = _get_in(tree.values, old[:-1]).pop(old[-1])
    origins = {keys: origin for keys, origin in tree.origins.items() if keys[: len(old)] == old}
    tree.drop_origins(old)
    if new is not None:
        outer = _get_in(tree.values, new[:-1])
        if isinstance(outer, dict):
            outer[new[-1]] = value
        else:
            tree.put(new, value, origins.get(old) or tree.origin(old))
        tree.origins.update({(*new, *keys[len(old) :]): origin for keys, origin in origins.items()})


def _absolute_paths(tree: Tree, file: Path) -> None:
    """Make the paths of a recipe, which are relative to its file, absolute."""
    model = tree.values.get("model")
    if isinstance(model, dict) and isinstance(model.get("weights"), str):
        model["weights"] = os.path.abspath(file.parent / os.path.expanduser(model["weights"]))
    data = tree.values.get("data")
    sections = [data] if isinstance(data, dict) else []
    tests = data.get("tests") if isinstance(data, dict) else None
    sections += [t for t in tests.values() if isinstance(t, dict)] if isinstance(tests, dict) else []
    for section in sections:
        for key in _path_keys(section.get("source")):
            if isinstance(section.get(key), str) and not section[key].startswith(schema.ADDRESSES):
                section[key] = os.path.abspath(file.parent / os.path.expanduser(section[key]))


def _path_keys(source: Any) -> set[str]:
    """Return the path options of a source; those of built-ins if the name is left to the parent recipe."""
    keys = {"path", "csv"}
    if isinstance(source, str):
        with contextlib.suppress(InputError):
            keys |= {k for k, option in catalog.SOURCES.get(source).options.items() if option.type == "path"}
    return keys


def _override(tree: Tree, text: str) -> None:
    key, equals, value = text.partition("=")
    where = f"-o {text}"
    if not equals or not key.strip():
        raise InputError(f"{where}: must be key=value, such as fit.steps=50")
    keys = tuple(part.strip() for part in key.strip().split("."))
    new_value = parse_value(value, where)
    if keys in SHORTHANDS and isinstance(new_value, str):
        new_value = {"name": new_value}
    # Paths of an override are relative to the current folder.
    alone = Tree({}, {})
    alone.put(keys, new_value, Origin(where))
    _rename(alone)
    for old, new in deprecations.KEYS.items():
        if keys[: old.count(".") + 1] == tuple(old.split(".")):
            keys = (*new.split("."), *keys[old.count(".") + 1 :])
    _absolute_paths(alone, Path.cwd() / "override")
    for other in _spellings(tree.values, keys):
        _move(tree, other, None)
    tree.put(keys, _get_in(alone.values, keys), Origin(where))


class _Validator:
    """Validate a tree section by section and fill in defaults."""

    def __init__(self, tree: Tree, check_paths: bool = True, check_weights: bool = True):
        self.tree = tree
        self.check_paths = check_paths
        self.check_weights = check_weights
        self.renamed: dict[str, str] = {}  # dotted keys of options, old to new

    def lock(self, lock: dict) -> None:
        """Validate the record of a run, which may have been edited."""
        self._validate(schema.Lock, lock, ("lock",))

    def resolve(self, smoke: bool) -> dict:
        top = {"fit": {}, **self.tree.values}
        values = self._validate(schema.RecipeModel, top, ())
        values["callbacks"] = [
            self._named(catalog.CALLBACKS, c, ("callbacks", i)) for i, c in enumerate(values["callbacks"])
        ]
        settings = values["model"]
        model = self._named(catalog.MODELS, settings, ("model",), schema.FineTuning)
        spec = catalog.MODELS.get(model["name"])
        # A resolved recipe has keys of fine-tuning only if the recipe sets them.
        values["model"] = {k: v for k, v in model.items() if k in settings or k not in schema.FineTuning.model_fields}
        self._check_fine_tuning(model, spec)
        settings = values["loss"] or {}
        if isinstance(name := settings.get("name", spec.loss), str):
            # Under current names, before the model's own options join them.
            settings = self._renamed(self._get(catalog.LOSSES, name, ("loss", "name")), settings, ("loss",))
        values["loss"] = self._named(catalog.LOSSES, spec.loss_settings(settings), ("loss",))
        loss = catalog.LOSSES.get(values["loss"]["name"])
        if spec.kind not in loss.kinds:
            self._fail(
                ("loss",),
                f"the loss {loss.name} supports only {' and '.join(loss.kinds)} models; {spec.name} is a {spec.kind}",
            )
        try:
            catalog.task_of(spec, loss)
        except UnknownNameError as error:
            self._fail(("loss",), str(error))
        if "terms" in values["loss"]:
            try:
                values["loss"]["terms"] = spec.term_weights(values["loss"]["terms"])
            except InputError as error:
                self._fail(("loss", "terms"), str(error))
        values["data"] = self.data(values["data"], loss, ("data",), values["model"])
        values["fit"] = self._fit(values["fit"], spec)
        if smoke:
            self._shrink(values, spec)
        return values

    def _check_fine_tuning(self, model: dict, spec: ModelSpec) -> None:
        weights = model["weights"]
        if weights is not None and self.check_weights and not os.path.exists(weights):
            self._fail(("model", "weights"), f"no such run folder or file: {weights}")
        if model["trainable"] == "head" and spec.feature_layer is None:
            self._fail(("model", "trainable"), f"{spec.name} has no feature layer, so it has no head to train")

    def data(self, section: dict, loss: LossSpec, keys: Keys, model: Mapping | None = None) -> dict:
        source = section.get("source")
        if not isinstance(source, str):
            self._fail((*keys, "source"), f"must be the name of a source; known: {', '.join(catalog.SOURCES.names())}")
        spec = self._get(catalog.SOURCES, source, (*keys, "source"))
        tests = section.pop("tests", None) if keys == ("data",) else None
        section = self._renamed(spec, section, keys)
        data = self._validate(options_model("data", spec.options, schema.Data), section, keys, spec)
        for name, option in spec.options.items():
            missing = option.type == "path" and data[name] and not os.path.exists(data[name])
            if missing and self.check_paths and not data[name].startswith(schema.ADDRESSES):
                self._fail((*keys, name), f"no such file or folder: {data[name]}")
        data["sampler"] = self._sampler(data["sampler"] or {"name": loss.sampler}, loss, (*keys, "sampler"), model)
        if keys == ("data",):
            if tests is not None and not isinstance(tests, dict):
                self._fail((*keys, "tests"), f"must be a mapping of names to data. Received: {tests!r}")
            data["tests"] = {
                name: self.data(dict(test) if isinstance(test, dict) else {}, loss, (*keys, "tests", name), model)
                for name, test in (tests or {}).items()
            }
        return data

    def _sampler(self, settings: dict, loss: LossSpec, keys: Keys, model: Mapping | None) -> dict:
        sampler = self._named(catalog.SAMPLERS, settings, keys)
        spec, own = catalog.SAMPLERS.get(sampler["name"]), catalog.SAMPLERS.get(loss.sampler)
        if spec.makes != own.makes:
            fitting = [e.name for e in catalog.SAMPLERS.entries() if e.spec and e.spec.makes == own.makes]
            self._fail(
                keys,
                f"the sampler {spec.name} makes {spec.makes}, but the loss {loss.name} needs {own.makes}; "
                f"use {' or '.join(fitting)}",
            )
        counts = [(model or {}).get(key) for key in ("frames_in", "frames_out")]
        if None not in counts:
            try:
                # Samplers are small and import no Keras, so they validate their own options.
                spec.load()(*counts, **{name: value for name, value in sampler.items() if name != "name"})
            except InputError as error:
                self._fail(keys, str(error))
        return sampler

    def _fit(self, fit: dict, spec: ModelSpec) -> dict:
        if fit["steps"] and fit["epochs"]:
            self._fail(("fit", "epochs"), "set either steps or epochs, not both")
        if not (fit["steps"] or fit["epochs"]):
            self._fail(("fit",), "required key is missing: steps or epochs, such as steps: 1000")
        if fit["l2"] is None:
            fit["l2"] = spec.l2
        settings = {"name": spec.optimizer["name"], **(fit["optimizer"] or spec.optimizer)}
        name, keys = settings["name"], ("fit", "optimizer")
        if not isinstance(name, str):
            self._fail((*keys, "name"), f"must be the name of an optimizer. Received: {name!r}")
        optimizer = self._get(catalog.OPTIMIZERS, name, (*keys, "name"))
        reference = dict(spec.optimizer)
        if name == reference.pop("name"):
            settings = {**reference, **settings}
        rest = {k: v for k, v in settings.items() if k not in ("name", "learning_rate")}
        options = self._validate(
            options_model(name, keras_names.SHARED | dict(optimizer.options)), rest, keys, optimizer
        )
        clipping = [k for k in ("clipnorm", "clipvalue", "global_clipnorm") if options[k] is not None]
        if len(clipping) > 1:
            self._fail((*keys, clipping[1]), f"set only one kind of clipping, not {' and '.join(clipping)}")
        rate = settings.get("learning_rate", 1e-3)
        fit["optimizer"] = {"name": name, "learning_rate": self._rate(rate, fit, (*keys, "learning_rate")), **options}
        return fit

    def _rate(self, rate: Any, fit: dict, keys: Keys) -> Any:
        if isinstance(rate, dict):
            name = rate.get("name")
            if not isinstance(name, str) or name not in keras_names.SCHEDULES:
                self._fail((*keys, "name"), self._unknown("schedule", name, keras_names.SCHEDULES))
            options = keras_names.SCHEDULES[name]
            values = {k: v for k, v in rate.items() if k != "name"}
            schedule = self._validate(options_model(name, options), values, keys)
            if name == "PiecewiseConstantDecay" and len(schedule["values"]) != len(schedule["boundaries"]) + 1:
                self._fail((*keys, "values"), "must have one more value than boundaries")
            for key in ("decay_steps", "first_decay_steps"):
                if key in schedule and schedule[key] is None:
                    if not fit["steps"]:
                        self._fail(
                            (*keys, key),
                            "required key is missing (no default with fit.epochs)",
                        )
                    schedule[key] = fit["steps"]
            return {"name": name, **schedule}
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= sys.float_info.max:
            self._fail(keys, f"must be a number, at least 0, or a schedule {{name: …}}. Received: {rate!r}")
        return float(rate)

    def _shrink(self, values: dict, spec: ModelSpec) -> None:
        for key, value in spec.tiny.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool) and key not in SMOKE_KEEPS:
                self._lower(values, ("model", key), value)
        values["fit"]["epochs"] = None
        for key, value in SMOKE.items():
            self._lower(values, ("fit", key), value)

    def _lower(self, values: dict, keys: tuple[str, str], most: int) -> None:
        section, key = keys
        value = values[section][key]
        if not isinstance(value, (int, float)) or value > most:  # a pair [height, width], or None
            values[section][key] = most
            self.tree.origins[keys] = Origin("--smoke")

    def _named(
        self, registry: Registry, settings: dict, keys: Keys, base: type[schema.Section] = schema.Section
    ) -> dict:
        """Validate {name: …, options} against the spec of the name; return it with defaults."""
        noun, name = registry.spec_type.noun, settings.get("name")
        if not isinstance(name, str):
            self._fail((*keys, "name"), f"must be the name of a {noun}; known: {', '.join(registry.names())}")
        spec = self._get(registry, name, (*keys, "name"))
        rest = {k: v for k, v in self._renamed(spec, settings, keys).items() if k != "name"}
        return {"name": name, **self._validate(options_model(spec.name, spec.options, base), rest, keys, spec)}

    def _renamed(self, spec: Spec, section: Mapping, keys: Keys) -> dict:
        """Return the options of a registered thing under their current names."""
        names = deprecations.options(spec.noun, spec.name, spec.options)
        for old in [key for key in section if key in names]:
            new = names[old]
            if new in section:
                self._fail((*keys, old), f"the old name of {dotted((*keys, new))}, which is set too")
            place, self.renamed[dotted((*keys, old))] = str(self.tree.origin((*keys, old))), dotted((*keys, new))
            deprecations.warn(place, dotted((*keys, old)), dotted((*keys, new)))
            _move(self.tree, (*keys, old), (*keys, new))
        return {names.get(key, key): value for key, value in section.items()}

    def _get(self, registry: Registry, name: str, keys: Keys):
        try:
            return registry.get(name)
        except InputError as error:
            self._fail(keys, str(error))

    def _validate(self, model: type[schema.Section], values: Any, keys: Keys, spec: Spec | None = None) -> dict:
        """Return a section's values with defaults; `spec` is of the registered thing whose options it has."""
        try:
            return model.model_validate(values).model_dump()
        except ValidationError as error:
            first = error.errors()[0]
            at = (*keys, *(k for k in first["loc"] if _is_key(k, values)))
            if first["type"] == "extra_forbidden" or first["type"] == "missing":
                at = (*keys, *first["loc"])
            more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
            if spec and first["type"] == "extra_forbidden" and (others := self._others_with(first["loc"][0], spec)):
                self._fail(at, f"the {spec.noun} {spec.name} has no such option; {others}{more}")
            known = self._siblings(model, first["loc"], dotted((*keys, *first["loc"][:-1])))
            old = deprecations.options(spec.noun, spec.name, spec.options) if spec else {}
            self._fail(at, in_words(first, known, old) + more)

    @staticmethod
    def _others_with(option: str, spec: Spec) -> str:
        """Return in words which others of a spec's group have an option; "" if none has."""
        entries = catalog.REGISTRIES[spec.noun].offered()
        names = [entry.name for entry in entries if entry.spec and option in entry.spec.options]
        return f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} it" if names else ""

    @staticmethod
    def _siblings(model: type[schema.Section], loc: tuple, section: str) -> tuple[list[str], list[str]]:
        """Return the known keys of the same section, and the fixed ones of all sections."""
        near = [section + "." + k if section else k for k in schema.fixed_keys().get(section, [])]
        if len(loc) == 1:
            near = [f"{section}.{k}" if section else k for k in model.model_fields] + near
        other = [f"{s}.{k}" if s else k for s, names in schema.fixed_keys().items() for k in names]
        return list(dict.fromkeys(near)), other

    def _unknown(self, noun: str, name: Any, known: Mapping) -> str:
        hint = did_you_mean(str(name), known)
        return f"unknown {noun} {name!r}{hint or '; known: ' + ', '.join(known)}"

    def _fail(self, keys: Keys, message: str) -> None:
        raise InputError(f"{self.tree.origin(keys)}: {dotted(keys)}: {message}")


def _is_key(key: Any, values: Any) -> bool:
    # pydantic puts names of union branches into a location; show only the recipe's own keys.
    return isinstance(key, int) or (
        isinstance(key, str) and key.isidentifier() and key not in ("float", "int", "str", "bool")
    )


def to_yaml(values: Mapping, stream) -> None:
    """Write plain nested values as YAML that `load` reads back to the same values."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    yaml.width = 1000
    yaml.dump(dict(values), stream)
