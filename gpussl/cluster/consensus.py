"""Consensus: what several clusterings of the same points agree on."""

import dataclasses

from array_api_compat import array_namespace, device

from gpussl import backend
from gpussl.numeric.allocations import assignment, contingency
from gpussl.numeric.arrays import take_or
from gpussl.records import Array, Clustering

NOISE = -1


def consensus(clusterings: list[Clustering]) -> Clustering:
    """The first of some clusterings, in which a point stays in its cluster only if all the others put it there too.

    Clusters of different clusterings are the same one where that makes most points agree: an assignment problem. A
    point that they do not agree on is in no cluster. Distances are the means over the clusterings, so a point is near
    only if all have it near.

    Parameters
    ----------
    clusterings : list of Clustering
        Of the same n points, however each has them represented, into as many clusters.

    References
    ----------
    Strehl, Ghosh, "Cluster ensembles: a knowledge reuse framework for combining multiple partitions", JMLR 2002.
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
    """(k,): which cluster of the reference each cluster of another clustering is."""
    twin, k = backend.of(reference.labels), reference.centroids.shape[0]
    xp = array_namespace(reference.labels)
    both = xp.where(reference.labels == NOISE, NOISE, clustering.labels)
    table = twin.to_numpy(contingency(both, reference.labels, clustering.centroids.shape[0], k, twin))
    _, names = assignment(table)
    return xp.asarray(names, device=device(reference.labels))
