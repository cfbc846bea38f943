"""Selection and propagation against a few lines of brute force."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpussl.errors import ConfigError
from gpussl.propagate import ClusterPropagation, NoPropagation, cluster_names, nearness
from gpussl.select import All, First, NearestToCentroid, Random

N_CLUSTERS = 6  # of which hypothesis leaves some empty
# whole distances, so that ties are common; -1 is in no cluster
points = st.lists(st.tuples(st.integers(-1, N_CLUSTERS - 1), st.integers(0, 4)), min_size=1, max_size=40)
percentiles = st.sampled_from([0, 10, 20, 25, 30, 50, 75, 99, 100])


def members_by_distance(pairs, cluster):
    """The indices of a cluster's members, nearest first, ties by index."""
    return sorted((i for i, (c, _) in enumerate(pairs) if c == cluster), key=lambda i: (pairs[i][1], i))


@given(pairs=points)
def test_the_representative_is_the_nearest_member(xp, host, make_clustering, pairs):
    clustering = make_clustering(xp, *np.array(pairs).T, N_CLUSTERS)
    expected = sorted(m[0] for c in range(N_CLUSTERS) if (m := members_by_distance(pairs, c)))
    assert host(NearestToCentroid().select(None, clustering, 0, None)).tolist() == expected


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


def test_random_selection_is_without_replacement_and_by_seed(xp, host, make_clustering):
    clustering = make_clustering(xp, [0] * 50, range(50), 1)
    first, again, other = (host(Random(20).select(None, clustering, seed, None)) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()
    assert len(set(first.tolist())) == 20
    assert first.tolist() == sorted(first.tolist())


def test_more_random_labels_than_points_are_refused(xp, make_clustering):
    with pytest.raises(ConfigError, match=r"select\.n_labels: expected at most .* 3, found 4"):
        Random(4).select(None, make_clustering(xp, [0] * 3, range(3), 1), 0, None)


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


def test_the_first_and_all_are_what_they_say(xp, host, make_clustering):
    clustering = make_clustering(xp, [-1] * 9, range(9), 0)
    assert host(First(4).select(None, clustering, 0, None)).tolist() == [0, 1, 2, 3]
    assert host(All().select(None, clustering, 0, None)).tolist() == list(range(9))
    with pytest.raises(ConfigError, match=r"select\.n_labels: expected at most .* 9, found 10"):
        First(10).select(None, clustering, 0, None)


def test_without_clusters_no_label_spreads_and_no_representative_is_found(xp, host, make_clustering):
    clustering = make_clustering(xp, [-1] * 5, range(5), 0)
    indices = xp.asarray(np.array([1, 3]))
    with pytest.raises(ConfigError, match="propagate: expected clusters to propagate labels in, found none"):
        ClusterPropagation().propagate(None, clustering, indices, indices)
    assert host(NoPropagation().propagate(None, clustering, indices, indices).labels).tolist() == [-1, 1, -1, 3, -1]
    with pytest.raises(ConfigError, match="select=nearest_to_centroid: expected clusters, found none"):
        NearestToCentroid().select(None, clustering, 0, None)
