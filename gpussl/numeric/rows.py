"""Features computed from raw values one block at a time, for data larger than memory."""

import math
from types import ModuleType
from typing import Any, Literal

import array_api_compat.numpy
import numpy as np

from gpussl.errors import ConfigError

SHARE = 8  # features may take 1 / SHARE of the memory limit: classifiers copy them, and libraries need half of it


class ScaledRows:
    """Raw values from 0 to `max_value`, often in a memory-mapped file, seen as float32 features from 0 to 1.

    Offers the parts of an array that stages reading in blocks need: `shape`, `ndim`, `dtype`, `len`, `X[rows]`, and
    `take` for some of the rows. Reading more rows at once than `memory_limit` allows raises ConfigError.

    Parameters
    ----------
    raw : (n, d) array
    max_value : float
    memory_limit : int
        Bytes, as in `fits`.

    Examples
    --------
    >>> import numpy as np
    >>> rows = ScaledRows(np.array([[0, 255], [51, 0]], dtype=np.uint8), max_value=255.0, memory_limit=1000)
    >>> rows.shape, rows[:1].tolist()
    ((2, 2), [[0.0, 1.0]])
    """

    ndim, dtype, device = 2, np.dtype(np.float32), "cpu"

    def __init__(self, raw: np.ndarray, max_value: float, memory_limit: int) -> None:
        self.raw, self.max_value, self.memory_limit = raw, np.float32(max_value), memory_limit
        self.shape = raw.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __array_namespace__(self, *, api_version: str | None = None) -> ModuleType:
        return array_api_compat.numpy

    def __getitem__(self, key: Any) -> np.ndarray:
        raw = self.raw[key]
        refuse_beyond(self.memory_limit, raw.shape)
        rows = raw.astype(np.float32)
        rows /= self.max_value
        return rows

    def take(self, indices: np.ndarray, *, axis: Literal[0], **_: Any) -> np.ndarray:
        """Return some of the rows, in the form that NumPy's `take` calls.

        Raises
        ------
        ConfigError
            They exceed the memory limit.
        """
        refuse_beyond(self.memory_limit, (len(indices), self.shape[1]))
        return self[indices]

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        return self[:]

    def astype(self, dtype: Any, **_: Any) -> np.ndarray:
        """Return all rows at once.

        Raises
        ------
        ConfigError
            They exceed the memory limit.
        """
        return self[:].astype(dtype, copy=False)


def is_mapped(X: Any) -> bool:
    """Return whether an array is a memory-mapped file or a view of one.

    >>> import numpy as np
    >>> is_mapped(np.zeros(3))
    False
    """
    while X is not None and not isinstance(X, np.memmap):
        X = getattr(X, "base", None)
    return X is not None


def fits(memory_limit: int | None, shape: tuple[int, ...]) -> bool:
    """Return whether (n, d) float32 features stay within their share of a limit in bytes; None means no limit.

    >>> fits(3200, (10, 10)), fits(3199, (10, 10)), fits(None, (10, 10))
    (True, False, True)
    """
    return memory_limit is None or _needed(shape) <= memory_limit


def refuse_beyond(
    memory_limit: int | None, shape: tuple[int, ...], what_for: str = "this", cure: str = "choose cluster=kmeans"
) -> None:
    """Raise ConfigError if (n, d) float32 features exceed their share of a limit in bytes.

    Parameters
    ----------
    what_for, cure : str
        Parts of the message: what needs the features, and what would need fewer.

    Examples
    --------
    >>> refuse_beyond(3200, (10, 10))
    >>> refuse_beyond(3199, (10, 10))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    gpussl.errors.ConfigError: memory_limit: expected at least 0.1GB for this, which takes 10 points of 10 features ...
    """
    if memory_limit is not None and not fits(memory_limit, shape):
        raise ConfigError(
            f"memory_limit: expected at least {in_gigabytes(_needed(shape))} for {what_for}, which takes "
            f"{shape[0]:,} points of {shape[-1]:,} features at once, found {memory_limit / 1e9:g}GB; raise it, or "
            f"{cure}"
        )


def in_memory(X: Any, what_for: str, cure: str) -> Any:
    """Return all of (n, d) points as an array.

    Raises
    ------
    ConfigError
        They are `ScaledRows` beyond the memory limit; arguments as in `refuse_beyond`.

    Examples
    --------
    >>> import numpy as np
    >>> in_memory(ScaledRows(np.array([[0, 4]]), 4.0, 1000), "a test", "leave it out").tolist()
    [[0.0, 1.0]]
    """
    if isinstance(X, ScaledRows):
        refuse_beyond(X.memory_limit, X.shape, what_for, cure)
    return X[:, :]


def in_gigabytes(size: int) -> str:
    """Format bytes for a message, rounded up so that a limit of that size is enough.

    >>> in_gigabytes(1_410_000_000)
    '1.5GB'
    """
    return f"{math.ceil(size / 1e8) / 10}GB"


def _needed(shape: tuple[int, ...]) -> int:
    """Compute the memory limit, in bytes, that allows (n, d) float32 features."""
    return SHARE * 4 * math.prod(shape)
