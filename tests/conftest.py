"""Fixtures that all tests share."""

import functools
import os
import subprocess
import sys
from pathlib import Path

# Before anything imports a backend: its start-up chatter is not a test's output.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no fault: what is slow is not what these tests are about.
settings.register_profile("kvzoo", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kvzoo")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real clips: KVZOO_TEST_DATA, else ../shared/data; skips where neither is there."""
    folder = Path(os.environ.get("KVZOO_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "actions").is_dir():
        pytest.skip(f"no real clips in {folder}; KVZOO_TEST_DATA names another folder")
    return folder


@pytest.fixture(autouse=True, scope="module")
def registered_here_only():
    """What a test file registers is gone after it."""
    from kvzoo import catalog

    before = {registry: dict(registry._own) for registry in catalog.REGISTRIES.values()}
    yield
    for registry, specs in before.items():
        registry._own.clear()
        registry._own.update(specs)


@pytest.fixture(scope="module")
def loaded_once():
    """A run's model is built, and its network traced, once for all tests of a file."""
    from kvzoo import zoo

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "load", functools.cache(zoo.load))
        yield


@pytest.fixture
def kvzoo_cli():
    """Run the command line in a process of its own."""

    def run(*args: str, cwd=None, env=None, timeout: float = 300) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "kvzoo", *map(str, args)],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            timeout=timeout,
            text=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )

    return run


def python_in_process(code: str, env=None, timeout: float = 300) -> str:
    """Run Python code in a fresh process and return what it prints; fail with its errors."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **(env or {})},
        timeout=timeout,
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def in_process():
    """`python_in_process`, as a fixture."""
    return python_in_process
