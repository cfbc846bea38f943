"""Properties of cluster members, written once over the array API."""

from array_api_compat import array_namespace

from gpussl.numeric.arrays import group_bounds, group_sort, smallest_of_each_group, take_or
from gpussl.records import UNLABELLED, Array, Clustering


def cluster_names(clustering: Clustering, indices: Array, labels: Array) -> Array:
    """Name each of k clusters by its labelled member nearest the centroid: (k,) labels, -1 without such a member.

    Parameters
    ----------
    clustering : Clustering
        k clusters of n points.
    indices, labels : (m,) int array
        The labelled points, and their classes.

    Examples
    --------
    >>> import numpy as np
    >>> clusters = Clustering(np.zeros((1, 2)), np.array([0, 0, -1]), np.array([2.0, 1.0, 0.0]), inertia=5.0, n_iter=1)
    >>> cluster_names(clusters, np.array([0, 1]), np.array([7, 8])).tolist()
    [8]
    """
    source, known = nearest_bought(clustering, indices)
    xp = array_namespace(labels)
    return xp.where(known, xp.take(labels, source), UNLABELLED)


def nearness(clustering: Clustering) -> Array:
    """Rank each point within its cluster: the share of the members nearer to the centroid, (n,) float64 in [0, 1).

    Meaningless for a point in no cluster.

    >>> import numpy as np
    >>> clusters = Clustering(np.zeros((1, 2)), np.array([0, 0, -1]), np.array([2.0, 1.0, 0.0]), inertia=5.0, n_iter=1)
    >>> nearness(clusters).tolist()[:2]
    [0.5, 0.0]
    """
    xp = array_namespace(clustering.labels)
    order, start, size = by_cluster(clustering)
    place = xp.argsort(order, stable=True)  # the inverse of the order
    rank = place - take_or(start, clustering.labels, 0)
    return xp.astype(rank, xp.float64) / xp.astype(take_or(size, clustering.labels, 1), xp.float64)


def nearest_bought(clustering: Clustering, indices: Array) -> tuple[Array, Array]:
    """Find the labelled point nearest the centroid of each of k clusters.

    Parameters
    ----------
    indices : (m,) int array
        The labelled points.

    Returns
    -------
    position : (k,) int array
        Its position in `indices`; meaningless for a cluster without labelled points.
    known : (k,) bool array
        Whether the cluster has a labelled point.

    Examples
    --------
    >>> import numpy as np
    >>> clusters = Clustering(np.zeros((1, 2)), np.array([0, 0, -1]), np.array([2.0, 1.0, 0.0]), inertia=5.0, n_iter=1)
    >>> position, known = nearest_bought(clusters, np.array([0, 1]))
    >>> position.tolist(), known.tolist()
    ([1], [True])
    """
    xp = array_namespace(clustering.labels)
    clusters, distances = xp.take(clustering.labels, indices), xp.take(clustering.distances, indices)
    return smallest_of_each_group(clusters, distances, clustering.centroids.shape[0])


def by_cluster(clustering: Clustering) -> tuple[Array, Array, Array]:
    """Sort the points by cluster, then by distance to the centroid: their order (n,), cluster starts (k,), sizes (k,).

    >>> import numpy as np
    >>> clusters = Clustering(np.zeros((1, 2)), np.array([0, 0, -1]), np.array([2.0, 1.0, 0.0]), inertia=5.0, n_iter=1)
    >>> [part.tolist() for part in by_cluster(clusters)]
    [[2, 1, 0], [1], [2]]
    """
    order = group_sort(clustering.labels, clustering.distances)
    clusters = array_namespace(order).take(clustering.labels, order)
    return order, *group_bounds(clusters, clustering.centroids.shape[0])
