"""Generate the parts of the docs that describe the zoo; run `python docs/generate.py` after changing a spec, a recipe or a card.

It writes the table of models (README.md, docs/zoo.md), the output of `kvzoo list` (docs/index.md), and a card for each
model from its spec, its recipes and docs/cards/NAME.yaml, with a diagram of its blocks. MkDocs runs this file as a hook
(`hooks` in mkdocs.yml): it generates the references of commands and recipe keys and adds the cards to the navigation.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from inspect import cleandoc
from pathlib import Path
from textwrap import wrap
from xml.sax.saxutils import escape

import click
from click.testing import CliRunner
from ruamel.yaml import YAML

from kvzoo import catalog, keras_names
from kvzoo.cli.info import model_rows, option_in_words
from kvzoo.cli.verbs import VERBS, cli
from kvzoo.recipe import schema
from kvzoo.recipe.resolve import load, shipped_recipes
from kvzoo.registry import ModelSpec, Option, Spec

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
CARDS = DOCS / "cards"
MARKS = "<!-- zoo: written by docs/generate.py -->", "<!-- end of zoo -->"
TABLES = {ROOT / "README.md": "docs/cards/", DOCS / "zoo.md": "cards/"}
LIST = re.compile(r"(?<=^\$ kvzoo list\n).*?(?=^```)", re.MULTILINE | re.DOTALL)
DIAGRAMS = CARDS / "diagrams"


def files() -> Iterator[tuple[Path, str]]:
    """Yield each generated file with its text."""
    start = DOCS / "index.md"
    printed = CliRunner().invoke(cli, ["list"], env={"KVZOO_PLUGINS": ""}).output
    yield start, LIST.sub(lambda _: printed, start.read_text(encoding="utf-8"))
    for page, cards in TABLES.items():
        before, _, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
        after = rest.partition(MARKS[1])[2]
        yield page, f"{before}{MARKS[0]}\n{zoo_table(cards)}{MARKS[1]}{after}"
    for spec in built_ins():
        notes = YAML(typ="base").load(CARDS / f"{spec.name}.yaml")
        yield CARDS / f"{spec.name}.md", card(spec, notes)
        yield DIAGRAMS / f"{spec.name}.svg", diagram(notes["blocks"])
    for name in ("layers", "fit"):
        yield DOCS / "images" / f"{name}.svg", diagram(YAML(typ="base").load(DOCS / "images" / f"{name}.yaml"))


def built_ins() -> list[ModelSpec]:
    """Return the specs of the built-in models."""
    return [entry.spec for entry in catalog.MODELS.entries() if entry.distribution == "kvzoo"]


def zoo_table(cards: str) -> str:
    """Return the table of models, with links to their cards in the folder `cards`."""
    rows = [
        [f"[`{s.name}`]({cards}{s.name}.md)", s.kind, " + ".join(f"{n:,}" for n in s.parameters.values()), s.summary]
        for s in built_ins()
    ]
    return table(["model", "kind", "parameters", "description"], rows)


def card(spec: ModelSpec, notes: Mapping) -> str:
    """Return a model's card from its spec, its recipes and the hand-written notes in docs/cards/NAME.yaml."""
    parts = [
        f"# {spec.name}\n\n{sentence(spec.summary)}\n",
        *(picture(**arguments) for arguments in notes.get("pictures", ())),
        f"![Blocks of {spec.name}, from its input at the top to its output](diagrams/{spec.name}.svg)\n",
        f"## Model details\n\nAs printed by `kvzoo info {spec.name}`.\n",
        table(["", ""], [[key, detail(key, value)] for key, value in model_rows(spec).items()]),
        "## Differences from the original\n",
        bullets(notes["differs"]),
        "## Options\n",
        table(
            ["option", "type, default, allowed values"],
            [[f"`{k}`", option_in_words(o)] for k, o in spec.options.items()],
        ),
        "## Recipes\n",
        recipes_of(spec),
        "## Results\n",
    ]
    for result in notes.get("results", ()):
        figures = result["figures"]
        parts += [f"{result['conditions']}\n", table(["metric", "value"], figures.items())]
    if not notes.get("results"):
        parts.append("There are no results yet.\n")
    parts.append("For all measurements and comparisons, see [Results](../results.md).\n")
    parts += ["## Speed\n", notes.get("speed", "Not measured.") + "\n", "## Limitations\n", bullets(notes["limits"])]
    parts += ["## Licence\n", f"Code: {spec.licence}. {notes['trained_on']}\n"]
    return "\n".join(parts)


def sentence(text: str) -> str:
    """Return a summary as a sentence."""
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('?') else '.'}"


