"""Array functions that several stages need, written once over the array API: they run where their arguments are.

The array API has no scatter and no group-by; both are a stable sort and a binary search here.
"""

from collections.abc import Iterator

from array_api_compat import array_namespace, device

from gpussl.records import Array

BLOCK_BYTES = 64 * 2**20  # of one block of distances: big enough for a fast matrix product, small beside the data


def arange_like(n: int, X: Array) -> Array:
    """0 to n - 1 as int64, where `X` is."""
    xp = array_namespace(X)
    return xp.arange(n, dtype=xp.int64, device=device(X))


def itemsize(X: Array) -> int:
    """Bytes of one value of a floating-point array."""
    return array_namespace(X).finfo(X.dtype).bits // 8


def scatter(indices: Array, values: Array, n: int, fill: int) -> Array:
    """An (n,) array with `values` (m,) at `indices` (m,), ascending and different, and `fill` elsewhere."""
    xp = array_namespace(indices, values)
    everywhere = arange_like(n, indices)
    if indices.shape[0] == 0:
        return xp.full_like(everywhere, fill)
    position = xp.clip(xp.searchsorted(indices, everywhere), 0, indices.shape[0] - 1)
    hit = xp.take(indices, position) == everywhere
    return xp.where(hit, xp.take(values, position), fill)


def take_or(values: Array, indices: Array, fill: float) -> Array:
    """`values` (k,) at `indices` (n,), and `fill` where an index is negative: k may be 0 then."""
    xp = array_namespace(values, indices)
    if values.shape[0] == 0:
        return xp.full(indices.shape, fill, dtype=values.dtype, device=device(values))
    return xp.where(indices < 0, xp.asarray(fill, dtype=values.dtype), xp.take(values, xp.maximum(indices, 0)))


def group_sort(groups: Array, values: Array) -> Array:
    """The order (n,) that sorts by group (n,) and within each group by value (n,), ties by position."""
    xp = array_namespace(groups, values)
    by_value = xp.argsort(values, stable=True)
    return xp.take(by_value, xp.argsort(xp.take(groups, by_value), stable=True))


def group_bounds(sorted_groups: Array, n_groups: int) -> tuple[Array, Array]:
    """Where each group, 0 to `n_groups` - 1, begins (n_groups,) and how many members it has (n_groups,).

    Points with a negative group are in none.
    """
    xp = array_namespace(sorted_groups)
    names = xp.astype(arange_like(n_groups, sorted_groups), sorted_groups.dtype)
    start = xp.searchsorted(sorted_groups, names, side="left")
    return start, xp.searchsorted(sorted_groups, names, side="right") - start


def smallest_of_each_group(groups: Array, values: Array, n_groups: int) -> tuple[Array, Array]:
    """The position of each group's smallest value, ties to the first.

    Returns
    -------
    position : (n_groups,) int array
        Meaningless where the group is empty.
    occupied : (n_groups,) bool array
        Whether the group has a member.
    """
    xp = array_namespace(groups, values)
    order = group_sort(groups, values)
    start, size = group_bounds(xp.take(groups, order), n_groups)
    return xp.take(order, xp.clip(start, 0, groups.shape[0] - 1)), size > 0


def row_blocks(n_rows: int, row_bytes: int, block_bytes: int | None = None) -> Iterator[slice]:
    """Slices that cover `n_rows` rows in blocks of about `block_bytes`, or `BLOCK_BYTES`.

    There is one, an empty one, where there are no rows.
    """
    step = max(1, (block_bytes or BLOCK_BYTES) // max(1, row_bytes))
    for start in range(0, max(1, n_rows), step):
        yield slice(start, min(start + step, n_rows))


def squared_norms(X: Array) -> Array:
    """(n, d) -> (n,) squared Euclidean norm of each row."""
    xp = array_namespace(X)
    blocks = (X[rows, :] for rows in row_blocks(X.shape[0], X.shape[1] * itemsize(X)))
    return xp.concat([xp.sum(block * block, axis=1) for block in blocks])


def mean_row(X: Array) -> Array:
    """(n, d) -> (d,) the mean of the rows, as float64."""
    xp = array_namespace(X)
    blocks = (X[rows, :] for rows in row_blocks(X.shape[0], X.shape[1] * 8))
    return sum(xp.sum(xp.astype(block, xp.float64), axis=0) for block in blocks) / X.shape[0]


def centred(X: Array) -> Array:
    """(n, d) -> the same less their mean: for distances by a product, whose digits are lost in large squared norms."""
    return X - array_namespace(X).astype(mean_row(X), X.dtype)


def squared_distances(X: Array, Y: Array, X_norms: Array, Y_norms: Array) -> Array:
    """(n, d), (m, d) and their squared norms -> (n, m) squared Euclidean distances, by one matrix product.

    The expansion ||x||^2 - 2 x.y + ||y||^2 loses digits where two points nearly agree; what is lost is cut off at 0.
    """
    xp = array_namespace(X, Y)
    return xp.maximum(X_norms[:, None] - 2 * (X @ Y.T) + Y_norms[None, :], 0.0)


def principal_axes(X: Array) -> tuple[Array, Array, Array]:
    """The mean (d,) of (n, d) points, and the variances (d,) along their principal axes, the columns of (d, d).

    Largest variance first, as float64, from the covariance matrix: exact, and the same every time.
    """
    xp = array_namespace(X)
    mean = mean_row(X)
    covariance = xp.zeros((X.shape[1], X.shape[1]), dtype=xp.float64, device=device(X))
    for rows in row_blocks(X.shape[0], X.shape[1] * 8):
        centred = xp.astype(X[rows, :], xp.float64) - mean
        covariance = covariance + centred.T @ centred / X.shape[0]
    variances, axes = xp.linalg.eigh(covariance)
    return mean, xp.flip(variances), xp.flip(axes, axis=1)


def softmax(scores: Array) -> Array:
    """(n, c) scores -> (n, c) probabilities: the exponentials, scaled so that each row sums to 1.

    Examples
    --------
    >>> import numpy as np
    >>> softmax(np.array([[0.0, 0.0], [1000.0, 0.0]])).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    xp = array_namespace(scores)
    exponentials = xp.exp(scores - xp.max(scores, axis=1)[:, None])
    return exponentials / xp.sum(exponentials, axis=1)[:, None]


def paired_distances(X: Array, Y: Array, y: Array) -> Array:
    """Euclidean distance of each row of `X` (n, d) to the row of `Y` (k, d) that `y` (n,) names, to full precision."""
    xp = array_namespace(X, Y)
    blocks = []
    for rows in row_blocks(X.shape[0], X.shape[1] * itemsize(X)):
        difference = X[rows, :] - xp.take(Y, y[rows], axis=0)
        blocks.append(xp.sqrt(squared_norms(difference)))
    return xp.concat(blocks)
