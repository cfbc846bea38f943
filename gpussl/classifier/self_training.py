"""Self-training: a multilayer perceptron that learns anew from what it says itself of points without labels."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gpussl.classifier.mlp import MLPClassifier
from gpussl.nets.tensors import forward
from gpussl.records import UNLABELLED, OnProgress
from gpussl.runtime.params import check, param


@dataclass(eq=False)
class SelfTrainingMLPClassifier(MLPClassifier):
    """An MLP as teacher of the next, which learns from the labels and from the teacher's soft labels.

    A soft label is the probability of each class. Dropout, which the teacher does without when it is asked, keeps the
    student from only repeating it. Only the first network stops by labels held out; students, which soft labels keep
    from learning by heart, learn for all epochs, and from those labels too. A student begins at the weights that its
    teacher began at; a soft label counts as much as a label does at the mean. Where every point has a label there is
    nothing to teach, and the first network is all.

    Parameters
    ----------
    n_rounds : int
        Students, one after another.
    threshold : float
        How likely the likeliest class must be for a soft label to count. With 0, all do. Above, classes that the
        teacher is seldom sure of are lost to the student.

    All others are `MLPClassifier`'s. `best_epoch_` and `validation_score_` are those of the first network, and
    `n_iter_` counts the epochs of all.

    References
    ----------
    Xie, Luong, Hovy, Le, "Self-training with noisy student improves ImageNet classification", CVPR 2020.
    """

    kind: ClassVar[str] = "self_training"
    learns_from_unlabelled: ClassVar[bool] = True

    n_rounds: int = param(1, ge=1)
    threshold: float = param(0.0, ge=0, le=1)

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
        super().learn(features, labels, groups, label_weights, self._told(on_progress, 0))
        targets = nn.functional.one_hot(labels.clamp(min=0), len(self.classes_)).float()
        if label_weights is not None:
            label_weights = torch.where(is_labelled, label_weights, 1.0)
        for number in range(1, self.n_rounds + 1):
            soft = forward(self.network_, features)[unlabelled].softmax(dim=1)
            sure = soft.amax(dim=1) >= self.threshold
            if not sure.any():
                break
            targets[unlabelled] = soft
            self.network_.load_state_dict(untrained)
            epochs = self.epochs(features, targets, torch.cat([labelled, unlabelled[sure]]), label_weights)
            self._run_all(epochs, self._told(on_progress, number))

    def _run_all(self, epochs: Iterator[nn.Module], on_progress: OnProgress | None) -> None:
        """Run all epochs, and keep the weights of the last."""
        for epoch, network in enumerate(islice(epochs, self.max_epochs), start=1):
            last = network
            if on_progress is not None:
                on_progress(epoch, self.max_epochs, "")
        self.network_.load_state_dict(last.state_dict())
        self.n_iter_ += self.max_epochs

    def _told(self, on_progress: OnProgress | None, number: int) -> OnProgress | None:
        """What is told of the epochs of one network, the first of which has number 0, as epochs of all."""
        if on_progress is None:
            return None
        before, total = number * self.max_epochs, (self.n_rounds + 1) * self.max_epochs
        name = f"student {number}" if number else "teacher"
        return lambda epoch, _, note: on_progress(before + epoch, total, f"{name} {note}".rstrip())
