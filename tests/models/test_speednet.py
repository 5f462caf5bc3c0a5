"""speednet, speednet_i3d and s3dg: parity with the PyTorch reference, any length and size, counts, fine-tuning."""

import keras
import numpy as np
import pytest
from conftest import ROOT
from torch_parity import speednet_weights

import kvzoo
from kvzoo import zoo

PARITY = ROOT / "tests" / "reference" / "speednet_parity.npz"
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


@pytest.mark.parametrize(
    ("options", "count"),
    [({}, 9_129_376), ({"gates": False}, 7_910_048), ({"gates": False, "convolutions": "full"}, 12_287_264)],
    ids=["s3dg", "s3d", "i3d"],
)
def test_trunks_of_classifiers_have_the_counts_of_the_papers(options, count):
    network = kvzoo.get("s3dg", classes=7, compile=False, **options).network
    assert sum(int(np.prod(v.shape)) for v in network.trainable_variables) == count + 7 * 1025


def test_a_classifier_on_i3d_takes_the_trunk_of_speednet_i3d(tmp_path):
    first = kvzoo.get("speednet_i3d", **TINY, compile=False)
    first.network.save(tmp_path / "model.keras")
    options = {"temporal_stride": 1, "spatial_stride": 16, "gates": False, "convolutions": "full", "classes": 3}
    second = kvzoo.get("s3dg", **TINY, **options, compile=False)
    loaded, left = zoo.transfer(second, tmp_path / "model.keras")
    assert len(loaded) > 50 and left == ["logits"]
    clips = np.random.default_rng(0).uniform(-1, 1, (1, 4, 32, 32, 3)).astype("float32")
    maps = [keras.Model(m.network.inputs, m.network.get_layer("map").output)(clips) for m in (first, second)]
    np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, maps))
