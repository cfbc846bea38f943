"""Gaussian mixture by expectation-maximisation (EM), over the array API: cuML has none."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace

from gpussl import seeds
from gpussl.cluster.assign import log_densities, mahalanobis
from gpussl.cluster.kmeans import KMeans
from gpussl.errors import ConfigError
from gpussl.numeric.arrays import arange_like
from gpussl.protocols import Clusterer
from gpussl.records import Array, Clustering, OnProgress
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class GaussianMixture(Clusterer):
    """A mixture of Gaussians with full covariances, fitted by EM from a k-means clustering.

    Suited to tens of features: a covariance has d squared entries, and constant pixels make it singular. For more
    features, use `represent=pca` first.

    Parameters
    ----------
    n_clusters : int
        Number of components.
    n_init : int
        Number of k-means starts; the mixture with the highest likelihood is kept.
    max_iter : int
        Maximum number of EM iterations.
    tol : float
        Stop when the mean log-likelihood per point increases by less.
    regularization : float
        Added to the diagonal of each covariance.

    References
    ----------
    Dempster, Laird, Rubin, "Maximum likelihood from incomplete data via the EM algorithm", JRSS B, 1977.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
    >>> found = GaussianMixture(n_clusters=2).fit(X, seed=0)
    >>> sorted(round(float(mean), 3) for mean in found.centroids[:, 0])
    [1.0, 11.0]
    """

    has_n_clusters: ClassVar[bool] = True
    n_clusters: int = param(10, ge=1)
    n_init: int = param(1, ge=1)
    max_iter: int = param(200, ge=1)
    tol: float = param(1e-3, gt=0)
    regularization: float = param(1e-3, gt=0)

    def __post_init__(self) -> None:
        check(self)

    def check_size(self, n: int) -> None:
        """Raise ConfigError if `n` points are fewer than `n_clusters`."""
        KMeans(self.n_clusters).check_size(n)

    def fit(self, X: Array, seed: int, on_progress: OnProgress | None = None) -> Clustering:
        """Cluster (n, d) points. `distances` are Mahalanobis distances; `inertia` is the sum of their squares.

        Raises
        ------
        ConfigError
            There are fewer points than clusters, the points exceed the memory limit, or `regularization` is too small
            for their covariances.
        """
        X = X[:, :]  # into memory: beyond the limit this raises now, and not after k-means
        seeds_of_starts = [seed, *(seeds.derive(seed, f"start {number}") for number in range(1, self.n_init))]
        starts = (KMeans(self.n_clusters).fit(X, seed_of_start) for seed_of_start in seeds_of_starts)
        mixtures = [self._fit_from(X, start, on_progress) for start in starts]
        return max(mixtures, key=lambda fitted: fitted[1])[0]

    def fit_from(self, X: Array, start: Clustering, on_progress: OnProgress | None = None) -> Clustering:
        """Fit from an existing clustering of the points, without k-means."""
        return self._fit_from(X, start, on_progress)[0]

    def _fit_from(self, X: Array, start: Clustering, on_progress: OnProgress | None) -> tuple[Clustering, float]:
        """Return the mixture and the mean log-likelihood per point."""
        xp = array_namespace(X)
        names = arange_like(self.n_clusters, X)
        points = xp.astype(X, xp.float64)
        weights = xp.astype(xp.astype(start.labels, xp.int64)[:, None] == names[None, :], xp.float64)
        likelihood, iteration = -float("inf"), 0
        for iteration in range(1, self.max_iter + 1):
            mixture = self._maximize(points, weights, start)
            log_weights = self._log_densities(mixture, points)
            largest = xp.max(log_weights, axis=1)[:, None]
            total = largest[:, 0] + xp.log(xp.sum(xp.exp(log_weights - largest), axis=1))
            weights = xp.exp(log_weights - total[:, None])
            gain, likelihood = float(xp.mean(total)) - likelihood, float(xp.mean(total))
            if on_progress is not None:
                on_progress(iteration, self.max_iter, f"log-likelihood {likelihood:.3f}")
            if gain < self.tol:
                break
        labels = xp.argmax(weights, axis=1)
        distances = _own_distances(mixture, points, labels)
        fitted = dataclasses.replace(
            mixture, labels=labels, distances=xp.sqrt(distances), inertia=float(xp.sum(distances)), n_iter=iteration
        )
        return fitted, likelihood

    def _log_densities(self, mixture: Clustering, X: Array) -> Array:
        """Compute `log_densities`. ConfigError if a covariance is not positive definite."""
        try:
            found = log_densities(mixture, X)
            is_finite = bool(array_namespace(found).all(array_namespace(found).isfinite(found)))
        except np.linalg.LinAlgError:
            is_finite = False
        if not is_finite:  # CuPy decomposes into NaN
            raise ConfigError(
                "cluster.regularization: expected a number that makes all covariances positive definite, found "
                f"{self.regularization:g}; raise it"
            )
        return found

    def _maximize(self, X: Array, weights: Array, clustering: Clustering) -> Clustering:
        """Compute the maximum-likelihood mixture, given each point's weight (n, k) in each component."""
        xp = array_namespace(X)
        mass = xp.sum(weights, axis=0) + 1e-10  # an empty component keeps a tiny weight, so that nothing divides by 0
        means = (weights.T @ X) / mass[:, None]
        diagonal = self.regularization * xp.eye(X.shape[1], dtype=X.dtype)
        covariances = []
        for j in range(self.n_clusters):
            centred = X - means[j, :]
            covariances.append((weights[:, j][:, None] * centred).T @ centred / mass[j] + diagonal)
        return dataclasses.replace(
            clustering, centroids=means, weights=mass / X.shape[0], covariances=xp.stack(covariances)
        )


def _own_distances(mixture: Clustering, X: Array, labels: Array) -> Array:
    """Compute the squared Mahalanobis distance (n,) of each point to its own component."""
    xp = array_namespace(X)
    assert mixture.covariances is not None  # noqa: S101 - for the type checker: it was made here
    result = xp.zeros_like(X[:, 0])
    for j in range(mixture.centroids.shape[0]):
        squared, _ = mahalanobis(X, mixture.centroids[j, :], mixture.covariances[j, :, :])
        result = xp.where(labels == j, squared, result)
    return result
