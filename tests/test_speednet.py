"""speednet, speednet_i3d and s3dg: parity with the PyTorch reference, any length and size, counts, fine-tuning."""

from pathlib import Path

import keras
import numpy as np
import pytest
from torch_parity import speednet_weights

import kvzoo
from kvzoo.errors import InputError

PARITY = Path(__file__).parent / "data" / "speednet_parity.npz"
TINY = {"frames": 4, "image_size": 32, "width": 1 / 16}


@pytest.fixture(scope="module")
def parity():
    with np.load(PARITY) as file:
        case = dict(file)
    model = kvzoo.get("speednet", width=1 / 16, compile=False)
    weights = speednet_weights({k.removeprefix("state/"): v for k, v in case.items() if k.startswith("state/")})
    for layer in model.network.layers:
        if layer.weights:
            layer.set_weights(weights.pop(layer.name))
    assert not weights
    return model, case


def test_equals_the_pytorch_reference(parity):
    model, case = parity
    got = model.network.predict(case["clips"], verbose=0)
    assert np.abs(case["outputs"]).max() > 0.01
    np.testing.assert_allclose(got, case["outputs"], atol=1e-4)
