"""The bought labels alone."""

from dataclasses import dataclass

from gpussl.numeric.arrays import scatter
from gpussl.protocols import Propagation
from gpussl.records import UNLABELLED, Array, Clustering, PseudoLabels


@dataclass(frozen=True)
class NoPropagation(Propagation):
    """The bought labels alone."""

    def propagate(self, X: Array, clustering: Clustering, indices: Array, labels: Array) -> PseudoLabels:
        """See `ClusterPropagation.propagate`."""
        n = clustering.labels.shape[0]
        return PseudoLabels(scatter(indices, labels, n, UNLABELLED), scatter(indices, indices, n, UNLABELLED))
