"""Permutations: which cluster is which class, when clusters know no names.

An allocation gives every class to another cluster. It is scored by how many points it names rightly, which is a sum of
K entries of the K x K contingency table, so nothing but that table is needed.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from array_api_compat import array_namespace, device
from scipy.optimize import linear_sum_assignment

from gpussl import backend
from gpussl.records import Array

MAX_ENUMERATED = 12  # 479,001,600 allocations: seconds. Beyond, only the best one is found
BLOCK_SCORES = 2**22  # scores that are held at once
N_RANKED = 10
Ranked = tuple[int, tuple[int, ...]]  # a score and its allocation


@dataclass(frozen=True)
class Allocations:
    """What is known of the ways to name K clusters by K classes.

    Attributes
    ----------
    best : tuple of int
        The class of each cluster under the best allocation, or -1 if it gets none: one of the best where several are.
    score : int
        How many points the best one names rightly.
    n_points : int
    method : {"enumeration", "assignment"}
        Whether every allocation was scored, or only the best one found, by the assignment algorithm.
    ranking : list of (int, tuple of int)
        Scores and allocations of the best few different ones, best first.
    counts : (score_max + 1,) int64 array or None
        How many of the K! allocations have each score, on the host, K the larger of the numbers of clusters and of
        classes; None if they were not enumerated.
    """

    best: tuple[int, ...]
    score: int
    n_points: int
    method: str
    ranking: list[Ranked] = field(default_factory=list)
    counts: np.ndarray | None = None

    @property
    def accuracy(self) -> float:
        """Share of the points that the best allocation names rightly."""
        return self.score / self.n_points


def contingency(clusters: Array, classes: Array, n_clusters: int, n_classes: int) -> Array:
    """How many points are in each cluster and class: (n,) and (n,) -> (n_clusters, n_classes) int64.

    Points with a negative cluster count nowhere.
    """
    xp = array_namespace(clusters, classes)
    clusters, classes = xp.astype(clusters, xp.int64), xp.astype(classes, xp.int64)
    inside = clusters >= 0
    pairs = clusters[inside] * n_classes + classes[inside]
    counts = xp.asarray(backend.of(pairs).bincount(pairs, n_clusters * n_classes))
    return xp.reshape(counts, (n_clusters, n_classes))


def score_allocations(table: Array, n_points: int | None = None) -> Allocations:
    """Score all allocations of K classes to K clusters, where `table` is.

    With more clusters than classes, some clusters stay without a class, and their points count as wrong; with fewer,
    some classes stay without a cluster. Both are the square case with rows or columns of noughts added.

    Up to `MAX_ENUMERATED` all K! are scored: the table is split into its upper and lower half, each half's sums are
    made for every way to share out the classes, and one addition then gives each score. 10! is 252 x 120 x 120.
    Beyond, the best one is found by the assignment algorithm.

    Parameters
    ----------
    table : (n_clusters, n_classes) int array
        See `contingency`.
    n_points : int, optional
        What accuracies are shares of, where points in no cluster are to count as wrong; the table's sum otherwise.
    """
    xp, twin = array_namespace(table), backend.of(table)
    total = int(xp.sum(table))
    square = _square(table)
    size, n_points = square.shape[0], total if n_points is None else n_points
    if size > MAX_ENUMERATED:
        rows, columns = linear_sum_assignment(twin.to_numpy(square), maximize=True)
        score = int(twin.to_numpy(square)[rows, columns].sum())
        ranking = _distinct([(score, tuple(int(column) for column in columns))], table.shape)
        return Allocations(ranking[0][1], score, n_points, "assignment", ranking)
    dtype = xp.int32 if total < 2**31 else xp.int64
    counts = np.zeros(total + 1, dtype=np.int64) if total < 2**24 else None  # finer than anyone could look at
    ranked: list[Ranked] = []
    for first, scores in _blocks(xp.astype(square, dtype)):
        if counts is not None:
            counts += twin.to_numpy(twin.bincount(xp.reshape(scores, (-1,)), total + 1))
        ranked = _best_few(ranked, first, scores, size)
    ranking = _distinct(ranked, table.shape)
    return Allocations(ranking[0][1], ranking[0][0], n_points, "enumeration", ranking, counts)


def _distinct(ranked: list[Ranked], shape: tuple[int, int]) -> list[Ranked]:
    """Allocations of the square case as those of the table of this shape: -1 for the classes that were added."""
    n_clusters, n_classes = shape
    return list(
        dict.fromkeys(
            (score, tuple(name if name < n_classes else -1 for name in allocation[:n_clusters]))
            for score, allocation in ranked
        )
    )


def _square(table: Array) -> Array:
    """The table with rows or columns of noughts, so that it has as many of both."""
    xp = array_namespace(table)
    n_clusters, n_classes = table.shape
    size = max(n_clusters, n_classes)

    def noughts(rows: int, columns: int) -> Array:
        return xp.zeros((rows, columns), dtype=table.dtype, device=device(table))

    table = xp.concat([table, noughts(size - n_clusters, n_classes)], axis=0)
    return xp.concat([table, noughts(size, size - n_classes)], axis=1)


def _blocks(table: Array) -> Iterator[tuple[int, Array]]:
    """The scores of all allocations in blocks (rows, orders of the lower half), each with the number of its first."""
    xp, size = array_namespace(table), table.shape[0]
    upper, lower = _plan(size)
    flat = xp.reshape(table, (-1,))
    per_split = upper.shape[1] * lower.shape[1]
    step = max(1, BLOCK_SCORES // per_split)
    for start in range(0, upper.shape[0], step):
        sums = [_half_sums(flat, half[start : start + step]) for half in (upper, lower)]
        yield start * per_split, xp.reshape(sums[0][:, :, None] + sums[1][:, None, :], (-1, lower.shape[1]))


def _half_sums(flat: Array, entries: np.ndarray) -> Array:
    """(s, p, h) positions in the flat table -> (s, p) sums over the h of them."""
    xp = array_namespace(flat)
    total = xp.zeros(entries.shape[:2], dtype=flat.dtype, device=device(flat))
    for i in range(entries.shape[2]):
        positions = xp.asarray(entries[:, :, i].ravel(), device=device(flat))
        total = total + xp.reshape(xp.take(flat, positions), entries.shape[:2])
    return total


@cache
def _plan(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions in the flat table of each half allocation: for every way to share out the classes and every order.

    The upper half's are (splits, orders, rows), and so are the lower half's, of the classes left.
    """
    half = size // 2
    splits = list(itertools.combinations(range(size), half))
    left = [[c for c in range(size) if c not in set(split)] for split in splits]
    classes = (np.array(part, dtype=np.int64).reshape(len(splits), -1) for part in (splits, left))
    return _positions(next(classes), 0, size), _positions(next(classes), half, size)


