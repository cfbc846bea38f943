"""Select points that are close to as many others as possible, by a kernel: a cover with soft balls."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace

from gpussl import backend, seeds
from gpussl.numeric.arrays import centred, itemsize, placed_like, row_blocks, squared_distances, squared_norms
from gpussl.records import Answers, Array, Clustering
from gpussl.runtime.params import param
from gpussl.select.checks import Budget, like, unanswered

SPREAD, MOST_SPREAD = 8000, 2000  # points that tell the width of the kernel
AT_ONCE = 64  # gains that are computed together

Kernel = Callable[[Array], Array]  # squared distances to similarities from 0 to 1


@dataclass(frozen=True)
class Herding(Budget):
    """Select, each time, the point that raises the mean similarity of a point to the nearest selected one most.

    The similarity is exp(-d^2 / s^2) at a distance of d. Without doubts this is MaxHerding; where a model of the labels
    so far doubts some points more than others, these count for more (uncertainty herding). The width s follows from the
    data and needs no labels: s^2 is `width` times the mean squared distance of a point to the nearest of as many random
    points as will have labels. With fewer labels, each must stand for more points.

    Points and candidates come from a random sample of `max_candidates`. No table of distances is kept: gains can only
    shrink, so few of them are computed again.

    Parameters
    ----------
    width : float
    max_candidates : int

    References
    ----------
    Bae, Oh, Sutherland, "Generalized coverage for more robust low-budget active learning", ECCV 2024: MaxHerding.
    Bae, Sutherland, Oh, "Uncertainty herding: one active learning method for all label budgets", ICLR 2025.

    Examples
    --------
    >>> from gpussl.cluster.none import NoClustering
    >>> X = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])  # two dense regions
    >>> nothing = Answers(np.zeros(0, dtype=int), np.zeros(0, dtype=int))
    >>> chosen = Herding(n_labels=2).select(X, NoClustering().fit(X, seed=0), nothing, n=None, seed=0)
    >>> X[chosen].ravel().tolist()
    [0.1, 5.1]
    """

    width: float = param(1.0, gt=0)
    max_candidates: int = param(10_000, ge=1)
    name: ClassVar[str] = "herding"

    def select(self, X: Array, clustering: Clustering, answers: Answers, n: int | None, seed: int) -> Array:
        """See `Selection.select`. Clusters are ignored.

        Raises
        ------
        ConfigError
            There are fewer points than labels.
        """
        n_points, twin = clustering.labels.shape[0], backend.of(clustering.labels)
        if n is None:
            self.check_size(n_points)
        others = unanswered(n_points, answers)
        n_next = min(self.n_next(answers, n), len(others))
        if n_next == 0:
            return like(others[:0], clustering)
        xp, rng = array_namespace(clustering.labels), seeds.generator(seed, "herding")
        sample = rng.permutation(others)[: max(self.max_candidates, n_next)]  # in random order: so ties are broken
        given = twin.to_numpy(answers.indices)
        points = centred(xp.take(X, placed_like(np.concatenate([given, sample]), X), axis=0))
        known, points = points[: len(given), :], points[len(given) :, :]
        kernel = gaussian(self.width * spread(points, len(given) + n_next))
        doubt = np.ones(len(sample)) if answers.doubt is None else twin.to_numpy(answers.doubt)[sample]
        weights = xp.astype(placed_like(doubt, points), points.dtype)
        chosen = herd(points, weights, similarity(points, known, kernel), n_next, kernel)
        return like(np.sort(sample[chosen]), clustering)


def gaussian(squared_width: float) -> Kernel:
    """Return the Gaussian kernel; points in the same place are alike at a width of 0.

    >>> gaussian(4.0)(np.array([0.0, 4.0])).round(3).tolist()
    [1.0, 0.368]
    """

    def kernel(squared: Array) -> Array:
        return array_namespace(squared).exp(-squared / max(squared_width, 1e-30))

    return kernel


def spread(points: Array, n: int) -> float:
    """Return the mean squared distance of (m, d) points in random order to the nearest of the first n.

    Examples
    --------
    >>> points = np.array([[0.0], [10.0], [2.0], [12.0]])
    >>> spread(points, 2)
    2.0
    """
    some = points[: min(points.shape[0], SPREAD), :]
    return float(array_namespace(points).mean(nearest(some, some[: min(n, some.shape[0], MOST_SPREAD), :])))


def nearest(points: Array, others: Array) -> Array:
    """Return the squared distance (m,) of each of (m, d) points to the nearest of (k, d) others.

    >>> nearest(np.array([[0.0], [2.0]]), np.array([[0.0], [3.0]])).tolist()
    [0.0, 1.0]
    """
    xp, norms, of_others = array_namespace(points), squared_norms(points), squared_norms(others)
    blocks = (
        xp.min(squared_distances(points[rows, :], others, norms[rows], of_others), axis=1)
        for rows in row_blocks(points.shape[0], others.shape[0] * itemsize(points))
    )
    return xp.concat(list(blocks))


def similarity(points: Array, others: Array, kernel: Kernel) -> Array:
    """Return the similarity (m,) of each of (m, d) points to the nearest of (k, d) others; 0 if there are none.

    >>> similarity(np.array([[0.0], [1.0]]), np.array([[0.0]]), gaussian(1.0)).round(2).tolist()
    [1.0, 0.37]
    """
    if others.shape[0] == 0:
        return array_namespace(points).zeros_like(points[:, 0])
    return kernel(nearest(points, others))


def herd(points: Array, weights: Array, covered: Array, n: int, kernel: Kernel) -> np.ndarray:
    """Choose n of (m, d) points: each time, the one that adds most to the weighted sum of similarities.

    Parameters
    ----------
    weights : (m,) array
        How much each point counts.
    covered : (m,) array
        The similarity of each point to the nearest one that is chosen already.
    kernel : callable
        Its values must not rise with the distance.

    Returns
    -------
    (n,) int array
        Distinct places in the order chosen, on the host; ties go to the first.

    References
    ----------
    Minoux, "Accelerated greedy algorithms for maximizing submodular set functions", 1978: the lazy evaluation.

    Examples
    --------
    >>> points = np.array([[0.0], [1.0], [2.0], [9.0]])
    >>> herd(points, np.ones(4), np.zeros(4), 2, gaussian(2.0)).tolist()
    [1, 3]
    """
    xp, twin, norms = array_namespace(points), backend.of(points), squared_norms(points)
    m = points.shape[0]

    def alike(places: Array) -> Array:
        """(k, m): the similarities of some points to all."""
        of_these = xp.take(points, places, axis=0), xp.take(norms, places)
        return kernel(squared_distances(of_these[0], points, of_these[1], norms))

    def gains_of(places: np.ndarray) -> np.ndarray:
        found = xp.maximum(alike(placed_like(places, points)) - covered[None, :], 0.0) @ weights
        return twin.to_numpy(found)

    blocks = row_blocks(m, 3 * m * itemsize(points))
    bounds = np.concatenate([gains_of(np.arange(rows.start, rows.stop)) for rows in blocks]).astype(np.float64)
    is_fresh, chosen = np.ones(m, dtype=bool), np.empty(n, dtype=np.int64)
    for number in range(n):
        while not is_fresh[best := int(np.argmax(bounds))]:
            stale = np.where(is_fresh, -np.inf, bounds)
            some = np.sort(np.argpartition(-stale, min(AT_ONCE, m) - 1)[:AT_ONCE])
            some = some[~is_fresh[some]]
            bounds[some], is_fresh[some] = gains_of(some), True
        chosen[number] = best
        covered = xp.maximum(covered, alike(placed_like(np.array([best]), points))[0, :])
        bounds[best], is_fresh[:] = -np.inf, False
        is_fresh[chosen[: number + 1]] = True
    return chosen
