"""Propagate bought labels along the edges of the nearest-neighbour graph."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace

from gpussl import backend
from gpussl.errors import ConfigError
from gpussl.numeric.arrays import scatter
from gpussl.propagate.neighbor_graph import (
    Graph,
    label_means,
    label_spreading,
    neighbor_graph,
    neighbors,
    poisson_learning,
    potential_shares,
    shares,
)
from gpussl.protocols import Propagation
from gpussl.records import UNLABELLED, Array, Clustering, PseudoLabels
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class GraphPropagation(Propagation):
    """Propagate bought labels along the edges of the nearest-neighbour graph.

    A point without a path to a bought label stays unlabelled. A bought point always keeps its own label. Clusters are
    ignored.

    Parameters
    ----------
    method : {"label_spreading", "poisson"}
        Poisson learning is designed for very few labels. See `gpussl.propagate.neighbor_graph`.
    n_neighbors : int
        Number of neighbours of each point.
    alpha : float
        For label spreading: the share of a label that is passed on along an edge.
    balanced : bool
        Whether all classes have the same total weight, whatever their numbers of labels. Among labels bought at random,
        some classes have twice as many as others by chance, and would win the points between them.
    min_confidence : float
        Points with a smaller weight stay unlabelled. The weight is the winning class's share of the point's scores.

    Examples
    --------
    >>> import numpy as np
    >>> from gpussl.cluster.none import NoClustering
    >>> X = np.array([[0.0], [1.0], [2.0], [7.0], [8.0], [9.0]])
    >>> bought, labels = np.array([0, 5]), np.array([3, 4])
    >>> known = GraphPropagation(n_neighbors=2).propagate(X, NoClustering().fit(X, seed=0), bought, labels)
    >>> known.labels.tolist(), known.sources.tolist()
    ([3, 3, 3, 4, 4, 4], [0, 0, 0, 5, 5, 5])
    """

    needs_all_points: ClassVar[bool] = True

    method: str = param("label_spreading", choices=("label_spreading", "poisson"))
    n_neighbors: int = param(10, ge=1)
    alpha: float = param(0.99, gt=0, lt=1)
    balanced: bool = True
    min_confidence: float = param(0.0, ge=0, le=1)

    def __post_init__(self) -> None:
        check(self)

    def propagate(self, X: Array, clustering: Clustering, indices: Array, labels: Array) -> PseudoLabels:
        """See `ClusterPropagation.propagate`. The source of a point is the nearest bought point with the same label.

        Raises
        ------
        ConfigError
            There are too few points for `n_neighbors`.
        """
        n = X.shape[0]
        if self.n_neighbors >= n:
            raise ConfigError(
                f"propagate: expected n_neighbors below the number of training points, {n}, found {self.n_neighbors}; "
                "lower it"
            )
        xp = array_namespace(indices)
        classes = xp.unique_values(labels)
        joined = neighbor_graph(neighbors(X, self.n_neighbors))
        of_classes = self._shares(joined, indices, xp.astype(labels[:, None] == classes[None, :], xp.float64))
        weights = xp.max(of_classes, axis=1)
        reached = (weights > 0) & (weights >= self.min_confidence)
        bought = scatter(indices, labels, n, UNLABELLED)
        spread = xp.where(reached, xp.take(classes, xp.argmax(of_classes, axis=1)), UNLABELLED)
        spread = xp.where(bought != UNLABELLED, bought, spread)
        weights = xp.where(bought != UNLABELLED, 1.0, xp.where(reached, weights, 0.0))
        return PseudoLabels(spread, _sources(X, spread, indices, labels, classes), xp.astype(weights, xp.float32))

    def class_shares(self, joined: Graph, indices: Array, labels: Array, n_classes: int) -> np.ndarray:
        """Return the share of each class 0 to n_classes - 1 at each point of a graph: (n, n_classes), on the host.

        Parameters
        ----------
        joined : Graph
            See `neighbor_graph`.
        indices, labels : (m,) int array
            The labelled points and their classes.
        """
        xp, twin = array_namespace(indices), backend.of(indices)
        classes = xp.unique_values(labels)
        found = self._shares(joined, indices, xp.astype(labels[:, None] == classes[None, :], xp.float64))
        shares = np.zeros((found.shape[0], n_classes))
        shares[:, twin.to_numpy(classes)] = twin.to_numpy(found)
        return shares

    def _shares(self, joined: Graph, indices: Array, targets: Array) -> Array:
        """(n, c): the share of each class at each point, with a sum of at most 1; 0 without a path to a label."""
        counted = targets / array_namespace(targets).mean(targets, axis=0) if self.balanced else targets
        if self.method == "label_spreading":
            return shares(label_spreading(joined, indices, counted, self.alpha))
        potentials = poisson_learning(joined, indices, counted)
        return potential_shares(potentials, label_means(joined, indices, targets))


def _sources(X: Array, spread: Array, indices: Array, labels: Array, classes: Array) -> Array:
    """(n,): the nearest bought point with the same label, so that a held-out label takes the points around it along."""
    xp, twin, n = array_namespace(spread), backend.of(X), spread.shape[0]
    found = xp.full_like(indices, UNLABELLED, shape=(n,))
    for number in map(int, classes):
        points, own = xp.nonzero(spread == number)[0], indices[labels == number]
        nearest, _ = twin.nearest_neighbors(xp.take(X, own, axis=0), xp.take(X, points, axis=0), 1)
        found[points] = xp.take(own, nearest[:, 0])
    found[indices] = indices  # even if two bought points are duplicates
    return found
