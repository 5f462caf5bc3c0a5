"""A small GAN of clips in Keras, and its training by hand in plain PyTorch, with the same weights, noise and batches.

The Keras half is what a third party would write: a generator builder, a discriminator builder, a term, a spec. The PyTorch
half writes each variant's losses out, with PyTorch's own layers, gradients and optimizers, and shares no code with
kvzoo. Both return the same record, so that tests compare them number by number.
"""

import numpy as np

CLIP = (4, 8, 8, 3)
BATCH, NOISE, CLASSES, STEPS = 4, 6, 3, 20
RATE = 0.05  # of the SGD step whose change of weights shows the gradients

# name: options of the loss, of the networks
CASES = {
    "log": ({}, {}),
    "smoothing": ({"label_smoothing": 0.1}, {}),
    "hinge": ({"variant": "hinge"}, {}),
    "least_squares": ({"variant": "least_squares"}, {}),
    "wasserstein_gp": ({"variant": "wasserstein_gp"}, {"norm": False}),
    "wasserstein_gp_batch_norm": ({"variant": "wasserstein_gp", "gradient_penalty": 3.0}, {}),
    "discriminator_steps": ({"discriminator_steps": 3}, {}),
    "spectral": ({"variant": "hinge", "spectral_norm": True}, {}),
    "spectral_penalty": ({"variant": "wasserstein_gp", "spectral_norm": True}, {"norm": False}),
    "classes": ({"class_weight": 0.5, "discriminator_learning_rate": 0.02}, {"classes": CLASSES}),
    "image": ({"terms": {"mask_l1": 0.7}}, {"image": True}),
}


# Keras


def generator(classes: int = 0, image: bool = False, norm: bool = True):
    import keras
    from keras import layers

    noise = keras.Input((NOISE,), name="noise")
    inputs, parts = [noise], [noise]
    if classes:
        label = keras.Input((), dtype="int32", name="label")
        inputs.append(label)
        parts.append(layers.CategoryEncoding(classes, "one_hot")(layers.Reshape((1,))(label)))
    if image:
        picture = keras.Input(CLIP[1:], name="image")
        inputs.append(picture)
        parts.append(layers.Dense(5)(layers.Flatten()(picture)))
    x = layers.Concatenate()(parts) if len(parts) > 1 else noise
    x = layers.Reshape((2, 4, 4, 4))(layers.Dense(128)(x))
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))
    x = layers.Conv3DTranspose(4, 4, 2, "same")(x)
    foreground = layers.Activation("tanh", name="foreground")(x[..., :3])
    mask = layers.Activation("sigmoid", name="mask")(x[..., 3:])
    return keras.Model(inputs, mask * foreground, name="small_generator")


def discriminator(classes: int = 0, image: bool = False, norm: bool = True):
    import keras
    from keras import layers

    clip = keras.Input(CLIP, name="clip")
    x = layers.LeakyReLU(0.2)(layers.Conv3D(3, 4, 2, "same")(clip))
    x = layers.Conv3D(6, 3, 1, "same")(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3)(x) if norm else x
    x = layers.Flatten()(layers.LeakyReLU(0.2)(x))
    score = layers.Dense(1)(x)
    told = {"score": score, "classes": layers.Dense(classes)(x)} if classes else score
    return keras.Model(clip, told, name="small_discriminator")


def seeing_discriminator(classes: int = 0, image: bool = False, norm: bool = True):
    import keras
    from keras import layers

    clip, picture = keras.Input(CLIP, name="clip"), keras.Input(CLIP[1:], name="image")
    label = keras.Input((), dtype="int32", name="label")
    x = layers.LeakyReLU(0.2)(layers.Conv3D(3, 4, 2, "same")(clip))
    parts = [layers.Flatten()(x), layers.Flatten()(picture), layers.Embedding(classes, 4)(label)]
    return keras.Model(
        [clip, picture, label], layers.Dense(1)(layers.Concatenate()(parts)), name="seeing_discriminator"
    )


def mask_l1(inputs: dict, outputs: dict):
    from keras import ops

    return ops.mean(ops.abs(outputs["mask"]))


