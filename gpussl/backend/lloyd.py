"""Lloyd's algorithm on the CPU: no distance that cannot have changed, and many starts in one short matrix product."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from gpussl.backend.blocks import Centred, OnThreads, map_on_threads, row_slices
from gpussl.backend.projection import Projection
from gpussl.numeric.arrays import squared_norms
from gpussl.records import OnProgress

BLOCK_ROWS = 1024
FEW_CLUSTERS = 32  # so few that starts share a matrix product
COLUMNS = 640  # of such a product
SUMMED_ROWS = 512  # at once
BATCH_BYTES = 256 * 2**20  # of what several starts know of each point


@dataclass(eq=False)
class Fit:
    """One start on its way, and where it ended.

    Attributes
    ----------
    centroids : (k, d) array
    labels : (n,) int32 array
        The cluster of each point; -1 at the start.
    scores : (n,) array
        The squared distance of each point to the centroid of its cluster, less the squared norm of the point. Not kept
        where several starts share a product.
    sums, counts : (k, d) float64 array, (k,) int array
        Of the points of each cluster.
    moved : (k,) bool array
        Which centroids have moved since points were compared with them.
    inertia : float
        Known at the end.
    n_iter : int
    is_done : bool
    """

    centroids: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    sums: np.ndarray
    counts: np.ndarray
    moved: np.ndarray
    inertia: float = np.inf
    n_iter: int = 0
    is_done: bool = False

    @classmethod
    def begin(cls, centroids: np.ndarray, n: int) -> "Fit":
        k = len(centroids)
        return cls(
            centroids=centroids.copy(),
            labels=np.full(n, -1, dtype=np.int32),
            scores=np.zeros(n, dtype=centroids.dtype),
            sums=np.zeros(centroids.shape),
            counts=np.zeros(k, dtype=np.int64),
            moved=np.ones(k, dtype=bool),
        )


def lloyd(
    X: np.ndarray, starts: np.ndarray, max_iter: int, tol: float, on_progress: OnProgress | None = None
) -> tuple[np.ndarray, np.ndarray, float, int]:
    """Lloyd's algorithm on (n, d) points from each of (m, k, d) starts: the end with the least inertia.

    It ends when no point changes its cluster, when the squared shifts of the centroids sum to no more than `tol` times
    the mean variance of the features, or after `max_iter` iterations. A cluster that has lost all its points gets the
    point farthest from its centroid, unless that is nearer than the same tolerance.

    A centroid moves only where its cluster has gained or lost points, so a point whose own centroid has not moved is
    compared with those that have, and no others: the clusters are those of the plain algorithm, for a third of the
    distances where there are many clusters. What comes out does not depend on the number of threads.

    Returns
    -------
    centroids : (k, d) array
    labels : (n,) int32 array
    inertia : float
    n_iter : int

    References
    ----------
    Lloyd, "Least squares quantization in PCM", IEEE Transactions on Information Theory, 1982.
    """
    m, k, d = starts.shape
    points = Centred(X)
    norms = points.squared_norms(BLOCK_ROWS)
    tolerance = tol * norms.mean(dtype=np.float64) / d
    is_shared = k <= FEW_CLUSTERS and d * d <= m * len(X)  # else the principal axes would cost more than they spare
    batch = max(1, min(m, COLUMNS // k, BATCH_BYTES // (16 * len(X)))) if is_shared else 1
    best: list[Fit] = []
    with map_on_threads() as on_threads:
        projection = Projection(points, norms, on_threads) if batch > 1 else None
        for first in range(0, m, batch):
            fits = [Fit.begin(start - points.mean, len(X)) for start in starts[first : first + batch]]
            for n_iter in range(1, max_iter + 1):
                running = [fit for fit in fits if not fit.is_done]
                if not running:
                    break
                labels = _assign(points, projection, running, on_threads)
                on_threads(lambda fit, found: _step(points, fit, found, tolerance), running, labels)
                if on_progress is not None:
                    on_progress(first + sum(fit.is_done for fit in fits), m, f"iteration {n_iter}")
            labels = _assign(points, projection, fits, on_threads)  # to where the centroids have moved last
            for fit, found in zip(fits, labels, strict=True):
                fit.labels = found
                blocks = row_slices(len(X), BLOCK_ROWS)
                fit.inertia = sum(on_threads(lambda rows, fit=fit: _inertia(points, fit, rows), blocks))
            best = [min(best + fits, key=lambda fit: fit.inertia)]
            if on_progress is not None:
                on_progress(first + len(fits), m, f"least inertia {best[0].inertia:,.0f}")
    (fit,) = best
    return fit.centroids + points.mean, fit.labels, fit.inertia, fit.n_iter


def _assign(X: Centred, projection: Projection | None, fits: list[Fit], on_threads: OnThreads) -> list[np.ndarray]:
    """The nearest centroid (n,) of each point, for each fit."""
    if projection is None:
        return [_assign_alone(X, fit, on_threads) for fit in fits]
    return _assign_together(X, projection, fits, on_threads)


def _assign_alone(X: Centred, fit: Fit, on_threads: OnThreads) -> np.ndarray:
    """Points whose own centroid has moved are compared with all, the others with those that have moved."""
    labels, scores = fit.labels.copy(), fit.scores
    moved = np.flatnonzero(fit.moved)
    if len(moved) == 0:
        return labels
    offsets = _offsets(X, fit.centroids)
    moved_centroids, moved_offsets = fit.centroids[moved], offsets[moved]

    def work(rows: slice) -> None:
        block, block_labels, block_scores = X.as_they_are(rows), labels[rows], scores[rows]
        anew = fit.moved[block_labels]  # all of them at the start, when all have moved
        which, nearest = _nearest(block[anew], fit.centroids, offsets)
        block_labels[anew], block_scores[anew] = which, nearest
        which, nearest = _nearest(block[~anew], moved_centroids, moved_offsets)
        others = np.flatnonzero(~anew)
        closer = nearest < block_scores[others]
        block_labels[others[closer]], block_scores[others[closer]] = moved[which[closer]], nearest[closer]

    on_threads(work, row_slices(len(X), BLOCK_ROWS))
    return labels


def _assign_together(X: Centred, projection: Projection, fits: list[Fit], on_threads: OnThreads) -> list[np.ndarray]:
    """All points are compared with the few centroids of all fits at once, by what the projection shows of them.

    Where that leaves a doubt which is the nearest, they are compared in full.
    """
    labels, doubts = projection.nearest(np.stack([fit.centroids for fit in fits]), on_threads)

    def settle(fit: Fit, found: np.ndarray, is_doubtful: np.ndarray) -> None:
        offsets, rows = squared_norms(fit.centroids) / 2, np.flatnonzero(is_doubtful)
        for part in row_slices(len(rows), BLOCK_ROWS):
            found[rows[part]], _ = _nearest(X[rows[part]], fit.centroids, offsets)

    on_threads(settle, fits, labels, doubts)
    return list(labels)


def _offsets(X: Centred, centroids: np.ndarray) -> np.ndarray:
    """What is to be taken from the product of a point, not centred, and a centroid, centred: minus half the score."""
    return 0.5 * squared_norms(centroids) + centroids @ X.mean


def _nearest(X: np.ndarray, centroids: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of (m, d) points: which of (k, d) centroids is the nearest (m,), and the score of that (m,)."""
    products = X @ centroids.T
    products -= offsets
    which = np.argmax(products, axis=1)
    return which, -2 * products[np.arange(len(X)), which]


