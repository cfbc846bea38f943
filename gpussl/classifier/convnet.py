"""A small convolutional network for images, which learns from a few labels and from all images: FixMatch."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gpussl.classifier.network import NetworkClassifier
from gpussl.nets.augment import STRONG, WEAK, looks_the_same_mirrored
from gpussl.nets.gradients import OrientedGradients
from gpussl.nets.tensors import (
    Captured,
    Images,
    RunningAverage,
    as_points,
    batch_multiple,
    fast_products,
    image_shape_of,
)
from gpussl.records import UNLABELLED, OnProgress
from gpussl.runtime.params import check, param

REPORT_STEPS = 25  # between two words to the progress bar
N_ORIENTATIONS, BLUR = 8, 0.375  # of the gradients
MEMORY = 0.99  # of what the thresholds are made of, from step to step


@dataclass(eq=False)
class ConvNetClassifier(NetworkClassifier):
    """Convolutions over the oriented gradients of an image, trained to say the same of it however it is changed.

    The gradients' histograms come first, which nothing has to be learnt for: with few labels that is worth more than
    filters that are learnt, and over so few parts convolutions are cheap. 3x3 convolutions follow, of which the second
    takes every other place, and a dense layer that sees all places, with batch normalisation and ReLU each.

    A step takes some images whose labels were bought, fewer whose labels were propagated, and some of all images twice:
    hardly changed, for which the network says what it sees, and much changed, of which it is to learn to say the same
    where it was sure. How sure it must be goes by how sure it is on the average, and is less for classes that it sees
    less of. SGD with Nesterov's momentum under a learning rate that falls like a cosine; averaged weights are kept.
    There are as many steps as there are asked for, whatever the labels: with ten of them there is none to spare for
    holding out.

    Parameters
    ----------
    n_cells : int
        Parts on each side in which gradients are counted; no more than the shorter side has pixels.
    channels : list of int
        Of the convolutions.
    hidden : int
        Width of the dense layer.
    n_steps : int
    batch_size : int
        Labelled images of a step: normalisation needs two.
    unlabelled_ratio : int
        Unlabelled images of a step for each labelled one. 0: only labels are learnt from.
    propagated_halved_at : float
        The number of bought labels, p, at which propagated ones count half as much as those in a step. With b bought
        labels they count p / (p + b) times as much: so many fewer images of a step have them, in whole images, and
        none where that is less than half of one. 0: only bought labels count.
    learning_rate : float
        At the beginning.
    weight_decay : float
    averaging : float
        Decay of the running average of the weights. It begins lower.
    image_shape : list of int
        Height, width and, if there are several, channels; none: images are square.
    random_state : int

    References
    ----------
    Sohn et al., "FixMatch: simplifying semi-supervised learning with consistency and confidence", NeurIPS 2020.
    Wang et al., "FreeMatch: self-adaptive thresholding for semi-supervised learning", ICLR 2023: the thresholds.
    """

    kind: ClassVar[str] = "convnet"
    learns_from_unlabelled: ClassVar[bool] = True
    needs_images: ClassVar[bool] = True

    n_cells: int = param(14, ge=1)
    channels: list[int] = param([32, 64, 128], ge=1, min_items=1)
    hidden: int = param(256, ge=1)
    n_steps: int = param(6000, ge=1)
    batch_size: int = param(64, ge=2)
    unlabelled_ratio: int = param(4, ge=0)
    propagated_halved_at: float = param(100.0, ge=0)
    learning_rate: float = param(0.03, gt=0)
    weight_decay: float = param(5e-4, ge=0)
    averaging: float = param(0.999, ge=0, lt=1)
    image_shape: list[int] = field(default_factory=list)
    random_state: int = 0

    def __post_init__(self) -> None:
        check(self)

    def build(self, n_features: int, n_classes: int) -> nn.Module:
        """The untrained layers. ConfigError if `n_features` are no image."""
        height, width, n_colors = image_shape_of(n_features, self.image_shape)
        side, n_maps = min(self.n_cells, height, width), N_ORIENTATIONS * n_colors
        layers: list[nn.Module] = [
            Images(n_features, self.image_shape),
            OrientedGradients(height, width, side, N_ORIENTATIONS, BLUR),
            nn.BatchNorm2d(n_maps),
        ]
        for number, (n_in, n_out) in enumerate(pairwise([n_maps, *self.channels])):
            stride = 2 if number == 1 else 1
            layers += _normalized(nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False))
            side = -(-side // stride)
        layers += _normalized(nn.Conv2d(self.channels[-1], self.hidden, side, bias=False))  # sees all places
        network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(self.hidden, n_classes))
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def learn(
        self,
        features: Tensor,
        labels: Tensor,
        groups: np.ndarray | None,
        label_weights: Tensor | None,
        on_progress: OnProgress | None,
    ) -> None:
        """Train `network_` on all points: those whose label is -1 by what the network itself sees in them."""
        images = Images(features.shape[1], self.image_shape)(features)
        mirror = looks_the_same_mirrored(images)
        weak, strong = replace(WEAK, mirror=mirror), replace(STRONG, mirror=mirror)
        learner = copy.deepcopy(self.network_).train()
        average = RunningAverage(learner, self.averaging)
        optimizer = torch.optim.SGD(
            learner.parameters(), self.learning_rate, momentum=0.9, weight_decay=self.weight_decay, nesterov=True
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.n_steps)
        *labelled, everything = self._streams(labels, groups)
        label_weights = torch.ones(len(labels), device=labels.device) if label_weights is None else label_weights
        label_weights = (
            label_weights / label_weights[labels != UNLABELLED].max()
        )  # a bought label, the surest, counts in full
        thresholds = _Thresholds(len(self.classes_)).to(labels.device)
        for weight in learner.parameters():
            weight.grad = torch.zeros_like(weight)  # one for batches of all sizes

        def look(rows: Tensor) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                scores = _forward(learner, weak(images[rows]))
                return thresholds.decide(scores.softmax(dim=1))

        def find_slopes(hardly_changed: Tensor, much: Tensor, targets: Tensor, weights: Tensor) -> None:
            optimizer.zero_grad(set_to_none=False)
            changed = torch.cat([hardly_changed, strong(images[much])])
            losses = nn.functional.cross_entropy(_forward(learner, changed), targets, reduction="none")
            (losses * weights).sum().backward()

        change_hardly = [Captured(lambda rows: weak(images[rows]), learner) for _ in labelled]
        look_at = Captured(look, nn.ModuleList([learner, thresholds]))
        learn_from = Captured(find_slopes, learner)
        for step in range(1, self.n_steps + 1):
            batches = [
                (rows := next(stream), change(rows)) for stream, change in zip(labelled, change_hardly, strict=True)
            ]
            hardly, hardly_changed = (torch.cat(parts) for parts in zip(*batches, strict=True))
            much, targets, note = labels[:0], labels[hardly], ""
            weights = label_weights[hardly] / self.batch_size
            if self.unlabelled_ratio:
                rows = next(everything)
                seen, is_sure = look_at(rows)
                n_sure = int(is_sure.sum())
                n_changed = min(n_sure + -n_sure % batch_multiple(images.device.type), len(rows))
                chosen = torch.argsort(~is_sure, stable=True)[:n_changed]  # the others need not be seen changed
                much, targets = rows[chosen], torch.cat([targets, seen[chosen]])
                weights = torch.cat([weights, is_sure[chosen] / len(rows)])
                note = f"sure of {n_sure / len(rows):.0%}"
            learn_from(hardly_changed, much, targets, weights)
            optimizer.step()
            schedule.step()
            average.update()
            if on_progress is not None and (step % REPORT_STEPS == 0 or step == self.n_steps):
                on_progress(step, self.n_steps, note)
        self.network_.load_state_dict(average.module.state_dict())
        self.n_iter_ = self.n_steps

    def _streams(self, labels: Tensor, groups: np.ndarray | None) -> list[Iterator[Tensor]]:
        """Batches of points whose labels were bought, of those whose were propagated if they count, and of all."""
        everything = torch.arange(len(labels), device=labels.device)
        is_labelled = labels != UNLABELLED
        is_bought = is_labelled
        if groups is not None:  # a bought label's group is its own point
            is_bought = is_labelled & (torch.as_tensor(groups, device=labels.device) == everything)
        if not is_bought.any():
            is_bought = is_labelled
        bought, propagated = everything[is_bought], everything[is_labelled & ~is_bought]
        streams = [_batches(bought, self.batch_size)]
        share = self.propagated_halved_at / (self.propagated_halved_at + len(bought))
        n_propagated = round(self.batch_size * share)
        if len(propagated) and n_propagated:
            streams.append(_batches(propagated, n_propagated))
        return [*streams, _batches(everything, self.batch_size * self.unlabelled_ratio)]


class _Thresholds(nn.Module):
    """How sure a network must be of each class: as it is on the average, times the class's share over the largest.

    Both are running averages over the batches.
    """

    sureness: Tensor
    shares: Tensor
    n_batches: Tensor

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("sureness", torch.tensor(1 / n_classes))
        self.register_buffer("shares", torch.full((n_classes,), 1 / n_classes))
        self.register_buffer("n_batches", torch.zeros((), dtype=torch.float64))

    def decide(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """(n, n_classes) -> the likeliest class of each (n,) and whether it is likely enough (n,)."""
        sureness, seen = probabilities.max(dim=1)
        self.n_batches += 1
        new = (1 - (self.n_batches / (9 + self.n_batches)).clamp(max=MEMORY)).float()
        self.sureness.lerp_(sureness.mean(), new)
        self.shares.lerp_(probabilities.mean(dim=0), new)
        return seen, sureness >= (self.sureness * self.shares / self.shares.max())[seen]


def _normalized(layer: nn.Conv2d) -> list[nn.Module]:
    """A convolution, without a bias that the normalisation would take away again, and what follows it."""
    return [layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU()]


def _forward(network: nn.Module, images: Tensor) -> Tensor:
    """(n, channels, height, width) -> (n, n_classes)."""
    with fast_products(images.device.type):
        outputs = network(as_points(images))
    return outputs.float()


def _batches(indices: Tensor, size: int) -> Iterator[Tensor]:
    """Batches of one size without end, from one shuffle after another."""
    waiting = indices[:0]
    while True:
        while len(waiting) < size:
            waiting = torch.cat([waiting, indices[torch.randperm(len(indices), device=indices.device)]])
        yield waiting[:size]
        waiting = waiting[size:]
