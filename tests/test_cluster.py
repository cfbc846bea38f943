import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import cluster as sklearn_cluster
from sklearn.datasets import load_digits, make_blobs
from sklearn.mixture import GaussianMixture as SklearnMixture

from gpussl.cluster.assign import assign
from gpussl.cluster.gaussian_mixture import GaussianMixture
from gpussl.cluster.hdbscan import HDBSCAN
from gpussl.cluster.kmeans import KMeans
from gpussl.cluster.none import NoClustering
from gpussl.cluster.start import kmeans_parallel
from gpussl.errors import ConfigError


@pytest.fixture(scope="module")
def digits():
    return load_digits().data.astype(np.float32) / 16


def test_the_start_is_made_of_different_points(xp, host):
    X = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    start = host(kmeans_parallel(xp.asarray(X), 40, np.random.default_rng(1)))
    rows = {tuple(row) for row in X.tolist()}
    assert start.shape == (40, 4)
    assert all(tuple(row) in rows for row in start.tolist())
    assert len({tuple(row) for row in start.tolist()}) == 40


def test_the_start_is_the_same_on_every_namespace(xp, host):
    X = np.random.default_rng(0).normal(size=(300, 4))  # float64, so that rounding decides no draw
    expected = kmeans_parallel(X, 25, np.random.default_rng(1))
    found = host(kmeans_parallel(xp.asarray(X), 25, np.random.default_rng(1)))
    np.testing.assert_array_equal(found, expected)


def test_the_start_is_the_same_without_a_table_of_distances(monkeypatch):
    X = np.random.default_rng(0).normal(size=(300, 4))
    with_table = kmeans_parallel(X, 25, np.random.default_rng(1))
    monkeypatch.setattr("gpussl.backend.seeding.table_pays", lambda m, n_clusters: False)
    np.testing.assert_array_equal(kmeans_parallel(X, 25, np.random.default_rng(1)), with_table)


def test_many_candidates_are_reduced_in_groups_that_are_no_worse(digits, monkeypatch):
    apart = {}
    for rows in (8192, 40):  # of some 150 candidates
        monkeypatch.setattr("gpussl.cluster.start.TABLE_ROWS", rows)
        starts = [kmeans_parallel(digits, 61, np.random.default_rng(seed)) for seed in range(12)]
        assert {len(np.unique(start, axis=0)) for start in starts} == {61}
        ends = [sklearn_cluster.KMeans(61, init=start, n_init=1).fit(digits).inertia_ for start in starts]
        apart[rows] = np.mean(ends)
    assert apart[40] == pytest.approx(apart[8192], rel=0.01)


def test_the_start_finds_every_far_away_group(xp, host):
    centers = 1000 * np.eye(12, dtype=np.float32)
    X = make_blobs(600, centers=centers, random_state=0)[0]
    start = host(kmeans_parallel(xp.asarray(X.astype(np.float32)), 12, np.random.default_rng(0)))
    assert sorted(((start[:, None] - centers[None]) ** 2).sum(2).argmin(1).tolist()) == list(range(12))


@given(n_distinct=st.integers(1, 6), n_clusters=st.integers(1, 8), seed=st.integers(0, 50))
def test_repeated_points_still_give_as_many_starts_as_clusters(xp, n_distinct, n_clusters, seed):
    X = np.repeat(np.eye(6, dtype=np.float32)[:n_distinct], 8, axis=0)
    assert kmeans_parallel(xp.asarray(X), n_clusters, np.random.default_rng(seed)).shape == (n_clusters, 6)


def test_inertia_is_within_half_a_percent_of_scikit_learns(digits):
    ours = [KMeans(n_clusters=60).fit(digits, seed).inertia for seed in range(12)]
    theirs = [sklearn_cluster.KMeans(60, n_init=1, random_state=seed).fit(digits).inertia_ for seed in range(12)]
    assert np.mean(ours) <= 1.005 * np.mean(theirs)


