"""Propagate: from the few labels that were bought to labels for the points around them."""

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

    needs_clusters: ClassVar[bool] = True
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
        """(n,) bool: is each point among its cluster's nearest share?"""
        xp = array_namespace(clustering.labels)
        order, start, size = by_cluster(clustering)
        last = start + xp.astype(xp.floor(xp.astype(size - 1, xp.float64) * self.percentile / 100), start.dtype)
        last = xp.clip(last, 0, clustering.labels.shape[0] - 1)  # an empty cluster's is meaningless, and not used
        cut = xp.take(clustering.distances, xp.take(order, last))
        return clustering.distances <= take_or(cut, clustering.labels, -1.0)
