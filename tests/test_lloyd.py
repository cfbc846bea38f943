"""Our Lloyd's algorithm against the plain one in float64, and scikit-learn's."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_info, threadpool_limits

from gpussl.backend import blocks
from gpussl.backend import lloyd as lloyd_module
from gpussl.backend.lloyd import lloyd


@pytest.fixture(scope="module")
def digits():
    X = load_digits().data / 16
    noise = np.random.default_rng(0).normal(scale=1e-3, size=X.shape)  # no two distances are the same
    return (X + noise).astype(np.float32)


def starts(X, n_clusters, n_starts, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([X[rng.choice(len(X), n_clusters, replace=False)] for _ in range(n_starts)])


def plain(X, centroids):
    """Lloyd's algorithm as it is written, in float64, until no point changes its cluster: centroids and labels.

    And for each iteration how many distances may be others than before.
    """
    X, centroids = X.astype(np.float64), centroids.astype(np.float64)
    labels, moved, counts = np.full(len(X), -1), np.ones(len(centroids), dtype=bool), []
    while moved.any():
        is_anew = moved[labels]
        counts.append(int(np.where(is_anew, len(centroids), np.count_nonzero(moved)).sum()))
        before, labels = labels, ((X[:, None] - centroids[None]) ** 2).sum(axis=2).argmin(axis=1)
        changed = labels != before
        moved = np.isin(np.arange(len(centroids)), np.concatenate([labels[changed], before[changed]]))
        centroids = np.stack([X[labels == j].mean(axis=0) for j in range(len(centroids))])
    return centroids, labels, counts


@pytest.mark.parametrize(("n_clusters", "seed"), [(3, 0), (10, 0), (10, 1), (150, 0), (150, 1)])
def test_it_ends_where_the_plain_algorithm_ends(digits, n_clusters, seed, monkeypatch):
    monkeypatch.setattr(lloyd_module, "SUMMED_ROWS", 100)
    (start,) = starts(digits, n_clusters, 1, seed)
    centroids, labels, inertia, n_iter = lloyd(digits, start[None], 300, 0)
    expected, expected_labels, counts = plain(digits, start)
    assert np.mean(labels == expected_labels) >= 0.9999
    np.testing.assert_allclose(centroids, expected, atol=1e-5)
    assert inertia == pytest.approx(((digits - expected[expected_labels]) ** 2).sum(), rel=1e-5)
    assert n_iter == len(counts)


@pytest.mark.parametrize("n_starts", [1, 2])
def test_what_all_points_have_in_common_costs_no_digits(digits, n_starts):
    several = starts(digits, 10, n_starts)
    _, expected, inertia, _ = lloyd(digits, several, 300, 1e-4)
    shifted = np.float32(1000)  # whose square has no room for their distances beside it
    _, labels, found, _ = lloyd(digits + shifted, several + shifted, 300, 1e-4)
    assert np.mean(labels == expected) > 0.99
    assert found == pytest.approx(inertia, rel=1e-3)


@pytest.mark.parametrize(("n_clusters", "tol"), [(10, 0.3), (150, 3)])
def test_it_stops_as_scikit_learn_does(digits, n_clusters, tol):
    (start,) = starts(digits, n_clusters, 1)
    theirs = SklearnKMeans(n_clusters, init=start, n_init=1, tol=tol).fit(digits)
    centroids, labels, inertia, n_iter = lloyd(digits, start[None], 300, tol)
    assert n_iter == theirs.n_iter_ < SklearnKMeans(n_clusters, init=start, n_init=1, tol=0).fit(digits).n_iter_
    np.testing.assert_allclose(centroids, theirs.cluster_centers_, atol=1e-5)
    np.testing.assert_array_equal(labels, theirs.labels_)
    assert inertia == pytest.approx(theirs.inertia_, rel=1e-5)


@pytest.mark.parametrize("n_clusters", [10, 40])
def test_several_starts_end_with_the_best_of_them(digits, n_clusters):
    # more of ten clusters than one product holds; of forty, each start is alone
    several = starts(digits, n_clusters, 70)
    together = lloyd(digits, several, 50, 1e-4)
    alone = [lloyd(digits, start[None], 50, 1e-4) for start in several]
    best = min(alone, key=lambda end: end[2])
    np.testing.assert_allclose(together[0], best[0], atol=1e-5)
    np.testing.assert_array_equal(together[1], best[1])
    assert together[2] == pytest.approx(best[2], rel=1e-6)
    assert together[3] == best[3]


def test_max_iter_is_kept_and_labels_are_those_of_the_last_centroids(digits):
    centroids, labels, inertia, n_iter = lloyd(digits, starts(digits, 20, 1), 3, 1e-4)
    distances = ((digits[:, None] - centroids[None]) ** 2).sum(axis=2)
    assert n_iter == 3
    np.testing.assert_array_equal(labels, distances.argmin(axis=1))
    assert inertia == pytest.approx(distances.min(axis=1).sum(), rel=1e-5)


def test_points_are_compared_with_what_has_moved_and_no_more(digits, monkeypatch):
    compared = []
    nearest = lloyd_module._nearest

    def counted(X, centroids, offsets):
        compared.append(len(X) * len(centroids))
        return nearest(X, centroids, offsets)

    monkeypatch.setattr(lloyd_module, "_nearest", counted)
    (start,) = starts(digits, 150, 1)
    lloyd(digits, start[None], 300, 0)
    *_, expected = plain(digits, start)
    assert sum(compared) == sum(expected) < 0.7 * len(expected) * len(digits) * 150


@given(st.integers(0, 1000), st.integers(1, 12), st.sampled_from([1, 3]))
def test_a_cluster_without_points_gets_the_farthest(seed, n_far, n_starts):
    rng = np.random.default_rng(seed)
    X = np.concatenate([rng.normal(size=(40, 2)), 50 + 10 * rng.normal(size=(n_far, 2))]).astype(np.float32)
    empty = np.full((n_starts, 4, 2), 1e4, dtype=np.float32) + np.arange(4, dtype=np.float32)[:, None]
    empty[:, 0] = X[0]  # which is nearer to every point than the others are
    _, labels, inertia, _ = lloyd(X, empty, 100, 1e-4)
    assert len(np.unique(labels)) == 4
    whole = ((X - X.mean(axis=0)) ** 2).sum()
    assert inertia < 0.5 * whole


def test_the_farthest_is_so_from_its_centroid():
    X = np.array([[-3, 0], [0, 5], [0, -4.9], [3, -0.1]], dtype=np.float32)  # whose mean is nought
    start = np.array([[1, 0], [1000, 1000]], dtype=np.float32)  # the first point is the one most across from it
    centroids, labels, *_ = lloyd(X, start[None], 1, 1e-4)
    assert labels.tolist() == [0, 1, 0, 0]
    np.testing.assert_allclose(centroids[1], X[1])


def test_fewer_distinct_points_than_clusters_leave_clusters_empty():
    X = np.repeat(np.eye(3, dtype=np.float32), 5, axis=0)
    for n_starts in (1, 2):
        start = np.stack([X[:6]] * n_starts)
        _, labels, inertia, n_iter = lloyd(X, start, 300, 1e-4)
        assert len(np.unique(labels)) == 3
        assert inertia == pytest.approx(0, abs=1e-6)
        assert n_iter < 10


def test_the_number_of_threads_changes_nothing(digits, monkeypatch):
    monkeypatch.setattr(lloyd_module, "BLOCK_ROWS", 100)
    found = []
    for n_threads in (1, 3):
        with threadpool_limits(n_threads, user_api="blas"):
            found.append([lloyd(digits, starts(digits, k, m), 300, 1e-4) for k, m in ((150, 1), (10, 5))])
    for one, three in zip(*found, strict=True):
        assert one[0].tobytes() == three[0].tobytes()
        assert one[1].tobytes() == three[1].tobytes()
        assert one[2:] == three[2:]


def test_what_goes_wrong_on_a_thread_is_raised(digits, monkeypatch):
    def broken(*_):
        raise MemoryError("too little")

    monkeypatch.setattr(lloyd_module, "_nearest", broken)
    with pytest.raises(MemoryError, match="too little"):
        lloyd(digits, starts(digits, 5, 1), 300, 1e-4)


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


@pytest.mark.parametrize("fails", [False, True])
def test_products_have_their_threads_again_afterwards(digits, monkeypatch, fails):
    def broken(*_):
        raise MemoryError

    with threadpool_limits(3, user_api="blas"):
        before = blas_threads()
        if fails:
            monkeypatch.setattr(lloyd_module, "_nearest", broken)
        with pytest.raises(MemoryError) if fails else contextlib.nullcontext():
            lloyd(digits, starts(digits, 5, 1), 300, 1e-4)
        assert blas_threads() == before
        with blocks.map_on_threads() as outer:
            assert outer(abs, [-1]) == [1]
            with blocks.map_on_threads() as inner:
                assert inner(abs, [-2]) == [2]
            assert set(blas_threads()) == {1}
        assert blas_threads() == before


@pytest.mark.parametrize("outlier", [1e3, 1e5])
def test_a_far_point_costs_the_others_no_digits(outlier):
    X = np.random.default_rng(0).random((5000, 4), dtype=np.float32)
    X[-1] = outlier
    several = starts(X, 6, 8)
    ends = [lloyd(X, start[None], 300, 0) for start in several]
    for centroids, labels, inertia, _ in ends:
        means = np.stack([X[labels == j].mean(axis=0, dtype=np.float64) for j in range(6)])
        np.testing.assert_allclose(centroids, means, rtol=1e-5, atol=1e-5 + 1e-7 * outlier)
        assert inertia == pytest.approx(((X - means[labels]) ** 2).sum(), rel=1e-3)
    best = lloyd(X, several, 300, 0)
    assert best[2] == pytest.approx(min(end[2] for end in ends), rel=1e-4)


def test_what_is_no_number_is_refused(digits):
    broken = digits.copy()
    broken[3, 3] = np.nan
    with pytest.raises(ValueError, match="X: expected finite numbers, found NaN or infinity"):
        lloyd(broken, starts(digits, 5, 1), 300, 1e-4)


def test_whole_numbers_are_clustered_as_what_they_are():
    X = load_digits().data
    several = starts(X, 10, 2).astype(np.float32)
    _, expected, *_ = lloyd(X.astype(np.float32), several, 5, 1e-4)
    _, labels, *_ = lloyd(X.astype(np.uint8), several, 5, 1e-4)
    np.testing.assert_array_equal(labels, expected)


def test_starts_of_many_points_are_not_all_kept(digits, monkeypatch):
    several = starts(digits, 10, 12)
    together = lloyd(digits, several, 50, 1e-4)
    monkeypatch.setattr(lloyd_module, "BATCH_BYTES", 16 * len(digits) * 5)
    batches = []
    assign = lloyd_module._assign
    monkeypatch.setattr(
        lloyd_module, "_assign", lambda X, by, fits, *rest: batches.append(len(fits)) or assign(X, by, fits, *rest)
    )
    apart = lloyd(digits, several, 50, 1e-4)
    assert max(batches) == 5
    np.testing.assert_array_equal(apart[1], together[1])
