"""k nearest neighbours, by exhaustive search."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace
from sklearn.base import BaseEstimator, ClassifierMixin

from gpussl import backend
from gpussl.records import Array, OnProgress
from gpussl.runtime.params import check, param


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

    kind: ClassVar[str] = "knn"

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
        """(n, d) -> (n,) classes, where `X` is; of those equally frequent, the first."""
        xp, twin = array_namespace(X), backend.of(X)
        points, labels = twin.asarray(self.X_), twin.asarray(self.y_)
        found, _ = twin.nearest_neighbors(points, X, min(self.n_neighbors, points.shape[0]), ties_by_index=True)
        classes = xp.unique_values(labels)
        voted = xp.reshape(xp.take(labels, xp.reshape(found, (-1,))), found.shape)
        votes = [xp.count_nonzero(voted == classes[j], axis=1) for j in range(classes.shape[0])]
        return xp.take(classes, xp.argmax(xp.stack(votes, axis=1), axis=1))

    def pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arrays and the other values that `unpack` makes the fitted model of."""
        return {"X_": self.X_, "y_": self.y_}, self.get_params()

    @classmethod
    def unpack(cls, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> "KNeighborsClassifier":
        """The inverse of `pack`."""
        return cls(**values).fit(arrays["X_"], arrays["y_"])
