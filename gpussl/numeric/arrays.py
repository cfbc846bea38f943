"""Array functions for several stages, written once over the array API: they run on the device of their arguments.

The array API has no scatter and no group-by. Here, both are a stable sort and a binary search.
"""

from collections.abc import Iterator

from array_api_compat import array_namespace, device

from gpussl.records import Array

BLOCK_BYTES = 64 * 2**20  # per block of distances: large enough for a fast matrix product, small beside the data


def placed_like(array: Array, X: Array) -> Array:
    """An array of the host, or of the device of `X`, as one of the kind and on the device of `X`.

    Examples
    --------
    >>> import numpy as np
    >>> placed_like([1.0, 2.0], np.zeros(3)).tolist()
    [1.0, 2.0]
    """
    return array_namespace(X).asarray(array, device=device(X))


def arange_like(n: int, X: Array) -> Array:
    """Return 0 to n - 1 as int64, on the device of `X`.

    >>> import numpy as np
    >>> arange_like(3, np.zeros(2)).tolist()
    [0, 1, 2]
    """
    xp = array_namespace(X)
    return xp.arange(n, dtype=xp.int64, device=device(X))


def itemsize(X: Array) -> int:
    """Return the bytes per value of a floating-point array.

    >>> import numpy as np
    >>> itemsize(np.zeros(3, dtype=np.float32))
    4
    """
    return array_namespace(X).finfo(X.dtype).bits // 8


def scatter(indices: Array, values: Array, n: int, fill: int) -> Array:
    """Place `values` (m,) at ascending, distinct `indices` (m,) of an (n,) array, and `fill` elsewhere.

    >>> import numpy as np
    >>> scatter(np.array([1, 3]), np.array([7, 8]), 5, fill=-1).tolist()
    [-1, 7, -1, 8, -1]
    """
    xp = array_namespace(indices, values)
    everywhere = arange_like(n, indices)
    if indices.shape[0] == 0:
        return xp.full_like(everywhere, fill)
    position = xp.clip(xp.searchsorted(indices, everywhere), 0, indices.shape[0] - 1)
    hit = xp.take(indices, position) == everywhere
    return xp.where(hit, xp.take(values, position), fill)


def take_or(values: Array, indices: Array, fill: float) -> Array:
    """Take `values` (k,) at `indices` (n,), and `fill` where an index is negative. With k = 0, everything is `fill`.

    >>> import numpy as np
    >>> take_or(np.array([5, 6]), np.array([1, -1, 0]), fill=0).tolist()
    [6, 0, 5]
    """
    xp = array_namespace(values, indices)
    if values.shape[0] == 0:
        return xp.full(indices.shape, fill, dtype=values.dtype, device=device(values))
    return xp.where(indices < 0, xp.asarray(fill, dtype=values.dtype), xp.take(values, xp.maximum(indices, 0)))


def group_sort(groups: Array, values: Array) -> Array:
    """Return the order (n,) that sorts by `groups` (n,), then by `values` (n,), then by position.

    >>> import numpy as np
    >>> group_sort(np.array([1, 0, 1]), np.array([3.0, 2.0, 1.0])).tolist()
    [1, 2, 0]
    """
    xp = array_namespace(groups, values)
    by_value = xp.argsort(values, stable=True)
    return xp.take(by_value, xp.argsort(xp.take(groups, by_value), stable=True))


def group_bounds(sorted_groups: Array, n_groups: int) -> tuple[Array, Array]:
    """Return the start (n_groups,) and size (n_groups,) of groups 0 to `n_groups` - 1 in a sorted array of groups.

    Points with a negative group belong to none.

    >>> import numpy as np
    >>> start, size = group_bounds(np.array([-1, 0, 0, 2]), n_groups=3)
    >>> start.tolist(), size.tolist()
    ([1, 3, 3], [2, 0, 1])
    """
    xp = array_namespace(sorted_groups)
    names = xp.astype(arange_like(n_groups, sorted_groups), sorted_groups.dtype)
    start = xp.searchsorted(sorted_groups, names, side="left")
    return start, xp.searchsorted(sorted_groups, names, side="right") - start


