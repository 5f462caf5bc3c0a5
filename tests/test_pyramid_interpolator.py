"""The pyramid interpolator: what it matches, what its weights serve, and what its loss learns from."""

import cv2
import keras
import numpy as np
import pytest
from conftest import ROOT
from test_backends import BACKENDS

import kvzoo
from kvzoo.apps.interpolate import Moved
from kvzoo.errors import InputError
from kvzoo.losses.base import to_uint8
from kvzoo.models.pyramid_interpolator import REACH, matches, pyramid_interpolator

TINY = {"width": 4, "image_size": 16, "levels": 1}


def numpy(x) -> np.ndarray:
    return keras.ops.convert_to_numpy(x)


def test_matches_tell_what_passes_a_pixel_at_the_time():
    texture = np.random.default_rng(0).normal(size=(1, 28, 28, 32)).astype("float32")
    for times in ([1 / 2], [1 / 3, 2 / 3], [1 / 4, 2 / 4, 3 / 4]):
        for displacement in ((0, 0), (1, 0), (-2, 3), (REACH, -REACH)):
            ends = []
            for time in times:
                # So many pixels before the time, the rest after it.
                before = [int(np.floor(time * d + 1e-9)) for d in displacement]
                after = [d - b for d, b in zip(displacement, before, strict=True)]
                ends.append([np.roll(texture, [-b for b in before], (1, 2)), np.roll(texture, after, (1, 2))])
            first, last = (keras.ops.convert_to_tensor(np.concatenate(x)) for x in zip(*ends, strict=True))
            volume, likely = matches(first, last, times)
            inner = np.s_[:, 9:-9, 9:-9]
            best = (displacement[0] + REACH) * (2 * REACH + 1) + displacement[1] + REACH
            assert (numpy(volume)[inner].argmax(-1) == best).all()
            np.testing.assert_allclose(
                numpy(likely)[inner], np.broadcast_to(displacement, likely[inner].shape), atol=0.3
            )


@pytest.mark.parametrize(
    ("frames_out", "image_size", "channels", "levels"),
    [(1, 8, 1, None), (2, 24, 3, 3), (3, (20, 44), 3, None)],
    ids=["least", "levels", "wide"],
)
def test_any_number_of_frames_and_levels_and_sizes_of_4(frames_out, image_size, channels, levels):
    network = pyramid_interpolator(
        frames_out=frames_out, image_size=image_size, channels=channels, width=4, levels=levels
    )
    sides = (image_size, image_size) if isinstance(image_size, int) else image_size
    inputs = np.random.default_rng(0).uniform(-1, 1, (2, 2, *sides, channels)).astype("float32")
    assert network.predict(inputs, verbose=0).shape == (2, frames_out, *sides, channels)
    # The weights are those of every other shape.
    other = pyramid_interpolator(channels=channels, width=4, image_size=32, levels=1)
    assert [w.shape for w in network.weights] == [w.shape for w in other.weights]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"frames_in": 3}, "frames_in .*3"),
        ({"image_size": 18}, "image_size .*18"),
        ({"image_size": 4}, "image_size .*4"),
        ({"channels_out": 1}, "channels_out .*1"),
    ],
    ids=str,
)
def test_what_it_cannot_be_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        pyramid_interpolator(**options)
    with pytest.raises(InputError, match=next(iter(options))):
        kvzoo.get("pyramid_interpolator", **options)


def examples(count: int, truth: bool = True):
    rng = np.random.default_rng(0)
    inputs, targets = (rng.integers(0, 256, (count, n, 16, 16, 3)).astype("uint8") for n in (2, 1))
    motion = np.concatenate([rng.normal(size=(count, 1, 8, 8, 4)), rng.integers(0, 2, (count, 1, 8, 8, 2))], -1)
    return inputs, (targets, motion.astype("float32")) if truth else targets


def test_the_loss_learns_from_the_truth_where_there_is_one():
    keras.utils.set_random_seed(0)
    model = kvzoo.get(
        "pyramid_interpolator",
        frames_out=1,
        **TINY,
        loss={
            "name": "interpolation",
            "l1_weight": 0,
            "terms": {"warped_l1": 0, "visibility_error": 0, "flow_error": 1, "laplacian": 0},
        },
    )
    inputs, targets = examples(4)
    before = [numpy(w) for w in model.network.weights]
    model.fit(inputs, targets[0], verbose=0)
    # Nothing but the truth would have been learned from.
    assert all((a == numpy(b)).all() for a, b in zip(before, model.network.weights, strict=True))
    history = model.fit(inputs, targets, epochs=6, batch_size=4, verbose=0).history
    assert history["flow_error"][-1] < history["flow_error"][0]
    assert {"l1", "psnr", "g_loss", "g_norm"} <= set(history)
    found = model.evaluate(inputs, targets[0], verbose=0, return_dict=True)
    assert set(found) >= {"g_loss", "l1", "psnr"}
    for bad in ((inputs[:, :1], targets), (inputs, targets[0][:, :, :8])):
        with pytest.raises(InputError, match="required|requires"):
            model.fit(*bad, verbose=0)


@pytest.mark.backend
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_truth_is_learned_from_on_other_backends(in_process, backend):
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r})\n"
        "import keras, test_pyramid_interpolator as tests\n"
        f"assert keras.backend.backend() == {backend!r}\n"
        "tests.test_matches_tell_what_passes_a_pixel_at_the_time()\n"
        "tests.test_the_loss_learns_from_the_truth_where_there_is_one()\n"
    )
    in_process(code, env={"KERAS_BACKEND": backend})


def test_a_saved_network_loads_with_stock_keras(in_process, tmp_path):
    network = pyramid_interpolator(frames_out=1, width=4, image_size=(16, 24))
    network.save(tmp_path / "network.keras")
    inputs = np.random.default_rng(0).uniform(-1, 1, (1, 2, 16, 24, 3)).astype("float32")
    np.savez(tmp_path / "arrays.npz", inputs=inputs, outputs=network.predict(inputs, verbose=0))
    in_process(
        "import sys, keras, numpy as np\n"
        f"network = keras.saving.load_model({str(tmp_path / 'network.keras')!r})\n"
        f"arrays = np.load({str(tmp_path / 'arrays.npz')!r})\n"
        "np.testing.assert_allclose(network.predict(arrays['inputs'], verbose=0), arrays['outputs'], atol=1e-5)\n"
        "assert 'kvzoo' not in sys.modules\n"
    )


def test_interpolate_makes_the_networks_own_frames_at_its_own_size():
    keras.utils.set_random_seed(0)
    model = kvzoo.get("pyramid_interpolator", frames_out=3, width=4, image_size=32)
    rng = np.random.default_rng(0)
    # So that trust and repair are not what they are at first.
    model.network.set_weights([w + rng.normal(0, 0.02, w.shape) for w in model.network.get_weights()])
    pair = cv2.GaussianBlur(rng.normal(128, 300, (32, 64, 3)), (0, 0), 2).clip(0, 255).astype("uint8")
    pair = np.stack(np.split(pair, 2, axis=1))
    method = Moved(model, 4, (32, 32))
    frames = np.stack(list(method.make(*pair, method.estimate(pair[None])[0])))
    outputs = to_uint8(model.predict(pair[None], verbose=0))[0]
    assert np.abs(frames.astype(int) - outputs).max() <= 3 and np.abs(frames.astype(int) - outputs).mean() < 0.6
