"""What is special about MoCoGAN: content and motion apart, and two discriminators."""

import keras
import numpy as np
import pytest

import kvzoo
from kvzoo import catalog
from kvzoo.errors import InputError
from kvzoo.testing import battery

test_mocogan = battery("mocogan", stock_keras=True)

TINY = dict(catalog.MODELS.get("mocogan").tiny)  # 13 frames of 16x16, 6 numbers of content, 3 of motion


def scaled(network: keras.Model) -> keras.Model:
    """Fresh weights answer with next to nothing."""
    for weight in network.trainable_variables:
        weight.assign(3.0 * weight)
    return network


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return kvzoo.get("mocogan", **TINY)


def test_discriminators_score_patches_at_the_papers_size():
    networks = kvzoo.get("mocogan", compile=False).networks
    assert networks["image"].output_shape[1:] == (4, 4, 1)
    assert networks["video"].output_shape[1:] == (4, 4, 4, 1)


def test_content_is_the_clips_and_motion_is_the_frames_own():
    keras.utils.set_random_seed(0)
    network = scaled(kvzoo.get("mocogan", compile=False, **TINY).network)
    noise = np.random.default_rng(0).standard_normal((1, 6 + 14 * 3)).astype("float32")

    def changed(place: slice) -> np.ndarray:
        other = noise.copy()
        other[:, place] += 2.0
        before, after = (network.predict(x, verbose=0)[0] for x in (noise, other))
        return np.abs(after - before).max(axis=(1, 2, 3)) > 1e-6

    assert changed(slice(0, 6)).all()
    # The GRU's drawn state moves all frames, the noise of frame 5 (after state and five frames) those from it on.
    assert changed(slice(6, 9)).all()
    assert changed(slice(9 + 5 * 3, 9 + 6 * 3)).tolist() == [False] * 5 + [True] * 8


def test_the_image_discriminator_sees_one_frame_the_middle_one_at_inference_any_in_training(model):
    discriminator = model.networks["image"]
    clips = np.tile(np.arange(13, dtype="float32")[None, :, None, None, None] / 6 - 1, (400, 1, 16, 16, 3))
    frame = keras.Model(
        discriminator.input, next(x for x in discriminator.layers if isinstance(x, keras.layers.Conv2D)).input
    )
    told = frame.predict(clips, verbose=0)
    np.testing.assert_allclose(told, clips[:, 6], atol=1e-6)
    drawn = [np.asarray(keras.ops.convert_to_numpy(frame(clips, training=True)))[:, 0, 0, 0] for _ in range(2)]
    chosen = np.round((np.stack(drawn) + 1) * 6).astype(int)
    assert (chosen[0] != chosen[1]).mean() > 0.8
    counts = np.bincount(chosen.ravel(), minlength=13)
    assert counts.min() > 0.5 * counts.mean() and counts.max() < 1.6 * counts.mean()


@pytest.mark.parametrize("loss", [{"variant": "log"}, {"variant": "hinge", "spectral_norm": True}])
def test_both_discriminators_learn(loss):
    keras.utils.set_random_seed(0)
    model = kvzoo.get("mocogan", loss={"name": "adversarial", **loss}, **TINY)
    before = {
        name: [keras.ops.convert_to_numpy(v) for v in n.trainable_variables] for name, n in model.networks.items()
    }
    draws = [v for v in model.networks["image"].variables if "seed" in v.path]
    states = [keras.ops.convert_to_numpy(v) for v in draws]
    clips = np.random.default_rng(0).integers(0, 256, (4, *model.clip_shape), dtype=np.uint8)
    history = model.fit(clips, epochs=2, batch_size=2, verbose=0).history
    assert {"d_loss_image", "d_loss_video", "real_accuracy_image", "fake_accuracy_video"} <= history.keys()
    assert np.isfinite([history[name] for name in history]).all()
    for name, network in model.networks.items():
        assert any(
            (keras.ops.convert_to_numpy(v) != b).any()
            for v, b in zip(network.trainable_variables, before[name], strict=True)
        )
    assert draws and all((keras.ops.convert_to_numpy(v) != b).any() for v, b in zip(draws, states, strict=True))


def test_noise_before_the_discriminators_convolutions_is_there_where_it_is_asked_for():
    kinds = {
        sigma: [
            sum(isinstance(x, keras.layers.GaussianNoise) and x.name != "draws" for x in n.layers)
            for n in list(kvzoo.get("mocogan", compile=False, **{**TINY, "noise_sigma": sigma}).networks.values())
        ]
        for sigma in (0.0, 0.1)
    }
    assert kinds == {0.0: [0, 0, 0], 0.1: [0, 4, 3]}


@pytest.mark.parametrize(("option", "value"), [("frames", 12), ("image_size", 40)])
def test_what_it_cannot_have_is_refused_by_name(option, value):
    with pytest.raises(InputError, match=option):
        kvzoo.get("mocogan", **{**TINY, option: value})


def test_clips_come_from_a_seed(model):
    first, again, other = (model.generate(2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() and first.shape == (2, 13, 16, 16, 3)
