"""What must hold for every registered model, at its tiny configuration: the battery, and what `kvzoo.get` refuses."""

import keras
import pytest

import kvzoo
from kvzoo import catalog
from kvzoo.errors import InputError
from kvzoo.testing import battery

MODELS = [entry.name for entry in catalog.MODELS.entries() if entry.distribution == "kvzoo"]

# Three networks have SpeedNet's trunk, some ten seconds of graph for each row that trains; two vary videogan.
SAME_TRUNK, VARIANTS = ["s3dg", "speednet", "speednet_i3d"], ["videogan_label", "videogan_image"]
BACKENDS = {"backends": pytest.mark.backend}
LATER = dict.fromkeys(["loss", "precision", "range", "resume"], pytest.mark.slow)

test_battery = battery(*[n for n in MODELS if n not in SAME_TRUNK + VARIANTS], stock_keras=True, marks=BACKENDS)
test_battery_of_variants = battery(*VARIANTS, stock_keras=True, marks={**BACKENDS, **LATER})
test_battery_of_speednets_trunk = battery(*SAME_TRUNK, stock_keras=True, marks={**BACKENDS, **LATER})


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
