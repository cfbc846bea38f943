"""Permutations: which cluster is which class, when clusters know no names.

An allocation gives every cluster a class of its own. It is scored by how many points it names rightly, which is a sum
of entries of the contingency table, so nothing but that table is needed.
"""

import itertools
import math
from collections.abc import Iterator
from functools import cache

import numpy as np
from array_api_compat import array_namespace, device
from scipy.optimize import linear_sum_assignment

from gpussl.protocols import Twin
from gpussl.records import Allocations, Array, Ranked

MAX_ENUMERATED = 12  # 479,001,600 allocations: seconds. Beyond, only the best one is found
BLOCK_SCORES = 2**22  # scores that are held at once
N_RANKED = 10


def contingency(clusters: Array, classes: Array, n_clusters: int, n_classes: int, twin: Twin) -> Array:
    """How many points are in each cluster and class: (n,) and (n,) -> (n_clusters, n_classes) int64.

    Points with a negative cluster count nowhere.
    """
    xp = array_namespace(clusters, classes)
    clusters, classes = xp.astype(clusters, xp.int64), xp.astype(classes, xp.int64)
    inside = clusters >= 0
    pairs = clusters[inside] * n_classes + classes[inside]
    counts = xp.asarray(twin.bincount(pairs, n_clusters * n_classes))
    return xp.reshape(counts, (n_clusters, n_classes))


def score_allocations(table: Array, twin: Twin, n_points: int | None = None) -> Allocations:
    """Score all allocations of classes to clusters, where `table` is.

    With more clusters than classes, some clusters stay without a class, and their points count as wrong; with fewer,
    some classes stay without a cluster.

    Up to `MAX_ENUMERATED` clusters and classes all are scored: one half of the rows gets its sums for every way to
    choose columns, the other half for every way to use those that are left, and one addition then gives each score. 10!
    is 252 x 120 x 120. Beyond, the best one is found by the assignment algorithm.

    Parameters
    ----------
    table : (n_clusters, n_classes) int array
        See `contingency`.
    n_points : int, optional
        What accuracies are shares of, where points in no cluster are to count as wrong; the table's sum otherwise.
    """
    xp = array_namespace(table)
    on_host = twin.to_numpy(table)
    total = int(on_host.sum())
    n_points = total if n_points is None else n_points
    if max(table.shape) > MAX_ENUMERATED:
        ranking = [assignment(on_host)]
        return Allocations(ranking[0][1], ranking[0][0], n_points, "assignment", ranking)
    dtype = xp.int32 if total < 2**31 else xp.int64
    counts = np.zeros(total + 1, dtype=np.int64) if total < 2**24 else None  # finer than anyone could look at
    ranking = []
    wide = table if table.shape[0] <= table.shape[1] else table.T  # each row gets a column of its own
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
    """The best allocation alone, with its score: (n_clusters, n_classes) counts, -1 for a cluster without a class."""
    rows, columns = linear_sum_assignment(table, maximize=True)
    names = np.full(len(table), -1)
    names[rows] = columns
    return int(table[rows, columns].sum()), tuple(names.tolist())


def _inverse(columns: tuple[int, ...], n: int) -> tuple[int, ...]:
    """The row that has each of n columns, or -1, from the column that each row has."""
    rows = [-1] * n
    for row, column in enumerate(columns):
        rows[column] = row
    return tuple(rows)


def _blocks(table: Array, twin: Twin) -> Iterator[tuple[int, Array]]:
    """The scores of all allocations in blocks (choices for the upper rows, for the lower), with the first's number."""
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
    """(s, p, h) positions in the flat table -> (s, p) sums over the h of them."""
    xp = array_namespace(flat)
    taken = xp.reshape(xp.take(flat, xp.reshape(entries, (-1,))), entries.shape)
    return xp.sum(taken, axis=2, dtype=flat.dtype)


@cache
def _plan_on(twin: Twin, n_rows: int, n_columns: int) -> tuple[Array, Array]:
    """`_plan` on the device of a twin, to which it is copied once."""
    upper, lower = _plan(n_rows, n_columns)
    return twin.asarray(upper), twin.asarray(lower)


@cache
def _plan(n_rows: int, n_columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions in the flat table that each half of the rows may use, for every choice of columns for the upper half.

    Both are (choices, orders, rows of the half): the upper half has all orders of the columns chosen, the lower half
    all ordered choices of the columns left.
    """
    half = min(n_rows, n_columns // 2)
    chosen = list(itertools.combinations(range(n_columns), half))
    left = [[column for column in range(n_columns) if column not in columns] for columns in map(set, chosen)]
    return (
        _positions(np.array(chosen, dtype=np.int64).reshape(len(chosen), half), range(half), n_columns),
        _positions(np.array(left, dtype=np.int64), range(half, n_rows), n_columns),
    )


def _positions(columns: np.ndarray, rows: range, n_columns: int) -> np.ndarray:
    """(s, c) columns for some rows -> (s, orders, rows) positions, for each ordered choice of a column a row."""
    c, h = columns.shape[1], len(rows)
    orders = np.array(list(itertools.permutations(range(c), h)), dtype=np.int64)
    orders = orders.reshape(math.perm(c, h), h)
    return columns[:, orders] + n_columns * np.array(rows, dtype=np.int64)


def _bar_of_counts(counts: np.ndarray) -> int:
    """The highest score that at least `N_RANKED` allocations reach, or the lowest there is."""
    scores = np.flatnonzero(counts)[::-1]
    reached = np.cumsum(counts[scores])
    return int(scores[np.argmax(reached >= min(N_RANKED, reached[-1]))])


def _bar_of_rows(scores: Array) -> int:
    """A score that at least `N_RANKED` of (r, c) scores reach, for as many rows do; or the lowest there is."""
    xp = array_namespace(scores)
    of_rows = xp.sort(xp.max(scores, axis=1), descending=True)
    return int(of_rows[N_RANKED - 1]) if of_rows.shape[0] >= N_RANKED else int(xp.min(scores))


def _best_few(
    ranked: list[Ranked], first: int, scores: Array, shape: tuple[int, int], bar: int, twin: Twin
) -> list[Ranked]:
    """The best of those ranked before and of a block of scores, of which number `first` is the first.

    `bar` is a score below which none is among the best few of the block.
    """
    xp = array_namespace(scores)
    if len(ranked) == N_RANKED:
        bar = max(bar, ranked[-1][0] + 1)  # of those equally good, the first
    flat = xp.reshape(scores, (-1,))
    passing = xp.nonzero(flat >= bar)[0]
    values, numbers = twin.to_numpy(xp.take(flat, passing)), twin.to_numpy(passing)
    order = np.argsort(-values.astype(np.int64), kind="stable")[:N_RANKED]
    found = [(int(values[i]), _allocation(first + int(numbers[i]), shape)) for i in order]
    return sorted([*ranked, *found], key=lambda item: -item[0])[:N_RANKED]


def _allocation(number: int, shape: tuple[int, int]) -> tuple[int, ...]:
    """The column of each row under the allocation of a number."""
    upper, lower = _plan(*shape)
    split, rest = divmod(number, upper.shape[1] * lower.shape[1])
    first, second = divmod(rest, lower.shape[1])
    return tuple(int(position) % shape[1] for position in (*upper[split, first], *lower[split, second]))
