"""Evaluate: how good a trained model is. The only reader of test labels."""

import numpy as np

from gpussl import backend
from gpussl.numeric.allocations import Allocations, contingency, score_allocations
from gpussl.records import Array, Dataset, Watch
from gpussl.runtime import store


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
    twin = backend.of(clusters)
    table = contingency(clusters, twin.asarray(dataset.y_test), n_clusters, len(dataset.class_names), twin)
    return score_allocations(table, twin, len(dataset.y_test))


def watch(dataset: Dataset, X_test: Array) -> Watch:
    """The test points as a model may watch them while it is trained: to do as a study did, not to be honest."""
    return Watch(X_test, lambda predicted: accuracy(dataset, predicted), store.digest(dataset.X_test, dataset.y_test))
