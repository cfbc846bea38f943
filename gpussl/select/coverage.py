"""Select points whose neighbourhoods cover the data."""

from bisect import bisect_left
from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace, device

from gpussl import seeds
from gpussl.errors import ConfigError
from gpussl.numeric.arrays import arange_like, centred, itemsize, row_blocks, squared_distances, squared_norms
from gpussl.records import Answers, Array, Clustering
from gpussl.runtime.params import param
from gpussl.select.checks import Budget, like, unanswered

PROBES = 256  # points that sample the distances: 2 million for 8,000 candidates
GRID = 128  # radii considered; bisection tries seven


@dataclass(frozen=True)
class Coverage(Budget):
    """Select points whose balls cover the data: each time, the point whose ball holds most points not yet covered.

    Both the points and the covered data come from a random sample. Its distance table takes four times the square of
    `max_candidates` bytes in single precision. Ties are broken at random, as are labels left once all points are
    covered.

    All balls share one radius, which needs no labels: the smallest radius with which `n_labels` balls cover the share
    `coverage` of the sample. With fewer labels, each must stand for more points. A bisection finds the radius among
    `GRID` quantiles of the pairwise distances, at geometrically spaced levels.

    Parameters
    ----------
    coverage : float
        Well below 1, so that neither outliers nor gaps between dense regions determine the radius. 0.7 did well with 20
        to 300 labels on the training images of the digits, MNIST and Fashion-MNIST.
    max_candidates : int
        Sample size.

    References
    ----------
    Yehuda, Dekel, Hacohen, Weinshall, "Active learning through a covering lens", NeurIPS 2022: the greedy cover. There,
    the purity of the balls under pseudo-labels determines the radius.

    Examples
    --------
    >>> from gpussl.cluster.none import NoClustering
    >>> X = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])  # two dense regions
    >>> nothing = Answers(np.zeros(0, dtype=int), np.zeros(0, dtype=int))
    >>> chosen = Coverage(n_labels=2, coverage=1.0).select(X, NoClustering().fit(X, seed=0), nothing, n=None, seed=0)
    >>> X[chosen].ravel().tolist()
    [0.1, 5.1]
    """

    coverage: float = param(0.7, gt=0, le=1)
    max_candidates: int = param(8000, ge=1)
    name: ClassVar[str] = "coverage"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_candidates < self.n_labels:
            raise ConfigError(
                f"max_candidates: expected at least n_labels, {self.n_labels}, found {self.max_candidates}; ten "
                "times as many are better"
            )

    def select(self, X: Array, clustering: Clustering, answers: Answers, n: int | None, seed: int) -> Array:
        """Return the points that cover most of the data not yet covered by the answered points; clusters are ignored.

        Raises
        ------
        ConfigError
            There are fewer points than labels.
        """
        n_points, xp = clustering.labels.shape[0], array_namespace(clustering.labels)
        if n is None:
            self.check_size(n_points)
        others = unanswered(n_points, answers)
        n_next = min(self.n_next(answers, n), len(others))
        if n_next == 0:
            return like(others[:0], clustering)
        sample = seeds.generator(seed, "coverage").choice(
            len(others), size=min(len(others), max(self.max_candidates, n_next)), replace=False
        )
        candidates = xp.concat([answers.indices, like(others[sample], clustering)])  # the others in random order
        table = distance_table(xp.take(X, candidates, axis=0))
        n_balls, n_given = len(answers) + n_next, len(answers)
        radius = choose_radius(table, n_balls, self.coverage)
        chosen, _ = cover(table, radius, n_balls, given=n_given)
        return xp.sort(xp.take(candidates, xp.asarray(chosen[n_given:], dtype=xp.int64, device=device(candidates))))