def spec(name: str = "small_gan", **fields):
    from kvzoo.registry import ModelSpec, Option

    settings = {
        "builder": "gan_reference:generator",
        "discriminators": {"discriminator": "gan_reference:discriminator"},
        "kind": "generator",
        "loss": "adversarial",
        "maps": ("foreground", "mask"),
        "terms": {"mask_l1": {"function": "gan_reference:mask_l1", "weight": 0.2, "maps": ("mask",)}},
        "optimizer": {"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
        "options": {
            "classes": Option("int", 0, "classes that a clip may be of", minimum=0),
            "image": Option("bool", False, "whether a clip begins with a given image"),
            "norm": Option("bool", True, "batch norm in the discriminator"),
        },
    }
    return ModelSpec(name=name, **{**settings, **fields})


def set_weights(network, seed: int) -> None:
    """Give a network weights that any backend can draw: N(0, 0.15), batch norm's near its start."""
    rng = np.random.default_rng(seed)
    for variable in network.weights:
        draw = rng.normal(0, 0.15, variable.shape).astype("float32")
        if variable.name in ("gamma", "moving_variance"):
            draw = 1 + np.abs(draw)
        variable.assign(draw)


def fixed(count: int):
    """Return batches (count) of clips and labels, noise and mixtures for each draw."""
    rng = np.random.default_rng(5)
    clips = np.tanh(rng.normal(0, 1, (count, BATCH, *CLIP))).astype("float32")
    labels = rng.integers(0, CLASSES, (count, BATCH)).astype("int32")
    noise = rng.normal(0, 1, (3 * count, BATCH, NOISE)).astype("float32")
    shares = rng.uniform(0, 1, (3 * count, BATCH, 1, 1, 1, 1)).astype("float32")
    return clips, labels, noise, shares


def keras_model(case: str, optimizer: str = "sgd", precision: str = "float32", **compiled):
    """Return a case's model with fixed weights and draws, compiled with SGD or Adam."""
    import keras
    from keras import ops

    import kvzoo
    from kvzoo import zoo

    loss, options = CASES[case]
    kvzoo.register(spec())
    keras.utils.set_random_seed(0)
    with zoo.dtype_policy(precision):
        model = kvzoo.get("small_gan", loss={"name": "adversarial", **loss}, compile=False, **options)
    for seed, network in enumerate(model.networks.values()):
        set_weights(network, seed)
    for norm in model._norms.values():
        for i, (_, u) in enumerate(norm.pairs):
            u.assign(np.random.default_rng(100 + i).normal(0, 1, u.shape).astype("float32"))
    _, _, noise, shares = fixed(STEPS)
    # A counter of its own for each kind of draw, that is state as the seed generator is.
    model.drawn = [model.add_weight((), "zeros", "int32", trainable=False, name=f"drawn_{i}") for i in range(2)]

    def draw(which, table):
        at = model.drawn[which].value * 1  # a copy: on TensorFlow the value is the variable itself
        model.drawn[which].assign(at + 1)
        return ops.take(ops.convert_to_tensor(table), at, axis=0)

    model.draw_noise = lambda size: draw(0, noise)
    model.draw_mixture = lambda size: draw(1, shares)
    made = keras.optimizers.SGD(RATE) if optimizer == "sgd" else keras.optimizers.Adam(1e-3, beta_1=0.5, epsilon=1e-8)
    if optimizer != "sgd" and model.discriminator_learning_rate is not None:
        model.discriminator_learning_rate = 5e-4
    model.compile(made, jit_compile="auto" if keras.backend.backend() != "torch" else False, **compiled)
    return model


def in_keras(case: str) -> dict[str, np.ndarray]:
    """Train a case by kvzoo; return its record."""
    import keras

    clips, labels, *_ = fixed(STEPS)
    model = keras_model(case)
    logs = model.train_on_batch(clips[0], labels[0], return_dict=True)
    record = {f"log/{name}": np.asarray(float(value)) for name, value in logs.items()}
    for name, network in model.networks.items():
        for i, variable in enumerate(network.weights):
            record[f"{name}/{i:02d}"] = keras.ops.convert_to_numpy(variable.value)
    for norm in model._norms.values():
        for i, (_, u) in enumerate(norm.pairs):
            record[f"u/{i}"] = keras.ops.convert_to_numpy(u.value)
    model = keras_model(case, "adam")
    losses = []
    for x, y in zip(clips, labels, strict=True):
        model.reset_metrics()
        logs = model.train_on_batch(x, y, return_dict=True)
        losses.append([float(logs["d_loss"]), float(logs["g_loss"])])
    return {**record, "losses": np.array(losses)}


def start(case: str) -> dict[str, np.ndarray]:
    """Return the weights that a case begins with, named as in its record."""
    import keras

    return {
        f"{name}/{i:02d}": keras.ops.convert_to_numpy(variable.value)
        for name, network in keras_model(case).networks.items()
        for i, variable in enumerate(network.weights)
    }


# PyTorch


def in_torch(case: str, start: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Train a case by hand, from the weights of `start`; return its record."""
    import torch
    import torch.nn.functional as F

    loss, options = CASES[case]
    variant, classes = loss.get("variant", "log"), options.get("classes", 0)
    image, norm = options.get("image", False), options.get("norm", True)
    spectral, rounds = loss.get("spectral_norm", False), loss.get("discriminator_steps", 1)
    weight_of_mask = loss.get("terms", {}).get("mask_l1", 0.2)
    clips, labels, noise, shares = (torch.from_numpy(x) for x in fixed(STEPS))
    clips = clips.permute(0, 1, 5, 2, 3, 4)
    labels = labels.long()

    def parameters():
        """The weights, in Keras's order and layout; running statistics are no parameters."""
        made = {k: torch.tensor(v) for k, v in start.items()}
        g = [made[k] for k in sorted(made) if k.startswith("network/")]
        c = [made[k] for k in sorted(made) if k.startswith("discriminator/")]
        running_g = [g.pop(i + 4), g.pop(i + 4)] if (i := 2 * image) is not None else None
        running_c = [c.pop(6), c.pop(6)] if norm else None
        for w in g + c:
            w.requires_grad_()
        return g, c, running_g, running_c

    def batch_norm(x, scale, shift, running, epsilon):
        """Batch norm by hand; Keras keeps the biased variance, PyTorch's own layer the unbiased one."""
        over = (0, 2, 3, 4)
        mean, variance = x.mean(over), x.var(over, unbiased=False)
        with torch.no_grad():
            running[0].mul_(0.9).add_(0.1 * mean)
            running[1].mul_(0.9).add_(0.1 * variance)
        return F.batch_norm(x, None, None, scale, shift, training=True, eps=epsilon)

    def generate(w, running, z, label, picture):
        w, parts = list(w), [z]
        if classes:
            parts.append(F.one_hot(label, classes).float())
        if image:
            # Keras flattens channels last.
            parts.append(picture.permute(0, 2, 3, 1).flatten(1) @ w[0] + w[1])
            w = w[2:]
        x = (torch.cat(parts, 1) @ w[0] + w[1]).view(-1, 2, 4, 4, 4).permute(0, 4, 1, 2, 3)
        x = torch.relu(batch_norm(x, w[2], w[3], running, 1e-5))
        # Keras: (depth, height, width, out, in); PyTorch: (in, out, depth, height, width).
        x = F.conv_transpose3d(x, w[4].permute(4, 3, 0, 1, 2), w[5], stride=2, padding=1)
        foreground, mask = torch.tanh(x[:, :3]), torch.sigmoid(x[:, 3:])
        return mask * foreground, mask

    def normalised(w, u):
        """The kernels over their spectral norms, after one power iteration."""
        if not spectral:
            return w
        out, kernels = list(w), [i for i, x in enumerate(w) if x.ndim > 1]
        for j, i in enumerate(kernels):
            matrix = w[i].reshape(-1, w[i].shape[-1]).T  # (out, in), as PyTorch has it
            with torch.no_grad():
                v = F.normalize(matrix.T @ u[j], dim=0)
                u[j].copy_(F.normalize(matrix @ v, dim=0))
            out[i] = w[i] / (u[j].clone() @ matrix @ v)
        return out

    def judge(w, running, clip):
        x = F.leaky_relu(F.conv3d(clip, w[0].permute(4, 3, 0, 1, 2), w[1], stride=2, padding=1), 0.2)
        x = F.conv3d(x, w[2].permute(4, 3, 0, 1, 2), w[3], padding=1)
        rest = w[4:]
        if norm:
            x, rest = batch_norm(x, rest[0], rest[1], running, 1e-3), rest[2:]
        x = F.leaky_relu(x, 0.2).permute(0, 2, 3, 4, 1).flatten(1)
        # Keras lists the class head, whose name comes first in the alphabet, before the score.
        return x @ rest[-2] + rest[-1], (x @ rest[0] + rest[1] if classes else None)

    bce = F.binary_cross_entropy_with_logits

    def discriminator_loss(w, running, real, fake, label, share):
        r, told = judge(w, running, real)
        f, _ = judge(w, running, fake)
        if variant == "log":
            aim = torch.full_like(r, 1 - loss.get("label_smoothing", 0))
            total = (bce(r, aim) + bce(f, torch.zeros_like(f))) / 2
        elif variant == "hinge":
            total = torch.relu(1 - r).mean() + torch.relu(1 + f).mean()
        elif variant == "least_squares":
            total = (F.mse_loss(r, torch.ones_like(r)) + F.mse_loss(f, torch.zeros_like(f))) / 2
        else:
            between = (share.view(-1, 1, 1, 1, 1) * real + (1 - share.view(-1, 1, 1, 1, 1)) * fake).requires_grad_()
            score, _ = judge(w, running, between)
            (slope,) = torch.autograd.grad(score.sum(), between, create_graph=True)
            penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
            total = f.mean() - r.mean() + loss.get("gradient_penalty", 10.0) * penalty
        return total + (loss["class_weight"] * F.cross_entropy(told, label) if classes else 0)

    def generator_loss(w, running, fake, mask, label):
        f, told = judge(w, running, fake)
        if variant == "log":
            total = bce(f, torch.ones_like(f))
        elif variant == "least_squares":
            total = F.mse_loss(f, torch.ones_like(f)) / 2
        else:
            total = -f.mean()
        return (
            total
            + (loss["class_weight"] * F.cross_entropy(told, label) if classes else 0)
            + weight_of_mask * mask.abs().mean()
        )

    def train(steps: int, make_optimizer):
        g, c, running_g, running_c = parameters()
        kernels = [x for x in c if x.ndim > 1]
        u = [
            torch.tensor(np.random.default_rng(100 + i).normal(0, 1, x.shape[-1]).astype("float32"))
            for i, x in enumerate(kernels)
        ]
        of_g, of_c = make_optimizer(g, False), make_optimizer(c, True)
        losses, drawn = [], 0
        for step in range(steps):
            real, label = clips[step], labels[step]
            told = []
            for _ in range(rounds):
                fake, mask = generate(g, running_g, noise[drawn], label, real[:, :, 0])
                of_c.zero_grad()
                d_loss = discriminator_loss(normalised(c, u), running_c, real, fake.detach(), label, shares[drawn])
                d_loss.backward()
                of_c.step()
                told.append(d_loss.item())
                drawn += 1
            of_g.zero_grad()
            g_loss = generator_loss(normalised(c, u), running_c, fake, mask, label)
            g_loss.backward()
            of_g.step()
            losses.append([np.mean(told), g_loss.item()])
        return g, c, running_g, running_c, u, np.array(losses)

    def sgd(weights, of_discriminator):
        return torch.optim.SGD(weights, loss.get("discriminator_learning_rate", RATE) if of_discriminator else RATE)

    def adam(weights, of_discriminator):
        slow = of_discriminator and "discriminator_learning_rate" in loss
        return torch.optim.Adam(weights, 5e-4 if slow else 1e-3, betas=(0.5, 0.999))

    g, c, running_g, running_c, u, losses = train(1, sgd)
    at = 4 + 2 * image
    g = g[:at] + running_g + g[at:]
    c = c[:6] + running_c + c[6:] if norm else c
    record = {f"network/{i:02d}": w.detach().numpy() for i, w in enumerate(g)}
    record |= {f"discriminator/{i:02d}": w.detach().numpy() for i, w in enumerate(c)}
    record |= {f"u/{i}": x.numpy() for i, x in enumerate(u)} if spectral else {}
    record |= {"log/d_loss": losses[0, 0], "log/g_loss": losses[0, 1]}
    return {**record, "losses": train(STEPS, adam)[-1]}
