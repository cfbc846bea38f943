"""Self-training: a multilayer perceptron that learns anew from what it says itself of points without labels."""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gpussl.models.mlp import MLPClassifier
from gpussl.models.network import FITTED
from gpussl.params import check, param
from gpussl.records import UNLABELLED, OnProgress
from gpussl.tensors import forward


@dataclass(eq=False)
class SelfTrainingMLPClassifier(MLPClassifier):
    """An MLP as teacher of the next, which learns from the labels and from the teacher's soft labels.

    A soft label is the probability of each class. Those of which the teacher is sure enough join the labels; dropout,
    which the teacher does without, keeps the student from only repeating it. The same labels are held out all along,
    and are never joined by soft ones: what did best on them is kept, which may be the first network.

    Parameters
    ----------
    n_rounds : int
        Students, one after another.
    threshold : float
        How likely the likeliest class must be for a soft label to count.

    All others are `MLPClassifier`'s.

    References
    ----------
    Xie, Luong, Hovy, Le, "Self-training with noisy student improves ImageNet classification", CVPR 2020.
    """

    learns_from_unlabelled: ClassVar[bool] = True

    n_rounds: int = param(2, ge=1)
    threshold: float = param(0.9, ge=0, le=1)

    def __post_init__(self) -> None:
        check(self)

    def learn(
        self,
        features: Tensor,
        labels: Tensor,
        groups: np.ndarray | None,
        label_weights: Tensor | None,
        on_progress: OnProgress | None,
    ) -> None:
        """Train `network_` on (n, d) points of which some have the label -1."""
        untrained = copy.deepcopy(self.network_.state_dict())
        is_labelled = labels != UNLABELLED
        labelled, unlabelled = torch.nonzero(is_labelled)[:, 0], torch.nonzero(~is_labelled)[:, 0]
        train, held_out = self.sides(labelled, groups)
        targets = nn.functional.one_hot(labels.clamp(min=0), len(self.classes_)).float()
        if label_weights is not None:
            label_weights = torch.where(is_labelled, label_weights, 1.0)
        joined, best, score = train, self._fitted(), -1.0
        for number in range(self.n_rounds + 1):
            self.network_.load_state_dict(untrained)
            epochs = self.epochs(features, targets, joined, label_weights)
            self.keep_best(epochs, features, labels, held_out, label_weights, self._told(on_progress, number))
            if self.validation_score_ >= score:
                best, score = self._fitted(), self.validation_score_
            soft = forward(self.network_, features[unlabelled]).softmax(dim=1)
            sure = soft.amax(dim=1) >= self.threshold
            if not sure.any():
                break
            targets[unlabelled], joined = soft, torch.cat([train, unlabelled[sure]])
        weights, values = best
        self.network_.load_state_dict(weights)
        for name, value in values.items():
            setattr(self, name, value)

    def _fitted(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The weights now, and what is known of how they were found."""
        values = {name: getattr(self, name) for name in FITTED if hasattr(self, name)}
        return copy.deepcopy(self.network_.state_dict()), values

    def _told(self, on_progress: OnProgress | None, number: int) -> OnProgress | None:
        """What is told of the epochs of one network, the first of which has number 0, as epochs of all."""
        if on_progress is None:
            return None
        before, total = number * self.max_epochs, (self.n_rounds + 1) * self.max_epochs
        return lambda epoch, _, note: on_progress(before + epoch, total, f"network {number + 1}, {note}")
