"""Files from strangers: refused, nothing executed, memory bounded."""

import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

import kvzoo
from kvzoo.errors import InputError
from kvzoo.recipe.resolve import load
from kvzoo.run import checkpoint

TINY = {"frames": 3, "image_size": 16, "latent_dim": 8, "units": 12, "width": 4}


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """A network's file as kvzoo writes it."""
    path = tmp_path_factory.mktemp("good") / "model.keras"
    kvzoo.get("gru_ae", **TINY).network.save(path)
    return path


@pytest.fixture(autouse=True)
def no_trace(tmp_path, monkeypatch):
    """Whatever is executed would leave a file here."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.rglob("executed*"))


def refused(path: Path) -> str:
    """Refused as weights, with one line."""
    with pytest.raises(InputError) as caught:
        kvzoo.get("gru_ae", weights=path, **TINY)
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(InputError):
        kvzoo.zoo.transfer(kvzoo.get("gru_ae", **TINY), path)
    return str(caught.value)


def rewritten(good: Path, path: Path, **members: bytes) -> Path:
    """Copy a .keras file with members replaced."""
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w") as out:
        for name in source.namelist():
            if name not in members:
                out.writestr(name, source.read(name))
        for name, data in members.items():
            out.writestr(name, data)
    return path


def test_a_lambda_is_not_run(tmp_path):
    inputs = keras.Input((3, 16, 16, 1))
    network = keras.Model(inputs, keras.layers.Lambda(lambda x: open("executed", "w") and x)(inputs))  # noqa: SIM115
    network.save(tmp_path / "lambda.keras")
    for left in tmp_path.glob("executed*"):
        left.unlink()
    assert "does not fit" in refused(tmp_path / "lambda.keras")


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("their_package", "Layer"), ("builtins", "exec"), (None, "NoSuchLayer")]
)
def test_a_class_that_keras_does_not_know_is_not_imported(good, tmp_path, module, name):
    (tmp_path / "their_package.py").write_text("open('executed', 'w')\nclass Layer: pass\n")
    with zipfile.ZipFile(good) as archive:
        config = json.loads(archive.read("config.json"))
    config["config"]["layers"][1] |= {"module": module, "class_name": name, "registered_name": name}
    path = rewritten(good, tmp_path / "class.keras", **{"config.json": json.dumps(config).encode()})
    refused(path)


def test_a_zip_bomb_is_not_unpacked(good, tmp_path):
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("config.json", source.read("config.json"))
        out.writestr("model.weights.h5", source.read("model.weights.h5") + bytes(200_000_000))
    assert path.stat().st_size < 1_000_000
    assert "compressed" in refused(path)


def test_weights_that_claim_to_be_huge_are_not_read(good, tmp_path):
    with zipfile.ZipFile(good) as archive:
        weights = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(weights, "r+") as file:
        found = []
        file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        del file[found[0]]
        # Under 4 GiB, from where on Keras itself looks.
        file.create_dataset(found[0], (30_000, 30_000), "f4", chunks=(1000, 1000), compression="gzip")
    assert "declare more" in refused(
        rewritten(good, tmp_path / "claims.keras", **{"model.weights.h5": weights.getvalue()})
    )
    (tmp_path / "claims.weights.h5").write_bytes(weights.getvalue())
    assert "declare more" in refused(tmp_path / "claims.weights.h5")


def test_layers_that_would_be_huge_are_not_made(good, tmp_path):
    huge = json.dumps(keras.saving.serialize_keras_object(keras.Sequential([keras.Input((4,))])))
    dense = {"class_name": "Dense", "module": "keras.layers", "registered_name": None}
    with zipfile.ZipFile(good) as archive:
        config = archive.read("config.json").decode()
    for units in (10**6, 10**12):
        # As large as one likes, and behind layers that are as they should be.
        network = json.loads(huge)
        network["config"]["layers"] += [dense | {"config": {"name": f"d{i}", "units": units}} for i in range(2)]
        network["build_config"] = {"input_shape": [None, 4]}
        path = rewritten(good, tmp_path / f"{units}.keras", **{"config.json": json.dumps(network).encode()})
        assert "more weights than" in refused(path)
    wider = config.replace('"units": 12', '"units": 50000')
    assert wider != config
    path = rewritten(good, tmp_path / "wider.keras", **{"config.json": wider.encode()})
    assert "more weights than" in refused(path)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n" + bytes(100), b"not a model" * 100])
def test_what_is_no_network(tmp_path, data):
    for name in ("x.keras", "x.weights.h5"):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name)


RECIPE = """
model: {name: gru_ae, frames: 3, image_size: 16, latent_dim: 8, units: 12, width: 4}
data: {source: stick_actions, videos: 12, people: 4, seconds: 0.4, actions: [walk, bend]}
fit: {steps: 3, batch_size: 2, sample_every: 2, checkpoint_every: 1, validation_clips: 4}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "small.yaml").write_text(RECIPE)
    return kvzoo.fit(folder / "small.yaml", out=folder / "run").path


