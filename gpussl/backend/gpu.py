"""CuPy and cuML, under the names that `cpu` binds to NumPy and scikit-learn.

The only file that imports them. Importing it raises ImportError where there is no usable GPU, so that whoever wants it
learns so at once and not in the middle of a fit.
"""

import cupy
import numpy as np

from gpussl.arrays import paired_distances
from gpussl.records import Array, OnProgress

if not cupy.is_available():
    raise ImportError("CuPy sees no CUDA device")

from cuml.cluster import HDBSCAN, KMeans  # importing cuML needs a GPU
from cuml.linear_model import LogisticRegression
from cuml.manifold import UMAP
from cuml.neighbors import KNeighborsClassifier, NearestNeighbors
from cupyx.scipy import sparse

__all__ = [
    "DEVICE", "HDBSCAN", "HDBSCAN_COUNTS_ITSELF", "READS_IN_BLOCKS", "KNeighborsClassifier", "LogisticRegression",
    "asarray", "bincount", "device_name", "kmeans", "memory", "nearest_neighbors", "sparse", "synchronize", "to_numpy",
    "umap",
]  # fmt: skip

DEVICE = "cuda"  # as PyTorch and XGBoost call it
HDBSCAN_COUNTS_ITSELF = False  # whether a point is one of its own min_samples neighbours
READS_IN_BLOCKS = False  # whether `kmeans` takes points that are made of rows on disk as they are asked for


def asarray(X: Array) -> Array:
    """`X` as an array of this device."""
    return cupy.asarray(X)


def to_numpy(X: Array) -> np.ndarray:
    """`X` as an array of the host."""
    return cupy.asnumpy(X)


def bincount(x: Array, minlength: int) -> Array:
    """How often each whole number from 0 occurs in `x` (n,): at least `minlength` counts."""
    return cupy.bincount(x, minlength=minlength)


def kmeans(
    X: Array, starts: Array, max_iter: int, tol: float, on_progress: OnProgress | None = None
) -> tuple[Array, Array, int]:
    """Lloyd's algorithm on (n, d) points from each of (m, k, d) starts, and where that with the least inertia ends.

    That is its centroids (k, d), the cluster of each point (n,), and the iterations.
    """
    best: KMeans | None = None
    for number in range(len(starts)):
        fitted = KMeans(n_clusters=starts.shape[1], init=starts[number], n_init=1, max_iter=max_iter, tol=tol).fit(X)
        if best is None or float(fitted.inertia_) < float(best.inertia_):
            best = fitted
        if on_progress is not None:
            on_progress(number + 1, len(starts), f"least inertia {float(best.inertia_):,.0f}")
    assert best is not None  # noqa: S101 - for the type checker: there is a start
    return best.cluster_centers_, best.labels_, int(best.n_iter_)


def nearest_neighbors(X: Array, queries: Array, k: int) -> tuple[Array, Array]:
    """The k nearest of (n, d) points to each of (m, d) queries, the nearest first: indices and distances, each (m, k).

    A query that is one of the points is found like any other.
    """
    _, indices = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(X).kneighbors(queries)
    # cuML's own distances come of norms and products, which lose the digits of small ones
    return indices, cupy.stack([paired_distances(queries, X, indices[:, j]) for j in range(k)], axis=1)


def umap(
    X_train: Array, X_test: Array, n_components: int, n_neighbors: int, min_dist: float, seed: int
) -> tuple[Array, Array]:
    """UMAP's coordinates of (n, d) points that it is fitted to, and of (n_test, d) others put among them."""
    reducer = UMAP(n_components=n_components, n_neighbors=n_neighbors, min_dist=min_dist, random_state=seed)
    return cupy.asarray(reducer.fit_transform(X_train)), cupy.asarray(reducer.transform(X_test))


def synchronize() -> None:
    """Wait until the device has done all it was asked to."""
    cupy.cuda.Device().synchronize()


def memory() -> int:
    """Bytes of device memory in use, by everyone: CuPy, cuML and PyTorch each have an allocator of their own."""
    free, total = cupy.cuda.runtime.memGetInfo()
    return total - free


def device_name() -> str:
    """What the work runs on, for people."""
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    return f"cuda ({properties['name'].decode()})"
