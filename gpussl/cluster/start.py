"""Starts for k-means: which points the first centroids are."""

import numpy as np
from array_api_compat import array_namespace, device

from gpussl import backend
from gpussl.backend.seeding import n_trials, table_pays
from gpussl.numeric.arrays import arange_like, group_bounds, itemsize, row_blocks, squared_distances, squared_norms
from gpussl.records import Array

TABLE_ROWS = 8192  # candidates between which all distances are kept: 256 MiB in single precision
MIN_EXPECTED = 10  # candidates in a round: with fewer, a start for few clusters would often be left to chance


def kmeans_parallel(
    X: Array, n_clusters: int, rng: np.random.Generator, *, oversampling: float = 0.5, n_rounds: int = 5
) -> Array:
    """A start for k-means by k-means||: (n, d) points -> (n_clusters, d) of them.

    A few rounds each draw about ``oversampling * n_clusters`` points at once, with probability proportional to the
    squared distance to the nearest one drawn before. The candidates, weighted by how many points each is nearest to,
    are reduced to `n_clusters` by greedy k-means++. All points are read `n_rounds` + 1 times, not `n_clusters` times.
    Beyond some 8,000 candidates, random groups of them are reduced apart, each to its share of the clusters: what that
    takes grows as the candidates, not as their square.

    Random numbers are drawn on the host, so every device sees the same.

    References
    ----------
    Bahmani, Moseley, Vattani, Kumar, Vassilvitskii, "Scalable K-Means++", VLDB 2012.
    Arthur, Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
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
    """Random groups of m candidates, no more than may have a table, and how many clusters each is to give."""
    n_groups = -(-m // TABLE_ROWS)
    if n_groups == 1 or not table_pays(m, n_clusters):
        return [(np.arange(m), n_clusters)]
    shares = [len(part) for part in np.array_split(np.arange(n_clusters), n_groups)]
    return list(zip(np.array_split(rng.permutation(m), n_groups), shares, strict=True))


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
    for rows in row_blocks(X.shape[0], (drawn.shape[0] + X.shape[1]) * itemsize(X)):
        block = squared_distances(X[rows, :], candidates, norms[rows], candidate_norms)
        closest = xp.min(block, axis=1)
        closer = closest < distances[rows]
        new_distances.append(xp.where(closer, closest, distances[rows]))
        new_nearest.append(xp.where(closer, xp.argmin(block, axis=1) + offset, nearest[rows]))
    return xp.concat(new_distances), xp.concat(new_nearest)
