"""Every allocation of classes to clusters, against brute force, SciPy and closed forms."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from gpussl import backend
from gpussl.backend import cpu
from gpussl.numeric.allocations import MAX_ENUMERATED, N_RANKED, contingency, score_allocations

small_tables = st.integers(1, 6).flatmap(
    lambda k: st.lists(st.lists(st.integers(0, 9), min_size=k, max_size=k), min_size=k, max_size=k)
)


def on(xp, values):
    """Values as an array of a namespace, and its twin."""
    array = xp.asarray(np.array(values))
    return array, backend.of(array)


def every_score(table):
    """(K!,) scores and their allocations, the slow way."""
    k = len(table)
    return {p: int(sum(table[i][p[i]] for i in range(k))) for p in itertools.permutations(range(k))}


@given(table=small_tables)
def test_all_scores_are_those_of_brute_force(xp, table):
    found, expected = score_allocations(*on(xp, table)), every_score(table)
    assert found.method == "enumeration"
    assert found.score == max(expected.values()) == expected[found.best]
    np.testing.assert_array_equal(found.counts, np.bincount(list(expected.values()), minlength=len(found.counts)))
    assert [score for score, _ in found.ranking] == sorted(expected.values(), reverse=True)[:N_RANKED]
    assert all(expected[allocation] == score for score, allocation in found.ranking)
    assert len({allocation for _, allocation in found.ranking}) == len(found.ranking)


@pytest.mark.parametrize("k", [7, 8, 9, 10, 11])
def test_the_best_is_the_assignment_algorithms(k):
    table = np.random.default_rng(k).integers(0, 300, (k, k))
    found = score_allocations(table, cpu)
    rows, columns = linear_sum_assignment(table, maximize=True)
    assert found.score == table[rows, columns].sum() == table[range(k), list(found.best)].sum()
    assert found.counts.sum() == math.factorial(k)


@pytest.mark.parametrize("k", [2, 5, 10])
def test_mean_and_variance_are_the_closed_forms(k):
    rng = np.random.default_rng(k)
    table = contingency(rng.integers(0, k, 5000), rng.integers(0, k, 5000) % k, k, k, cpu)
    counts = score_allocations(table, cpu).counts
    scores = np.arange(len(counts))
    mean = np.average(scores, weights=counts)
    centred = table - table.mean(axis=0) - table.mean(axis=1)[:, None] + table.mean()
    assert mean == pytest.approx(5000 / k)
    assert np.average((scores - mean) ** 2, weights=counts) == pytest.approx((centred**2).sum() / (k - 1))


def test_beyond_what_can_be_enumerated_the_assignment_algorithm_is_named():
    k = MAX_ENUMERATED + 1
    table = np.random.default_rng(0).integers(0, 50, (k, k))
    found = score_allocations(table, cpu)
    assert found.method == "assignment"
    assert found.counts is None
    assert found.score == table[range(k), list(found.best)].sum()


def test_ten_clusters_take_little_memory():
    table = np.random.default_rng(0).integers(0, 300, (10, 10))
    score_allocations(table, cpu)  # makes the plan, which is kept
    tracemalloc.start()
    score_allocations(table, cpu)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


def test_eleven_clusters_are_scored_in_blocks():
    table = np.random.default_rng(0).integers(0, 300, (11, 11))
    score_allocations(table[:4, :4], cpu)
    tracemalloc.start()
    score_allocations(table, cpu)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6  # of 39,916,800 scores of 4 bytes, and counting them takes 8


@pytest.mark.parametrize(("n_clusters", "n_classes"), [(5, 3), (3, 5), (1, 4), (14, 10), (4, 1), (7, 10), (12, 5)])
def test_clusters_and_classes_need_not_be_as_many(n_clusters, n_classes):
    table = np.random.default_rng(0).integers(0, 50, (n_clusters, n_classes))
    rows, columns = linear_sum_assignment(table, maximize=True)
    found = score_allocations(table, cpu)
    assert found.score == table[rows, columns].sum()
    named = [(cluster, name) for cluster, name in enumerate(found.best) if name != -1]
    assert len(found.best) == n_clusters
    assert len({name for _, name in named}) == len(named) == min(n_clusters, n_classes)
    assert len({allocation for _, allocation in found.ranking}) == len(found.ranking)
    assert sum(table[cluster, name] for cluster, name in named) == found.score


def test_points_in_no_cluster_count_as_wrong():
    clusters, classes = np.array([0, 0, 1, -1]), np.array([1, 1, 0, 0])
    table = contingency(clusters, classes, 2, 2, cpu)
    np.testing.assert_array_equal(table, [[0, 2], [1, 0]])
    assert score_allocations(table, cpu, 4).accuracy == 0.75
    assert score_allocations(table, cpu).accuracy == 1


@given(data=st.data())
def test_the_table_counts_pairs(xp, host, data):
    n = data.draw(st.integers(1, 30))
    clusters = data.draw(st.lists(st.integers(-1, 3), min_size=n, max_size=n))
    classes = data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    found = host(contingency(on(xp, clusters)[0], *on(xp, classes)[:1], 4, 3, on(xp, clusters)[1]))
    for cluster, name in itertools.product(range(4), range(3)):
        assert found[cluster, name] == sum((a, b) == (cluster, name) for a, b in zip(clusters, classes, strict=True))


def test_a_table_of_noughts_has_one_score():
    found = score_allocations(np.zeros((8, 8), dtype=np.int64), cpu, 10)
    assert found.score == 0
    assert found.counts.tolist() == [math.factorial(8)]
