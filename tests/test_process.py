"""The process as it is prepared before a backend loads."""

import os
import sys

import pytest

from kvzoo import process


def settings(monkeypatch):
    monkeypatch.setattr(process, "_settings", None)
    return {setting.name: setting for setting in process.prepare()}


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """What is set here is gone after each test, and starts from nothing."""
    monkeypatch.setattr(
        os, "environ", {k: v for k, v in os.environ.items() if k not in (process.ONEDNN, *process.THREADS)}
    )


@pytest.fixture
def avx2(monkeypatch):
    monkeypatch.setattr(process, "cpu_flags", lambda: {"avx2", "fma"})
    monkeypatch.setattr(process.platform, "machine", lambda: "x86_64")
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)


def test_onednn_is_on_where_tensorflow_leaves_it_off(monkeypatch, avx2):
    assert settings(monkeypatch)["oneDNN"].value == "on"
    assert os.environ[process.ONEDNN] == "1"


def test_the_environment_counts_more(monkeypatch, avx2):
    os.environ |= {process.ONEDNN: "0", "MALLOC_TRIM_THRESHOLD_": "131072", "OMP_NUM_THREADS": "7"}
    monkeypatch.setattr(process, "cpu_quota", lambda: 1.0)
    found = settings(monkeypatch)
    assert found["oneDNN"].value == "off" and found["allocator"].value == "unchanged"
    assert os.environ["OMP_NUM_THREADS"] == "7" and "OMP_NUM_THREADS=7" in found["threads"].reason
    assert os.environ["TF_NUM_INTRAOP_THREADS"] == "1"


@pytest.mark.parametrize(
    ("flags", "value"),
    [({"avx2", "avx512_vnni"}, "on"), ({"sse4_2"}, "TensorFlow's own choice"), (set(), "TensorFlow's own choice")],
)
def test_onednn_is_left_to_tensorflow_elsewhere(monkeypatch, avx2, flags, value):
    monkeypatch.setattr(process, "cpu_flags", lambda: flags)
    assert settings(monkeypatch)["oneDNN"].value == value
    assert process.ONEDNN not in os.environ


def test_onednn_comes_too_late_for_a_loaded_tensorflow(monkeypatch, avx2):
    monkeypatch.setitem(sys.modules, "tensorflow", os)
    assert "imported before kvzoo" in settings(monkeypatch)["oneDNN"].reason


def test_another_c_library_or_system_is_left_alone(monkeypatch, avx2):
    monkeypatch.setattr(process.os, "confstr", lambda name: None)  # as on musl
    monkeypatch.setattr(process.sys, "platform", "darwin")
    found = settings(monkeypatch)
    assert found["allocator"].value == "unchanged"
    assert process.ONEDNN not in os.environ


@pytest.mark.skipif(not process._glibc(), reason="glibc's allocator only")
def test_freed_memory_is_kept(in_process):
    code = """
import resource
import {module}
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(64_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""
    before, kept = (int(in_process(code.format(module=module))) for module in ("os", "kvzoo"))
    assert kept < before / 5


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"": "max 100000"}, None),
        ({"": "150000 100000"}, 1.5),
        ({"slice": "400000 100000", "slice/service": "50000 100000"}, 0.5),
        ({"": "what is this"}, None),
        ({}, None),
    ],
)
def test_quota_of_control_groups_version_2(tmp_path, limits, expected):
    own = tmp_path / "own"
    own.write_text("0::/slice/service\n")
    for folder, limit in limits.items():
        write(tmp_path / "cgroup" / folder, cpu__max=limit)
    assert process.cpu_quota(tmp_path / "cgroup", own) == expected


def test_quota_of_control_groups_version_1(tmp_path):
    own = tmp_path / "own"
    own.write_text("7:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n")
    write(tmp_path / "cgroup/cpu/docker/x", cpu__cfs_quota_us="200000", cpu__cfs_period_us="100000")
    assert process.cpu_quota(tmp_path / "cgroup", own) == 2.0
    write(tmp_path / "cgroup/cpu/docker/x", cpu__cfs_quota_us="-1")
    assert process.cpu_quota(tmp_path / "cgroup", own) is None


def test_no_more_threads_than_a_container_allows(monkeypatch):
    monkeypatch.setattr(process, "cpu_quota", lambda: 0.5)
    assert process.cores() == 1
    assert settings(monkeypatch)["threads"].value == "1"
    assert all(os.environ[name] == "1" for name in process.THREADS)
