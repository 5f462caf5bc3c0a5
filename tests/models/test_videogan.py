"""VideoGAN's networks against their PyTorch reference, their shape laws, and what each input reaches."""

import math
import sys

import keras
import numpy as np
import pytest
from conftest import ROOT

from kvzoo.models import videogan as family
from kvzoo.models.videogan import (
    first_frame_l1,
    mask_l1,
    videogan,
    videogan_discriminator,
    videogan_image,
    videogan_image_discriminator,
    videogan_label,
    videogan_label_discriminator,
)

GENERATORS = (videogan, videogan_label, videogan_image)
DISCRIMINATORS = (videogan_discriminator, videogan_label_discriminator, videogan_image_discriminator)
SMALL = {"frames": 16, "image_size": 16, "width": 2}


def parameters(network) -> int:
    return sum(math.prod(v.shape) for v in network.trainable_variables)


def parts(network, *names: str):
    """Return the network's inner layers of these names, as arrays, as a function of its inputs by name."""
    inner = keras.Model(network.inputs, [network.get_layer(name).output for name in names])
    return lambda **inputs: [keras.ops.convert_to_numpy(x) for x in inner.predict(inputs, verbose=0)]


def spread(network) -> None:
    """Make the weights large, so that outputs are not all but zero, which hides mistakes."""
    rng = np.random.default_rng(0)
    network.set_weights([w + rng.normal(0, 0.3, w.shape).astype(w.dtype) ** 2 for w in network.get_weights()])


# From PyTorch


def kernel(array: np.ndarray, unfolded: bool = False) -> np.ndarray:
    """Return a kernel in Keras's order of axes; `unfolded` for one that meets a single point."""
    space = tuple(range(2, array.ndim))
    return np.transpose(array, (0, *space, 1) if unfolded else (*space, 1, 0))


def norm(state: dict, layer: str) -> list[np.ndarray]:
    return [state[f"{layer}.{k}"] for k in ("weight", "bias", "running_mean", "running_var")]


def load_generator(network: keras.Model, state: dict, unfolded_background: bool = True) -> None:
    """Give a generator the weights of PyTorch's, whose streams are triples of convolution, batch norm and ReLU."""
    for stream in ("foreground", "background"):
        first = 1 if stream == "foreground" or unfolded_background else 2
        for i in range(first, 5):
            at = 3 * (i - first)
            weight, bias = (state[f"{stream}.{at}.{k}"] for k in ("weight", "bias"))
            layer = network.get_layer(f"{stream}_{i}")
            weight = kernel(weight, unfolded=i == 1)
            layer.set_weights([weight.reshape(layer.kernel.shape), bias])
            network.get_layer(f"{stream}_{i}_norm").set_weights(norm(state, f"{stream}.{at + 1}"))
        head = 3 * (5 - first)
    weight = np.concatenate([state["video.0.weight"], state["mask.0.weight"]], axis=1)
    bias = np.concatenate([state["video.0.bias"], state["mask.0.bias"]])
    network.get_layer("foreground_heads").set_weights([kernel(weight), bias])
    weight, bias = (state[f"background.{head}.{k}"] for k in ("weight", "bias"))
    network.get_layer("background_head").set_weights([kernel(weight), bias])


def load_discriminator(network: keras.Model, state: dict) -> None:
    """Give a discriminator the weights of PyTorch's: convolutions at 0, 2, 5, 8, 11 of a sequence."""
    for i, at in enumerate((0, 2, 5, 8), 1):
        network.get_layer(f"discriminator_{i}").set_weights([kernel(state[f"{at}.weight"]), state[f"{at}.bias"]])
        if i > 1:
            network.get_layer(f"discriminator_{i}_norm").set_weights(norm(state, f"{at + 1}"))
    network.get_layer("score").set_weights([kernel(state["11.weight"]).reshape(-1, 1), state["11.bias"]])


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def reference(torch, real_data):
    sys.path.insert(0, str(real_data.parent / "bench"))
    return pytest.importorskip("torch_reference")


def arrays(network) -> dict[str, np.ndarray]:
    """Return a PyTorch network's weights and running statistics as copies."""
    return {k: v.numpy().copy() for k, v in network.state_dict().items() if "num_batches" not in k}


