"""A small convolutional network for images, which learns from a few labels and from all images: FixMatch."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gpussl.models.augment import Augmentation, looks_the_same_mirrored
from gpussl.models.network import NetworkClassifier, image_shape_of
from gpussl.params import check, param
from gpussl.records import UNLABELLED, OnProgress
from gpussl.tensors import multiplies_bfloat16

WEAK = Augmentation(shift=1 / 14)
STRONG = Augmentation(shift=1 / 8, rotation=15, stretch=0.15, shear=0.15, contrast=0.3, brightness=0.2, cutout=0.5)
REPORT_STEPS = 25  # between two words to the progress bar


@dataclass(eq=False)
class ConvNetClassifier(NetworkClassifier):
    """3x3 convolutions with batch normalisation and ReLU, trained to say the same of an image however it is changed.

    A step takes some labelled images, and some of all images twice: hardly changed, for which the averaged network says
    what it sees, and much changed, of which the network is to say the same where the averaged one is sure. SGD with
    Nesterov's momentum under a learning rate that falls like a cosine; the averaged weights are kept. There are as many
    steps as there are asked for, whatever the labels: with ten of them there is none to spare for holding out.

    Parameters
    ----------
    channels : list of int
        Of the convolutions at full size, at half and at a quarter of it, and so on: two at each size after the first.
    n_steps : int
    batch_size : int
        Labelled images of a step.
    unlabelled_ratio : int
        Unlabelled images of a step for each labelled one. 0: only labels are learnt from.
    threshold : float
        How sure the averaged network must be.
    learning_rate : float
        At the beginning.
    weight_decay : float
    averaging : float
        Decay of the running average of the weights. It begins lower.
    image_shape : list of int
        Height and width; none: images are square.
    random_state : int

    References
    ----------
    Sohn et al., "FixMatch: simplifying semi-supervised learning with consistency and confidence", NeurIPS 2020.
    Tarvainen, Valpola, "Mean teachers are better role models", NeurIPS 2017.
    """

    learns_from_unlabelled: ClassVar[bool] = True

    channels: list[int] = param([32, 64, 128], ge=1)
    n_steps: int = param(4000, ge=1)
    batch_size: int = param(64, ge=1)
    unlabelled_ratio: int = param(4, ge=0)
    threshold: float = param(0.95, ge=0, lt=1)
    learning_rate: float = param(0.03, gt=0)
    weight_decay: float = param(5e-4, ge=0)
    averaging: float = param(0.999, ge=0, lt=1)
    image_shape: list[int] = field(default_factory=list)
    random_state: int = 0

    def __post_init__(self) -> None:
        check(self)

    def build(self, n_features: int, n_classes: int) -> nn.Module:
        """The untrained layers. ConfigError if `n_features` are no image."""
        shape = image_shape_of(n_features, self.image_shape)
        layers: list[nn.Module] = [nn.Unflatten(1, (1, *shape)), *_convolution(1, self.channels[0], 1)]
        for n_in, n_out in pairwise(self.channels):
            layers += [*_convolution(n_in, n_out, 2), *_convolution(n_out, n_out, 1)]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(self.channels[-1], n_classes)]
        network = nn.Sequential(*layers)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def learn(
        self, features: Tensor, labels: Tensor, groups: np.ndarray | None, on_progress: OnProgress | None
    ) -> None:
        """Train `network_` on all points: those whose label is -1 by what the averaged network sees in them."""
        kind = features.device.type
        images = features.view(len(features), 1, *image_shape_of(features.shape[1], self.image_shape))
        mirror = looks_the_same_mirrored(images)
        weak, strong = replace(WEAK, mirror=mirror), replace(STRONG, mirror=mirror)
        learner, average = copy.deepcopy(self.network_).train(), AveragedModel(self.network_, use_buffers=True).eval()
        optimizer = torch.optim.SGD(
            learner.parameters(), self.learning_rate, momentum=0.9, weight_decay=self.weight_decay, nesterov=True
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.n_steps)
        everything = torch.arange(len(features), device=features.device)
        labelled = _batches(everything[labels != UNLABELLED], self.batch_size)
        unlabelled = _batches(everything, self.batch_size * self.unlabelled_ratio)
        for step in range(1, self.n_steps + 1):
            rows = next(labelled)
            batch, targets, weights = [weak(images[rows])], labels[rows], torch.ones(len(rows), device=features.device)
            if self.unlabelled_ratio:
                others = images[next(unlabelled)]
                with torch.no_grad(), torch.autocast(kind, torch.bfloat16, multiplies_bfloat16(kind)):
                    sureness, seen = average(weak(others).flatten(1)).float().softmax(dim=1).max(dim=1)
                batch.append(strong(others))
                targets, weights = (
                    torch.cat([targets, seen]),
                    torch.cat([weights, (sureness >= self.threshold).float()]),
                )
            with torch.autocast(kind, torch.bfloat16, multiplies_bfloat16(kind)):
                outputs = learner(torch.cat(batch).flatten(1))
            losses = nn.functional.cross_entropy(outputs.float(), targets, reduction="none") * weights
            loss = losses[: len(rows)].mean() + losses[len(rows) :].sum() / max(len(losses) - len(rows), 1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            average.multi_avg_fn = get_ema_multi_avg_fn(min(self.averaging, (1 + step) / (10 + step)))
            average.update_parameters(learner)
            if on_progress is not None and (step % REPORT_STEPS == 0 or step == self.n_steps):
                on_progress(step, self.n_steps, f"sure of {float(weights[len(rows) :].mean()):.0%}")
        self.network_.load_state_dict(average.module.state_dict())
        self.n_iter_ = self.n_steps


def _convolution(n_in: int, n_out: int, stride: int) -> list[nn.Module]:
    """A 3x3 convolution, without a bias that the normalisation would take away again."""
    return [nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]


def _batches(indices: Tensor, size: int) -> Iterator[Tensor]:
    """Batches of one size without end, from one shuffle after another."""
    waiting = indices[:0]
    while True:
        while len(waiting) < size:
            waiting = torch.cat([waiting, indices[torch.randperm(len(indices), device=indices.device)]])
        yield waiting[:size]
        waiting = waiting[size:]
