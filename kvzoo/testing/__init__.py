"""The battery: what must hold for any model, ours and others', at its tiny configuration.

In a test file, one line:

    test_my_model = kvzoo.testing.battery("my_model")

From the command line: `kvzoo plugin check my_model`. Importing this module imports neither Keras nor pytest.
"""

from collections.abc import Mapping

ROWS = {
    "spec": "the spec is true: options are the builder's, layers and losses that it names are there",
    "parameters": "trainable parameters at the defaults are those of the spec",
    "shape": "shapes follow frames and image_size, and a clip's output does not depend on its batch",
    "finite": "outputs are finite, also for black and white clips; clips are within -1..1",
    "range": "uint8 0..255 and float -1..1 are the same to it, and it trains on both",
    "gradients": "every trainable weight moves in training",
    "loss": "the loss falls on one repeated batch",
    "causal": "where the spec says causal, output t depends on inputs up to t only",
    "config": "spec and configuration survive JSON, and build the same network again",
    "precision": "it trains in mixed precision",
    "resume": "cut and restored from a checkpoint it ends at the same bits",
    "save": "the saved network loads in a fresh process and answers the same",
    "backends": "the same weights give the same outputs and losses on every backend that is installed",
}


def battery(*names: str, stock_keras: bool = False, marks: Mapping | None = None):
    """Return a test function for pytest: a test for each model and each of ROWS.

    Processes that rows need are shared by all models of one battery.

    Args:
        names: registered models, plain or "distribution:name".
        stock_keras: refuse networks with layers of their own, which load only where the package is installed.
        marks: pytest marks by row, such as {"backends": pytest.mark.slow}.

    Raises:
        ValueError: no name is given, or a mark is for no row.
    """
    import pytest

    marks = dict(marks or {})
    if not names or set(marks) - set(ROWS):
        raise ValueError(f"battery: names of models, and marks for {', '.join(ROWS)}. Received: {names!r}, {marks!r}")
    shared = []

    @pytest.mark.parametrize("row", [pytest.param(row, marks=marks.get(row, ())) for row in ROWS])
    @pytest.mark.parametrize("name", names)
    def test(name: str, row: str, request: pytest.FixtureRequest):
        from kvzoo.testing.rows import Battery, NotHere

        if not shared:
            chosen = [i.callspec.params["name"] for i in request.session.items if getattr(i, "function", None) is test]
            shared.append(Battery(*dict.fromkeys(chosen)))
        try:
            remark = shared[0].run(name, row)
        except NotHere as reason:
            pytest.skip(str(reason))
        assert not (stock_keras and row == "save" and remark), remark

    return test


def __getattr__(name: str):
    if name in ("Battery", "NotHere", "Result", "examples_for", "inputs_for", "loss_of", "networks_of", "tiny"):
        from kvzoo.testing import rows

        return getattr(rows, name)
    raise AttributeError(f"module 'kvzoo.testing' has no attribute {name!r}")
