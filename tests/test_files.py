"""Whole writes and locks: what other processes, threads, links and odd names cannot break."""

import errno
import os
import subprocess
import sys
import threading

import pytest

from kvzoo.errors import InputError, WriteError
from kvzoo.files import Locked, WriterLock, copy_whole, leftovers, link_whole, writing, written_whole


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")
    with pytest.raises(FileNotFoundError), written_whole(file) as temporary:
        temporary.write_text((tmp_path / "none").read_text())
    assert file.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]
    with written_whole(file, durable=True) as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".txt"
        temporary.write_text("new")
        assert leftovers(file) == leftovers(tmp_path) == [temporary] and leftovers(tmp_path / "b.txt") == []
    assert file.read_text() == "new" and os.listdir(tmp_path) == ["a.txt"]


def test_threads_that_write_one_file_share_no_temporary_file(tmp_path):
    file, barrier, texts = tmp_path / "a.txt", threading.Barrier(8), [str(i) * 100_000 for i in range(8)]

    def write(text: str) -> None:
        with written_whole(file) as temporary:
            barrier.wait()  # all eight have theirs open
            temporary.write_text(text)

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.read_text() in texts and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_planted_links_are_not_followed(tmp_path, monkeypatch):
    names, victim = iter(["00000000", "00000001"]), tmp_path / "victim"
    monkeypatch.setattr("secrets.token_hex", lambda size: next(names))
    victim.write_text("precious")
    (tmp_path / ".a.00000000.part.txt").symlink_to(victim)
    (tmp_path / "a.txt").symlink_to(victim)
    with written_whole(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert victim.read_text() == "precious" and (tmp_path / "a.txt").read_text() == "new"
    assert not (tmp_path / "a.txt").is_symlink()


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_copies_and_links_replace_what_was_there_and_follow_nothing(tmp_path, monkeypatch):
    source, copy, victim = tmp_path / "a.npz", tmp_path / "best.npz", tmp_path / "victim"
    source.write_text("one")
    victim.write_text("precious")
    copy.symlink_to(victim)
    for _ in range(2):  # the second time it is another name of the same file already
        copy_whole(source, copy)
    with written_whole(source) as temporary:
        temporary.write_text("two")
    assert (copy.read_text(), victim.read_text(), copy.is_symlink()) == ("one", "precious", False)

    def no_links(*arguments):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    copy_whole(source, copy)
    assert copy.read_text() == "two" and not os.path.samefile(source, copy)
    for name in ("run-1", "run-2"):
        (tmp_path / name).mkdir()
        link_whole(name, tmp_path / "latest")
    assert os.readlink(tmp_path / "latest") == "run-2"
    assert sorted(os.listdir(tmp_path)) == ["a.npz", "best.npz", "latest", "run-1", "run-2", "victim"]


def test_an_error_of_writing_names_the_file_and_the_reason(tmp_path):
    for error, number, reason in (
        (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC, "No space left on device"),
        (RuntimeError("file write failed: errno = 28, error message = 'x'"), errno.ENOSPC, "No space left on device"),
        (OSError("encoder error -2"), errno.EIO, "Input/output error (encoder error -2)"),
    ):
        with pytest.raises(WriteError) as raised, writing(tmp_path / "a.png"), writing(tmp_path):
            raise error
        assert str(raised.value) == f"{tmp_path}: cannot be written: {reason}"
        assert (raised.value.errno, raised.value.strerror, raised.value.filename) == (number, reason, str(tmp_path))
        assert isinstance(raised.value, InputError) and isinstance(raised.value, OSError)
    with pytest.raises(KeyError, match="theirs"), writing(tmp_path):
        raise KeyError("theirs")


@pytest.mark.skipif(os.name != "posix", reason="names in bytes and modes of files")
def test_long_and_odd_names_and_modes(tmp_path):
    before = os.umask(0o027)
    try:
        # 255 bytes are what a name may have; the last one is not UTF-8.
        for name in ("x" * 251 + ".mp4", "é" * 125 + ".mp4", "a." + "y" * 253, "-n\n%d:.mp4", os.fsdecode(b"\xff.mp4")):
            with written_whole(tmp_path / name) as temporary:
                temporary.write_text("x")
            assert (tmp_path / name).stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)
    assert leftovers(tmp_path) == []


def test_what_cannot_be_written_is_refused_before_the_work(tmp_path):
    for path in (tmp_path / ("x" * 256), tmp_path / "none" / "a.txt", tmp_path):
        with pytest.raises(OSError, match="No such|directory|long") as refused, written_whole(path):
            pytest.fail("the work began")
        assert refused.value.filename == str(path)
    if os.name == "posix":
        os.mkfifo(tmp_path / "pipe")
        with written_whole(tmp_path / "pipe") as direct:
            assert direct == tmp_path / "pipe"
        assert (tmp_path / "pipe").is_fifo()


def test_a_lock_has_one_holder_who_is_named(tmp_path):
    lock, code = (
        WriterLock(tmp_path / ".lock"),
        (
            "import sys; from kvzoo.files import WriterLock\n"
            "lock = WriterLock(sys.argv[1]); lock.acquire(); print('held', flush=True); sys.stdin.read()"
        ),
    )
    assert lock.holder() == "" and not lock.path.exists()
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(lock.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "held\n"
        for _ in range(3):  # those that are refused leave the lock as it is
            with pytest.raises(Locked, match=f"^process {other.pid} on "):
                lock.acquire()
        assert lock.holder().startswith(f"process {other.pid} on ")
        lock.path.write_text("[")
        assert lock.holder() == "another process"
    finally:
        other.kill()
        other.communicate()
    assert lock.holder() == ""
    with lock:
        assert lock.holder().startswith(f"process {os.getpid()} on ")
    assert lock.holder() == "" and lock.path.exists()
