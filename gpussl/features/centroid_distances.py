"""Features: what the classifiers learn from, made of the represented points and their clusters."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from gpussl.errors import ConfigError
from gpussl.numeric.arrays import itemsize, principal_axes, row_blocks, squared_distances, squared_norms
from gpussl.numeric.rows import ScaledRows, refuse_beyond
from gpussl.records import Array, Clustering
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class CentroidDistances:
    """The Euclidean distances of a point to all centroids, whitened: linear maps of them, without correlation.

    Distances to many centroids nearly agree with each other, and a linear model's solver crawls on what nearly agrees.

    Parameters
    ----------
    regularization : float
        Added to the variances, as a share of the largest: directions that hardly vary are not blown up.
    """

    of_pixels: ClassVar[bool] = False
    regularization: float = param(1e-6, gt=0)

    def __post_init__(self) -> None:
        check(self)

    def fit_transform(self, X_train: Array, X_test: Array, clustering: Clustering) -> tuple[Array, Array]:
        """(n, d) and (n_test, d) -> (n, k) and (n_test, k) for k clusters.

        Raises
        ------
        ConfigError
            There are no clusters, or too many for the memory limit of `ScaledRows`.
        """
        if clustering.centroids.shape[0] == 0:
            raise ConfigError(
                "features=centroid_distances: expected clusters, found none; choose some with cluster=..."
            )
        if isinstance(X_train, ScaledRows):
            shape = (len(X_train), clustering.centroids.shape[0])
            refuse_beyond(X_train.memory_limit, shape, "features=centroid_distances", "lower cluster.n_clusters")
        xp, (train, test) = array_namespace(X_train), (_distances(X, clustering.centroids) for X in (X_train, X_test))
        mean, variances, axes = principal_axes(train)
        scale = 1 / xp.sqrt(xp.maximum(variances, 0.0) + self.regularization * variances[0])
        mean, whitening = xp.astype(mean, train.dtype), xp.astype(axes * scale, train.dtype)
        return (train - mean) @ whitening, (test - mean) @ whitening


def _distances(X: Array, centroids: Array) -> Array:
    """(n, d) and (k, d) -> (n, k) Euclidean distances."""
    xp = array_namespace(X)
    norms, centroid_norms = squared_norms(X), squared_norms(centroids)
    blocks = []
    for rows in row_blocks(X.shape[0], sum(centroids.shape) * itemsize(X)):
        squared = squared_distances(X[rows, :], centroids, norms[rows], centroid_norms)
        blocks.append(xp.astype(xp.sqrt(squared), X.dtype, copy=False))
    return xp.concat(blocks)
