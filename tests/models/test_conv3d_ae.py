"""The 3D-CNN autoencoder against its PyTorch reference, and its shape law."""

import math
import sys

import numpy as np
import pytest
from conftest import ROOT
from torch_parity import conv3d_ae_weights

import kvzoo
from kvzoo.errors import InputError
from kvzoo.models.conv3d_ae import conv3d_ae

SMALL_CASE = ROOT / "tests" / "reference" / "conv3d_ae_parity.npz"


def parameters(network) -> int:
    return sum(math.prod(v.shape) for v in network.trainable_variables)


def test_equals_the_stored_pytorch_outputs():
    # Made by tests/reference/make_parity.py from the PyTorch reference, width 2, 16 RGB frames of 32x32.
    with np.load(SMALL_CASE) as case:
        state = {k.removeprefix("state/"): case[k] for k in case.files if k.startswith("state/")}
        clips, expected = case["clips"], case["outputs"]
    network = conv3d_ae(image_size=32, channels=3, latent_dim=5, width=2)
    network.set_weights(conv3d_ae_weights(state, small=(1, 2, 2)))
    np.testing.assert_allclose(network.predict(clips, verbose=0), expected, atol=1e-5)
    assert np.abs(expected).mean() > 0.1


@pytest.mark.parametrize(
    "sizes", [{}, {"frames": 32, "size": 48, "channels": 3, "latent": 7, "width": 4}], ids=["reference", "small"]
)
def test_equals_the_pytorch_reference(real_data, sizes):
    torch = pytest.importorskip("torch")
    sys.path.insert(0, str(real_data.parent / "bench"))
    reference = pytest.importorskip("torch_reference")
    torch.manual_seed(0)
    theirs = reference.Conv3dAutoencoder(**sizes)
    ours = kvzoo.get(
        "conv3d_ae",
        compile=False,
        **{{"size": "image_size", "latent": "latent_dim"}.get(k, k): v for k, v in sizes.items()},
    ).network
    assert parameters(ours) == sum(weight.numel() for weight in theirs.parameters())
    frames, size, _, channels = ours.input_shape[1:]
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.mul_(2.0)  # the default weights give outputs near zero, which hide mistakes
        for _ in range(2):
            theirs(torch.rand(2, channels, frames, size, size) * 2 - 1)  # running statistics that are not 0 and 1
    theirs.eval()
    state = {k: v.numpy() for k, v in theirs.state_dict().items() if "num_batches" not in k}
    ours.set_weights(conv3d_ae_weights(state, small=(frames // 16, size // 16, size // 16)))
    clips = np.random.default_rng(0).uniform(-1, 1, (2, *ours.input_shape[1:])).astype("float32")
    with torch.no_grad():
        expected = theirs(torch.tensor(clips.transpose(0, 4, 1, 2, 3).copy())).numpy().transpose(0, 2, 3, 4, 1)
    np.testing.assert_allclose(ours.predict(clips, verbose=0), expected, atol=1e-4)
    assert np.abs(expected).mean() > 0.1


def test_fresh_weights_spread_as_pytorchs():
    network = kvzoo.get("conv3d_ae", compile=False, image_size=32, width=16).network
    flat = 1 * 2 * 2 * 128
    # Uniform within 1 / sqrt(fan-in), which a transposed convolution counts over its outputs.
    fans = [64, 64 * 16, 64 * 32, 64 * 64, flat, flat, 128, 128, 64 * 64, 64 * 32, 64 * 16, 64]
    drawn = [w for w in network.trainable_variables if "batch_norm" not in w.path]
    assert len(drawn) == len(fans)
    for weight, fan_in in zip(drawn, fans, strict=True):
        assert np.abs(np.asarray(weight)).max() == pytest.approx(fan_in**-0.5, rel=0.1)
        assert np.abs(np.asarray(weight)).max() <= fan_in**-0.5


@pytest.mark.parametrize(("frames", "image_size", "channels"), [(16, 16, 3), (32, 48, 1), (48, 16, 1)])
def test_any_sizes_of_16_and_channels(frames, image_size, channels):
    network = conv3d_ae(frames=frames, image_size=image_size, channels=channels, width=2, latent_dim=4)
    clips = np.zeros((2, frames, image_size, image_size, channels), "float32")
    assert network.predict(clips, verbose=0).shape == clips.shape


@pytest.mark.parametrize("option", ["frames", "image_size"])
@pytest.mark.parametrize("size", [0, 8, 50, -16])
def test_other_sizes_are_refused(option, size):
    with pytest.raises(ValueError, match=f"{option} .*{size}"):
        conv3d_ae(**{option: size})
    with pytest.raises(InputError, match=option):
        kvzoo.get("conv3d_ae", **{option: size})


def test_options_scale_the_network():
    # Kernels of both halves (each layer against its mirror), dense layers, batch norms.
    width, latent_dim, flat = 4, 6, 8 * 4 * 2 * 3 * 3
    kernels = 2 * 64 * (width + 2 * width**2 + 8 * width**2 + 32 * width**2)
    dense = flat * latent_dim + latent_dim + latent_dim * flat + flat
    norms = 2 * (15 + 7) * width
    network = conv3d_ae(frames=32, image_size=48, latent_dim=latent_dim, width=width)
    assert parameters(network) == kernels + dense + norms


def test_the_code_is_one_point():
    network = conv3d_ae(frames=32, image_size=16, width=2, latent_dim=7)
    assert network.get_layer("latent").output.shape == (None, 7)
