"""Propagate bought labels within clusters."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from gpussl.errors import ConfigError
from gpussl.numeric.arrays import scatter, take_or
from gpussl.numeric.clusters import by_cluster, nearest_bought
from gpussl.protocols import Propagation
from gpussl.records import UNLABELLED, Array, Clustering, PseudoLabels
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class ClusterPropagation(Propagation):
    """Give the bought label of each cluster to its members, or to the share of them nearest to the centroid.

    If several labels were bought in one cluster, the one nearest to the centroid counts. Clusters without a bought
    label stay unlabelled, as do points in no cluster. A bought point always keeps its own label.

    Parameters
    ----------
    percentile : float
        Share in percent. A member gets the label if its distance to the centroid is at most this percentile of the
        distances in its own cluster (NumPy's ``method="lower"``; ties at the cut are included). The share is therefore
        the same in compact and in spread-out clusters.

    Examples
    --------
    >>> import numpy as np
    >>> X, distances = np.array([[0.0], [1.0], [3.0], [9.0]]), np.array([4.0 / 3, 1.0 / 3, 5.0 / 3, 0.0])
    >>> clusters = Clustering(np.array([[4.0 / 3], [9.0]]), np.array([0, 0, 0, 1]), distances, inertia=4.67, n_iter=1)
    >>> bought, label = np.array([1]), np.array([7])
    >>> ClusterPropagation().propagate(X, clusters, bought, label).labels.tolist()
    [7, 7, 7, -1]
    >>> ClusterPropagation(percentile=50).propagate(X, clusters, bought, label).labels.tolist()
    [7, 7, -1, -1]
    """

    needs_clusters: ClassVar[bool] = True
    percentile: float = param(100.0, ge=0, le=100)

    def __post_init__(self) -> None:
        check(self)

    def propagate(self, X: Array, clustering: Clustering, indices: Array, labels: Array) -> PseudoLabels:
        """Propagate bought labels.

        Parameters
        ----------
        X : (n, d) array
            The represented points.
        clustering : Clustering
            The clusters of the points.
        indices : (m,) int array
            The bought points, distinct and ascending.
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
        source, known = nearest_bought(clustering, indices)
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
        """(n,) bool: whether each point is in the nearest share of its cluster."""
        xp = array_namespace(clustering.labels)
        order, start, size = by_cluster(clustering)
        last = start + xp.astype(xp.floor(xp.astype(size - 1, xp.float64) * self.percentile / 100), start.dtype)
        last = xp.clip(last, 0, clustering.labels.shape[0] - 1)  # meaningless for an empty cluster, and unused
        cut = xp.take(clustering.distances, xp.take(order, last))
        return clustering.distances <= take_or(cut, clustering.labels, -1.0)
