"""Select: which points' labels to buy."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace, device

from gpussl import seeds
from gpussl.arrays import arange_like, smallest_of_each_group
from gpussl.errors import ConfigError
from gpussl.params import check, param
from gpussl.records import Array, Buy, Clustering


@dataclass(frozen=True)
class NearestToCentroid:
    """Each cluster's representative: its member nearest the centroid, ties to the first. Empty clusters have none."""

    name: ClassVar[str] = "nearest_to_centroid"

    def check_size(self, n: int) -> None:
        """Any number of points will do."""

    def select(self, X: Array, clustering: Clustering, seed: int, buy: Buy) -> Array:
        """Indices (m,) of the representatives, ascending and different, m at most k.

        Raises
        ------
        ConfigError
            There are no clusters.
        """
        xp, k = array_namespace(clustering.labels), clustering.centroids.shape[0]
        if k == 0:
            raise ConfigError(
                "select=nearest_to_centroid: expected clusters, found none; choose others with cluster=... or its "
                "settings, or labels without clusters with select=random"
            )
        nearest, occupied = smallest_of_each_group(clustering.labels, clustering.distances, k)
        return xp.sort(nearest[occupied])


@dataclass(frozen=True)
class _Budget:
    """A selection of so many points, whatever the clusters."""

    n_labels: int = param(100, ge=1)

    def __post_init__(self) -> None:
        check(self)

    def check_size(self, n: int) -> None:
        """Raise ConfigError if `n` points are too few."""
        if self.n_labels > n:
            raise ConfigError(
                f"select.n_labels: expected at most the number of training points, {n}, found {self.n_labels}"
            )


@dataclass(frozen=True)
class Random(_Budget):
    """Points drawn at random, all alike."""

    name: ClassVar[str] = "random"

    def select(self, X: Array, clustering: Clustering, seed: int, buy: Buy) -> Array:
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


@dataclass(frozen=True)
class First(_Budget):
    """The first points, as they stand in the data: random only if their order is."""

    name: ClassVar[str] = "first"

    def select(self, X: Array, clustering: Clustering, seed: int, buy: Buy) -> Array:
        """Indices (n_labels,) of the points, from 0. ConfigError if there are fewer points."""
        self.check_size(clustering.labels.shape[0])
        return arange_like(self.n_labels, clustering.labels)


@dataclass(frozen=True)
class All:
    """Every point."""

    name: ClassVar[str] = "all"

    def check_size(self, n: int) -> None:
        """Any number of points will do."""

    def select(self, X: Array, clustering: Clustering, seed: int, buy: Buy) -> Array:
        """Indices (n,) of all points."""
        return arange_like(clustering.labels.shape[0], clustering.labels)
