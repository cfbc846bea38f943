"""Self-training: a multilayer perceptron that learns from its own predictions for unlabelled points."""

import copy
from dataclasses import dataclass
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
    """An MLP is the teacher of the next, which learns from the labels and from the teacher's soft labels.

    A soft label is the vector of class probabilities that the teacher predicts. The teacher predicts without dropout
    and the student trains with it, which keeps the student from merely copying the teacher. Only the first network
    uses a hold-out for early stopping. Soft labels keep the students from overfitting, so they train for all epochs,
    on the held-out labels too. Each student starts from the initial weights of the first network. A soft label has
    the mean weight of a label. If all points have labels, the first network is the result.

    Parameters
    ----------
    n_rounds : int
        Number of students, trained in sequence.
    threshold : float
        Smallest probability of the most probable class at which a soft label is used; 0 uses all. Above 0, the student
        may lose classes that the teacher rarely predicts with confidence.

    All other parameters are those of `MLPClassifier`. `best_epoch_` and `validation_score_` describe the first network;
    `n_iter_` counts the epochs of all networks.

    References
    ----------
    Xie, Luong, Hovy, Le, "Self-training with noisy student improves ImageNet classification", CVPR 2020.

    Examples
    --------
    >>> X = np.linspace(-1, 1, 12)[:, None]
    >>> y = np.array([0, 0, 0, 0, -1, -1, -1, -1, 1, 1, 1, 1])
    >>> model = SelfTrainingMLPClassifier(hidden_layer_sizes=[8], learning_rate=0.2, min_epoch_steps=5, max_epochs=1)
    >>> model.fit(X, y).predict([[-0.9], [0.9]]).tolist()
    [0, 1]
    >>> model.n_iter_  # one epoch of the teacher and one of the student
    2
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
        """Train `network_` on (n, d) points; unlabelled ones have the label -1."""
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

    def _told(self, on_progress: OnProgress | None, number: int) -> OnProgress | None:
        """Report the epochs of one network, 0 for the teacher, as a part of the epochs of all networks."""
        if on_progress is None:
            return None
        name = f"student {number}" if number else "teacher"

        def tell(epoch: int, of_one: int, note: str) -> None:
            on_progress(number * of_one + epoch, (self.n_rounds + 1) * of_one, f"{name} {note}".rstrip())

        return tell
