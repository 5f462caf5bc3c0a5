"""The shipped recipes."""

from kvzoo import catalog
from kvzoo.recipe.resolve import load, shipped_recipes

RECIPES = {f.stem: f for f in shipped_recipes()}


BUILT_IN = [
    name
    for name, file in RECIPES.items()
    if "path" not in catalog.SOURCES.get(load(file, check_paths=False)["data"]["source"]).options
]
