"""The first labels."""

from dataclasses import dataclass
from typing import ClassVar

from gpussl.numeric.arrays import arange_like
from gpussl.records import Array, Buy, Clustering
from gpussl.select.checks import Budget


@dataclass(frozen=True)
class First(Budget):
    """The first points, as they stand in the data: random only if their order is."""

    name: ClassVar[str] = "first"

    def select(self, X: Array, clustering: Clustering, seed: int, buy: Buy) -> Array:
        """Indices (n_labels,) of the points, from 0. ConfigError if there are fewer points."""
        self.check_size(clustering.labels.shape[0])
        return arange_like(self.n_labels, clustering.labels)
