"""CuPy and cuML, under the names that `cpu` binds to NumPy and scikit-learn.

The only file that imports them. Importing it raises ImportError where there is no usable GPU, so that whoever wants it
learns so at once and not in the middle of a fit.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import cupy
import numpy as np

from gpussl.backend import kernels, logistic, seeding
from gpussl.backend.ranking import rank, search_in_double
from gpussl.numeric.arrays import mean_row, squared_distances, squared_norms
from gpussl.records import Array, OnProgress

if not cupy.is_available():
    raise ImportError("CuPy sees no CUDA device")

import rmm
from cuml.cluster import HDBSCAN, KMeans  # importing cuML needs a GPU
from cuml.manifold import UMAP
from cuml.neighbors import NearestNeighbors
from cupyx.scipy import sparse


def _allocate(size: int) -> Any:
    """Memory from CuPy's pool, in which blocks that are kept for later count against the limit."""
    pool = cupy.get_default_memory_pool()
    try:
        return pool.malloc(size)
    except MemoryError:
        pool.free_all_blocks()
        return pool.malloc(size)


# Importing cuML gives CuPy an allocator that asks CUDA for each array. CuPy's own pool takes half the time of it where
# arrays are many and small; what cuML asks for itself comes from CUDA's pool.
rmm.mr.set_current_device_resource(rmm.mr.CudaAsyncMemoryResource())
cupy.cuda.set_allocator(_allocate)

__all__ = [
    "DEVICE", "HDBSCAN", "HDBSCAN_COUNTS_ITSELF", "LogisticRegression",
    "asarray", "bincount", "device_name", "greedy_kmeans_plusplus", "kmeans", "memory", "nearest_neighbors", "release",
    "room", "sparse", "synchronize", "to_numpy", "umap",
]  # fmt: skip

DEVICE = "cuda"  # as PyTorch and XGBoost call it
HDBSCAN_COUNTS_ITSELF = False  # whether a point is one of its own min_samples neighbours
SPARE = 4  # neighbours more than are asked for, all of which are compared in double
RANKED_BYTES = 2**28  # of the differences that are compared at once, or less where less is free
BLOCKS_IN_FREE = 16  # such blocks that fit into what is free: a few arrays are as large for a moment
SUMMED_ROWS = 2**14  # whose slopes are summed in single precision: more would lose digits
ROUNDING = 16  # an error of a squared distance at most, in units of the last digit of the largest squared norms

_count = cupy.ElementwiseKernel("S x", "raw int64 counts", "atomicAdd((unsigned long long*)&counts[x], 1ull)", "count")
_greedy_seeds = cupy.RawKernel(kernels.GREEDY_SEEDS, "greedy_seeds")


