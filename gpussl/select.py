"""Select: which points' labels to buy."""

from dataclasses import dataclass

from array_api_compat import array_namespace, device

from gpussl import seeds
from gpussl.arrays import smallest_of_each_group
from gpussl.errors import ConfigError
from gpussl.params import check, param
from gpussl.records import Array, Clustering


@dataclass(frozen=True)
class NearestToCentroid:
    """Each cluster's representative: its member nearest the centroid, ties to the first. Empty clusters have none."""

    def check_size(self, n: int) -> None:
        """Any number of points will do."""

    def select(self, clustering: Clustering, seed: int) -> Array:
        """Indices (m,) of the representatives, ascending and different, m at most k."""
        xp = array_namespace(clustering.labels)
        nearest, occupied = smallest_of_each_group(
            clustering.labels, clustering.distances, clustering.centroids.shape[0]
        )
        return xp.sort(nearest[occupied])


@dataclass(frozen=True)
class Random:
    """Points drawn at random, all alike."""

    n_labels: int = param(100, ge=1)

    def __post_init__(self) -> None:
        check(self)

    def check_size(self, n: int) -> None:
        """Raise ConfigError if `n` points are too few."""
        if self.n_labels > n:
            raise ConfigError(
                f"select.n_labels: expected at most the number of training points, {n}, found {self.n_labels}"
            )

    def select(self, clustering: Clustering, seed: int) -> Array:
        """Indices (n_labels,) of the points, ascending and different.

        Raises
        ------
        ConfigError
            More labels than points.
        """
        n = clustering.labels.shape[0]
        self.check_size(n)
        drawn = seeds.generator(seed, "random").choice(n, size=self.n_labels, replace=False)
        drawn.sort()
        return array_namespace(clustering.labels).asarray(drawn, device=device(clustering.labels))
