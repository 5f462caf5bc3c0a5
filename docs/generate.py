"""Write what the docs say of the zoo: `python docs/generate.py` after a change of a spec, a recipe's header or a card.

It writes the table of models (README.md, docs/zoo.md), and for each model a card from its spec, its recipes and
docs/cards/NAME.yaml, with a diagram of its blocks. MkDocs runs this file too (`hooks` in mkdocs.yml), for the
reference of commands and of recipe keys, which are made with the site.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from inspect import cleandoc
from pathlib import Path
from textwrap import wrap
from xml.sax.saxutils import escape

import click
from ruamel.yaml import YAML

from kvzoo import catalog
from kvzoo.cli.info import model_rows, option_in_words
from kvzoo.cli.verbs import VERBS, cli
from kvzoo.recipe import keras_names, schema
from kvzoo.recipe.resolve import load, shipped_recipes
from kvzoo.registry import ModelSpec, Option, Spec

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
CARDS = DOCS / "cards"
MARKS = "<!-- zoo: written by docs/generate.py -->", "<!-- end of zoo -->"
TABLES = {ROOT / "README.md": "docs/cards/", DOCS / "zoo.md": "cards/"}
DIAGRAMS = CARDS / "diagrams"


def files() -> Iterator[tuple[Path, str]]:
    """Return each generated file with its text."""
    for page, cards in TABLES.items():
        before, _, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
        after = rest.partition(MARKS[1])[2]
        yield page, f"{before}{MARKS[0]}\n{zoo_table(cards)}{MARKS[1]}{after}"
    for spec in built_ins():
        told = YAML(typ="base").load(CARDS / f"{spec.name}.yaml")
        yield CARDS / f"{spec.name}.md", card(spec, told)
        yield DIAGRAMS / f"{spec.name}.svg", diagram(told["blocks"])
    for name in ("house", "fit"):
        yield DOCS / "images" / f"{name}.svg", diagram(YAML(typ="base").load(DOCS / "images" / f"{name}.yaml"))


def built_ins() -> list[ModelSpec]:
    """Return the specs of the models that come with kvzoo."""
    return [entry.spec for entry in catalog.MODELS.entries() if entry.distribution == "kvzoo"]


def zoo_table(cards: str) -> str:
    """Return the table of models, with links into the folder of cards."""
    rows = [
        [f"[`{s.name}`]({cards}{s.name}.md)", s.kind, " + ".join(f"{n:,}" for n in s.parameters.values()), s.summary]
        for s in built_ins()
    ]
    return table(["model", "kind", "parameters", "what it is"], rows)


def card(spec: ModelSpec, told: Mapping) -> str:
    """Return a model's card: what its spec says, what its recipes say, and what only a person can."""
    parts = [
        f"# {spec.name}\n\n{sentence(spec.summary)}\n",
        *(picture(**shown) for shown in told.get("pictures", ())),
        f"![Blocks of {spec.name}, from its input at the top to its output](diagrams/{spec.name}.svg)\n",
        "## What is known of it\n\nAs `kvzoo info " + spec.name + "` prints it.\n",
        table(["", ""], [[key, told_or_code(key, value)] for key, value in model_rows(spec).items()]),
        "## What differs from the original, and why\n",
        bullets(told["differs"]),
        "## Options\n",
        table(
            ["option", "type, default, what is legal"],
            [[f"`{k}`", option_in_words(o)] for k, o in spec.options.items()],
        ),
        "## Recipes\n",
        recipes_of(spec),
        "## Results\n",
    ]
    for result in told.get("results", ()):
        figures = result["figures"]
        parts += [f"{result['conditions']}\n", table(["figure", "value"], figures.items())]
    if not told.get("results"):
        parts.append("It was not trained to a result that could be stated here.\n")
    parts.append("All measurements, with what they are compared to: [results](../results.md).\n")
    parts += ["## Speed\n", told.get("speed", "Not measured.") + "\n", "## Limits\n", bullets(told["limits"])]
    parts += ["## Licence\n", f"The code: {spec.licence}. {told['trained_on']}\n"]
    return "\n".join(parts)


def sentence(text: str) -> str:
    """Return a summary as a sentence."""
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('?') else '.'}"


def picture(file: str, caption: str) -> str:
    """Return a picture and its caption as Markdown."""
    return f"![{caption.replace('`', '')}](../images/{file})\n\n*{caption}*\n"


def told_or_code(key: str, value: str) -> str:
    """Return a value of `kvzoo info` as Markdown: names are code, addresses of papers are links."""
    if key == "discriminators":
        return f"`{value}`"
    return re.sub(r"arXiv (\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", value)


def recipes_of(spec: ModelSpec) -> str:
    """Return each shipped recipe of a model with what its header says."""
    parts = []
    for file in shipped_recipes():
        if load(file, check_paths=False)["model"]["name"] == spec.name:
            parts += [f"### `kvzoo fit {file.stem}`\n", *paragraphs(header(file)), folded(file)]
    return (
        "\n".join(parts)
        if parts
        else "None is shipped: it is built with `kvzoo.get` or named in a recipe of your own.\n"
    )


def folded(file: Path) -> str:
    """Return a recipe without its header, to be opened by a click."""
    text = file.read_text(encoding="utf-8").splitlines()[len(header(file)) :]
    yaml = "\n".join(text).strip()
    return f'<details markdown="1"><summary>{file.name}</summary>\n\n```yaml\n{yaml}\n```\n\n</details>\n'


