"""No propagation."""

from dataclasses import dataclass
from typing import ClassVar

from gpussl.numeric.arrays import scatter
from gpussl.protocols import Propagation
from gpussl.records import UNLABELLED, Array, Clustering, PseudoLabels


@dataclass(frozen=True)
class NoPropagation(Propagation):
    """Leave all points but the bought ones unlabelled.

    Examples
    --------
    >>> import numpy as np
    >>> from gpussl.cluster.none import NoClustering
    >>> X = np.zeros((4, 2))
    >>> NoPropagation().propagate(X, NoClustering().fit(X, seed=0), np.array([2]), np.array([7])).labels.tolist()
    [-1, -1, 7, -1]
    """

    spreads: ClassVar[bool] = False

    def propagate(self, X: Array, clustering: Clustering, indices: Array, labels: Array) -> PseudoLabels:
        """See `ClusterPropagation.propagate`."""
        n = clustering.labels.shape[0]
        return PseudoLabels(scatter(indices, labels, n, UNLABELLED), scatter(indices, indices, n, UNLABELLED))
