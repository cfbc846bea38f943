"""Allocations: which class each cluster stands for, when the clusters have no names.

An allocation gives every cluster a class of its own. Its score is the number of points that it labels correctly: a sum
of entries of the contingency table, so that table is the only input.
"""

import itertools
import math
from collections.abc import Iterator
from functools import cache

import numpy as np
from array_api_compat import array_namespace, device

from gpussl.protocols import Twin
from gpussl.records import Allocations, Array, Ranked

MAX_ENUMERATED = 12  # 12! = 479,001,600 allocations take seconds; beyond, only the best one is found
BLOCK_SCORES = 2**22  # scores held at once: 16 MiB in int32
N_RANKED = 10  # allocations kept in the ranking, for the report


def contingency(clusters: Array, classes: Array, n_clusters: int, n_classes: int, twin: Twin) -> Array:
    """Count the points in each pair of cluster and class: (n,) and (n,) -> (n_clusters, n_classes) int64.

    Points with a negative cluster are not counted.

    >>> import numpy as np
    >>> from gpussl.backend import cpu
    >>> contingency(np.array([0, 0, 1, -1]), np.array([1, 1, 0, 0]), 2, 2, cpu).tolist()
    [[0, 2], [1, 0]]
    """
    xp = array_namespace(clusters, classes)
    clusters, classes = xp.astype(clusters, xp.int64), xp.astype(classes, xp.int64)
    inside = clusters >= 0
    pairs = clusters[inside] * n_classes + classes[inside]
    counts = xp.asarray(twin.bincount(pairs, n_clusters * n_classes))
    return xp.reshape(counts, (n_clusters, n_classes))


def score_allocations(table: Array, twin: Twin, n_points: int | None = None) -> Allocations:
    """Score every allocation of classes to clusters, on the device that holds `table`.

    With more clusters than classes, some clusters get no class, and their points count as wrong. With fewer, some
    classes get no cluster.

    Up to `MAX_ENUMERATED` clusters and classes, all allocations are scored. The rows are split into two halves. Each
    choice of columns for the upper half leaves the others to the lower half; both halves are summed in every order of
    their columns, and one addition combines them. For 10 clusters, that is 252 choices x 120 x 120 orders = 10!.
    Beyond, the assignment algorithm finds the best allocation alone.

    Parameters
    ----------
    table : (n_clusters, n_classes) int array
        Counts, from `contingency`.
    twin : Twin
        The backend of the table.
    n_points : int, optional
        Denominator of the accuracy, by default the sum of the table. Pass the number of all points to count those
        outside every cluster as wrong.

    Returns
    -------
    Allocations

    Examples
    --------
    >>> import numpy as np
    >>> from gpussl.backend import cpu
    >>> found = score_allocations(np.array([[0, 5], [4, 1]]), cpu)
    >>> found.best, found.score, found.accuracy
    ((1, 0), 9, 0.9)
    """
    xp = array_namespace(table)
    on_host = twin.to_numpy(table)
    total = int(on_host.sum())
    n_points = total if n_points is None else n_points
    if max(table.shape) > MAX_ENUMERATED:
        ranking = [assignment(on_host)]
        return Allocations(ranking[0][1], ranking[0][0], n_points, "assignment", ranking)
    dtype = xp.int32 if total < 2**31 else xp.int64
    counts = np.zeros(total + 1, dtype=np.int64) if total < 2**24 else None  # 128 MiB; a finer histogram shows no more
    ranking = []
    wide = table if table.shape[0] <= table.shape[1] else table.T  # the shorter side as rows: each gets its own column
    for first, scores in _blocks(xp.astype(wide, dtype), twin):
        if counts is None:
            bar = _bar_of_rows(scores)
        else:
            of_block = twin.to_numpy(twin.bincount(xp.reshape(scores, (-1,)), total + 1))
            counts += of_block
            bar = _bar_of_counts(of_block)
        ranking = _best_few(ranking, first, scores, wide.shape, bar, twin)
    if wide is not table:
        ranking = [(score, _inverse(columns, table.shape[0])) for score, columns in ranking]
    return Allocations(ranking[0][1], ranking[0][0], n_points, "enumeration", ranking, counts)


def assignment(table: np.ndarray) -> Ranked:
    """Find the best allocation alone: (n_clusters, n_classes) counts -> its score, and the class of each cluster.

    A cluster without a class has -1.

    >>> assignment(np.array([[0, 5], [4, 1], [2, 2]]))
    (9, (1, 0, -1))
    """
    from scipy.optimize import linear_sum_assignment  # late: it takes a third of a second

    rows, columns = linear_sum_assignment(table, maximize=True)
    names = np.full(len(table), -1)
    names[rows] = columns
    return int(table[rows, columns].sum()), tuple(names.tolist())


def _inverse(columns: tuple[int, ...], n: int) -> tuple[int, ...]:
    """Invert an allocation: the column of each row -> the row of each of n columns, or -1."""
    rows = [-1] * n
    for row, column in enumerate(columns):
        rows[column] = row
    return tuple(rows)


