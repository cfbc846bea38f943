"""A small convolutional network for images, which learns from a few labels and from all images: FixMatch."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gpussl.augment import STRONG, WEAK, looks_the_same_mirrored
from gpussl.convolutions import image_shape_of, trunk
from gpussl.models.network import NetworkClassifier
from gpussl.params import check, param
from gpussl.records import UNLABELLED, OnProgress
from gpussl.tensors import fast_products

REPORT_STEPS = 25  # between two words to the progress bar


@dataclass(eq=False)
class ConvNetClassifier(NetworkClassifier):
    """3x3 convolutions with batch normalisation and ReLU, trained to say the same of an image however it is changed.

    A step takes some images whose labels were bought, some whose labels were propagated, and some of all images twice:
    hardly changed, for which the averaged network says what it sees, and much changed, of which the network is to say
    the same where the averaged one is sure. SGD with Nesterov's momentum under a learning rate that falls like a
    cosine; the averaged weights are kept. There are as many steps as there are asked for, whatever the labels: with ten
    of them there is none to spare for holding out.

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
    propagated_until : float
        Share of the steps in which propagated labels count, less and less: they are a start, and not the truth.
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
    propagated_until: float = param(0.5, gt=0, le=1)
    learning_rate: float = param(0.03, gt=0)
    weight_decay: float = param(5e-4, ge=0)
    averaging: float = param(0.999, ge=0, lt=1)
    image_shape: list[int] = field(default_factory=list)
    random_state: int = 0

    def __post_init__(self) -> None:
        check(self)

    def build(self, n_features: int, n_classes: int) -> nn.Module:
        """The untrained layers. ConfigError if `n_features` are no image."""
        layers = trunk(n_features, self.image_shape, self.channels)
        return layers.append(nn.Linear(self.channels[-1], n_classes))

    def learn(
        self,
        features: Tensor,
        labels: Tensor,
        groups: np.ndarray | None,
        label_weights: Tensor | None,
        on_progress: OnProgress | None,
    ) -> None:
        """Train `network_` on all points: those whose label is -1 by what the averaged network sees in them."""
        images = features.view(len(features), 1, *image_shape_of(features.shape[1], self.image_shape))
        mirror = looks_the_same_mirrored(images)
        weak, strong = replace(WEAK, mirror=mirror), replace(STRONG, mirror=mirror)
        learner, average = copy.deepcopy(self.network_).train(), AveragedModel(self.network_, use_buffers=True).eval()
        optimizer = torch.optim.SGD(
            learner.parameters(), self.learning_rate, momentum=0.9, weight_decay=self.weight_decay, nesterov=True
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.n_steps)
        bought, propagated, everything = self._streams(labels, groups)
        label_weights = torch.ones(len(labels), device=labels.device) if label_weights is None else label_weights
        label_weights = label_weights / label_weights.max()  # a bought label, the surest, counts in full
        for step in range(1, self.n_steps + 1):
            rows = next(bought)
            parts = [(weak(images[rows]), labels[rows], label_weights[rows])]
            trust = 1 - step / (self.propagated_until * self.n_steps)
            if propagated is not None and trust > 0:
                rows = next(propagated)
                parts.append((weak(images[rows]), labels[rows], trust * label_weights[rows]))
            if self.unlabelled_ratio:
                rows = next(everything)
                sureness, seen = _scores(average, weak(images[rows])).softmax(dim=1).max(dim=1)
                parts.append((strong(images[rows]), seen, (sureness >= self.threshold).float()))
            _step(learner, optimizer, parts)
            schedule.step()
            average.multi_avg_fn = get_ema_multi_avg_fn(min(self.averaging, (1 + step) / (10 + step)))
            average.update_parameters(learner)
            if on_progress is not None and (step % REPORT_STEPS == 0 or step == self.n_steps):
                on_progress(step, self.n_steps, f"sure of {float(parts[-1][2].mean()):.0%}")
        self.network_.load_state_dict(average.module.state_dict())
        self.n_iter_ = self.n_steps

    def _streams(
        self, labels: Tensor, groups: np.ndarray | None
    ) -> tuple[Iterator[Tensor], Iterator[Tensor] | None, Iterator[Tensor]]:
        """Batches of points whose labels were bought, whose labels were propagated if there are any, and of all."""
        everything = torch.arange(len(labels), device=labels.device)
        is_labelled = labels != UNLABELLED
        is_bought = is_labelled
        if groups is not None:  # a bought label's group is its own point
            is_bought = is_labelled & (torch.as_tensor(groups, device=labels.device) == everything)
        if not is_bought.any():
            is_bought = is_labelled
        propagated = everything[is_labelled & ~is_bought]
        return (
            _batches(everything[is_bought], self.batch_size),
            _batches(propagated, self.batch_size) if len(propagated) else None,
            _batches(everything, self.batch_size * self.unlabelled_ratio),
        )


def _scores(network: nn.Module, images: Tensor) -> Tensor:
    """(n, 1, height, width) -> (n, n_classes), learning nothing."""
    with torch.no_grad(), fast_products(images.device.type):
        return network(images.flatten(1)).float()


def _step(learner: nn.Module, optimizer: torch.optim.Optimizer, parts: list[tuple[Tensor, Tensor, Tensor]]) -> None:
    """One step on parts of images, classes and weights: the sum of the parts' mean losses."""
    images, targets, weights = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    with fast_products(images.device.type):
        outputs = learner(images.flatten(1))
    losses = nn.functional.cross_entropy(outputs.float(), targets, reduction="none") * weights
    loss = sum(part.mean() for part in losses.split([len(part[0]) for part in parts]))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def _batches(indices: Tensor, size: int) -> Iterator[Tensor]:
    """Batches of one size without end, from one shuffle after another."""
    waiting = indices[:0]
    while True:
        while len(waiting) < size:
            waiting = torch.cat([waiting, indices[torch.randperm(len(indices), device=indices.device)]])
        yield waiting[:size]
        waiting = waiting[size:]