class LogisticRegression(logistic.LogisticRegression):
    """The CPU's, with the sums made on the GPU. cuML's own heeds no weights where there are more than two classes."""

    @staticmethod
    def _to_host(X: Array) -> np.ndarray:
        return to_numpy(X)

    @contextlib.contextmanager
    def _adding(self, X: Array, y: Array, sample_weight: Array | None) -> Iterator[logistic.Add]:
        def add(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            everything = slice(0, X.shape[0])
            loss, slopes = logistic.add_blocks(X, y, sample_weight, everything, asarray(parameters), SUMMED_ROWS)
            return float(loss), to_numpy(slopes)

        yield add


def asarray(X: Array) -> Array:
    """`X` as an array of this device."""
    return cupy.asarray(X)


def to_numpy(X: Array) -> np.ndarray:
    """`X` as an array of the host."""
    return cupy.asnumpy(X)


def bincount(x: Array, n: int) -> Array:
    """How often each of the whole numbers from 0 to n - 1 occurs in `x` (m,), which has no others: (n,) int64."""
    counts = cupy.zeros(n, dtype=cupy.int64)
    _count(x, counts)  # CuPy's own asks first whether any number is another, and waits for the answer
    return counts


def greedy_kmeans_plusplus(points: Array, weights: Array, draws: Array) -> Array:
    """Indices (k,) of weighted points (m, d), each the best of t drawn by weight times squared distance to the others.

    The best leaves the smallest weighted sum of squared distances. `draws` (k, t) are random numbers from 0 to 1.
    """
    m, (n_clusters, n_trials) = points.shape[0], draws.shape
    fits = m <= kernels.MAX_POINTS and n_trials <= kernels.MAX_TRIALS and points.dtype == weights.dtype == cupy.float32
    if not (fits and seeding.table_pays(m, n_clusters)):
        return seeding.greedy_seeds(points, weights, draws)
    norms = squared_norms(points)
    table, chosen = squared_distances(points, points, norms, norms), cupy.empty(n_clusters, dtype=cupy.int64)
    sizes = np.int32(m), np.int32(n_clusters), np.int32(n_trials)
    draws = cupy.ascontiguousarray(draws, dtype=cupy.float64)
    _greedy_seeds((1,), (1024,), (table, cupy.ascontiguousarray(weights), draws, chosen, *sizes))
    return chosen


def kmeans(
    X: Array, starts: Array, max_iter: int, tol: float, on_progress: OnProgress | None = None
) -> tuple[Array, Array, int]:
    """Lloyd's algorithm on (n, d) points from each of (m, k, d) starts, and where that with the least inertia ends.

    That is its centroids (k, d), the cluster of each point (n,), and the iterations. `tol` is a share of the mean
    variance of the features, as on the CPU; cuML, which takes it absolutely, stops too when the inertia falls by a
    smaller share than that.
    """
    mean = mean_row(X).astype(X.dtype)
    X = X - mean
    tolerance = tol * float(squared_norms(X).mean(dtype=cupy.float64)) / X.shape[1]
    tolerance = max(tolerance, float(np.finfo(np.float32).tiny))  # where all points are one: cuML refuses nought
    best: KMeans | None = None
    for number in range(len(starts)):
        start = starts[number] - mean
        fitted = KMeans(n_clusters=len(start), init=start, n_init=1, max_iter=max_iter, tol=tolerance).fit(X)
        if best is None or float(fitted.inertia_) < float(best.inertia_):
            best = fitted
        if on_progress is not None:
            on_progress(number + 1, len(starts), f"least inertia {float(best.inertia_):,.0f}")
    assert best is not None  # noqa: S101 - for the type checker: there is a start
    return best.cluster_centers_ + mean, best.labels_, int(best.n_iter_)


def nearest_neighbors(X: Array, queries: Array, k: int, ties_by_index: bool = False) -> tuple[Array, Array]:
    """The k nearest of (n, d) points to each of (m, d) queries, the nearest first: indices and distances, each (m, k).

    A query that is one of the points is found like any other; ties come in any order, or by index. cuML's distances
    come of norms and products in single precision, so it is asked for a few more, which are compared in double; where
    one may have escaped it even so, all points are.
    """
    n, mean = X.shape[0], mean_row(X).astype(X.dtype)
    points = X - mean
    shifted = points if queries is X else queries - mean
    n_asked = min(k + SPARE, n)
    found, candidates = NearestNeighbors(n_neighbors=n_asked, algorithm="brute").fit(points).kneighbors(shifted)
    block_bytes = max(1, min(RANKED_BYTES, _free() // BLOCKS_IN_FREE))
    indices, squared = rank(X, queries, candidates, n_asked, block_bytes)
    if n_asked < n:
        found = cupy.sort(found, axis=1).astype(cupy.float64) ** 2
        norms = squared_norms(points).max() + squared_norms(shifted)
        error = cupy.maximum(ROUNDING * np.finfo(np.float32).eps * norms, 4 * cupy.abs(found - squared).max())
        doubtful = cupy.flatnonzero(~(squared[:, k - 1] < found[:, -1] - error))
        if len(doubtful):
            indices[doubtful, :k], squared[doubtful, :k] = search_in_double(X, queries[doubtful], k)
    return indices[:, :k], cupy.sqrt(squared[:, :k])


def umap(X: Array, n_components: int, n_neighbors: int, min_dist: float, seed: int) -> Array:
    """UMAP's coordinates (n, n_components) of (n, d) points."""
    reducer = UMAP(n_components=n_components, n_neighbors=n_neighbors, min_dist=min_dist, random_state=seed)
    return cupy.asarray(reducer.fit_transform(X))


def synchronize() -> None:
    """Wait until the device has done all it was asked to."""
    cupy.cuda.Device().synchronize()


def release() -> None:
    """Give back memory that is kept for arrays to come, so that other libraries find it free: CuPy's and PyTorch's."""
    cupy.get_default_memory_pool().free_all_blocks()
    if "torch" in sys.modules:  # it is no part of the twin, and imported only by who needs it
        sys.modules["torch"].cuda.empty_cache()


def room(memory_limit: int | None) -> int | None:
    """Bytes that arrays may take on the device: what is free, and no more than a limit, which is kept from now on.

    None, where points that do not fit stay on disk.
    """
    cupy.get_default_memory_pool().set_limit(size=memory_limit or 0)  # 0: none
    return _free()


def _free() -> int:
    """Bytes that arrays to come may take, by the device and by the limit."""
    pool = cupy.get_default_memory_pool()
    free, limit = cupy.cuda.runtime.memGetInfo()[0] + pool.free_bytes(), pool.get_limit()
    return min(free, limit - pool.used_bytes()) if limit else free


def memory() -> int:
    """Bytes of device memory in use, by everyone: CuPy, cuML and PyTorch each have an allocator of their own."""
    free, total = cupy.cuda.runtime.memGetInfo()
    return total - free


def device_name() -> str:
    """What the work runs on, for people."""
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    return f"cuda ({properties['name'].decode()})"