def distance_table(points: Array) -> Array:
    """Compute all squared distances between (m, d) points: (m, m), with an exact 0 on the diagonal.

    >>> distance_table(np.array([[0.0, 0.0], [3.0, 4.0]])).tolist()
    [[0.0, 25.0], [25.0, 0.0]]
    """
    xp, m = array_namespace(points), points.shape[0]
    points = centred(points)
    norms, names = squared_norms(points), arange_like(m, points)
    table = xp.zeros((m, m), dtype=points.dtype, device=device(points))
    for rows in row_blocks(m, m * itemsize(points)):
        block = squared_distances(points[rows, :], points, norms[rows], norms)
        table[rows, :] = xp.where(names[rows][:, None] == names[None, :], 0.0, block)
    return table


def choose_radius(table: Array, n_balls: int, share: float) -> float:
    """Find the smallest squared radius considered with which `n_balls` greedy balls cover a share of the points.

    Greedy coverage need not grow with the radius. Strictly, this finds a radius that suffices while the next smaller
    one does not; the largest one considered if bisection finds none that suffices. The points must be in random order.

    Parameters
    ----------
    table : (m, m) array
        Squared distances.

    Examples
    --------
    >>> table = distance_table(np.array([[0.0], [10.0], [1.0], [11.0]]))
    >>> choose_radius(table, n_balls=2, share=1.0)
    1.0
    """
    enough, radii = ceil(share * table.shape[0]), radii_to_try(table)

    def is_covered(place: int) -> bool:
        return cover(table, radii[place], n_balls, enough)[1] >= enough

    return radii[bisect_left(range(len(radii) - 1), True, key=is_covered)]


def radii_to_try(table: Array) -> list[float]:
    """List at most `GRID` distinct quantiles of the squared distances, ascending; the points must be in random order.

    >>> radii_to_try(distance_table(np.array([[0.0], [10.0], [1.0], [11.0]])))
    [1.0, 81.0, 121.0]
    """
    xp, m = array_namespace(table), table.shape[0]
    n_probes = min(PROBES, m // 2)
    if n_probes == 0:
        return [0.0]
    distances = xp.sort(xp.reshape(table[:n_probes, n_probes:], (-1,)), stable=False)  # no self-distances
    ranks = np.unique(np.geomspace(1, distances.shape[0], GRID).astype(np.int64)) - 1
    return sorted({float(distances[int(rank)]) for rank in ranks})


def cover(
    table: Array, radius: float, n_balls: int, enough: int | None = None, given: int = 0
) -> tuple[list[int], int]:
    """Cover points with greedy balls: `n_balls` times, take the point whose ball holds most points not yet covered.

    Parameters
    ----------
    table : (m, m) array
        Squared distances.
    radius : float
        Squared radius.
    enough : int, optional
        Stop when this many points are covered.
    given : int
        The first `given` points are chosen in any case.

    Returns
    -------
    chosen : list of int
        Distinct points in the order chosen, ties to the first.
    n_covered : int

    Examples
    --------
    >>> cover(distance_table(np.array([[0.0], [1.0], [2.0], [9.0]])), radius=1.0, n_balls=2)
    ([1, 3], 4)
    """
    xp, m = array_namespace(table), table.shape[0]
    names = arange_like(m, table)
    gains, is_covered, chosen, n_covered = _count_within(table, names, radius), names < 0, [], 0
    for number in range(n_balls):
        best = number if number < given else int(xp.argmax(gains))
        new = xp.nonzero((table[best, :] <= radius) & ~is_covered)[0]
        is_covered = is_covered | (table[best, :] <= radius)
        gains = xp.where(names == best, -xp.inf, gains - _count_within(table, new, radius))
        chosen.append(best)
        n_covered += new.shape[0]
        if enough is not None and n_covered >= enough:
            break
    return chosen, n_covered


def _count_within(table: Array, of: Array, radius: float) -> Array:
    """Count, for each point (m,), the points at `of` (r,) within the radius; float32, exact up to 2**24."""
    xp, m = array_namespace(table), table.shape[0]
    counts = xp.zeros((m,), dtype=xp.float32, device=device(table))
    for rows in row_blocks(of.shape[0], 2 * m * itemsize(table)):
        within = xp.take(table, of[rows], axis=0) <= radius
        counts = counts + xp.sum(xp.astype(within, xp.float32), axis=0)
    return counts
