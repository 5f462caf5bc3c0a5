"""What models are given: every way in refuses in one line what cannot be meant, and takes every kind of data that Keras does."""

import re

import keras
import numpy as np
import pytest

import kvzoo
from kvzoo import catalog
from kvzoo.errors import InputError

RNG = np.random.default_rng(0)
GREY = {"frames": 3, "image_size": 16, "channels": 1, "latent_dim": 8, "units": 12, "width": 4}
CLIPS = RNG.integers(0, 256, (6, 3, 16, 16, 1), dtype=np.uint8)
FLOATS = CLIPS.astype("float32")
WAYS = ["fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch", "__call__"]


@pytest.fixture(scope="module")
def reconstructor():
    return kvzoo.get("gru_ae", **GREY)


@pytest.fixture(scope="module")
def classifier():
    return kvzoo.get("tiny_c3d", frames=2, image_size=8, channels=1, width=2, classes=3)


def refusal(call, *args, **options) -> str:
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


BAD_CLIPS = {
    "floats 0..255": (FLOATS, "floats -1..1 are required. Received: float32 from 0 to 255"),
    "floats below": (FLOATS / 127.5 - 2, "floats -1..1 are required. Received: float32 from -2 to 0"),
    "NaN": (np.full_like(FLOATS, np.nan), "Received: NaN among float32"),
    "infinity": (np.full_like(FLOATS, np.inf), "Received: float32 from inf to inf"),
    "uint16": (CLIPS.astype("uint16") * 257, "integers 0..255 or .* Received: uint16 from 0 to 65535"),
    "negative": (CLIPS.astype("int64") - 128, "Received: int64 from -128 to 127"),
    "bool": (CLIPS > 100, "Received: bool"),
    "complex": (CLIPS.astype("complex64"), "Received: complex64"),
    "colour": (CLIPS.repeat(3, -1), r"shape \(N, 3, 16, 16, 1\) is required. Received: \(6, 3, 16, 16, 3\)"),
    "one clip": (CLIPS[0], r"shape \(N, 3, 16, 16, 1\) is required. Received: \(3, 16, 16, 1\)"),
    "no channels": (CLIPS[..., 0], r"Received: \(6, 3, 16, 16\)"),
    "more frames": (CLIPS.repeat(2, 1), r"Received: \(6, 6, 16, 16, 1\)"),
    "none": (CLIPS[:0], "at least one is required"),
    "a list": ([CLIPS], "an array is required. Received: list"),
    "a dict": ({"clip": CLIPS}, "an array is required. Received: dict"),
    "nothing": (None, "an array is required. Received: NoneType"),
}


@pytest.mark.parametrize("case", BAD_CLIPS)
@pytest.mark.parametrize("way", WAYS)
def test_clips_that_no_network_can_mean_are_refused(reconstructor, way, case):
    clips, reason = BAD_CLIPS[case]
    message = refusal(getattr(reconstructor, way), clips)
    assert message.startswith("gru_ae: clips: " if way == "__call__" else f"{way}: clips: ")
    assert re.search(reason, message), message


def test_targets_weights_and_validation_data_are_checked_too(reconstructor):
    fit = reconstructor.fit
    assert refusal(fit, CLIPS, np.arange(6)).startswith("fit: targets: shape (N, 3, 16, 16, 1) is required")
    assert refusal(fit, CLIPS, CLIPS[:5]) == "fit: targets: 6 are required, as many as inputs. Received: 5"
    assert refusal(fit, CLIPS, validation_data=(FLOATS,)).startswith("fit: validation_data: clips: ")
    assert "a number for each clip is required. Received: <U1" in refusal(
        fit, CLIPS, CLIPS, sample_weight=np.full(6, "a")
    )
    for weights, reason in ((np.ones((6, 3)), "shape (6, 3)"), (np.ones(5), "5 for 6"), (np.full(6, np.nan), "nan")):
        assert refusal(fit, CLIPS, CLIPS, sample_weight=weights).endswith(
            f"Received: {reason}" + " clips" * ("for" in reason)
        )


def test_weights_of_classes_are_for_classifiers(reconstructor):
    assert refusal(reconstructor.fit, CLIPS, class_weight={0: 1.0}).startswith(
        "fit: class_weight: the loss mse knows no classes; use sample_weight"
    )
    clips, labels = np.zeros((6, 16, 32, 32, 3), np.uint8), np.arange(6) % 3
    classifier = kvzoo.get("tiny_c3d", classes=3, frames=16, image_size=32)
    legal = "fit: class_weight: a dict from class indices 0..2 to weights is required. Received: "
    for weights in ({5: 1.0}, "balanced"):
        assert refusal(classifier.fit, clips, labels, class_weight=weights) == f"{legal}{weights!r}"
    classifier.fit(clips, labels, class_weight={0: 1.0, 1: 2.0, 2: 3.0}, verbose=0)


