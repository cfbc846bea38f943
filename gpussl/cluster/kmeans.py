"""k-means: Lloyd's algorithm from one or several starts."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace, device

from gpussl import backend, seeds
from gpussl.cluster.start import kmeans_parallel
from gpussl.errors import ConfigError
from gpussl.numeric.arrays import paired_distances
from gpussl.protocols import Clusterer
from gpussl.records import Array, Clustering, OnProgress
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class KMeans(Clusterer):
    """k-means, from one or several starts of our own.

    The libraries' own start is where most of the time goes when there are many clusters: scikit-learn's greedy
    k-means++ reads all points once for every cluster.

    Parameters
    ----------
    n_clusters : int
    init : {"kmeans_parallel", "random"}
        The first centroids: see `kmeans_parallel`, or different points drawn at random, as k-means was first published.
    n_init : int
        Starts, of which the one that ends with the least inertia is kept.
    max_iter : int
        Lloyd iterations at most.
    tol : float
        Stop when the squared shifts of the centroids sum to no more than this share of the features' mean variance,
        as scikit-learn has it. cuML stops too when the inertia falls by less than this share.
    oversampling, n_rounds : float, int
        Of a k-means|| start: see `kmeans_parallel`.
    """

    has_n_clusters: ClassVar[bool] = True
    n_clusters: int = param(50, ge=1)
    init: str = param("kmeans_parallel", choices=("kmeans_parallel", "random"))
    n_init: int = param(1, ge=1)
    max_iter: int = param(300, ge=1)
    tol: float = param(1e-4, gt=0)
    oversampling: float = param(0.5, gt=0)
    n_rounds: int = param(5, ge=1)

    def __post_init__(self) -> None:
        check(self)

    def check_size(self, n: int) -> None:
        """Raise ConfigError if `n` points are too few."""
        if self.n_clusters > n:
            raise ConfigError(
                f"cluster.n_clusters: expected at most the number of training points, {n}, found {self.n_clusters}"
            )

    def fit(self, X: Array, seed: int, on_progress: OnProgress | None = None) -> Clustering:
        """Cluster (n, d) points. Clusters may end empty where fewer than `n_clusters` points differ.

        Raises
        ------
        ConfigError
            More clusters than points.
        """
        self.check_size(X.shape[0])
        xp = array_namespace(X)
        # the first start has the names it would have alone, so that n_init=1 is a part of n_init=10
        starts = xp.stack([self._start(X, seed, f"/{number}" if number else "") for number in range(self.n_init)])
        twin = backend.of(X)
        centroids, labels, n_iter = twin.kmeans(X, starts, self.max_iter, self.tol, on_progress)
        distances = paired_distances(X, centroids, labels)
        return Clustering(
            centroids=centroids,
            labels=labels,
            distances=distances,
            inertia=float(xp.sum(xp.astype(distances, xp.float64) ** 2)),
            n_iter=n_iter,
        )

    def _start(self, X: Array, seed: int, suffix: str) -> Array:
        """The first centroids (n_clusters, d), different points of `X`."""
        rng = seeds.generator(seed, f"{self.init}{suffix}")
        if self.init == "kmeans_parallel":
            return kmeans_parallel(X, self.n_clusters, rng, oversampling=self.oversampling, n_rounds=self.n_rounds)
        xp = array_namespace(X)
        drawn = rng.choice(X.shape[0], size=self.n_clusters, replace=False)
        return xp.take(X, xp.asarray(drawn, device=device(X)), axis=0)
