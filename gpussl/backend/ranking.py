"""Exact ranking of nearest neighbours: candidates compared in double precision, over the array API."""

from array_api_compat import array_namespace

from gpussl.numeric.arrays import mean_row, row_blocks, squared_distances, squared_norms
from gpussl.records import Array


def rank(X: Array, queries: Array, candidates: Array, k: int, block_bytes: int | None = None) -> tuple[Array, Array]:
    """Rank the candidates (m, c), rows of `X` (n, d), of each of (m, d) queries, and keep the k nearest, ties by index.

    Differences of `block_bytes`, by default those of `row_blocks`, are held at once.

    Returns
    -------
    indices : (m, k) int array
    squared : (m, k) float64 array
        Their squared distances, ascending.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]])
    >>> indices, squared = rank(X, X[:1], np.array([[2, 1]]), k=1)
    >>> indices.tolist(), squared.tolist()
    ([[1]], [[25.0]])
    """
    xp, c = array_namespace(X, queries), candidates.shape[1]
    ranked, ascending = [], []
    for rows in row_blocks(queries.shape[0], 8 * c * queries.shape[1], block_bytes):
        names = xp.sort(candidates[rows, :], axis=1)
        points = xp.reshape(xp.take(X, xp.reshape(names, (-1,)), axis=0), (names.shape[0], c, -1))
        differences = xp.astype(points, xp.float64) - xp.astype(queries[rows, :], xp.float64)[:, None, :]
        squared = xp.vecdot(differences, differences)
        order = xp.argsort(squared, axis=1, stable=True)[:, :k]
        ranked.append(xp.take_along_axis(names, order, axis=1))
        ascending.append(xp.take_along_axis(squared, order, axis=1))
    return xp.concat(ranked), xp.concat(ascending)


def search_in_double(X: Array, queries: Array, k: int) -> tuple[Array, Array]:
    """Find the k nearest of (n, d) points to each of (m, d) queries, all in double precision; results as in `rank`.

    >>> import numpy as np
    >>> X = np.array([[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]])
    >>> indices, squared = search_in_double(X, X[:1], k=2)
    >>> indices.tolist(), squared.tolist()
    ([[0, 1]], [[0.0, 25.0]])
    """
    xp, mean = array_namespace(X, queries), mean_row(X)
    points = xp.astype(X, xp.float64) - mean
    norms, found = squared_norms(points), []
    for rows in row_blocks(queries.shape[0], 16 * X.shape[0]):
        block = xp.astype(queries[rows, :], xp.float64) - mean
        squared = squared_distances(block, points, squared_norms(block), norms)
        found.append(xp.argsort(squared, axis=1, stable=True)[:, :k])
    return rank(X, queries, xp.concat(found), k)
