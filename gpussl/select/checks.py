"""Checks that several selections make of their settings and of the clusters."""

from dataclasses import dataclass

from gpussl.errors import ConfigError
from gpussl.records import Clustering
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class Budget:
    """The base of selections of a fixed number of points.

    >>> Budget(n_labels=5).check_size(4)
    Traceback (most recent call last):
        ...
    gpussl.errors.ConfigError: select.n_labels: expected at most the number of training points, 4, found 5
    """

    n_labels: int = param(100, ge=1)

    def __post_init__(self) -> None:
        check(self)

    def check_size(self, n: int) -> None:
        """Raise ConfigError if `n` points are fewer than `n_labels`."""
        if self.n_labels > n:
            raise ConfigError(
                f"select.n_labels: expected at most the number of training points, {n}, found {self.n_labels}"
            )


def require_clusters(clustering: Clustering, name: str) -> None:
    """Raise ConfigError, naming the selection, if the clustering has no clusters.

    >>> import numpy as np
    >>> require_clusters(Clustering(np.zeros((1, 2)), np.array([0]), np.zeros(1), inertia=0.0, n_iter=1), "typical")
    """
    if clustering.centroids.shape[0] == 0:
        raise ConfigError(
            f"select={name}: expected clusters, found none; choose others with cluster=... or its settings, or labels "
            "without clusters with select=random"
        )
