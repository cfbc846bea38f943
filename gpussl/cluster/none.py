"""No clusters: for jobs that choose labels and learn from them without clusters."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace, device

from gpussl.numeric.arrays import arange_like
from gpussl.protocols import Clusterer
from gpussl.records import Array, Clustering, OnProgress


@dataclass(frozen=True)
class NoClustering(Clusterer):
    """A clustering without clusters: every point has the cluster -1.

    >>> import numpy as np
    >>> NoClustering().fit(np.zeros((2, 1)), seed=0).labels.tolist()
    [-1, -1]
    """

    makes_clusters: ClassVar[bool] = False

    def fit(self, X: Array, seed: int, on_progress: OnProgress | None = None) -> Clustering:
        """Return an empty clustering of (n, d) points."""
        xp, n = array_namespace(X), X.shape[0]
        return Clustering(
            centroids=X[:0, :],
            labels=xp.full_like(arange_like(n, X), -1),
            distances=xp.zeros((n,), dtype=X.dtype, device=device(X)),
            inertia=0.0,
            n_iter=0,
        )
