"""Runs of fresh speed networks."""

import keras
import numpy as np

import kvzoo

LOCK = "model: {}\nloss: {}\ndata: {{source: stick_actions}}\nfit: {{steps: 1}}\n"


def make_run(folder, name: str, loss: str, **options):
    """Make a run of an untrained network that says as different things of clips as a trained one does."""
    folder.mkdir()
    keras.utils.set_random_seed(1)
    model = kvzoo.get(name, loss=loss, **options)
    clips = np.random.default_rng(0).integers(0, 256, (8, *model.clip_shape), np.uint8)
    layers = model.network.layers
    for layer in layers:
        if hasattr(layer, "momentum"):
            layer.momentum = 0.0
        if "gate" in layer.name:
            layer.set_weights([100 * weights for weights in layer.get_weights()])
    model(clips, training=True)  # batch norm has these clips' statistics
    kernel, bias = layers[-1].get_weights()
    said = np.asarray(model.predict_on_batch(clips))
    layers[-1].set_weights([kernel * 2 / said.std(), bias - said.mean(0) * 2 / said.std()])
    model.network.save(folder / "model.keras")
    written = ", ".join(f"{key}: {value}" for key, value in {"name": name, **options}.items())
    (folder / "recipe.lock.yaml").write_text(LOCK.format(f"{{{written}}}", loss))
    return folder
