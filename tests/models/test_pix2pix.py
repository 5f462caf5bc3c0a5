"""pix2pix's networks against their PyTorch reference, their shape laws, and what a patch sees."""

import math

import keras
import numpy as np
import pytest
from conftest import ROOT

import kvzoo
from kvzoo.errors import InputError
from kvzoo.models.pix2pix import PATCHES, SIZES, pix2pix, pix2pix_discriminator

SMALL = {"frames_in": 2, "frames_out": 3, "image_size": 32, "channels": 3, "channels_out": 1, "width": 2, "patch": 34}


def parameters(network) -> int:
    return sum(math.prod(v.shape) for v in network.trainable_variables)


# From PyTorch


def kernel(array: np.ndarray) -> np.ndarray:
    """Return a kernel in Keras's order of axes, of a convolution or a transposed one."""
    return np.transpose(array, (2, 3, 1, 0))


def load(network: keras.Model, state: dict, places: dict[str, str]) -> None:
    """Give layers the weights of PyTorch's; `places` has their names, a batch norm follows its convolution."""
    for layer, place in places.items():
        weights = [kernel(state[f"{place}.weight"])]
        if network.get_layer(layer).use_bias:
            weights.append(state[f"{place}.bias"])
        network.get_layer(layer).set_weights(weights)
        prefix, _, number = place.rpartition(".")
        norm = f"{prefix}.{int(number) + 1}".lstrip(".")
        if f"{norm}.running_mean" in state:
            parts = ("weight", "bias", "running_mean", "running_var")
            network.get_layer(f"{layer}_norm").set_weights([state[f"{norm}.{part}"] for part in parts])


def parity_case(name: str) -> tuple[dict, np.ndarray, np.ndarray]:
    with np.load(ROOT / "tests" / "reference" / f"{name}_parity.npz") as case:
        state = {key.removeprefix("state/"): case[key] for key in case.files if key.startswith("state/")}
        return state, case["clips"], case["outputs"]


def frames(stacked: np.ndarray, channels: int) -> np.ndarray:
    """Return what PyTorch has on its channel axis, here the last, as frames (B, T, H, W, C)."""
    count, height, width, depth = stacked.shape
    return stacked.reshape(count, height, width, depth // channels, channels).transpose(0, 3, 1, 2, 4)


def test_the_u_net_is_pytorchs():
    state, inputs, wanted = parity_case("pix2pix")
    network = pix2pix(**SMALL)
    places = {f"encoder_{i + 1}": f"down.{i}.{1 if i else 0}" for i in range(4)} | {"bottleneck": "down.4.1"}
    places |= {f"decoder_{i + 1}": f"up.{i}.1" for i in range(4)} | {"head": "out.1"}
    load(network, state, places)
    made = network.predict(frames(inputs, 3), verbose=0)
    assert np.abs(wanted).mean() > 0.2
    np.testing.assert_allclose(made, frames(wanted, 1), atol=1e-4)


def test_the_discriminator_is_pytorchs():
    state, pairs, wanted = parity_case("pix2pix_critic")
    network = pix2pix_discriminator(**SMALL)
    load(network, state, {"discriminator_1": "0", "discriminator_2": "2", "discriminator_3": "5", "score": "8"})
    given = {"inputs": frames(pairs[..., :6], 3), "targets": frames(pairs[..., 6:], 1)}
    assert np.abs(wanted).mean() > 0.2
    np.testing.assert_allclose(network.predict(given, verbose=0), wanted, atol=1e-4)


# Shape laws


@pytest.mark.parametrize("image_size", SIZES)
def test_the_depth_follows_from_the_size(image_size):
    network = pix2pix(frames_in=1, frames_out=2, image_size=image_size, width=1)
    assert network.get_layer("bottleneck").output.shape == (None, 1, 1, 8)
    assert network.output_shape == (None, 2, image_size, image_size, 3)
    convolutions = [x for x in network.layers if isinstance(x, (keras.layers.Conv2D, keras.layers.Conv2DTranspose))]
    assert len(convolutions) == 2 * math.log2(image_size)


def test_frames_and_channels_are_any():
    network = pix2pix(frames_in=3, frames_out=1, image_size=32, channels=5, channels_out=2, width=1)
    assert (network.input_shape, network.output_shape) == ((None, 3, 32, 32, 5), (None, 1, 32, 32, 2))
    # Frames keep their places: what comes in at t leaves an untouched stack at t.
    from kvzoo.models.pix2pix import stacked, unstacked

    clip = keras.Input((3, 4, 4, 5))
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4, 5)).astype("float32")
    np.testing.assert_array_equal(keras.Model(clip, unstacked(stacked(clip), 3)).predict(x, verbose=0), x)


@pytest.mark.parametrize("patch", PATCHES)
def test_a_logit_sees_its_patch(patch):
    discriminator = pix2pix_discriminator(frames_in=1, frames_out=1, channels=1, width=1, patch=patch)
    seen = 1
    for layer in reversed(discriminator.layers):
        if isinstance(layer, keras.layers.Conv2D):
            seen = (seen - 1) * layer.strides[0] + layer.kernel_size[0]
    assert seen == patch


@pytest.mark.parametrize(("patch", "count"), [(1, 9_985), (16, 154_945), (70, 2_784_065), (286, 11_174_721)])
def test_parameters_of_the_discriminators(patch, count):
    assert parameters(pix2pix_discriminator(patch=patch)) == count


def test_the_papers_size_has_its_parameters():
    assert parameters(pix2pix(frames_in=1, frames_out=1, image_size=256)) == 54_414_531


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image_size": 96}, "image_size: must be 32, 64, 128, 256 or 512. Received: 96"),
        ({"image_size": 1024}, "image_size: must be 32, 64"),
        ({"patch": 50}, "patch: must be 1, 16, 34, 70, 142 or 286"),
        ({"image_size": 32, "patch": 142}, "patch 142 requires an image_size of at least 64. Received: 32"),
        ({"frames_out": 0}, "frames_out: must be greater than or equal to 1"),
    ],
)
def test_refused_options(options, said):
    with pytest.raises(InputError, match=said):
        kvzoo.get("pix2pix", **options)


@pytest.mark.parametrize("builder", [pix2pix, pix2pix_discriminator])
def test_builders_refuse_by_themselves(builder):
    with pytest.raises(ValueError, match="image_size must be one of 32"):
        builder(image_size=96)
