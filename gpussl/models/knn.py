"""k nearest neighbours, by exhaustive search."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from gpussl import backend
from gpussl.params import check, param
from gpussl.records import Array, OnProgress


@dataclass(eq=False)
class KNeighborsClassifier(ClassifierMixin, BaseEstimator):
    """The class most frequent among the nearest training points, by Euclidean distance.

    Parameters
    ----------
    n_neighbors : int
        At most as many as there are training points are asked.

    Attributes
    ----------
    X_ : (n, d) float array
        The training points.
    y_ : (n,) int array
    """

    n_neighbors: int = param(3, ge=1)

    def __post_init__(self) -> None:
        check(self)

    def fit(
        self,
        X: Array,
        y: Array,
        groups: Array | None = None,
        weights: Array | None = None,
        on_progress: OnProgress | None = None,
    ) -> "KNeighborsClassifier":
        """Keep (n, d) points and their (n,) labels; `groups`, `weights` and `on_progress` play no part."""
        self.X_, self.y_ = X, y
        return self

    def predict(self, X: Array) -> Array:
        """(n, d) -> (n,) classes, where `X` is."""
        twin = backend.of(X)
        neighbors = min(self.n_neighbors, self.y_.shape[0])
        # without a tree: in hundreds of dimensions it looks at nearly all points anyway, and cuML has none
        estimator = twin.KNeighborsClassifier(n_neighbors=neighbors, algorithm="brute")
        return twin.asarray(estimator.fit(twin.asarray(self.X_), twin.asarray(self.y_)).predict(X))

    def pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arrays and the other values that `unpack` makes the fitted model of."""
        return {"X_": self.X_, "y_": self.y_}, self.get_params()

    @classmethod
    def unpack(cls, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> "KNeighborsClassifier":
        """The inverse of `pack`."""
        return cls(**values).fit(arrays["X_"], arrays["y_"])