def picture(file: str, caption: str) -> str:
    """Return an image with its caption as Markdown."""
    return f"![{caption.replace('`', '')}](../images/{file})\n\n*{caption}*\n"


def detail(key: str, value: str) -> str:
    """Return a value of `kvzoo info` as Markdown: names as code, arXiv identifiers as links."""
    if key == "discriminators":
        return f"`{value}`"
    return re.sub(r"arXiv (\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", value)


def recipes_of(spec: ModelSpec) -> str:
    """Return the shipped recipes of a model, each with the text of its header."""
    parts = []
    for file in shipped_recipes():
        if load(file, check_paths=False)["model"]["name"] == spec.name:
            parts += [f"### `kvzoo fit {file.stem}`\n", *paragraphs(header(file)), folded(file)]
    return (
        "\n".join(parts)
        if parts
        else "There is no recipe for this model: build it with `kvzoo.get`, or write your own recipe.\n"
    )


def folded(file: Path) -> str:
    """Return a recipe without its header, in a collapsible block."""
    text = file.read_text(encoding="utf-8").splitlines()[len(header(file)) :]
    yaml = "\n".join(text).strip()
    return f'<details markdown="1"><summary>{file.name}</summary>\n\n```yaml\n{yaml}\n```\n\n</details>\n'


