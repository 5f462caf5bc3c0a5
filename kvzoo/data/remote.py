"""Data that lies elsewhere: `http://`, `https://` and `s3://` paths become files here, each fetched once.

Where TensorFlow 2.16 and tensorflow-io 0.37.1 are installed (`kvzoo[tfio]`) their file systems read them, in a process of
its own, because that one aborts at its end; everywhere else fsspec does (`kvzoo[cloud]`).
"""

import hashlib
import importlib.util
import json
import logging
import os
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path, PureWindowsPath

from kvzoo.errors import InputError
from kvzoo.files import Locked, WriterLock, leftovers, written_whole
from kvzoo.recipe.schema import ADDRESSES

log = logging.getLogger("kvzoo")

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
        InputError: nothing there, no access, nothing installed that reads such addresses, a key that leads out of
            its folder, or a cache that cannot be written to.
    """
    if not is_remote(path):
        return path
    folder = _cache() / "remote" / hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    name = path.rstrip("/").rsplit("/", 1)[-1].split("?")[0] or "data"
    target = inside(folder, name if len(os.fsencode(name)) < 200 else name[-40:])
    lock = WriterLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Locked as holder:
            log.info("%s: waiting for %s, which is fetching it", path, holder)
            lock.acquire(wait=True)
    except OSError as error:
        raise InputError(
            f"{folder}: {error.strerror or error}; KVZOO_CACHE names another folder for what is fetched"
        ) from None
    try:
        for left in leftovers(folder):
            left.unlink(missing_ok=True)
        if not tfio_mismatch():
            _by_tfio(path, target)
        else:
            _by_fsspec(path, target)
    finally:
        lock.release()
    return str(target)


def inside(folder: Path, key: str) -> Path:
    """Return where a key, such as "walk/1.mp4", lies in a folder.

    Raises:
        InputError: it would lie outside: an absolute key, one with "..", a backslash, a drive or a NUL, or one that a
            symbolic link leads out of the folder.
    """
    windows = PureWindowsPath(key)
    file = folder / key
    odd = ".." in windows.parts or windows.anchor or "\\" in key or "\0" in key or (os.name == "nt" and ":" in key)
    if odd or file == folder or Path(os.path.realpath(folder), key).parent != Path(os.path.realpath(file.parent)):
        raise InputError(f"the key {key!r} would be written outside of {folder}")
    return file


def place(target: Path, root: str, key: str) -> Path:
    """Return where what lies under `root` with a key is written: `target` itself, or below it.

    Raises:
        InputError: it would lie outside of `target`.
    """
    root = root.rstrip("/")
    if key.rstrip("/") == root:
        return target
    if not key.startswith(f"{root}/"):
        raise InputError(f"the key {key!r} would be written outside of {target}")
    return inside(target, key[len(root) :].lstrip("/"))


def _cache() -> Path:
    with suppress(RuntimeError):  # no home
        return Path(os.environ.get("KVZOO_CACHE") or Path.home() / ".cache" / "kvzoo")
    raise InputError("KVZOO_CACHE is required where there is no home folder: the folder for what is fetched")


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
        # All keys are checked before anything is written; those that end in a slash are markers of folders.
        places = {key: place(target, root, key) for key in found if key == root or not key.endswith("/")}
        if not places:
            raise FileNotFoundError(path)
        for key, file in places.items():
            if file.is_file() and file.stat().st_size == found[key]:
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(file) as temporary:
                files.get_file(key, str(temporary))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise InputError(f"{path}: nothing there") from None
    except Exception as error:  # each protocol has errors of its own, all of them the address's or the network's
        raise InputError(f"{path}: {' '.join(str(error).split()) or type(error).__name__}") from None
