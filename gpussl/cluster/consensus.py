"""Consensus: the clusters that several clusterings of the same points agree on."""

import dataclasses

from array_api_compat import array_namespace, device

from gpussl import backend
from gpussl.numeric.allocations import assignment, contingency
from gpussl.numeric.arrays import take_or
from gpussl.records import Array, Clustering

NOISE = -1


def consensus(clusterings: list[Clustering]) -> Clustering:
    """Restrict the first clustering to the points that all the others put into the same cluster.

    The clusters of another clustering are matched one-to-one with those of the first so that most points agree (an
    assignment problem). Points without agreement belong to no cluster. Distances are means over the clusterings, so a
    point is near only if it is near in all of them.

    Parameters
    ----------
    clusterings : list of Clustering
        Of the same n points, in any representations, with the same number of clusters.

    References
    ----------
    Strehl, Ghosh, "Cluster ensembles: a knowledge reuse framework for combining multiple partitions", JMLR 2002.

    Examples
    --------
    >>> import numpy as np
    >>> one, other = (
    ...     Clustering(np.zeros((2, 1)), np.array(labels), np.zeros(5), inertia=0.0, n_iter=1)
    ...     for labels in ([0, 0, 0, 1, 1], [1, 1, 0, 0, 0])
    ... )
    >>> consensus([one, other]).labels.tolist()
    [0, 0, -1, 1, 1]
    """
    first, *others = clusterings
    xp, labels, distances = array_namespace(first.labels), first.labels, first.distances
    for other in others:
        renamed = take_or(_names(other, first), other.labels, NOISE)
        labels = xp.where(labels == renamed, labels, NOISE)
        distances = distances + other.distances
    distances = distances / len(clusterings)
    inside = xp.astype(labels != NOISE, distances.dtype)
    return dataclasses.replace(
        first, labels=labels, distances=distances, inertia=float(xp.sum(inside * distances * distances))
    )


def _names(clustering: Clustering, reference: Clustering) -> Array:
    """Match each cluster (k,) of a clustering with a cluster of the reference."""
    twin, k = backend.of(reference.labels), reference.centroids.shape[0]
    xp = array_namespace(reference.labels)
    both = xp.where(reference.labels == NOISE, NOISE, clustering.labels)
    table = twin.to_numpy(contingency(both, reference.labels, clustering.centroids.shape[0], k, twin))
    _, names = assignment(table)
    return xp.asarray(names, device=device(reference.labels))
