"""The base of classifiers in PyTorch: early stopping, prediction, saving, and conversion of arrays to tensors."""

from abc import abstractmethod
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gpussl import backend, seeds
from gpussl.classifier.base import BaseClassifier
from gpussl.classifier.holdout import split_groups
from gpussl.nets.tensors import as_tensor, forward, seeded
from gpussl.records import UNLABELLED, Array, OnProgress

FITTED = ("n_iter_", "best_epoch_", "validation_score_", "n_hidden_", "n_epochs_")


class NetworkClassifier(BaseClassifier):
    """A network with scikit-learn's API, trained until the accuracy on held-out labels no longer improves.

    A subclass is a dataclass of its settings. `build` constructs its network, and `epochs` trains it. A subclass with
    the setting `few_epochs` trains for as many epochs, without a hold-out, where a hold-out would have fewer than
    `min_held_out` labels: too few to tell one epoch from another.

    Attributes
    ----------
    network_ : torch.nn.Module
    n_iter_ : int
        Number of epochs run.
    best_epoch_ : int
        The epoch, counted from 1, from which the weights were kept.
    validation_score_ : float or None
        Accuracy in that epoch on the held-out labels, which may themselves be wrong; None without a hold-out.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(eq=False)
    ... class Linear(NetworkClassifier):
    ...     max_epochs: int = 20
    ...     patience: int = 20
    ...     validation_fraction: float = 0.1
    ...     random_state: int = 0
    ...
    ...     def build(self, n_features, n_classes):
    ...         return nn.Linear(n_features, n_classes)
    ...
    ...     def epochs(self, features, labels, train, label_weights):
    ...         optimizer = torch.optim.SGD(self.network_.parameters(), lr=1.0)
    ...         while True:
    ...             optimizer.zero_grad()
    ...             nn.functional.cross_entropy(self.network_(features[train]), labels[train]).backward()
    ...             optimizer.step()
    ...             yield self.network_
    >>> model = Linear().fit([[-2.0], [-1.0], [1.0], [2.0]] * 3, ["low", "low", "high", "high"] * 3)
    >>> model.predict([[-3.0], [3.0]]).tolist()
    ['low', 'high']
    """

    max_epochs: int
    patience: int
    validation_fraction: float
    random_state: int
    few_epochs: int = 0
    min_held_out: int = 0
    network_: nn.Module
    n_hidden_: int | None = None  # hidden layers, where the depth follows the labels; None for all
    n_epochs_: int  # planned, at most
    n_iter_: int
    best_epoch_: int
    validation_score_: float | None

    @abstractmethod
    def build(self, n_features: int, n_classes: int) -> nn.Module:
        """Build an untrained network that maps (n, n_features) points to (n, n_classes) scores."""
        ...

    def epochs(
        self, features: Tensor, labels: Tensor, train: Tensor, label_weights: Tensor | None
    ) -> Iterator[nn.Module]:
        """Train `network_` on the points at `train` (m,); after each epoch, yield the network to score and keep.

        A subclass with a `learn` of its own needs none.
        """
        raise NotImplementedError

    def split(self, y: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Split points of classes (n,) in groups (n,) into positions for training and positions held out."""
        return split_groups(y, groups, self.validation_fraction, seeds.generator(self.random_state, "validation"))

    def _fit(
        self,
        X: Array,
        y: np.ndarray,
        weights: np.ndarray | None,
        groups: np.ndarray | None,
        on_progress: OnProgress | None,
    ) -> None:
        """Train a new network. Only ratios of weights matter: the weights are scaled to a mean of 1."""
        features = as_tensor(X)
        labels = torch.as_tensor(y, device=features.device)
        label_weights = _label_weights(weights, y, features.device)
        with seeded(features, self.random_state):
            self.network_ = self.build(self.n_features_in_, len(self.classes_)).to(features.device)
            self.learn(features, labels, groups, label_weights, on_progress)

    def learn(
        self,
        features: Tensor,
        labels: Tensor,
        groups: np.ndarray | None,
        label_weights: Tensor | None,
        on_progress: OnProgress | None,
    ) -> None:
        """Train `network_` on the labelled points among (n, d), to the end or until the held-out accuracy is best.

        `label_weights` (n,) have a mean of 1 over the labelled points; None if they are equal.
        """
        labelled = torch.nonzero(labels != UNLABELLED)[:, 0]
        places = labelled.cpu().numpy()
        of_labels = places if groups is None else groups[places]
        holds_out = self.validation_fraction * len(np.unique(of_labels)) >= self.min_held_out
        self.n_epochs_ = self.max_epochs if holds_out else min(self.few_epochs, self.max_epochs)
        if not holds_out:
            self.n_iter_, self.validation_score_ = 0, None
            self._run_all(self.epochs(features, labels, labelled, label_weights), on_progress)
            self.best_epoch_ = self.n_iter_
            return
        sides = self.split(labels.cpu().numpy()[places], of_labels)
        train, held_out = (labelled[torch.as_tensor(side, device=labelled.device)] for side in sides)
        counts = None if label_weights is None else label_weights[held_out]
        epochs = self.epochs(features, labels, train, label_weights)
        self._keep_best(epochs, features[held_out], labels[held_out], counts, on_progress)

    def _keep_best(
        self,
        epochs: Iterator[nn.Module],
        features: Tensor,
        labels: Tensor,
        label_weights: Tensor | None,
        on_progress: OnProgress | None,
    ) -> None:
        """Run epochs until the held-out accuracy no longer improves, and load the best weights into `network_`."""
        self.best_epoch_, self.validation_score_, best_weights = 0, -1.0, {}
        for epoch, network in enumerate(epochs, start=1):
            is_right = (forward(network, features).argmax(dim=1) == labels).float()
            score = float(is_right.mean() if label_weights is None else is_right @ label_weights / label_weights.sum())
            self.n_iter_ = epoch
            if score > self.validation_score_:
                self.best_epoch_, self.validation_score_ = epoch, score
                best_weights = {name: weight.clone() for name, weight in network.state_dict().items()}
            if on_progress is not None:
                on_progress(epoch, self.n_epochs_, f"held-out accuracy {score:.1%}")
            if epoch == self.n_epochs_ or epoch - self.best_epoch_ >= self.patience:
                break
        self.network_.load_state_dict(best_weights)

    def _run_all(self, epochs: Iterator[nn.Module], on_progress: OnProgress | None) -> None:
        """Run all epochs, and keep the final weights."""
        for epoch, network in enumerate(islice(epochs, self.n_epochs_), start=1):
            last = network
            if on_progress is not None:
                on_progress(epoch, self.n_epochs_, "")
        self.network_.load_state_dict(last.state_dict())
        self.n_iter_ += self.n_epochs_

    def _predict(self, X: Array) -> Array:
        return backend.of(X).asarray(self._scores(X).argmax(dim=1))

    def _predict_proba(self, X: Array) -> Array:
        return backend.of(X).asarray(self._scores(X).softmax(dim=1))

    def _scores(self, X: Array) -> Tensor:
        """(n, d) -> (n, n_classes)."""
        features = as_tensor(X)
        return forward(self.network_.to(features.device), features)

    def _pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        weights = {name: weight.detach().cpu().numpy() for name, weight in self.network_.state_dict().items()}
        return weights, {name: getattr(self, name) for name in FITTED if name in vars(self)}

    def _unpack(self, arrays: dict[str, np.ndarray]) -> None:
        self.network_ = self.build(self.n_features_in_, len(self.classes_))
        self.network_.load_state_dict({name: torch.as_tensor(array) for name, array in arrays.items()})


def _label_weights(weights: np.ndarray | None, y: np.ndarray, device: torch.device) -> Tensor | None:
    """Weights (n,) divided by the mean over the labelled points; None if all weights of those are equal."""
    if weights is None or np.ptp(weights[y != UNLABELLED]) == 0:
        return None
    scaled = weights / weights[y != UNLABELLED].mean(dtype=np.float64)
    return torch.as_tensor(scaled.astype(np.float32), device=device)
