"""Select the member of each cluster nearest to its centroid."""

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
    """The representative of each cluster: the member nearest to the centroid; ties go to the first.

    Empty clusters have no representative.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0], [1.0], [3.0], [9.0]])
    >>> centroids, distances = np.array([[4.0 / 3], [9.0]]), np.array([4.0 / 3, 1.0 / 3, 5.0 / 3, 0.0])
    >>> clusters = Clustering(centroids, np.array([0, 0, 0, 1]), distances, inertia=4.67, n_iter=1)
    >>> nothing = Answers(np.zeros(0, dtype=int), np.zeros(0, dtype=int))
    >>> NearestToCentroid().select(X, clusters, nothing, n=None, seed=0).tolist()
    [1, 3]
    """

    name: ClassVar[str] = "nearest_to_centroid"
    needs_clusters: ClassVar[bool] = True
    one_per_cluster: ClassVar[bool] = True

    def select(self, X: Array, clustering: Clustering, answers: Answers, n: int | None, seed: int) -> Array:
        """Return the representatives of the clusters without an answer; with `n`, only of the `n` largest.

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
