"""Convolutions: the layers that see images, whatever is to be learnt from them."""

import math
from itertools import pairwise

import torch
from torch import nn

from gpussl.errors import ConfigError


def trunk(n_features: int, image_shape: list[int], channels: list[int]) -> nn.Sequential:
    """Layers from (n, n_features) pixels to (n, channels[-1]): 3x3 convolutions with batch normalisation and ReLU.

    One convolution at full size, then two at half of it, two at a quarter, and so on; the mean over all places last.

    Raises
    ------
    ConfigError
        `n_features` are no image.
    """
    layers: list[nn.Module] = [nn.Unflatten(1, (1, *image_shape_of(n_features, image_shape)))]
    layers += _convolution(1, channels[0], 1)
    for n_in, n_out in pairwise(channels):
        layers += [*_convolution(n_in, n_out, 2), *_convolution(n_out, n_out, 1)]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def image_shape_of(n_features: int, image_shape: list[int]) -> tuple[int, int]:
    """Height and width of images of so many pixels: as they are given, or of a square.

    Raises
    ------
    ConfigError
        They are not those of so many pixels.
    """
    height, width = image_shape or [math.isqrt(n_features)] * 2
    if height * width != n_features:
        found = f"{height} x {width} pixels" if image_shape else "no square"
        raise ConfigError(
            f"expected images, whose pixels are the features, found {n_features} features and {found}; choose "
            "represent=[pixels] or features=pixels, or what needs no images"
        )
    return height, width


def _convolution(n_in: int, n_out: int, stride: int) -> list[nn.Module]:
    """A 3x3 convolution, without a bias that the normalisation would take away again."""
    return [nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]
