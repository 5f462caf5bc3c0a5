"""What must hold on JAX and PyTorch beside the battery's row `backends`: runs, and life without TensorFlow."""

import importlib.util

import pytest
from backends import BACKENDS


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
