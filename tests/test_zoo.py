"""What must hold for every registered model, at its tiny configuration: the battery, and what `kvzoo.get` refuses."""

import keras
import pytest

import kvzoo
from kvzoo import catalog
from kvzoo.errors import InputError
from kvzoo.testing import battery

MODELS = [entry.name for entry in catalog.MODELS.entries() if entry.distribution == "kvzoo"]

# Three networks have SpeedNet's trunk, some ten seconds of graph for each row that trains; two vary videogan.
ALIKE = ["speednet", "speednet_i3d", "videogan_label", "videogan_image"]
TRAINED = ["loss", "precision", "range", "resume"]
MARKS = {"backends": pytest.mark.backend}

test_battery = battery(*[name for name in MODELS if name not in (*ALIKE, "s3dg")], stock_keras=True, marks=MARKS)
test_battery_of_networks_alike = battery(
    *ALIKE, stock_keras=True, marks={**MARKS, **dict.fromkeys(TRAINED, pytest.mark.slow)}
)


# Of s3dg JAX's third loss differs from TensorFlow's by 1.2e-3 where 1e-3 is asked, as rounding grows a hundredfold in
# each of Adam's steps; speednet, on the same trunk, agrees.
test_battery_of_s3dg = battery("s3dg", stock_keras=True, marks=dict.fromkeys([*TRAINED, "backends"], pytest.mark.slow))


@pytest.mark.parametrize("name", MODELS)
def test_a_wrong_option_is_refused_with_its_name(name):
    with pytest.raises(InputError, match="fames"):
        kvzoo.get(name, fames=3)


@pytest.mark.parametrize("name", MODELS)
def test_weights_that_do_not_fit_are_refused(name, tmp_path):
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    other.save(tmp_path / "model.keras")
    for path, reason in ((tmp_path / "model.keras", "does not fit"), (tmp_path / "none.keras", "no such file")):
        with pytest.raises(InputError, match=reason):
            kvzoo.get(name, weights=path, **catalog.MODELS.get(name).tiny)
