"""`kvzoo bench`: costs of models."""

import csv
import importlib.util
import json
import subprocess
import sys

import pytest
from conftest import ROOT

import kvzoo
from kvzoo import catalog
from kvzoo.recipe.resolve import load
from kvzoo.testing import bench

QUICK = ("videogan", "tiny_c3d")  # under a second at the defaults
MODELS = [entry.name for entry in catalog.MODELS.entries() if entry.distribution == "kvzoo"]


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in MODELS])
def test_counted_macs_are_those_of_the_spec(name):
    model = kvzoo.get(name, compile=False)
    assert bench.macs(model.network, model.clip_shape) == pytest.approx(catalog.MODELS.get(name).macs, rel=0.01)


def test_a_row_has_its_conditions(monkeypatch):
    monkeypatch.setattr(bench, "matrix_rate", lambda: 1e11)
    cost = bench.measure("gru_ae", load("gru_ae", smoke=True))
    assert cost.recipe == "gru_ae" and cost.parameters > 0 and cost.backend_version
    assert cost.first_step_s > cost.step_s > 0 and cost.forward_s > 0
    assert cost.clips_s == pytest.approx(cost.batch_size / cost.step_s, rel=0.1)
    assert cost.train_share == pytest.approx(6 * cost.batch_size * cost.macs / cost.step_s / 1e11, abs=2e-3)


def test_each_built_in_model_is_measured_at_a_recipe_for_a_cpu():
    recipes = {name: bench.recipe_of(name) for name in MODELS}
    assert recipes["gru_ae"].stem == "gru_ae" and recipes["pix2pix"].stem == "pix2pix_interpolation"
    assert not any(file and file.stem.endswith("_paper") for file in recipes.values())


@pytest.mark.slow
def test_the_verb_writes_a_csv_and_json(kvzoo_cli, tmp_path):
    done = kvzoo_cli("bench", "tiny*", "--out", tmp_path / "b.csv", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader((tmp_path / "b.csv").open())
    (record,) = json.loads(done.stdout)
    assert row["model"] == record["model"] == "tiny_c3d" and float(row["step_s"]) == record["step_s"]


def test_wrong_input_is_refused(kvzoo_cli, tmp_path):
    for arguments, message in (
        (["bench", "gru_ea"], "did you mean gru_ae?"),
        (["bench", "gru_ae", "--out", "nowhere/x.csv"], "no such folder"),
    ):
        done = kvzoo_cli(*arguments, cwd=tmp_path)
        assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.skipif(not all(map(importlib.util.find_spec, ("jax", "torch"))), reason="needs JAX and PyTorch")
def test_the_benchmark_for_a_gpu_runs_at_tiny_size(tmp_path):
    reference = ROOT.parent / "shared" / "bench" / "torch_reference.py"
    if not reference.is_file():
        pytest.skip(f"no PyTorch reference: {reference}")
    command = [sys.executable, ROOT / "benchmarks" / "gpu.py", "--reference", reference, "--tiny", "--eager"]
    command += ["--models", "gru_ae", "--precisions", "float32", "--out", tmp_path / "gpu.json"]
    subprocess.run(list(map(str, command)), check=True, timeout=600)
    (row,) = json.loads((tmp_path / "gpu.json").read_text())
    assert row["jax"]["step_s"] > 0 and row["torch"]["step_s"] > 0 and row["jax"]["operations"] > 0
