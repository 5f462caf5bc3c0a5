"""The docs: what is generated is not stale, every command in them is one, and what they show to be run runs as shown."""

import contextlib
import io
import logging
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import click
import pytest
from conftest import ROOT
from ruamel.yaml import YAML

from kvzoo import catalog
from kvzoo.cli.main import main
from kvzoo.cli.verbs import cli
from kvzoo.recipe.resolve import load

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# What is run: all that is in console and Python blocks.
RUN = [
    ROOT / "README.md",
    *(ROOT / "docs" / name for name in ("index.md", "own_videos.md")),
    *sorted((ROOT / "docs").glob("[th][uo][tw]*/*.md")),
]
QUICK = ("README.md",)
FEW = 24  # drawn videos; more of them are made fewer

FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its language, the file that it is, its text and its line in the page."""

    language: str
    title: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(*(g or "" for g in m.groups()), text[: m.start()].count("\n") + 1) for m in FENCE.finditer(text)]


def commands(page: Path) -> list[list[str]]:
    """Return the arguments of every `kvzoo …` of a page: in a block, indented, or between backquotes."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in blocks(page) if block.language in ("sh", "console") for line in block.text.splitlines()]
    # A remark stands behind two spaces.
    lines = [line.removeprefix("$ ").split("  ")[0] for line in [*lines, *re.findall("^    (.*)$", text, re.MULTILINE)]]
    inline = [" ".join(line.split()) for line in re.findall(r"`(kvzoo [^`]+)`", text)]
    found = []
    for part in (part for line in [*lines, *inline] for part in line.split(" && ")):
        words = shlex.split(part.rstrip("\\"), comments=True) if re.match(r"(\w+=\S+ )?kvzoo ", part) else []
        found.append(words[words.index("kvzoo") + 1 :] if words else [])
    return [words for words in found if words]


@pytest.fixture(scope="module")
def generated() -> dict:
    """What docs/generate.py would write."""
    return dict(runpy.run_path(str(ROOT / "docs" / "generate.py"))["files"]())


