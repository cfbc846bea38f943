"""Allocate: how good clusters are as classes, once each has a class's name."""

import dataclasses
import time

import numpy as np

from gpussl import backend, evaluate
from gpussl.arrays import take_or
from gpussl.cluster import assign
from gpussl.errors import ConfigError
from gpussl.oracle import Oracle
from gpussl.permutations import Allocations
from gpussl.propagate import cluster_names
from gpussl.records import UNLABELLED, Array, Clustering, Dataset, PseudoLabels, Result


def score_clusters(
    dataset: Dataset, X_test: Array, clustering: Clustering, bought: Array, oracle: Oracle
) -> tuple[Allocations, list[Result]]:
    """Put each test point into its cluster and compare the clusters' names with the classes.

    Parameters
    ----------
    X_test : (n_test, d) array
        The test points, as the clustered ones were represented.
    bought : (m,) int array
        The points whose labels were bought.

    Returns
    -------
    Allocations
        Of the test points: chosen by the labels they are scored on.
    list of Result
        First the honest one, with each cluster named by the label bought nearest its centroid; then that with the best
        of all allocations as the training labels judge them; then the upper bound, as the test labels do. None has its
        seed yet, nor the first its selection.

    Raises
    ------
    ConfigError
        There are no clusters.
    """
    k, n_test, twin = clustering.centroids.shape[0], len(dataset.y_test), backend.of(X_test)
    if k == 0:
        raise ConfigError("allocate=true: expected clusters, found none; choose some with cluster=...")
    start = time.perf_counter()
    clusters = assign(clustering, X_test)
    twin.synchronize()
    assign_seconds = time.perf_counter() - start
    names = cluster_names(clustering, bought, oracle.buy(bought))
    on_training = take_or(names, clustering.labels, UNLABELLED)
    is_right = oracle.correct(PseudoLabels(on_training, on_training))
    start = time.perf_counter()
    allocations = evaluate.best_allocation(dataset, clusters, k)
    score_seconds = time.perf_counter() - start
    honest = Result(
        select="",
        propagation="cluster",
        classifier="clusters",
        n_clusters=k,
        n_labels=oracle.n_bought,
        n_train=len(is_right),
        percentile=None,
        seed=0,
        label_accuracy=float(is_right.mean()),
        test_accuracy=evaluate.accuracy(dataset, take_or(names, clusters, UNLABELLED)),
        fit_seconds=0.0,
        predict_seconds=assign_seconds,
        device=twin.device_name(),
        train_accuracy=oracle.accuracy(on_training),
    )
    by_training = name_by_training_labels(dataset, oracle, clustering.labels, clusters, k, honest)
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
    dataset: Dataset, oracle: Oracle, train: Array, test: Array, n_clusters: int, result: Result
) -> Result:
    """The result of clusters, or of a model's classes taken as clusters, as the training labels would best name them.

    Parameters
    ----------
    train, test : (n,) and (n_test,) int array
        The cluster of each point, below `n_clusters`.
    result : Result
        Theirs by bought labels.
    """
    allocation = oracle.best_allocation(train, n_clusters, len(dataset.class_names))
    names = backend.of(test).asarray(np.asarray(allocation.best))
    return dataclasses.replace(
        result,
        select="training_labels",
        propagation="best_allocation",
        n_labels=allocation.n_points,
        label_accuracy=allocation.accuracy,
        test_accuracy=evaluate.accuracy(dataset, take_or(names, test, UNLABELLED)),
        train_accuracy=allocation.accuracy,
    )
