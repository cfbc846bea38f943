"""Nearest neighbours on the CPU by exhaustive search, in the precision of the points."""

import numpy as np

from gpussl.backend.blocks import Centred, map_on_threads, row_slices
from gpussl.backend.ranking import rank
from gpussl.numeric.arrays import squared_distances, squared_norms

QUERIES, POINTS = 2048, 512  # of one block of distances: 4 MiB in single precision
SPARE = 4  # candidates more than are asked for
ROUNDING = 16  # an error of a squared distance at most, in units of the last digit of the largest squared norms
RANKED_BYTES = 4 * 2**20  # of the candidates that are compared in double at once


def search(X: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of (n, d) points to each of (m, d) queries, the nearest first, ties by index.

    Returns
    -------
    indices : (m, k) int64 array
    squared : (m, k) float64 array
        Their squared distances.

    Raises
    ------
    ValueError
        The points or the queries hold NaN or infinity.
    """
    if not np.isfinite(queries).all():
        raise ValueError("queries: expected finite numbers, found NaN or infinity")
    points = Centred(X)
    queries = queries.astype(points.dtype, copy=False)
    with np.errstate(over="ignore"):  # what overflows is searched in double
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
    """Indices (m, k + a few) of points near to centred queries (m, d), and a squared distance that all others are
    beyond (m,).
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
    is_known = np.isfinite(distances).all(axis=1)  # not so if what they are made of is beyond the precision's range
    if n_candidates == len(points):
        return np.sort(indices, axis=1), np.where(is_known, np.inf, -np.inf)
    error = ROUNDING * np.finfo(queries.dtype).eps * (query_norms + np.max(norms))
    return np.sort(indices, axis=1), np.where(is_known, np.max(distances, axis=1) - error, -np.inf)


def _search_in_double(X: np.ndarray, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest (k,) of the points to one query (d,), and their squared distances (k,)."""
    blocks = row_slices(len(X), POINTS)
    squared = np.concatenate([squared_norms(X[rows].astype(np.float64) - query.astype(np.float64)) for rows in blocks])
    found = np.argsort(squared, kind="stable")[:k]
    return found, squared[found]
