"""Rows: features that are made of raw values a block at a time, for data that memory is not to hold."""

import math
from types import ModuleType
from typing import Any, Literal

import array_api_compat.numpy
import numpy as np

from gpussl.errors import ConfigError

SHARE = 8  # features take at most this part of the memory limit: classifiers copy them, and libraries need half of it


class ScaledRows:
    """Raw values from 0 to `max_value`, as of a memory-mapped file, seen as float32 features from 0 to 1.

    Has of an array what stages ask of one that they read in blocks: `shape`, `ndim`, `dtype`, `len`, `X[rows]`, and
    `take` for some of the rows. What makes an array of all of them is refused if `memory_limit` does not allow it.

    Parameters
    ----------
    raw : (n, d) array
    max_value : float
    memory_limit : int
        Bytes, as in `fits`.
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
        """Some of the rows, as NumPy's `take` asks for them.

        Raises
        ------
        ConfigError
            They are too many for the memory limit.
        """
        refuse_beyond(self.memory_limit, (len(indices), self.shape[1]))
        return self[indices]

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        return self[:]

    def astype(self, dtype: Any, **_: Any) -> np.ndarray:
        """All of the rows at once. ConfigError if they are too many for the memory limit."""
        return self[:].astype(dtype, copy=False)


def is_mapped(X: Any) -> bool:
    """Whether an array is, or looks into, a memory-mapped file."""
    while X is not None and not isinstance(X, np.memmap):
        X = getattr(X, "base", None)
    return X is not None


def fits(memory_limit: int | None, shape: tuple[int, ...]) -> bool:
    """Whether (n, d) float32 features take no more than their share of a limit in bytes. None: there is no limit."""
    return memory_limit is None or _needed(shape) <= memory_limit


def refuse_beyond(
    memory_limit: int | None, shape: tuple[int, ...], what_for: str = "this", cure: str = "choose cluster=kmeans"
) -> None:
    """Raise ConfigError if (n, d) float32 features take more than their share of a limit in bytes.

    Parameters
    ----------
    what_for, cure : str
        What they are needed for, and what would need fewer: for the message.
    """
    if memory_limit is not None and not fits(memory_limit, shape):
        raise ConfigError(
            f"memory_limit: expected at least {in_gigabytes(_needed(shape))} for {what_for}, which takes "
            f"{shape[0]:,} points of {shape[-1]:,} features at once, found {memory_limit / 1e9:g}GB; raise it, or "
            f"{cure}"
        )


def in_memory(X: Any, what_for: str, cure: str) -> Any:
    """All of (n, d) points as an array; those of `ScaledRows` are refused as in `refuse_beyond`."""
    if isinstance(X, ScaledRows):
        refuse_beyond(X.memory_limit, X.shape, what_for, cure)
    return X[:, :]


def in_gigabytes(size: int) -> str:
    """Bytes for a message, rounded up: a limit of as much will do."""
    return f"{math.ceil(size / 1e8) / 10}GB"


def _needed(shape: tuple[int, ...]) -> int:
    """The memory limit, in bytes, that allows (n, d) float32 features."""
    return SHARE * 4 * math.prod(shape)
