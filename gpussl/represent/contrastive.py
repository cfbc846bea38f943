"""Contrastive learning in PyTorch: images are near each other if one might be the other, changed a little."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from gpussl import backend
from gpussl.augment import STRONG, looks_the_same_mirrored
from gpussl.convolutions import image_shape_of, trunk
from gpussl.params import check, param
from gpussl.records import Array, OnProgress
from gpussl.rows import in_memory
from gpussl.tensors import as_tensor, fast_products, forward, seeded

REPORT_STEPS = 25  # between two words to the progress bar


@dataclass(frozen=True)
class Contrastive:
    """What a convolutional network sees in an image, which is trained to know an image again however it is changed.

    Each image of a batch is changed twice. Of all images of the batch, changed, the network is to say which is the
    other of the two. What changes images is `gpussl.augment`, which knows of no classes.

    Parameters
    ----------
    channels : list of int
        Of the convolutions; the last is the number of features.
    n_projected : int
        Features of the layers that compare images and are thrown away afterwards.
    temperature : float
        The smaller, the more the nearest other images count.
    n_steps : int
    batch_size : int
        Images of a step.
    learning_rate : float
        The highest of the cycle.
    weight_decay : float
    with_pixels : bool
        The pixels stand beside what the network sees, each of length 1. What is alike to the eye stays near where the
        network has been told that it does not matter, and the other way round.
    image_shape : list of int
        Height and width; none: images are square.

    References
    ----------
    Chen, Kornblith, Norouzi, Hinton, "A simple framework for contrastive learning of visual representations", ICML
    2020.
    """

    is_costly: ClassVar[bool] = True
    channels: list[int] = param([32, 64, 128], ge=1)
    n_projected: int = param(64, ge=1)
    temperature: float = param(0.2, gt=0)
    n_steps: int = param(1500, ge=1)
    batch_size: int = param(256, ge=2)
    learning_rate: float = param(2e-3, gt=0)
    weight_decay: float = param(1e-4, ge=0)
    with_pixels: bool = True
    image_shape: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        check(self)

    def fit_transform(
        self, X_train: Array, X_test: Array, seed: int, on_progress: OnProgress | None = None
    ) -> tuple[Array, Array]:
        """(n, d) and (n_test, d) pixels from 0 to 1 -> (n, channels[-1]) and (n_test, channels[-1]), of length 1.

        With the pixels beside them d more.

        Raises
        ------
        ConfigError
            The points are no images.
        """
        X_train = in_memory(X_train, "represent=contrastive", "leave it out")
        train, test = as_tensor(X_train), as_tensor(X_test)
        with seeded(train, seed):
            network = trunk(train.shape[1], self.image_shape, self.channels).to(train.device)
            self._train(network, train, on_progress)
            train, test = (self._encode(network, points) for points in (train, test))
        asarray = backend.of(X_train).asarray
        return asarray(train), asarray(test)

    def _train(self, network: nn.Sequential, points: Tensor, on_progress: OnProgress | None) -> None:
        images = points.view(len(points), 1, *image_shape_of(points.shape[1], self.image_shape))
        change = replace(STRONG, mirror=looks_the_same_mirrored(images))
        width = self.channels[-1]
        head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, self.n_projected)).to(points.device)
        weights = [*network.parameters(), *head.parameters()]
        optimizer = torch.optim.AdamW(weights, self.learning_rate, weight_decay=self.weight_decay, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=self.n_steps)
        batch_size = min(self.batch_size, len(images))
        for step in range(1, self.n_steps + 1):
            batch = images[torch.randperm(len(images), device=images.device)[:batch_size]]
            with fast_products(points.device.type):
                projected = head(network(torch.cat([change(batch), change(batch)]).flatten(1)))
            loss = _contrast(projected.float(), self.temperature)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            if on_progress is not None and (step % REPORT_STEPS == 0 or step == self.n_steps):
                on_progress(step, self.n_steps, f"loss {float(loss):.3f}")

    def _encode(self, network: nn.Sequential, points: Tensor) -> Tensor:
        """(n, d) -> what the network sees in them, and perhaps the pixels, learning nothing."""
        seen = nn.functional.normalize(forward(network, points))
        return torch.cat([seen, nn.functional.normalize(points)], dim=1) if self.with_pixels else seen


def _contrast(projected: Tensor, temperature: float) -> Tensor:
    """The loss of (2 n, d) features, in which i and n + i are of one image: cross entropy of knowing it among all."""
    n = len(projected) // 2
    unit = nn.functional.normalize(projected)
    alike = (unit @ unit.T / temperature).fill_diagonal_(-torch.inf)
    other = torch.arange(2 * n, device=projected.device).roll(n)
    return nn.functional.cross_entropy(alike, other)
