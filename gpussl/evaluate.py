"""Evaluate: how good a trained model is. The only reader of test labels."""

import numpy as np

from gpussl import backend, store
from gpussl.permutations import Allocations, contingency, score_allocations
from gpussl.records import Array, Dataset, Watch

Z_95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


def accuracy(dataset: Dataset, predicted: Array) -> float:
    """Share of the test points whose predicted class (n_test,) is the true one."""
    return float(np.mean(backend.of(predicted).to_numpy(predicted) == dataset.y_test))


def best_allocation(dataset: Dataset, clusters: Array, n_clusters: int) -> Allocations:
    """The best way to name clusters by classes, each by another one, judged by the test points themselves.

    It is chosen by the labels it is then scored on, so its accuracy is no accuracy on unseen data but an upper bound of
    what naming clusters one to one can reach. Names that two clusters may share can do better.

    Parameters
    ----------
    dataset : Dataset
    clusters : (n_test,) int array
        The cluster of each test point.
    n_clusters : int
    """
    y_test = backend.of(clusters).asarray(dataset.y_test)
    table = contingency(clusters, y_test, n_clusters, len(dataset.class_names))
    return score_allocations(table, len(dataset.y_test))


def watch(dataset: Dataset, X_test: Array) -> Watch:
    """The test points as a model may watch them while it is trained: to do as a study did, not to be honest."""
    return Watch(X_test, lambda predicted: accuracy(dataset, predicted), store.digest(dataset.X_test, dataset.y_test))


def accuracy_interval(accuracy: float, n: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy measured on `n` points (Wilson, 1927), as shares from 0 to 1."""
    center = (accuracy + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    half = Z_95 / (1 + Z_95**2 / n) * np.sqrt(accuracy * (1 - accuracy) / n + Z_95**2 / (4 * n**2))
    return float(center - half), float(center + half)