class Executes:
    def __reduce__(self):
        return os.system, ("touch executed",)


def npz(**arrays) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def packed() -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, record=np.frombuffer(b'{"step": 9}', np.uint8), **{"00000:a": np.zeros(50_000_000)})
    return out.getvalue()


def claims_huge() -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 100)})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("record.npy", npz_member(np.frombuffer(b'{"step": 9}', np.uint8)))
        archive.writestr("00000:a.npy", header.getvalue())
    return out.getvalue()


def npz_member(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


RECORD = np.frombuffer(b'{"step": 9, "callbacks": []}', np.uint8)
CHECKPOINTS = {
    "pickle": lambda: npz(record=RECORD, **{"00000:a": np.array([Executes()], dtype=object)}),
    "packed": packed,
    "huge": claims_huge,
    "path": lambda: npz(record=RECORD, **{"../../executed": np.zeros(3)}),
    "no record": lambda: npz(**{"00000:a": np.zeros(3)}),
    "no step": lambda: npz(record=np.frombuffer(b"[1]", np.uint8)),
    "deep": lambda: npz(record=np.frombuffer(b"[" * 100_000, np.uint8)),
    "empty": lambda: b"",
    "text": lambda: b"step: 9",
}


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_a_checkpoint_is_data_or_left_aside(run, tmp_path, case, caplog):
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "checkpoints" / "step-00000009.npz").write_bytes(CHECKPOINTS[case]())
    record, _ = checkpoint.read_newest(copy / "checkpoints")
    assert record["step"] == 3
    assert "skipped damaged checkpoint" in caplog.text and "step-00000009.npz: " in caplog.text


def test_a_checkpoint_of_another_network_is_refused(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "checkpoints" / "step-00000009.npz").write_bytes(npz(record=RECORD, **{"00000:a": np.zeros(3)}))
    with pytest.raises(InputError, match="the checkpoint has 1 variables"):
        kvzoo.resume(copy, ["fit.steps=20"])


LOCKS = {
    "a tag": ("lock:", "lock: !!python/object/apply:os.system [touch executed]\nx:"),
    "another name": ("recipe: small", "recipe: ../../../etc/passwd"),
    "fingerprint in a list": ("  data: ", "  data: [1]\n  was: "),
    "origins in a list": ("  origins:", "  origins: [1]\n  was:"),
    "videos in a word": ("  videos:", "  videos: many\n  was:"),
    "classes in a number": ("  fps: 25", "  fps: 25\n  classes: 7"),
    "a lock that is a word": ("lock:", "lock: x\nwas:"),
}


@pytest.mark.parametrize("case", LOCKS)
def test_a_lock_file_edited_by_hand_is_data_or_refused(run, tmp_path, case):
    copy = shutil.copytree(run, tmp_path / "copy")
    file = copy / "recipe.lock.yaml"
    old, new = LOCKS[case]
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    try:
        recipe = load(file)
    except InputError as error:
        assert str(error).startswith(str(file)) and len(str(error).splitlines()) == 1
    else:
        assert recipe.name in ("small", "passwd")
    for use in (lambda: kvzoo.run.report.report(copy), lambda: kvzoo.resume(copy), lambda: kvzoo.load(copy)):
        try:
            use()
        except InputError as error:
            assert len(str(error).splitlines()) == 1
