"""What must hold for every registered model, at its tiny configuration: the battery, and what `kvzoo.get` refuses."""

import dataclasses

import keras
import pytest

import kvzoo
from kvzoo import catalog, zoo
from kvzoo.errors import InputError
from kvzoo.testing import battery

MODELS = [entry.name for entry in catalog.MODELS.entries() if entry.distribution == "kvzoo"]

# What trains a large graph takes ten seconds and more: such rows are slow. Two networks vary videogan, two have speednet's trunk.
LARGE = ["flow_interpolator", "speednet"]
VARIANTS, SAME_TRUNK = ["videogan_label", "videogan_image"], ["s3dg", "speednet_i3d"]
REST = [name for name in MODELS if name not in LARGE + VARIANTS + SAME_TRUNK]
BACKENDS = {"backends": pytest.mark.backend}
LATER = {**BACKENDS, **dict.fromkeys(["loss", "precision", "range", "resume"], pytest.mark.slow)}

test_battery = battery(*REST, stock_keras=True, marks=BACKENDS)
test_battery_of_large_and_variants = battery(*LARGE, *VARIANTS, stock_keras=True, marks=LATER)
test_battery_of_speednets_trunk = battery(
    *SAME_TRUNK, stock_keras=True, marks={**LATER, **dict.fromkeys(["gradients", "shape"], pytest.mark.slow)}
)


@pytest.mark.parametrize("name", MODELS)
def test_a_wrong_option_is_refused_with_its_name(name):
    with pytest.raises(InputError, match="fames"):
        kvzoo.get(name, fames=3)


def test_a_layer_of_features_that_is_not_there_freezes_nothing():
    model = kvzoo.get("tiny_c3d", compile=False, **catalog.MODELS.get("tiny_c3d").tiny)
    model.spec = dataclasses.replace(model.spec, feature_layer="feature")
    for use in (lambda: zoo.freeze_trunk(model), lambda: zoo.part(model.network, "feature")):
        with pytest.raises(InputError, match="no (feature_)?layer 'feature'; did you mean features"):
            use()
    assert all(layer.trainable for layer in model.network.layers)


@pytest.mark.parametrize("name", MODELS)
def test_weights_that_do_not_fit_are_refused(name, tmp_path):
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    other.save(tmp_path / "model.keras")
    for path, reason in ((tmp_path / "model.keras", "does not fit"), (tmp_path / "none.keras", "no such file")):
        with pytest.raises(InputError, match=reason):
            kvzoo.get(name, weights=path, **catalog.MODELS.get(name).tiny)