def _blocks(table: Array, twin: Twin) -> Iterator[tuple[int, Array]]:
    """Yield the scores of all allocations in blocks (orders of the upper half, orders of the lower half).

    Each block comes with the number of its first allocation.
    """
    xp = array_namespace(table)
    plan = _plan_on(twin, *table.shape)
    upper, lower = (xp.asarray(half, device=device(table)) for half in plan)
    flat = xp.reshape(table, (-1,))
    per_split = upper.shape[1] * lower.shape[1]
    step = max(1, BLOCK_SCORES // per_split)
    for start in range(0, upper.shape[0], step):
        splits = slice(start, min(start + step, upper.shape[0]))
        sums = [_half_sums(flat, half[splits, ...]) for half in (upper, lower)]
        yield start * per_split, xp.reshape(sums[0][:, :, None] + sums[1][:, None, :], (-1, lower.shape[1]))


def _half_sums(flat: Array, entries: Array) -> Array:
    """Sum h entries of the flat table: (s, p, h) positions -> (s, p)."""
    xp = array_namespace(flat)
    taken = xp.reshape(xp.take(flat, xp.reshape(entries, (-1,))), entries.shape)
    return xp.sum(taken, axis=2, dtype=flat.dtype)


@cache
def _plan_on(twin: Twin, n_rows: int, n_columns: int) -> tuple[Array, Array]:
    """Copy `_plan` to the device of a twin, once."""
    upper, lower = _plan(n_rows, n_columns)
    return twin.asarray(upper), twin.asarray(lower)


@cache
def _plan(n_rows: int, n_columns: int) -> tuple[np.ndarray, np.ndarray]:
    """List the flat positions that each half of the rows uses, for each choice of columns for the upper half.

    Both arrays are (choices, orders, rows of the half): the upper half has all orders of the chosen columns, the lower
    half all ordered selections from the remaining columns.
    """
    half = min(n_rows, n_columns // 2)
    chosen = list(itertools.combinations(range(n_columns), half))
    left = [[column for column in range(n_columns) if column not in columns] for columns in map(set, chosen)]
    return (
        _positions(np.array(chosen, dtype=np.int64).reshape(len(chosen), half), range(half), n_columns),
        _positions(np.array(left, dtype=np.int64), range(half, n_rows), n_columns),
    )


def _positions(columns: np.ndarray, rows: range, n_columns: int) -> np.ndarray:
    """Turn (s, c) columns for some rows into (s, orders, rows) positions, with one column per row."""
    c, h = columns.shape[1], len(rows)
    orders = np.array(list(itertools.permutations(range(c), h)), dtype=np.int64)
    orders = orders.reshape(math.perm(c, h), h)
    return columns[:, orders] + n_columns * np.array(rows, dtype=np.int64)


def _bar_of_counts(counts: np.ndarray) -> int:
    """Find the highest score that at least `N_RANKED` allocations reach, or the lowest score if there are fewer."""
    scores = np.flatnonzero(counts)[::-1]
    reached = np.cumsum(counts[scores])
    return int(scores[np.argmax(reached >= min(N_RANKED, reached[-1]))])


def _bar_of_rows(scores: Array) -> int:
    """Find a score that at least `N_RANKED` of (r, c) scores reach, or the lowest score.

    It is the `N_RANKED`-th largest of the row maxima: each of those rows has a score at least as high.
    """
    xp = array_namespace(scores)
    of_rows = xp.sort(xp.max(scores, axis=1), descending=True)
    return int(of_rows[N_RANKED - 1]) if of_rows.shape[0] >= N_RANKED else int(xp.min(scores))


def _best_few(
    ranked: list[Ranked], first: int, scores: Array, shape: tuple[int, int], bar: int, twin: Twin
) -> list[Ranked]:
    """Merge the best of a block of scores into the ranking; `first` is the number of the block's first allocation.

    No score below `bar` is among the best few of the block.
    """
    xp = array_namespace(scores)
    if len(ranked) == N_RANKED:
        bar = max(bar, ranked[-1][0] + 1)  # ties go to the earlier allocation
    flat = xp.reshape(scores, (-1,))
    passing = xp.nonzero(flat >= bar)[0]
    values, numbers = twin.to_numpy(xp.take(flat, passing)), twin.to_numpy(passing)
    order = np.argsort(-values.astype(np.int64), kind="stable")[:N_RANKED]
    found = [(int(values[i]), _allocation(first + int(numbers[i]), shape)) for i in order]
    return sorted([*ranked, *found], key=lambda item: -item[0])[:N_RANKED]


def _allocation(number: int, shape: tuple[int, int]) -> tuple[int, ...]:
    """Decode an allocation's number into the column of each row."""
    upper, lower = _plan(*shape)
    split, rest = divmod(number, upper.shape[1] * lower.shape[1])
    first, second = divmod(rest, lower.shape[1])
    return tuple(int(position) % shape[1] for position in (*upper[split, first], *lower[split, second]))
