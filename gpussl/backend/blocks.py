"""Blocks of rows, each taken by one thread from the matrix product to what is done with it."""

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
    """Matrix products get one thread each for as long as anyone is inside; `n_threads` is what they had before."""

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
    """`map`, as a list, on as many threads as matrix products would have, which have one each meanwhile.

    A product with threads of its own leaves all but one of them waiting for what follows it.
    """
    with _one_thread_each as limits, ThreadPoolExecutor(limits.n_threads) as pool:
        yield lambda *arguments: list(pool.map(*arguments))


def row_slices(n: int, n_rows: int) -> list[slice]:
    """Slices of `n_rows` rows that cover `n`; the last may have fewer."""
    return [slice(first, min(first + n_rows, n)) for first in range(0, n, n_rows)]


class Centred:
    """Rows of (n, d) points less their mean, made as they are asked for, as floating-point numbers.

    The squared norms of which distances are made lose no digits then to what all points have in common.

    Raises
    ------
    ValueError
        The points hold NaN or infinity.
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
        picked = self.as_they_are(rows)  # which is a copy already
        picked -= self.mean
        return picked

    def squared_norms(self, n_rows: int) -> np.ndarray:
        """(n,) squared norms of the rows less their mean, `n_rows` of them at a time."""
        return np.concatenate([squared_norms(self[rows]) for rows in row_slices(len(self), n_rows)])

    def as_they_are(self, rows: slice | np.ndarray) -> np.ndarray:
        """The rows without their mean taken away, which costs no copy where they are floating-point numbers."""
        return self._X[rows].astype(self.dtype, copy=False)
