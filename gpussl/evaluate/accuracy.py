"""Accuracy on the test set. The only reader of test labels."""

import numpy as np

from gpussl import backend
from gpussl.errors import DataError
from gpussl.numeric.allocations import contingency, score_allocations
from gpussl.records import Allocations, Array, Dataset
from gpussl.runtime import store


def accuracy(dataset: Dataset, predicted: Array) -> float:
    """Compute the share of the test points with a correct predicted class number (n_test,).

    Examples
    --------
    >>> data = Dataset("d", np.zeros((1, 1)), None, np.zeros((2, 1)), np.array([0, 1]), ("a", "b"))
    >>> accuracy(data, np.array([0, 0]))
    0.5
    """
    return float(np.mean(backend.of(predicted).to_numpy(predicted) == _labels(dataset)))


def commonest_share(dataset: Dataset) -> float:
    """Compute the accuracy of always predicting the most frequent class of the test set.

    Examples
    --------
    >>> data = Dataset("d", np.zeros((1, 1)), None, np.zeros((3, 1)), np.array([0, 1, 1]), ("a", "b"))
    >>> round(commonest_share(data), 2)
    0.67
    """
    y = _labels(dataset)
    return float(np.bincount(y).max() / len(y))


def best_allocation(dataset: Dataset, clusters: Array, n_clusters: int) -> Allocations:
    """Find the one-to-one allocation of classes to clusters with the highest accuracy on the test set.

    The test labels both choose and score it, so its accuracy is not one on unseen data. It is an upper bound for
    one-to-one allocations; if several clusters may have the same class, the accuracy can be higher.

    Parameters
    ----------
    dataset : Dataset
    clusters : (n_test,) int array
        The cluster of each test point.
    n_clusters : int

    Examples
    --------
    >>> data = Dataset("d", np.zeros((1, 1)), None, np.zeros((3, 1)), np.array([0, 1, 1]), ("a", "b"))
    >>> best_allocation(data, np.array([1, 0, 0]), 2).best
    (1, 0)
    """
    twin, y = backend.of(clusters), _labels(dataset)
    table = contingency(clusters, twin.asarray(y), n_clusters, len(dataset.class_names), twin)
    return score_allocations(table, twin, len(y))


def fingerprint(dataset: Dataset) -> str:
    """Compute the sha256 of the test points and their labels, which identifies the test set.

    Examples
    --------
    >>> len(fingerprint(Dataset("d", np.zeros((1, 1)), None, np.zeros((1, 1)), np.array([0]), ("a", "b"))))
    64
    """
    return store.digest(dataset.X_test, _labels(dataset))


def _labels(dataset: Dataset) -> np.ndarray:
    if dataset.y_test is None:
        raise DataError(f"data={dataset.name}: expected a test set with labels, found none")
    y = np.asarray(dataset.y_test)
    if (y < 0).any():
        raise DataError(f"data={dataset.name}: expected all test labels known, found {int((y < 0).sum()):,} unknown")
    return y
