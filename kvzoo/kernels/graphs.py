"""Which of TensorFlow's passes over a traced graph run before its first step."""

import keras

from kvzoo.kernels.accelerate import stock

# These took two of SpeedNet's six and a half seconds of tracing, and no step became slower without them.
LEFT_OUT = (
    "layout_optimizer",
    "constant_folding",
    "shape_optimization",
    "arithmetic_optimization",
    "dependency_optimization",
    "loop_optimization",
)


def optimize_lightly() -> None:
    """Leave out TensorFlow's passes that cost seconds and bring nothing on a CPU; what was set before stays."""
    if keras.backend.backend() != "tensorflow" or stock():
        return
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU") and not tf.config.optimizer.get_experimental_options():
        tf.config.optimizer.set_experimental_options(dict.fromkeys(LEFT_OUT, False))
