"""Propagation against a few lines of brute force."""

import json
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gpussl
from gpussl.errors import ConfigError
from gpussl.label.rounds import no_answers
from gpussl.numeric.clusters import cluster_names, nearness
from gpussl.propagate import neighbor_graph as graph
from gpussl.propagate.cluster import ClusterPropagation
from gpussl.propagate.graph import GraphPropagation
from gpussl.propagate.none import NoPropagation
from gpussl.records import PseudoLabels
from gpussl.runtime import store
from gpussl.select.nearest_to_centroid import NearestToCentroid
from gpussl.tasks.run import run

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
    chosen = NearestToCentroid().select(None, clustering, no_answers(clustering), None, 0)
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
    chosen = NearestToCentroid().select(None, clustering, no_answers(clustering), None, 0)
    found = ClusterPropagation(25).propagate(None, clustering, chosen, chosen)
    assert host(found.labels).tolist() == [0, 0, -1, -1, -1, 5, 5, -1, -1, -1]


def test_the_cut_is_numpys_lower_percentile():
    rng = np.random.default_rng(0)
    from gpussl.records import Clustering

    distances = rng.random(1000)
    clustering = Clustering(np.zeros((1, 2)), np.zeros(1000, dtype=np.int64), distances, 0.0, 0)
    chosen = NearestToCentroid().select(None, clustering, no_answers(clustering), None, 0)
    for percentile in (1, 12.5, 25, 80, 99.9):
        found = ClusterPropagation(percentile).propagate(None, clustering, chosen, chosen)
        cut = np.percentile(distances, percentile, method="lower")
        np.testing.assert_array_equal(found.labels != -1, distances <= cut)


@given(pairs=points)
def test_no_propagation_labels_what_was_bought(xp, host, make_clustering, pairs):
    clustering = make_clustering(xp, *np.array(pairs).T, N_CLUSTERS)
    chosen = NearestToCentroid().select(None, clustering, no_answers(clustering), None, 0)
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


@given(pairs=points, percentile=percentiles)
def test_labels_in_clusters_all_weigh_one(xp, host, make_clustering, pairs, percentile):
    clustering = make_clustering(xp, *np.array(pairs).T, N_CLUSTERS)
    chosen = NearestToCentroid().select(None, clustering, no_answers(clustering), None, 0)
    if not chosen.shape[0]:
        return
    for propagation in (NoPropagation(), ClusterPropagation(percentile)):
        found = propagation.propagate(None, clustering, chosen, chosen)
        assert found.weights.dtype == xp.float32
        np.testing.assert_array_equal(host(found.weights), host(found.labels) != -1)


METHODS = ["label_spreading", "poisson"]


