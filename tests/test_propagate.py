"""Propagation against a few lines of brute force."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpussl.errors import ConfigError
from gpussl.propagate import ClusterPropagation, NoPropagation, cluster_names, nearness
from gpussl.select import NearestToCentroid

N_CLUSTERS = 6  # of which hypothesis leaves some empty
# whole distances, so that ties are common; -1 is in no cluster
points = st.lists(st.tuples(st.integers(-1, N_CLUSTERS - 1), st.integers(0, 4)), min_size=1, max_size=40)
percentiles = st.sampled_from([0, 10, 20, 25, 30, 50, 75, 99, 100])


def members_by_distance(pairs, cluster):
    """The indices of a cluster's members, nearest first, ties by index."""
    return sorted((i for i, (c, _) in enumerate(pairs) if c == cluster), key=lambda i: (pairs[i][1], i))


@given(pairs=points, percentile=percentiles)
def test_a_representatives_label_reaches_the_nearest_share_of_its_cluster(xp, host, make_clustering, pairs, percentile):
    clustering = make_clustering(xp, *np.array(pairs).T, N_CLUSTERS)
    chosen = NearestToCentroid().select(None, clustering, 0, None)
    if not chosen.shape[0]:
        return
    bought = host(chosen) * 7  # any labels that tell the sources apart
    found = ClusterPropagation(percentile).propagate(None, clustering, chosen, xp.asarray(bought))

    expected = np.full(len(pairs), -1)
    for cluster in range(N_CLUSTERS):
        members = members_by_distance(pairs, cluster)
        if members:
            cut = pairs[members[floor(Fraction(percentile, 100) * (len(members) - 1))]][1]
            for i in members:
                if pairs[i][1] <= cut:
                    expected[i] = members[0]
    np.testing.assert_array_equal(host(found.sources), expected)
    np.testing.assert_array_equal(host(found.labels), np.where(expected < 0, -1, expected * 7))


@given(pairs=points, data=st.data())
def test_any_bought_labels_propagate_from_the_one_nearest_the_centroid(xp, host, make_clustering, pairs, data):
    bought = sorted(data.draw(st.sets(st.integers(0, len(pairs) - 1))))
    clustering = make_clustering(xp, *np.array(pairs).T, N_CLUSTERS)
    if not bought:
        return
    indices = xp.asarray(np.array(bought, dtype=np.int64))
    found = ClusterPropagation(100).propagate(None, clustering, indices, indices)

    expected = []
    for i, (cluster, _) in enumerate(pairs):
        sources = [j for j in members_by_distance(pairs, cluster) if j in bought and cluster >= 0]
        expected.append(i if i in bought else sources[0] if sources else -1)
    assert host(found.labels).tolist() == expected
    assert host(found.sources).tolist() == expected


def test_the_cut_is_within_each_cluster_and_not_over_all(xp, host, make_clustering):
    wide, tight = [10, 20, 30, 40, 50], [1, 2, 3, 4, 5]
    clustering = make_clustering(xp, [0] * 5 + [1] * 5, wide + tight, 2)
    chosen = NearestToCentroid().select(None, clustering, 0, None)
    found = ClusterPropagation(25).propagate(None, clustering, chosen, chosen)
    assert host(found.labels).tolist() == [0, 0, -1, -1, -1, 5, 5, -1, -1, -1]


def test_the_cut_is_numpys_lower_percentile():
    rng = np.random.default_rng(0)
    from gpussl.records import Clustering

    distances = rng.random(1000)
    clustering = Clustering(np.zeros((1, 2)), np.zeros(1000, dtype=np.int64), distances, 0.0, 0)
    chosen = NearestToCentroid().select(None, clustering, 0, None)
    for percentile in (1, 12.5, 25, 80, 99.9):
        found = ClusterPropagation(percentile).propagate(None, clustering, chosen, chosen)
        cut = np.percentile(distances, percentile, method="lower")
        np.testing.assert_array_equal(found.labels != -1, distances <= cut)


@given(pairs=points)
def test_no_propagation_labels_what_was_bought(xp, host, make_clustering, pairs):
    clustering = make_clustering(xp, *np.array(pairs).T, N_CLUSTERS)
    chosen = NearestToCentroid().select(None, clustering, 0, None)
    found = host(NoPropagation().propagate(None, clustering, chosen, chosen).labels)
    assert np.flatnonzero(found != -1).tolist() == host(chosen).tolist()


@given(pairs=points)
def test_nearness_counts_the_members_that_come_before(xp, host, make_clustering, pairs):
    found = host(nearness(make_clustering(xp, *np.array(pairs).T, N_CLUSTERS)))
    for cluster in range(N_CLUSTERS):
        members = members_by_distance(pairs, cluster)
        for rank, i in enumerate(members):
            assert found[i] == rank / len(members)


@given(pairs=points, data=st.data())
def test_a_cluster_is_named_by_the_label_bought_nearest_its_centroid(xp, host, make_clustering, pairs, data):
    bought = sorted(data.draw(st.sets(st.integers(0, len(pairs) - 1), min_size=1)))
    clustering = make_clustering(xp, *np.array(pairs).T, N_CLUSTERS)
    indices = xp.asarray(np.array(bought, dtype=np.int64))
    expected = []
    for cluster in range(N_CLUSTERS):
        sources = [j for j in members_by_distance(pairs, cluster) if j in bought]
        expected.append(sources[0] if sources else -1)
    assert host(cluster_names(clustering, indices, indices)).tolist() == expected


def test_without_clusters_no_label_spreads(xp, host, make_clustering):
    clustering = make_clustering(xp, [-1] * 5, range(5), 0)
    indices = xp.asarray(np.array([1, 3]))
    with pytest.raises(ConfigError, match="propagate: expected clusters to propagate labels in, found none"):
        ClusterPropagation().propagate(None, clustering, indices, indices)
    assert host(NoPropagation().propagate(None, clustering, indices, indices).labels).tolist() == [-1, 1, -1, 3, -1]