def header(file: Path) -> list[str]:
    """Return the lines of the comment at the top of a recipe."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return lines


def paragraphs(lines: Iterable[str]) -> Iterator[str]:
    """Yield the paragraphs of a header, with indented lines as code blocks."""
    for text in re.split(r"\n\n|\n(?=Result)", "\n".join(lines)):
        if text.startswith("  "):
            yield "```sh\n" + "\n".join(line.removeprefix("  ") for line in text.splitlines()) + "\n```\n"
        else:
            yield text.replace("Result", "**Result**", 1) + "\n" if text.startswith("Result") else text + "\n"


def table(head: list[str], rows: Iterable[Iterable]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def bullets(lines: Iterable[str]) -> str:
    """Return a Markdown list."""
    return "".join(f"- {line}\n" for line in lines)


LINE, PAD, GAP = 19, 10, 26  # pixels: height of a line of text, padding, gap between rows
LETTER = 6.7  # pixels: average width of a letter at the font size


def diagram(rows: list) -> str:
    """Return an SVG diagram of blocks, with one row below the other, connected by arrows.

    Args:
        rows: a row is a block or a list of blocks side by side. The text of a block up to ": " is its title.
    """
    rows = [row if isinstance(row, list) else [row] for row in rows]
    width = 520  # pixels: readable on a phone
    parts, above, y = [], [], 4
    for row in rows:
        room = (width - 20 * (len(row) - 1)) / len(row)
        texts = [block_lines(block, int((room - 2 * PAD) / LETTER)) for block in row]
        widths = [max(len(line) for line, _ in text) * LETTER + 2 * PAD for text in texts]
        height = max(map(len, texts)) * LINE + 2 * PAD
        x = (width - sum(widths) - 20 * (len(row) - 1)) / 2
        centres = []
        for text, wide in zip(texts, widths, strict=True):
            parts.append(f'<rect x="{x:.0f}" y="{y}" width="{wide:.0f}" height="{height}" rx="5" class="block"/>')
            first = y + PAD + 14 + (height - 2 * PAD - len(text) * LINE) / 2
            for i, (line, bold) in enumerate(text):
                weight = ' font-weight="600"' if bold else ""
                parts.append(f'<text x="{x + wide / 2:.0f}" y="{first + i * LINE:.0f}"{weight}>{escape(line)}</text>')
            centres.append(x + wide / 2)
            x += wide + 20
        pairs = (
            zip(above, centres, strict=True) if len(above) == len(centres) else ((a, c) for a in above for c in centres)
        )
        parts += [f'<path d="M{a:.0f} {y - GAP + 1} L{c:.0f} {y - 3}" class="arrow"/>' for a, c in pairs]
        above, y = centres, y + height + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" viewBox="0 0 {width} {y - GAP + 4}" '
        'font-family="sans-serif" font-size="13" text-anchor="middle" fill="#1b2733">\n'
        "<style>.block{fill:#eef3fa;stroke:#5b7aa6}.arrow{stroke:#5b7aa6;stroke-width:1.5;fill:none;marker-end:url(#head)}</style>\n"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#5b7aa6"/></marker></defs>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def block_lines(block: str, letters: int) -> list[tuple[str, bool]]:
    """Return the lines of a block, of at most `letters` characters, and whether each belongs to the title."""
    title, _, detail = block.partition(": ")
    bold = bool(detail)
    return [(line, bold) for line in wrap(title, letters)] + [(line, False) for line in wrap(detail, letters)]


SECTIONS = (
    (
        "The top level",
        schema.RecipeModel,
        "there is also `extends`: the path of another recipe to build on, relative to the folder of this one",
    ),
    (
        "`model`",
        schema.FineTuning,
        "the options of the model belong here, too: see its card or `kvzoo info NAME`",
    ),
    (
        "`data`",
        schema.Data,
        "the options of the source belong here, too; `tests` contains further named `data` sections to evaluate on",
    ),
    ("`fit`", schema.Fit, ""),
    ("`fit.best`", schema.Best, "the name of the metric alone is enough"),
    (
        "`fit.early_stopping`",
        schema.EarlyStopping,
        "the keys are those of `keras.callbacks.EarlyStopping`; an epoch is an interval",
    ),
)


def recipe_reference() -> str:
    """Return the reference page of all recipe keys."""
    parts = [
        "# Recipe keys\n",
        "Generated from the recipe schema and the catalogue of built-in specs. "
        "`kvzoo explain RECIPE` prints a complete recipe, including all defaults, and where each value comes from.\n",
    ]
    for title, section, remark in SECTIONS:
        parts += [f"## {title}\n", remark and f"{sentence(remark)}\n", table_of_section(section)]
    for title, registry in (
        ("loss", catalog.LOSSES),
        ("data.source", catalog.SOURCES),
        ("data.sampler", catalog.SAMPLERS),
    ):
        parts.append(f"## `{title}`: built-in names\n")
        parts += [part for entry in registry.entries() if entry.spec for part in of_spec(entry.spec)]
    parts.append(
        "## `fit.optimizer`\n\nThe optimizers of Keras, with `learning_rate` (a number or a schedule) and the following options.\n"
    )
    parts += [part for name, (_, options) in keras_names.OPTIMIZERS.items() for part in of_options(name, options)]
    parts.append("## `fit.optimizer.learning_rate`: schedules\n")
    parts += [part for name, options in keras_names.SCHEDULES.items() for part in of_options(name, options)]
    return "\n".join(part for part in parts if part)


def table_of_section(section: type[schema.Section]) -> str:
    """Return a table of the keys of a schema section."""
    rows = []
    for key, field in section.model_fields.items():
        default = "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)}`"
        rows.append([f"`{key}`", default, field.description or ""])
    return table(["key", "default", "description"], rows)


def of_spec(spec: Spec) -> Iterator[str]:
    """Yield the summary and the options of a loss, source or sampler."""
    yield f"### `{spec.name}`\n\n{sentence(spec.summary)}\n"
    if spec.options:
        yield options_table(spec.options)


def of_options(name: str, options: Mapping[str, Option]) -> Iterator[str]:
    """Yield a heading and a table of options."""
    yield f"### `{name}`\n"
    yield options_table(options)


def options_table(options: Mapping[str, Option]) -> str:
    """Return a table of options."""
    return table(
        ["option", "type, default, allowed values"], [[f"`{k}`", option_in_words(o)] for k, o in options.items()]
    )


def command_reference() -> str:
    """Return the reference page of all commands."""
    parts = [
        "# Command line\n",
        "Generated from the command line's own help. Exit codes: 0 success; 1 internal error; 2 invalid input, with a "
        "one-line message; 3 training failed, with the name of the last good checkpoint; 130 interrupted, with a "
        "checkpoint saved.\n",
    ]
    root = click.Context(cli, info_name="kvzoo")
    for verb in VERBS:
        parts += of_command(cli.get_command(root, verb), click.Context(cli.get_command(root, verb), root, verb), 2)
    return "\n".join(parts)


def of_command(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    """Yield the help of a command and, if it is a group, of its commands."""
    yield f"{'#' * level} {context.command_path}\n"
    yield f"```sh\n{context.command_path} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    yield f"{cleandoc(command.help)}\n"
    # Arguments are described in the text of the command.
    options = [record for p in command.params if (record := p.get_help_record(context)) and record[1]]
    if options:
        yield table(["option", "description"], [[f"`{names}`", text] for names, text in options])
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from of_command(inner, click.Context(inner, context, name), level + 1)


def on_config(config):
    """MkDocs: add the model cards to the navigation."""
    for section in config.nav:
        if "The zoo" in section:
            section["The zoo"] += [{spec.name: f"cards/{spec.name}.md"} for spec in built_ins()]
    return config


def on_files(files_, config):
    """MkDocs: add the reference pages of commands and recipe keys."""
    from mkdocs.structure.files import File

    for name, page in {"cli": command_reference, "recipe": recipe_reference}.items():
        files_.append(File.generated(config, f"reference/{name}.md", content=page()))
    return files_


def main() -> None:
    DIAGRAMS.mkdir(exist_ok=True)
    for path, text in files():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
