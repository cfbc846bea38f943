"""Nearest neighbours on the CPU by exhaustive search, in the precision of the points."""

import numpy as np

from gpussl.arrays import squared_distances, squared_norms
from gpussl.backend.blocks import Centred, map_on_threads, row_slices

QUERIES, POINTS = 2048, 512  # of one block of distances: 4 MiB
SPARE = 4  # candidates more than are asked for, so that rounding loses none that two distances hardly tell apart


class KNeighborsClassifier:
    """The class most frequent among the nearest points, under the names of scikit-learn's and cuML's.

    scikit-learn computes such distances in double precision. Here they are in that of the points, and the nearest few
    are compared once more in double.
    """

    def __init__(self, n_neighbors: int = 5, *, algorithm: str = "brute") -> None:
        self.n_neighbors, self.algorithm = n_neighbors, algorithm

    def fit(self, X: np.ndarray, y: np.ndarray) -> "KNeighborsClassifier":
        """Keep (n, d) points and their (n,) classes."""
        self.X_, self.y_ = X, y
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """(m, d) -> (m,) classes; of those equally frequent, the first."""
        classes, encoded = np.unique(self.y_, return_inverse=True)
        found = encoded[nearest(self.X_, X, self.n_neighbors)]
        votes = np.stack([np.count_nonzero(found == j, axis=1) for j in range(len(classes))], axis=1)
        return classes[np.argmax(votes, axis=1)]


def nearest(X: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Indices (m, k) of the k nearest of (n, d) points to each of (m, d) queries, the nearest first."""
    n_candidates = min(k + SPARE, len(X))
    centred = Centred(X)
    norms = np.concatenate([squared_norms(centred[points]) for points in row_slices(len(X), POINTS)])
    found = np.empty((len(queries), k), dtype=np.int64)

    def work(rows: slice) -> None:
        block = queries[rows] - centred.mean
        block_norms = squared_norms(block)
        distances = np.full((len(block), n_candidates), np.inf, dtype=X.dtype)
        indices = np.zeros((len(block), n_candidates), dtype=np.int64)
        for points in row_slices(len(X), POINTS):
            to_points = squared_distances(block, centred[points], block_norms, norms[points])
            closer = np.flatnonzero(np.min(to_points, axis=1) < np.max(distances, axis=1))
            of_points = np.broadcast_to(np.arange(points.start, points.stop), (len(closer), points.stop - points.start))
            both = np.concatenate([distances[closer], to_points[closer]], axis=1)
            names = np.concatenate([indices[closer], of_points], axis=1)
            least = np.argpartition(both, n_candidates - 1, axis=1)[:, :n_candidates]
            distances[closer] = np.take_along_axis(both, least, axis=1)
            indices[closer] = np.take_along_axis(names, least, axis=1)
        indices.sort(axis=1)
        differences = X[indices].astype(np.float64) - queries[rows][:, None, :]
        order = np.argsort(np.einsum("ijk,ijk->ij", differences, differences), axis=1, kind="stable")[:, :k]
        found[rows] = np.take_along_axis(indices, order, axis=1)

    with map_on_threads() as on_threads:
        on_threads(work, row_slices(len(queries), QUERIES))
    return found
