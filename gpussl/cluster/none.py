"""No clusters: for jobs in which labels are chosen and learnt from without them."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace, device

from gpussl.numeric.arrays import arange_like
from gpussl.protocols import Clusterer
from gpussl.records import Array, Clustering, OnProgress


@dataclass(frozen=True)
class NoClustering(Clusterer):
    """Puts every point into no cluster."""

    makes_clusters: ClassVar[bool] = False

    def fit(self, X: Array, seed: int, on_progress: OnProgress | None = None) -> Clustering:
        """(n, d) points, none of them in a cluster."""
        xp, n = array_namespace(X), X.shape[0]
        return Clustering(
            centroids=X[:0, :],
            labels=xp.full_like(arange_like(n, X), -1),
            distances=xp.zeros((n,), dtype=X.dtype, device=device(X)),
            inertia=0.0,
            n_iter=0,
        )
