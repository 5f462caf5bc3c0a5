"""The verbs: found by name, imported when they are called."""

import importlib

import click

import kvzoo
from kvzoo.cli.group import Group
from kvzoo.signals import command

# verb: what it does; help is printed from here, without importing the verb's module.
VERBS = {
    "list": "the registered models",
    "info": "all that is known of a model, loss, source or sampler",
    "explain": "a recipe with all its values, and where each comes from",
    "fit": "train what a recipe says",
    "resume": "go on with a run that was cut",
    "runs": "the runs of a folder: how far each is, and its best figure",
    "report": "a run's page, made again: samples, curves, figures, recipe",
    "evaluate": "how good a run's model is on held-out clips, with the conditions",
    "reconstruct": "a video above what a run's model makes of it",
    "anomaly": "where videos are not as those that a run's model was trained on",
    "interpolate": "a video at a multiple of its frame rate, or in slow motion",
    "predict": "a video, and how a run's model goes on with it",
    "speed": "how fast a video seems, over time and at eleven rates",
    "speedup": "a video made shorter where nobody minds",
    "saliency": "where in a video things seem slow or fast",
    "embed": "videos as features, in one file",
    "retrieve": "the clips of a gallery that are most like a video",
    "generate": "clips from a run's generator",
    "compare": "runs side by side on the same held-out clips: a table and a page",
    "data": "make and look at data",
    "plugin": "other people's models: their state, a new one, the battery for one",
    "bench": "Measure what each model costs on this machine",
    "doctor": "versions, backend, devices, and what is slow here",
}


class Verbs(Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        with command.loading():
            return importlib.import_module(f"kvzoo.cli.{name}").command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(kvzoo.__version__, "--version", message="kvzoo %(version)s")
def cli() -> None:
    """A zoo of Keras 3 video models with a plugin registry.

    Try `kvzoo list`, then `kvzoo fit gru_ae`.
    """
