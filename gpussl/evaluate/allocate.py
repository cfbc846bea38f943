"""Allocate classes to clusters, and measure how well the clusters match the classes."""

import dataclasses
import time

import numpy as np

from gpussl import backend
from gpussl.evaluate.accuracy import best_allocation, score
from gpussl.numeric.arrays import take_or
from gpussl.protocols import Judge
from gpussl.records import UNLABELLED, Allocations, Array, Clustering, Dataset, PseudoLabels, Result


def score_clusters(
    dataset: Dataset, clustering: Clustering, names: Array, clusters: Array, judge: Judge
) -> tuple[Allocations, list[Result]]:
    """Score clusters as a classifier, each cluster standing for one class.

    Parameters
    ----------
    dataset : Dataset
    clustering : Clustering
        k clusters of the training points.
    names : (k,) int array
        The class of each cluster, from the bought label nearest to its centroid, or -1.
    clusters : (n_test,) int array
        The cluster of each test point.
    judge : Judge

    Returns
    -------
    Allocations
        Allocations of classes to clusters, chosen and scored on the test labels.
    list of Result
        Three rows: the fair one, with `names`; the best allocation by all training labels; and the upper bound, the
        best allocation by the test labels. The caller fills in the seed, the prediction time, and the selection of the
        first.

    Examples
    --------
    >>> from gpussl.label.oracle import Oracle
    >>> data = Dataset("d", np.zeros((4, 1)), None, np.zeros((2, 1)), np.array([0, 1]), ("a", "b"))
    >>> clusters = Clustering(np.zeros((2, 1)), np.array([0, 0, 1, 1]), np.zeros(4), inertia=0.0, n_iter=1)
    >>> judge, names = Oracle(np.array([0, 1, 1, 1])), np.array([1, -1])  # only cluster 0 has a label, a misleading one
    >>> allocations, results = score_clusters(data, clusters, names, np.array([0, 1]), judge)
    >>> allocations.best
    (0, 1)
    >>> [(result.select, result.test_accuracy) for result in results]
    [('', 0.0), ('training_labels', 1.0), ('test_labels', 1.0)]
    """
    k, n_test, twin = clustering.centroids.shape[0], dataset.n_test, backend.of(clusters)
    on_training = take_or(names, clustering.labels, UNLABELLED)
    is_right = judge.correct(PseudoLabels(on_training, on_training))
    start = time.perf_counter()
    allocations = best_allocation(dataset, clusters, k)
    score_seconds = time.perf_counter() - start
    honest = Result(
        select="",
        propagation="cluster",
        classifier="clusters",
        n_clusters=k,
        n_labels=judge.n_bought,
        n_train=len(is_right),
        percentile=None,
        seed=0,
        label_accuracy=float(is_right.mean()),
        test_accuracy=0.0,  # scored below
        fit_seconds=0.0,
        predict_seconds=0.0,
        device=twin.device_name(),
        train_accuracy=judge.accuracy(on_training),
    )
    honest = score(dataset, take_or(names, clusters, UNLABELLED), honest)
    by_training = name_by_training_labels(dataset, judge, clustering.labels, clusters, k, honest)
    bound = dataclasses.replace(
        honest,
        select="test_labels",
        propagation="best_allocation",
        is_fair=False,
        n_labels=n_test,
        n_train=n_test,
        label_accuracy=1.0,
        test_accuracy=allocations.accuracy,
        fit_seconds=score_seconds,
        train_accuracy=None,
        balanced_accuracy=None,
        only_class=None,
    )
    return allocations, [honest, by_training, bound]


def name_by_training_labels(
    dataset: Dataset, judge: Judge, train: Array, test: Array, n_clusters: int, result: Result
) -> Result:
    """Score clusters, or a model's classes taken as clusters, under the best allocation by all training labels.

    Parameters
    ----------
    dataset : Dataset
    judge : Judge
    train, test : (n,) and (n_test,) int array
        The cluster of each training point and of each test point, below `n_clusters`.
    n_clusters : int
    result : Result
        The result of the same clusters with bought labels, from which the other fields are taken.

    Examples
    --------
    >>> from gpussl.label.oracle import Oracle
    >>> data = Dataset("d", np.zeros((4, 1)), None, np.zeros((2, 1)), np.array([0, 1]), ("a", "b"))
    >>> own = Result("random", "none", "knn", None, 1, 1, None, 0, 1.0, 0.0, 0.1, 0.1, "cpu")
    >>> judge, train, test = Oracle(np.array([0, 0, 1, 0])), np.array([1, 1, 0, 0]), np.array([1, 0])
    >>> found = name_by_training_labels(data, judge, train, test, 2, own)
    >>> found.n_labels, found.label_accuracy, found.test_accuracy
    (4, 0.75, 1.0)
    """
    allocation = judge.best_allocation(train, n_clusters, len(dataset.class_names))
    names = backend.of(test).asarray(np.asarray(allocation.best))
    judged = dataclasses.replace(
        result,
        select="training_labels",
        propagation="best_allocation",
        is_fair=False,
        n_labels=allocation.n_points,
        label_accuracy=allocation.accuracy,
        train_accuracy=allocation.accuracy,
    )
    return score(dataset, take_or(names, test, UNLABELLED), judged)
