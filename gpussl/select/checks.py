"""What several selections ask of their settings and of the clusters."""

from dataclasses import dataclass

from gpussl.errors import ConfigError
from gpussl.records import Clustering
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class Budget:
    """A selection of so many points."""

    n_labels: int = param(100, ge=1)

    def __post_init__(self) -> None:
        check(self)

    def check_size(self, n: int) -> None:
        """Raise ConfigError if `n` points are too few."""
        if self.n_labels > n:
            raise ConfigError(
                f"select.n_labels: expected at most the number of training points, {n}, found {self.n_labels}"
            )


def require_clusters(clustering: Clustering, name: str) -> None:
    """Raise ConfigError if there are no clusters for the selection of that name."""
    if clustering.centroids.shape[0] == 0:
        raise ConfigError(
            f"select={name}: expected clusters, found none; choose others with cluster=... or its settings, or labels "
            "without clusters with select=random"
        )
