"""NumPy and scikit-learn, under the names that `gpu` binds to CuPy and cuML."""

import platform
import resource
import warnings
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.cluster import HDBSCAN
from sklearn.neighbors import KDTree

from gpussl.backend import seeding
from gpussl.backend.lloyd import lloyd
from gpussl.backend.logistic import LogisticRegression
from gpussl.backend.neighbors import search
from gpussl.errors import ConfigError
from gpussl.records import Array, OnProgress

__all__ = [
    "DEVICE", "HDBSCAN", "HDBSCAN_COUNTS_ITSELF", "LogisticRegression",
    "asarray", "bincount", "device_name", "greedy_kmeans_plusplus", "kmeans", "memory", "nearest_neighbors", "release",
    "room", "sparse", "synchronize", "to_numpy", "umap",
]  # fmt: skip

DEVICE = "cpu"  # as PyTorch and XGBoost call it
HDBSCAN_COUNTS_ITSELF = True  # whether a point is one of its own min_samples neighbours
TREE_FEATURES = 10  # up to which a tree finds neighbours sooner than a search of all points, UMAP's clumps above all


def asarray(X: Array) -> np.ndarray:
    """`X` as an array of this device."""
    return np.asarray(X)


def to_numpy(X: Array) -> np.ndarray:
    """`X` as an array of the host."""
    return np.asarray(X)


def bincount(x: Array, n: int) -> np.ndarray:
    """How often each of the whole numbers from 0 to n - 1 occurs in `x` (m,), which has no others: (n,) int64."""
    return np.bincount(np.asarray(x), minlength=n)


def greedy_kmeans_plusplus(points: Array, weights: Array, draws: Array) -> Array:
    """Indices (k,) of weighted points (m, d), each the best of t drawn by weight times squared distance to the others.

    The best leaves the smallest weighted sum of squared distances. `draws` (k, t) are random numbers from 0 to 1.
    """
    return seeding.greedy_seeds(points, weights, draws)


def kmeans(
    X: Array, starts: Array, max_iter: int, tol: float, on_progress: OnProgress | None = None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Lloyd's algorithm on (n, d) points from each of (m, k, d) starts, and where that with the least inertia ends.

    That is its centroids (k, d), the cluster of each point (n,), and the iterations. `tol` is a share of the mean
    variance of the features.
    """
    centroids, labels, _, n_iter = lloyd(X, starts, max_iter, tol, on_progress)
    return centroids, labels, n_iter


def nearest_neighbors(X: Array, queries: Array, k: int, ties_by_index: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of (n, d) points to each of (m, d) queries, the nearest first: indices and distances, each (m, k).

    A query that is one of the points is found like any other; ties come in any order, or by index.
    """
    if X.shape[1] <= TREE_FEATURES and not ties_by_index:
        distances, indices = KDTree(X).query(queries, k)
        return indices, distances
    indices, squared = search(X, queries, k)
    return indices, np.sqrt(squared)


def umap(X: Array, n_components: int, n_neighbors: int, min_dist: float, seed: int) -> np.ndarray:
    """UMAP's coordinates (n, n_components) of (n, d) points.

    Raises
    ------
    ConfigError
        umap-learn is not installed.
    """
    with warnings.catch_warnings():
        # that there is no Tensorflow, that a seed costs its threads, and that the graph of few points may be in pieces
        warnings.simplefilter("ignore")
        try:
            from umap import UMAP  # late, for it takes seconds
        except ImportError as error:
            raise ConfigError(
                f"represent=umap: expected umap-learn, found none ({error}); install gpussl[cpu]"
            ) from error
        reducer = UMAP(n_components=n_components, n_neighbors=n_neighbors, min_dist=min_dist, random_state=seed)
        return reducer.fit_transform(X)


def synchronize() -> None:
    """Wait until the device has done all it was asked to."""


def release() -> None:
    """Give back memory that is kept for arrays to come: here none is."""


def room(memory_limit: int | None) -> int | None:
    """Bytes that arrays may take on the device: what is free, and no more than a limit, which is kept from now on.

    None, where points that do not fit stay on disk.
    """
    return None


def memory() -> int:
    """Bytes of device memory in use: here what this process has for itself.

    Pages of files it has mapped are not: the system takes them back when it needs them.
    """
    try:
        _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text().split())
        return (resident - shared) * resource.getpagesize()
    except FileNotFoundError:  # no /proc, as on macOS, which counts ru_maxrss in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def device_name() -> str:
    """What the work runs on, for people."""
    return f"cpu ({platform.machine()})"
