"""`kvzoo`: finds the verb, and turns errors into one line and an exit code."""

import contextlib
import importlib
import logging
import os
import sys
import tempfile

import click

import kvzoo
from kvzoo.errors import KvzooError

# verb: (module, what it does); help is printed from here, without importing the module.
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


class Verbs(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        return importlib.import_module(f"kvzoo.cli.{name}").command

    def invoke(self, context: click.Context):
        try:
            return super().invoke(context)
        except BrokenPipeError:
            # Whoever read our output has seen enough; click would exit with 1.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(0) from None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(kvzoo.__version__, "--version", message="kvzoo %(version)s")
def cli() -> None:
    """A zoo of Keras 3 video models with a plugin registry.

    Try `kvzoo list`, then `kvzoo fit gru_ae`.
    """


def main() -> None:
    """Entry point: exit codes are 0 done, 1 our fault, 2 the user's input, 3 training failed, 130 interrupted."""
    _quiet()
    try:
        code = cli.main(prog_name="kvzoo", standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help(), err=True)
        code = error.exit_code
    except click.ClickException as error:
        code = _refuse(_in_one_line(error), error.exit_code)
    except KvzooError as error:
        code = _refuse(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        code = _refuse("interrupted", 130)
    sys.exit(code or 0)


def _refuse(message: str, code: int) -> int:
    click.echo(f"kvzoo: {' '.join(message.split())}", err=True)
    return code


def _in_one_line(error: click.ClickException) -> str:
    help_ = f" (try `{error.ctx.command_path} --help`)" if isinstance(error, click.UsageError) and error.ctx else ""
    return error.format_message() + help_


def _quiet() -> None:
    """Keep the backends' start-up chatter off the terminal, and our own log on it."""
    for name, value in {"TF_CPP_MIN_LOG_LEVEL": "3", "GRPC_VERBOSITY": "ERROR", "GLOG_minloglevel": "3"}.items():
        os.environ.setdefault(name, value)
    logger = logging.getLogger("kvzoo")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    handler = _Terminal()
    handler.setLevel(logging.INFO)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)


@contextlib.contextmanager
def backend_starts():
    """Hold back what a backend's libraries print while they load; show it only if they do not."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            yield
            # Grain warns while it loads where JAX is not installed; most verbs load it later than here.
            import grain  # noqa: F401
            import keras

            # Finding its devices is when a backend prints what it misses.
            keras.ops.convert_to_numpy(keras.ops.zeros(()))
        except BaseException:
            os.dup2(kept, 2)
            chatter.seek(0)
            os.write(2, chatter.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@contextlib.contextmanager
def bar(length: int | None, what: str = "frames"):
    """Show a bar on a terminal; yields what moves it on, None elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=length, label=what, file=sys.stderr, show_pos=True) as shown:
        yield shown.update


class _Terminal(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        # `print`, not click's echo: a live line on the terminal catches it and stays below. A
        # traceback goes to the log only; the interpreter prints its own.
        print(record.getMessage(), file=sys.stderr if record.levelno >= logging.WARNING else sys.stdout, flush=True)
