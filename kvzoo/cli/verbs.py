"""The verbs: found by name, imported when they are called."""

import importlib

import click

import kvzoo
from kvzoo.cli.group import Group
from kvzoo.cli.options import verbosity
from kvzoo.plugins import commands
from kvzoo.signals import command

# section: verb: its summary; help is printed from here, without importing the verb's module.
SECTIONS = {
    "Train": {
        "list": "List the registered models",
        "info": "Describe a model, loss, source, sampler or callback",
        "explain": "Show a recipe with every value and its origin",
        "fit": "Train a model from a recipe",
        "resume": "Resume an interrupted run",
        "runs": "List runs with their progress and best metric",
        "report": "Rebuild the report page of a run",
        "evaluate": "Evaluate a trained model on held-out clips",
        "compare": "Compare runs on the same held-out clips",
    },
    "Use": {
        "reconstruct": "Show a video above its reconstruction",
        "interpolate": "Raise a video's frame rate, or slow it down",
        "predict": "Continue a video with predicted frames",
        "generate": "Generate clips",
        "anomaly": "Find anomalies in videos",
        "speed": "Estimate how fast a video plays",
        "speedup": "Speed up a video adaptively",
        "saliency": "Show which regions of a video look slow or fast",
        "embed": "Extract features from videos",
        "retrieve": "Find the clips that are most similar to a video",
    },
    "Data": {
        "data": "Create, prepare and check data",
    },
    "Extend": {
        "plugin": "Create, list and check plugins",
        "bench": "Measure the speed and memory of models on this machine",
        "doctor": "Show versions, backend, devices and performance advice",
    },
}
VERBS = {name: summary for verbs in SECTIONS.values() for name, summary in verbs.items()}
PLUGINS = "Plugins"  # the section of verbs that plugins add


class Verbs(Group):
    """A group whose commands are imported when they are called; plugins may add some."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [*VERBS, *commands.names(tuple(VERBS))]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        with command.loading():
            if name in VERBS:
                return importlib.import_module(f"kvzoo.cli.{name}").command
            entry = commands.find(name)
            return entry and commands.load(entry)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        sections = SECTIONS | {PLUGINS: self._of_plugins()}
        width = max(len(name) for verbs in sections.values() for name in verbs)
        for title, verbs in sections.items():
            if verbs:
                with formatter.section(title):
                    formatter.write_dl([(f"{name:<{width}}", summary) for name, summary in verbs.items()])

    def shell_complete(self, context: click.Context, incomplete: str) -> list:
        from click.shell_completion import CompletionItem

        # Click's own method imports each verb for its help.
        summaries = VERBS | self._of_plugins()
        verbs = [CompletionItem(name, help=text) for name, text in summaries.items() if name.startswith(incomplete)]
        return verbs + click.Command.shell_complete(self, context, incomplete)

    def _of_plugins(self) -> dict[str, str]:
        verbs = commands.names(tuple(VERBS))
        return {name: f"Added by the plugin {entry.distribution} {entry.version}" for name, entry in verbs.items()}


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]}, params=verbosity())
@click.version_option(kvzoo.__version__, "--version", message="kvzoo %(version)s")
def cli() -> None:
    """A zoo of Keras 3 video models with a plugin registry.

    Try `kvzoo list`, then `kvzoo fit gru_ae`.
    """