def test_weights_as_a_column_mean_the_same(reconstructor):
    weights = np.arange(6.0)
    flat, column = (
        reconstructor.evaluate(CLIPS, CLIPS, sample_weight=w, verbose=0, return_dict=True)
        for w in (weights, weights[:, None])
    )
    assert flat == pytest.approx(column)
    each = [reconstructor.evaluate(CLIPS[i : i + 1], verbose=0, return_dict=True)["loss"] for i in range(6)]
    assert flat["loss"] == pytest.approx(np.mean(weights * each), rel=1e-5)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint16", "float16", "float64"])
def test_other_types_on_a_right_scale_give_what_uint8_gives(reconstructor, dtype):
    clips = CLIPS / 127.5 - 1 if dtype.startswith("float") else CLIPS
    # Half precision and resizing overshoot a little.
    clips = clips * (1.005 if dtype == "float64" else 1)
    made = reconstructor.predict_on_batch(clips.astype(dtype))
    np.testing.assert_allclose(made, reconstructor.predict_on_batch(CLIPS), atol=5e-3)


def test_floats_from_0_to_1_are_warned_of_once(caplog):
    model = kvzoo.get("gru_ae", **GREY)
    for _ in range(2):
        model.predict_on_batch(FLOATS / 255)
    assert [r.getMessage() for r in caplog.records] == [
        "predict_on_batch: clips: all floats are within 0..1; a scale of -1..1 is assumed, on which they are bright"
    ]


LABELS = np.array([0, 1, 2, 0, 1, 2])
BAD_LABELS = {
    "from 1": (LABELS + 1, "Received: 3"),
    "negative": (LABELS - 1, "Received: -1"),
    "one-hot": (np.eye(3)[LABELS], r"labels.argmax\(-1\) makes them of one-hot rows. Received: shape \(6, 3\)"),
    "floats": (LABELS.astype("float32"), "Received: float32"),
    "bool": (LABELS > 0, "Received: bool"),
    "words": (LABELS.astype(str), "Received: <U"),
    "too few": (LABELS[:5], "Received: 5 for 6 clips"),
    "none": (None, r"\.fit\(clips, labels\)"),
}


@pytest.mark.parametrize("case", BAD_LABELS)
def test_labels_that_are_no_classes_are_refused(classifier, case):
    labels, reason = BAD_LABELS[case]
    clips = np.zeros((6, *classifier.clip_shape), "uint8")
    for way in ("fit", "evaluate", "train_on_batch", "test_on_batch"):
        message = refusal(getattr(classifier, way), clips, labels)
        assert message.startswith(f"{way}: ")
        assert re.search(reason, message), message


def test_generators_and_translators_check_what_they_are_given():
    tiny = {name: kvzoo.get(name, **catalog.MODELS.get(name).tiny) for name in ("pix2pix", "videogan_label")}
    inputs, targets = (np.zeros((4, *shape), "uint8") for shape in tiny["pix2pix"].clip_shapes)
    pairs = tiny["pix2pix"]
    assert "are required, as many as inputs" in refusal(pairs.fit, inputs, targets[:3])
    assert "targets: integers 0..255" in refusal(pairs.evaluate, inputs, targets + np.float32(2))
    assert "inputs: shape" in refusal(pairs.predict, targets)
    assert "does not support sample" in refusal(pairs.fit, inputs, targets, sample_weight=np.ones(4))
    generator = tiny["videogan_label"]
    clips, noise = np.zeros((4, *generator.clip_shape), "uint8"), np.zeros((2, generator.noise_dim))
    assert "labels: integers from 0" in refusal(generator.fit, clips, np.full(4, generator.classes))
    assert "clips: integers 0..255" in refusal(generator.fit, clips + np.float32(2), np.zeros(4, int))
    assert refusal(generator.predict, {"noise": noise}) == "predict: videogan_label takes noise and label"
    assert "label: integers" in refusal(generator.predict, {"noise": noise, "label": np.array([0, 99])})
    assert "noise: finite" in refusal(generator.predict, {"noise": noise * np.nan, "label": np.array([0, 1])})


def test_images_to_continue_are_checked():
    model = kvzoo.get("videogan_image", compile=False, **catalog.MODELS.get("videogan_image").tiny)
    images = np.zeros((2, *model.clip_shape[1:]), "float32")
    assert refusal(model.generate, 2, images=images + 100).startswith("generate: images: integers 0..255 or floats")


