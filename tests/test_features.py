"""What points are represented by, and what classifiers learn from."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA as SklearnPCA

from gpussl.cluster.kmeans import KMeans
from gpussl.cluster.none import NoClustering
from gpussl.errors import ConfigError
from gpussl.features.centroid_distances import CentroidDistances
from gpussl.features.represented import Represented
from gpussl.records import Clustering
from gpussl.represent.pca import PCA
from tests.digits import fit_transform, scaled

DIGITS = load_digits().data.astype(np.uint8)


def test_pixels_are_scaled(xp, host):
    train, test = scaled(xp.asarray(DIGITS[:50]), xp.asarray(DIGITS[50:60]), 16.0)
    np.testing.assert_array_equal(host(train), DIGITS[:50].astype(np.float32) / 16)
    assert host(test).dtype == np.float32
    assert test.shape == (10, 64)


@pytest.mark.parametrize("n", [900, 100])
def test_pca_is_fitted_to_the_training_points_alone(xp, host, n):
    parts = DIGITS[:n], DIGITS[900:]
    train, test = fit_transform(PCA(5), *scaled(*(xp.asarray(X) for X in parts), 16.0), seed=0)
    expected = SklearnPCA(5, svd_solver="full").fit(DIGITS[:n] / 16)
    for found, X in zip((train, test), parts, strict=True):
        np.testing.assert_allclose(np.abs(host(found)), np.abs(expected.transform(X / 16)), atol=1e-4)


@pytest.mark.parametrize("n", [3, 200])
def test_more_components_than_there_can_be_are_refused(n):
    with pytest.raises(ConfigError, match=rf"represent\.pca\.n_components: expected at most {min(n, 64)},"):
        fit_transform(PCA(65), DIGITS[:n], DIGITS[:n], seed=0)


def clustered(features, train, test, clustering):
    """Training and test points as features see them."""
    fitted = features.fit(train, clustering, 0)
    return fitted.transform(train), fitted.transform(test)


def test_represented_points_are_left_alone():
    X = DIGITS[:5].astype(np.float32)
    train, test = clustered(Represented(), X, X, NoClustering().fit(X, 0))
    assert train is X
    assert test is X


def test_distances_to_centroids_are_whitened(xp, host):
    rng = np.random.default_rng(0)
    X, centroids = rng.normal(size=(400, 6)), rng.normal(size=(4, 6))
    zeros = np.zeros(400, dtype=np.int64)
    clustering = Clustering(xp.asarray(centroids), xp.asarray(zeros), xp.asarray(X[:, 0]), 0.0, 1)
    train, test = clustered(CentroidDistances(), xp.asarray(X[:300]), xp.asarray(X[300:]), clustering)
    train, test = host(train), host(test)
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.cov(train.T, bias=True), np.eye(4), atol=1e-4)
    # a linear map of the distances, the same for training and test points
    distances = np.hstack([cdist(X, centroids), np.ones((400, 1))])
    map_, *_ = np.linalg.lstsq(distances[:300], train, rcond=None)
    np.testing.assert_allclose(distances[300:] @ map_, test, atol=1e-8)


def test_distances_that_do_not_vary_are_not_blown_up():
    X = np.ones((20, 3), dtype=np.float32)
    X[:10, 0] = 0
    train, _ = clustered(CentroidDistances(), X, X, KMeans(n_clusters=4).fit(X, 0))
    assert np.abs(train).max() < 10


def test_points_that_are_all_alike_have_features_of_nought():
    X = np.zeros((20, 3), dtype=np.float32)
    assert not clustered(CentroidDistances(), X, X, KMeans(n_clusters=2).fit(X, 0))[0].any()


def test_without_clusters_there_are_no_distances():
    X = DIGITS[:5].astype(np.float32)
    with pytest.raises(ConfigError, match="features=centroid_distances: expected clusters, found none"):
        clustered(CentroidDistances(), X, X, NoClustering().fit(X, 0))
