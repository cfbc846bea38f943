"""Nearest neighbours on the CPU: exhaustive search in the precision of the points, checked in double."""

import numpy as np

from gpussl.backend.blocks import Centred, map_on_threads, row_slices
from gpussl.backend.ranking import rank
from gpussl.numeric.arrays import squared_distances, squared_norms

QUERIES, POINTS = 2048, 512  # rows and columns of a block of distances: 4 MiB in single precision
SPARE = 4  # additional candidates: rounding may swap the last few
ROUNDING = 16  # bound on the error of a squared distance, in epsilons of the largest squared norms
RANKED_BYTES = 4 * 2**20  # differences compared in double at once


def search(X: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the k nearest of (n, d) points to each of (m, d) queries, nearest first, ties by index.

    Returns
    -------
    indices : (m, k) int64 array
    squared : (m, k) float64 array
        Their squared distances.

    Raises
    ------
    ValueError
        The points or the queries hold NaN or infinity.

    Examples
    --------
    >>> X = np.array([[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]])
    >>> indices, squared = search(X, X[:1], k=2)
    >>> indices.tolist(), squared.tolist()
    ([[0, 1]], [[0.0, 25.0]])
    """
    if not np.isfinite(queries).all():
        raise ValueError("queries: expected finite numbers, found NaN or infinity")
    points = Centred(X)
    queries = queries.astype(points.dtype, copy=False)
    with np.errstate(over="ignore"):  # queries that overflow are searched again in double
        norms = points.squared_norms(POINTS)
    found, squared = np.empty((len(queries), k), dtype=np.int64), np.empty((len(queries), k))

    def work(rows: slice) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            candidates, least_of_others = _candidates(points, norms, queries[rows] - points.mean, k)
        found[rows], squared[rows] = rank(X, queries[rows], candidates, k, RANKED_BYTES)
        for row in rows.start + np.flatnonzero(~(squared[rows, -1] < least_of_others)):
            found[row], squared[row] = _search_in_double(X, queries[row], k)

    with map_on_threads() as on_threads:
        on_threads(work, row_slices(len(queries), QUERIES))
    return found, squared


def _candidates(points: Centred, norms: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find candidates for the nearest neighbours of centred queries (m, d).

    Returns
    -------
    indices : (m, k + a few) int64 array
        Ascending.
    least_of_others : (m,) array
        Lower bound on the squared distance to any other point; -inf if the distances overflowed.
    """
    n_candidates = min(k + SPARE, len(points))
    query_norms = squared_norms(queries)
    distances = np.full((len(queries), n_candidates), np.inf, dtype=queries.dtype)
    indices = np.zeros((len(queries), n_candidates), dtype=np.int64)
    for rows in row_slices(len(points), POINTS):
        to_rows = squared_distances(queries, points[rows], query_norms, norms[rows])
        closer = np.flatnonzero(np.min(to_rows, axis=1) < np.max(distances, axis=1))
        of_rows = np.broadcast_to(np.arange(rows.start, rows.stop), (len(closer), rows.stop - rows.start))
        both = np.concatenate([distances[closer], to_rows[closer]], axis=1)
        names = np.concatenate([indices[closer], of_rows], axis=1)
        least = np.argpartition(both, n_candidates - 1, axis=1)[:, :n_candidates]
        distances[closer] = np.take_along_axis(both, least, axis=1)
        indices[closer] = np.take_along_axis(names, least, axis=1)
    is_known = np.isfinite(distances).all(axis=1)  # not where norms or products overflowed
    if n_candidates == len(points):
        return np.sort(indices, axis=1), np.where(is_known, np.inf, -np.inf)
    error = ROUNDING * np.finfo(queries.dtype).eps * (query_norms + np.max(norms))
    return np.sort(indices, axis=1), np.where(is_known, np.max(distances, axis=1) - error, -np.inf)


def _search_in_double(X: np.ndarray, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the k nearest points (k,) to one query (d,), and their squared distances (k,)."""
    blocks = row_slices(len(X), POINTS)
    squared = np.concatenate([squared_norms(X[rows].astype(np.float64) - query.astype(np.float64)) for rows in blocks])
    found = np.argsort(squared, kind="stable")[:k]
    return found, squared[found]
