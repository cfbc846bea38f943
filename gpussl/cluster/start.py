"""Starts for k-means: the choice of the initial centroids."""

import numpy as np
from array_api_compat import array_namespace, device

from gpussl import backend
from gpussl.backend.seeding import n_trials, table_pays
from gpussl.numeric.arrays import arange_like, group_bounds, itemsize, row_blocks, squared_distances, squared_norms
from gpussl.records import Array

TABLE_ROWS = 8192  # candidates in a table of all their distances: 256 MiB in single precision
MIN_EXPECTED = 10  # candidates per round, at least: with fewer, a start for few clusters is often poor


def kmeans_parallel(
    X: Array, n_clusters: int, rng: np.random.Generator, *, oversampling: float = 0.5, n_rounds: int = 5
) -> Array:
    """Choose the initial centroids by k-means||: (n_clusters, d) of (n, d) points.

    Each round draws about ``oversampling * n_clusters`` candidates at once, with probability proportional to the
    squared distance to the nearest candidate so far. Greedy k-means++ then reduces the candidates to `n_clusters`, each
    weighted by the number of points nearest to it. All points are read `n_rounds` + 1 times, not `n_clusters` times.

    With more than `TABLE_ROWS` candidates, random groups of them are reduced separately, each to its share of the
    clusters. The cost then grows linearly in the candidates, not quadratically.

    Random numbers are drawn on the host, so every device uses the same.

    References
    ----------
    Bahmani, Moseley, Vattani, Kumar, Vassilvitskii, "Scalable K-Means++", VLDB 2012.
    Arthur, Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.

    Examples
    --------
    >>> X = np.array([[0.0], [0.1], [9.0], [9.1]])
    >>> start = kmeans_parallel(X, 2, np.random.default_rng(0))
    >>> sorted(start[:, 0].round().tolist())
    [0.0, 9.0]
    """
    xp = array_namespace(X)
    indices, nearest = _draw_candidates(X, n_clusters, rng, oversampling, n_rounds)
    _, counts = group_bounds(xp.sort(nearest), indices.shape[0])
    candidates, weights = xp.take(X, indices, axis=0), xp.astype(counts, X.dtype)
    chosen = []
    for group, share in _groups(indices.shape[0], n_clusters, rng):
        members = xp.asarray(group, device=device(X))
        points = xp.take(candidates, members, axis=0)
        draws = xp.asarray(rng.random((share, n_trials(share))), device=device(X))
        found = backend.of(X).greedy_kmeans_plusplus(points, xp.take(weights, members), draws)
        chosen.append(xp.take(members, found))
    return xp.take(candidates, xp.concat(chosen), axis=0)


def _groups(m: int, n_clusters: int, rng: np.random.Generator) -> list[tuple[np.ndarray, int]]:
    """Split m candidates at random into groups of at most `TABLE_ROWS`, each with its number of clusters."""
    n_groups = -(-m // TABLE_ROWS)
    if n_groups == 1 or not table_pays(m, n_clusters):
        return [(np.arange(m), n_clusters)]
    shares = [len(part) for part in np.array_split(np.arange(n_clusters), n_groups)]
    return list(zip(np.array_split(rng.permutation(m), n_groups), shares, strict=True))


def _draw_candidates(
    X: Array, n_clusters: int, rng: np.random.Generator, oversampling: float, n_rounds: int
) -> tuple[Array, Array]:
    """Draw at least `n_clusters` distinct candidates: their indices (m,), and each point's nearest candidate (n,)."""
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
        elif missing > 0:  # few distinct points, or few rounds: fill up with any others
            others = xp.argsort(xp.where(is_drawn, 2.0, uniform), stable=True)[:missing]
            distances, nearest = _update_nearest(X, norms, others, indices.shape[0], distances, nearest)
            indices = xp.concat([indices, others])
    return indices, nearest


def _update_nearest(
    X: Array, norms: Array, drawn: Array, offset: int, distances: Array, nearest: Array
) -> tuple[Array, Array]:
    """Update the squared distance to the nearest candidate, and its number, for new candidates at `drawn` (m,).

    The new candidates are numbered from `offset`.
    """
    xp = array_namespace(X)
    if drawn.shape[0] == 0:
        return distances, nearest
    candidates, candidate_norms = xp.take(X, drawn, axis=0), xp.take(norms, drawn)
    new_distances, new_nearest = [], []
    for rows in row_blocks(X.shape[0], (drawn.shape[0] + X.shape[1]) * itemsize(X)):
        block = squared_distances(X[rows, :], candidates, norms[rows], candidate_norms)
        closest = xp.min(block, axis=1)
        closer = closest < distances[rows]
        new_distances.append(xp.where(closer, closest, distances[rows]))
        new_nearest.append(xp.where(closer, xp.argmin(block, axis=1) + offset, nearest[rows]))
    return xp.concat(new_distances), xp.concat(new_nearest)
