"""Propagate: from the few labels that were bought to labels for the points around them."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from gpussl import backend, graph
from gpussl.arrays import group_bounds, group_sort, scatter, smallest_of_each_group, take_or
from gpussl.errors import ConfigError
from gpussl.params import check, param
from gpussl.records import UNLABELLED, Array, Clustering, PseudoLabels


@dataclass(frozen=True)
class NoPropagation:
    """The bought labels alone."""

    percentile: ClassVar[float | None] = None

    def propagate(self, X: Array, clustering: Clustering, indices: Array, labels: Array) -> PseudoLabels:
        """See `ClusterPropagation.propagate`."""
        n = clustering.labels.shape[0]
        return PseudoLabels(scatter(indices, labels, n, UNLABELLED), scatter(indices, indices, n, UNLABELLED))


@dataclass(frozen=True)
class ClusterPropagation:
    """Each cluster's bought label to its members, or to the nearest share of them.

    Where several labels were bought in one cluster, the one bought nearest the centroid counts. A cluster in which none
    was bought stays unlabelled, as do points in no cluster; a bought point always keeps its own label.

    Parameters
    ----------
    percentile : float
        Share in percent. A member is reached if its distance to the centroid is at most this percentile *of its own
        cluster's* distances (NumPy's ``method="lower"``, so ties at the cut are in): each cluster gives the same share,
        wide ones as well as tight ones.
    """

    percentile: float = param(100.0, ge=0, le=100)

    def __post_init__(self) -> None:
        check(self)

    def propagate(self, X: Array, clustering: Clustering, indices: Array, labels: Array) -> PseudoLabels:
        """Label what the bought labels reach.

        Parameters
        ----------
        X : (n, d) array
            The represented points.
        clustering : Clustering
            Of them.
        indices : (m,) int array
            The points whose labels were bought, ascending and different.
        labels : (m,) int array
            Their labels.

        Raises
        ------
        ConfigError
            There are no clusters.
        """
        if clustering.centroids.shape[0] == 0:
            raise ConfigError(
                "propagate: expected clusters to propagate labels in, found none; choose propagate=[none], or clusters "
                "with cluster=..."
            )
        xp = array_namespace(clustering.labels)
        n = clustering.labels.shape[0]
        source, known = _nearest_bought(clustering, indices)
        reached = take_or(known, clustering.labels, False) & self._within_cut(clustering)
        source = take_or(source, clustering.labels, 0)
        bought = scatter(indices, indices, n, UNLABELLED)
        is_bought = bought != UNLABELLED
        return PseudoLabels(
            labels=xp.where(
                is_bought,
                scatter(indices, labels, n, UNLABELLED),
                xp.where(reached, xp.take(labels, source), UNLABELLED),
            ),
            sources=xp.where(is_bought, bought, xp.where(reached, xp.take(indices, source), UNLABELLED)),
        )

    def _within_cut(self, clustering: Clustering) -> Array:
        """(n,) bool: is each point among its cluster's nearest share?"""
        xp = array_namespace(clustering.labels)
        order, start, size = _by_cluster(clustering)
        last = start + xp.astype(xp.floor(xp.astype(size - 1, xp.float64) * self.percentile / 100), start.dtype)
        last = xp.clip(last, 0, clustering.labels.shape[0] - 1)  # an empty cluster's is meaningless, and not used
        cut = xp.take(clustering.distances, xp.take(order, last))
        return clustering.distances <= take_or(cut, clustering.labels, -1.0)


@dataclass(frozen=True)
class GraphPropagation:
    """The bought labels along the edges of the graph of nearest neighbours, as far as they lead.

    A point that no edges join to a bought label stays unlabelled; a bought point always keeps its own label. Clusters
    play no part.

    Parameters
    ----------
    method : {"label_spreading", "poisson"}
        The second is made for very few labels. See `gpussl.graph`.
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

    percentile: ClassVar[float | None] = None

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
        shares = self._shares(X, indices, xp.astype(labels[:, None] == classes[None, :], xp.float64))
        weights = xp.max(shares, axis=1)
        reached = (weights > 0) & (weights >= self.min_confidence)
        bought = scatter(indices, labels, n, UNLABELLED)
        spread = xp.where(reached, xp.take(classes, xp.argmax(shares, axis=1)), UNLABELLED)
        spread = xp.where(bought != UNLABELLED, bought, spread)
        weights = xp.where(bought != UNLABELLED, 1.0, xp.where(reached, weights, 0.0))
        return PseudoLabels(spread, _sources(X, spread, indices, labels, classes), xp.astype(weights, xp.float32))

    def _shares(self, X: Array, indices: Array, targets: Array) -> Array:
        """(n, c): what each class has of each point, of 1 at most in all; 0 where no label leads."""
        joined = graph.neighbor_graph(X, self.n_neighbors)
        counted = targets / array_namespace(targets).mean(targets, axis=0) if self.balanced else targets
        if self.method == "label_spreading":
            return graph.shares(graph.label_spreading(joined, indices, counted, self.alpha))
        potentials = graph.poisson_learning(joined, indices, counted)
        return graph.potential_shares(potentials, graph.label_means(joined, indices, targets))


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


def cluster_names(clustering: Clustering, indices: Array, labels: Array) -> Array:
    """(k,): the bought label of each cluster, or -1; arguments as of `ClusterPropagation.propagate`."""
    source, known = _nearest_bought(clustering, indices)
    xp = array_namespace(labels)
    return xp.where(known, xp.take(labels, source), UNLABELLED)


def nearness(clustering: Clustering) -> Array:
    """(n,) float64: the share of each point's cluster that is before it by distance to the centroid, 0 to below 1.

    Meaningless for a point in no cluster.
    """
    xp = array_namespace(clustering.labels)
    order, start, size = _by_cluster(clustering)
    place = xp.argsort(order, stable=True)  # the inverse of the order
    rank = place - take_or(start, clustering.labels, 0)
    return xp.astype(rank, xp.float64) / xp.astype(take_or(size, clustering.labels, 1), xp.float64)


def _nearest_bought(clustering: Clustering, indices: Array) -> tuple[Array, Array]:
    """(k,): the position in `indices` (m,) of each cluster's member nearest the centroid, and whether it has one."""
    xp = array_namespace(clustering.labels)
    clusters, distances = xp.take(clustering.labels, indices), xp.take(clustering.distances, indices)
    return smallest_of_each_group(clusters, distances, clustering.centroids.shape[0])


def _by_cluster(clustering: Clustering) -> tuple[Array, Array, Array]:
    """The points in order of cluster and distance (n,), and where each cluster begins and its size (k,)."""
    order = group_sort(clustering.labels, clustering.distances)
    clusters = array_namespace(order).take(clustering.labels, order)
    return order, *group_bounds(clusters, clustering.centroids.shape[0])
