"""The label of each cluster's middle."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace

from gpussl import backend
from gpussl.numeric.arrays import group_bounds, smallest_of_each_group
from gpussl.protocols import Selection
from gpussl.records import Answers, Array, Clustering
from gpussl.select.checks import has_answer, like, of_largest, require_clusters


@dataclass(frozen=True)
class NearestToCentroid(Selection):
    """Each cluster's representative: its member nearest the centroid, ties to the first. Empty clusters have none."""

    name: ClassVar[str] = "nearest_to_centroid"
    needs_clusters: ClassVar[bool] = True
    one_per_cluster: ClassVar[bool] = True

    def select(self, X: Array, clustering: Clustering, answers: Answers, n: int | None, seed: int) -> Array:
        """The representatives of the clusters without an answer, of the largest if `n` are asked for.

        Raises
        ------
        ConfigError
            There are no clusters.
        """
        require_clusters(clustering, self.name)
        k, to_numpy = clustering.centroids.shape[0], backend.of(clustering.labels).to_numpy
        nearest, _ = smallest_of_each_group(clustering.labels, clustering.distances, k)
        sizes = to_numpy(group_bounds(array_namespace(nearest).sort(clustering.labels), k)[1])
        open_ones = np.flatnonzero((sizes > 0) & ~has_answer(clustering, answers))
        return like(np.sort(to_numpy(nearest)[of_largest(open_ones, sizes, n)]), clustering)
