"""The warp against SciPy, with its gradients; the flow interpolator: sizes, times, and that it finds a motion."""

import cv2
import keras
import numpy as np
import pytest
from backends import BACKENDS
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates, uniform_filter

import kvzoo
from kvzoo.errors import InputError
from kvzoo.losses.alternating import vjp
from kvzoo.models.flow_interpolator import flow_interpolator
from kvzoo.models.warp import warp


def warped(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(warp(keras.ops.convert_to_tensor(image), keras.ops.convert_to_tensor(flow)))


def by_scipy(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    batch, count, height, width, _ = flow.shape
    places = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij")) + np.moveaxis(flow, -1, 2)
    out = np.empty((batch, count, height, width, image.shape[-1]))
    for b, n, c in np.ndindex(batch, count, image.shape[-1]):
        out[b, n, ..., c] = map_coordinates(image[b, ..., c].astype(float), places[b, n], order=1, mode="nearest")
    return out


@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 3)),
    st.sampled_from(["zero", "whole", "any", "far"]),
    st.integers(0, 1000),
)
def test_warp_is_scipys_bilinear_sampling(sizes, motion, seed):
    check_warp(sizes, motion, seed)


def check_warp(sizes, motion, seed):
    batch, count, height, width, channels = sizes
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(batch, height, width, channels)).astype("float32")
    flow = {"zero": 0, "whole": 2, "any": 2, "far": 100}[motion] * rng.normal(size=(batch, count, height, width, 2))
    flow = (flow.round() if motion == "whole" else flow).astype("float32")
    np.testing.assert_allclose(warped(image, flow), by_scipy(image, flow), atol=1e-4)


def example():
    """An image, flows that keep away from whole pixels, and a cotangent."""
    rng = np.random.default_rng(0)
    image, flow = rng.normal(size=(2, 5, 6, 2)), rng.uniform(-3, 3, size=(2, 3, 5, 6, 2))
    flow = np.floor(flow) + 0.1 + 0.8 * (flow - np.floor(flow))
    return image.astype("float32"), flow.astype("float32"), rng.normal(size=(2, 3, 5, 6, 2)).astype("float32")


def finite_differences(image, flow, along) -> tuple[np.ndarray, np.ndarray]:
    def slope(array, step=1e-3):
        out = np.empty(array.shape)
        for at in np.ndindex(array.shape):
            kept = array[at]
            array[at] = kept + step
            above = (by_scipy(image, flow) * along).sum()
            array[at] = kept - step
            out[at] = (above - (by_scipy(image, flow) * along).sum()) / (2 * step)
            array[at] = kept
        return out

    image, flow = image.astype(float), flow.astype(float)
    return slope(image), slope(flow)


def test_gradients_of_the_warp_are_finite_differences():
    image, flow, along = example()
    tensors = [keras.ops.convert_to_tensor(x) for x in (image, flow)]
    _, _, pull = vjp(lambda image, flow: (warp(image, flow), ()), [], tensors, [])
    _, found = pull(keras.ops.convert_to_tensor(along))
    for got, wanted in zip(found, finite_differences(image, flow, along), strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(got), wanted, atol=2e-3)


@pytest.mark.backend
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_warp_and_its_gradients_on_other_backends(in_process, backend):
    # The tests above, there.
    folders = [str(ROOT / "tests" / name) for name in ("", "helpers", "models")]
    code = (
        f"import sys; sys.path[:0] = {folders!r}\n"
        "import keras, test_flow_interpolator as tests\n"
        f"assert keras.backend.backend() == {backend!r}\n"
        "for motion in ('whole', 'any', 'far'): tests.check_warp((2, 3, 5, 4, 2), motion, 0)\n"
        "tests.test_gradients_of_the_warp_are_finite_differences()\n"
    )
    in_process(code, env={"KERAS_BACKEND": backend})


def test_height_and_width_may_differ_in_data_too():
    model, square = (
        kvzoo.get("flow_interpolator", frames_out=1, image_size=size, width=4, compile=False) for size in ((16, 40), 40)
    )
    assert model.config["image_size"] == [16, 40]
    (inputs, targets), (whole, _) = (
        next(iter(kvzoo.dataset("stick_actions", each, batch_size=2, seed=0, videos=4, people=2)))
        for each in (model, square)
    )
    assert inputs.shape == (2, 2, 16, 40, 3) and targets.shape == (2, 1, 16, 40, 3)
    np.testing.assert_array_equal(inputs, whole[:, :, 12:28])


