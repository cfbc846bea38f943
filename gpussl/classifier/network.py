"""What PyTorch's classifiers share: early stopping, predicting, saving, and the way from arrays to tensors."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gpussl import backend, seeds
from gpussl.classifier.base import BaseClassifier
from gpussl.classifier.holdout import split_groups
from gpussl.nets.tensors import as_tensor, forward, seeded
from gpussl.records import UNLABELLED, Array, OnProgress

FITTED = ("n_iter_", "best_epoch_", "validation_score_")


class NetworkClassifier(BaseClassifier):
    """A network with scikit-learn's API, trained until it gains no more on a share of the labels that is held out.

    A subclass is a dataclass of its settings. It says how its network is built and how it is trained for an epoch.

    Attributes
    ----------
    network_ : torch.nn.Module
    n_iter_ : int
        Epochs run.
    best_epoch_ : int
        The epoch, from 1, whose weights were kept.
    validation_score_ : float
        Accuracy on the held-out labels then: of labels as they were given, right or wrong.
    """

    max_epochs: int
    patience: int
    validation_fraction: float
    random_state: int
    network_: nn.Module
    n_iter_: int
    best_epoch_: int
    validation_score_: float

    def build(self, n_features: int, n_classes: int) -> nn.Module:
        """An untrained network from (n, n_features) to (n, n_classes) scores."""
        raise NotImplementedError

    def epochs(
        self, features: Tensor, labels: Tensor, train: Tensor, label_weights: Tensor | None
    ) -> Iterator[nn.Module]:
        """Train `network_` on the points at `train` (m,); after each epoch yield the network to be scored and kept."""
        raise NotImplementedError

    def split(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions (m,) to learn from and positions held out, of points in groups (n,)."""
        return split_groups(groups, self.validation_fraction, seeds.generator(self.random_state, "validation"))

    def _fit(
        self,
        X: Array,
        y: np.ndarray,
        weights: np.ndarray | None,
        groups: np.ndarray | None,
        on_progress: OnProgress | None,
    ) -> None:
        """Train a new network. Only the ratios of weights matter: they are scaled to a mean of 1."""
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
        """Train `network_` on the labelled ones of (n, d) points, epoch by epoch until there is no more gain.

        `label_weights` (n,), where they differ, have a mean of 1 over the labelled points.
        """
        labelled = torch.nonzero(labels != UNLABELLED)[:, 0]
        places = labelled.cpu().numpy()
        sides = self.split(places if groups is None else groups[places])
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
        """Run epochs until there is no gain on the held-out points, and put the best one's weights into `network_`."""
        self.best_epoch_, self.validation_score_, best_weights = 0, -1.0, {}
        for epoch, network in enumerate(epochs, start=1):
            is_right = (forward(network, features).argmax(dim=1) == labels).float()
            score = float(is_right.mean() if label_weights is None else is_right @ label_weights / label_weights.sum())
            self.n_iter_ = epoch
            if score > self.validation_score_:
                self.best_epoch_, self.validation_score_ = epoch, score
                best_weights = {name: weight.clone() for name, weight in network.state_dict().items()}
            if on_progress is not None:
                on_progress(epoch, self.max_epochs, f"held-out accuracy {score:.1%}")
            if epoch == self.max_epochs or epoch - self.best_epoch_ >= self.patience:
                break
        self.network_.load_state_dict(best_weights)

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
        return weights, {name: getattr(self, name) for name in FITTED if hasattr(self, name)}

    def _unpack(self, arrays: dict[str, np.ndarray]) -> None:
        self.network_ = self.build(self.n_features_in_, len(self.classes_))
        self.network_.load_state_dict({name: torch.as_tensor(array) for name, array in arrays.items()})


def _label_weights(weights: np.ndarray | None, y: np.ndarray, device: torch.device) -> Tensor | None:
    """The weights (n,) over the mean of those of the labelled points; None if those are all the same."""
    if weights is None or np.ptp(weights[y != UNLABELLED]) == 0:
        return None
    scaled = weights / weights[y != UNLABELLED].mean(dtype=np.float64)
    return torch.as_tensor(scaled.astype(np.float32), device=device)
