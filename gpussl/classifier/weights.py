"""Weights: how much each training point counts."""

from typing import Any

from array_api_compat import array_namespace

from gpussl.records import Array


def settle(X: Array, y: Array, groups: Array | None, weights: Array | None) -> tuple[Array, Array, Any, Any]:
    """The points (n, d), labels (n,) and groups (n,) that count at all, and their weights, or None if all are 1.

    So weights that say nothing change nothing, not even the last digit, and a point of weight 0 is as if it were not
    there.

    Raises ValueError as `check` does.
    """
    if weights is None:
        return X, y, groups, None
    check(weights, y)
    xp = array_namespace(weights)
    if not bool(xp.all(weights > 0)):
        counted = xp.nonzero(weights > 0)[0]
        X, y, weights = xp.take(X, counted, axis=0), xp.take(y, counted), xp.take(weights, counted)
        groups = None if groups is None else xp.take(groups, counted)
    return X, y, groups, None if bool(xp.all(weights == 1)) else weights


def check(weights: Array, y: Array) -> None:
    """Raise ValueError if there is not one weight for each of the labels (n,), or one is negative or no number."""
    if weights.shape != y.shape:
        raise ValueError(f"weights: expected shape {tuple(y.shape)}, found {tuple(weights.shape)}")
    if not bool(array_namespace(weights).all(weights >= 0)):
        raise ValueError("weights: expected numbers of at least 0, found others")
