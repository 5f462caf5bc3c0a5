"""Prepare the process before a backend loads: oneDNN, the memory allocator, the number of threads.

`import kvzoo` and the command line call `prepare`. Settings of the user's environment are left alone; `kvzoo doctor`
prints what was set and why. Standard library only.

- TensorFlow leaves oneDNN off on x86 processors without AVX512-VNNI and then computes convolutions with Eigen. On an AVX2
  processor oneDNN takes 0.6 of the time of GRU-AE's training step.
- glibc returns each large tensor to the system when it is freed and fetches zeroed pages for the next one: a quarter of the
  processor time of a training run. Kept memory is reused; the peak stays what it is, but it is held until the process ends.
- In a container with a limit on processor time, libraries still start a thread for each processor of the machine.
"""

import contextlib
import math
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
# Flags of /proc/cpuinfo for which TensorFlow turns oneDNN on by itself.
ON_BY_DEFAULT = {"avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16"}
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NPROC")
ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc")

# Parameters of mallopt(3) as <malloc.h> numbers them.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
TOP_PAD = 64 * 1024**2  # bytes that the heap grows by at least

# What Keras imports if installed, for image galleries, scikit-learn wrappers and data frames.
SIDE_PACKAGES = ("matplotlib", "sklearn", "pandas")


class Setting(NamedTuple):
    """One setting of the process.

    Attributes:
        name: name of the setting.
        value: its current value.
        reason: why it has this value, in words.
    """

    name: str
    value: str
    reason: str


_settings: tuple[Setting, ...] | None = None


def prepare() -> tuple[Setting, ...]:
    """Prepare this process, on the first call only, and return its settings and their reasons.

    Child processes inherit the environment; the allocator is set in each that imports kvzoo.

    Example:

        >>> from kvzoo import process
        >>> [setting.name for setting in process.prepare()]
        ['oneDNN', 'allocator', 'threads']
    """
    global _settings
    if _settings is None:
        _settings = (_onednn(), _allocator(), _threads())
    return _settings


@contextlib.contextmanager
def without_side_packages() -> Iterator[None]:
    """Import Keras within this context without packages that take a third of its import time.

    For the command line only: keras.visualization and keras.wrappers treat them as missing. Later imports find them.
    """
    missing = [name for name in SIDE_PACKAGES if name not in sys.modules]
    sys.modules.update(dict.fromkeys(missing))
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]


def cores() -> int:
    """Return the number of processors that this process may use: its affinity, limited by its container's quota.

    Example:

        >>> from kvzoo.process import cores
        >>> cores() >= 1
        True
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def processor() -> str:
    """Return the name of the processor, such as "AMD EPYC 9B14"; its architecture if the system has no name for it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        name = platform.processor()
    return name or platform.machine()


def cpu_quota(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """Return the number of processors that the control groups of this process allow, a fraction; None without a limit."""
    quotas = []
    for folder in _groups(root, own):
        try:
            if (limit := folder / "cpu.max").is_file():
                quota, period = limit.read_text().split()
            else:
                quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            if quota != "max" and float(quota) > 0 and float(period) > 0:
                quotas.append(float(quota) / float(period))
        except (OSError, ValueError):
            continue
    return min(quotas, default=None)


def _groups(root: Path, own: Path) -> list[Path]:
    """Return the folders of the control groups of this process, of version 2 and of version 1's cpu controller."""
    folders = [root, root / "cpu"]
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return folders
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "cpu" if controllers else root
        parts = [part for part in path.split("/") if part not in ("", "..")]
        folders += [base.joinpath(*parts[: i + 1]) for i in range(len(parts))]
    return folders


def _onednn() -> Setting:
    def setting(reason: str) -> Setting:
        value = {"0": "off", "1": "on"}.get(os.environ.get(ONEDNN, ""), "TensorFlow's own choice")
        return Setting("oneDNN", value, reason)

    if ONEDNN in os.environ:
        return setting(f"{ONEDNN} is set in the environment")
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "AMD64"):
        return setting(f"nothing to do on {platform.system()} {platform.machine()}")
    flags = cpu_flags()
    if flags & ON_BY_DEFAULT:
        return Setting("oneDNN", "on", "TensorFlow turns it on by itself on this processor")
    if "avx2" not in flags:
        return setting("not measured on processors without AVX2")
    if "tensorflow" in sys.modules:
        return setting(f"TensorFlow was imported before kvzoo; set {ONEDNN}=1 to have it on")
    os.environ[ONEDNN] = "1"
    return setting("TensorFlow leaves it off on this processor, where it makes convolutions faster")


def cpu_flags() -> set[str]:
    """Return the feature flags of this processor as Linux lists them; empty elsewhere."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next((set(line.split(":")[1].split()) for line in file if line.startswith("flags")), set())
    except OSError:
        return set()


def _allocator() -> Setting:
    def unchanged(reason: str) -> Setting:
        return Setting("allocator", "unchanged", reason)

    if os.environ.get("MALLOC_TRIM_THRESHOLD_") or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return unchanged("the environment sets glibc's malloc")
    if any(name in os.environ.get("LD_PRELOAD", "") for name in ALLOCATORS):
        return unchanged("LD_PRELOAD loads another allocator")
    if not _glibc():
        return unchanged(f"only glibc is known to return memory too early; this is {platform.system()} without glibc")
    import ctypes

    mallopt = ctypes.CDLL(None).mallopt
    # Set all three, even if one is refused.
    if not all([mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, -1), mallopt(M_TOP_PAD, TOP_PAD)]):
        return unchanged("glibc refused to change it")
    return Setting("allocator", "keeps freed memory", "glibc would return large tensors to the system at every step")


def _glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):
        return False


def _threads() -> Setting:
    quota, limit = cpu_quota(), cores()
    if quota is None or quota > limit:
        return Setting("threads", str(limit), "one per processor that this process may use")
    for name in THREADS:
        os.environ.setdefault(name, str(limit))
    own = [f"{name}={os.environ[name]}" for name in THREADS if os.environ[name] != str(limit)]
    exceptions = f"; the environment sets {', '.join(own)}" if own else ""
    return Setting("threads", str(limit), f"the container allows {quota:g} processors' time{exceptions}")