def warm(torch, network, *inputs) -> None:
    """Give a PyTorch network larger weights and running statistics that are not 0 and 1, and fix them."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(2.0)
        for x in inputs:
            network(x)
    network.eval()


def channels_last(tensor) -> np.ndarray:
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


def stored(name: str) -> tuple[dict, np.ndarray, np.ndarray]:
    with np.load(ROOT / "tests" / "reference" / f"{name}_parity.npz") as case:
        state = {k.removeprefix("state/"): case[k] for k in case.files if k.startswith("state/")}
        return state, case["clips"], case["outputs"]


def test_generator_equals_the_stored_pytorch_outputs():
    state, noise, expected = stored("videogan")
    network = videogan(frames=16, image_size=32, channels=1, noise_dim=6, width=2)
    load_generator(network, state)
    np.testing.assert_allclose(network.predict(noise, verbose=0), expected, atol=1e-5)
    assert np.abs(expected).mean() > 0.1


def test_discriminator_equals_the_stored_pytorch_outputs():
    state, clips, expected = stored("videogan_critic")
    network = videogan_discriminator(frames=32, image_size=16, width=2)
    load_discriminator(network, state)
    np.testing.assert_allclose(network.predict(clips, verbose=0), expected, atol=1e-5)
    assert np.ptp(expected) > 0.01


def test_generator_equals_the_pytorch_reference(torch, reference):
    torch.manual_seed(0)
    theirs, ours = reference.VideoGenerator(), videogan()
    assert parameters(ours) == sum(w.numel() for w in theirs.parameters())
    warm(torch, theirs, torch.randn(4, 100), torch.randn(4, 100))
    load_generator(ours, arrays(theirs))
    noise = torch.randn(2, 100)
    with torch.no_grad():
        clips, masks = (channels_last(x) for x in theirs(noise))
    np.testing.assert_allclose(ours.predict(noise.numpy(), verbose=0), clips, atol=1e-4)
    np.testing.assert_allclose(parts(ours, "mask", "mask")(noise=noise.numpy())[0], masks, atol=1e-4)
    assert np.abs(clips).mean() > 0.1 and np.ptp(masks) > 0.1


def test_discriminator_equals_the_pytorch_reference(torch, reference):
    torch.manual_seed(0)
    theirs, ours = reference.video_discriminator(), videogan_discriminator()
    assert parameters(ours) == sum(w.numel() for w in theirs.parameters())
    clips = torch.rand(2, 3, 32, 64, 64) * 2 - 1
    warm(torch, theirs, clips, clips)
    load_discriminator(ours, arrays(theirs))
    with torch.no_grad():
        expected = theirs(clips).numpy()
    np.testing.assert_allclose(ours.predict(channels_last(clips), verbose=0), expected, atol=1e-4)
    assert np.abs(expected).min() > 0.01


def test_image_generator_equals_the_same_layers_in_pytorch(torch, reference):
    nn, relu, width = torch.nn, torch.nn.ReLU(True), 3

    def stream(dim, widths):
        return [x for a, b in widths for x in reference.conv_bn(dim, a, b, 4, 2, 1, relu, bias=True, transpose=True)]

    class ImageGenerator(nn.Module):
        def __init__(self):
            super().__init__()
            down, up = [3, 3, 6, 12, 24], [(24, 12), (12, 6), (6, 3)]
            encoder = []
            for i, (a, b) in enumerate(zip(down, down[1:], strict=False)):
                encoder += reference.conv_bn(2, a, b, 4, 2, 1, relu, bias=True, bn=i > 0, eps=1e-3)
            self.encoder = nn.Sequential(*encoder)
            first = reference.conv_bn(3, 24, 24, (2, 1, 1), act=relu, bias=True, transpose=True)
            self.foreground = nn.Sequential(*first, *stream(3, up))
            self.video = nn.Sequential(nn.ConvTranspose3d(width, 3, 4, 2, 1), nn.Tanh())
            self.mask = nn.Sequential(nn.ConvTranspose3d(width, 1, 4, 2, 1), nn.Sigmoid())
            self.background = nn.Sequential(*stream(2, up), nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh())

        def forward(self, image):
            code = self.encoder(image)
            h = self.foreground(code[:, :, None])
            mask, still = self.mask(h), self.background(code)[:, :, None]
            return mask * self.video(h) + (1 - mask) * still

    torch.manual_seed(0)
    theirs, ours = ImageGenerator(), videogan_image(frames=32, image_size=32, width=width)
    assert parameters(ours) == sum(w.numel() for w in theirs.parameters())
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    warm(torch, theirs, images, images)
    state = arrays(theirs)
    load_generator(ours, state, unfolded_background=False)
    for i, at in enumerate((0, 2, 5, 8), 1):
        weight, bias = (state[f"encoder.{at}.{k}"] for k in ("weight", "bias"))
        ours.get_layer(f"encoder_{i}").set_weights([kernel(weight), bias])
        if i > 1:
            ours.get_layer(f"encoder_{i}_norm").set_weights(norm(state, f"encoder.{at + 1}"))
    with torch.no_grad():
        expected = channels_last(theirs(images))
    np.testing.assert_allclose(ours.predict(channels_last(images), verbose=0), expected, atol=1e-4)
    assert np.ptp(expected, axis=0).mean() > 0.01


# Sizes


@pytest.mark.parametrize(
    ("builder", "count"),
    [
        (videogan, 16_245_383),
        (videogan_discriminator, 11_041_473),
        (videogan_image, 68_216_455),
        (videogan_image_discriminator, 44_103_041),
    ],
)
def test_counts_are_the_references(builder, count):
    assert parameters(builder()) == count


def test_a_label_costs_a_row_of_the_first_kernel_and_a_head():
    assert parameters(videogan_label(classes=7)) == 16_245_383 + 7 * 2 * 4 * 4 * 512
    assert parameters(videogan_label_discriminator(classes=7)) == 11_041_473 + 7 * (2 * 4 * 4 * 512 + 1)


@pytest.mark.parametrize(("frames", "image_size", "channels"), [(16, 48, 1), (48, 16, 3), (32, 32, 3)])
@pytest.mark.parametrize("generator", GENERATORS)
def test_any_sizes_of_16_and_channels(generator, frames, image_size, channels):
    sizes = {"frames": frames, "image_size": image_size, "channels": channels, "width": 2}
    network, discriminator = generator(**sizes), getattr(family, f"{generator.__name__}_discriminator")(**sizes)
    inputs = {x.name: np.zeros((2, *x.shape[1:]), x.dtype) for x in network.inputs}
    clips = network.predict(inputs, verbose=0)
    assert clips.shape == (2, frames, image_size, image_size, channels)
    judged = discriminator.predict(clips, verbose=0)
    if generator is videogan_label:
        assert {k: x.shape for k, x in judged.items()} == {"score": (2, 1), "classes": (2, 4)}
    else:
        assert judged.shape == (2, 1)


@pytest.mark.parametrize("option", ["frames", "image_size"])
@pytest.mark.parametrize("size", [0, 8, 40, -16])
@pytest.mark.parametrize("builder", GENERATORS + DISCRIMINATORS)
def test_other_sizes_are_refused(builder, option, size):
    with pytest.raises(ValueError, match=f"{option} must be a positive multiple of 16.*{size}"):
        builder(**{option: size})


def test_fresh_weights_spread_as_the_originals():
    for network in (videogan(width=16), videogan_discriminator(width=16), videogan_image(width=16)):
        for weight in network.trainable_variables:
            values = keras.ops.convert_to_numpy(weight)
            if weight.name == "kernel" and values.size > 1000:
                assert values.std() == pytest.approx(0.01, rel=0.1) and abs(values.mean()) < 0.001
            elif weight.name == "gamma":
                assert abs(values.mean() - 1) < 0.02 and values.std() == pytest.approx(0.02, rel=0.7)
            elif weight.name in ("bias", "beta"):
                assert not values.any()
    scales = [keras.ops.convert_to_numpy(w) for w in videogan(width=16).trainable_variables if w.name == "gamma"]
    assert len({tuple(s[:16]) for s in scales}) == len(scales)  # each layer draws its own


# What reaches what


@pytest.mark.parametrize("generator", GENERATORS)
def test_the_clip_is_the_foreground_through_the_mask_on_a_still_background(generator):
    network = generator(**SMALL)
    spread(network)
    rng = np.random.default_rng(1)
    inputs = {x.name: rng.normal(size=(3, *x.shape[1:])).astype("float32") for x in network.inputs}
    if "label" in inputs:
        inputs["label"] = np.array([0, 1, 2], "int32")
    foreground, mask, background = parts(network, "foreground", "mask", "background")(**inputs)
    assert foreground.shape == (3, 16, 16, 16, 3)
    assert mask.shape == (3, 16, 16, 16, 1)
    assert background.shape == (3, 1, 16, 16, 3)  # one frame for all of time: it is still
    assert np.ptp(mask) > 0.1 and mask.min() >= 0 and mask.max() <= 1
    assert np.abs(foreground).max() <= 1 and np.abs(background).max() <= 1
    clips = network.predict(inputs, verbose=0)
    np.testing.assert_allclose(clips, mask * foreground + (1 - mask) * background, atol=1e-5)
    assert np.ptp(clips, axis=1).max() > 0.01  # and something moves


def test_the_label_reaches_the_foreground_only():
    network = videogan_label(**SMALL, classes=3)
    spread(network)
    noise = np.repeat(np.random.default_rng(1).normal(size=(1, 100)).astype("float32"), 3, axis=0)
    inner = parts(network, "foreground", "mask", "background")
    foreground, mask, background = inner(noise=noise, label=np.arange(3, dtype="int32"))
    assert (background[1:] == background[0]).all()
    for x in (foreground, mask):
        for i, j in ((0, 1), (0, 2), (1, 2)):
            assert np.abs(x[i] - x[j]).max() > 1e-3


def test_a_fresh_label_weighs_as_much_as_the_noise():
    network = videogan_label(width=16)
    rng = np.random.default_rng(0)
    first = parts(network, "foreground_1", "foreground_1")
    noise = np.repeat(rng.normal(size=(32, 100)).astype("float32"), 4, axis=0)
    x = first(noise=noise, label=np.tile(np.arange(4, dtype="int32"), 32))[0].reshape(32, 4, -1)
    by_label, by_noise = (x.mean(axis=i).var(axis=0, ddof=1).mean() for i in (0, 1))
    assert by_label == pytest.approx(by_noise, rel=0.2)


def test_the_label_discriminator_is_the_discriminator_with_one_more_head():
    plain, labelled = videogan_discriminator(**SMALL), videogan_label_discriminator(**SMALL)
    spread(plain)
    for layer in plain.layers:
        labelled.get_layer(layer.name if layer.weights else labelled.layers[0].name).set_weights(layer.get_weights())
    clips = np.random.default_rng(1).uniform(-1, 1, (2, *plain.input_shape[1:])).astype("float32")
    np.testing.assert_allclose(labelled.predict(clips, verbose=0)["score"], plain.predict(clips, verbose=0), atol=1e-6)


@pytest.mark.parametrize("generator", GENERATORS)
def test_one_stream_is_the_foreground_alone(generator):
    one, two = generator(**SMALL, two_stream=False), generator(**SMALL)
    names = {layer.name for layer in one.layers}
    assert "foreground" in names and not names & {"mask", "background", "background_2"}
    assert one.output.shape == two.output.shape == (None, 16, 16, 16, 3)
    background = sum(
        math.prod(v.shape) for v in two.trainable_variables if v.path.split("/")[0].startswith("background")
    )
    assert parameters(two) - parameters(one) == background + 64 * 2 + 1  # and the mask's head
    spread(one)
    rng = np.random.default_rng(1)
    inputs = {x.name: rng.integers(0, 4, (2, *x.shape[1:])).astype(x.dtype) for x in one.inputs}
    foreground = parts(one, "foreground", "foreground")(**inputs)[0]
    np.testing.assert_array_equal(one.predict(inputs, verbose=0), foreground)


def test_one_stream_at_the_reference_size():
    assert parameters(videogan(two_stream=False)) == 12_663_619


@pytest.mark.parametrize("generator", GENERATORS)
def test_a_saved_generator_takes_inputs_by_name(generator, tmp_path):
    network = generator(**SMALL)
    spread(network)
    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    rng = np.random.default_rng(1)
    inputs = {x.name: rng.integers(0, 4, (2, *x.shape[1:])).astype(x.dtype) for x in network.inputs}
    np.testing.assert_array_equal(loaded.predict(inputs, verbose=0), network.predict(inputs, verbose=0))
    assert [x.name for x in loaded.inputs] == [x.name for x in network.inputs]


# Terms of the loss


def test_mask_term_is_the_masks_mean():
    mask = np.zeros((2, 4, 5, 5, 1), "float32")
    assert float(mask_l1({}, {"mask": mask})) == 0
    mask[0] = 0.5
    mask[1, :2] = 1.0
    assert float(mask_l1({}, {"mask": mask})) == pytest.approx(0.5)


def test_first_frame_term_looks_at_the_first_frame_only():
    rng = np.random.default_rng(0)
    clip = rng.uniform(-1, 1, (2, 4, 5, 5, 3)).astype("float32")
    image = clip[:, 0].copy()
    assert float(first_frame_l1({"image": image}, {"clip": clip})) == 0
    image[0] -= 0.5
    image[1, 0] += 1.0
    assert float(first_frame_l1({"image": image}, {"clip": clip})) == pytest.approx((0.5 + 1 / 5) / 2)
