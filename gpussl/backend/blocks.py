"""Blocks of rows, each taken by one thread from the matrix product to what is done with it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

OnThreads = Callable[..., list[Any]]


@contextmanager
def map_on_threads() -> Iterator[OnThreads]:
    """`map`, as a list, on as many threads as matrix products would have, which have one each meanwhile.

    A product with threads of its own leaves all but one of them waiting for what follows it.
    """
    n_threads = max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_threads) as pool:
        yield lambda *arguments: list(pool.map(*arguments))


def row_slices(n: int, n_rows: int) -> list[slice]:
    """Slices of `n_rows` rows that cover `n`; the last may have fewer."""
    return [slice(first, min(first + n_rows, n)) for first in range(0, n, n_rows)]


class Centred:
    """Rows of (n, d) points less their mean, made as they are asked for.

    The squared norms of which distances are made of lose no digits then to what all points have in common.
    """

    def __init__(self, X: np.ndarray) -> None:
        self.X, self.mean = X, X.mean(axis=0, dtype=np.float64).astype(X.dtype)

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return self.X[rows] - self.mean
