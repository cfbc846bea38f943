"""Shared by several selections: checks of settings and clusters, and the points without an answer."""

from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace, device

from gpussl import backend
from gpussl.errors import ConfigError
from gpussl.protocols import Selection
from gpussl.records import Answers, Array, Clustering
from gpussl.runtime.params import check, param


@dataclass(frozen=True)
class Budget(Selection):
    """The base of selections with a fixed number of labels.

    Parameters
    ----------
    n_labels : int
        Total number of labels.

    Examples
    --------
    >>> from gpussl.select.random import Random
    >>> Random(n_labels=5).check_size(4)
    Traceback (most recent call last):
        ...
    gpussl.errors.ConfigError: select.n_labels: expected at most the number of training points, 4, found 5
    """

    n_labels: int = param(100, ge=1)

    def __post_init__(self) -> None:
        check(self)

    def check_size(self, n: int) -> None:
        """Raise ConfigError if `n` points are fewer than `n_labels`."""
        if self.n_labels > n:
            raise ConfigError(
                f"select.n_labels: expected at most the number of training points, {n}, found {self.n_labels}"
            )

    def n_next(self, answers: Answers, n: int | None) -> int:
        """The number of points to ask for in this round: `n` if given, otherwise all labels still missing."""
        return max(0, self.n_labels - len(answers)) if n is None else n


def unanswered(n_points: int, answers: Answers) -> np.ndarray:
    """List the points without an answer, ascending, on the host.

    Examples
    --------
    >>> unanswered(4, Answers(indices=np.array([1]), labels=np.array([0]))).tolist()
    [0, 2, 3]
    """
    return np.setdiff1d(np.arange(n_points), backend.of(answers.indices).to_numpy(answers.indices), assume_unique=True)


def has_answer(clustering: Clustering, answers: Answers) -> np.ndarray:
    """Decide whether each cluster has an answer: (k,) bool, on the host.

    Examples
    --------
    >>> clusters = Clustering(np.zeros((2, 1)), np.array([0, 0, 1]), np.zeros(3), inertia=0.0, n_iter=1)
    >>> has_answer(clusters, Answers(indices=np.array([1]), labels=np.array([7]))).tolist()
    [True, False]
    """
    twin, k = backend.of(clustering.labels), clustering.centroids.shape[0]
    clusters = twin.to_numpy(array_namespace(clustering.labels).take(clustering.labels, answers.indices))
    return np.bincount(clusters[clusters >= 0], minlength=k) > 0


def of_largest(clusters: np.ndarray, sizes: np.ndarray, n: int | None) -> np.ndarray:
    """Pick the `n` largest of some clusters (m,), given the sizes (k,) of all clusters; ties go to the first.

    Input and output are ascending. Without `n`, all are picked.

    Examples
    --------
    >>> of_largest(np.array([0, 2, 3]), sizes=np.array([5, 100, 10, 20]), n=2).tolist()
    [2, 3]
    """
    if n is None or n >= len(clusters):
        return clusters
    return np.sort(clusters[np.argsort(-sizes[clusters], kind="stable")[:n]])


def like(indices: np.ndarray, clustering: Clustering) -> Array:
    """Copy indices from the host to the device of the clusters.

    Examples
    --------
    >>> clusters = Clustering(np.zeros((1, 1)), np.array([0, 0]), np.zeros(2), inertia=0.0, n_iter=1)
    >>> like(np.array([1]), clusters).tolist()
    [1]
    """
    labels = clustering.labels
    return array_namespace(labels).asarray(indices, device=device(labels))


def require_clusters(clustering: Clustering, name: str) -> None:
    """Raise a ConfigError that names the selection if there are no clusters.

    Examples
    --------
    >>> require_clusters(Clustering(np.zeros((1, 2)), np.array([0]), np.zeros(1), inertia=0.0, n_iter=1), "typical")
    """
    if clustering.centroids.shape[0] == 0:
        raise ConfigError(
            f"select={name}: expected clusters, found none; choose another cluster=... or other settings, or "
            "select=random, which needs none"
        )
