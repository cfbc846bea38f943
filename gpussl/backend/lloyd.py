"""Lloyd's algorithm on the CPU, without the distances that cannot have changed; starts share matrix products."""

from dataclasses import dataclass

import numpy as np

from gpussl.backend.blocks import Centred, OnThreads, map_on_threads, row_slices
from gpussl.backend.projection import Projection
from gpussl.numeric.arrays import squared_norms
from gpussl.records import OnProgress

BLOCK_ROWS = 1024  # per matrix product, so that its result stays in the cache
FEW_CLUSTERS = 32  # up to this many, one start makes too narrow a matrix product, so starts share one
COLUMNS = 640  # of a shared product
SUMMED_ROWS = 512  # added to the sums at a time
BATCH_BYTES = 256 * 2**20  # per-point arrays of the starts that share a product


@dataclass(eq=False)
class Fit:
    """The state of one start, and its result.

    Attributes
    ----------
    centroids : (k, d) array
    labels : (n,) int32 array
        The cluster of each point; -1 before the first iteration.
    scores : (n,) array
        The squared distance of each point to its centroid, minus the squared norm of the point. Not kept if several
        starts share a product.
    sums, counts : (k, d) float64 array, (k,) int array
        Sum and number of the points in each cluster.
    moved : (k,) bool array
        Which centroids have moved since they were last compared with the points.
    inertia : float
        Known at the end.
    n_iter : int
    is_done : bool

    Examples
    --------
    >>> fit = Fit.begin(np.zeros((2, 1)), n=3)
    >>> fit.labels.tolist(), fit.moved.tolist()
    ([-1, -1, -1], [True, True])
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
    """Run Lloyd's algorithm on (n, d) points from each of (m, k, d) starts, and return the result of least inertia.

    A start ends when no point changes its cluster, when the squared shifts of the centroids sum to no more than `tol`
    times the mean variance of the features, or after `max_iter` iterations. An empty cluster gets the point farthest
    from its centroid, unless the squared distance is within the same tolerance.

    A centroid moves only if its cluster has gained or lost points. A point whose own centroid has not moved is
    therefore compared only with the centroids that have: the clusters are those of the plain algorithm, and with many
    clusters a third of the distances suffices. The result does not depend on the number of threads.

    Returns
    -------
    centroids : (k, d) array
    labels : (n,) int32 array
    inertia : float
    n_iter : int

    References
    ----------
    Lloyd, "Least squares quantization in PCM", IEEE Transactions on Information Theory, 1982.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [9.0], [10.0]])
    >>> centroids, labels, inertia, n_iter = lloyd(X, X[None, :2], max_iter=10, tol=1e-4)
    >>> centroids.tolist(), labels.tolist(), inertia
    ([[0.5], [9.5]], [0, 0, 1, 1], 1.0)
    """
    m, k, d = starts.shape
    points = Centred(X)
    norms = points.squared_norms(BLOCK_ROWS)
    tolerance = tol * norms.mean(dtype=np.float64) / d
    is_shared = k <= FEW_CLUSTERS and d * d <= m * len(X)  # else computing principal axes does not pay
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
            labels = _assign(points, projection, fits, on_threads)  # the centroids moved after the last assignment
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
    """Find the nearest centroid (n,) of each point, for each fit."""
    if projection is None:
        return [_assign_alone(X, fit, on_threads) for fit in fits]
    return _assign_together(X, projection, fits, on_threads)


def _assign_alone(X: Centred, fit: Fit, on_threads: OnThreads) -> np.ndarray:
    """Compare points whose centroid moved with all centroids, and the others only with the moved centroids."""
    labels, scores = fit.labels.copy(), fit.scores
    moved = np.flatnonzero(fit.moved)
    if len(moved) == 0:
        return labels
    offsets = _offsets(X, fit.centroids)
    moved_centroids, moved_offsets = fit.centroids[moved], offsets[moved]

    def work(rows: slice) -> None:
        block, block_labels, block_scores = X.as_they_are(rows), labels[rows], scores[rows]
        anew = fit.moved[block_labels]  # label -1, before the first iteration, reads True: all have moved
        which, nearest = _nearest(block[anew], fit.centroids, offsets)
        block_labels[anew], block_scores[anew] = which, nearest
        which, nearest = _nearest(block[~anew], moved_centroids, moved_offsets)
        others = np.flatnonzero(~anew)
        closer = nearest < block_scores[others]
        block_labels[others[closer]], block_scores[others[closer]] = moved[which[closer]], nearest[closer]

    on_threads(work, row_slices(len(X), BLOCK_ROWS))
    return labels


def _assign_together(X: Centred, projection: Projection, fits: list[Fit], on_threads: OnThreads) -> list[np.ndarray]:
    """Compare all points with the few centroids of all fits at once, by their projections.

    Where the projection leaves the nearest centroid in doubt, compare in full.
    """
    labels, doubts = projection.nearest(np.stack([fit.centroids for fit in fits]), on_threads)

    def settle(fit: Fit, found: np.ndarray, is_doubtful: np.ndarray) -> None:
        offsets, rows = squared_norms(fit.centroids) / 2, np.flatnonzero(is_doubtful)
        for part in row_slices(len(rows), BLOCK_ROWS):
            found[rows[part]], _ = _nearest(X[rows[part]], fit.centroids, offsets)

    on_threads(settle, fits, labels, doubts)
    return list(labels)


def _offsets(X: Centred, centroids: np.ndarray) -> np.ndarray:
    """Compute offsets (k,): the product of a raw point and a centred centroid, minus the offset, is -score / 2."""
    return 0.5 * squared_norms(centroids) + centroids @ X.mean


def _nearest(X: np.ndarray, centroids: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest of (k, d) centroids to each of (m, d) points: its position (m,) and its score (m,)."""
    products = X @ centroids.T
    products -= offsets
    which = np.argmax(products, axis=1)
    return which, -2 * products[np.arange(len(X)), which]


