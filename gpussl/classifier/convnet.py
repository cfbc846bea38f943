"""A small convolutional network that learns from a few labels and from all images, after FixMatch."""

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
)
from gpussl.numeric.images import image_shape_of
from gpussl.records import UNLABELLED, OnProgress
from gpussl.runtime.params import check, param

REPORT_STEPS = 25  # between two updates of the progress bar
N_ORIENTATIONS, BLUR = 8, 0.375  # of the gradient histograms
MEMORY = 0.99  # decay, for each step, of the running averages in the thresholds


@dataclass(eq=False)
class ConvNetClassifier(NetworkClassifier):
    """A convolutional network over the oriented gradients of an image, trained by consistency regularisation.

    The first layer computes histograms of gradients, which need no training: with few labels they do better than
    learnt filters, and convolutions over so few cells are cheap. 3x3 convolutions follow, the second with stride 2,
    then a dense layer over all cells, each with batch normalisation and ReLU.

    Each step takes images with bought labels, fewer with propagated labels, and a sample of all images. For the sample,
    the network predicts the class of a weakly augmented version of each image. If the prediction is confident enough,
    it becomes the target for a strongly augmented version. The confidence threshold follows the average confidence, and
    is lower for classes that are predicted less often. The optimiser is SGD with Nesterov momentum and a cosine
    learning-rate schedule; the running average of the weights is kept. The number of steps is fixed, because with as
    few as ten labels there are none to spare for a hold-out.

    Parameters
    ----------
    n_cells : int
        Number of cells along each side of the gradient histograms, at most the pixels of the shorter side.
    channels : list of int
        Output channels of the 3x3 convolutions.
    hidden : int
        Width of the dense layer.
    n_steps : int
    batch_size : int
        Images with bought labels in a step; batch normalisation needs two.
    unlabelled_ratio : int
        Unlabelled images in a step for each labelled one; 0 to learn from labels alone.
    propagated_halved_at : float
        The number p of bought labels at which propagated labels count half as much. With b bought labels, a step
        contains p / (p + b) times as many images with propagated labels as with bought ones, rounded to whole images. 0
        to learn from bought labels alone.
    learning_rate : float
        Initial learning rate.
    weight_decay : float
    averaging : float
        Decay of the running average of the weights; lower during the first steps.
    image_shape : list of int
        Height, width and, if there is more than one, channels; empty for square images with one channel.
    random_state : int

    References
    ----------
    Sohn et al., "FixMatch: simplifying semi-supervised learning with consistency and confidence", NeurIPS 2020.
    Wang et al., "FreeMatch: self-adaptive thresholding for semi-supervised learning", ICLR 2023: the thresholds.

    Examples
    --------
    >>> X = np.zeros((8, 64), dtype=np.float32)
    >>> X[:4, :32], X[4:, 32:] = 1, 1  # images of 8x8 pixels: the upper half is bright, or the lower one
    >>> y = np.array([0, 0, -1, -1, 1, 1, -1, -1])  # half of the images have labels
    >>> model = ConvNetClassifier(n_cells=2, channels=[4], hidden=4, n_steps=1, batch_size=2)
    >>> model.fit(X, y).predict_proba(X).shape
    (8, 2)
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
        """Build the untrained network. Raise ConfigError if `n_features` do not make an image."""
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
        layers += _normalized(nn.Conv2d(self.channels[-1], self.hidden, side, bias=False))  # over all cells
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
        """Train `network_` on all points; those with the label -1 get the network's own predictions as targets."""
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
        )  # bought labels have the largest weight: they count in full
        thresholds = _Thresholds(len(self.classes_)).to(labels.device)
        for weight in learner.parameters():
            weight.grad = torch.zeros_like(weight)  # the captured graphs of all batch sizes share one gradient

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
                chosen = torch.argsort(~is_sure, stable=True)[:n_changed]  # the others would have weight 0
                much, targets = rows[chosen], torch.cat([targets, seen[chosen]])
                weights = torch.cat([weights, is_sure[chosen] / len(rows)])
                note = f"confident in {n_sure / len(rows):.0%}"
            learn_from(hardly_changed, much, targets, weights)
            optimizer.step()
            schedule.step()
            average.update()
            if on_progress is not None and (step % REPORT_STEPS == 0 or step == self.n_steps):
                on_progress(step, self.n_steps, note)
        self.network_.load_state_dict(average.module.state_dict())
        self.n_iter_ = self.n_steps

    def _streams(self, labels: Tensor, groups: np.ndarray | None) -> list[Iterator[Tensor]]:
        """Endless batches of points with bought labels, of points with propagated labels if they count, and of all."""
        everything = torch.arange(len(labels), device=labels.device)
        is_labelled = labels != UNLABELLED
        is_bought = is_labelled
        if groups is not None:  # the group of a bought label is its own index
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
    """Confidence thresholds: the average confidence, times the class's share of predictions over the largest share.

    Confidence and shares are running averages over the batches.
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
        """Return the most probable class (n,) and whether it reaches its threshold (n,), from (n, n_classes)."""
        sureness, seen = probabilities.max(dim=1)
        self.n_batches += 1
        new = (1 - (self.n_batches / (9 + self.n_batches)).clamp(max=MEMORY)).float()
        self.sureness.lerp_(sureness.mean(), new)
        self.shares.lerp_(probabilities.mean(dim=0), new)
        return seen, sureness >= (self.sureness * self.shares / self.shares.max())[seen]


def _normalized(layer: nn.Conv2d) -> list[nn.Module]:
    """A convolution with batch normalisation, which makes a bias redundant, and ReLU."""
    return [layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU()]


def _forward(network: nn.Module, images: Tensor) -> Tensor:
    """(n, channels, height, width) -> (n, n_classes)."""
    with fast_products(images.device.type):
        outputs = network(as_points(images))
    return outputs.float()


def _batches(indices: Tensor, size: int) -> Iterator[Tensor]:
    """Endless batches of `size` indices, from one permutation after another."""
    waiting = indices[:0]
    while True:
        while len(waiting) < size:
            waiting = torch.cat([waiting, indices[torch.randperm(len(indices), device=indices.device)]])
        yield waiting[:size]
        waiting = waiting[size:]
