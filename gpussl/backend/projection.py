"""Points along their first principal axes: enough, mostly, to tell which of a few centroids is the nearest."""

import numpy as np

from gpussl.backend.blocks import Centred, OnThreads, row_slices
from gpussl.numeric.arrays import principal_axes, squared_norms

BLOCK_ROWS = 2048
SAMPLE_ROWS = 8192  # from which the axes are found: any would do, but these leave little beyond them
KEPT_BYTES = 256 * 2**20  # of what is shown of the points: where it is more it is made again whenever it is needed
REST = 0.05  # of the variance, at most, lies beyond the axes that are kept
ROUNDING = 16  # an error of a product at most, in units of the last digit of the norms


class Projection:
    """What the first principal axes show of the points, and how much lies beyond.

    The product of a point and a centroid is that of what is shown of both, give or take the norms of the rest of both
    multiplied (Cauchy and Schwarz). A centroid is the mean of many points, whose rests nearly cancel out: for ten
    clusters of MNIST and a fifth of its axes, one point in fifty is left in doubt.

    Parameters
    ----------
    X : Centred
        (n, d) points.
    norms : (n,) array
        Their squared norms.
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
            rounding = ROUNDING * np.finfo(X.dtype).eps * norms[rows]  # of a difference that may be all digits lost
            self._rest[rows] = np.sqrt(np.maximum(norms[rows] - squared_norms(shown), 0) + rounding)
            if self._kept is not None:
                self._kept[rows] = shown

        on_threads(work, row_slices(n, BLOCK_ROWS))

    def nearest(self, centroids: np.ndarray, on_threads: OnThreads) -> tuple[np.ndarray, np.ndarray]:
        """The nearest of k centroids to each point, by what is shown, for m sets of them: (m, k, d) -> (m, n).

        And whether that is in doubt, (m, n).
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
    """(m, k, d) -> (m,) the largest distance between two of each k, to the digits of the points."""
    exact = points.astype(np.float64)
    products = exact @ np.swapaxes(exact, 1, 2)
    norms = np.diagonal(products, axis1=1, axis2=2)
    squared = norms[:, :, None] + norms[:, None, :] - 2 * products
    return np.sqrt(np.maximum(squared, 0).max(axis=(1, 2))).astype(points.dtype)


def _first_and_lead(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Along the middle axis of (n, k, m): where the largest value is (n, m), and its lead over the next (n, m)."""
    largest = values[:, 0, :].copy()
    next_, which = np.full_like(largest, -np.inf), np.zeros(largest.shape, dtype=np.int8)
    for j in range(1, values.shape[1]):  # argmax over a middle axis, which NumPy is slow at
        value = values[:, j, :]
        np.maximum(which, (value > largest) * np.int8(j), out=which)
        np.maximum(next_, np.minimum(value, largest), out=next_)
        np.maximum(largest, value, out=largest)
    largest -= next_
    return which, largest
