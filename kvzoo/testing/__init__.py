"""The battery: tests that every model must pass, built-in or of a plugin, at its tiny configuration.

In a test file, one line:

    test_my_model = kvzoo.testing.battery("my_model")

From the command line: `kvzoo plugin check my_model`. Importing this module imports neither Keras nor pytest.
"""

from collections.abc import Mapping

ROWS = {
    "spec": "the spec is correct: its options are the builder's, its layers and losses exist",
    "parameters": "the number of trainable parameters at the defaults is that of the spec",
    "shape": "shapes follow frames and image_size, and a clip's output does not depend on its batch",
    "finite": "outputs are finite, also for black and white clips; clips are within -1..1",
    "range": "uint8 0..255 and float -1..1 are equivalent, and it trains on both",
    "gradients": "every trainable weight changes in training",
    "loss": "the loss decreases on one repeated batch",
    "causal": "if the spec says causal, output t depends only on inputs up to t",
    "config": "spec and configuration survive JSON and rebuild the same network",
    "precision": "it trains in mixed precision",
    "resume": "training resumes bit-exactly from a checkpoint",
    "save": "the saved network loads in a fresh process and returns the same outputs",
    "backends": "the same weights give the same losses on every installed backend",
}


def battery(*names: str, stock_keras: bool = False, marks: Mapping | None = None):
    """Return a pytest function with a test for each model and each of ROWS.

    Processes that rows need are shared by all models of one battery.

    Args:
        names: registered models, plain or "distribution:name".
        stock_keras: refuse networks with layers of their own, which load only where the package is installed.
        marks: pytest marks by row, such as {"backends": pytest.mark.slow}.

    Raises:
        ValueError: no names, or a mark for an unknown row.
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
            requested = [
                i.callspec.params["name"] for i in request.session.items if getattr(i, "function", None) is test
            ]
            shared.append(Battery(*dict.fromkeys(requested)))
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
