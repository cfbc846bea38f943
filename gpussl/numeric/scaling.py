"""Bring features to a common scale, so that a penalty or a step size means the same for any data."""

from collections.abc import Callable

from array_api_compat import array_namespace

from gpussl.numeric.arrays import row_blocks
from gpussl.records import Array

INCOMMENSURABLE = 10.0  # ratio of the largest to the median standard deviation; pixels and word weights stay below 5


def fit_scaling(X: Array, weights: Array | None = None) -> tuple[Array, Array]:
    """Find means (d,) and divisors (d,) after which the features of (n, d) points have a mean variance of 1.

    Features in the same unit, such as pixels, are all divided by the same number, so one that hardly varies hardly
    counts. Features in different units, such as years and dollars, are divided by their own standard deviations. Units
    are taken to differ if the largest standard deviation exceeds the median by more than `INCOMMENSURABLE`; then a
    constant feature, whose unit is unknown, becomes 0: its divisor is infinite.

    Parameters
    ----------
    X : (n, d) array
    weights : (n,) array, optional
        A point of weight 2 counts as two. Their sum is positive.

    Returns
    -------
    mean, divisor : (d,) float array
        Of at least float32, on the device of `X`.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]])
    >>> mean, divisor = fit_scaling(X)
    >>> mean.tolist(), np.var(X / divisor, axis=0).round(3).tolist()
    ([1.0, 2.0], [0.4, 1.6])
    >>> in_other_units = X * np.array([1.0, 1000.0])
    >>> np.var(in_other_units / fit_scaling(in_other_units)[1], axis=0).round(3).tolist()
    [1.0, 1.0]
    """
    xp, d = array_namespace(X), X.shape[1]
    shares = xp.ones_like(X[:, 0], dtype=xp.float64) if weights is None else xp.astype(weights, xp.float64)
    shares = shares / xp.sum(shares)
    mean = _weighted_sum(X, shares, lambda block: block)
    deviation = xp.sqrt(_weighted_sum(X, shares, lambda block: (block - mean) ** 2))
    dtype = xp.result_type(X, xp.float32)
    # rounding alone makes a constant feature vary by about the precision of its value
    varies = deviation > 4 * xp.finfo(dtype).eps * xp.abs(mean)
    if not bool(xp.any(varies)):
        return xp.astype(mean, dtype), xp.ones_like(mean, dtype=dtype)
    ordered = xp.sort(deviation[varies])
    if float(ordered[-1]) > INCOMMENSURABLE * float(ordered[(ordered.shape[0] - 1) // 2]):
        divisor = xp.where(varies, deviation, xp.inf) * (ordered.shape[0] / d) ** 0.5
    else:
        divisor = xp.broadcast_to(xp.sqrt(xp.mean(deviation**2)), mean.shape)
    return xp.astype(mean, dtype), xp.astype(divisor, dtype)


def _weighted_sum(X: Array, weights: Array, function: Callable[[Array], Array]) -> Array:
    """Sum a function of float64 blocks of rows: (n, d) points and (n,) weights -> (d,)."""
    xp = array_namespace(X)
    blocks = row_blocks(X.shape[0], 8 * X.shape[1])
    return sum(xp.sum(weights[rows, None] * function(xp.astype(X[rows, :], xp.float64)), axis=0) for rows in blocks)
