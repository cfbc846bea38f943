"""What clusters say of their members, written once over the array API."""

from array_api_compat import array_namespace

from gpussl.numeric.arrays import group_bounds, group_sort, smallest_of_each_group, take_or
from gpussl.records import UNLABELLED, Array, Clustering


def cluster_names(clustering: Clustering, indices: Array, labels: Array) -> Array:
    """(k,): the bought label of each cluster, or -1; arguments as of `ClusterPropagation.propagate`."""
    source, known = nearest_bought(clustering, indices)
    xp = array_namespace(labels)
    return xp.where(known, xp.take(labels, source), UNLABELLED)


def nearness(clustering: Clustering) -> Array:
    """(n,) float64: the share of each point's cluster that is before it by distance to the centroid, 0 to below 1.

    Meaningless for a point in no cluster.
    """
    xp = array_namespace(clustering.labels)
    order, start, size = by_cluster(clustering)
    place = xp.argsort(order, stable=True)  # the inverse of the order
    rank = place - take_or(start, clustering.labels, 0)
    return xp.astype(rank, xp.float64) / xp.astype(take_or(size, clustering.labels, 1), xp.float64)


def nearest_bought(clustering: Clustering, indices: Array) -> tuple[Array, Array]:
    """(k,): the position in `indices` (m,) of each cluster's member nearest the centroid, and whether it has one."""
    xp = array_namespace(clustering.labels)
    clusters, distances = xp.take(clustering.labels, indices), xp.take(clustering.distances, indices)
    return smallest_of_each_group(clusters, distances, clustering.centroids.shape[0])


def by_cluster(clustering: Clustering) -> tuple[Array, Array, Array]:
    """The points in order of cluster and distance (n,), and where each cluster begins and its size (k,)."""
    order = group_sort(clustering.labels, clustering.distances)
    clusters = array_namespace(order).take(clustering.labels, order)
    return order, *group_bounds(clusters, clustering.centroids.shape[0])
