"""Nearest neighbours on the CPU by exhaustive search, in the precision of the points."""

import numpy as np

from gpussl.arrays import squared_distances, squared_norms
from gpussl.backend.blocks import Centred, map_on_threads, row_slices

QUERIES, POINTS = 2048, 512  # of one block of distances: 4 MiB in single precision
SPARE = 4  # candidates more than are asked for
ROUNDING = 16  # an error of a squared distance at most, in units of the last digit of the largest squared norms
RANKED_BYTES = 4 * 2**20  # of the candidates that are compared in double at once


class KNeighborsClassifier:
    """The class most frequent among the nearest points, under the names of scikit-learn's and cuML's.

    scikit-learn computes such distances in double precision. Here they are in that of the points; the nearest few are
    compared once more in double, and so are all where rounding might have hidden one.
    """

    def __init__(self, n_neighbors: int = 5, *, algorithm: str = "brute") -> None:
        self.n_neighbors, self.algorithm = n_neighbors, algorithm

    def fit(self, X: np.ndarray, y: np.ndarray) -> "KNeighborsClassifier":
        """Keep (n, d) points and their (n,) classes."""
        self.X_, self.y_ = X, y
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """(m, d) -> (m,) classes; of those equally frequent, the first."""
        classes, encoded = np.unique(self.y_, return_inverse=True)
        found = encoded[nearest(self.X_, X, self.n_neighbors)]
        votes = np.stack([np.count_nonzero(found == j, axis=1) for j in range(len(classes))], axis=1)
        return classes[np.argmax(votes, axis=1)]


def nearest(X: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """The indices (m, k) that `search` finds."""
    return search(X, queries, k)[0]


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
        found[rows], squared[rows] = _rank(X, queries[rows], candidates, k)
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


def _rank(X: np.ndarray, queries: np.ndarray, indices: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest (m, k) of the points at `indices` (m, c), and their squared distances (m, k)."""
    ranked, ascending = np.empty((len(queries), k), dtype=np.int64), np.empty((len(queries), k))
    n_rows = max(1, RANKED_BYTES // (8 * indices.shape[1] * queries.shape[1]))
    for rows in row_slices(len(queries), n_rows):
        differences = X[indices[rows]].astype(np.float64) - queries[rows][:, None, :]
        squared = np.einsum("ijk,ijk->ij", differences, differences)
        order = np.argsort(squared, axis=1, kind="stable")[:, :k]
        ranked[rows] = np.take_along_axis(indices[rows], order, axis=1)
        ascending[rows] = np.take_along_axis(squared, order, axis=1)
    return ranked, ascending


def _search_in_double(X: np.ndarray, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest (k,) of the points to one query (d,), and their squared distances (k,)."""
    blocks = row_slices(len(X), POINTS)
    squared = np.concatenate([squared_norms(X[rows].astype(np.float64) - query.astype(np.float64)) for rows in blocks])
    found = np.argsort(squared, kind="stable")[:k]
    return found, squared[found]
