"""What is special about the ConvLSTM autoencoder, and the digits that it comes with."""

import keras
import numpy as np
import pytest

import kvzoo
from kvzoo import catalog
from kvzoo.errors import InputError
from kvzoo.testing import battery

test_convlstm_ae = battery("convlstm_ae", stock_keras=True)

TINY = {"frames": 3, "image_size": 16, "width": 4}


def test_at_the_papers_size_it_has_the_papers_maps():
    network = kvzoo.get("convlstm_ae", compile=False).network
    sizes = [layer.output.shape[-3:-1] for layer in network.layers if "conv" in layer.name or layer.name == "code"]
    assert sizes == [(55, 55), (26, 26), (26, 26), (26, 26), (26, 26), (55, 55)]
    assert network.get_layer("code").output.shape[1:] == (10, 26, 26, 32)


@pytest.mark.parametrize("size", [8, 17, 27, 30, 35, 64])
def test_a_clip_with_and_without_padding_comes_back_in_its_size(size):
    network = kvzoo.get("convlstm_ae", frames=2, image_size=size, width=2, compile=False).network
    clips = np.random.default_rng(0).uniform(-1, 1, (1, 2, size, size, 1)).astype("float32")
    out = network.predict(clips, verbose=0)
    assert out.shape == clips.shape and np.abs(out).max() <= 1


def test_a_size_under_the_strides_is_refused():
    with pytest.raises(InputError, match="image_size"):
        kvzoo.get("convlstm_ae", image_size=7)


def test_draws_what_it_was_not_shown_worse():
    keras.utils.set_random_seed(0)
    source = catalog.SOURCES.get("bouncing_digits").load()(videos=24, digits=1)
    clips = np.stack([source.read(v, range(3), 16, 1) for v in source.videos])
    model = kvzoo.get("convlstm_ae", **{**TINY, "width": 8})
    before = model.evaluate(clips, verbose=0, return_dict=True)["loss"]
    model.fit(clips, epochs=40, batch_size=8, verbose=0)
    after = model.evaluate(clips, verbose=0, return_dict=True)["loss"]
    # Black on white.
    odd = model.evaluate(255 - clips, verbose=0, return_dict=True)["loss"]
    assert after < 0.6 * before
    assert odd > 2 * after


@pytest.fixture(scope="module")
def source():
    return catalog.SOURCES.get("bouncing_digits").load()(videos=24, pools=6)


def test_no_handwritten_image_is_in_two_pools(source):
    seen: dict[str, set] = {}
    for video in source.videos:
        seen.setdefault(video.group, set()).update(source._chosen(video.key))
    assert len(seen) == 6
    assert sum(map(len, seen.values())) == len(set().union(*seen.values()))


def test_digits_move_and_stay_in_the_picture(source):
    for video in source.videos[:6]:
        frames = source.read(video, range(video.frames), 64, 1).astype(float)
        assert np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3)).min() > 0.2
        alone = catalog.SOURCES.get("bouncing_digits").load()(videos=24, pools=6, digits=1)
        ink = alone.read(alone.videos[video.key], range(video.frames), 64, 1).sum(axis=(1, 2, 3), dtype=float)
        assert ink.min() > 0.97 * ink.max()


def test_all_sizes_show_the_same_video(source):
    video = source.videos[3]
    large, small = (source.read(video, range(8), size, 1).astype(float) for size in (128, 32))
    shrunk = large.reshape(8, 32, 4, 32, 4, 1).mean(axis=(2, 4))
    assert np.abs(shrunk - small).mean() < 4
    colour = source.read(video, range(8), 32, 3)
    assert (colour == small).all()


def test_digits_of_spans_and_seeds(source):
    video = source.videos[5]
    whole = source.decode(video, 0, 10, 32, 1)
    np.testing.assert_array_equal(source.decode(video, 4, 7, 32, 1), whole[4:7])
    other = catalog.SOURCES.get("bouncing_digits").load()(videos=24, pools=6, seed=1)
    assert other.fingerprint() != source.fingerprint()
    assert (other.decode(other.videos[5], 0, 10, 32, 1) != whole).any()


def test_a_recipe_on_the_digits_runs(tmp_path):
    recipe = tmp_path / "digits.yaml"
    recipe.write_text(
        "model: {name: convlstm_ae, frames: 3, image_size: 16, width: 4}\n"
        "data: {source: bouncing_digits, videos: 12, validation: 0.25}\n"
        "fit: {steps: 4, batch_size: 2, sample_every: 2}\n"
    )
    run = kvzoo.fit(recipe, out=tmp_path / "run")
    assert np.isfinite(run.history[-1]["val_loss"])
