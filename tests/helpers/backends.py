"""The installed backends but the first."""

import importlib.util

import pytest

# Marks, as skips within a test come after its fixtures are made.
BACKENDS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(name) is None, reason=f"{name} is not installed: pip install 'kvzoo[{name}]'"
        ),
    )
    for name in ("jax", "torch")
]