def _inertia(X: Centred, fit: Fit, rows: slice) -> float:
    """Sum the squared distances of some rows, from differences: scores lose digits where norms are large."""
    return float(np.sum(_squared_distances(X, fit.centroids, fit.labels, rows), dtype=np.float64))


def _squared_distances(X: Centred, centroids: np.ndarray, labels: np.ndarray, rows: slice) -> np.ndarray:
    """Compute the squared distances of some rows to the centroids of their `labels` (n,)."""
    return squared_norms(X[rows] - centroids[labels[rows]])


def _step(X: Centred, fit: Fit, labels: np.ndarray, tolerance: float) -> None:
    """Move the centroids to the means of the clusters given by `labels` (n,)."""
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
    """Count the points (k,) that each cluster gains, net, once the points at `changed` (m,) have their new labels."""
    k, lost = len(fit.counts), fit.labels[changed]
    return np.bincount(labels[changed], minlength=k) - np.bincount(lost[lost >= 0], minlength=k)


def _relocate(X: Centred, fit: Fit, labels: np.ndarray, tolerance: float) -> None:
    """Give each empty cluster the point farthest from its centroid, by changing `labels`."""
    empty = np.flatnonzero(np.bincount(labels, minlength=len(fit.counts)) == 0)
    blocks = row_slices(len(X), BLOCK_ROWS)
    squared = np.concatenate([_squared_distances(X, fit.centroids, labels, rows) for rows in blocks])
    farthest = np.argsort(-squared, kind="stable")[: len(empty)]
    farthest = farthest[squared[farthest] > tolerance]
    labels[farthest] = empty[: len(farthest)]


def _add(X: Centred, fit: Fit, changed: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Move the points at `changed` (m,) to their new clusters in the sums; return the clusters affected."""
    from scipy.sparse import csr_array  # late: whoever does not cluster does not wait for it

    gained, lost = labels[changed], fit.labels[changed]
    had = lost >= 0
    for first in range(0, len(changed), SUMMED_ROWS):
        part = slice(first, first + SUMMED_ROWS)
        points = np.arange(len(changed[part]))
        names, rows = np.unique(np.concatenate([gained[part], lost[part][had[part]]]), return_inverse=True)
        columns = np.concatenate([points, points[had[part]]])
        signs = np.where(np.arange(len(rows)) < len(points), 1.0, -1.0)  # float64, so the sums are too
        fit.sums[names] += csr_array((signs, (rows, columns)), shape=(len(names), len(points))) @ X[changed[part]]
    return np.unique(np.concatenate([gained, lost[had]]))
