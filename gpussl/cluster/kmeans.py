"""k-means: Lloyd's iterations of scikit-learn or cuML."""

import warnings
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace, device
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from gpussl import backend, seeds
from gpussl.arrays import paired_distances
from gpussl.cluster.start import kmeans_parallel
from gpussl.errors import ConfigError
from gpussl.params import check, param
from gpussl.records import Array, Clustering, OnProgress

MAX_THREADS = 2


@dataclass(frozen=True)
class KMeans:
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
        Stop when the centroids move less. scikit-learn takes it relative to the data's variance; cuML stops too when
        the inertia falls by less than this share.
    oversampling, n_rounds : float, int
        Of a k-means|| start: see `kmeans_parallel`.
    """

    n_clusters: int = param(8, ge=1)
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
        best: Any = None
        for number in range(self.n_init):
            # the first start has the names it would have alone, so that n_init=1 is a part of n_init=10
            suffix = f"/{number}" if number else ""
            fitted = self._lloyd(X, self._start(X, seed, suffix), seeds.derive(seed, f"lloyd{suffix}"))
            if best is None or float(fitted.inertia_) < float(best.inertia_):
                best = fitted
            if on_progress is not None:
                on_progress(number + 1, self.n_init, f"least inertia {float(best.inertia_):,.0f}")
        centroids, labels = best.cluster_centers_, best.labels_
        return Clustering(
            centroids=centroids,
            labels=labels,
            distances=paired_distances(X, centroids, labels),
            inertia=float(best.inertia_),
            n_iter=int(best.n_iter_),
        )

    def _start(self, X: Array, seed: int, suffix: str) -> Array:
        """The first centroids (n_clusters, d), different points of `X`."""
        rng = seeds.generator(seed, f"{self.init}{suffix}")
        if self.init == "kmeans_parallel":
            return kmeans_parallel(X, self.n_clusters, rng, oversampling=self.oversampling, n_rounds=self.n_rounds)
        xp = array_namespace(X)
        drawn = rng.choice(X.shape[0], size=self.n_clusters, replace=False)
        return xp.take(X, xp.asarray(drawn, device=device(X)), axis=0)

    def _lloyd(self, X: Array, start: Array, seed: int) -> Any:
        """The library's estimator, fitted from one start."""
        estimator = backend.of(X).KMeans(
            n_clusters=self.n_clusters, init=start, n_init=1, max_iter=self.max_iter, tol=self.tol, random_state=seed
        )
        # scikit-learn adds up its threads' sums in the order they arrive, so with more than two the last bits vary
        with warnings.catch_warnings(), threadpool_limits(MAX_THREADS, user_api="openmp"):
            # fewer distinct points than clusters: a partition with empty clusters is what is asked for then
            warnings.simplefilter("ignore", ConvergenceWarning)
            return estimator.fit(X)
