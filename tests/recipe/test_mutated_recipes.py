"""A thousand recipes with a few edits each: accepted, or refused in one line with its place; some accepted ones run."""

import contextlib
import io
import os
import random
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from mutation import mutated

import kvzoo
from kvzoo.cli.main import main
from kvzoo.errors import InputError
from kvzoo.recipe.resolve import load

RUN = 10


def command_line(*arguments: str) -> tuple[int, str]:
    """Run the command line in this process; return its exit code and what it says on stderr."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        patch.setattr(sys, "argv", ["kvzoo", *arguments])
        # Logging and signals are the process's: they are set up once, and not by a test.
        patch.setattr("kvzoo.cli.terminal.prepare", lambda: None)
        patch.setattr("kvzoo.signals.command.begin", lambda: None)
        with pytest.raises(SystemExit) as left:
            main()
    return left.value.code, said.getvalue()


@pytest.mark.slow
def test_a_thousand_edited_recipes(tmp_path):
    (tmp_path / "taken").write_text("")
    path, accepted = tmp_path / "r.yaml", []

    @given(text=mutated())
    @settings(max_examples=1000, derandomize=True, suppress_health_check=list(HealthCheck))
    def check(text):
        path.write_text(text, encoding="utf-8", newline="")
        # An accepted recipe is refused for its folder, before anything is imported or made.
        code, said = command_line("fit", str(path), "--out", str(tmp_path / "taken"))
        assert code == 2 and "Traceback" not in said and len(said.splitlines()) == 1, said
        if "is a file" in said and said.startswith(f"kvzoo: --out {tmp_path}"):
            accepted.append(text)
        else:
            assert said.startswith(f"kvzoo: {path}"), said
        assert sorted(os.listdir(tmp_path)) == ["r.yaml", "taken"]

    check()
    assert len(accepted) > 50
    ran = 0
    for text in random.Random(0).sample(sorted(set(accepted)), len(set(accepted))):
        path.write_text(text, encoding="utf-8", newline="")
        try:
            kvzoo.fit(load(path, smoke=True), out=tmp_path / f"run{ran}")
        except InputError:
            # What only a builder or the data can know is refused too, and leaves nothing.
            assert not (tmp_path / f"run{ran}").exists()
            continue
        assert Path(tmp_path / f"run{ran}" / "model.keras").is_file()
        ran += 1
        if ran == RUN:
            break
    assert ran == RUN
