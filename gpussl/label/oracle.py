"""The only reader of true training labels."""

import numpy as np

from gpussl import backend
from gpussl.numeric.allocations import Allocations, contingency, score_allocations
from gpussl.numeric.arrays import placed_like
from gpussl.records import UNLABELLED, Array, PseudoLabels


class Oracle:
    """Sells training labels and counts them, as a person who labels images would.

    Parameters
    ----------
    y : (n,) int array
        The true labels, on the host.

    Attributes
    ----------
    n_bought : int
        Different labels sold so far. Asking again for a label already bought costs nothing.
    """

    def __init__(self, y: np.ndarray) -> None:
        self._y = y
        self._bought = np.zeros(len(y), dtype=bool)

    @property
    def n_bought(self) -> int:
        return int(self._bought.sum())

    def buy(self, indices: Array) -> Array:
        """The true labels of the points at `indices` (m,), as an (m,) int64 array on the same device."""
        self._bought[backend.of(indices).to_numpy(indices)] = True
        return self.reveal(indices)

    def reveal(self, indices: Array) -> Array:
        """The same, not paid for: for a selection that stands for one who knows the classes, never for training."""
        return placed_like(self._y[backend.of(indices).to_numpy(indices)], indices)

    def accuracy(self, classes: Array) -> float:
        """Share of all training points whose class (n,) is the true one: for reports, never for training."""
        return float(np.mean(backend.of(classes).to_numpy(classes) == self._y))

    def best_allocation(self, clusters: Array, n_clusters: int, n_classes: int) -> Allocations:
        """The best way to name clusters by classes, each by another one, judged by all training labels.

        For reports, never for training: it has seen labels that were not bought.

        Parameters
        ----------
        clusters : (n,) int array
            The cluster of each training point, or -1.
        """
        twin = backend.of(clusters)
        table = contingency(clusters, twin.asarray(self._y), n_clusters, n_classes, twin)
        return score_allocations(table, twin, len(self._y))

    def correct(self, pseudo_labels: PseudoLabels) -> np.ndarray:
        """For each labelled point, in order, whether its label is the true one: for reports, never for training."""
        labels = backend.of(pseudo_labels.labels).to_numpy(pseudo_labels.labels)
        labelled = labels != UNLABELLED
        return labels[labelled] == self._y[labelled]
