"""What JAX compiled is kept from run to run, so that only the first one of a kind waits for the compiler."""

import hashlib
import logging
import os
from pathlib import Path

import keras

from kvzoo import process

log = logging.getLogger("kvzoo")

MAX_BYTES = 2 * 1024**3


def keep_compiled() -> None:
    """Have JAX keep what it compiles in KVZOO_CACHE, or ~/.cache/kvzoo; nothing on other backends.

    JAX's own setting (JAX_COMPILATION_CACHE_DIR) counts more. A folder that cannot be written to is warned of.
    """
    if keras.backend.backend() != "jax":
        return
    import jax

    if jax.config.jax_compilation_cache_dir:
        return
    # Compiled code runs on processors with the same instructions only, and a home folder may be several machines'.
    kind = hashlib.sha256(" ".join(sorted(process.cpu_flags())).encode()).hexdigest()[:12]
    folder = Path(os.environ.get("KVZOO_CACHE") or Path("~/.cache/kvzoo").expanduser()) / "jax" / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        log.warning("%s: cannot be written to: %s; JAX compiles anew in each run (KVZOO_CACHE)", folder, error.strerror)
        return
    jax.config.update("jax_compilation_cache_max_size", MAX_BYTES)
    jax.config.update("jax_compilation_cache_dir", str(folder))
