"""The only reader of true training labels."""

import numpy as np

from gpussl import backend
from gpussl.numeric.allocations import contingency, score_allocations
from gpussl.numeric.arrays import placed_like
from gpussl.records import UNLABELLED, Allocations, Array, PseudoLabels


class Oracle:
    """Sells true training labels and counts them, in place of a person who labels points.

    Parameters
    ----------
    y : (n,) int array
        The true labels, on the host.

    Attributes
    ----------
    n_bought : int
        Number of distinct labels sold so far. A label is paid for only once.

    Examples
    --------
    >>> oracle = Oracle(np.array([7, 8, 9]))
    >>> oracle.buy(np.array([2, 0])).tolist(), oracle.n_bought
    ([9, 7], 2)
    >>> oracle.accuracy(np.array([7, 8, 8])) == 2 / 3
    True
    """

    def __init__(self, y: np.ndarray) -> None:
        self._y = y
        self._bought = np.zeros(len(y), dtype=bool)

    @property
    def n_bought(self) -> int:
        return int(self._bought.sum())

    def buy(self, indices: Array) -> Array:
        """Return the true labels (m,) int64 of the points at `indices` (m,), on the same device."""
        self._bought[backend.of(indices).to_numpy(indices)] = True
        return self.reveal(indices)

    def reveal(self, indices: Array) -> Array:
        """Return the same without paying: for a selection that simulates full knowledge, never for training."""
        return placed_like(self._y[backend.of(indices).to_numpy(indices)], indices)

    def accuracy(self, classes: Array) -> float:
        """Share of correct classes (n,) among all training points: for reports, never for training."""
        return float(np.mean(backend.of(classes).to_numpy(classes) == self._y))

    def best_allocation(self, clusters: Array, n_clusters: int, n_classes: int) -> Allocations:
        """Find the best one-to-one allocation of classes to clusters, given all training labels.

        For reports, never for training: it uses labels that were not bought.

        Parameters
        ----------
        clusters : (n,) int array
            The cluster of each training point, or -1.
        """
        twin = backend.of(clusters)
        table = contingency(clusters, twin.asarray(self._y), n_clusters, n_classes, twin)
        return score_allocations(table, twin, len(self._y))

    def correct(self, pseudo_labels: PseudoLabels) -> np.ndarray:
        """Whether the label of each labelled point is correct, in order: for reports, never for training."""
        labels = backend.of(pseudo_labels.labels).to_numpy(pseudo_labels.labels)
        labelled = labels != UNLABELLED
        return labels[labelled] == self._y[labelled]
