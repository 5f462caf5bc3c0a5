"""Verbs that plugins add to the command line, by entry points in the group kvzoo.commands."""

import json

import pytest
from distributions import environment, install

SOURCE = """
import click

@click.command()
@click.argument("who", default="world")
def hello(who):
    \"\"\"Greet WHO.\"\"\"
    click.echo(f"hello {who}")

number = 3
"""


@pytest.fixture
def call(tmp_path, kvzoo_cli):
    """Run kvzoo where four plugins with verbs are installed, of which one does not import."""
    install(tmp_path, "my-verbs", {"hello": ":hello", "fit": ":hello", "odd": ":number"}, SOURCE, "kvzoo.commands")
    install(tmp_path, "one", {"both": ":hello"}, SOURCE, "kvzoo.commands")
    install(tmp_path, "two", {"both": ":hello"}, SOURCE, "kvzoo.commands")
    install(tmp_path, "bad", {"broken": ":hello"}, "raise RuntimeError('I was imported')", "kvzoo.commands")

    def run(*args, allowed="my-verbs,one,two,bad", **variables):
        return kvzoo_cli(*args, env={**environment(tmp_path, allowed), **variables})

    return run


def test_help_lists_them_in_a_section_of_their_own_without_importing_any(call):
    done = call("--help")
    assert (done.returncode, done.stderr) == (0, "")
    section = done.stdout.partition("Plugins:\n")[2]
    assert [line.split()[0] for line in section.splitlines()] == [
        *("one:both", "two:both", "broken", "my-verbs:fit", "hello", "odd"),
    ]
    assert "Added by the plugin my-verbs 1.0" in section
    assert "Plugins:" not in call("--help", allowed="").stdout
    strict = call("--help", KVZOO_STRICT="1")
    assert strict.returncode == 2 and "cannot be loaded: RuntimeError: I was imported" in strict.stderr


def test_they_are_called_as_our_own(call):
    assert call("hello", "you").stdout == "hello you\n"
    assert call("my-verbs:fit").stdout == call("one:both").stdout == "hello world\n"
    assert "Greet WHO." in call("hello", "--help").stdout
    assert call("fit", "--help").stdout.startswith("Usage: kvzoo fit [OPTIONS] RECIPE")  # a plugin's hides nothing


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        ("helo", "No such command 'helo'; did you mean hello?"),
        ("broken", "the command 'broken' of the plugin bad 1.0 cannot be loaded: RuntimeError: I was imported"),
        ("odd", "the command 'odd' of the plugin my-verbs 1.0 must be a click.Command. Received: int"),
        ("both", "two plugins offer the command 'both', one and two; use one:both or two:both"),
    ],
)
def test_what_cannot_be_called_is_refused_in_one_line(verb, message, call):
    done = call(verb)
    assert (done.returncode, done.stdout) == (2, "") and len(done.stderr.splitlines()) == 1
    assert message in done.stderr


def test_what_is_not_listed_is_refused(call):
    done = call("hello", allowed="one")
    assert done.returncode == 2
    assert "no such command 'hello': it is of the plugin my-verbs, which KVZOO_PLUGINS does not list" in done.stderr


def test_plugin_list_shows_their_state(call):
    done = call("plugin", "list", "--quick", "--json", allowed="my-verbs,one,bad")
    states = {(row["distribution"], row["name"]): (row["state"], row["error"]) for row in json.loads(done.stdout)}
    assert states["my-verbs", "hello"] == states["one", "both"] == ("ok", None)
    assert states["two", "both"] == ("blocked", None)
    assert states["my-verbs", "fit"] == ("broken", "the name 'fit' is taken by kvzoo itself; my-verbs:fit works")
    assert "cannot be loaded: RuntimeError" in states["bad", "broken"][1]
    assert "must be a click.Command" in states["my-verbs", "odd"][1]
