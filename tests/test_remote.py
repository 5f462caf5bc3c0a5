"""Data behind http and s3 addresses, from real servers on loopback, by fsspec and by tensorflow-io; the reader tfio."""

import http.server
import socket
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from test_data import number, numbers, write_video
from test_store import run

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


def test_what_is_missing_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("KVZOO_CACHE", str(tmp_path))
    monkeypatch.setattr(remote.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(remote, "tfio_mismatch", lambda: "no")
    with pytest.raises(InputError, match=r"s3://a/b: fsspec is wanted to read it: pip install 'kvzoo\[cloud\]'"):
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
    assert "0.37.1 works with TensorFlow 2.16 only" in said and f"tensorflow {tf.__version__}" in said
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
    with pytest.raises(InputError, match="as they are stored"):
        stream(open_data(check_data(section, loss), [(4, 32, 32, 3)], 0).training, 3, 0)


@needs_tfio
def test_a_run_trains_by_tfio(folder, tmp_path):
    import kvzoo

    data = f"data={{source: hdf5, path: {folder / 'clips.h5'}, reader: tfio, validation: 0.34}}"
    model = "model={name: gru_ae, frames: 4, image_size: 48, channels: 3, width: 4, latent_dim: 8, units: 8}"
    done = kvzoo.fit("gru_ae", [data, model, "fit.steps=4", "fit.batch_size=2"], out=tmp_path / "run")
    assert np.isfinite(done.history[-1]["loss"])
