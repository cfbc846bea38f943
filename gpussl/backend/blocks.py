"""Blocks of rows: one thread computes a block's matrix product and everything that follows from it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from gpussl.numeric.arrays import mean_row, squared_norms

OnThreads = Callable[..., list[Any]]


class _OneThreadEach:
    """Give each matrix product one thread while anyone is inside; `n_threads` is the number before."""

    def __init__(self) -> None:
        self._lock, self._n_inside = threading.Lock(), 0
        self._limits: Any = None
        self.n_threads = 1

    def __enter__(self) -> "_OneThreadEach":
        with self._lock:
            if self._n_inside == 0:
                counts = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
                self.n_threads = max(counts, default=1)
                self._limits = threadpool_limits(1, user_api="blas")
            self._n_inside += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                self._limits.restore_original_limits()


_one_thread_each = _OneThreadEach()


@contextmanager
def map_on_threads() -> Iterator[OnThreads]:
    """Yield a `map` that returns a list and runs on as many threads as BLAS had; BLAS itself gets one thread meanwhile.

    A multithreaded product would leave all threads but one idle in the code between two products.

    >>> with map_on_threads() as on_threads:
    ...     on_threads(abs, [-1, 2])
    [1, 2]
    """
    with _one_thread_each as limits, ThreadPoolExecutor(limits.n_threads) as pool:
        yield lambda *arguments: list(pool.map(*arguments))


def row_slices(n: int, n_rows: int) -> list[slice]:
    """Cover `n` rows with slices of `n_rows`; the last may be shorter.

    >>> row_slices(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(first, min(first + n_rows, n)) for first in range(0, n, n_rows)]


class Centred:
    """A view of (n, d) points minus their mean, in floating point, computed for the rows requested.

    Distances computed from squared norms lose digits where the points are far from 0; centred points are not.

    Raises
    ------
    ValueError
        The points hold NaN or infinity.

    Examples
    --------
    >>> import numpy as np
    >>> points = Centred(np.array([[100.0, 0.0], [102.0, 4.0]]))
    >>> points[:1].tolist(), points.as_they_are(slice(1)).tolist()
    ([[-1.0, -2.0]], [[100.0, 0.0]])
    """

    def __init__(self, X: np.ndarray) -> None:
        mean = mean_row(X)
        if not np.isfinite(mean).all():
            raise ValueError("X: expected finite numbers, found NaN or infinity")
        self._X, self.dtype = X, np.result_type(X.dtype, np.float32)
        self.mean = mean.astype(self.dtype)

    def __len__(self) -> int:
        return len(self._X)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        if isinstance(rows, slice):
            return self._X[rows] - self.mean
        picked = self.as_they_are(rows)  # indexing has copied already
        picked -= self.mean
        return picked

    def squared_norms(self, n_rows: int) -> np.ndarray:
        """Compute the squared norms (n,) of the centred rows, `n_rows` at a time."""
        return np.concatenate([squared_norms(self[rows]) for rows in row_slices(len(self), n_rows)])

    def as_they_are(self, rows: slice | np.ndarray) -> np.ndarray:
        """Return the rows without subtracting the mean: for a slice of floating-point points, without a copy."""
        return self._X[rows].astype(self.dtype, copy=False)
