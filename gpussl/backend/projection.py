"""Projections on the first principal axes: usually enough to tell which of a few centroids is nearest."""

import numpy as np

from gpussl.backend.blocks import Centred, OnThreads, row_slices
from gpussl.numeric.arrays import principal_axes, squared_norms

BLOCK_ROWS = 2048  # per matrix product, so that its result stays in the cache
SAMPLE_ROWS = 8192  # points that the axes are computed from: any axes give correct clusters, good ones leave few doubts
KEPT_BYTES = 256 * 2**20  # limit for keeping the projected points; beyond, they are recomputed when needed
REST = 0.05  # share of the variance that the axes may leave out
ROUNDING = 16  # bound on the error of a product, in epsilons of the product of the norms


class Projection:
    """Points projected on their first principal axes, with a bound on the remainder.

    The product of a point and a centroid equals the product of their projections, up to the product of the norms of
    their remainders (Cauchy-Schwarz). A centroid is the mean of many points, so its remainder is small: for ten
    clusters of MNIST and a fifth of the axes, one point in fifty stays in doubt.

    Parameters
    ----------
    X : Centred
        (n, d) points.
    norms : (n,) array
        Their squared norms.
    on_threads : callable
        From `map_on_threads`.

    Examples
    --------
    >>> from gpussl.backend.blocks import map_on_threads
    >>> X = Centred(np.array([[0.0, 0.0], [1.0, 0.0], [9.0, 0.0], [10.0, 0.0]]))
    >>> with map_on_threads() as on_threads:
    ...     labels, _ = Projection(X, X.squared_norms(4), on_threads).nearest(X[[0, 3]][None], on_threads)
    >>> labels.tolist()
    [[0, 0, 1, 1]]
    """

    def __init__(self, X: Centred, norms: np.ndarray, on_threads: OnThreads) -> None:
        n = len(X)
        _, variances, axes = principal_axes(X[np.arange(0, n, -(-n // SAMPLE_ROWS))])
        explained = np.cumsum(np.maximum(variances, 0))
        n_axes = 1 + int(np.searchsorted(explained, (1 - REST) * explained[-1]))
        self._X, self._axes = X, axes[:, :n_axes].astype(X.dtype)
        self._norms, self._rest = np.sqrt(norms), np.empty_like(norms)
        is_small = n * n_axes * self._axes.itemsize <= KEPT_BYTES
        self._kept = np.empty((n, self._axes.shape[1]), dtype=X.dtype) if is_small else None

        def work(rows: slice) -> None:
            shown = X[rows] @ self._axes
            rounding = ROUNDING * np.finfo(X.dtype).eps * norms[rows]  # the difference may cancel entirely
            self._rest[rows] = np.sqrt(np.maximum(norms[rows] - squared_norms(shown), 0) + rounding)
            if self._kept is not None:
                self._kept[rows] = shown

        on_threads(work, row_slices(n, BLOCK_ROWS))

    def nearest(self, centroids: np.ndarray, on_threads: OnThreads) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest of k centroids to each point by the projections, for m sets of centroids.

        Parameters
        ----------
        centroids : (m, k, d) array

        Returns
        -------
        labels : (m, n) int32 array
        doubts : (m, n) bool array
            Whether another centroid may be nearer.
        """
        m, k, _ = centroids.shape
        shown = centroids @ self._axes
        norms = np.sum(centroids * centroids, axis=2)
        apart = _largest_distances(centroids - shown @ self._axes.T)
        digits = ROUNDING * np.finfo(shown.dtype).eps * np.sqrt(norms.max(axis=1))
        shown, norms = np.moveaxis(shown, 0, 1).reshape(k * m, -1), norms.T.ravel()
        n = len(self._norms)
        labels, doubts = np.empty((m, n), dtype=np.int32), np.empty((m, n), dtype=bool)

        def work(rows: slice) -> None:
            points = self._X[rows] @ self._axes if self._kept is None else self._kept[rows]
            products = points @ shown.T
            products -= norms / 2
            which, lead = _first_and_lead(products.reshape(-1, k, m))
            error = self._rest[rows, None] * apart
            error += self._norms[rows, None] * digits
            labels[:, rows], doubts[:, rows] = which.T, (lead <= error).T

        on_threads(work, row_slices(n, BLOCK_ROWS))
        return labels, doubts


def _largest_distances(points: np.ndarray) -> np.ndarray:
    """Find the largest distance between two of k points, for each of m sets: (m, k, d) -> (m,)."""
    exact = points.astype(np.float64)
    products = exact @ np.swapaxes(exact, 1, 2)
    norms = np.diagonal(products, axis1=1, axis2=2)
    squared = norms[:, :, None] + norms[:, None, :] - 2 * products
    return np.sqrt(np.maximum(squared, 0).max(axis=(1, 2))).astype(points.dtype)


def _first_and_lead(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the largest value along the middle axis of (n, k, m): position (n, m) and lead over the second (n, m)."""
    largest = values[:, 0, :].copy()
    next_, which = np.full_like(largest, -np.inf), np.zeros(largest.shape, dtype=np.int8)
    for j in range(1, values.shape[1]):  # NumPy's argmax over a middle axis is slow
        value = values[:, j, :]
        np.maximum(which, (value > largest) * np.int8(j), out=which)
        np.maximum(next_, np.minimum(value, largest), out=next_)
        np.maximum(largest, value, out=largest)
    largest -= next_
    return which, largest