def smallest_of_each_group(groups: Array, values: Array, n_groups: int) -> tuple[Array, Array]:
    """Find the position of the smallest value in each group, ties to the first.

    Returns
    -------
    position : (n_groups,) int array
        Meaningless for an empty group.
    occupied : (n_groups,) bool array
        Whether the group has members.

    Examples
    --------
    >>> import numpy as np
    >>> position, occupied = smallest_of_each_group(np.array([1, 0, 1]), np.array([3.0, 2.0, 1.0]), n_groups=2)
    >>> position.tolist(), occupied.tolist()
    ([1, 2], [True, True])
    """
    xp = array_namespace(groups, values)
    order = group_sort(groups, values)
    start, size = group_bounds(xp.take(groups, order), n_groups)
    return xp.take(order, xp.clip(start, 0, groups.shape[0] - 1)), size > 0


def row_blocks(n_rows: int, row_bytes: int, block_bytes: int | None = None) -> Iterator[slice]:
    """Yield slices that cover `n_rows` rows in blocks of about `block_bytes`, by default `BLOCK_BYTES`.

    Without rows, yield one empty slice, so that a caller has a block to concatenate.

    >>> list(row_blocks(5, row_bytes=8, block_bytes=16))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, (block_bytes or BLOCK_BYTES) // max(1, row_bytes))
    for start in range(0, max(1, n_rows), step):
        yield slice(start, min(start + step, n_rows))


def squared_norms(X: Array) -> Array:
    """Compute the squared Euclidean norm of each row: (n, d) -> (n,).

    >>> import numpy as np
    >>> squared_norms(np.array([[3.0, 4.0], [1.0, 0.0]])).tolist()
    [25.0, 1.0]
    """
    xp = array_namespace(X)
    blocks = (X[rows, :] for rows in row_blocks(X.shape[0], X.shape[1] * itemsize(X)))
    return xp.concat([xp.sum(block * block, axis=1) for block in blocks])


def mean_row(X: Array) -> Array:
    """Compute the mean of the rows in float64: (n, d) -> (d,).

    >>> import numpy as np
    >>> mean_row(np.array([[0.0, 1.0], [2.0, 5.0]])).tolist()
    [1.0, 3.0]
    """
    xp = array_namespace(X)
    blocks = (X[rows, :] for rows in row_blocks(X.shape[0], X.shape[1] * 8))
    return sum(xp.sum(xp.astype(block, xp.float64), axis=0) for block in blocks) / X.shape[0]


def centred(X: Array) -> Array:
    """Subtract the mean row from (n, d) points.

    Distances computed from a matrix product lose digits where the norms are large; a small mean keeps the norms small.

    >>> import numpy as np
    >>> centred(np.array([[0.0, 1.0], [2.0, 5.0]])).tolist()
    [[-1.0, -2.0], [1.0, 2.0]]
    """
    return X - array_namespace(X).astype(mean_row(X), X.dtype)


def squared_distances(X: Array, Y: Array, X_norms: Array, Y_norms: Array) -> Array:
    """Compute squared Euclidean distances with one matrix product: (n, d), (m, d) and their squared norms -> (n, m).

    The expansion ||x||^2 - 2 x.y + ||y||^2 cancels where two points nearly coincide; negative results of rounding are
    clipped at 0.

    >>> import numpy as np
    >>> X, Y = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 0.0]])
    >>> squared_distances(X, Y, squared_norms(X), squared_norms(Y)).tolist()
    [[25.0, 0.0]]
    """
    xp = array_namespace(X, Y)
    return xp.maximum(X_norms[:, None] - 2 * (X @ Y.T) + Y_norms[None, :], 0.0)


def principal_axes(X: Array) -> tuple[Array, Array, Array]:
    """Compute the principal axes of (n, d) points: their mean (d,), the variances (d,) and the axes, columns of (d, d).

    All are float64, largest variance first. They come from the full covariance matrix, so nothing is random.

    >>> import numpy as np
    >>> mean, variances, axes = principal_axes(np.array([[0.0, 0.0], [0.0, 4.0]]))
    >>> mean.tolist(), variances.tolist(), np.abs(axes[:, 0]).tolist()
    ([0.0, 2.0], [4.0, 0.0], [0.0, 1.0])
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
    """Compute the distance of each row of `X` (n, d) to its own row of `Y` (k, d), at the positions `y` (n,).

    The differences are formed first, so nothing cancels.

    >>> import numpy as np
    >>> paired_distances(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 0.0]]), np.array([0, 0])).tolist()
    [0.0, 5.0]
    """
    xp = array_namespace(X, Y)
    blocks = []
    for rows in row_blocks(X.shape[0], X.shape[1] * itemsize(X)):
        difference = X[rows, :] - xp.take(Y, y[rows], axis=0)
        blocks.append(xp.sqrt(squared_norms(difference)))
    return xp.concat(blocks)
