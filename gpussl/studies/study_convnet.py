"""The network of the Fashion-MNIST study, for comparison."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gpussl.classifier.network import NetworkClassifier
from gpussl.nets.tensors import Images
from gpussl.numeric.images import image_shape_of
from gpussl.runtime.params import check, param


@dataclass(eq=False)
class StudyConvNet(NetworkClassifier):
    """Three 3x3 convolutions, a 1x1 one to a single channel, and two dense layers.

    Trained with Adam; the last training points, in the original order, are held out. Both are as published. The paper
    leaves the following open, and the choices are ours: padding that keeps the size, ReLU after every layer except the
    1x1 convolution and the last, PyTorch's default initialisation, and keeping the weights of the best epoch. Matrix
    products use bfloat16, which takes half the time of float32.

    Parameters
    ----------
    channels : list of int
        Output channels of the 3x3 convolutions.
    hidden : int
        Width of the first dense layer.
    learning_rate : float
    batch_size : int
    max_epochs : int
    patience : int
        Number of epochs without improvement on the hold-out after which training stops.
    validation_fraction : float
        Share of the training labels that is held out, taken from the end.
    image_shape : list of int
        Height, width and, if there is more than one, channels; empty for square images with one channel.
    random_state : int

    References
    ----------
    Das, Thada, "Semi-supervised learning on Fashion-MNIST by clustering", 2021.

    Examples
    --------
    >>> X, y = np.zeros((8, 16), dtype=np.float32), np.array([0, 1] * 4)
    >>> X[1::2, :8] = 1  # images of 4x4 pixels: the upper half is bright in class 1
    >>> model = StudyConvNet(channels=[4], hidden=4, max_epochs=1).fit(X, y)
    >>> model.predict_proba(X).shape, model.n_iter_
    ((8, 2), 1)
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
        """Build the untrained network. Raise ConfigError if `n_features` do not make an image."""
        height, width, n_colors = image_shape_of(n_features, self.image_shape)
        layers: list[nn.Module] = [Images(n_features, self.image_shape)]
        for n_in, n_out in zip([n_colors, *self.channels], self.channels, strict=False):
            layers += [nn.Conv2d(n_in, n_out, 3, padding=1), nn.ReLU()]
        # no ReLU on the single channel: if all its values start below 0, the network would never learn
        layers += [nn.Conv2d(self.channels[-1], 1, 1), nn.Flatten()]
        layers += [nn.Linear(height * width, self.hidden), nn.ReLU(), nn.Linear(self.hidden, n_classes)]
        network = Bfloat16Sequential(*layers)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def split(self, y: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Hold out the last points, whatever the sources of their labels, as published."""
        n = len(groups)
        n_held_out = min(max(1, int(self.validation_fraction * n)), n - 1)
        return np.arange(n - n_held_out), np.arange(n - n_held_out, n)

    def epochs(
        self, features: Tensor, labels: Tensor, train: Tensor, label_weights: Tensor | None
    ) -> Iterator[nn.Module]:
        """Train epoch by epoch; all labels have equal weight, as published."""
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
    """Layers that multiply in bfloat16, with weights and outputs in float32.

    Examples
    --------
    >>> network = Bfloat16Sequential(nn.Linear(2, 1, bias=False))
    >>> _ = nn.init.constant_(network[0].weight, 0.5)
    >>> network(torch.tensor([[2.0, 4.0]])), network[0].weight.dtype
    (tensor([[3.]], grad_fn=<ToCopyBackward0>), torch.float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        """(n, d) -> (n, n_classes)."""
        with torch.autocast(x.device.type, torch.bfloat16):
            return super().forward(x).float()
