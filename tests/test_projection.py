"""What the first principal axes show, and when that leaves a doubt."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from gpussl.backend import projection
from gpussl.backend.blocks import Centred, map_on_threads
from gpussl.backend.projection import Projection

DIGITS = (load_digits().data / 16).astype(np.float32)


@pytest.fixture(params=[True, False], ids=["kept", "made again"])
def project(request, monkeypatch):
    """A function (points, centroids (m, k, d)) -> nearest by the projection, doubts, and nearest in float64."""
    monkeypatch.setattr(projection, "BLOCK_ROWS", 100)
    if not request.param:
        monkeypatch.setattr(projection, "KEPT_BYTES", 0)

    def project(X, centroids):
        points = Centred(X)
        centred = (centroids - points.mean).astype(np.float32)
        with map_on_threads() as on_threads:
            labels, doubts = Projection(points, points.squared_norms(100), on_threads).nearest(centred, on_threads)
        exact = X.astype(np.float64)
        expected = [((exact[:, None] - of_set[None]) ** 2).sum(axis=2).argmin(axis=1) for of_set in centroids]
        return labels, doubts, np.stack(expected)

    return project


@pytest.mark.parametrize("rest", [0.3, 0.05, 0.001])
def test_without_a_doubt_the_nearest_is_the_nearest(project, monkeypatch, rest):
    monkeypatch.setattr(projection, "REST", rest)
    rng = np.random.default_rng(0)
    means = np.stack([[DIGITS[rng.choice(1797, 100)].mean(axis=0) for _ in range(7)] for _ in range(3)])
    labels, doubts, expected = project(DIGITS, means)
    np.testing.assert_array_equal(labels[~doubts], expected[~doubts])
    assert np.any(labels != expected) == (rest > 0.01)  # so that there was something to doubt
    assert np.mean(doubts) < {0.3: 1, 0.05: 0.5, 0.001: 0.1}[rest]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_close_centroids_far_from_the_mean_are_in_doubt(project, dtype):
    """What lies beyond the axes is all that tells them apart, and is lost in their norms."""
    rng = np.random.default_rng(0)
    spread = np.array([10.0] * 3 + [1.0] * 61)
    X = (rng.normal(size=(3000, 64)) * spread).astype(dtype)
    centroids = np.zeros((2, 2, 64), dtype=dtype)
    centroids[:, :, 0] = 200
    centroids[:, 1, 3:] = 0.1 / np.sqrt(61)
    labels, doubts, expected = project(X, centroids)
    assert np.mean(labels[~doubts] == expected[~doubts]) > 0.99
    assert np.mean(doubts) > 0.5


def test_more_features_than_points(project):
    X = np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32)
    labels, doubts, expected = project(X, np.stack([X[:4], X[4:8]]))
    np.testing.assert_array_equal(labels[~doubts], expected[~doubts])


def test_ties_are_in_doubt(project):
    centroids = np.stack([DIGITS[:5], DIGITS[:5]])
    centroids[:, 1] = centroids[:, 0]
    _, doubts, expected = project(DIGITS, centroids)
    assert doubts[expected == 0].all()


def test_one_centroid_is_never_in_doubt(project):
    labels, doubts, _ = project(DIGITS, DIGITS[:2, None, :])
    assert not labels.any()
    assert not doubts.any()
