"""Labels that nothing guides: random ones, the first, all."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace, device

from gpussl import seeds
from gpussl.arrays import arange_like
from gpussl.records import Array, Buy, Clustering
from gpussl.select.checks import Budget


@dataclass(frozen=True)
class Random(Budget):
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
class First(Budget):
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
