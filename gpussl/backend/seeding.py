"""Greedy k-means++ over weighted points, written once over the array API."""

import numpy as np
from array_api_compat import array_namespace

from gpussl.numeric.arrays import squared_distances, squared_norms
from gpussl.records import Array


def n_trials(n_clusters: int) -> int:
    """Return the number of candidates per seed: scikit-learn's.

    >>> n_trials(10)
    4
    """
    return 2 + int(np.log(n_clusters))


def table_pays(m: int, n_clusters: int) -> bool:
    """Return whether a table of all distances between m points takes no more work than the candidates of all seeds.

    >>> table_pays(40, n_clusters=10), table_pays(41, n_clusters=10)
    (True, False)
    """
    return m <= n_clusters * n_trials(n_clusters)


def greedy_seeds(points: Array, weights: Array, draws: Array) -> Array:
    """Choose seeds as the twins' `greedy_kmeans_plusplus` does, in array operations.

    >>> points = np.array([[0.0], [0.1], [9.0]])
    >>> greedy_seeds(points, np.ones(3), np.array([[0.2, 0.5], [0.9, 0.99]])).tolist()
    [1, 2]
    """
    xp, m, n_clusters = array_namespace(points), points.shape[0], draws.shape[0]
    norms = squared_norms(points)
    table = squared_distances(points, points, norms, norms) if table_pays(m, n_clusters) else None
    chosen, distances = [], xp.ones_like(weights)  # the first seed is drawn by weight alone
    for step in range(n_clusters):
        mass = xp.cumulative_sum(xp.astype(distances * weights, xp.float64))
        trials = xp.minimum(xp.searchsorted(mass, draws[step, :] * mass[-1]), m - 1)
        if table is not None:
            to_trials = xp.take(table, trials, axis=0)
        else:
            to_trials = squared_distances(xp.take(points, trials, axis=0), points, xp.take(norms, trials), norms)
        if step > 0:
            to_trials = xp.minimum(to_trials, distances[None, :])
        best = xp.reshape(xp.argmin(to_trials @ weights), (1,))
        chosen.append(xp.take(trials, best))
        distances = xp.take(to_trials, best, axis=0)[0, :]
    return xp.concat(chosen)