def blobs(centres, n=40, scale=0.3):
    """(n, 2) points around each of some centres, and which (n,)."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(centre, scale, (n, 2)) for centre in centres])
    return X.astype(np.float32), np.repeat(np.arange(len(centres)), n)


@pytest.mark.parametrize("method", METHODS)
class TestGraph:
    def test_labels_follow_the_shape_of_the_data(self, method):
        t = np.linspace(0, np.pi, 150)
        arcs = [np.stack([np.cos(t), np.sin(t)], 1), np.stack([1 - np.cos(t), 0.4 - np.sin(t)], 1)]
        X, y = np.concatenate(arcs), np.repeat([7, 3], 150)
        bought = np.array([75, 225])
        found = GraphPropagation(method, n_neighbors=6).propagate(X, None, bought, y[bought])
        assert found.labels.tolist() == y.tolist()
        assert found.sources.tolist() == np.repeat(bought, 150).tolist()
        assert found.weights.dtype == np.float32
        assert found.weights[bought].tolist() == [1, 1]

    def test_what_no_edge_joins_to_a_label_has_none(self, method):
        X, _ = blobs([(0, 0), (9, 0), (0, 9), (9, 9)])
        bought = np.array([1, 5, 44, 81])  # none in the last
        labels = np.array([2, 5, 2, 5])  # two classes in the first, one in each of the next two
        found = GraphPropagation(method, n_neighbors=5).propagate(X, None, bought, labels)
        assert set(found.labels[:40].tolist()) == {2, 5}
        assert set(found.labels[40:80].tolist()) == {2}
        assert set(found.labels[80:120].tolist()) == {5}
        assert set(found.labels[120:].tolist()) == {-1}
        assert set(found.sources[120:].tolist()) == {-1}
        assert not found.weights[120:].any()
        assert (found.weights[40:120] == 1).all()
        assert ((found.weights[:40] > 0) & (found.weights[:40] <= 1)).all()

    def test_bought_points_keep_their_labels_and_are_their_own_sources(self, method):
        X, _ = blobs([(0, 0)])
        X[1] = X[0]  # a copy with another label
        bought, labels = np.array([0, 1, 7, 9]), np.array([4, 6, 4, 4])
        found = GraphPropagation(method, n_neighbors=5).propagate(X, None, bought, labels)
        assert found.labels[bought].tolist() == labels.tolist()
        assert found.sources[bought].tolist() == bought.tolist()
        assert found.weights[bought].tolist() == [1] * 4

    def test_a_source_is_the_nearest_bought_point_of_the_label(self, method):
        X, _ = blobs([(0, 0), (1, 0)])
        bought = np.arange(0, 80, 5)
        labels = (X[bought, 0] > 0.5).astype(np.int64)
        found = GraphPropagation(method).propagate(X, None, bought, labels)
        for i in range(80):
            same = bought[labels == found.labels[i]]
            nearest = same[np.argmin(((X[same] - X[i]) ** 2).sum(axis=1))]
            assert found.sources[i] == nearest

    @pytest.mark.parametrize("balanced", [True, False])
    def test_balanced_classes_count_as_much_however_many_labels_they_have(self, method, balanced):
        X, y = blobs([(0, 0), (1, 0), (0.5, 1)], n=100, scale=0.4)
        bought = np.concatenate([np.arange(0, 100, 5), [100, 200, 210]])
        found = GraphPropagation(method, balanced=balanced).propagate(X, None, bought, y[bought])
        joined, targets = graph.neighbor_graph(graph.neighbors(X, 10)), np.eye(3)[y[bought]]
        if method == "poisson":
            scores = graph.poisson_learning(joined, bought, targets)
        else:
            scores = graph.label_spreading(joined, bought, targets, 0.99)
        expected = (scores / targets.sum(axis=0) if balanced else scores).argmax(axis=1)
        expected[bought] = y[bought]
        np.testing.assert_array_equal(found.labels, expected)

    def test_a_point_below_the_least_confidence_has_no_label(self, method):
        X, y = blobs([(0, 0), (1, 0)])
        bought = np.array([0, 1, 40, 41])
        everything = GraphPropagation(method).propagate(X, None, bought, y[bought])
        least = float(np.median(everything.weights))
        found = GraphPropagation(method, min_confidence=least).propagate(X, None, bought, y[bought])
        kept = everything.weights.astype(np.float64) >= least
        kept[bought] = True
        assert 40 <= kept.sum() < 80
        np.testing.assert_array_equal(found.labels, np.where(kept, everything.labels, -1))
        np.testing.assert_array_equal(found.weights, np.where(kept, everything.weights, 0))
        assert GraphPropagation(method, min_confidence=1).propagate(X, None, bought, y[bought]).labels.max() == 1

    def test_sure_labels_are_right_more_often(self, method):
        X, y = blobs([(0, 0), (1, 0), (0.5, 1)], n=150, scale=0.4)
        bought = np.arange(0, 450, 15)
        found = GraphPropagation(method).propagate(X, None, bought, y[bought])
        others = np.setdiff1d(np.arange(450), bought)
        right, weights = (found.labels == y)[others], found.weights[others]
        sure = weights > np.median(weights)
        assert right[sure].mean() > right[~sure].mean() + 0.05

    def test_more_neighbours_than_points_are_refused(self, method):
        X, y = blobs([(0, 0)], n=10)
        with pytest.raises(ConfigError, match="expected n_neighbors below the number of training points, 10, found 10"):
            GraphPropagation(method).propagate(X, None, np.array([1]), y[:1])

    def test_a_run_needs_no_clusters_and_tells_how_sure_labels_are(self, method, job, tmp_path):
        overrides = ["cluster=none", "select=random", "select.n_labels=100", "baselines=none"]
        run(job(*overrides, f"propagate=[none,{method}]", "classifier=[logistic]"), tmp_path)
        labels = gpussl.load(tmp_path / "labels" / f"{method}.safetensors")
        assert 0 < labels.weights.min() < labels.weights.max() == 1
        (described,) = json.loads((tmp_path / "calibration.json").read_text()).values()
        assert sum(part["labels"] for part in described["bins"]) == 1197
        assert 'id="calibration"' in (tmp_path / "report.html").read_text()
        run(job(*overrides, "propagate=[none]", "classifier=[logistic]"), tmp_path / "other")
        assert not (tmp_path / "other" / "calibration.json").exists()


def test_weights_come_back_and_labels_without_them_get_some(tmp_path):
    found = PseudoLabels(np.array([-1, 2, -1, 0, -1]), np.array([-1, 1, -1, 3, -1]))
    store.save(tmp_path / "a.safetensors", found)
    assert gpussl.load(tmp_path / "a.safetensors").weights.tolist() == [0, 1, 0, 1, 0]
    without = store.unpack("pseudo_labels", {"labels": found.labels, "sources": found.sources}, {})
    assert without.weights.tolist() == [0, 1, 0, 1, 0]