@pytest.mark.parametrize(
    ("frames_out", "image_size", "channels"), [(1, 8, 1), (2, 24, 3), (5, (16, 40), 3)], ids=["least", "24", "wide"]
)
def test_any_number_of_frames_and_sizes_of_8(frames_out, image_size, channels):
    network = flow_interpolator(frames_out=frames_out, image_size=image_size, channels=channels, width=4)
    sides = (image_size, image_size) if isinstance(image_size, int) else image_size
    inputs = np.random.default_rng(0).uniform(-1, 1, (2, 2, *sides, channels)).astype("float32")
    made = network.predict(inputs, verbose=0)
    assert made.shape == (2, frames_out, *sides, channels)
    # A fresh network gives the cross-fade, at equal distances.
    times = (np.arange(frames_out) + 1)[:, None, None, None] / (frames_out + 1)
    np.testing.assert_allclose(made, inputs[:, :1] * (1 - times) + inputs[:, 1:] * times, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"frames_in": 3}, "frames_in .*3"),
        ({"image_size": 20}, "image_size .*20"),
        ({"image_size": 0}, "image_size .*0"),
        ({"channels_out": 1}, "channels_out .*1"),
    ],
    ids=str,
)
def test_what_it_cannot_be_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        flow_interpolator(**options)
    with pytest.raises(InputError, match=next(iter(options))):
        kvzoo.get("flow_interpolator", **options)


def panned(count: int, seed: int, size: int = 32, frames: int = 5) -> np.ndarray:
    """Return clips (count, frames, size, size, 3) in -1..1 of textures that slide by whole pixels."""
    rng = np.random.default_rng(seed)
    clips = []
    for _ in range(count):
        noise = rng.normal(size=(80, 80, 3)).astype("float32")
        texture = (3 * cv2.GaussianBlur(noise, (0, 0), 1.5)).clip(-1, 1)
        velocity, start = rng.integers(-2, 3, 2), rng.integers(16, 32, 2)
        corners = start + velocity * np.arange(frames)[:, None]
        clips.append(np.stack([texture[y : y + size, x : x + size] for y, x in corners]))
    return np.stack(clips)


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(0)
    model = kvzoo.get("flow_interpolator", frames_out=3, image_size=32, width=8)
    clips = panned(200, seed=0)
    model.fit(clips[:, [0, -1]], clips[:, 1:-1], batch_size=4, epochs=3, verbose=0)
    return model


def psnr(made: np.ndarray, truth: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean(((made - truth) / 2) ** 2)))


def test_finds_how_textures_slide(trained):
    clips = panned(16, seed=1)
    ends, truth = clips[:, [0, -1]], clips[:, 1:-1]
    times = np.arange(1, 4)[:, None, None, None] / 4
    fade = ends[:, :1] * (1 - times) + ends[:, 1:] * times
    made = trained.predict(ends, verbose=0)
    assert psnr(made, truth) > psnr(fade, truth) + 3
    # By motion and not by paint.
    parts = keras.Model(trained.network.input, [trained.network.get_layer(n).output for n in ("warped", "flow")])
    warped, _ = parts.predict(ends, verbose=0)
    assert psnr(warped, truth) > psnr(fade, truth) + 2


def test_weights_serve_any_number_of_frames(trained):
    """Seven frames between of the network that was trained on three: every second one is one of its own."""
    more = flow_interpolator(frames_out=7, image_size=32, width=8)
    more.set_weights(trained.network.get_weights())
    ends = panned(4, seed=2)[:, [0, -1]]
    np.testing.assert_allclose(
        more.predict(ends, verbose=0)[:, 1::2], trained.network.predict(ends, verbose=0), atol=1e-4
    )


def test_flows_and_visibility_are_what_is_warped_and_blended(trained):
    network, ends = trained.network, panned(2, seed=3)[:, [0, -1]]
    parts = keras.Model(network.input, {n: network.get_layer(n).output for n in ("flow", "visibility", "warped")})
    found = {name: part.astype(float) for name, part in parts.predict(ends, verbose=0).items()}
    assert found["visibility"].min() >= 0 and found["visibility"].max() <= 1
    first, last = (by_scipy(ends[:, i], found["flow"][..., 2 * i : 2 * i + 2]) for i in (0, 1))
    blend = found["visibility"] * first + (1 - found["visibility"]) * last
    np.testing.assert_allclose(blend, found["warped"], atol=1e-4)


def test_motion_is_trusted_where_it_makes_the_frames_agree(trained):
    network, ends = trained.network, panned(2, seed=4)[:, [0, -1]].astype("float32")
    flow, trust = keras.Model(network.input, [network.get_layer(n).output for n in ("flow", "trust")]).predict(
        ends, verbose=0
    )
    moved = [by_scipy(ends[:, i], flow[..., 2 * i : 2 * i + 2].astype(float)) for i in (0, 1)]
    around = (0, 0, 9, 9)
    apart = [uniform_filter(np.abs(a - b).mean(-1), around) ** 2 + 1e-5 for a, b in ((ends[:, :1], ends[:, 1:]), moved)]
    wanted = apart[0] / (apart[0] + apart[1])
    inner = np.s_[:, :, 4:-4, 4:-4]
    np.testing.assert_allclose(trust[..., 0][inner], wanted[inner], atol=1e-3)
    still = ends[:, [0, 0]]
    np.testing.assert_allclose(network.predict(still, verbose=0), np.repeat(still[:, :1], 3, axis=1), atol=0.02)
