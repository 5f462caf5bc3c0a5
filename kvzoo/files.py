"""Files and links that appear whole or not at all, and locks between processes. Standard library and filelock only."""

import errno
import json
import os
import secrets
import shutil
import socket
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from kvzoo.errors import WriteError, errno_in
from kvzoo.signals import undone

STEM = 40  # characters of a file's name in its temporary one; 4 bytes each stay below the 255 that a name may have
ENDING = 16  # characters; what is longer is no ending
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)  # Windows has none


@contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Turn an error of a write to `path` into a WriteError. Only what writes the file belongs within.

    Raises:
        WriteError: the disk is full, gone or read-only.
    """
    try:
        yield
    except WriteError:
        raise
    except Exception as error:
        if not isinstance(error, OSError) and errno_in(error) is None:
            raise
        raise WriteError(path, error) from error


@contextmanager
def written_whole(path: str | os.PathLike, durable: bool = False):
    """Yield a temporary path to write to; it replaces `path` only if no exception is raised.

    The temporary file lies in the same folder and has the same ending. Its name is its own, so any number of threads
    and processes may write the same file: the last one wins. A device or a pipe is written to directly.

    Args:
        path: of the file; its folder must exist. A symbolic link is replaced, not followed.
        durable: flush the file to the disk before it replaces `path`, so that a power failure leaves the old or the
            new file.

    Raises:
        OSError: the file cannot be written; raised before anything is written where that is possible.
    """
    path = Path(path)
    mode = _mode(path)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if mode and not stat.S_ISREG(mode):
        yield path
        return
    with _temporary(path, _create) as temporary:
        yield temporary
        if durable:
            _flush(temporary)
        os.replace(temporary, path)
        if durable and os.name == "posix":
            _flush(path.parent)


def copy_whole(source: str | os.PathLike, path: str | os.PathLike) -> None:
    """Make `path` a copy of a file: where the file system has hard links, another name for it.

    Args:
        source: a file that is replaced and never changed in place, as those of `written_whole`.
        path: of the copy; what it was before is replaced.

    Raises:
        OSError: it cannot be written.
    """
    try:
        with _temporary(Path(path), partial(os.link, source)) as temporary:
            os.replace(temporary, path)
    except OSError:
        with written_whole(path) as temporary:
            shutil.copyfile(source, temporary)


def link_whole(folder: str | os.PathLike, path: str | os.PathLike) -> None:
    """Make `path` a symbolic link to a folder; a link that was there is replaced.

    Raises:
        OSError: it cannot be written, or the file system has no links.
    """
    with _temporary(Path(path), partial(os.symlink, folder, target_is_directory=True)) as temporary:
        os.replace(temporary, path)


def check_writable(path: str | os.PathLike) -> None:
    """Raise where a file could not be created, though folders on the way to it need not exist yet.

    Raises:
        OSError: the nearest folder that exists cannot be written to, or is none.
    """
    folder = Path(path).absolute().parent
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def leftovers(path: str | os.PathLike) -> list[Path]:
    """Return the temporary files that killed processes left of one file, or, of a folder, in it and below.

    Only a process that knows that nobody else writes there may remove them.
    """
    path = Path(path)
    if path.is_dir():
        return [file for file in path.rglob(".*.part*") if not file.is_dir()]
    prefix, ending = _affixes(path)
    length = len(prefix) + len(ending) + 8
    with suppress(OSError):
        names = [name for name in os.listdir(path.parent) if len(name) == length]
        return [path.with_name(name) for name in names if name.startswith(prefix) and name.endswith(ending)]
    return []


class Locked(Exception):
    """Another process, or another lock of this one, holds a lock; the text says which process."""


class WriterLock:
    """A lock on a file, held by one writer at a time, in this process or any other.

    The lock is the system's, so it ends with its process, however that ends. The file stays: another process may be
    about to lock it, and one that is removed would let two hold "the" lock. The holder's process is noted in the file.

    Args:
        path: of the lock's file.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self._lock = FileLock(self.path)

    def acquire(self, wait: bool = False) -> None:
        """Acquire the lock.

        Args:
            wait: wait for the holder instead of raising.

        Raises:
            Locked: it is held.
            OSError: the file cannot be written to.
        """
        try:
            self._lock.acquire(timeout=-1 if wait else 0)
        except Timeout:
            raise Locked(self._noted() or "another process") from None
        except NotImplementedError as error:
            raise OSError(errno.ENOTSUP, "its file system has no locks", str(self.path)) from error
        self._note()

    def release(self) -> None:
        """Release the lock; nothing happens where it is not held."""
        self._lock.release()

    def holder(self) -> str:
        """Return who holds the lock, such as "process 12 on host"; "" where nobody does."""
        if not self.path.exists():
            return ""
        other = FileLock(self.path)
        try:
            other.acquire(timeout=0)
        except Timeout:
            return self._noted() or "another process"
        except (OSError, NotImplementedError):
            return ""
        other.release()
        return ""

    def __enter__(self) -> "WriterLock":
        self.acquire()
        return self

    def __exit__(self, *exception) -> None:
        self.release()

    # The note begins at the second byte: Windows lets nobody else read or write the first one, which is locked.

    def _note(self) -> None:
        note = json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode()
        with suppress(OSError), os.fdopen(os.open(self.path, os.O_RDWR | NOFOLLOW), "r+b") as file:
            file.truncate(1)
            file.seek(1)
            file.write(note)

    def _noted(self) -> str:
        # Anybody can edit the file, and older versions of filelock empty it: it only serves a message.
        try:
            with open(self.path, "rb") as file:
                file.seek(1)
                note = json.loads(file.read(1000))
            return f"process {int(note['pid'])} on {str(note['host'])[:100]}"
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return ""


def _mode(path: Path) -> int:
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return 0


def _affixes(path: Path) -> tuple[str, str]:
    """Return how the names of a file's temporary files begin and end; 8 hexadecimal digits are between."""
    ending = path.suffix if len(path.suffix) <= ENDING else ""
    stem = path.name.removesuffix(ending)
    if len(stem) > STEM:  # two long names that begin alike differ in their checksums
        stem = f"{stem[:STEM]}.{zlib.crc32(os.fsencode(stem)):08x}"
    return f".{stem}.", f".part{ending}"


@contextmanager
def _temporary(path: Path, create: Callable[[Path], object]) -> Iterator[Path]:
    """Yield what `create` makes under a new name beside `path`; remove it on exit if it still has that name."""
    prefix, ending = _affixes(path)
    while True:
        temporary = path.with_name(f"{prefix}{secrets.token_hex(4)}{ending}")
        try:
            create(temporary)
            break
        except FileExistsError:
            continue
        except OSError as error:
            error.filename = str(path)
            raise
    with undone(remove := partial(temporary.unlink, missing_ok=True)):
        try:
            yield temporary
        finally:
            remove()


def _create(file: Path) -> None:
    # O_EXCL: a name that exists already, be it a link that somebody planted, is not opened.
    os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))


def _flush(path: Path) -> None:
    # Windows flushes only what is open for writing.
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
