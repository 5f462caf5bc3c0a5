"""A small translator and its discriminator in Keras, and their training by hand in plain PyTorch, with the same weights.

The PyTorch half writes pix2pix's losses and turns out with PyTorch's own layers, gradients and optimizers, and shares
no code with kvzoo. Both return the same record, so that tests compare them number by number.
"""

import numpy as np

INPUTS, TARGETS = (2, 8, 8, 3), (3, 8, 8, 1)
BATCH, STEPS = 3, 4
RATE = 0.02  # of the SGD step whose change of weights shows the gradients

CASES = {
    "paper": {},
    "two_steps": {"g_steps": 2},
    "l1_only": {"gan_weight": 0.0},
    "gan_only": {"l1_weight": 0.0, "gan_weight": 0.7},
    "term": {"g_steps": 2, "l1_weight": 10.0, "terms": {"shade_l2": 0.5}},
}


# Keras


def translator():
    import keras
    from keras import layers

    inputs = keras.Input(INPUTS, name="inputs")
    x = layers.Reshape((8, 8, 6))(layers.Permute((2, 3, 1, 4))(inputs))
    x = layers.LeakyReLU(0.2)(layers.Conv2D(5, 4, 2, "same")(x))
    x = layers.Conv2DTranspose(6, 4, 2, "same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    shade = layers.Activation("sigmoid", name="shade")(x[..., :1])
    x = layers.Conv2D(3, 3, padding="same")(layers.ReLU()(x)) * shade
    x = layers.Permute((3, 1, 2))(layers.Activation("tanh")(x))
    return keras.Model(inputs, layers.Reshape(TARGETS)(x), name="small_translator")


def discriminator():
    import keras
    from keras import layers

    inputs, targets = keras.Input(INPUTS, name="inputs"), keras.Input(TARGETS, name="targets")
    parts = [layers.Permute((2, 3, 1, 4))(x) for x in (inputs, targets)]
    x = layers.Concatenate()([layers.Reshape((8, 8, -1))(x) for x in parts])
    x = layers.LeakyReLU(0.2)(layers.Conv2D(4, 4, 2, "same")(x))
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(layers.Conv2D(5, 3, 1, "same", use_bias=False)(x))
    x = layers.Conv2D(1, 3, padding="same")(layers.LeakyReLU(0.2)(x))
    return keras.Model([inputs, targets], x, name="small_discriminator")


def shade_l2(inputs: dict, outputs: dict):
    """How far the map is from the first target: both halves of what a term is given."""
    from keras import ops

    return ops.mean(ops.square(outputs["shade"] - inputs["targets"][:, 0]))


def spec(name: str = "small_translator", **fields):
    from kvzoo.registry import ModelSpec

    settings = {
        "builder": "conditional_reference:translator",
        "discriminators": {"discriminator": "conditional_reference:discriminator"},
        "kind": "translator",
        "loss": "conditional",
        "maps": ("shade",),
        "terms": {"shade_l2": {"function": "conditional_reference:shade_l2", "weight": 0.0, "maps": ("shade",)}},
        "optimizer": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
    }
    return ModelSpec(name=name, **{**settings, **fields})


def set_weights(network, seed: int) -> None:
    """Give a network weights that any backend can draw: N(0, 0.2), batch norm's near its start."""
    rng = np.random.default_rng(seed)
    for variable in network.weights:
        draw = rng.normal(0, 0.2, variable.shape).astype("float32")
        if variable.name in ("gamma", "moving_variance"):
            draw = 1 + np.abs(draw)
        variable.assign(draw)


def examples(count: int = STEPS):
    """Return batches of inputs and targets, float -1..1."""
    rng = np.random.default_rng(5)
    return tuple(np.tanh(rng.normal(0, 1, (count, BATCH, *shape))).astype("float32") for shape in (INPUTS, TARGETS))


def keras_model(case: str):
    """Return a case's model with fixed weights, compiled with SGD."""
    import keras

    import kvzoo

    kvzoo.register(spec())
    model = kvzoo.get("small_translator", loss={"name": "conditional", **CASES[case]}, compile=False)
    for seed, network in enumerate(model.networks.values()):
        set_weights(network, seed)
    model.compile(keras.optimizers.SGD(RATE), jit_compile="auto" if keras.backend.backend() != "torch" else False)
    return model


def weights_of(model) -> dict[str, np.ndarray]:
    import keras

    return {
        f"{name}/{i:02d}": keras.ops.convert_to_numpy(variable.value)
        for name, network in model.networks.items()
        for i, variable in enumerate(network.weights)
    }


def in_keras(case: str) -> dict[str, np.ndarray]:
    """Train a case by kvzoo; return its record."""
    inputs, targets = examples()
    model = keras_model(case)
    record = {f"start/{name}": value for name, value in weights_of(model).items()}
    losses = []
    for step, (x, y) in enumerate(zip(inputs, targets, strict=True)):
        model.reset_metrics()
        logs = model.train_on_batch(x, y, return_dict=True)
        losses.append(float(logs["g_loss"]))
        if step == 0:
            record |= {f"end/{name}": value for name, value in weights_of(model).items()}
            record |= {f"log/{name}": np.asarray(float(value)) for name, value in logs.items()}
    return {**record, "losses": np.array(losses)}


# PyTorch


def in_torch(case: str, start: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Train a case by hand, from the weights of `start`; return its record."""
    import torch
    import torch.nn.functional as F

    loss = {"gan_weight": 1.0, "l1_weight": 100.0, "g_steps": 1, "terms": {"shade_l2": 0.0}} | CASES[case]
    inputs, targets = (torch.from_numpy(x) for x in examples())
    bce = F.binary_cross_entropy_with_logits

    def batch_norm(x, scale, shift, running):
        """Batch norm by hand; Keras keeps the biased variance, PyTorch's own layer the unbiased one."""
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        with torch.no_grad():
            running[0].mul_(0.9).add_(0.1 * mean)
            running[1].mul_(0.9).add_(0.1 * variance)
        return F.batch_norm(x, None, None, scale, shift, training=True, eps=1e-5)

    def stacked(clip):
        """Frames beside each other on the channel axis: (B, T, H, W, C) to (B, T * C, H, W)."""
        return clip.permute(0, 1, 4, 2, 3).flatten(1, 2)

    def conv(x, kernel, bias=None, stride=1, padding=1):
        return F.conv2d(x, kernel.permute(3, 2, 0, 1), bias, stride, padding)

    def translate(w, running, x):
        x = F.leaky_relu(conv(stacked(x), w[0], w[1], 2), 0.2)
        # Keras: (height, width, out, in); PyTorch: (in, out, height, width).
        x = F.conv_transpose2d(x, w[2].permute(3, 2, 0, 1), stride=2, padding=1)
        x = batch_norm(x, w[3], w[4], running)
        shade = torch.sigmoid(x[:, :1])
        return torch.tanh(conv(torch.relu(x), w[5], w[6]) * shade), shade

    def judge(w, running, x, y):
        """Scores of inputs (B, T, H, W, C) and outputs (B, T, H, W) of one channel."""
        x = F.leaky_relu(conv(torch.cat([stacked(x), y], 1), w[0], w[1], 2), 0.2)
        x = batch_norm(conv(x, w[2]), w[3], w[4], running)
        return conv(F.leaky_relu(x, 0.2), w[5], w[6])

    def parameters(player: str):
        made = [torch.tensor(start[k]) for k in sorted(start) if k.startswith(player)]
        running = [made.pop(5), made.pop(5)]
        for w in made:
            w.requires_grad_()
        return made, running

    with_gan = loss["gan_weight"] > 0
    players = {name: parameters(name) for name in ("network", *(("discriminator",) if with_gan else ()))}
    optimizers = {name: torch.optim.SGD(weights, RATE) for name, (weights, _) in players.items()}
    record, losses = {}, []
    for step, (x, y) in enumerate(zip(inputs, targets[..., 0], strict=True)):
        fake, shade = translate(*players["network"], x)
        if with_gan:
            r, f = judge(*players["discriminator"], x, y), judge(*players["discriminator"], x, fake.detach())
            d_loss = (bce(r, torch.ones_like(r)) + bce(f, torch.zeros_like(f))) / 2
            optimizers["discriminator"].zero_grad()
            d_loss.backward()
            optimizers["discriminator"].step()
        told = []
        for turn in range(loss["g_steps"]):
            if turn:
                fake, shade = translate(*players["network"], x)
            total = loss["l1_weight"] * (fake - y).abs().mean()
            if with_gan:
                f = judge(*players["discriminator"], x, fake)
                total = total + loss["gan_weight"] * bce(f, torch.ones_like(f))
            total = total + loss["terms"]["shade_l2"] * (shade[:, 0] - y[:, 0]).square().mean()
            optimizers["network"].zero_grad()
            total.backward()
            optimizers["network"].step()
            told.append(total.item())
        losses.append(np.mean(told))
        if step == 0:
            for name, (weights, running) in players.items():
                after = [*weights[:5], *running, *weights[5:]]
                record |= {f"end/{name}/{i:02d}": w.detach().numpy().copy() for i, w in enumerate(after)}
            record |= {"log/g_loss": losses[0]} | ({"log/d_loss": d_loss.item()} if with_gan else {})
    return {**record, "losses": np.array(losses)}
