"""The state of every installed plugin; each is loaded in a process of its own, several at once."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kvzoo import catalog
from kvzoo.errors import did_you_mean
from kvzoo.process import cores
from kvzoo.registry import COMMANDS, RECIPES, Entry, allowed, installed, installed_groups

REGISTRIES = {registry.spec_type.group: registry for registry in catalog.REGISTRIES.values()}
SECONDS = 120  # limit for loading one entry point
SPEC_SECONDS = 5  # limit for importing its spec, for which every command that names it waits


@dataclass(frozen=True)
class State:
    """The result of loading one entry point of a plugin.

    Attributes:
        name, group, distribution, version: from its metadata.
        state: "ok", "blocked" (KVZOO_PLUGINS does not list it) or "broken".
        error: why it is broken, in one line; else None.
    """

    name: str
    group: str
    distribution: str
    version: str
    state: str
    error: str | None = None


def states(
    quick: bool = False, seconds: float = SECONDS, at_once: int | None = None, verbs: Collection[str] = ()
) -> Iterator[State]:
    """Yield the state of every entry point of plugins, group by group.

    Args:
        quick: only import specs; otherwise also import builders and build models at their tiny configuration.
        seconds: time limit for loading one.
        at_once: number of processes; by default one per core, at most 8.
        verbs: the built-in verbs, whose names a plugin's verb cannot have.
    """
    entries = [(group, entry) for group in sorted(installed_groups()) for entry in installed(group)]
    with ThreadPoolExecutor(at_once or min(8, cores())) as threads:
        futures = [threads.submit(_state, group, entry, quick, seconds, verbs) for group, entry in entries]
        for state in futures:
            yield state.result()


def _state(group: str, entry: Entry, quick: bool, seconds: float, verbs: Collection[str]) -> State:
    names = (entry.name, group, entry.distribution, entry.version)
    if not allowed(entry.distribution):
        return State(*names, "blocked")
    if group not in (legal := (*REGISTRIES, RECIPES, COMMANDS)):
        hint = did_you_mean(group, legal) or f"; known: {', '.join(legal)}"
        return State(*names, "broken", f"no such entry-point group: {group}{hint}")
    error = _load(group, entry, quick, seconds) or _clash(group, entry, verbs)
    return State(*names, "broken" if error else "ok", error)


def _clash(group: str, entry: Entry, verbs: Collection[str]) -> str | None:
    """Return an error if another distribution has the same name, else None."""
    if group == RECIPES:
        return None
    if group == COMMANDS:
        rivals = [e.distribution for e in installed(group) if e.name == entry.name and allowed(e.distribution)]
        rivals += ["kvzoo"] * (entry.name in verbs)
    else:
        rivals = [e.distribution for e in REGISTRIES[group].offered() if e.name == entry.name]
    rivals.remove(entry.distribution)
    if not rivals:
        return None
    others = "kvzoo itself" if "kvzoo" in rivals else " and ".join(rivals)
    return f"the name {entry.name!r} is taken by {others}; {entry.distribution}:{entry.name} works"


def _load(group: str, entry: Entry, quick: bool, seconds: float) -> str | None:
    """Load an entry point in a process of its own and return its error, or None."""
    with tempfile.TemporaryDirectory(prefix="kvzoo-plugin-") as folder:
        result, log = Path(folder) / "result.json", Path(folder) / "log.txt"
        job = [group, entry.name, entry.distribution, str(result), "quick" if quick else "build"]
        environment = {
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path),
        }
        # Output of the plugin goes to the log. A strict process would stop at other plugins.
        environment.pop("KVZOO_STRICT", None)
        with open(log, "wb") as out:
            try:
                code = subprocess.run(
                    [sys.executable, "-P", "-m", "kvzoo.plugins.load", *job],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    timeout=seconds,
                ).returncode
            except subprocess.TimeoutExpired:
                return f"did not load within {seconds:g} s"
        record = json.loads(result.read_text()) if result.is_file() else {}
        if record.get("error"):
            return record["error"]
        if record.get("heavy"):
            return (
                f"its spec's module imports {' and '.join(record['heavy'])}; a spec needs neither Keras nor a backend"
            )
        if record.get("seconds", 0) > SPEC_SECONDS:
            return f"its spec takes {record['seconds']:.0f} s to import, and every command that names it waits for it"
        if not record.get("done"):
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            return ": ".join([f"its process ended with exit code {code} while loading", *last])
    return None


def in_words(rows: Sequence[State]) -> Iterator[tuple[State, str]]:
    """Yield each state with its row of a table as text."""
    width = max(len(row.name) for row in rows)
    for row in rows:
        error = f"  {row.error}" if row.error else ""
        yield (
            row,
            (
                f"{row.state:<7}  {row.name:<{width}}  {row.group.partition('.')[2]:<9}  "
                f"{row.distribution} {row.version}{error}"
            ),
        )
