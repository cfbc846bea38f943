"""Select more points from mixed clusters: labels of a first round decide how to distribute the second."""

from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace, device

from gpussl import backend, seeds
from gpussl.errors import ConfigError
from gpussl.numeric.arrays import group_bounds, group_sort
from gpussl.records import Answers, Array, Clustering
from gpussl.runtime.params import param
from gpussl.select.checks import Budget, require_clusters


@dataclass(frozen=True)
class ClusterBudget(Budget):
    """Divide a budget of labels among the clusters by size and by how mixed they are.

    The first round takes one point of each cluster, the one nearest the centroid. It divides the rest of its share by
    cluster size, and spaces the points in each cluster evenly from the centroid to the rim. Its labels show how mixed
    each cluster is. The second round divides the remaining labels by size times spread (Neyman allocation), and draws
    at random within each cluster. With fewer labels than clusters, the largest clusters get one each. Points in no
    cluster are never selected.

    The spread of a cluster is the square root of the probability that two labels drawn from it differ; for two classes,
    sqrt(2 p (1 - p)). Class shares are smoothed so that a single label does not make a cluster pure: each cluster gets
    `prior` additional labels, distributed like all labels of the first round.

    Parameters
    ----------
    first_share : float
        Share of the labels in the first round, which has at least one label per cluster in any case.
    prior : float
        Weight of the smoothing, in labels.

    References
    ----------
    Neyman, "On the two different aspects of the representative method", JRSS, 1934.
    Dasgupta, Hsu, "Hierarchical sampling for active learning", ICML 2008: also labels mixed clusters, and splits them.

    Examples
    --------
    >>> distances = np.arange(10.0) % 5  # two clusters of five points, ordered from centroid to rim
    >>> clusters = Clustering(np.zeros((2, 1)), np.arange(10) // 5, distances, inertia=60.0, n_iter=1)
    >>> selection, nothing = ClusterBudget(n_labels=8), Answers(np.zeros(0, dtype=int), np.zeros(0, dtype=int))
    >>> first = selection.select(np.zeros((10, 1)), clusters, nothing, n=None, seed=0)
    >>> first.tolist()
    [0, 2, 5, 7]
    >>> answers = Answers(first, labels=np.array([0, 0, 0, 1]))  # the second cluster is mixed
    >>> second = selection.select(np.zeros((10, 1)), clusters, answers, n=None, seed=0)
    >>> np.bincount(clusters.labels[second]).tolist()
    [1, 3]
    """

    first_share: float = param(0.5, gt=0, le=1)
    prior: float = param(1.0, gt=0)
    name: ClassVar[str] = "cluster_budget"
    needs_clusters: ClassVar[bool] = True

    def select(self, X: Array, clustering: Clustering, answers: Answers, n: int | None, seed: int) -> Array:
        """Return the first round without answers, and the second round with answers.

        Raises
        ------
        ConfigError
            There are no clusters, or they hold fewer points than labels.
        """
        require_clusters(clustering, self.name)
        labels = clustering.labels
        xp, to_numpy = array_namespace(labels), backend.of(labels).to_numpy
        order = group_sort(labels, clustering.distances)
        start, size = map(to_numpy, group_bounds(xp.take(labels, order), clustering.centroids.shape[0]))
        n_left = self.n_next(answers, n)
        if n is None:
            self._check_members(int(size.sum()))
        if len(answers) == 0:
            counts = first_round(size, min(n_left, int(size.sum())), self.first_share)
            ranks = [spread_out(int(m), int(count)) for m, count in zip(size, counts, strict=True)]
            places = np.concatenate([begin + rank for begin, rank in zip(start, ranks, strict=True)])
        else:
            place_of = np.empty(labels.shape[0], dtype=np.int64)  # of each point in `order`
            place_of[to_numpy(order)] = np.arange(labels.shape[0])
            clusters, indices = to_numpy(xp.take(labels, answers.indices)), to_numpy(answers.indices)
            is_inside = clusters >= 0
            clusters, asked = clusters[is_inside], place_of[indices[is_inside]]
            ranks = [asked[clusters == cluster] - begin for cluster, begin in enumerate(start)]
            spread = spreads(clusters, to_numpy(answers.labels)[is_inside], len(size), self.prior)
            capacity = size - np.bincount(clusters, minlength=len(size))
            counts = apportion(size * spread, capacity, min(n_left, int(capacity.sum())))
            places = _draw_others(seeds.generator(seed, "cluster_budget"), start, size, ranks, counts)
        return xp.sort(xp.take(order, xp.asarray(places, device=device(order))))

    def _check_members(self, n_members: int) -> None:
        if self.n_labels > n_members:
            raise ConfigError(
                f"select.n_labels: expected at most the number of training points that are in clusters, {n_members}, "
                f"found {self.n_labels}"
            )


