"""The network of the Fashion-MNIST study, to be compared with."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gpussl.classifier.network import NetworkClassifier
from gpussl.nets.tensors import Images, image_shape_of
from gpussl.runtime.params import check, param


@dataclass(eq=False)
class StudyConvNet(NetworkClassifier):
    """Three 3x3 convolutions, a 1x1 one to a single channel, and two dense layers.

    Trained with Adam, as published, with the last share of the training points as they come held out. What the paper
    does not say is chosen here: padding that keeps the size, ReLU after each layer but the 1x1 convolution and the
    last, PyTorch's initial weights; the best epoch's weights are kept. Products are in bfloat16, which takes half of
    float32's time.

    Parameters
    ----------
    channels : list of int
        Of the 3x3 convolutions.
    hidden : int
        Width of the first dense layer.
    learning_rate : float
    batch_size : int
    max_epochs : int
    patience : int
        Stop after so many epochs without gain on the held-out labels.
    validation_fraction : float
        Share of the training labels, the last ones, that is held out.
    image_shape : list of int
        Height, width and, if there are several, channels; none: images are square.
    random_state : int

    References
    ----------
    Das, Thada, "Semi-supervised learning on Fashion-MNIST by clustering", 2021.
    """

    kind: ClassVar[str] = "study_convnet"
    learns_from_weights: ClassVar[bool] = False
    needs_images: ClassVar[bool] = True

    channels: list[int] = param([32, 64, 128], ge=1, min_items=1)
    hidden: int = param(64, ge=1)
    learning_rate: float = param(1e-3, gt=0)
    batch_size: int = param(32, ge=1)
    max_epochs: int = param(100, ge=1)
    patience: int = param(8, ge=1)
    validation_fraction: float = param(0.1, gt=0, lt=1)
    image_shape: list[int] = field(default_factory=list)
    random_state: int = 0

    def __post_init__(self) -> None:
        check(self)

    def build(self, n_features: int, n_classes: int) -> nn.Sequential:
        """The untrained layers. ConfigError if `n_features` are no image."""
        height, width, n_colors = image_shape_of(n_features, self.image_shape)
        layers: list[nn.Module] = [Images(n_features, self.image_shape)]
        for n_in, n_out in zip([n_colors, *self.channels], self.channels, strict=False):
            layers += [nn.Conv2d(n_in, n_out, 3, padding=1), nn.ReLU()]
        # no ReLU on the single channel: where it starts below nought everywhere, nothing would ever be learnt
        layers += [nn.Conv2d(self.channels[-1], 1, 1), nn.Flatten()]
        layers += [nn.Linear(height * width, self.hidden), nn.ReLU(), nn.Linear(self.hidden, n_classes)]
        network = Bfloat16Sequential(*layers)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def split(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The last share of the points is held out, wherever their labels came from, as published."""
        n = len(groups)
        n_held_out = min(max(1, int(self.validation_fraction * n)), n - 1)
        return np.arange(n - n_held_out), np.arange(n - n_held_out, n)

    def epochs(
        self, features: Tensor, labels: Tensor, train: Tensor, label_weights: Tensor | None
    ) -> Iterator[nn.Module]:
        """Train epoch by epoch; every label counts as much, as published."""
        optimizer = torch.optim.Adam(self.network_.parameters(), lr=self.learning_rate, fused=True)
        while True:
            self.network_.train()
            shuffled = train[torch.randperm(len(train), device=train.device)]
            for batch in shuffled.split(self.batch_size):
                loss = nn.functional.cross_entropy(self.network_(features[batch]), labels[batch])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
            yield self.network_


class Bfloat16Sequential(nn.Sequential):
    """Layers whose products are in bfloat16, and whose weights and outputs are float32."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, d) -> (n, n_classes)."""
        with torch.autocast(x.device.type, torch.bfloat16):
            return super().forward(x).float()
