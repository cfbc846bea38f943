"""Assign points to the clusters of a clustering, including points that it was not fitted to."""

import math

from array_api_compat import array_namespace, device

from gpussl.numeric.arrays import itemsize, row_blocks, squared_distances, squared_norms
from gpussl.records import Array, Clustering


def assign(clustering: Clustering, X: Array) -> Array:
    """Return the cluster (n,) of each of (n, d) points, on the device of `X`.

    It is the cluster of the nearest centroid or, in a mixture, the component with the highest posterior probability.

    Raises
    ------
    ValueError
        The clustering is empty, or the number of features differs.

    Examples
    --------
    >>> import numpy as np
    >>> clusters = Clustering(np.array([[0.0], [10.0]]), np.array([0, 1]), np.zeros(2), inertia=0.0, n_iter=1)
    >>> assign(clusters, np.array([[2.0], [7.0]])).tolist()
    [0, 1]
    """
    k, d = clustering.centroids.shape
    if k == 0 or X.ndim != 2 or X.shape[1] != d:
        raise ValueError(f"assign: expected (n, {d}) points and at least one cluster, found {X.shape} and {k} clusters")
    if clustering.covariances is not None:
        return array_namespace(X).argmax(log_densities(clustering, X), axis=1)
    xp = array_namespace(X)
    centroids = xp.asarray(clustering.centroids, device=device(X))
    norms, centroid_norms = squared_norms(X), squared_norms(centroids)
    return xp.concat(
        [
            xp.argmin(squared_distances(X[rows, :], centroids, norms[rows], centroid_norms), axis=1)
            for rows in row_blocks(X.shape[0], (k + d) * itemsize(X))
        ]
    )


def log_densities(mixture: Clustering, X: Array) -> Array:
    """Compute the log of weight times density of each component at (n, d) points: (n, k) float64.

    >>> import numpy as np
    >>> parts = {"weights": np.ones(1), "covariances": np.ones((1, 1, 1))}
    >>> mixture = Clustering(np.zeros((1, 1)), np.array([0]), np.zeros(1), inertia=0.0, n_iter=1, **parts)
    >>> round(float(log_densities(mixture, np.zeros((1, 1)))[0, 0]), 4)  # -log(2 pi) / 2
    -0.9189
    """
    xp = array_namespace(X)
    parts = (mixture.weights, mixture.centroids, mixture.covariances)
    weights, means, covariances = (xp.asarray(part, device=device(X)) for part in parts)
    columns = []
    for j in range(means.shape[0]):
        squared, log_det = mahalanobis(X, means[j, :], covariances[j, :, :])
        columns.append(xp.log(weights[j]) - 0.5 * (squared + log_det + X.shape[1] * math.log(2 * math.pi)))
    return xp.stack(columns, axis=1)


def mahalanobis(X: Array, mean: Array, covariance: Array) -> tuple[Array, Array]:
    """Compute squared Mahalanobis distances (n,) of (n, d) points to a mean (d,), and the log-determinant ().

    >>> import numpy as np
    >>> squared, log_det = mahalanobis(np.array([[2.0, 0.0]]), np.zeros(2), np.diag([4.0, 1.0]))
    >>> squared.tolist(), round(float(log_det), 4)
    ([1.0], 1.3863)
    """
    xp = array_namespace(X)
    factor = xp.linalg.cholesky(covariance)
    centred = xp.astype(X, covariance.dtype, copy=False) - mean
    whitened = xp.linalg.solve(factor, centred.T)
    return xp.sum(whitened * whitened, axis=0), 2 * xp.sum(xp.log(xp.linalg.diagonal(factor)))
