"""Accuracy on the test set. The only reader of test labels."""

import dataclasses

import numpy as np

from gpussl import backend
from gpussl.errors import DataError
from gpussl.numeric.allocations import contingency, score_allocations
from gpussl.records import MOST_FREQUENT, Allocations, Array, Dataset, Result
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


def score(dataset: Dataset, predicted: Array, result: Result) -> Result:
    """Return the result with the scores of predicted class numbers (n_test,).

    Examples
    --------
    >>> data = Dataset("d", np.zeros((1, 1)), None, np.zeros((3, 1)), np.array([0, 1, 1]), ("cat", "dog"))
    >>> found = score(data, np.array([1, 1, 1]), most_frequent(data))
    >>> round(found.test_accuracy, 2), found.balanced_accuracy, found.only_class
    (0.67, 0.5, 'dog')
    """
    y, said = _labels(dataset), backend.of(predicted).to_numpy(predicted)
    correct = said == y
    sizes = np.bincount(y)
    recalls = np.bincount(y, correct)[sizes > 0] / sizes[sizes > 0]
    is_one = bool((said == said[0]).all()) and said[0] >= 0
    return dataclasses.replace(
        result,
        test_accuracy=float(correct.mean()),
        balanced_accuracy=float(recalls.mean()),
        only_class=dataset.class_names[said[0]] if is_one else None,
        correct=correct,
    )


def most_frequent(dataset: Dataset) -> Result:
    """Score always predicting the most frequent class of the test set: what any classifier should beat.

    Examples
    --------
    >>> data = Dataset("d", np.zeros((1, 1)), None, np.zeros((3, 1)), np.array([0, 1, 1]), ("cat", "dog"))
    >>> round(most_frequent(data).test_accuracy, 2)
    0.67
    """
    y = _labels(dataset)
    n_classes = len(np.unique(y))
    commonest = int(np.bincount(y).argmax())
    return Result(
        select="none",
        propagation="none",
        classifier=MOST_FREQUENT,
        n_clusters=None,
        n_labels=0,
        n_train=0,
        percentile=None,
        seed=0,
        label_accuracy=None,
        test_accuracy=float((y == commonest).mean()),
        fit_seconds=0.0,
        predict_seconds=0.0,
        device="cpu",
        is_fair=False,
        balanced_accuracy=1 / n_classes,
        only_class=dataset.class_names[commonest] if dataset.class_names else str(commonest),
    )


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
