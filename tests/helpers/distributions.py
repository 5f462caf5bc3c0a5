"""Distributions with entry points, as pip would leave them in a folder of `sys.path`."""

import os
import tomllib
from pathlib import Path


def model_source(*names: str) -> str:
    """Return the text of a Keras-free module with one ModelSpec for each name."""
    specs = [f"{n} = ModelSpec(name={n!r}, builder='heavy_{n}:build', summary='theirs')" for n in names]
    return "\n".join(["from kvzoo.registry import ModelSpec", *specs])


def install(
    folder: Path,
    distribution: str,
    points: dict[str, str],
    source: str = "",
    group: str = "kvzoo.models",
    version: str = "1.0",
) -> None:
    """Install a distribution into a folder, with a module of its own name.

    Args:
        folder: to be put on PYTHONPATH.
        distribution: its name; dashes become underscores in the module's.
        points: entry points, name to "module:object"; a value that begins with ":" means its own module.
        source: the module's text.
        group: of the entry points.
        version: the distribution's.
    """
    module = distribution.replace("-", "_")
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir(parents=True)
    (folder / f"{module}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    lines = [f"{name} = {module + value if value.startswith(':') else value}" for name, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))


def environment(folder: Path, allowed: str | None = None) -> dict[str, str]:
    """Return what makes a subprocess see the distributions of a folder.

    Args:
        folder: where they are installed.
        allowed: KVZOO_PLUGINS; as it is when None.
    """
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path} | ({} if allowed is None else {"KVZOO_PLUGINS": allowed})


def metadata_of(project: Path, folder: Path) -> dict[str, dict[str, str]]:
    """Write the metadata that pip would make of a distribution's pyproject.toml; return its entry points by group.

    Args:
        project: the distribution's folder; put it on the path too.
        folder: to be put on the path.
    """
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, version, groups = about["name"], about["version"], about["entry-points"]
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [
        line for group, points in groups.items() for line in (f"[{group}]", *(f"{k} = {v}" for k, v in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join([*lines, ""]))
    return groups
