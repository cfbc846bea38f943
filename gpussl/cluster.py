"""Cluster: a partition of the training points, from which come both what to label and how far a label reaches."""

import warnings
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace, device
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from gpussl import backend, seeds
from gpussl.arrays import (
    arange_like,
    group_bounds,
    itemsize,
    paired_distances,
    row_blocks,
    squared_distances,
    squared_norms,
)
from gpussl.errors import ConfigError
from gpussl.params import check, param
from gpussl.records import Array, Clustering

MAX_THREADS = 2
MIN_EXPECTED = 10  # candidates in a round: with fewer, a start for few clusters would often be left to chance


@dataclass(frozen=True)
class KMeans:
    """k-means: Lloyd's iterations of scikit-learn or cuML, from a k-means|| start of our own.

    The libraries' own start is where most of the time goes when there are many clusters: scikit-learn's greedy
    k-means++ reads all points once for every cluster.

    Parameters
    ----------
    n_clusters : int
    max_iter : int
        Lloyd iterations at most.
    tol : float
        Stop when the centroids move less. scikit-learn takes it relative to the data's variance; cuML stops too when
        the inertia falls by less than this share.
    oversampling, n_rounds : float, int
        Of the start: see `kmeans_parallel`.
    """

    n_clusters: int = param(8, ge=1)
    max_iter: int = param(300, ge=1)
    tol: float = param(1e-4, gt=0)
    oversampling: float = param(0.5, gt=0)
    n_rounds: int = param(5, ge=1)

    def __post_init__(self) -> None:
        check(self)

    def check_size(self, n: int) -> None:
        """Raise ConfigError if `n` points are too few."""
        if self.n_clusters > n:
            raise ConfigError(
                f"cluster.n_clusters: expected at most the number of training points, {n}, found {self.n_clusters}"
            )

    def fit(self, X: Array, seed: int) -> Clustering:
        """Cluster (n, d) points. Clusters may end empty where fewer than `n_clusters` points differ.

        Raises
        ------
        ConfigError
            More clusters than points.
        """
        self.check_size(X.shape[0])
        rng = seeds.generator(seed, "kmeans_parallel")
        start = kmeans_parallel(X, self.n_clusters, rng, oversampling=self.oversampling, n_rounds=self.n_rounds)
        estimator = backend.of(X).KMeans(
            n_clusters=self.n_clusters,
            init=start,
            n_init=1,
            max_iter=self.max_iter,
            tol=self.tol,
            random_state=seeds.derive(seed, "lloyd"),
        )
        # scikit-learn adds up its threads' sums in the order they arrive, so with more than two the last bits vary
        with warnings.catch_warnings(), threadpool_limits(MAX_THREADS, user_api="openmp"):
            # fewer distinct points than clusters: a partition with empty clusters is what is asked for then
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(X)
        centroids, labels = estimator.cluster_centers_, estimator.labels_
        return Clustering(
            centroids=centroids,
            labels=labels,
            distances=paired_distances(X, centroids, labels),
            inertia=float(estimator.inertia_),
            n_iter=int(estimator.n_iter_),
        )


def kmeans_parallel(
    X: Array, n_clusters: int, rng: np.random.Generator, *, oversampling: float = 0.5, n_rounds: int = 5
) -> Array:
    """A start for k-means by k-means||: (n, d) points -> (n_clusters, d) of them.

    A few rounds each draw about ``oversampling * n_clusters`` points at once, with probability proportional to the
    squared distance to the nearest one drawn before. The candidates, weighted by how many points each is nearest to,
    are reduced to `n_clusters` by greedy k-means++. All points are read `n_rounds` + 1 times, not `n_clusters` times.

    Random numbers are drawn on the host, so every device sees the same.

    References
    ----------
    Bahmani, Moseley, Vattani, Kumar, Vassilvitskii, "Scalable K-Means++", VLDB 2012.
    Arthur, Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
    """
    xp = array_namespace(X)
    indices, nearest = _draw_candidates(X, n_clusters, rng, oversampling, n_rounds)
    _, counts = group_bounds(xp.sort(nearest), indices.shape[0])
    candidates = xp.take(X, indices, axis=0)
    chosen = _greedy_kmeans_plusplus(candidates, xp.astype(counts, X.dtype), n_clusters, rng)
    return xp.take(candidates, chosen, axis=0)


