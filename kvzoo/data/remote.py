"""Remote data: `http://`, `https://` and `s3://` paths are downloaded once and become local files.

TensorFlow 2.16 with tensorflow-io 0.37.1 (`kvzoo[tfio]`) downloads them where installed, in a process of its own, which
aborts at its end; otherwise fsspec does (`kvzoo[cloud]`).
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
TIMEOUT = 3600  # seconds for one path


def is_remote(path: str) -> bool:
    """Return whether a path is a URL."""
    return path.startswith(ADDRESSES)


def local(path: str) -> str:
    """Return the local path of a path; a URL is downloaded first, except for files that are cached already.

    `http` names one file, `s3` an object or everything below a prefix. Downloads are cached in KVZOO_CACHE, by default
    ~/.cache/kvzoo.

    Raises:
        InputError: the URL does not exist or cannot be accessed, no package that reads it is installed, a key would be
            written outside its folder, or the cache is not writable.
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
            log.info("%s: waiting for %s, which is downloading it", path, holder)
            lock.acquire(wait=True)
    except OSError as error:
        raise InputError(
            f"{folder}: {error.strerror or error}; set KVZOO_CACHE to use another folder for downloads"
        ) from None
    try:
        for leftover in leftovers(folder):
            leftover.unlink(missing_ok=True)
        if not tfio_mismatch():
            _by_tfio(path, target)
        else:
            _by_fsspec(path, target)
    finally:
        lock.release()
    return str(target)


def inside(folder: Path, key: str) -> Path:
    """Return the path of a key, such as "walk/1.mp4", in a folder.

    Raises:
        InputError: the path would be outside the folder: the key is absolute, contains "..", a backslash, a drive or a
            NUL, or follows a symbolic link out of the folder.
    """
    windows = PureWindowsPath(key)
    file = folder / key
    odd = ".." in windows.parts or windows.anchor or "\\" in key or "\0" in key or (os.name == "nt" and ":" in key)
    if odd or file == folder or Path(os.path.realpath(folder), key).parent != Path(os.path.realpath(file.parent)):
        raise InputError(f"the key {key!r} would be written outside of {folder}")
    return file


def place(target: Path, root: str, key: str) -> Path:
    """Return the path to which the object `key` below `root` is written: `target` itself, or below it.

    Raises:
        InputError: the path would be outside of `target`.
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
    raise InputError("there is no home folder for downloads; set KVZOO_CACHE to a folder")


def tfio_mismatch() -> str:
    """Return why tensorflow-io cannot work here and what to install, in one line; "" if it can."""
    versions = {}
    for name in TFIO:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    if all(version and f"{version}.".startswith(f"{TFIO[name]}.") for name, version in versions.items()):
        return ""
    here = " and ".join(f"{name} {version}" if version else f"no {name}" for name, version in versions.items())
    return (
        f"tensorflow-io {TFIO['tensorflow-io']} supports only TensorFlow {TFIO['tensorflow']}; found {here}: "
        "pip install 'kvzoo[tfio]', in an environment of its own without kvzoo[jax]"
    )


def _by_tfio(path: str, target: Path) -> None:
    try:
        process = subprocess.run(
            [sys.executable, "-m", "kvzoo.run.tfio", path, str(target)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"{path}: not downloaded within {TIMEOUT} s") from None
    lines = [line for line in process.stdout.splitlines() if line.startswith("{")]
    answer = (
        json.loads(lines[-1])
        if lines
        else {"error": process.stderr.strip()[-300:] or f"exit code {process.returncode}"}
    )
    if answer["error"]:
        raise InputError(f"{path}: {' '.join(answer['error'].split())}")


def _by_fsspec(path: str, target: Path) -> None:
    package = {"s3": "s3fs"}.get(path.split(":")[0], "aiohttp")
    if missing := [name for name in ("fsspec", package) if importlib.util.find_spec(name) is None]:
        raise InputError(f"{path}: {missing[0]} is required to read it: pip install 'kvzoo[cloud]'")
    import fsspec

    try:
        files, root = fsspec.core.url_to_fs(path, skip_instance_cache=True)
        if path.startswith("s3://"):
            sizes = {key: info["size"] for key, info in files.find(root, detail=True).items()}
        else:
            sizes = {root: files.info(root)["size"]}
        # All keys are checked before anything is written; those that end in a slash mark folders.
        places = {key: place(target, root, key) for key in sizes if key == root or not key.endswith("/")}
        if not places:
            raise FileNotFoundError(path)
        for key, file in places.items():
            if file.is_file() and file.stat().st_size == sizes[key]:
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(file) as temporary:
                files.get_file(key, str(temporary))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise InputError(f"{path}: not found") from None
    except Exception as error:  # each protocol has errors of its own, all caused by the URL or the network
        raise InputError(f"{path}: {' '.join(str(error).split()) or type(error).__name__}") from None
