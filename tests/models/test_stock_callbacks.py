"""Keras's own callbacks work on a kvzoo model, and what they save loads with and without kvzoo."""

import keras
import numpy as np
import pytest

import kvzoo
from kvzoo import catalog
from kvzoo.errors import InputError

CASES = [
    "gru_ae",
    pytest.param("pix2pix", marks=pytest.mark.slow),
    pytest.param("videogan", marks=pytest.mark.slow),
]


class Break(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", CASES)
def test_callbacks_save_restore_and_stop(name, tmp_path):
    tiny = catalog.MODELS.get(name).tiny
    model = kvzoo.get(name, **tiny)
    arrays = [np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8) for shape in model.clip_shapes]
    metric = "loss" if name == "gru_ae" else "g_loss"
    how = {"batch_size": 2, "epochs": 3, "verbose": 0}
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        model.fit(
            *arrays,
            callbacks=[
                keras.callbacks.ModelCheckpoint(tmp_path / "x.keras"),
                keras.callbacks.ModelCheckpoint(tmp_path / "x.weights.h5", save_weights_only=True),
                keras.callbacks.EarlyStopping(metric, mode="min", patience=9, restore_best_weights=True),
                keras.callbacks.ReduceLROnPlateau(metric, mode="min"),
                keras.callbacks.TerminateOnNaN(),
                keras.callbacks.CSVLogger(tmp_path / "log.csv"),
                backup,
                Break(),
            ],
            **how,
        )
    resumed = kvzoo.get(name, **tiny)
    assert resumed.fit(*arrays, callbacks=[backup], **how).epoch == [2]
    assert int(keras.ops.convert_to_numpy(resumed.optimizer.iterations)) == 6
    loaded = keras.saving.load_model(tmp_path / "x.keras")
    assert type(loaded) is not type(model) and loaded.name == model.network.name
    for file in ("x.keras", "x.weights.h5"):
        again = kvzoo.get(name, weights=tmp_path / file, **tiny)
        for a, b in zip(again.network.get_weights(), loaded.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_saving_writes_the_plain_network(tmp_path):
    model = kvzoo.get("gru_ae", **catalog.MODELS.get("gru_ae").tiny)
    model.save(tmp_path / "x.keras")
    assert [w.shape for w in keras.saving.load_model(tmp_path / "x.keras").weights] == [
        w.shape for w in model.network.weights
    ]
    with pytest.raises(InputError, match=r"model\.save\(path\)"):
        model.get_config()


@pytest.mark.slow
def test_export_writes_the_plain_network(tmp_path):
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("a SavedModel needs TensorFlow")
    model = kvzoo.get("gru_ae", **catalog.MODELS.get("gru_ae").tiny)
    model.export(tmp_path / "exported", verbose=False)
    clips = np.zeros((2, *model.clip_shape), "float32")
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(exported.serve(clips), model.network.predict(clips, verbose=0), atol=1e-5)
