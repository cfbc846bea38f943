"""The GPU twin: CuPy and cuML, under the names that `cpu` binds to NumPy and scikit-learn.

No other file imports these libraries. Without a usable GPU, importing this module raises ImportError, so that the
failure comes at once and not in the middle of a fit.

Docstrings here add what differs; `cpu` documents the arguments and results of each name.
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
from cuml.cluster import HDBSCAN as Estimator  # importing cuML needs a GPU
from cuml.cluster import KMeans
from cuml.manifold import UMAP
from cuml.neighbors import NearestNeighbors
from cupyx.scipy import sparse


def _allocate(size: int) -> Any:
    """Allocate from CuPy's pool; its cached blocks count against the limit, so free them before giving up."""
    pool = cupy.get_default_memory_pool()
    try:
        return pool.malloc(size)
    except MemoryError:
        pool.free_all_blocks()
        return pool.malloc(size)


# Importing cuML gives CuPy an allocator that calls CUDA for each array. For many small arrays, CuPy's own pool takes
# half that time. cuML's own arrays come from CUDA's pool.
rmm.mr.set_current_device_resource(rmm.mr.CudaAsyncMemoryResource())
cupy.cuda.set_allocator(_allocate)

__all__ = [
    "DEVICE", "HDBSCAN", "HDBSCAN_COUNTS_ITSELF", "LogisticRegression",
    "asarray", "bincount", "device_name", "greedy_kmeans_plusplus", "kmeans", "memory", "nearest_neighbors", "release",
    "room", "sparse", "synchronize", "to_numpy", "umap",
]  # fmt: skip

DEVICE = "cuda"  # the name that PyTorch and XGBoost use
HDBSCAN_COUNTS_ITSELF = False  # whether min_samples counts the point itself
SPARE = 4  # additional candidates: rounding may swap the last few
RANKED_BYTES = 2**28  # differences compared at once; fewer if less memory is free
BLOCKS_IN_FREE = 16  # blocks that must fit into free memory: temporaries of the same size come and go
SUMMED_ROWS = 2**14  # rows summed in single precision at a time: more would lose digits
ROUNDING = 16  # bound on the error of a squared distance, in epsilons of the largest squared norms

_count = cupy.ElementwiseKernel("S x", "raw int64 counts", "atomicAdd((unsigned long long*)&counts[x], 1ull)", "count")
_greedy_seeds = cupy.RawKernel(kernels.GREEDY_SEEDS, "greedy_seeds")


class LogisticRegression(logistic.LogisticRegression):
    """The CPU's, with sums computed on the GPU; cuML's ignores sample weights with more than two classes."""

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


def HDBSCAN(**settings: Any) -> Any:
    """Return cuML's estimator."""
    return Estimator(**settings)


def asarray(X: Array) -> Array:
    """Return `X` as an array of this device."""
    return cupy.asarray(X)


def to_numpy(X: Array) -> np.ndarray:
    """Return `X` as a NumPy array on the host."""
    return cupy.asnumpy(X)


def bincount(x: Array, n: int) -> Array:
    """Count each integer from 0 to n - 1 in `x` (m,), which holds no others: (n,) int64."""
    counts = cupy.zeros(n, dtype=cupy.int64)
    _count(x, counts)  # cupy.bincount checks the range first, which waits for the device
    return counts


def greedy_kmeans_plusplus(points: Array, weights: Array, draws: Array) -> Array:
    """Choose k of (m, d) points as seeds by greedy k-means++: (k,) indices.

    For sizes that the kernel holds, one kernel does all steps on a table of distances.
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
    """Run Lloyd's algorithm on (n, d) points from each of (m, k, d) starts, and keep the result with the least inertia.

    `tol` is relative, as on the CPU, and converted to cuML's absolute tolerance. cuML also stops when the inertia falls
    by less than this share.
    """
    mean = mean_row(X).astype(X.dtype)
    X = X - mean
    tolerance = tol * float(squared_norms(X).mean(dtype=cupy.float64)) / X.shape[1]
    tolerance = max(tolerance, float(np.finfo(np.float32).tiny))  # cuML refuses 0, the variance of identical points
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
    """Find the k nearest of (n, d) points to each of (m, d) queries: indices and distances, each (m, k), nearest first.

    cuML computes distances from norms and products in single precision. So it is asked for a few more candidates, and
    they are compared in double. Where the error bound allows that a neighbour was missed, all points are searched.
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
    """Fit UMAP to (n, d) points and return their coordinates (n, n_components)."""
    reducer = UMAP(n_components=n_components, n_neighbors=n_neighbors, min_dist=min_dist, random_state=seed)
    return cupy.asarray(reducer.fit_transform(X))


def synchronize() -> None:
    """Wait until the device has finished its work."""
    cupy.cuda.Device().synchronize()


def release() -> None:
    """Free the memory that CuPy and PyTorch cache for later arrays, so that other libraries can use it."""
    cupy.get_default_memory_pool().free_all_blocks()
    if "torch" in sys.modules:  # PyTorch is no part of the twin: only some jobs import it
        sys.modules["torch"].cuda.empty_cache()


def room(memory_limit: int | None) -> int | None:
    """Return the bytes that arrays may take on the device, and enforce `memory_limit` there from now on."""
    cupy.get_default_memory_pool().set_limit(size=memory_limit or 0)  # 0: no limit
    return _free()


def _free() -> int:
    """Return the bytes available to new arrays, given the device and the limit."""
    pool = cupy.get_default_memory_pool()
    free, limit = cupy.cuda.runtime.memGetInfo()[0] + pool.free_bytes(), pool.get_limit()
    return min(free, limit - pool.used_bytes()) if limit else free


def memory() -> int:
    """Return the bytes of device memory in use, by all processes.

    CuPy, cuML and PyTorch each have their own allocator, so no single one knows the total.
    """
    free, total = cupy.cuda.runtime.memGetInfo()
    return total - free


def device_name() -> str:
    """Return the name of the device, for people."""
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    return f"cuda ({properties['name'].decode()})"
