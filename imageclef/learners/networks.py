"""Bricks that several learners share: encoder, decoder, prior, initial weights.

Reference: the published configuration of the UA.PT team for ImageCLEF caption 2018; Radford et al. 2016
(DCGAN) for the decoder and the initial weights.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Prior = Literal["sphere", "normal", "uniform", "rectified-normal", "bernoulli"]

LEVELS = (1, 2, 4, 8, 8)
"""Channels of the encoder's levels, as multiples of its width."""


class Encoder(nn.Module):
    """Images to codes: (n, 3, s, s) in [-1, 1] to (n, n_codes).

    Four blocks of a 3x3 convolution of stride 2 and one of stride 1, each with batch norm and
    LeakyReLU 0.2; then a linear layer without bias.
    """

    def __init__(self, size: int, width: int, n_codes: int) -> None:
        super().__init__()
        channels = [width * level for level in LEVELS]
        inputs = [3, *channels[1:-1]]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *_convolution(first, middle, stride=2),
                *_convolution(middle, last, stride=1),
            )
            for first, middle, last in zip(inputs, channels[:-1], channels[1:], strict=True)
        )
        self.linear = nn.Linear(channels[-1] * (size // 16) ** 2, n_codes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Codes, (n, n_codes)."""
        for block in self.blocks:
            images = block(images)
        codes: Tensor = self.linear(images.flatten(1))
        return codes

    def located(self, images: Tensor) -> Tensor:
        """What each position of the last level adds to the codes, (n, h, w, n_codes), float."""
        for block in self.blocks:
            images = block(images)
        _, channels, height, width = images.shape
        weights = self.linear.weight.view(-1, channels, height, width)
        return torch.einsum("nchw,kchw->nhwk", images, weights)

    def pooled(self, images: Tensor, n_levels: int = 3) -> Tensor:
        """The last levels' activations, average-pooled to 2x2 and joined: (n, 4 * sum of channels)."""
        levels = []
        for block in self.blocks:
            images = block(images)
            levels.append(F.adaptive_avg_pool2d(images, 2).flatten(1))
        return torch.cat(levels[-n_levels:], dim=1)


def decoder(size: int, width: int, n_codes: int) -> nn.Sequential:
    """Codes (n, n_codes) to images (n, 3, size, size) in [-1, 1], by 5x5 transposed convolutions."""
    side = size // 16
    channels = [width * level for level in (16, 8, 4, 2)]
    layers: list[nn.Module] = [
        nn.Linear(n_codes, channels[0] * side * side),
        nn.Unflatten(1, (channels[0], side, side)),
        nn.BatchNorm2d(channels[0]),
        nn.ReLU(),
    ]
    for before, after in pairwise(channels):
        layers += [_upscale(before, after), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, _upscale(channels[-1], 3), nn.Tanh())


def initialise(module: nn.Module, deviation: float | None = 0.02) -> None:
    """Draw the weights of convolutions and linear layers from a normal distribution, biases zero.

    Args:
        module: all of whose layers are drawn.
        deviation: of every weight; None takes about sqrt(2 / fan-in) (He et al. 2015), which keeps signals
            and gradients at their size through any number of layers.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            if deviation is None:
                nn.init.kaiming_normal_(layer.weight, a=0.2)
            else:
                nn.init.normal_(layer.weight, 0.0, deviation)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def sample_prior(prior: Prior, n: int, n_codes: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw codes (n, n_codes), float32.

    "sphere" is uniform on the unit hypersphere: a normal vector divided by its length.

    Raises:
        ValueError: an unknown prior.
    """
    if prior == "uniform":
        return torch.rand(n, n_codes, generator=generator) * 2 - 1
    if prior == "bernoulli":
        return torch.randint(0, 2, (n, n_codes), generator=generator).float() * 2 - 1
    normal = torch.randn(n, n_codes, generator=generator)
    match prior:
        case "normal":
            return normal
        case "rectified-normal":
            return normal.relu()
        case "sphere":
            return F.normalize(normal, dim=1)
    raise ValueError(f"unknown prior {prior!r}")


def to_unit_range(images: Tensor) -> Tensor:
    """uint8 in 0..255 to float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_pixels(images: Tensor) -> Tensor:
    """Float in [-1, 1] to uint8 in 0..255."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).byte()


def random_crop(images: Tensor, size: int) -> Tensor:
    """A random size x size window of each image (n, c, h, w), its own for each."""
    n, _, height, width = images.shape
    if (height, width) == (size, size):
        return images
    tops = torch.randint(height - size + 1, (n,)).tolist()
    lefts = torch.randint(width - size + 1, (n,)).tolist()
    windows = [
        image[:, top : top + size, left : left + size]
        for image, top, left in zip(images, tops, lefts, strict=True)
    ]
    return torch.stack(windows).contiguous(memory_format=torch.channels_last)


def resize(images: Tensor, size: int) -> Tensor:
    """Images (n, c, h, w) as float32 at size x size, antialiased."""
    if images.shape[-2:] == (size, size):
        return images.float()
    return F.interpolate(images.float(), size=(size, size), mode="bilinear", antialias=True)


def _convolution(before: int, after: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]


def _upscale(before: int, after: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(before, after, 5, stride=2, padding=2, output_padding=1)
