"""Runs of fresh translators."""

import kvzoo
from kvzoo.recipe.resolve import load
from kvzoo.run.folder import RunFolder

RECIPE = """
model: {{name: {name}, frames_in: {frames_in}, frames_out: 2, {options}, width: 4}}
data: {{source: stick_actions, sampler: {sampler}}}
fit: {{steps: 1}}
"""


FLOW = "image_size: 16"


PAINT = "image_size: 32, patch: 1"


def make_run(folder, name: str, options: str, sampler: str = "interpolate", frames_in: int = 2):
    """Make a run of a fresh network: it says more than a trained one, as a fresh flow gives the cross-fade."""
    folder.mkdir()
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE.format(name=name, frames_in=frames_in, options=options, sampler=sampler))
    values = load(recipe).values
    RunFolder(folder).write_lock(values)
    options = {key: value for key, value in values["model"].items() if key != "name"}
    kvzoo.get(name, compile=False, **options).network.save(folder / "model.keras")
    return folder