def test_what_is_generated_is_not_stale(generated):
    stale = [str(path) for path, text in generated.items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run: python docs/generate.py"


def test_every_model_has_a_card_that_the_site_shows(generated):
    config = SimpleNamespace(nav=YAML(typ="safe").load(ROOT / "mkdocs.yml")["nav"])
    shown = str(runpy.run_path(str(ROOT / "docs" / "generate.py"))["on_config"](config).nav)
    for entry in catalog.MODELS.entries():
        if entry.spec and entry.distribution == "kvzoo":
            assert ROOT / "docs" / "cards" / f"{entry.name}.md" in generated
            assert f"cards/{entry.name}.md" in shown


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_and_picture_is_there(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        # Made when the site is.
        if not target.startswith("http") and not target.endswith(("reference/recipe.md", "reference/cli.md")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_is_one(page):
    for words in commands(page):
        if any(word in ("NAME", "RUN", "RECIPE", "FILE", "VERB") or "…" in word for word in words):
            continue
        command, name, context = cli, "kvzoo", None
        while isinstance(command, click.Group):
            context = click.Context(command, info_name=name, parent=context)
            if not words or words[0].startswith("-"):
                break
            name, *words = words
            command = command.get_command(context, name)
            assert command, f"kvzoo {name}"
        else:
            # A verb that is only named has no arguments to check.
            if words:
                command.make_context(name, words, parent=context)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_recipe_in_a_block_is_one(page, tmp_path):
    from kvzoo.recipe.resolve import find

    for block in blocks(page):
        if block.language == "yaml":
            text = block.text
            for key, needed in {"model": "gru_ae", "data": "{source: stick_actions}", "fit": "{steps: 1}"}.items():
                if "extends:" not in text and not re.search(f"^{key}:", text, re.MULTILINE):
                    text += f"{key}: {needed}\n"
            text = re.sub(r"extends: (\S+)\.yaml", lambda m: f"extends: {find(m[1])}", text)
            (tmp_path / "r.yaml").write_text(text)
            load(
                tmp_path / "r.yaml",
                [] if re.search("steps:|epochs:|extends:", text) else ["fit.steps=1"],
                check_paths=False,
            )


@pytest.fixture(scope="module")
def terminal():
    """Runs `kvzoo …` in this process; returns the exit code and what is printed."""

    def run(words: list[str]) -> tuple[int, str]:
        out, before = io.StringIO(), sys.argv
        logger = logging.getLogger("kvzoo")
        handlers = list(logger.handlers)
        sys.argv = ["kvzoo", *words]
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("kvzoo.signals.command.begin", lambda: None)  # signals are those of the tests
                with (
                    contextlib.redirect_stdout(out),
                    contextlib.redirect_stderr(out),
                    pytest.raises(SystemExit) as stop,
                ):
                    main()
        finally:
            # Each start of the command line adds its terminal to the log.
            sys.argv, logger.handlers = before, handlers
        return stop.value.code or 0, out.getvalue()

    return run


def small(words: list[str]) -> list[str]:
    """Return a command that trains or draws as one that does so in seconds."""
    if any(word.startswith("videos=") and int(word[7:]) > FEW for word in words):
        words = [re.sub(r"^(videos|people)=\d+$", lambda m: f"{m[1]}=4", word) for word in words]
    return [*words, "--smoke"] if words[0] == "fit" else [re.sub(r"^fit\.steps=\d+$", "fit.steps=9", w) for w in words]


def matches(shown: str, printed: str) -> bool:
    """Whether what a page shows is what is printed, any number for a number, any text for `…`."""
    pattern = ""
    for token in re.findall(r"…\n?|\d[\d.,e+-]*(?: min \d+)?|\s+|[^\s\d…]+", shown.rstrip() + "\n"):
        if token.startswith("…"):
            pattern += r"[\s\S]*?" if token.endswith("\n") else r"[^\n]*"
        elif token[0].isdigit():
            pattern += r"\d[\d.,e+-]*(?: min \d+)?"
        else:
            pattern += r"\s+" if token.isspace() else re.escape(token)
    return re.fullmatch(pattern + r"\s*", printed.rstrip() + "\n") is not None


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=() if p.name in QUICK else pytest.mark.slow, id=str(p.relative_to(ROOT))) for p in RUN],
)
def test_what_a_page_shows_is_what_happens(page, terminal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("KVZOO_PLUGINS", "")
    text = page.read_text(encoding="utf-8")
    if "my_videos" in text and "synth stick_actions --out my_videos" not in text:
        assert (
            terminal(["data", "synth", "stick_actions", "--out", "my_videos", "-o", "videos=6", "-o", "people=6"])[0]
            == 0
        )
    names, last = {"__name__": "page"}, ""
    for block in blocks(page):
        where = f"{page.relative_to(ROOT)}:{block.line}"
        if block.title:
            (tmp_path / block.title).write_text(block.text)
        elif block.language == "console":
            for entry in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                line, _, shown = entry.partition("\n")
                words = shlex.split(line)
                if words[0] == "echo":
                    subprocess.run(line, shell=True, check=True)
                if words[0] != "kvzoo":
                    continue
                code, printed = terminal(small(words[1:]))
                assert code == 0, f"{where}: {line}\n{printed}"
                exact = words[1] in ("list", "info")
                same = shown.split() == printed.split() if exact else matches(shown, printed)
                assert same, f"{where}: {line}\nshown:\n{shown}\nprinted:\n{printed}"
        elif block.language == "python":
            code = re.sub(r"(steps_per_epoch|batch_size)=\d+", r"\1=2", block.text)
            code = re.sub(r'kvzoo\.get\("gru_ae", f', 'kvzoo.get("gru_ae", width=4, f', code)
            code = re.sub(r"kvzoo\.fit\((.*)\)$", r"kvzoo.fit(\1, smoke=True)", code, flags=re.MULTILINE)
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(code, where, "exec"), names)
            last = out.getvalue()
        elif block.language == "text":
            printed = [
                line
                for line in last.splitlines()
                if not re.match(r"run |data: |step |done: |look at|curves|model ", line)
            ]
            shown = block.text.splitlines()
            assert matches("\n".join(shown), "\n".join(printed[-len(shown) :])), f"{where}: {printed}"
    os.chdir(ROOT)
