"""The three backends agree: the same loss for the same weights and batch, weights that go across, training."""

import importlib.util
import json

import numpy as np
import pytest

from kvzoo import catalog

MODELS = [entry.name for entry in catalog.MODELS.entries() if entry.distribution == "kvzoo"]

SCRIPT = """
import json, sys
import keras, numpy as np
import kvzoo
from kvzoo import catalog
name, folder = {name!r}, {folder!r}
assert keras.backend.backend() == {backend!r}
spec = catalog.MODELS.get(name)
# The backends have no common random numbers: dropout is left out.
options = dict(spec.tiny) | ({{"dropout": 0.0}} if "dropout" in spec.options else {{}})
model = kvzoo.get(name, **options)
if {first}:
    model.network.save(folder + "/model.keras")
else:
    model = kvzoo.get(name, weights=folder + "/model.keras", **options)
if spec.kind == "translator":
    # Its critics have fresh weights: their turns are compared in test_conditional.
    model = kvzoo.get(name, loss={{"gan_weight": 0.0}}, weights=folder + "/model.keras", **options)
rng = np.random.default_rng(0)
clips = [rng.integers(0, 256, (4, *shape), dtype=np.uint8) for shape in model.clip_shapes]
examples = (*clips, np.arange(4) % (model.classes or 2)) if model.takes_labels else clips
loss = "g_loss" if spec.kind == "translator" else "loss"
if model.spec.kind == "generator":
    # Its steps are compared in test_adversarial, with the same noise put in; here, what it makes of one.
    names = {{x.name for x in model.network.inputs}}
    given = {{"labels": examples[-1]}} if "label" in names else {{}}
    given |= {{"images": clips[0][:, 0]}} if "image" in names else {{}}
    made = model.generate(4, seed=1, **given).astype(float)
    result = {{"loss": made.mean(), "losses": made.mean((1, 2, 3, 4)).tolist()}}
    result["fit"] = model.fit(*examples, batch_size=2, verbose=0).history["g_loss"]
else:
    result = {{"loss": model.evaluate(*examples, verbose=0, return_dict=True)[loss]}}
    # The same draws are put in the place of each backend's.
    def injected(x, training=False):
        draws = np.random.default_rng(1).normal(size=(1, *x.shape[1:])).astype("float32")
        return x + draws if training else x
    for layer in model.network._flatten_layers():
        if isinstance(layer, keras.layers.GaussianNoise):
            layer.call = injected
        assert not isinstance(layer, keras.layers.Dropout), "inject its draws here too"
    result["losses"] = [float(model.train_on_batch(*examples, return_dict=True)[loss]) for _ in range(3)]
    result["fit"] = model.fit(*examples, batch_size=2, verbose=0).history[loss]
print("RESULT", json.dumps(result))
"""


def run(in_process, backend: str, name: str, folder, first: bool) -> dict:
    code = SCRIPT.format(name=name, folder=str(folder), backend=backend, first=first)
    out = in_process(code, env={"KERAS_BACKEND": backend})
    return json.loads(out.split("RESULT ")[1])


@pytest.fixture(scope="module", params=MODELS)
def on_tensorflow(request, tmp_path_factory):
    """The result on TensorFlow, and the weights that it saved."""
    from conftest import python_in_process

    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, run(python_in_process, "tensorflow", request.param, folder, True)


# Marks, as skips within a test come after its fixtures are made.
BACKENDS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(name) is None, reason=f"{name} is not installed: pip install 'kvzoo[{name}]'"
        ),
    )
    for name in ("jax", "torch")
]


@pytest.mark.backend
@pytest.mark.parametrize("backend", BACKENDS)
def test_backend_agrees_with_tensorflow(in_process, on_tensorflow, backend):
    name, folder, expected = on_tensorflow
    got = run(in_process, backend, name, folder, False)
    assert got["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    assert got["losses"][0] == pytest.approx(expected["losses"][0], rel=1e-4)
    np.testing.assert_allclose(got["losses"], expected["losses"], rtol=1e-3)
    assert np.isfinite(got["fit"]).all()


@pytest.mark.backend
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_recipe_runs_resumes_and_loads(in_process, tmp_path, backend):
    recipe = tmp_path / "small.yaml"
    recipe.write_text(
        "model: {name: gru_ae, frames: 2, image_size: 16, latent_dim: 4, units: 6, width: 2}\n"
        "data: {source: stick_actions, videos: 8, people: 4, seconds: 0.4, actions: [walk, bend]}\n"
        "fit: {steps: 4, batch_size: 2, sample_every: 2, checkpoint_every: 2}\n"
    )
    code = (
        "import kvzoo, numpy as np\n"
        "from kvzoo.run import checkpoint\n"
        f"whole = kvzoo.fit({str(recipe)!r}, ['fit.steps=6'], out={str(tmp_path / 'whole')!r})\n"
        f"kvzoo.fit({str(recipe)!r}, out={str(tmp_path / 'cut')!r})\n"
        f"cut = kvzoo.resume({str(tmp_path / 'cut')!r}, ['fit.steps=6'])\n"
        "a, b = (checkpoint.read_newest(r.path / 'checkpoints')[1] for r in (whole, cut))\n"
        "assert a.keys() == b.keys()\n"
        "for name in a: np.testing.assert_allclose(a[name], b[name], atol=1e-6, err_msg=name)\n"
        f"assert kvzoo.load({str(tmp_path / 'cut')!r}).clip_shape == (2, 16, 16, 1)\n"
    )
    in_process(code, env={"KERAS_BACKEND": backend})


@pytest.mark.backend
def test_works_where_tensorflow_cannot_be_imported(in_process, tmp_path):
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed: pip install 'kvzoo[jax]'")
    code = (
        "import sys\n"
        "sys.modules['tensorflow'] = None\n"
        f"import os; os.chdir({str(tmp_path)!r})\n"
        "import kvzoo, numpy as np\n"
        "model = kvzoo.get('gru_ae', frames=2, image_size=16, width=2)\n"
        "model.fit(np.zeros((2, 2, 16, 16, 1), 'uint8'), verbose=0)\n"
        "kvzoo.fit('gru_ae', ['fit.steps=2'], smoke=True)\n"
    )
    in_process(code, env={"KERAS_BACKEND": "jax"})
