"""From the bought labels along the edges of the graph of nearest neighbours."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from gpussl import backend
from gpussl.errors import ConfigError
from gpussl.numeric.arrays import scatter
from gpussl.propagate.neighbor_graph import (
    label_means,
    label_spreading,
    neighbor_graph,
    poisson_learning,
    potential_shares,
    shares,
)
from gpussl.protocols import Propagation
from gpussl.records import UNLABELLED, Array, Clustering, PseudoLabels
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class GraphPropagation(Propagation):
    """The bought labels along the edges of the graph of nearest neighbours, as far as they lead.

    A point that no edges join to a bought label stays unlabelled; a bought point always keeps its own label. Clusters
    play no part.

    Parameters
    ----------
    method : {"label_spreading", "poisson"}
        The second is made for very few labels. See `gpussl.propagate.neighbor_graph`.
    n_neighbors : int
        Of each point.
    alpha : float
        Of label spreading: how much of a label is left after an edge.
    balanced : bool
        Whether the labels of each class count as much in all, however many they are. Of labels bought at random some
        classes have twice as many as others by chance, and would win the points between them.
    min_confidence : float
        A point whose weight is less stays unlabelled. The weight is the winning class's share of its point's scores.
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
        """See `ClusterPropagation.propagate`. The source of a point is the nearest bought one of its label.

        Raises
        ------
        ConfigError
            There are fewer points than a point is to have neighbours.
        """
        n = X.shape[0]
        if self.n_neighbors >= n:
            raise ConfigError(
                f"propagate: expected n_neighbors below the number of training points, {n}, found {self.n_neighbors}; "
                "lower it"
            )
        xp = array_namespace(indices)
        classes = xp.unique_values(labels)
        of_classes = self._shares(X, indices, xp.astype(labels[:, None] == classes[None, :], xp.float64))
        weights = xp.max(of_classes, axis=1)
        reached = (weights > 0) & (weights >= self.min_confidence)
        bought = scatter(indices, labels, n, UNLABELLED)
        spread = xp.where(reached, xp.take(classes, xp.argmax(of_classes, axis=1)), UNLABELLED)
        spread = xp.where(bought != UNLABELLED, bought, spread)
        weights = xp.where(bought != UNLABELLED, 1.0, xp.where(reached, weights, 0.0))
        return PseudoLabels(spread, _sources(X, spread, indices, labels, classes), xp.astype(weights, xp.float32))

    def _shares(self, X: Array, indices: Array, targets: Array) -> Array:
        """(n, c): what each class has of each point, of 1 at most in all; 0 where no label leads."""
        joined = neighbor_graph(X, self.n_neighbors)
        counted = targets / array_namespace(targets).mean(targets, axis=0) if self.balanced else targets
        if self.method == "label_spreading":
            return shares(label_spreading(joined, indices, counted, self.alpha))
        potentials = poisson_learning(joined, indices, counted)
        return potential_shares(potentials, label_means(joined, indices, targets))


def _sources(X: Array, spread: Array, indices: Array, labels: Array, classes: Array) -> Array:
    """(n,): of the bought points with each point's label, the nearest, so that labels held out are so with all near."""
    xp, twin, n = array_namespace(spread), backend.of(X), spread.shape[0]
    found = xp.full_like(indices, UNLABELLED, shape=(n,))
    for number in map(int, classes):
        points, own = xp.nonzero(spread == number)[0], indices[labels == number]
        nearest, _ = twin.nearest_neighbors(xp.take(X, own, axis=0), xp.take(X, points, axis=0), 1)
        found[points] = xp.take(own, nearest[:, 0])
    found[indices] = indices  # also where two bought points are copies
    return found
