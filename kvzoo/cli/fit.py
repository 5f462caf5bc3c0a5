"""`kvzoo fit`: a recipe becomes a run."""

from pathlib import Path

import click

from kvzoo.cli.group import verb
from kvzoo.cli.options import backend, out_folder, overrides, seed
from kvzoo.cli.terminal import backend_starts
from kvzoo.recipe.explain import as_yaml
from kvzoo.recipe.resolve import Recipe, load


@verb()
@click.argument("recipe")
@overrides("Override a recipe value, e.g. fit.steps=50.")
@out_folder("Run folder (default: runs/RECIPE-N).")
@seed("Random seed; the same as -o fit.seed=N.")
@click.option("--smoke", is_flag=True, help="Shrink steps, batch and network to train in under a minute.")
@click.option("--dry-run", is_flag=True, help="Check model and data, and print what would run; write nothing.")
@backend
def command(
    recipe: str, overrides: tuple[str, ...], out: str | None, seed: int | None, smoke: bool, dry_run: bool
) -> None:
    """Train the model of RECIPE: a YAML file, the name of a shipped recipe, or a run's lock file."""
    resolved = load(recipe, overrides if seed is None else (*overrides, f"fit.seed={seed}"), smoke)
    # What can be refused without Keras is refused before it is imported.
    from kvzoo.run.folder import planned

    folder = planned(resolved.name, out)
    if dry_run:
        _show(resolved, folder)
        return
    with backend_starts():
        from kvzoo.run.fit import fit

    fit(resolved, out=out)


def _show(recipe: Recipe, folder: Path) -> None:
    """Build the model, open the data, and print what would run."""
    with backend_starts():
        import keras

        from kvzoo import zoo
        from kvzoo.data.pipeline import open_data

    settings = recipe["fit"]
    with zoo.dtype_policy(settings["precision"]):
        model = zoo.get(recipe["model"]["name"], loss=recipe["loss"], compile=False, **recipe.model_options)
    zoo.compile_model(model, settings["optimizer"], settings["l2"], settings["jit_compile"])
    data = open_data(recipe["data"], model.clip_shapes, settings["seed"], model.wanted_classes)
    click.echo(as_yaml(recipe))
    rows = {
        "folder": folder,
        "backend": keras.backend.backend(),
        "parameters": f"{sum(variable.shape.num_elements() for variable in model.trainable_variables):,} trainable",
    }
    for name, clips in {"training": data.training, "validation": data.validation, **data.tests}.items():
        if clips:
            frames = sum(video.frames for video in clips.videos)
            groups = len({video.group for video in clips.videos})
            rows[name] = f"{len(clips.videos)} videos, {frames} frames; {groups} group{'s' * (groups != 1)}"
    width = max(map(len, rows))
    for name, value in rows.items():
        click.echo(f"{name:<{width}}  {value}")
    for skipped in data.skipped:
        click.echo(f"kvzoo: skipped {skipped.name}: {skipped.reason}", err=True)
