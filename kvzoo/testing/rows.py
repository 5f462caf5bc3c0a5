"""The rows of the battery, one function each, and the model, examples and inputs that they put in."""

import functools
import inspect
import json
import math
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

import kvzoo
from kvzoo import catalog, zoo
from kvzoo.data.pipeline import Clips
from kvzoo.data.samplers import Sampler
from kvzoo.data.source import Source, Video
from kvzoo.errors import InputError
from kvzoo.kernels import private
from kvzoo.losses.base import VideoModel
from kvzoo.registry import Option, load_object
from kvzoo.run import checkpoint
from kvzoo.run.reproducible import deterministic_ops
from kvzoo.tasks.base import loss_of, task_of
from kvzoo.testing import ROWS
from kvzoo.testing.fresh import Fresh, installed_backends
from kvzoo.testing.measure import measure


class NotHere(Exception):
    """A row that has nothing to say about this model, or here; the message says why."""


@dataclass(frozen=True)
class Result:
    """What a row came to.

    Attributes:
        row: one of ROWS.
        state: "ok", "failed" or "skipped".
        detail: why it failed or was skipped, or a remark; one line.
        trace: the traceback of a failure.
    """

    row: str
    state: str
    detail: str = ""
    trace: str = ""


class Battery:
    """All rows for some models; processes that rows need are shared by them.

    Args:
        names: registered models.
    """

    def __init__(self, *names: str):
        self.names = names
        self._fresh = Fresh(names, _prepare)

    def run(self, name: str, row: str) -> str:
        """Run one row and return a remark, mostly "".

        Raises:
            NotHere: it does not apply.
            Exception: it fails; an AssertionError says in one line what does not hold.
        """
        function = _ROWS[row]
        return (function(name, self._fresh) if row in ("save", "backends") else function(name)) or ""

    def results(self, name: str, rows: tuple[str, ...] = tuple(ROWS)) -> Iterator[Result]:
        """Yield what each row came to."""
        for row in rows:
            try:
                yield Result(row, "ok", self.run(name, row))
            except NotHere as reason:
                yield Result(row, "skipped", str(reason))
            except (Exception, SystemExit) as error:
                message = " ".join(str(error).split()) or "no message"
                kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
                yield Result(row, "failed", f"{kind}{message}"[:300], traceback.format_exc())


# What is put in


def tiny(name: str, **options) -> VideoModel:
    """Return a model at the tiny configuration of its spec."""
    return kvzoo.get(name, **{**catalog.MODELS.get(name).tiny, **options})


class _Waves(Source):
    """Videos of wavy patterns that drift steadily, which any kind of model can learn; labels are numbers modulo `classes`."""

    def __init__(self, count: int, frames: int, classes: int, seed: int):
        super().__init__(Video(f"waves {i}", frames, 25.0, str(i), str(i % classes), i) for i in range(count))
        self._seed = seed

    def decode(self, video, start, stop, image_size, channels):
        rng = np.random.default_rng((self._seed, video.key))
        times, places = np.arange(start, stop)[:, None, None], np.arange(image_size)[:, None]

        def drifting() -> np.ndarray:
            velocity, length = rng.uniform(-1, 1), rng.uniform(8, 16)  # pixels a frame, pixels
            return np.sin(2 * np.pi * ((places - velocity * times) / length + rng.random(channels)))

        rows, columns = drifting(), drifting()
        return np.rint(127.5 + 127.5 * rows[:, :, None] * columns[:, None]).astype(np.uint8)