def test_the_record_is_consistent(digits):
    found = KMeans(n_clusters=30).fit(digits, seed=0)
    distances = np.sqrt(((digits[:, None] - found.centroids[None]) ** 2).sum(axis=2))
    np.testing.assert_array_equal(found.labels, distances.argmin(axis=1))
    np.testing.assert_allclose(found.distances, distances.min(axis=1), rtol=1e-5)
    assert found.inertia == pytest.approx((found.distances**2).sum(), rel=1e-4)


def test_one_seed_gives_one_clustering(digits):
    first, again, other = (KMeans(n_clusters=30).fit(digits, seed) for seed in (3, 3, 4))
    assert first.centroids.tobytes() == again.centroids.tobytes()
    assert first.labels.tobytes() == again.labels.tobytes()
    assert first.labels.tobytes() != other.labels.tobytes()


def test_one_seed_gives_one_clustering_on_many_threads():
    program = (
        "import numpy as np; from gpussl.cluster.kmeans import KMeans; from gpussl.runtime import store;"
        "X = np.random.default_rng(0).random((20000, 16), dtype=np.float32);"
        "print({store.digest(KMeans(n_clusters=20, max_iter=20).fit(X, 0).centroids) for _ in range(8)})"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "4", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-c", program]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert shown.stdout.count(",") == 0, shown.stdout


def test_fewer_distinct_points_than_clusters_leave_clusters_empty():
    X = np.repeat(np.eye(3, dtype=np.float32), 5, axis=0)
    found = KMeans(n_clusters=6).fit(X, seed=0)
    assert found.centroids.shape == (6, 3)
    assert found.inertia == 0
    assert len(np.unique(found.labels)) == 3


def test_more_clusters_than_points_are_refused(digits):
    with pytest.raises(ConfigError, match=r"cluster\.n_clusters: expected at most .* 10, found 11"):
        KMeans(n_clusters=11).fit(digits[:10], seed=0)


class TestStarts:
    def test_random_starts_are_different_points(self, digits):
        found = KMeans(n_clusters=30, init="random", max_iter=1).fit(digits, seed=0)
        assert found.centroids.shape == (30, 64)
        assert len(np.unique(found.labels)) == 30

    def test_of_several_starts_the_best_is_kept(self, digits):
        settings = {"n_clusters": 10, "init": "random"}
        best = KMeans(**settings, n_init=6).fit(digits, 2)
        first = KMeans(**settings).fit(digits, 2)  # is the first of the six
        assert best.inertia < first.inertia - 1
        again = KMeans(**settings, n_init=7).fit(digits, 2)
        assert again.inertia <= best.inertia

    def test_it_says_how_many_starts_have_ended(self, digits):
        said = []
        KMeans(n_clusters=10, init="random", n_init=70).fit(digits, 2, on_progress=lambda *step: said.append(step))
        done = [step[0] for step in said]
        assert done == sorted(done)
        assert {step[1] for step in said} == {70}
        assert done[-1] == 70
        assert said[0] == (0, 70, "iteration 1")


@pytest.fixture(scope="module")
def blobs():
    X = make_blobs(900, n_features=3, centers=4, cluster_std=[0.5, 1, 1.5, 2], random_state=3)[0]
    return X.astype(np.float32)


class TestGaussianMixture:
    def test_is_scikit_learns_from_the_same_start(self, blobs):
        X = blobs.astype(np.float64)
        ours = GaussianMixture(4, tol=1e-9, max_iter=500, regularization=1e-6).fit(X, seed=0)
        start = KMeans(4).fit(X, 0).centroids
        theirs = SklearnMixture(4, means_init=start, tol=1e-9, max_iter=500, reg_covar=1e-6, random_state=0).fit(X)
        order = ((ours.centroids[:, None] - theirs.means_[None]) ** 2).sum(axis=2).argmin(axis=1)
        np.testing.assert_allclose(ours.centroids, theirs.means_[order], atol=1e-3)
        np.testing.assert_allclose(ours.weights, theirs.weights_[order], atol=1e-4)
        np.testing.assert_allclose(ours.covariances, theirs.covariances_[order], atol=1e-2)
        assert np.mean(order[ours.labels] == theirs.predict(X)) > 0.999
        assert np.mean(order[assign(ours, X)] == theirs.predict(X)) > 0.999

    def test_distances_are_mahalanobis(self, blobs):
        found = GaussianMixture(4).fit(blobs, seed=0)
        for i in (0, 500):
            centred = blobs[i] - found.centroids[found.labels[i]]
            expected = np.sqrt(centred @ np.linalg.inv(found.covariances[found.labels[i]]) @ centred)
            assert found.distances[i] == pytest.approx(expected, rel=1e-5)
        assert found.inertia == pytest.approx((found.distances**2).sum())

    def test_runs_on_every_namespace(self, xp, host):
        X = make_blobs(120, n_features=2, centers=3, random_state=1)[0]
        expected = GaussianMixture(3).fit(X, 0)
        start = KMeans(3).fit(X, 0)
        start = dataclasses.replace(start, labels=xp.asarray(start.labels), centroids=xp.asarray(start.centroids))
        found = GaussianMixture(3).fit_from(xp.asarray(X), start)
        np.testing.assert_array_equal(host(found.labels), expected.labels)
        np.testing.assert_allclose(host(found.covariances), expected.covariances, rtol=1e-6)
        np.testing.assert_array_equal(host(assign(found, xp.asarray(X))), expected.labels)


class TestHDBSCAN:
    def test_finds_the_dense_regions_and_calls_the_rest_noise(self):
        X, y = make_blobs(300, centers=[[0, 0], [20, 0], [0, 20]], cluster_std=0.5, random_state=0)
        X = np.vstack([X, [[100, 100], [-100, 50]]]).astype(np.float32)
        found = HDBSCAN(min_cluster_size=20).fit(X, seed=0)
        assert found.labels[-2:].tolist() == [-1, -1]
        assert found.centroids.shape == (3, 2)
        for cluster in range(3):
            members = np.flatnonzero(found.labels == cluster)
            assert len(set(y[members])) == 1
            np.testing.assert_allclose(found.centroids[cluster], X[members].mean(axis=0), rtol=1e-4, atol=1e-4)
        expected = np.linalg.norm(X[:-2] - found.centroids[found.labels[:-2]], axis=1)
        np.testing.assert_allclose(found.distances[:-2], np.where(found.labels[:-2] < 0, 0, expected), atol=1e-5)

    def test_all_may_be_noise(self):
        X = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
        found = HDBSCAN(min_cluster_size=30).fit(X, seed=0)
        assert found.centroids.shape == (0, 5)
        assert set(found.labels.tolist()) == {-1}

    def test_too_few_points_are_refused(self):
        with pytest.raises(ConfigError, match=r"cluster\.min_cluster_size: expected at most .* 3, found 5"):
            HDBSCAN(min_cluster_size=5).fit(np.zeros((3, 2), dtype=np.float32), seed=0)


def test_no_clustering_puts_no_point_anywhere(xp, host):
    found = NoClustering().fit(xp.asarray(np.ones((5, 2), dtype=np.float32)), seed=0)
    assert host(found.labels).tolist() == [-1] * 5
    assert found.centroids.shape == (0, 2)
    with pytest.raises(ValueError, match=r"expected .* at least one cluster"):
        assign(found, xp.asarray(np.ones((5, 2), dtype=np.float32)))


def test_points_are_assigned_to_the_nearest_centroid(digits):
    found = KMeans(n_clusters=30).fit(digits[:1000], seed=0)
    expected = ((digits[1000:, None] - found.centroids[None]) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(assign(found, digits[1000:]), expected)