def first_round(size: np.ndarray, n_labels: int, share: float) -> np.ndarray:
    """Return the number of labels (k,) that each cluster gets in the first round, from the cluster sizes (k,).

    Parameters
    ----------
    n_labels : int
        Labels in both rounds.
    share : float
        Share of them in the first round.

    Examples
    --------
    >>> first_round(np.array([60, 30, 10]), n_labels=20, share=0.5).tolist()
    [5, 3, 2]
    """
    occupied = (size > 0).astype(np.int64)
    n_occupied = int(occupied.sum())
    if n_labels <= n_occupied:
        counts = np.zeros_like(occupied)
        counts[np.argsort(-size, kind="stable")[:n_labels]] = 1
        return counts
    n_first = max(n_occupied, ceil(share * n_labels))
    return occupied + apportion(size, size - occupied, n_first - n_occupied)


def spread_out(n: int, count: int) -> np.ndarray:
    """Return `count` distinct ranks out of `n`, evenly spaced from 0.

    >>> spread_out(10, 4).tolist()
    [0, 2, 5, 7]
    """
    return np.arange(count) * n // max(count, 1)


def spreads(clusters: np.ndarray, labels: np.ndarray, n_clusters: int, prior: float) -> np.ndarray:
    """Estimate the spread (k,) of each cluster: the square root of the probability that two of its labels differ.

    Parameters
    ----------
    clusters, labels : (m,) int array
        The cluster and the label of each labelled point.
    prior : float
        Weight of the smoothing, as in `ClusterBudget`.

    Examples
    --------
    >>> spreads(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 0]), n_clusters=2, prior=1e-9).round(3).tolist()
    [0.707, 0.0]
    """
    classes, encoded = np.unique(labels, return_inverse=True)
    counts = np.zeros((n_clusters, len(classes)))
    np.add.at(counts, (clusters, encoded), 1)
    pseudo = prior * counts.sum(axis=0) / len(labels)
    shares = (counts + pseudo) / (counts.sum(axis=1, keepdims=True) + prior)
    return np.sqrt(np.maximum(1 - (shares**2).sum(axis=1), 0))


def apportion(weights: np.ndarray, capacity: np.ndarray, total: int) -> np.ndarray:
    """Divide `total` into integers (k,) in proportion to weights (k,), within capacities (k,), by largest remainders.

    `total` must not exceed the sum of the capacities. The surplus of a full entry goes to the others. Entries of
    weight 0 get only what remains after that, in proportion to capacity.

    >>> apportion(np.array([3.0, 1.0, 1.0]), np.array([2, 9, 9]), total=6).tolist()
    [2, 2, 2]
    """
    quota, is_open = np.zeros(len(weights)), capacity > 0
    while (left := total - quota.sum()) > 0 and is_open.any():
        among = np.where(is_open, weights, 0.0)
        if among.sum() <= 0:
            among = np.where(is_open, capacity, 0)
        share = left * (among / among.sum())
        full = is_open & (share >= capacity)
        if not full.any():
            quota = quota + share
            break
        quota, is_open = np.where(full, capacity, quota), is_open & ~full
    counts = np.minimum(np.floor(quota).astype(np.int64), capacity)
    remainders = np.where(counts < capacity, quota - counts, -1.0)
    counts[np.argsort(-remainders, kind="stable")[: total - int(counts.sum())]] += 1
    return counts


def _draw_others(
    rng: np.random.Generator, start: np.ndarray, size: np.ndarray, ranks: list[np.ndarray], counts: np.ndarray
) -> np.ndarray:
    """Draw `counts` (k,) members of each cluster among those with ranks not in `ranks`, and return their places."""
    drawn = [start[:0]]
    for cluster in np.flatnonzero(counts):
        others = np.setdiff1d(np.arange(size[cluster]), ranks[cluster], assume_unique=True)
        drawn.append(start[cluster] + rng.choice(others, size=counts[cluster], replace=False))
    return np.concatenate(drawn)
