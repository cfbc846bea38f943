"""All labels."""

from dataclasses import dataclass
from typing import ClassVar

from gpussl.numeric.arrays import arange_like
from gpussl.records import Array, Buy, Clustering


@dataclass(frozen=True)
class All:
    """Every point."""

    name: ClassVar[str] = "all"

    def check_size(self, n: int) -> None:
        """Any number of points will do."""

    def select(self, X: Array, clustering: Clustering, seed: int, buy: Buy) -> Array:
        """Indices (n,) of all points."""
        return arange_like(clustering.labels.shape[0], clustering.labels)
