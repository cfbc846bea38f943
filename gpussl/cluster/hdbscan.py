"""HDBSCAN: clusters are dense regions; their number follows from the data, and sparse points belong to none."""

import warnings
from dataclasses import dataclass

from array_api_compat import array_namespace, device

from gpussl import backend
from gpussl.errors import ConfigError
from gpussl.numeric.arrays import paired_distances
from gpussl.protocols import Clusterer
from gpussl.records import Array, Clustering, OnProgress
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class HDBSCAN(Clusterer):
    """HDBSCAN by scikit-learn or cuML. The centroid of a cluster is the mean of its members; noise has the cluster -1.

    Parameters
    ----------
    min_cluster_size : int
        Smallest group of points that forms a cluster.
    min_samples : int
        Number of neighbours that define a core point, including the point itself, as in scikit-learn.

    References
    ----------
    Campello, Moulavi, Sander, "Density-based clustering based on hierarchical density estimates", PAKDD 2013.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2], [99.0]])
    >>> HDBSCAN(min_cluster_size=3, min_samples=2).fit(X, seed=0).labels.tolist()
    [0, 0, 0, 1, 1, 1, -1]
    """

    min_cluster_size: int = param(100, ge=2)
    min_samples: int = param(5, ge=2)

    def __post_init__(self) -> None:
        check(self)

    def check_size(self, n: int) -> None:
        """Raise ConfigError if `n` points are fewer than `min_cluster_size` or `min_samples`."""
        for name in ("min_cluster_size", "min_samples"):
            if getattr(self, name) > n:
                raise ConfigError(
                    f"cluster.{name}: expected at most the number of training points, {n}, found {getattr(self, name)}"
                )

    def fit(self, X: Array, seed: int, on_progress: OnProgress | None = None) -> Clustering:
        """Cluster (n, d) points; `seed` has no effect.

        Raises
        ------
        ConfigError
            There are fewer points than `min_cluster_size` or `min_samples`.
        """
        self.check_size(X.shape[0])
        xp, twin = array_namespace(X), backend.of(X)
        neighbors = self.min_samples if twin.HDBSCAN_COUNTS_ITSELF else self.min_samples - 1
        estimator = twin.HDBSCAN(min_cluster_size=self.min_cluster_size, min_samples=neighbors)
        with warnings.catch_warnings():
            # scikit-learn 1.8 and 1.9 announce a new default of `copy`, which matters only for precomputed distances
            warnings.simplefilter("ignore", FutureWarning)
            labels = estimator.fit(X).labels_
        labels = xp.astype(twin.asarray(labels), xp.int64)
        n_clusters = int(xp.max(labels)) + 1
        means = [xp.mean(X[labels == name, :], axis=0) for name in range(n_clusters)]
        centroids = xp.stack(means) if means else X[:0, :]
        distances = xp.zeros((X.shape[0],), dtype=X.dtype, device=device(X))
        if n_clusters:
            to_centroid = paired_distances(X, centroids, xp.maximum(labels, 0))
            distances = xp.where(labels >= 0, to_centroid, distances)
        inertia = float(xp.sum(xp.astype(distances, xp.float64) ** 2))
        return Clustering(centroids=centroids, labels=labels, distances=distances, inertia=inertia, n_iter=1)
