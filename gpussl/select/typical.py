"""Select the most typical member of each cluster: the one in its densest region."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace, device

from gpussl import backend, seeds
from gpussl.numeric.arrays import (
    arange_like,
    centred,
    group_bounds,
    itemsize,
    row_blocks,
    squared_distances,
    squared_norms,
)
from gpussl.protocols import Selection
from gpussl.records import Answers, Array, Clustering
from gpussl.runtime.params import check, param
from gpussl.select.checks import has_answer, of_largest, require_clusters

MAX_MEMBERS = 8192  # seconds a cluster on two cores; without a limit, 600,000 points in 50 clusters take minutes


@dataclass(frozen=True)
class Typical(Selection):
    """Select from each cluster the member nearest, on average, to its nearest fellow members, ties to the first.

    All pairs of members are compared; a cluster of more than `MAX_MEMBERS` is represented by a random sample of it.
    Unlike the member nearest the centroid, it lies in a dense region even if the cluster is not convex. Empty clusters
    have no such member.

    Parameters
    ----------
    n_neighbors : int
        Number of nearest members in the mean; in smaller clusters, all others.

    References
    ----------
    Hacohen, Dekel, Weinshall, "Active learning on a budget: opposite strategies suit high and low budgets", ICML 2022.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [3.0], [9.0]])
    >>> centroids, distances = np.array([[4.0 / 3], [9.0]]), np.array([4.0 / 3, 1.0 / 3, 5.0 / 3, 0.0])
    >>> clusters = Clustering(centroids, np.array([0, 0, 0, 1]), distances, inertia=4.67, n_iter=1)
    >>> nothing = Answers(np.zeros(0, dtype=int), np.zeros(0, dtype=int))
    >>> Typical().select(X, clusters, nothing, n=None, seed=0).tolist()
    [1, 3]
    """

    name: ClassVar[str] = "typical"
    needs_clusters: ClassVar[bool] = True
    one_per_cluster: ClassVar[bool] = True
    n_neighbors: int = param(20, ge=1)

    def __post_init__(self) -> None:
        check(self)

    def select(self, X: Array, clustering: Clustering, answers: Answers, n: int | None, seed: int) -> Array:
        """Return the most typical members of the clusters without an answer; with `n`, only of the `n` largest.

        Raises
        ------
        ConfigError
            There are no clusters.
        """
        require_clusters(clustering, self.name)
        xp, to_numpy = array_namespace(clustering.labels), backend.of(clustering.labels).to_numpy
        order = xp.argsort(clustering.labels, stable=True)
        starts, sizes = map(to_numpy, group_bounds(xp.take(clustering.labels, order), clustering.centroids.shape[0]))
        open_ones = of_largest(np.flatnonzero((sizes > 0) & ~has_answer(clustering, answers)), sizes, n)
        chosen = []
        for cluster in open_ones.tolist():
            members = order[int(starts[cluster]) : int(starts[cluster] + sizes[cluster])]
            chosen.append(self._most_typical(X, _at_most(MAX_MEMBERS, members, seed, cluster)))
        return xp.sort(xp.concat(chosen)) if chosen else order[:0]

    def _most_typical(self, X: Array, members: Array) -> Array:
        """Return the most typical (1,) of the points at ascending `members` (m,)."""
        if members.shape[0] <= 2:  # two points are equally typical
            return members[:1]
        xp = array_namespace(members)
        points = xp.take(X, members, axis=0)
        best = xp.argmin(mean_distances(points, self.n_neighbors))
        return xp.take(members, xp.reshape(best, (1,)))


def _at_most(limit: int, members: Array, seed: int, cluster: int) -> Array:
    """Return ascending `members` (m,), or a random sample of them if they are too many."""
    if members.shape[0] <= limit:
        return members
    drawn = seeds.generator(seed, f"typical {cluster}").choice(members.shape[0], size=limit, replace=False)
    return array_namespace(members).take(members, backend.of(members).asarray(np.sort(drawn)))


def mean_distances(points: Array, n_neighbors: int) -> Array:
    """Compute each point's mean distance to its `n_neighbors` nearest others, or all if fewer: (n, d) -> (n,).

    Typicality is the inverse. All pairs are compared, a block at a time.

    >>> import numpy as np
    >>> mean_distances(np.array([[0.0], [1.0], [5.0]]), n_neighbors=1).tolist()
    [1.0, 1.0, 4.0]
    """
    xp, n = array_namespace(points), points.shape[0]
    k = min(n_neighbors, n - 1)
    points = centred(points)
    norms, names = squared_norms(points), arange_like(n, points)
    itself = xp.asarray(xp.inf, dtype=points.dtype, device=device(points))
    means = []
    for rows in row_blocks(n, n * itemsize(points)):
        squared = squared_distances(points[rows, :], points, norms[rows], norms)
        squared = xp.where(names[rows][:, None] == names[None, :], itself, squared)
        means.append(xp.sum(xp.sqrt(smallest(squared, k)), axis=1) / k)
    return xp.concat(means)


def smallest(X: Array, k: int) -> Array:
    """Return the k smallest values of each row, ascending: (n, m) -> (n, k).

    >>> import numpy as np
    >>> smallest(np.array([[3, 1, 2], [0, 5, 4]]), 2).tolist()
    [[1, 2], [0, 4]]
    """
    xp = array_namespace(X)
    if hasattr(xp, "partition") and k < X.shape[1]:  # not in the array API standard; linear, where sorting is not
        X = xp.partition(X, k - 1, axis=1)[:, :k]
    return xp.sort(X, axis=1, stable=False)[:, :k]