def _positions(classes: np.ndarray, first_row: int, size: int) -> np.ndarray:
    """(splits, h) classes for the rows from `first_row` -> (splits, h!, h) positions, each order of them."""
    h = classes.shape[1]
    orders = np.array(list(itertools.permutations(range(h))), dtype=np.int64).reshape(math.factorial(h), h)
    return classes[:, orders] + size * (first_row + np.arange(h))


def _best_few(ranked: list[Ranked], first: int, scores: Array, size: int) -> list[Ranked]:
    """The best of those ranked before and of a block of scores, of which number `first` is the first."""
    xp, to_numpy = array_namespace(scores), backend.of(scores).to_numpy
    of_rows = xp.sort(xp.max(scores, axis=1), descending=True)
    if len(ranked) == N_RANKED and int(of_rows[0]) <= ranked[-1][0]:
        return ranked
    # as many rows have a score of at least this, so nothing below it is among the best few
    bar = int(of_rows[N_RANKED - 1]) if of_rows.shape[0] >= N_RANKED else int(xp.min(scores))
    flat = xp.reshape(scores, (-1,))
    passing = xp.nonzero(flat >= bar)[0]
    values, numbers = to_numpy(xp.take(flat, passing)), to_numpy(passing)
    order = np.argsort(-values.astype(np.int64), kind="stable")[:N_RANKED]
    found = [(int(values[i]), _allocation(first + int(numbers[i]), size)) for i in order]
    return sorted([*ranked, *found], key=lambda item: -item[0])[:N_RANKED]


def _allocation(number: int, size: int) -> tuple[int, ...]:
    """The class of each cluster under the allocation of a number."""
    upper, lower = _plan(size)
    split, rest = divmod(number, upper.shape[1] * lower.shape[1])
    first, second = divmod(rest, lower.shape[1])
    return tuple(int(p) % size for p in (*upper[split, first], *lower[split, second]))
