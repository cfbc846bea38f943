"""The distances of each point to all centroids."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from gpussl.errors import ConfigError
from gpussl.numeric.arrays import itemsize, placed_like, principal_axes, row_blocks, squared_distances, squared_norms
from gpussl.numeric.rows import ScaledRows, refuse_beyond
from gpussl.protocols import Features, Transform
from gpussl.records import Array, Clustering
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class CentroidDistances(Features):
    """The Euclidean distances of each point to all centroids, whitened: mapped linearly to uncorrelated features.

    Distances to many centroids are strongly correlated, and the solver of a linear model is slow on such features.

    Parameters
    ----------
    regularization : float
        Added to the variances, as a share of the largest, so that directions with almost no variance are not amplified.

    Examples
    --------
    >>> import numpy as np
    >>> from gpussl.cluster.kmeans import KMeans
    >>> X = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    >>> fitted = CentroidDistances().fit(X, KMeans(n_clusters=3).fit(X, seed=0), seed=0)
    >>> abs(np.cov(fitted.transform(X).T, bias=True)).round(2).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """

    needs_clusters: ClassVar[bool] = True
    regularization: float = param(1e-6, gt=0)

    def __post_init__(self) -> None:
        check(self)

    def fit(self, X: Array, clustering: Clustering, seed: int) -> "FittedCentroidDistances":
        """Fit to (n, d) points and their k clusters.

        Raises
        ------
        ConfigError
            There are no clusters, or too many for the memory limit of `ScaledRows`.
        """
        if clustering.centroids.shape[0] == 0:
            raise ConfigError(
                "features=centroid_distances: expected clusters, found none; choose some with cluster=..."
            )
        if isinstance(X, ScaledRows):
            shape = (len(X), clustering.centroids.shape[0])
            refuse_beyond(X.memory_limit, shape, "features=centroid_distances", "lower cluster.n_clusters")
        xp, distances = array_namespace(X), _distances(X, clustering.centroids)
        mean, variances, axes = principal_axes(distances)
        floored = xp.maximum(variances, 0.0) + self.regularization * variances[0]
        scale = xp.where(floored > 0, 1 / xp.sqrt(xp.where(floored > 0, floored, 1.0)), 0.0)  # all points may be equal
        return FittedCentroidDistances(
            clustering.centroids, xp.astype(mean, distances.dtype), xp.astype(axes * scale, distances.dtype)
        )


@dataclass(frozen=True, eq=False)
class FittedCentroidDistances(Transform):
    """The centroids (k, d), the mean of the training points' distances (k,), and the whitening matrix (k, k).

    Examples
    --------
    >>> import numpy as np
    >>> fitted = FittedCentroidDistances(np.array([[0.0], [8.0]]), mean=np.zeros(2), whitening=np.eye(2))
    >>> fitted.transform(np.array([[3.0]])).tolist()
    [[3.0, 5.0]]
    """

    kind: ClassVar[str] = "centroid_distances"
    centroids: Array
    mean: Array
    whitening: Array

    def transform(self, X: Array) -> Array:
        """Map (n, d) points to (n, k)."""
        centroids, mean, whitening = (placed_like(part, X) for part in (self.centroids, self.mean, self.whitening))
        return (_distances(X, centroids) - mean) @ whitening


def _distances(X: Array, centroids: Array) -> Array:
    """(n, d) and (k, d) -> (n, k) Euclidean distances."""
    xp = array_namespace(X)
    norms, centroid_norms = squared_norms(X), squared_norms(centroids)
    blocks = []
    for rows in row_blocks(X.shape[0], sum(centroids.shape) * itemsize(X)):
        squared = squared_distances(X[rows, :], centroids, norms[rows], centroid_norms)
        blocks.append(xp.astype(xp.sqrt(squared), X.dtype, copy=False))
    return xp.concat(blocks)
