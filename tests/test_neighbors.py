"""Nearest neighbours and their classifier, against brute force and scikit-learn."""

import tracemalloc

import numpy as np
import pytest
import sklearn.linear_model
import sklearn.neighbors

from gpussl.backend import neighbors
from gpussl.classifier.knn import KNeighborsClassifier
from tests.digits import IMAGES as DIGITS
from tests.digits import NAMES


@pytest.mark.parametrize("k", [1, 3, 5])
def test_neighbours_are_scikit_learns(k):
    noise = np.random.default_rng(0).normal(scale=1e-3, size=DIGITS.shape)  # no two distances are the same
    X = (DIGITS + noise).astype(np.float32)
    found = KNeighborsClassifier(k, "uniform", "none").fit(X[:900], NAMES[:900]).predict(X[900:])
    expected = sklearn.neighbors.KNeighborsClassifier(k, algorithm="brute").fit(X[:900], NAMES[:900])
    np.testing.assert_array_equal(found, expected.predict(X[900:]))


def test_neighbours_are_the_nearest_in_any_number_of_blocks(monkeypatch):
    monkeypatch.setattr(neighbors, "QUERIES", 7)
    monkeypatch.setattr(neighbors, "POINTS", 11)
    X, queries = (np.random.default_rng(seed).normal(size=(n, 3)) for seed, n in ((0, 50), (1, 20)))
    expected = ((queries[:, None] - X[None]) ** 2).sum(axis=2).argsort(axis=1, kind="stable")
    for k in (1, 4, 48, 50):
        np.testing.assert_array_equal(neighbors.search(X, queries, k)[0], expected[:, :k])


@pytest.mark.parametrize("scale", [1, 1e20])  # the second is beyond single precision's range when squared
def test_neighbours_that_single_precision_cannot_tell_apart_are_told_apart(scale):
    near = np.arange(200)[:, None] * 0.01
    X = (scale * np.concatenate([near - 1000, near + 1000])).astype(np.float32)
    found, _ = neighbors.search(X, X, 3)
    expected = np.abs(X.astype(np.float64) - X.astype(np.float64).T).argsort(axis=1, kind="stable")[:, :3]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64])
def test_neighbours_of_any_numbers(dtype):
    X = np.round(16 * DIGITS + 100).astype(dtype)
    found = KNeighborsClassifier(1, "uniform", "none").fit(X[:900], NAMES[:900]).predict(X[900:])
    expected = sklearn.neighbors.KNeighborsClassifier(1, algorithm="brute").fit(X[:900], NAMES[:900])
    assert np.mean(found == expected.predict(X[900:])) > 0.99  # some are as near as others


def test_neighbours_are_not_asked_of_what_is_no_number():
    broken = DIGITS[:10].copy()
    broken[3, 3] = np.nan
    for X, queries in ((broken, DIGITS[:10]), (DIGITS[:10], broken)):
        with pytest.raises(ValueError, match="expected finite numbers, found NaN or infinity"):
            neighbors.search(X, queries, 1)


def test_neighbours_are_ranked_in_little_memory():
    X = np.random.default_rng(0).normal(size=(1000, 500)).astype(np.float32)
    tracemalloc.start()
    neighbors.search(X, X, 50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 2**20  # all candidates in double are 220 MB


def test_no_more_neighbours_are_asked_than_there_are():
    assert KNeighborsClassifier(5, "uniform", "none").fit(DIGITS[:2], np.array([7, 4])).predict(
        DIGITS[:3]
    ).tolist() == [4, 4, 4]
