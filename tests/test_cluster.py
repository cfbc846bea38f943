import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import cluster as sklearn_cluster
from sklearn.datasets import load_digits, make_blobs

from gpussl.cluster import KMeans, kmeans_parallel
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
    """More threads than two would add up in any order."""
    program = (
        "import numpy as np; from gpussl.cluster import KMeans; from gpussl import store;"
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
