"""Data behind http and s3 addresses, from real servers on loopback, by fsspec and by tensorflow-io; the reader tfio."""

import http.server
import io
import socket
import sys
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from commands import run
from videos import number, numbers, write_video

from kvzoo import catalog
from kvzoo.data import remote
from kvzoo.data.hdf5 import Hdf5
from kvzoo.data.pipeline import open_data
from kvzoo.errors import InputError
from kvzoo.recipe.resolve import check_data

TFIO = not remote.tfio_mismatch()
needs_tfio = pytest.mark.skipif(not TFIO, reason=remote.tfio_mismatch())
READERS = ["fsspec", pytest.param("tfio", marks=needs_tfio)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Videos in two folders, and a store of them."""
    folder = tmp_path_factory.mktemp("there")
    for name in ("clips/wave/a.mp4", "clips/bend/b.mp4", "clips/bend/c.mp4"):
        write_video(folder / name, 20)
    run("prepare", folder / "clips", "--out", folder / "clips.h5", "--size", 48)
    return folder


@pytest.fixture(params=READERS)
def reader(request, tmp_path, monkeypatch):
    monkeypatch.setenv("KVZOO_CACHE", str(tmp_path / "cache"))
    if request.param == "fsspec":
        pytest.importorskip("fsspec")
        monkeypatch.setattr(remote, "tfio_mismatch", lambda: "this test wants fsspec")
    return request.param


@pytest.fixture
def web(folder):
    """A web server; its address, and what it was asked for."""
    pytest.importorskip("aiohttp")
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            asked.append((self.command, self.path))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.fixture
def bucket(folder, monkeypatch):
    """An S3 server with the folder's files; the address of its bucket."""
    server_module, boto3 = pytest.importorskip("moto.server"), pytest.importorskip("boto3")
    pytest.importorskip("s3fs")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="test-clips")
    for file in filter(Path.is_file, folder.rglob("*")):
        client.put_object(Bucket="test-clips", Key=file.relative_to(folder).as_posix(), Body=file.read_bytes())
    yield "s3://test-clips"
    server.stop()


def test_a_file_of_a_web_server_is_fetched_once(folder, web, reader):
    address, asked = web
    here = Path(remote.local(f"{address}/clips.h5"))
    assert here.name == "clips.h5" and here.read_bytes() == (folder / "clips.h5").read_bytes()
    gets = len([path for command, path in asked if command == "GET" and path == "/clips.h5"])
    assert remote.local(f"{address}/clips.h5") == str(here)
    again = len([path for command, path in asked if command == "GET" and path == "/clips.h5"])
    assert reader == "tfio" or again == gets == 1
    with pytest.raises(InputError, match=r"none\.h5: .") as raised:
        remote.local(f"{address}/none.h5")
    assert "\n" not in str(raised.value) and not list(here.parent.parent.glob("*/none.h5"))


def test_a_prefix_of_a_bucket_is_fetched(folder, bucket, reader):
    here = Path(remote.local(f"{bucket}/clips"))
    found = sorted(file.relative_to(here).as_posix() for file in here.rglob("*") if file.is_file())
    assert found == ["bend/b.mp4", "bend/c.mp4", "wave/a.mp4"]
    assert all((here / name).read_bytes() == (folder / "clips" / name).read_bytes() for name in found)
    assert Path(remote.local(f"{bucket}/clips.h5")).read_bytes() == (folder / "clips.h5").read_bytes()
    with pytest.raises(InputError, match="s3://test-clips/none: "):
        remote.local(f"{bucket}/none")


def test_a_recipe_reads_an_address(web, bucket, reader):
    address, _ = web
    loss = catalog.LOSSES.get("mse")
    store = open_data(check_data({"source": "hdf5", "path": f"{address}/clips.h5"}, loss), [(4, 48, 48, 3)], 0)
    videos = open_data(check_data({"source": "videos", "path": f"{bucket}/clips"}, loss), [(4, 48, 48, 3)], 0)
    for data in (store, videos):
        held_out = data.validation.videos
        assert {v.label for v in data.training.videos + held_out} == {"wave", "bend"}
        assert numbers(data.training.source, data.training.videos[0]) == list(range(20))


ESCAPES = [
    "../../up.txt",
    "a/../../up.txt",
    "/../up.txt",
    "a\\..\\..\\up.txt",
    "C:/up.txt",
    "C:up.txt",
    "a\0.txt",
    "..",
]


class Bucket:
    """A file system as fsspec's and, as `tf.io.gfile` has it, tensorflow-io's, with one good key and another one."""

    def __init__(self, key: str):
        self.keys = ("good/12:30.txt", key)

    def find(self, root, detail=False):
        return {f"{root}/{key}": {"size": 4} for key in self.keys}

    def get_file(self, key, target):
        Path(target).write_text("text")

    def isdir(self, path):
        return True

    def walk(self, folder):
        yield folder, (), self.keys

    def stat(self, path):
        return SimpleNamespace(length=4)

    def GFile(self, path, mode):
        return io.BytesIO(b"text")


