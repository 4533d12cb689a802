"""Parts of networks that several learners share: encoder, decoder, initial weights.

Reference: the published configuration of the UA.PT team for ImageCLEF caption 2018; Radford et al. 2016
(DCGAN) for the decoder and the initial weights.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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

    def spatial_features(self, images: Tensor) -> Tensor:
        """What each position of the last level adds to the codes, (n, h, w, n_codes), float."""
        for block in self.blocks:
            images = block(images)
        _, channels, height, width = images.shape
        weights = self.linear.weight.view(-1, channels, height, width)
        return torch.einsum("nchw,kchw->nhwk", images, weights)

    def feature_pyramid(self, images: Tensor, n_levels: int = 3) -> Tensor:
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


def _convolution(before: int, after: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]


def _upscale(before: int, after: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(before, after, 5, stride=2, padding=2, output_padding=1)