def header(file: Path) -> list[str]:
    """Return the lines of a recipe's first comment."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return lines


def paragraphs(lines: Iterable[str]) -> Iterator[str]:
    """Return a header's paragraphs, its indented lines as code."""
    for text in re.split(r"\n\n|\n(?=Result)", "\n".join(lines)):
        if text.startswith("  "):
            yield "```sh\n" + "\n".join(line.removeprefix("  ") for line in text.splitlines()) + "\n```\n"
        else:
            yield text.replace("Result", "**Result**", 1) + "\n" if text.startswith("Result") else text + "\n"


def table(head: list[str], rows: Iterable[Iterable]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def bullets(lines: Iterable[str]) -> str:
    """Return a list in Markdown."""
    return "".join(f"- {line}\n" for line in lines)


LINE, PAD, GAP = 19, 10, 26  # pixels: a line of text, around it, between rows
LETTER = 6.7  # pixels, of a letter's width at the font's size


def diagram(rows: list) -> str:
    """Return blocks as SVG, one row below the other, joined by arrows.

    Args:
        rows: a row is a block or a list of blocks side by side. A block's text before ": " is its title.
    """
    rows = [row if isinstance(row, list) else [row] for row in rows]
    width = 520  # pixels, so that letters can be read on a phone
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
    """Return a block's lines of at most so many letters, and whether each is of its title."""
    title, _, detail = block.partition(": ")
    bold = bool(detail)
    return [(line, bold) for line in wrap(title, letters)] + [(line, False) for line in wrap(detail, letters)]


SECTIONS = (
    (
        "The top level",
        schema.RecipeModel,
        "beside `extends`, the path of another recipe that this one takes over, from its own folder on",
    ),
    ("`model`", schema.FineTuning, "beside the options of the model itself, which its card and `kvzoo info NAME` list"),
    (
        "`data`",
        schema.Data,
        "beside the options of the source; `tests` has further `data` sections by name, to evaluate on",
    ),
    ("`fit`", schema.Fit, ""),
    ("`fit.best`", schema.Best, "the metric's name alone will do"),
    (
        "`fit.early_stopping`",
        schema.EarlyStopping,
        "as keras.callbacks.EarlyStopping has them; an epoch is an interval",
    ),
)


def recipe_reference() -> str:
    """Return the page of all keys that a recipe may have."""
    parts = [
        "# Recipe keys\n",
        "Made from `kvzoo/recipe/schema.py`, `kvzoo/recipe/keras_names.py` and `kvzoo/catalog.py` when this site was built. "
        "`kvzoo explain RECIPE` prints a recipe with every value that it leaves out, and where each comes from.\n",
    ]
    for title, section, remark in SECTIONS:
        parts += [f"## {title}\n", remark and f"{sentence(remark)}\n", table_of_section(section)]
    for title, registry in (
        ("loss", catalog.LOSSES),
        ("data.source", catalog.SOURCES),
        ("data.sampler", catalog.SAMPLERS),
    ):
        parts.append(f"## `{title}`: what is registered\n")
        parts += [part for entry in registry.entries() if entry.spec for part in of_spec(entry.spec)]
    parts.append(
        "## `fit.optimizer`\n\nKeras's own, with their options beside `learning_rate`, a number or a schedule.\n"
    )
    parts += [part for name, (_, options) in keras_names.OPTIMIZERS.items() for part in of_options(name, options)]
    parts.append("## `fit.optimizer.learning_rate`: schedules\n")
    parts += [part for name, options in keras_names.SCHEDULES.items() for part in of_options(name, options)]
    return "\n".join(part for part in parts if part)


def table_of_section(section: type[schema.Section]) -> str:
    """Return the keys of a section of the schema."""
    rows = []
    for key, field in section.model_fields.items():
        default = "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)}`"
        rows.append([f"`{key}`", default, field.description or ""])
    return table(["key", "default", "what it is"], rows)


def of_spec(spec: Spec) -> Iterator[str]:
    """Return what a recipe must know of a loss, source or sampler."""
    yield f"### `{spec.name}`\n\n{sentence(spec.summary)}\n"
    if spec.options:
        yield options_table(spec.options)


def of_options(name: str, options: Mapping[str, Option]) -> Iterator[str]:
    """Return a heading and a table of options."""
    yield f"### `{name}`\n"
    yield options_table(options)


def options_table(options: Mapping[str, Option]) -> str:
    """Return options in a table."""
    return table(
        ["option", "type, default, what is legal"], [[f"`{k}`", option_in_words(o)] for k, o in options.items()]
    )


def command_reference() -> str:
    """Return the page of all commands."""
    parts = [
        "# Command line\n",
        "Made from the commands themselves when this site was built. Exit codes: 0 done; 1 a fault of kvzoo's; 2 the "
        "input is at fault, in one line; 3 training failed, with the last good checkpoint "
        "named; 130 interrupted, with a checkpoint saved.\n",
    ]
    root = click.Context(cli, info_name="kvzoo")
    for verb in VERBS:
        parts += of_command(cli.get_command(root, verb), click.Context(cli.get_command(root, verb), root, verb), 2)
    return "\n".join(parts)


def of_command(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    """Return what a command says of itself with `--help`, and its commands' if it is a group."""
    yield f"{'#' * level} {context.command_path}\n"
    yield f"```sh\n{context.command_path} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    yield f"{cleandoc(command.help)}\n"
    # What an argument is its command's text says.
    options = [record for p in command.params if (record := p.get_help_record(context)) and record[1]]
    if options:
        yield table(["option", "what it is"], [[f"`{names}`", says] for names, says in options])
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from of_command(inner, click.Context(inner, context, name), level + 1)


def on_files(files_, config):
    """MkDocs: add the pages of commands and of recipe keys."""
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