@pytest.fixture(params=["fsspec", "tfio"])
def fetch_from(request, tmp_path, monkeypatch):
    """A function that fetches a prefix of a given bucket, by each of the two readers, into tmp_path/cache."""
    monkeypatch.setenv("KVZOO_CACHE", str(tmp_path / "cache"))

    def fetch(files: Bucket) -> str:
        if request.param == "fsspec":
            core = SimpleNamespace(url_to_fs=lambda path, **options: (files, path.removeprefix("s3://")))
            monkeypatch.setattr(remote, "tfio_mismatch", lambda: "this test wants fsspec")
            monkeypatch.setattr(remote.importlib.util, "find_spec", lambda name: True)
            monkeypatch.setitem(sys.modules, "fsspec", SimpleNamespace(core=core))
        else:
            from kvzoo.run import tfio

            monkeypatch.setattr(remote, "tfio_mismatch", lambda: "")
            monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(io=SimpleNamespace(gfile=files)))
            monkeypatch.setitem(sys.modules, "tensorflow_io", SimpleNamespace())
            monkeypatch.setattr(remote, "_by_tfio", tfio.fetch)
        return remote.local("s3://bucket/clips")

    return fetch


@pytest.mark.parametrize("key", ESCAPES)
def test_a_key_that_leads_out_of_the_cache_is_refused_before_anything_is_written(tmp_path, fetch_from, key):
    with pytest.raises(InputError, match="would be written outside of .*clips") as raised:
        fetch_from(Bucket(key))
    assert "\n" not in str(raised.value) and not list(tmp_path.rglob("*.txt"))


def test_a_link_within_the_cache_is_not_followed(tmp_path, fetch_from):
    here = Path(fetch_from(Bucket("a/b/1.txt")))
    assert sorted(file.relative_to(here).as_posix() for file in here.rglob("*.txt")) == ["a/b/1.txt", "good/12:30.txt"]
    assert not list(tmp_path.rglob(".*.part*"))
    (tmp_path / "out").mkdir()
    (here / "planted").symlink_to(tmp_path / "out")
    with pytest.raises(InputError, match="would be written outside"):
        fetch_from(Bucket("planted/up.txt"))
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/..", "s3://bucket/a/..", "s3://bucket/."])
def test_an_address_that_ends_in_dots_is_refused(tmp_path, monkeypatch, address):
    monkeypatch.setenv("KVZOO_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="would be written outside"):
        remote.local(address)


def test_a_cache_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KVZOO_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="file/remote/.*: Not a directory; set KVZOO_CACHE to use another folder"):
        remote.local("http://127.0.0.1:9/a.h5")


def test_what_is_missing_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("KVZOO_CACHE", str(tmp_path))
    monkeypatch.setattr(remote.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(remote, "tfio_mismatch", lambda: "no")
    with pytest.raises(InputError, match=r"s3://a/b: fsspec is required to read it: pip install 'kvzoo\[cloud\]'"):
        remote.local("s3://a/b")


def test_nobody_answers(reader, monkeypatch):
    if reader == "fsspec":
        pytest.importorskip("aiohttp")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(InputError, match=f"http://127.0.0.1:{port}/a.h5: ."):
        remote.local(f"http://127.0.0.1:{port}/a.h5")


@pytest.mark.skipif(TFIO, reason="tensorflow-io works here")
def test_another_tensorflow_is_told_what_to_install(folder):
    import tensorflow as tf

    with pytest.raises(InputError) as raised:
        Hdf5(str(folder / "clips.h5"), reader="tfio")
    said = str(raised.value)
    assert "0.37.1 supports only TensorFlow 2.16" in said and f"tensorflow {tf.__version__}" in said
    assert "pip install 'kvzoo[tfio]'" in said and "\n" not in said


@needs_tfio
def test_tfio_streams_a_store(folder):
    from kvzoo.run.tfio import stream

    loss = catalog.LOSSES.get("mse")
    section = {"source": "hdf5", "path": str(folder / "clips.h5"), "reader": "tfio", "validation": 0.0}
    clips = open_data(check_data(section, loss), [(4, 48, 48, 3)], 0).training
    firsts = set()
    for (batch,) in stream(clips, 3, 0).take(30):
        assert batch.shape == (3, 4, 48, 48, 3)
        for clip in batch.numpy():
            shown = [number(frame) for frame in clip]
            assert shown == list(range(shown[0], shown[0] + 4)) and shown[0] <= 16
            firsts.add(shown[0])
    assert len(firsts) > 10
    with pytest.raises(InputError, match="tfio reads frames as stored"):
        stream(open_data(check_data(section, loss), [(4, 32, 32, 3)], 0).training, 3, 0)


@needs_tfio
def test_a_run_trains_by_tfio(folder, tmp_path):
    import kvzoo

    data = f"data={{source: hdf5, path: {folder / 'clips.h5'}, reader: tfio, validation: 0.34}}"
    model = "model={name: gru_ae, frames: 4, image_size: 48, channels: 3, width: 4, latent_dim: 8, units: 8}"
    done = kvzoo.fit("gru_ae", [data, model, "fit.steps=4", "fit.batch_size=2"], out=tmp_path / "run")
    assert np.isfinite(done.history[-1]["loss"])
