"""GRU-AE against its PyTorch reference, and its shape law."""

import sys

import keras
import numpy as np
import pytest
from conftest import ROOT
from torch_parity import gru_ae_weights

import kvzoo
from kvzoo.errors import InputError
from kvzoo.models.gru_ae import gru_ae

SMALL_CASE = ROOT / "tests" / "reference" / "gru_ae_parity.npz"


def test_equals_the_stored_pytorch_outputs():
    # Made by tests/reference/make_parity.py from the PyTorch reference, width 4, two frames of 32x32.
    with np.load(SMALL_CASE) as case:
        state = {k.removeprefix("state/"): case[k] for k in case.files if k.startswith("state/")}
        clips, expected = case["clips"], case["outputs"]
    network = gru_ae(frames=2, image_size=32, latent_dim=6, units=10, width=4)
    network.set_weights(gru_ae_weights(state, width=4, small=2))
    np.testing.assert_allclose(network.predict(clips, verbose=0), expected, atol=1e-5)
    assert np.abs(expected).mean() > 0.1


def test_equals_the_pytorch_reference(real_data):
    torch = pytest.importorskip("torch")
    sys.path.insert(0, str(real_data.parent / "bench"))
    reference = pytest.importorskip("torch_reference")
    torch.manual_seed(0)
    network = reference.GruAutoencoder()
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(2.0)  # the default weights give outputs near zero, which hide mistakes
        for _ in range(3):
            network(torch.rand(4, 4, 1, 64, 64) * 2 - 1)  # running statistics that are not 0 and 1
    network.eval()
    state = {k: v.numpy() for k, v in network.state_dict().items() if "num_batches" not in k}
    ours = kvzoo.get("gru_ae").network
    ours.set_weights(gru_ae_weights(state))
    clips = np.random.default_rng(0).uniform(-1, 1, (3, 4, 64, 64, 1)).astype("float32")
    with torch.no_grad():
        theirs = network(torch.tensor(clips.transpose(0, 1, 4, 2, 3).copy())).numpy().transpose(0, 1, 3, 4, 2)
    np.testing.assert_allclose(ours.predict(clips, verbose=0), theirs, atol=1e-4)
    assert np.abs(theirs).mean() > 0.05


@pytest.mark.parametrize(("frames", "image_size", "channels"), [(1, 16, 1), (5, 48, 3), (16, 32, 1)])
def test_any_frames_sizes_of_16_and_channels(frames, image_size, channels):
    network = gru_ae(frames=frames, image_size=image_size, channels=channels, width=2, latent_dim=4, units=5)
    clips = np.zeros((2, frames, image_size, image_size, channels), "float32")
    assert network.predict(clips, verbose=0).shape == clips.shape


@pytest.mark.parametrize("size", [0, 8, 50, -16])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match=str(size)):
        gru_ae(image_size=size)
    with pytest.raises(InputError, match="image_size"):
        kvzoo.get("gru_ae", image_size=size)


def test_the_initial_state_is_noise_in_training_and_zero_at_inference():
    network = gru_ae(frames=2, image_size=16, width=2, latent_dim=4, units=2000)
    state = keras.Model(network.input, network.get_layer("initial_state").output)
    clips = np.zeros((3, 2, 16, 16, 1), "float32")
    assert not keras.ops.convert_to_numpy(state(clips)).any()
    noise = keras.ops.convert_to_numpy(state(clips, training=True))
    assert abs(noise.mean()) < 0.05
    assert abs(noise.std() - 1) < 0.05


def test_the_code_is_a_sequence_of_latents():
    network = gru_ae(frames=5, image_size=16, width=2, latent_dim=7, units=5)
    assert network.get_layer("latents").output.shape == (None, 5, 7)
