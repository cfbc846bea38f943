"""Budgets of clusters: whole numbers that add up, spreads in closed form, and what is known when."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpussl.errors import ConfigError
from gpussl.select.cluster_budget import ClusterBudget, apportion, first_round, spread_out, spreads
from gpussl.select.nearest_to_centroid import NearestToCentroid
from tests.test_select import N_CLUSTERS, points, seeds, select


@given(
    parts=st.lists(st.tuples(st.floats(0, 10), st.integers(0, 20)), min_size=1, max_size=12),
    data=st.data(),
)
def test_apportioned_numbers_add_up_and_keep_to_capacities(parts, data):
    weights, capacity = (np.array(part) for part in zip(*parts, strict=True))
    total = data.draw(st.integers(0, int(capacity.sum())))
    counts = apportion(weights, capacity, total)
    assert counts.sum() == total
    assert (counts >= 0).all()
    assert (counts <= capacity).all()
    if weights.sum() > 0:
        quota = total * (weights / weights.sum())
        if (quota < capacity).all():
            assert (np.abs(counts - quota) < 1 + 1e-9).all()


def test_largest_remainders_get_what_is_left():
    roomy = np.full(3, 100)
    assert apportion(np.array([1, 2, 4]), roomy, 10).tolist() == [1, 3, 6]  # 1.43, 2.86, 5.71
    assert apportion(np.array([1, 1, 8]), np.array([9, 9, 2]), 10).tolist() == [4, 4, 2]
    assert apportion(np.array([0, 0, 1]), np.array([4, 2, 1]), 4).tolist() == [2, 1, 1]


@pytest.mark.parametrize("n", [1, 2, 7, 10])
def test_ranks_are_spread_from_the_centre(n):
    for count in range(n + 1):
        ranks = spread_out(n, count)
        assert len(set(ranks.tolist())) == count
        assert all(0 <= rank < n for rank in ranks)
        assert not count or ranks[0] == 0
    assert spread_out(10, 4).tolist() == [0, 2, 5, 7]


def test_one_label_does_not_make_a_cluster_pure():
    clusters, labels = np.array([0, 1, 2, 2, 3, 3]), np.array([5, 9, 5, 5, 9, 5])
    found = spreads(clusters, labels, 5, prior=1.0)
    overall = np.array([4, 2]) / 6
    for cluster, counts in enumerate([(1, 0), (0, 1), (2, 0), (1, 1), (0, 0)]):
        p = (np.array(counts) + overall) / (sum(counts) + 1)
        np.testing.assert_allclose(found[cluster], np.sqrt(2 * p[0] * p[1]))
    assert found[2] < found[0] < found[1] < found[3]


@given(pairs=points, seed=seeds, data=st.data())
def test_cluster_budgets_are_exact_and_every_cluster_has_one(xp, make_clustering, pairs, seed, data):
    labels = np.array([cluster for cluster, _ in pairs])
    clustering = make_clustering(xp, *np.array(pairs).T, N_CLUSTERS)
    n_members = int((labels >= 0).sum())
    if n_members == 0:
        return
    n_labels = data.draw(st.integers(1, n_members))
    y = np.random.default_rng(seed).integers(0, 3, size=len(pairs))
    found, oracle = select(ClusterBudget(n_labels), xp, None, clustering, y, seed)

    assert found.tolist() == sorted(set(found.tolist()))
    assert len(found) == n_labels
    assert (labels[found] >= 0).all()
    sizes, counts = np.bincount(labels[labels >= 0], minlength=N_CLUSTERS), np.bincount(labels[found])
    if n_labels >= (sizes > 0).sum():
        assert set(labels[found]) == set(np.flatnonzero(sizes))
    else:
        assert counts.max() == 1
        assert sizes[labels[found]].min() >= np.delete(sizes, labels[found]).max()
    representatives = select(NearestToCentroid(), xp, None, clustering)[0]
    assert set(labels[found]) == set(labels[np.intersect1d(found, representatives)])  # each cluster's nearest first

    n_on_the_way = oracle.n_bought
    oracle.buy(found)
    assert n_on_the_way <= n_labels == oracle.n_bought


@given(pairs=points, seed=seeds, data=st.data())
def test_a_label_that_is_not_bought_plays_no_part(xp, make_clustering, pairs, seed, data):
    clustering = make_clustering(xp, *np.array(pairs).T, N_CLUSTERS)
    n_members = sum(cluster >= 0 for cluster, _ in pairs)
    if n_members == 0:
        return
    selection = ClusterBudget(data.draw(st.integers(1, n_members)))
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, size=len(pairs))
    found, oracle = select(selection, xp, None, clustering, y, seed)
    spoilt = np.where(oracle._bought, y, rng.integers(3, 9, size=len(pairs)))
    assert select(selection, xp, None, clustering, spoilt, seed)[0].tolist() == found.tolist()


def test_mixed_clusters_get_more_labels_than_pure_ones(xp, make_clustering):
    labels = np.repeat(np.arange(4), 200)
    y = np.where(labels < 2, labels, np.random.default_rng(0).integers(0, 5, size=800))
    clustering = make_clustering(xp, labels, np.random.default_rng(1).random(800), 4)
    counts = np.bincount(labels[select(ClusterBudget(80), xp, None, clustering, y)[0]])
    assert counts.sum() == 80
    assert counts[2:].min() >= 1.5 * counts[:2].max()
    alike = np.bincount(labels[select(ClusterBudget(80, first_share=1.0), xp, None, clustering, y)[0]])
    assert alike.tolist() == [20] * 4


def test_cluster_budgets_go_by_size_at_first():
    assert first_round(np.array([100, 0, 300, 1]), 40, 0.5).tolist() == [5, 0, 14, 1]
    assert first_round(np.array([3, 5, 0, 5]), 2, 0.5).tolist() == [0, 1, 0, 1]
    assert first_round(np.array([3, 5, 0, 5]), 3, 0.1).tolist() == [1, 1, 0, 1]


def test_cluster_budgets_are_by_seed(xp, make_clustering):
    labels = np.repeat(np.arange(4), 50)
    clustering = make_clustering(xp, labels, np.arange(200), 4)
    first, again, other = (
        select(ClusterBudget(60), xp, None, clustering, labels % 2, seed)[0].tolist() for seed in (1, 1, 2)
    )
    assert first == again != other


def test_more_labels_than_points_in_clusters_are_refused(xp, make_clustering):
    clustering = make_clustering(xp, [0, -1, 0], range(3), 1)
    with pytest.raises(ConfigError, match=r"select\.n_labels: expected at most .* in clusters, 2, found 3"):
        select(ClusterBudget(3), xp, None, clustering)
