"""Weights of a PyTorch reference network as kvzoo's network takes them. Needs no torch: arrays only."""

import numpy as np


def gru_ae_weights(state: dict[str, np.ndarray], width: int = 32, small: int = 4) -> list[np.ndarray]:
    """Return `network.get_weights()` of gru_ae from the state dict of a PyTorch GRU-AE.

    Kernels turn by 180 degrees, because kvzoo runs on turned frames; dense layers see height and
    width turned, and channels last.
    """
    top = 16 * width
    from_state = [k for k in state if k.startswith("decoder.") and state[k].ndim == 4]
    out = []

    def turned(kernel):
        return np.transpose(kernel, (2, 3, 1, 0))[::-1, ::-1]

    def norm(layer):
        return [state[f"{layer}.{k}"] for k in ("weight", "bias", "running_mean", "running_var")]

    convs = sorted(
        (k for k in state if k.startswith("encoder.") and state[k].ndim == 4), key=lambda k: int(k.split(".")[1])
    )
    for i, name in enumerate(convs):
        out.append(turned(state[name]))
        if i < len(convs) - 1:
            out += norm(f"encoder.{int(name.split('.')[1]) + 1}")
    dense = state["to_latent.weight"].reshape(-1, top, small, small)[:, :, ::-1, ::-1]
    out += [np.transpose(dense, (2, 3, 1, 0)).reshape(small * small * top, -1), state["to_latent.bias"]]

    def gates(x):  # PyTorch: reset, update, new; Keras: update, reset, new
        reset, update, new = np.split(x, 3)
        return np.concatenate([update, reset, new])

    out += [gates(state["gru.weight_ih_l0"]).T, gates(state["gru.weight_hh_l0"]).T]
    out.append(np.stack([gates(state["gru.bias_ih_l0"]), gates(state["gru.bias_hh_l0"])]))
    dense = state["from_state.weight"].reshape(top, small, small, -1)[:, ::-1, ::-1]
    out.append(np.transpose(dense, (3, 1, 2, 0)).reshape(-1, small * small * top))
    out.append(np.transpose(state["from_state.bias"].reshape(top, small, small)[:, ::-1, ::-1], (1, 2, 0)).reshape(-1))
    for name in sorted(from_state, key=lambda k: int(k.split(".")[1])):
        index = int(name.split(".")[1])
        out.append(turned(state[name]))
        if f"decoder.{index + 1}.running_mean" in state:
            out += norm(f"decoder.{index + 1}")
    return [np.ascontiguousarray(array) for array in out]


def conv3d_ae_weights(state: dict[str, np.ndarray], small: tuple[int, int, int] = (1, 8, 8)) -> list[np.ndarray]:
    """Return `network.get_weights()` of conv3d_ae from the state dict of a PyTorch 3D autoencoder.

    `small` is (T/16, H/16, W/16): dense layers see a volume of that size, channels last.
    """
    top = state["encoder.9.weight"].shape[0]
    out = []

    def norm(layer):
        return [state[f"{layer}.{k}"] for k in ("weight", "bias", "running_mean", "running_var")]

    for i in (0, 3, 6, 9):
        out += [np.transpose(state[f"encoder.{i}.weight"], (2, 3, 4, 1, 0)), *norm(f"encoder.{i + 1}")]
    dense = state["code.0.weight"].reshape(-1, top, *small)
    out += [np.transpose(dense, (2, 3, 4, 1, 0)).reshape(top * np.prod(small), -1), state["code.0.bias"]]
    dense = state["code.2.weight"].reshape(top, *small, -1)
    out.append(np.transpose(dense, (4, 1, 2, 3, 0)).reshape(-1, top * np.prod(small)))
    out.append(np.transpose(state["code.2.bias"].reshape(top, *small), (1, 2, 3, 0)).reshape(-1))
    for i in (0, 3, 6):
        out += [np.transpose(state[f"decoder.{i}.weight"], (2, 3, 4, 1, 0)), *norm(f"decoder.{i + 1}")]
    out.append(np.transpose(state["decoder.9.weight"], (2, 3, 4, 1, 0)))
    return [np.ascontiguousarray(array) for array in out]


def speednet_weights(state: dict[str, np.ndarray]) -> dict[str, list[np.ndarray]]:
    """Return the weights of speednet's layers by name from the state dict of a PyTorch SpeedNet.

    Kernels turn by 180 degrees, because kvzoo runs on clips turned round; the three branches that begin with a
    1x1x1 convolution share one.
    """
    out = {}

    def unit(name, *sources):
        kernels = [np.transpose(state[f"{s}.0.weight"], (2, 3, 4, 1, 0))[::-1, ::-1, ::-1] for s in sources]
        norms = [[state[f"{s}.1.{k}"] for s in sources] for k in ("weight", "bias", "running_mean", "running_var")]
        out[f"{name}_conv"] = [np.ascontiguousarray(np.concatenate(kernels, axis=-1))]
        out[f"{name}_norm"] = [np.concatenate(parts) for parts in norms]

    def separable(name, source):
        unit(f"{name}_space", f"{source}.0")
        unit(f"{name}_time", f"{source}.1")

    def gate(name, source):
        out[name] = [np.ascontiguousarray(state[f"{source}.conv.weight"][:, :, 0, 0, 0].T)]

    separable("stem", "trunk.0")
    unit("2b", "trunk.2")
    separable("2c", "trunk.3")
    gate("2c_gate0", "trunk.4")
    for i, name in zip(
        (6, 7, 9, 10, 11, 12, 13, 14, 15), ["3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c"], strict=True
    ):
        branches = f"trunk.{i}.branches"
        unit(f"{name}_in", *(f"{branches}.{j}.0" for j in range(3)))
        separable(f"{name}_b1", f"{branches}.1.1")
        separable(f"{name}_b2", f"{branches}.2.1")
        unit(f"{name}_b3", f"{branches}.3.1")
        for j, place in enumerate((1, 2, 2, 2)):
            gate(f"{name}_gate{j}", f"{branches}.{j}.{place}")
    out["logit"] = [state["head.weight"].T, state["head.bias"]]
    return out
