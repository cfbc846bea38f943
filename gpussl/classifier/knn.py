"""k nearest neighbours by exhaustive search."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace

from gpussl import backend, seeds
from gpussl.classifier.base import SCALE, BaseClassifier
from gpussl.classifier.holdout import stratified_folds
from gpussl.records import Array, OnProgress
from gpussl.runtime.params import check, param

CANDIDATES = (1, 3, 5, 9, 15, 25)
N_FOLDS, MAX_ASKED = 10, 2000
MIN_GAIN = 0.5  # standard errors by which more neighbours must be better


@dataclass(eq=False)
class KNeighborsClassifier(BaseClassifier):
    """The class most frequent among the nearest training points, by Euclidean distance.

    Parameters
    ----------
    n_neighbors : int, optional
        Number of neighbours that vote; all training points if there are fewer. By default the fewest of 1, 3, 5, 9, 15
        and 25 whose accuracy in cross-validation is within half a standard error of the best.
    weights : {"uniform", "distance"}
        Whether all neighbours have one vote, or votes in inverse proportion to their distances.
    scale : {"auto", "none"}
        With "auto" the points are scaled; features in different units, each by its own deviation.
    random_state : int
        Of the folds.

    Attributes
    ----------
    X_ : (n, d) float array
        The training points, on the scale of the fit.
    y_ : (n,) int array
        Their class numbers, as positions in `classes_`.
    n_neighbors_ : int

    Examples
    --------
    >>> import numpy as np
    >>> model = KNeighborsClassifier(n_neighbors=1).fit([[0.0], [1.0], [9.0]], ["low", "low", "high"])
    >>> model.predict(np.array([[2.0], [8.0]])).tolist()
    ['low', 'high']
    """

    kind: ClassVar[str] = "knn"
    learns_from_weights: ClassVar[bool] = False

    n_neighbors: int | None = param(None, ge=1)
    weights: str = param("distance", choices=("uniform", "distance"))
    scale: str = SCALE
    random_state: int = 0

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
        """Keep the points, and choose the number of neighbours; weights are ignored."""
        self.X_, self.y_ = X, backend.of(X).asarray(y)
        self.n_neighbors_ = self.n_neighbors or self._choose(y, np.arange(len(y)) if groups is None else groups)

    def _choose(self, y: np.ndarray, groups: np.ndarray) -> int:
        """The number of neighbours by cross-validation over at most `MAX_ASKED` points."""
        twin, n = backend.of(self.X_), len(y)
        xp = array_namespace(self.X_)
        rng = seeds.generator(self.random_state, "folds")
        n_groups = len(np.unique(groups))
        candidates = [k for k in CANDIDATES if k == 1 or 4 * k <= n_groups]
        if n_groups < 3 or len(candidates) == 1:
            return candidates[0]
        folds = stratified_folds(y, groups, min(N_FOLDS, n_groups), rng)
        asked = np.sort(rng.permutation(n)[:MAX_ASKED])
        correct = []
        for fold in range(folds.max() + 1):
            known, queries = np.flatnonzero(folds != fold), asked[folds[asked] == fold]
            if not len(queries):
                continue
            points, of_queries = (xp.take(self.X_, twin.asarray(places), axis=0) for places in (known, queries))
            near = twin.nearest_neighbors(points, of_queries, min(candidates[-1], len(known)), ties_by_index=True)
            found, distances = (twin.to_numpy(array) for array in near)
            correct.append([
                self._votes(y[known][found[:, :k]], distances[:, :k]).argmax(axis=1) == y[queries] for k in candidates
            ])  # fmt: skip
        right = np.concatenate(correct, axis=1).astype(np.float64)  # (candidates, asked)
        best = int(right.mean(axis=1).argmax())
        loss = right[best] - right
        # half an error more than observed, or no difference at all would have no standard error
        error = np.sqrt((loss.var(axis=1) + 0.5 / len(asked)) / len(asked))
        return candidates[int(np.argmax(loss.mean(axis=1) <= MIN_GAIN * error))]

    def _predict(self, X: Array) -> Array:
        """(n, d) -> (n,) class numbers; ties go to the first."""
        return array_namespace(X).argmax(self._neighbor_votes(X), axis=1)

    def _predict_proba(self, X: Array) -> Array:
        """(n, d) -> (n, n_classes): the share of each class among the votes of the neighbours."""
        xp, votes = array_namespace(X), self._neighbor_votes(X)
        return xp.astype(votes / xp.sum(votes, axis=1)[:, None], X.dtype)

    def _neighbor_votes(self, X: Array) -> Array:
        """(n, d) -> (n, n_classes)."""
        xp, twin = array_namespace(X), backend.of(X)
        points, labels = twin.asarray(self.X_), twin.asarray(self.y_)
        k = min(self.n_neighbors_, points.shape[0])
        found, distances = twin.nearest_neighbors(points, X, k, ties_by_index=True)
        return self._votes(xp.reshape(xp.take(labels, xp.reshape(found, (-1,))), found.shape), distances)

    def _votes(self, voted: Array, distances: Array) -> Array:
        """Classes and distances (n, k) of the neighbours, nearest first -> (n, n_classes) votes.

        Votes by distance are relative to the nearest neighbour's: 1 at the same distance, 0 beyond a distance of 0.
        """
        xp, n_classes = array_namespace(voted), len(self.classes_)
        if self.weights == "uniform":
            return xp.stack([xp.count_nonzero(voted == number, axis=1) for number in range(n_classes)], axis=1)
        at_point = distances == 0
        shares = xp.where(at_point, 1.0, distances[:, :1] / xp.where(at_point, 1.0, distances))
        return xp.stack([xp.sum(xp.where(voted == number, shares, 0.0), axis=1) for number in range(n_classes)], axis=1)

    def _pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"X_": self.X_, "y_": self.y_}, {"n_neighbors_": self.n_neighbors_}

    def _unpack(self, arrays: dict[str, np.ndarray]) -> None:
        super()._unpack(arrays)
        if "n_neighbors_" not in vars(self):  # saved before it could be chosen, or weighted by distance
            self.n_neighbors_, self.weights = int(self.n_neighbors or 1), "uniform"
