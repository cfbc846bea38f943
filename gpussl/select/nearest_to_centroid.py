"""The label of each cluster's middle."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from gpussl.numeric.arrays import smallest_of_each_group
from gpussl.records import Array, Buy, Clustering
from gpussl.select.checks import require_clusters


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
        require_clusters(clustering, self.name)
        k = clustering.centroids.shape[0]
        nearest, occupied = smallest_of_each_group(clustering.labels, clustering.distances, k)
        return array_namespace(nearest).sort(nearest[occupied])
