"""Greedy k-means++ and neighbours told apart in double, on every namespace, against plain loops."""

import numpy as np
import pytest

from gpussl import backend
from gpussl.backend import seeding
from gpussl.backend.ranking import rank, search_in_double
from gpussl.numeric import arrays


def plain_seeds(points, weights, draws):
    """A centroid after another, each of all distances."""
    squared = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    chosen, nearest = [], np.ones(len(points))
    for of_step in draws:
        mass = np.cumsum(nearest * weights)
        trials = [int(np.searchsorted(mass, draw * mass[-1])) for draw in of_step]
        left = [squared[trial] if not chosen else np.minimum(squared[trial], nearest) for trial in trials]
        best = int(np.argmin([row @ weights for row in left]))
        chosen.append(trials[best])
        nearest = left[best]
    return chosen


@pytest.mark.parametrize(("m", "k"), [(40, 12), (300, 60), (1100, 200), (3000, 30), (8192, 900)])
def test_seeds_are_those_of_a_plain_loop(xp, host, m, k):
    """With 30 of 3,000 no table of distances is kept; with 1,100 points and more, a GPU's thread has several."""
    rng = np.random.default_rng(m)
    points = rng.integers(0, 9, (m, 4)).astype(np.float32)  # so that no sum is rounded
    weights = rng.integers(1, 5, m).astype(np.float32)
    draws = rng.random((k, seeding.n_trials(k)))
    if m > 4000 and not xp.__name__.endswith("cupy"):
        pytest.skip("slow, and as the others; on a GPU the most that its kernel takes")
    found = backend.of(xp.asarray(points)).greedy_kmeans_plusplus(*map(xp.asarray, (points, weights, draws)))
    if m <= 3000:
        assert host(found).tolist() == plain_seeds(points, weights, draws)
    else:
        np.testing.assert_array_equal(host(found), seeding.greedy_seeds(points, weights, draws))


@pytest.mark.parametrize("block_bytes", [None, 2000])
def test_candidates_are_ranked_as_double_precision_has_them(xp, host, block_bytes):
    rng = np.random.default_rng(0)
    X = (1000 + rng.normal(size=(80, 6))).astype(np.float32)
    X[40:45] = X[3]
    candidates = np.stack([rng.permutation(80)[:20] for _ in range(30)])
    squared = ((X[:30, None].astype(float) - X[candidates].astype(float)) ** 2).sum(axis=2)
    order = np.lexsort((candidates, squared), axis=1)[:, :7]  # ties by index
    indices, found = rank(*map(xp.asarray, (X, X[:30], candidates)), 7, block_bytes)
    np.testing.assert_array_equal(host(indices), np.take_along_axis(candidates, order, axis=1))
    np.testing.assert_allclose(host(found), np.take_along_axis(squared, order, axis=1), rtol=1e-12)


def test_a_search_in_double_finds_what_single_precision_cannot_tell_apart(xp, host, monkeypatch):
    monkeypatch.setattr(arrays, "BLOCK_BYTES", 4000)
    X = (1e4 + 1e-2 * np.random.default_rng(0).normal(size=(90, 5))).astype(np.float32)
    squared = ((X[:20, None].astype(float) - X[None].astype(float)) ** 2).sum(axis=2)
    _, found = search_in_double(xp.asarray(X), xp.asarray(X[:20]), 4)
    np.testing.assert_allclose(host(found), np.sort(squared, axis=1)[:, :4], rtol=1e-6, atol=1e-9)


@pytest.mark.gpu
@pytest.mark.parametrize("weighted", [False, True])
def test_the_gpus_logistic_regression_is_the_cpus(weighted):
    from gpussl.backend import cpu, gpu

    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 6)).astype(np.float32)
    y = (X[:, 0] + 0.5 * rng.normal(size=400) > 0).astype(np.int64) + (X[:, 1] > 1)
    weights = (50 * rng.random(400) + 1).astype(np.float32) if weighted else None
    found = []
    for twin in (gpu, cpu):
        given = None if weights is None else twin.asarray(weights)
        model = twin.LogisticRegression(C=0.2, max_iter=1000, tol=1e-6)
        fitted = model.fit(twin.asarray(X), twin.asarray(y), sample_weight=given)
        found.append(np.c_[twin.to_numpy(fitted.coef_), twin.to_numpy(fitted.intercept_)])
    np.testing.assert_allclose(found[0], found[1], atol=2e-3)