def _inertia(X: Centred, fit: Fit, rows: slice) -> float:
    """Of some rows, from the differences themselves: the scores lose digits where norms are large."""
    return float(np.sum(_squared_distances(X, fit.centroids, fit.labels, rows), dtype=np.float64))


def _squared_distances(X: Centred, centroids: np.ndarray, labels: np.ndarray, rows: slice) -> np.ndarray:
    """Of some rows, to the centroids that `labels` (n,) names."""
    return squared_norms(X[rows] - centroids[labels[rows]])


def _step(X: Centred, fit: Fit, labels: np.ndarray, tolerance: float) -> None:
    """Move the centroids to the means of the clusters by `labels` (n,)."""
    changed = np.flatnonzero(labels != fit.labels)
    if not (fit.counts + _gains(fit, changed, labels)).all():
        _relocate(X, fit, labels, tolerance)
        changed = np.flatnonzero(labels != fit.labels)
    fit.counts += _gains(fit, changed, labels)
    clusters = _add(X, fit, changed, labels)
    fit.labels, fit.moved = labels, np.zeros(len(fit.counts), dtype=bool)
    clusters = clusters[fit.counts[clusters] > 0]
    means = (fit.sums[clusters] / fit.counts[clusters, None]).astype(fit.centroids.dtype)
    shift = np.sum((means - fit.centroids[clusters]) ** 2, dtype=np.float64)
    fit.centroids[clusters], fit.moved[clusters] = means, True
    fit.n_iter += 1
    fit.is_done = bool(shift <= tolerance)


def _gains(fit: Fit, changed: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many points each cluster has more (k,) once those at `changed` (m,) have their new clusters."""
    k, lost = len(fit.counts), fit.labels[changed]
    return np.bincount(labels[changed], minlength=k) - np.bincount(lost[lost >= 0], minlength=k)


def _relocate(X: Centred, fit: Fit, labels: np.ndarray, tolerance: float) -> None:
    """Give each cluster without points the one that is farthest from its centroid, in `labels`."""
    empty = np.flatnonzero(np.bincount(labels, minlength=len(fit.counts)) == 0)
    blocks = row_slices(len(X), BLOCK_ROWS)
    squared = np.concatenate([_squared_distances(X, fit.centroids, labels, rows) for rows in blocks])
    farthest = np.argsort(-squared, kind="stable")[: len(empty)]
    farthest = farthest[squared[farthest] > tolerance]
    labels[farthest] = empty[: len(farthest)]


def _add(X: Centred, fit: Fit, changed: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Move the points at `changed` (m,) to their new clusters in the sums: the clusters that are others now."""
    gained, lost = labels[changed], fit.labels[changed]
    had = lost >= 0
    for first in range(0, len(changed), SUMMED_ROWS):
        part = slice(first, first + SUMMED_ROWS)
        points = np.arange(len(changed[part]))
        names, rows = np.unique(np.concatenate([gained[part], lost[part][had[part]]]), return_inverse=True)
        columns = np.concatenate([points, points[had[part]]])
        signs = np.where(np.arange(len(rows)) < len(points), 1.0, -1.0)  # so that they are added in double
        fit.sums[names] += csr_array((signs, (rows, columns)), shape=(len(names), len(points))) @ X[changed[part]]
    return np.unique(np.concatenate([gained, lost[had]]))
