"""TensorFlow's fused Adam takes the steps of Keras's own, to rounding."""

import keras
import numpy as np
import pytest

import kvzoo
from kvzoo.kernels.fused_adam import fuse_adam

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the kernel is TensorFlow's")

OPTIMIZERS = {
    "plain": lambda: keras.optimizers.Adam(1e-2, beta_1=0.5, epsilon=1e-4),
    "schedule": lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, 8)),
    "weight decay": lambda: keras.optimizers.AdamW(1e-2, weight_decay=0.1),
    "clipped": lambda: keras.optimizers.Adam(1e-2, global_clipnorm=0.1),
    "average": lambda: keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3),
    "accumulated": lambda: keras.optimizers.Adam(1e-2, gradient_accumulation_steps=2),
    "amsgrad": lambda: keras.optimizers.Adam(1e-2, amsgrad=True),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-2), initial_scale=8.0),
}


def run(optimizer) -> list[np.ndarray]:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    weights = [keras.Variable(rng.normal(size=shape), dtype="float32") for shape in ((3, 4), (5,), ())]
    optimizer.build(weights)
    step = tf.function(lambda *gradients: optimizer.apply(gradients, weights))
    for _ in range(8):
        # A step changes weights by some hundredths, whatever the scale of the gradients.
        step(*(tf.constant(rng.normal(0, 1e-2, w.shape), "float32") for w in weights))
    return [keras.ops.convert_to_numpy(v) for v in (*weights, *optimizer.variables)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_its_steps_are_keras_own(name):
    stock, fused = (run(make(OPTIMIZERS[name]())) for make in (lambda optimizer: optimizer, fuse_adam))
    for a, b in zip(stock, fused, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)  # a step is 1e-2, a rounding of the weights 1e-7


def test_every_model_takes_them():
    gan = kvzoo.get("videogan", frames=16, image_size=16, noise_dim=8, width=4)
    own = kvzoo.get("tiny_c3d", frames=4, image_size=16, width=4)
    again = kvzoo.get("tiny_c3d", frames=4, image_size=16, width=4)
    again.compile(keras.optimizers.AdamW())
    for optimizer in (own.optimizer, again.optimizer, *gan.optimizer.players.values()):
        assert optimizer.update_step.__module__ == "kvzoo.kernels.fused_adam"
