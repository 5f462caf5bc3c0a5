"""Make NAME_parity.npz of each network from the PyTorch reference, shrunk:

    python make_parity.py path/to/torch_reference.py [gru_ae] [conv3d_ae] [videogan] [videogan_critic] …

Where the reference fixes its sizes, the same layers are built here and a `forward` of its own
runs over them: GRU-AE at width 4, latent 6, 10 units, two frames of 32x32. The 3D autoencoder
takes its sizes: width 2, latent 5, 16 RGB frames of 32x32. VideoGAN makes 16 grey frames of 32x32
from 6 numbers at width 2; its discriminator takes 32 RGB frames of 16x16. pix2pix makes three grey frames of two RGB ones of
32x32 at width 2; its discriminator sees them with patches of 34 pixels. SpeedNet has a sixteenth of
its filters and takes five RGB frames of 48x40.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn


def small_gru_ae(reference):
    class Small(nn.Module):
        def __init__(self, frames=2, width=4, latent=6, units=10):
            super().__init__()
            self.units, widths, encoder, decoder = units, [1] + [width * 2**i for i in range(5)], [], []
            for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False)):
                encoder += reference.conv_bn(2, a, b, 3, 1 if i == 0 else 2, 1, nn.ReLU(True), bn=i < 4)
            self.encoder, self.to_latent = nn.Sequential(*encoder), nn.Linear(64 * 4, latent)
            self.gru, self.from_state = nn.GRU(latent, units, batch_first=True), nn.Linear(units, 64 * 4)
            for a, b in zip(widths[:1:-1], widths[-2:0:-1], strict=True):
                decoder += [nn.ConvTranspose2d(a, b, 3, 2, 1, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(True)]
            self.decoder = nn.Sequential(*decoder, nn.Conv2d(width, 1, 3, 1, 1, bias=False), nn.Tanh())

        def forward(self, x):
            n = x.shape[0]
            z = self.to_latent(self.encoder(x.flatten(0, 1)).flatten(1)).view(n, 2, -1)
            states, _ = self.gru(z, torch.zeros(1, n, self.units))
            return self.decoder(self.from_state(states.flatten(0, 1)).view(-1, 64, 2, 2)).view_as(x)

    return Small(), torch.rand(2, 2, 1, 32, 32) * 2 - 1, (0, 1, 3, 4, 2)


def small_conv3d_ae(reference):
    network = reference.Conv3dAutoencoder(frames=16, size=32, channels=3, latent=5, width=2)
    for weight in network.parameters():
        weight.data.mul_(1.25)  # narrower, so that it takes more to keep outputs away from zero
    clips = torch.randint(-4, 5, (1, 3, 16, 32, 32)) / 4.0  # few values make a small file
    return network, clips, (0, 2, 3, 4, 1)


def small_videogan(reference):
    class Small(reference.VideoGenerator):
        def __init__(self, noise=6, width=2, first=(1, 2, 2)):
            nn.Module.__init__(self)
            widths = [noise, 8 * width, 4 * width, 2 * width, width]

            def stream(dim, size):
                steps = []
                for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False)):
                    geometry = (4, 2, 1) if i else (size, 1, 0)
                    steps += reference.conv_bn(dim, a, b, *geometry, nn.ReLU(True), bias=True, transpose=True)
                return steps

            self.foreground = nn.Sequential(*stream(3, first))
            self.video = nn.Sequential(nn.ConvTranspose3d(width, 1, 4, 2, 1), nn.Tanh())
            self.mask = nn.Sequential(nn.ConvTranspose3d(width, 1, 4, 2, 1), nn.Sigmoid())
            still = nn.ConvTranspose2d(width, 1, 4, 2, 1)
            self.background = nn.Sequential(*stream(2, first[1:]), still, nn.Tanh())

        def forward(self, z):
            h = self.foreground(z[..., None, None, None])
            mask, still = self.mask(h), self.background(z[..., None, None]).unsqueeze(2)
            return mask * self.video(h) + (1 - mask) * still

    return Small(), torch.randn(2, 6), (0, 2, 3, 4, 1)


def small_videogan_critic(reference):
    leaky, widths = nn.LeakyReLU(0.2), [3, 2, 4, 8, 16]
    steps = []
    for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False)):
        steps += reference.conv_bn(3, a, b, 4, 2, 1, leaky, bias=True, bn=i > 0, eps=1e-3)
    network = nn.Sequential(*steps, nn.Conv3d(16, 1, (2, 1, 1)), nn.Flatten())
    return network, torch.randint(-4, 5, (2, 3, 32, 16, 16)) / 4.0, (0, 2, 3, 4, 1)


def small_pix2pix(reference):
    class Small(reference.UNet):
        def __init__(self, down=(2, 4, 8, 16, 16), up=(16, 8, 4, 2), cin=6, cout=3):
            nn.Module.__init__(self)
            self.down, self.up, prev, conv_bn = nn.ModuleList(), nn.ModuleList(), cin, reference.conv_bn
            for i, width in enumerate(down):
                norm, act = 0 < i < len(down) - 1, [nn.LeakyReLU(0.2)] if i else []
                self.down.append(nn.Sequential(*act, *conv_bn(2, prev, width, 4, 2, 1, bias=not norm, bn=norm)))
                prev = width
            for i, width in enumerate(up):
                drop = [nn.Dropout(0.5)] if i < 3 else []
                up_conv = conv_bn(2, prev, width, 4, 2, 1, transpose=True)
                self.up.append(nn.Sequential(nn.ReLU(), *up_conv, *drop))
                prev = width + down[-2 - i]
            self.out = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(prev, cout, 4, 2, 1), nn.Tanh())

    return Small(), torch.randint(-4, 5, (2, 6, 32, 32)) / 4.0, (0, 2, 3, 1)


def small_pix2pix_critic(reference):
    leaky, conv_bn = nn.LeakyReLU(0.2), reference.conv_bn
    network = nn.Sequential(
        *conv_bn(2, 9, 2, 4, 2, 1, leaky, bias=True, bn=False),
        *conv_bn(2, 2, 4, 4, 2, 1, leaky),
        *conv_bn(2, 4, 8, 4, 1, 1, leaky),
        nn.Conv2d(8, 1, 4, 1, 1),
    )
    return network, torch.randint(-4, 5, (2, 9, 32, 32)) / 4.0, (0, 2, 3, 1)


def small_speednet(reference):
    class Small(reference.SpeedNet):
        def __init__(self, share=16):
            nn.Module.__init__(self)
            blocks = [b if b == "pool" else [round(n / share) for n in b] for b in reference.SpeedNet.BLOCKS]

            def pool():
                return nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))

            layers = [reference.separable(3, 4, 7, 2), pool(), reference.unit(4, 4), reference.separable(4, 12, 3)]
            layers += [reference.Gate(12), pool()]
            layers += [pool() if b == "pool" else reference.Inception(*b) for b in blocks]
            self.trunk, self.head = nn.Sequential(*layers), nn.Linear(64, 1)

    network = Small()
    for weight in network.parameters():
        weight.data.mul_(0.6)  # what is doubled in every layer grows too large here
    return network, torch.randint(-4, 5, (2, 3, 5, 48, 40)) / 4.0, (0, 2, 3, 4, 1)


# Each returns a network, inputs as it takes them, and the order of axes that is kvzoo's.
SMALL = {
    "gru_ae": small_gru_ae,
    "conv3d_ae": small_conv3d_ae,
    "videogan": small_videogan,
    "videogan_critic": small_videogan_critic,
    "pix2pix": small_pix2pix,
    "pix2pix_critic": small_pix2pix_critic,
    "speednet": small_speednet,
}


def make(name: str, reference) -> None:
    torch.manual_seed(0)
    network, clips, axes = SMALL[name](reference)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(2.0)
        for _ in range(3):
            network(torch.rand(4, *clips.shape[1:]) * 2 - 1)
        network.eval()
        outputs = network(clips)
    state = {f"state/{k}": v.numpy() for k, v in network.state_dict().items() if "num_batches" not in k}
    case = {"clips": clips, "outputs": outputs}
    # Noise and logits have no axes to bring into kvzoo's order.
    arrays = {k: v.numpy().transpose(axes) if v.ndim == len(axes) else v.numpy() for k, v in case.items()}
    np.savez_compressed(Path(__file__).parent / f"{name}_parity.npz", **state, **arrays)
    print(name, "mean output", outputs.abs().mean().item())


def main(path: str, *names: str) -> None:
    spec = importlib.util.spec_from_file_location("torch_reference", path)
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    for name in names or SMALL:
        make(name, reference)


if __name__ == "__main__":
    main(*sys.argv[1:])
