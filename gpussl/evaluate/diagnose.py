"""Diagnose the clusters, and how the accuracy of their labels falls with the distance from the centroid."""

import numpy as np
from array_api_compat import array_namespace

from gpussl import backend, seeds
from gpussl.numeric.arrays import arange_like, group_bounds, row_blocks, take_or
from gpussl.numeric.clusters import nearness
from gpussl.protocols import Judge
from gpussl.records import UNLABELLED, Array, ClusterExamples, Clustering, Dataset, Diagnostics, PseudoLabels

MAX_SHOWN = 20  # clusters
N_MEMBERS = 9  # of each cluster


def diagnose(
    dataset: Dataset,
    clustering: Clustering,
    bought: Array,
    bought_labels: Array,
    spread: PseudoLabels,
    judge: Judge,
    seed: int,
) -> Diagnostics:
    """Collect what the report shows about clusters after their bought labels were propagated to all members.

    Parameters
    ----------
    dataset : Dataset
    clustering : Clustering
    bought, bought_labels : (m,) int array
        The bought points and their labels.
    spread : PseudoLabels
        The labels propagated to whole clusters.
    judge : Judge
    seed : int
        Seed of the examples drawn from each cluster.

    Examples
    --------
    >>> from gpussl.label.oracle import Oracle
    >>> data = Dataset("d", np.array([[0.0], [1.0], [3.0]]))
    >>> distances = np.array([4.0 / 3, 1.0 / 3, 5.0 / 3])
    >>> clusters = Clustering(np.array([[4.0 / 3]]), np.array([0, 0, 0]), distances, inertia=4.67, n_iter=1)
    >>> spread = PseudoLabels(labels=np.array([7, 7, 7]), sources=np.array([1, 1, 1]))
    >>> found = diagnose(data, clusters, np.array([1]), np.array([7]), spread, Oracle(np.array([7, 7, 8])), seed=0)
    >>> found.nearness.round(2).tolist(), found.correct.tolist()
    ([0.33, 0.67], [True, False])
    """
    xp, to_numpy = array_namespace(bought), backend.of(bought).to_numpy
    sizes = group_bounds(xp.sort(clustering.labels), clustering.centroids.shape[0])[1]
    everywhere = arange_like(clustering.labels.shape[0], clustering.labels)
    is_bought = spread.sources == everywhere  # correct by construction, so they say nothing about propagation
    reached = PseudoLabels(xp.where(is_bought, UNLABELLED, spread.labels), spread.sources)
    return Diagnostics(
        bought=to_numpy(bought),
        bought_labels=to_numpy(bought_labels),
        cluster_sizes=to_numpy(take_or(sizes, xp.take(clustering.labels, bought), 0)),
        nearness=to_numpy(nearness(clustering)[reached.labels != UNLABELLED]),
        correct=judge.correct(reached),
        shown=_examples(dataset, to_numpy(clustering.labels), to_numpy(sizes), seed),
    )


def _examples(dataset: Dataset, labels: np.ndarray, sizes: np.ndarray, seed: int) -> list[ClusterExamples]:
    """The largest clusters, each with its mean and a few members."""
    rng = seeds.generator(seed, "examples")
    examples = []
    for number in np.argsort(-sizes, kind="stable")[:MAX_SHOWN]:
        members = np.flatnonzero(labels == number)
        if len(members):
            drawn = rng.choice(members, size=min(N_MEMBERS, len(members)), replace=False)
            examples.append(ClusterExamples(int(number), len(members), _mean(dataset.X_train, members), np.sort(drawn)))
    return examples


def _mean(X: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The mean (d,) of some rows of (n, d) raw values, in blocks because they may be many and on disk."""
    blocks = row_blocks(len(members), X.shape[1] * X.itemsize)
    return sum(X[members[rows]].sum(axis=0, dtype=np.float64) for rows in blocks) / len(members)