class Batches(keras.utils.PyDataset):
    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return tuple(array[3 * index : 3 * index + 3] for array in self.arrays)


def of_tf(*arrays):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(arrays).batch(3)


def of_grain(*arrays):
    grain = pytest.importorskip("grain")
    pairs = grain.MapDataset.source(list(zip(*arrays, strict=True)))
    return pairs.batch(3).to_iter_dataset()


def of_torch(*arrays):
    torch = pytest.importorskip("torch")
    tensors = torch.utils.data.TensorDataset(*map(torch.as_tensor, arrays))
    return torch.utils.data.DataLoader(tensors, batch_size=3)


KINDS = {
    "arrays": lambda *arrays: arrays,
    "PyDataset": lambda *arrays: (Batches(*arrays),),
    "generator": lambda *arrays: ((batch for batch in map(Batches(*arrays).__getitem__, range(2))),),
    "tf.data": lambda *arrays: (of_tf(*arrays),),
    "grain": lambda *arrays: (of_grain(*arrays),),
    "torch": lambda *arrays: (of_torch(*arrays),),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_works_and_its_first_batch_is_looked_at(classifier, kind):
    clips = RNG.integers(0, 256, (6, *classifier.clip_shape), dtype=np.uint8)
    batched = {"batch_size": 3, "shuffle": False} if kind == "arrays" else {}
    steps = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    classifier.fit(*KINDS[kind](clips, LABELS), verbose=0, callbacks=[count], **batched)
    assert steps == [0, 1]  # the batch that was looked at is not lost
    assert "labels: integers" in refusal(classifier.fit, *KINDS[kind](clips, LABELS + 1), **batched)
    assert "clips: integers 0..255" in refusal(classifier.fit, *KINDS[kind](clips + np.float32(9), LABELS), **batched)


def test_metrics_are_counted_and_another_loss_is_refused(reconstructor, classifier):
    model = kvzoo.get("gru_ae", **GREY)
    model.compile("adam", metrics=["mae"], weighted_metrics=[keras.metrics.MeanSquaredError("mse")])
    got = model.evaluate(CLIPS, batch_size=4, verbose=0, return_dict=True)
    made = keras.ops.convert_to_numpy(model(CLIPS))
    assert got["mae"] == pytest.approx(np.abs(CLIPS / 127.5 - 1 - made).mean(), rel=1e-4)
    assert got["mse"] == pytest.approx(got["loss"], rel=1e-4)
    clips = RNG.integers(0, 256, (6, *classifier.clip_shape), dtype=np.uint8)
    classifier.compile("adam", metrics=[keras.metrics.SparseTopKCategoricalAccuracy(3, name="top_3")])
    assert classifier.fit(clips, LABELS, verbose=0).history["top_3"] == [1]
    pairs = kvzoo.get("pix2pix", **catalog.MODELS.get("pix2pix").tiny)
    for each in (model, pairs):
        assert refusal(each.compile, "adam", "mse").startswith(f"compile: loss: {each.name} has its own loss")
        assert "MeanSquaredError" in refusal(each.compile, "adam", loss=keras.losses.MeanSquaredError())
    assert refusal(pairs.compile, metrics=["mae"]) == (
        "compile: metrics: the loss conditional has its own. Received: list"
    )


@pytest.mark.parametrize("policy", ["bfloat16", "float16"])
def test_weights_in_half_precision_are_refused(policy):
    with kvzoo.zoo.dtype_policy(policy):
        for name in ("gru_ae", "pix2pix"):
            assert f"mixed_{policy}" in refusal(kvzoo.get, name, **catalog.MODELS.get(name).tiny)
    with pytest.raises(InputError, match="precision: must be float32, mixed_float16 or mixed_bfloat16"):
        kvzoo.zoo.dtype_policy("half").__enter__()


def test_validation_is_of_clips_however_they_are_batched():
    for name in ("pix2pix", "videogan_label"):
        model = kvzoo.get(name, **catalog.MODELS.get(name).tiny)
        arrays = [RNG.integers(0, 256, (5, *shape), dtype=np.uint8) for shape in model.clip_shapes]
        arrays[-1][4] = 0  # unlike the others
        if model.takes_labels:
            arrays.append(np.array([0, 1, 2, 0, 1]))
        whole, parts = (model.evaluate(*arrays, batch_size=n, verbose=0, return_dict=True) for n in (5, 4))
        assert whole == pytest.approx(parts, rel=1e-5, abs=1e-6), name
