"""The state of every installed plugin: each is loaded in a process of its own, several at once."""

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
SECONDS = 120  # that loading one may take
SPEC_SECONDS = 5  # that importing its spec may take: every command that names it waits for that


@dataclass(frozen=True)
class State:
    """What became of loading one name of a plugin.

    Attributes:
        name, group, distribution, version: as its metadata has them.
        state: "ok", "blocked" (KVZOO_PLUGINS does not list it) or "broken".
        error: why it is broken, in one line; None otherwise.
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
    """Yield the state of all that plugins offer, group by group.

    Args:
        quick: import specs only; otherwise builders are imported and models built at their tiny configuration.
        seconds: that loading one may take.
        at_once: processes; one a core, at most 8, when None.
        verbs: the built-in verbs, whose names no plugin's verb can have.
    """
    entries = [(group, entry) for group in sorted(installed_groups()) for entry in installed(group)]
    with ThreadPoolExecutor(at_once or min(8, cores())) as threads:
        futures = [threads.submit(_state, group, entry, quick, seconds, verbs) for group, entry in entries]
        for state in futures:
            yield state.result()


def _state(group: str, entry: Entry, quick: bool, seconds: float, verbs: Collection[str]) -> State:
    known = (entry.name, group, entry.distribution, entry.version)
    if not allowed(entry.distribution):
        return State(*known, "blocked")
    if group not in (legal := (*REGISTRIES, RECIPES, COMMANDS)):
        hint = did_you_mean(group, legal) or f"; known: {', '.join(legal)}"
        return State(*known, "broken", f"no such group of entry points: {group}{hint}")
    error = _load(group, entry, quick, seconds) or _clash(group, entry, verbs)
    return State(*known, "broken" if error else "ok", error)


def _clash(group: str, entry: Entry, verbs: Collection[str]) -> str | None:
    """Return the message where somebody else has that name too."""
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
    """Load it in a process of its own and return what is wrong with it, None where nothing is."""
    with tempfile.TemporaryDirectory(prefix="kvzoo-plugin-") as folder:
        result, log = Path(folder) / "result.json", Path(folder) / "log.txt"
        job = [group, entry.name, entry.distribution, str(result), "quick" if quick else "build"]
        environment = {
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path),
        }
        # What the plugin prints goes to the log. A strict process would stop at other plugins.
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
                return f"does not load within {seconds:g} s"
        record = json.loads(result.read_text()) if result.is_file() else {}
        if record.get("error"):
            return record["error"]
        if record.get("heavy"):
            return (
                f"its spec's module imports {' and '.join(record['heavy'])}; a spec needs neither Keras nor a backend"
            )
        if record.get("seconds", 0) > SPEC_SECONDS:
            return f"its spec takes {record['seconds']:.0f} s to import, and every command that names it waits for that"
        if not record.get("done"):
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            return ": ".join([f"its process ended with exit code {code} while it was loaded", *last])
    return None


def in_words(rows: Sequence[State]) -> Iterator[tuple[State, str]]:
    """Yield each state with its line of a table."""
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