def examples_for(model: VideoModel, count: int = 4, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Return `count` examples as `fit` takes them: drifting patterns, cut by a sampler for the model's loss."""
    sampler = _sampler(model)
    classes = model.wanted_classes
    source = _Waves(count, sampler.needs, classes or 2, seed)
    labels = () if classes is None else tuple(str(i) for i in range(classes or 2))
    clips = Clips(source, source.videos, sampler, model.clip_shapes, classes=labels)
    rng = np.random.default_rng(seed)
    examples = [clips.example(i, rng) for i in range(count)]
    return sampler.batch(tuple(np.stack(parts) for parts in zip(*examples, strict=True)), rng)


def _sampler(model: VideoModel) -> Sampler:
    """Return the sampler of the model's loss, or where that does not suit the model one that makes the same."""
    own = catalog.SAMPLERS.get(catalog.LOSSES.get(model.loss_name).sampler)
    every = [entry.spec for entry in catalog.SAMPLERS.entries() if entry.spec]
    reasons = []
    for spec in (own, *(s for s in every if s.makes == own.makes)):
        try:
            return spec.load()(*(shape[0] for shape in model.clip_shapes))
        except (InputError, TypeError) as error:
            reasons.append(error)
    raise reasons[0]


def inputs_for(model: VideoModel, count: int = 2, seed: int = 0) -> list[np.ndarray]:
    """Return `count` of what a model's network takes, in the order of its inputs: noise, labels from 0."""
    rng = np.random.default_rng(seed)
    draw = {"noise": rng.standard_normal, "label": lambda shape: np.arange(count)}
    # A network that takes clips of any size is given the model's.
    shapes = [model.clip_shape if None in x.shape[1:] else x.shape[1:] for x in model.network.inputs]
    return [
        draw.get(x.name, lambda shape: rng.uniform(-1, 1, shape))((count, *shape)).astype(x.dtype)
        for x, shape in zip(model.network.inputs, shapes, strict=True)
    ]


def networks_of(model: VideoModel) -> dict[str, keras.Model]:
    """Return the networks of a model by their names in the spec."""
    return getattr(model, "networks", {"network": model.network})


def _predict(network: keras.Model, inputs: list[np.ndarray]) -> np.ndarray:
    # Not `predict`, which would trace each network anew.
    out = network(inputs if len(inputs) > 1 else inputs[0], training=False)
    return np.asarray(keras.ops.convert_to_numpy(out), "float32")


# The rows


def _spec(name: str) -> None:
    spec = catalog.MODELS.get(name)
    loss = catalog.LOSSES.get(spec.loss)
    assert spec.kind in loss.kinds, f"its loss {loss.name} trains {', '.join(loss.kinds)}; its kind is {spec.kind}"
    for path in (spec.builder, *spec.discriminators.values()):
        arguments = inspect.signature(load_object(path)).parameters
        if any(a.kind == a.VAR_KEYWORD for a in arguments.values()):
            continue
        assert set(arguments) == set(spec.options), (
            f"{path} takes {', '.join(arguments)}; the spec's options are {', '.join(spec.options)}"
        )
        for key, option in spec.options.items():
            default = arguments[key].default
            assert option.required or default is inspect.Parameter.empty or default == option.default, (
                f"{path}: {key} is {default!r} by default; the spec says {option.default!r}"
            )
    unknown = set(spec.tiny) - set(spec.options)
    assert not unknown, f"tiny: {', '.join(sorted(unknown))}: no such option"
    model = tiny(name)
    layers = {layer.name for layer in model.network.layers}
    for what, layer in (("feature_layer", spec.feature_layer), ("map_layer", spec.map_layer)):
        assert layer is None or layer in layers, f"{what}: the network has no layer {layer!r}"
    for layer in spec.maps:
        assert layer in layers, f"maps: the network has no layer {layer!r}"


def _parameters(name: str) -> None:
    spec = catalog.MODELS.get(name)
    networks = networks_of(kvzoo.get(name, compile=False))
    counts = {part: sum(math.prod(v.shape) for v in n.trainable_variables) for part, n in networks.items()}
    assert counts == dict(spec.parameters), f"counted {counts}; the spec says {dict(spec.parameters)}"


def _shape(name: str) -> str | None:
    model, spec = tiny(name), catalog.MODELS.get(name)
    _follows(model)
    inputs = inputs_for(model, 3)
    together, alone = _predict(model.network, inputs), _predict(model.network, [x[:1] for x in inputs])
    assert np.allclose(together[:1], alone, atol=1e-5), "a clip's output depends on the others in its batch"
    sizes = [key for key in ("frames", "frames_in", "frames_out", "image_size") if key in spec.options]
    for key in sizes:
        for size in _other_sizes(spec.options[key], model.config[key]):
            _follows(tiny(name, **{key: size}))
    return None if sizes else "no options frames and image_size: tested at one size only"


def _other_sizes(option: Option, at: int) -> list[int]:
    """Return further legal values: twice as much, and one step more; of choices the next."""
    if option.choices:
        return sorted(c for c in option.choices if c != at)[:1]
    sizes = dict.fromkeys([2 * at, at + int(option.multiple_of or 1)])
    return [size for size in sizes if size <= (option.maximum or math.inf)]


def _follows(model: VideoModel) -> None:
    """Check that a network's shapes are what its task and configuration say."""
    inputs = inputs_for(model)
    clip = next((x.shape[1:] for x in inputs if x.ndim == 5), ())
    task_of(model).check_shapes(model, clip, _predict(model.network, inputs).shape)


def _finite(name: str) -> None:
    model = tiny(name)
    inputs = inputs_for(model)
    flat = {"black": -1.0, "grey": 0.0, "white": 1.0}
    cases = {"noise": inputs}
    cases |= {k: [x if x.dtype.kind in "iu" else np.full_like(x, v) for x in inputs] for k, v in flat.items()}
    for what, arrays in cases.items():
        out = _predict(model.network, arrays)
        bad = int(out.size - np.isfinite(out).sum())
        assert not bad, f"{bad} of {out.size} outputs for {what} are not finite"
        if out.ndim == 5:
            most = float(np.abs(out).max())
            assert most <= 1, f"an output for {what} is {most:.3g} in size; a clip is within -1..1"


def _range(name: str) -> None:
    model = tiny(name)
    integers = examples_for(model)
    scaled = tuple(x.astype("float32") / 127.5 - 1 if x.dtype == np.uint8 else x for x in integers)
    if task_of(model).repeatable:
        a, b = (loss_of(model.evaluate(*x, verbose=0, return_dict=True)) for x in (integers, scaled))
        assert math.isclose(a, b, rel_tol=1e-5), f"the loss on uint8 is {a:.6g}, on the same values as float {b:.6g}"
    for examples in (integers, scaled):
        loss = loss_of(model.fit(*examples, verbose=0).history)
        assert np.isfinite(loss).all(), f"the loss after a step on {examples[0].dtype} is {loss}"


def _gradients(name: str) -> None:
    model = tiny(name, compile=False)
    zoo.compile_model(model, {"name": "adam", "learning_rate": 1e-3}, 0.0)  # L2 would move any weight
    # A bias before a batch norm changes nothing: its gradient is zero.
    idle = {
        id(layer.bias)
        for network in networks_of(model).values()
        for layer in private.layers_of(network)
        if getattr(layer, "bias", None) is not None
        and any(isinstance(x, keras.layers.BatchNormalization) for x in private.consumers_of(layer))
    }
    before = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    model.fit(*examples_for(model), epochs=2, batch_size=2, verbose=0)
    still = [
        v.path
        for v, b in zip(model.trainable_variables, before, strict=True)
        if (keras.ops.convert_to_numpy(v) == b).all() and id(v) not in idle
    ]
    assert not still, f"no gradient reaches {', '.join(still[:5])}{' and others' if len(still) > 5 else ''}"


def _loss(name: str) -> None:
    if catalog.MODELS.get(name).discriminators:
        raise NotHere("adversarial losses need not decrease")
    keras.utils.set_random_seed(0)
    model = tiny(name, compile=False)
    zoo.compile_model(model, {"name": "adam", "learning_rate": 3e-3}, 0.0)
    # Batch norms deep in a tiny network have little but the batch to count on.
    first, last = task_of(model).overfit(model, examples_for(model, 8))
    assert last < 0.8 * first, f"{first:.4g} at first, {last:.4g} after 60 steps; must fall below 80 %"


def _causal(name: str) -> None:
    if not catalog.MODELS.get(name).causal:
        raise NotHere("not causal by its spec")
    keras.utils.set_random_seed(0)
    model = tiny(name)
    network = model.network
    for weight in network.trainable_variables:
        weight.assign(2.0 * weight)  # fresh weights answer with next to nothing
    (clip,) = inputs_for(model, 1)
    for t in {clip.shape[1] // 2, clip.shape[1] - 1} - {0}:
        changed = clip.copy()
        changed[:, t:] = -changed[:, t:]
        difference = np.abs(_predict(network, [clip]) - _predict(network, [changed]))
        before = float(difference[:, :t].max())
        assert before <= 1e-6, f"frames from {t} on change outputs before them, by {before:.3g}"
        assert difference[:, t].max() > 1e-6, f"frame {t} does not change output {t}"


def _config(name: str) -> None:
    model, spec = tiny(name), catalog.MODELS.get(name)
    assert type(spec).from_json(json.loads(json.dumps(spec.to_json()))) == spec, "the spec changes in JSON"
    config = json.loads(json.dumps(model.config))
    again = kvzoo.get(name, **config)
    changed = [key for key in model.config if again.config.get(key) != model.config[key]]
    assert not changed, f"after JSON {changed[0]} is {again.config[changed[0]]!r}; it was {model.config[changed[0]]!r}"
    shapes = [[tuple(v.shape) for v in m.variables] for m in (model, again)]
    assert shapes[0] == shapes[1], "the same configuration builds another network the second time"


def _precision(name: str) -> None:
    with zoo.dtype_policy("mixed_bfloat16"):
        model = tiny(name)
        loss = loss_of(model.fit(*examples_for(model), verbose=0).history)
    assert np.isfinite(loss).all(), f"the loss in mixed_bfloat16 is {loss}"


@deterministic_ops()
def _resume(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        start, end = Path(folder) / "start", Path(folder) / "end"
        start.mkdir()
        end.mkdir()

        def train(model: VideoModel, steps: int) -> dict[str, np.ndarray]:
            model.fit(*examples_for(model), batch_size=2, shuffle=False, verbose=0)
            at = start if steps == 2 else end
            checkpoint.save(at, model, steps, {})
            return checkpoint.read_newest(at)[1]

        keras.utils.set_random_seed(0)
        whole = tiny(name)
        interrupted = train(whole, 2)
        expected = train(whole, 4)
        keras.utils.set_random_seed(1)
        resumed = tiny(name)
        checkpoint.restore(resumed, interrupted)
        actual = train(resumed, 4)
    different = [
        key.partition(":")[2] for key in expected if not np.array_equal(expected[key], actual[key], equal_nan=True)
    ]
    assert not different, (
        f"{len(different)} of {len(expected)} arrays are not bit-exact, such as {different[0]}; "
        "all state of training, random state included, must be in Keras variables"
    )


def _prepare(name: str, folder: Path) -> dict:
    """Write what a fresh process is to read, and return what this one sees: its output, and a way to measure it."""
    model, rng = tiny(name), np.random.default_rng(0)
    networks, examples = networks_of(model), examples_for(model)
    # Weights that no initializer gives: of a step of training where it pays, as all that follows trains as well.
    if len(installed_backends()) > 1:
        model.fit(*examples, verbose=0)
    else:
        for network in networks.values():
            weights = network.get_weights()
            network.set_weights([w * rng.uniform(0.9, 1.1, w.shape) if w.dtype.kind == "f" else w for w in weights])
    model.network.save(folder / "network.keras")
    inputs = inputs_for(model, seed=1)
    np.savez(folder / "inputs.npz", *inputs)
    np.savez(folder / "examples.npz", *examples)
    for part, network in networks.items():
        np.savez(folder / f"{part}.npz", *network.get_weights())
    return {"output": _predict(model.network, inputs), "measured": functools.cache(lambda: measured(name, folder))}


def measured(name: str, folder: Path) -> dict:
    """Build a model, take the prepared weights over and measure it on this process's backend."""
    model = tiny(name)
    for part, network in networks_of(model).items():
        network.set_weights(list(np.load(folder / f"{part}.npz").values()))
    return measure(model, tuple(np.load(folder / "examples.npz").values()))


def _save(name: str, fresh: Fresh) -> str:
    first = tiny(name)
    with tempfile.TemporaryDirectory() as folder:
        first.network.save(Path(folder) / "model.keras")
        second, inputs = tiny(name, weights=Path(folder) / "model.keras"), inputs_for(first)
    same = np.array_equal(_predict(first.network, inputs), _predict(second.network, inputs))
    assert same, "a model with the saved weights returns different outputs"
    expected, results = fresh.result(name, keras.backend.backend())
    loaded = results["loaded"]
    assert "error" not in loaded, f"in a fresh process: {loaded['error']}"
    worst = float(np.abs(loaded["output"] - expected["output"]).max())
    assert worst <= 1e-6, f"loaded in a fresh process its outputs differ by {worst:.3g}"
    return loaded["remark"]


def _backends(name: str, fresh: Fresh) -> str:
    here = keras.backend.backend()
    others = [backend for backend in installed_backends() if backend != here]
    if not others:
        raise NotHere(f"{here} is the only installed backend")
    for backend in others:
        expected, results = fresh.result(name, backend, others)
        a, b = expected["measured"](), results["measured"]
        assert "error" not in b, f"on {backend}: {b['error']}"
        assert np.isfinite(b["fit"]).all(), f"{backend}: the loss of a fit is {b['fit']}"
        assert math.isclose(a["score"], b["score"], rel_tol=1e-4), (
            f"{backend}: {b['score']:.7g}, {here}: {a['score']:.7g}"
        )
        assert np.allclose(b["losses"][:1], a["losses"][:1], rtol=1e-4), (
            f"losses on {backend}: {b['losses']}, on {here}: {a['losses']}"
        )
        # What a step changes is compared by itself: it is a small part of the loss.
        steps = [np.diff(x["losses"]) for x in (a, b)]
        assert np.allclose(*steps, rtol=0.02, atol=2e-5 * max(map(abs, a["losses"]))), (
            f"losses before and after a step on {backend}: {b['losses']}, on {here}: {a['losses']}"
        )
    return f"{here} and {', '.join(others)}"


_ROWS = {row: globals()[f"_{row}"] for row in ROWS}