def _draw_candidates(
    X: Array, n_clusters: int, rng: np.random.Generator, oversampling: float, n_rounds: int
) -> tuple[Array, Array]:
    """Indices (m,) of at least `n_clusters` different candidates, and for each point which of them is nearest (n,)."""
    xp, n = array_namespace(X), X.shape[0]
    expected = max(oversampling * n_clusters, MIN_EXPECTED)
    norms, everywhere = squared_norms(X), arange_like(n, X)
    distances = xp.full((n,), xp.inf, dtype=X.dtype, device=device(X))
    nearest, is_drawn = xp.zeros_like(everywhere), everywhere < 0
    new, indices = everywhere == int(rng.integers(n)), everywhere[:0]
    for round_number in range(n_rounds + 1):
        drawn = xp.nonzero(new)[0]
        distances, nearest = _update_nearest(X, norms, drawn, indices.shape[0], distances, nearest)
        indices, is_drawn = xp.concat([indices, drawn]), is_drawn | new
        mass = xp.where(is_drawn, 0.0, xp.astype(distances, xp.float64))
        uniform = xp.asarray(rng.random(n), device=device(X))
        missing = n_clusters - indices.shape[0]
        if round_number < n_rounds:
            new = uniform * xp.sum(mass) < expected * mass
        elif missing > 0:  # few distinct points, or few rounds: any others will do
            others = xp.argsort(xp.where(is_drawn, 2.0, uniform), stable=True)[:missing]
            distances, nearest = _update_nearest(X, norms, others, indices.shape[0], distances, nearest)
            indices = xp.concat([indices, others])
    return indices, nearest


def _update_nearest(
    X: Array, norms: Array, drawn: Array, offset: int, distances: Array, nearest: Array
) -> tuple[Array, Array]:
    """Squared distance to the nearest candidate, and its number, once the points at `drawn` (m,) are candidates too.

    The new candidates are numbered from `offset`.
    """
    xp = array_namespace(X)
    if drawn.shape[0] == 0:
        return distances, nearest
    candidates, candidate_norms = xp.take(X, drawn, axis=0), xp.take(norms, drawn)
    new_distances, new_nearest = [], []
    for rows in row_blocks(X.shape[0], drawn.shape[0] * itemsize(X)):
        block = squared_distances(X[rows, :], candidates, norms[rows], candidate_norms)
        closest = xp.min(block, axis=1)
        closer = closest < distances[rows]
        new_distances.append(xp.where(closer, closest, distances[rows]))
        new_nearest.append(xp.where(closer, xp.argmin(block, axis=1) + offset, nearest[rows]))
    return xp.concat(new_distances), xp.concat(new_nearest)


def _greedy_kmeans_plusplus(points: Array, weights: Array, n_clusters: int, rng: np.random.Generator) -> Array:
    """Indices (n_clusters,) of weighted points (m, d), each the best of a few drawn by squared distance.

    "Best" leaves the smallest weighted sum of squared distances, of 2 + log(n_clusters) tries, as scikit-learn does.
    """
    xp, m = array_namespace(points), points.shape[0]
    norms = squared_norms(points)
    n_trials = 2 + int(np.log(n_clusters))
    draws = xp.asarray(rng.random((n_clusters, n_trials)), device=device(points))
    chosen, distances = [], xp.ones_like(weights)  # the first is drawn by weight alone
    for step in range(n_clusters):
        mass = xp.cumulative_sum(xp.astype(distances * weights, xp.float64))
        trials = xp.minimum(xp.searchsorted(mass, draws[step, :] * mass[-1]), m - 1)
        to_trials = squared_distances(xp.take(points, trials, axis=0), points, xp.take(norms, trials), norms)
        if step > 0:
            to_trials = xp.minimum(to_trials, distances[None, :])
        best = xp.reshape(xp.argmin(to_trials @ weights), (1,))
        chosen.append(xp.take(trials, best))
        distances = xp.take(to_trials, best, axis=0)[0, :]
    return xp.concat(chosen)
