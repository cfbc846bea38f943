"""What PyTorch's classifiers share: early stopping, predicting, saving, and the way from arrays to tensors."""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import Tensor, nn

from gpussl import backend, seeds
from gpussl.classifier.holdout import split_groups
from gpussl.classifier.weights import check, settle
from gpussl.nets.tensors import as_tensor, forward, seeded
from gpussl.records import UNLABELLED, Array, OnProgress

FITTED = ("n_features_in_", "n_iter_", "best_epoch_", "validation_score_")


class NetworkClassifier(ClassifierMixin, BaseEstimator):
    """A network with scikit-learn's API, trained until it gains no more on a share of the labels that is held out.

    A subclass is a dataclass of its settings. It says how its network is built and how it is trained for an epoch.

    Attributes
    ----------
    classes_ : (n_classes,) int array, on the host
    n_features_in_ : int
    network_ : torch.nn.Module
    n_iter_ : int
        Epochs run.
    best_epoch_ : int
        The epoch, from 1, whose weights were kept.
    validation_score_ : float
        Accuracy on the held-out labels then: of labels as they were given, right or wrong.
    """

    learns_from_unlabelled: ClassVar[bool] = False  # whether `fit` takes points whose label is -1
    learns_from_weights: ClassVar[bool] = True

    max_epochs: int
    patience: int
    validation_fraction: float
    random_state: int
    classes_: np.ndarray
    n_features_in_: int
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

    def fit(
        self,
        X: Array,
        y: Array,
        groups: Array | None = None,
        weights: Array | None = None,
        on_progress: OnProgress | None = None,
    ) -> "NetworkClassifier":
        """Fit to (n, d) points and their (n,) labels.

        Parameters
        ----------
        groups : (n,) int array, optional
            Points of one group are held out together: the copies of one bought label must not stand on both sides.
        weights : (n,) float array, optional
            What each labelled point's loss is multiplied by, and how much it counts where it is held out. Only how they
            compare matters: they are scaled to a mean of 1.
        on_progress : callable, optional
            Called after each epoch with the epochs run, the epochs there are at most, and a note.
        """
        to_numpy = backend.of(X).to_numpy
        if not self.learns_from_weights:
            weights = None
        elif not self.learns_from_unlabelled:
            X, y, groups, weights = settle(X, y, groups, weights)
        elif weights is not None:
            check(weights, y)
        y, weights = to_numpy(y), None if weights is None else to_numpy(weights)
        if weights is not None:
            y = np.where(weights > 0, y, UNLABELLED)
        self.classes_ = np.unique(y[y != UNLABELLED])
        features = as_tensor(X)
        self.n_features_in_ = features.shape[1]
        encoded = np.where(y == UNLABELLED, UNLABELLED, np.searchsorted(self.classes_, y))
        labels = torch.as_tensor(encoded, device=features.device)
        label_weights = _label_weights(weights, y, features.device)
        with seeded(features, self.random_state):
            self.network_ = self.build(self.n_features_in_, len(self.classes_)).to(features.device)
            self.learn(features, labels, None if groups is None else to_numpy(groups), label_weights, on_progress)
        return self

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

    def predict(self, X: Array) -> Array:
        """(n, d) -> (n,) classes, where `X` is. ValueError if d is not what the model was fitted to."""
        features = as_tensor(X)
        if features.ndim != 2 or features.shape[1] != self.n_features_in_:
            raise ValueError(f"X: expected shape (n, {self.n_features_in_}), found {tuple(features.shape)}")
        best = forward(self.network_.to(features.device), features).argmax(dim=1)
        twin = backend.of(X)
        return twin.asarray(self.classes_)[twin.asarray(best)]

    def pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arrays and the other values that `unpack` makes the fitted model of."""
        weights = {name: weight.detach().cpu().numpy() for name, weight in self.network_.state_dict().items()}
        fitted = {name: getattr(self, name) for name in FITTED if hasattr(self, name)}
        return {"classes_": self.classes_, **weights}, {"params": self.get_params(), "fitted": fitted}

    @classmethod
    def unpack(cls, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> "NetworkClassifier":
        """The inverse of `pack`."""
        model = cls(**values["params"])
        for name in FITTED:
            if name in values["fitted"]:
                setattr(model, name, values["fitted"][name])
        model.classes_ = arrays.pop("classes_")
        model.network_ = model.build(model.n_features_in_, len(model.classes_))
        model.network_.load_state_dict({name: torch.as_tensor(array) for name, array in arrays.items()})
        return model


def _label_weights(weights: np.ndarray | None, y: np.ndarray, device: torch.device) -> Tensor | None:
    """The weights (n,) over the mean of those of the labelled points; None if those are all the same."""
    if weights is None or np.ptp(weights[y != UNLABELLED]) == 0:
        return None
    scaled = weights / weights[y != UNLABELLED].mean(dtype=np.float64)
    return torch.as_tensor(scaled.astype(np.float32), device=device)
