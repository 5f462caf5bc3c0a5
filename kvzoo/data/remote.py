"""Data that lies elsewhere: `http://`, `https://` and `s3://` paths become files here, each fetched once.

Where TensorFlow 2.16 and tensorflow-io 0.37.1 are installed (`kvzoo[tfio]`) their file systems read them, in a process of
its own, because that one aborts at its end; everywhere else fsspec does (`kvzoo[cloud]`).
"""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from kvzoo.errors import InputError
from kvzoo.recipe.schema import ADDRESSES

TFIO = {"tensorflow": "2.16", "tensorflow-io": "0.37.1"}
PATIENCE = 3600  # seconds for one path


def is_remote(path: str) -> bool:
    """Return whether a path is an address."""
    return path.startswith(ADDRESSES)


def local(path: str) -> str:
    """Return where a path lies on this machine; an address is fetched, but for the files that are here already.

    `http` gives one file, `s3` an object or all below a prefix. What is fetched lies in KVZOO_CACHE, or
    ~/.cache/kvzoo.

    Raises:
        InputError: nothing there, no access, or nothing installed that reads such addresses.
    """
    if not is_remote(path):
        return path
    cache = Path(os.environ.get("KVZOO_CACHE") or Path.home() / ".cache" / "kvzoo")
    name = path.rstrip("/").rsplit("/", 1)[-1].split("?")[0] or "data"
    target = cache / "remote" / hashlib.sha256(path.encode()).hexdigest()[:16] / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if not tfio_mismatch():
        _by_tfio(path, target)
    else:
        _by_fsspec(path, target)
    return str(target)


def tfio_mismatch() -> str:
    """Return what keeps tensorflow-io from working here and what to install, in one line; "" where nothing does."""
    found = {}
    for name in TFIO:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    if all(version and f"{version}.".startswith(f"{TFIO[name]}.") for name, version in found.items()):
        return ""
    here = " and ".join(f"{name} {version}" if version else f"no {name}" for name, version in found.items())
    return (
        f"tensorflow-io {TFIO['tensorflow-io']} works with TensorFlow {TFIO['tensorflow']} only; here is {here}: "
        "pip install 'kvzoo[tfio]', in an environment of its own without kvzoo[jax]"
    )


def _by_tfio(path: str, target: Path) -> None:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "kvzoo.run.tfio", path, str(target)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"{path}: not fetched within {PATIENCE} s") from None
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    said = json.loads(lines[-1]) if lines else {"error": done.stderr.strip()[-300:] or f"exit code {done.returncode}"}
    if said["error"]:
        raise InputError(f"{path}: {' '.join(said['error'].split())}")


def _by_fsspec(path: str, target: Path) -> None:
    needed = {"s3": "s3fs"}.get(path.split(":")[0], "aiohttp")
    if missing := [name for name in ("fsspec", needed) if importlib.util.find_spec(name) is None]:
        raise InputError(f"{path}: {missing[0]} is wanted to read it: pip install 'kvzoo[cloud]'")
    import fsspec

    try:
        files, root = fsspec.core.url_to_fs(path, skip_instance_cache=True)
        if path.startswith("s3://"):
            found = {key: info["size"] for key, info in files.find(root, detail=True).items()}
        else:
            found = {root: files.info(root)["size"]}
        if not found:
            raise FileNotFoundError(path)
        for key, size in found.items():
            file = target if key.rstrip("/") == root.rstrip("/") else target / key[len(root) :].lstrip("/")
            if file.is_file() and file.stat().st_size == size:
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            beside = file.with_name(f".{file.name}.{os.getpid()}")
            try:
                files.get_file(key, str(beside))
                os.replace(beside, file)
            finally:
                beside.unlink(missing_ok=True)
    except FileNotFoundError:
        raise InputError(f"{path}: nothing there") from None
    except Exception as error:  # each protocol has errors of its own, all of them the address's or the network's
        raise InputError(f"{path}: {' '.join(str(error).split()) or type(error).__name__}") from None
