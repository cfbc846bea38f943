"""Allocate: how good clusters are as classes, once each has a class's name."""

import dataclasses
import time

import numpy as np

from gpussl import backend
from gpussl.evaluate.accuracy import accuracy, best_allocation
from gpussl.numeric.arrays import take_or
from gpussl.protocols import Judge
from gpussl.records import UNLABELLED, Allocations, Array, Clustering, Dataset, PseudoLabels, Result


def score_clusters(
    dataset: Dataset, clustering: Clustering, names: Array, clusters: Array, judge: Judge
) -> tuple[Allocations, list[Result]]:
    """Compare the clusters' names with the classes.

    Parameters
    ----------
    names : (k,) int array
        The class of each cluster by the label bought nearest its centroid, or -1.
    clusters : (n_test,) int array
        The cluster of each test point.

    Returns
    -------
    Allocations
        Of the test points: chosen by the labels they are scored on.
    list of Result
        First the honest one, with each cluster named by the label bought nearest its centroid; then that with the best
        of all allocations as the training labels judge them; then the upper bound, as the test labels do. None has its
        seed and its seconds of prediction yet, nor the first its selection.
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
        test_accuracy=accuracy(dataset, take_or(names, clusters, UNLABELLED)),
        fit_seconds=0.0,
        predict_seconds=0.0,
        device=twin.device_name(),
        train_accuracy=judge.accuracy(on_training),
    )
    by_training = name_by_training_labels(dataset, judge, clustering.labels, clusters, k, honest)
    bound = dataclasses.replace(
        honest,
        select="test_labels",
        propagation="best_allocation",
        n_labels=n_test,
        n_train=n_test,
        label_accuracy=1.0,
        test_accuracy=allocations.accuracy,
        fit_seconds=score_seconds,
        train_accuracy=None,
    )
    return allocations, [honest, by_training, bound]


def name_by_training_labels(
    dataset: Dataset, judge: Judge, train: Array, test: Array, n_clusters: int, result: Result
) -> Result:
    """The result of clusters, or of a model's classes taken as clusters, as the training labels would best name them.

    Parameters
    ----------
    train, test : (n,) and (n_test,) int array
        The cluster of each point, below `n_clusters`.
    result : Result
        Theirs by bought labels.
    """
    allocation = judge.best_allocation(train, n_clusters, len(dataset.class_names))
    names = backend.of(test).asarray(np.asarray(allocation.best))
    return dataclasses.replace(
        result,
        select="training_labels",
        propagation="best_allocation",
        n_labels=allocation.n_points,
        label_accuracy=allocation.accuracy,
        test_accuracy=accuracy(dataset, take_or(names, test, UNLABELLED)),
        train_accuracy=allocation.accuracy,
    )
