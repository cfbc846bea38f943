"""Assign: which cluster of a clustering any point falls in, also one that was not there when the clusters were made."""

import math

from array_api_compat import array_namespace, device

from gpussl.numeric.arrays import itemsize, row_blocks, squared_distances, squared_norms
from gpussl.records import Array, Clustering


def assign(clustering: Clustering, X: Array) -> Array:
    """The cluster (n,) of each of (n, d) points, where `X` is.

    The nearest centroid's; of a mixture, the component that the point most probably comes from.

    Raises
    ------
    ValueError
        There are no clusters, or the points have other features than the clusters.
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
    """(n, d) points -> (n, k): the logarithm of each component's weight times its density there, as float64."""
    xp = array_namespace(X)
    parts = (mixture.weights, mixture.centroids, mixture.covariances)
    weights, means, covariances = (xp.asarray(part, device=device(X)) for part in parts)
    columns = []
    for j in range(means.shape[0]):
        squared, log_det = mahalanobis(X, means[j, :], covariances[j, :, :])
        columns.append(xp.log(weights[j]) - 0.5 * (squared + log_det + X.shape[1] * math.log(2 * math.pi)))
    return xp.stack(columns, axis=1)


def mahalanobis(X: Array, mean: Array, covariance: Array) -> tuple[Array, Array]:
    """Squared Mahalanobis distance (n,) of (n, d) points to a mean (d,), and the logarithm of the determinant, ()."""
    xp = array_namespace(X)
    factor = xp.linalg.cholesky(covariance)
    centred = xp.astype(X, covariance.dtype, copy=False) - mean
    whitened = xp.linalg.solve(factor, centred.T)
    return xp.sum(whitened * whitened, axis=0), 2 * xp.sum(xp.log(xp.linalg.diagonal(factor)))
