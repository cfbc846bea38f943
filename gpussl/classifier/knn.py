"""k nearest neighbours by exhaustive search."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace

from gpussl import backend
from gpussl.classifier.base import BaseClassifier
from gpussl.records import Array, OnProgress
from gpussl.runtime.params import check, param


@dataclass(eq=False)
class KNeighborsClassifier(BaseClassifier):
    """The class most frequent among the nearest training points, by Euclidean distance.

    Parameters
    ----------
    n_neighbors : int
        Number of neighbours that vote; all training points if there are fewer.

    Attributes
    ----------
    X_ : (n, d) float array
        The training points.
    y_ : (n,) int array
        Their class numbers, as positions in `classes_`.

    Examples
    --------
    >>> import numpy as np
    >>> model = KNeighborsClassifier(n_neighbors=1).fit([[0.0], [1.0], [9.0]], ["low", "low", "high"])
    >>> model.predict(np.array([[2.0], [8.0]])).tolist()
    ['low', 'high']
    """

    kind: ClassVar[str] = "knn"
    learns_from_weights: ClassVar[bool] = False

    n_neighbors: int = param(3, ge=1)

    def __post_init__(self) -> None:
        check(self)

    def _fit(
        self,
        X: Array,
        y: np.ndarray,
        weights: np.ndarray | None,
        groups: np.ndarray | None,
        on_progress: OnProgress | None,
    ) -> None:
        """Keep the points; weights and groups are ignored."""
        self.X_, self.y_ = X, backend.of(X).asarray(y)

    def _predict(self, X: Array) -> Array:
        """(n, d) -> (n,) class numbers; ties go to the first."""
        return array_namespace(X).argmax(self._votes(X), axis=1)

    def _predict_proba(self, X: Array) -> Array:
        """(n, d) -> (n, n_classes): the share of each class among the neighbours."""
        xp, votes = array_namespace(X), self._votes(X)
        return xp.astype(votes, X.dtype) / xp.sum(votes, axis=1)[:, None]

    def _votes(self, X: Array) -> Array:
        """(n, d) -> (n, n_classes): the number of neighbours in each class."""
        xp, twin = array_namespace(X), backend.of(X)
        points, labels = twin.asarray(self.X_), twin.asarray(self.y_)
        found, _ = twin.nearest_neighbors(points, X, min(self.n_neighbors, points.shape[0]), ties_by_index=True)
        voted = xp.reshape(xp.take(labels, xp.reshape(found, (-1,))), found.shape)
        votes = [xp.count_nonzero(voted == number, axis=1) for number in range(len(self.classes_))]
        return xp.stack(votes, axis=1)

    def _pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"X_": self.X_, "y_": self.y_}, {}
