"""The CPU twin: NumPy and scikit-learn, under the names that `gpu` binds to CuPy and cuML."""

import platform
import resource
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpussl.backend import seeding
from gpussl.backend.lloyd import lloyd
from gpussl.backend.logistic import LogisticRegression
from gpussl.backend.neighbors import search
from gpussl.errors import ConfigError
from gpussl.records import Array, OnProgress

if TYPE_CHECKING:
    from scipy import sparse

__all__ = [
    "DEVICE", "HDBSCAN", "HDBSCAN_COUNTS_ITSELF", "LogisticRegression",
    "asarray", "bincount", "device_name", "greedy_kmeans_plusplus", "kmeans", "memory", "nearest_neighbors", "release",
    "room", "sparse", "synchronize", "to_numpy", "umap",
]  # fmt: skip

DEVICE = "cpu"  # the name that PyTorch and XGBoost use
HDBSCAN_COUNTS_ITSELF = True  # whether min_samples counts the point itself
TREE_FEATURES = 10  # up to this dimension a tree beats exhaustive search, most of all on the tight groups of UMAP


def __getattr__(name: str) -> Any:
    """Import `scipy.sparse` when it is needed: the labelling page does not wait for it."""
    if name != "sparse":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from scipy import sparse

    return sparse


def HDBSCAN(**settings: Any) -> Any:
    """Return scikit-learn's estimator.

    >>> HDBSCAN(min_cluster_size=7).min_cluster_size
    7
    """
    from sklearn.cluster import HDBSCAN as Estimator  # late: a refused setting does not wait two seconds for it

    return Estimator(**settings)


def asarray(X: Array) -> np.ndarray:
    """Return `X` as an array of this device.

    >>> asarray([1, 2]).tolist()
    [1, 2]
    """
    return np.asarray(X)


def to_numpy(X: Array) -> np.ndarray:
    """Return `X` as a NumPy array on the host.

    >>> to_numpy(asarray([1, 2])).tolist()
    [1, 2]
    """
    return np.asarray(X)


def bincount(x: Array, n: int) -> np.ndarray:
    """Count each integer from 0 to n - 1 in `x` (m,), which holds no others: (n,) int64.

    >>> bincount(asarray([0, 2, 2]), 4).tolist()
    [1, 0, 2, 0]
    """
    return np.bincount(np.asarray(x), minlength=n)


def greedy_kmeans_plusplus(points: Array, weights: Array, draws: Array) -> Array:
    """Choose k of (m, d) points as seeds by greedy k-means++: (k,) indices.

    Each step draws t candidates with probability proportional to weight times squared distance to the nearest seed, and
    keeps the candidate that leaves the smallest weighted sum of squared distances.

    Parameters
    ----------
    points : (m, d) array
    weights : (m,) array
    draws : (k, t) array
        Random numbers from 0 to 1; they alone decide what is drawn.

    References
    ----------
    Arthur, Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.

    Examples
    --------
    >>> points = np.array([[0.0], [0.1], [9.0]])
    >>> greedy_kmeans_plusplus(points, np.ones(3), np.array([[0.2, 0.5], [0.9, 0.99]])).tolist()
    [1, 2]
    """
    return seeding.greedy_seeds(points, weights, draws)


def kmeans(
    X: Array, starts: Array, max_iter: int, tol: float, on_progress: OnProgress | None = None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Run Lloyd's algorithm on (n, d) points from each of several starts, and keep the result with the least inertia.

    Parameters
    ----------
    starts : (m, k, d) array
    max_iter : int
    tol : float
        Stop when the squared shifts of the centroids sum to no more than this share of the features' mean variance.

    Returns
    -------
    centroids : (k, d) array
    labels : (n,) int array
        The cluster of each point.
    n_iter : int

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [9.0], [10.0]])
    >>> centroids, labels, n_iter = kmeans(X, X[None, :2], max_iter=10, tol=1e-4)
    >>> centroids.tolist(), labels.tolist()
    ([[0.5], [9.5]], [0, 0, 1, 1])
    """
    centroids, labels, _, n_iter = lloyd(X, starts, max_iter, tol, on_progress)
    return centroids, labels, n_iter


def nearest_neighbors(X: Array, queries: Array, k: int, ties_by_index: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Find the k nearest of (n, d) points to each of (m, d) queries: indices and distances, each (m, k), nearest first.

    A query that is itself one of the points is returned like any other. Ties come in any order, or by index.

    >>> X = np.array([[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]])
    >>> indices, distances = nearest_neighbors(X, X[:1], k=2)
    >>> indices.tolist(), distances.tolist()
    ([[0, 1]], [[0.0, 5.0]])
    """
    if X.shape[1] <= TREE_FEATURES and not ties_by_index:
        from sklearn.neighbors import KDTree  # late, as above

        distances, indices = KDTree(X).query(queries, k)
        return indices, distances
    indices, squared = search(X, queries, k)
    return indices, np.sqrt(squared)


def umap(X: Array, n_components: int, n_neighbors: int, min_dist: float, seed: int) -> np.ndarray:
    """Fit UMAP to (n, d) points and return their coordinates (n, n_components).

    Raises
    ------
    ConfigError
        umap-learn is not installed.

    References
    ----------
    McInnes, Healy, Melville, "UMAP: uniform manifold approximation and projection for dimension reduction", 2018.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(30, 5))
    >>> umap(X, 2, n_neighbors=5, min_dist=0.1, seed=0).shape  # doctest: +SKIP
    (30, 2)
    """
    with warnings.catch_warnings():
        # expected: no Tensorflow, one thread because of the seed, and a disconnected graph of few points
        warnings.simplefilter("ignore")
        try:
            from umap import UMAP  # imported late: it takes seconds
        except ImportError as error:
            raise ConfigError(
                f"represent=umap: expected umap-learn, found none ({error}); install gpussl[cpu]"
            ) from error
        reducer = UMAP(n_components=n_components, n_neighbors=n_neighbors, min_dist=min_dist, random_state=seed)
        return reducer.fit_transform(X)


def synchronize() -> None:
    """Wait until the device has finished its work; on the CPU there is nothing to wait for.

    >>> synchronize()
    """


def release() -> None:
    """Free the memory that is cached for later arrays; on the CPU none is.

    >>> release()
    """


def room(memory_limit: int | None) -> int | None:
    """Return the bytes that arrays may take on the device, and enforce `memory_limit` there from now on.

    None on the CPU, where data beyond the limit stay on disk.

    >>> room(memory_limit=2**30) is None
    True
    """
    return None


def memory() -> int:
    """Return the bytes of device memory in use: on the CPU, the private memory of this process.

    Pages of memory-mapped files do not count, since the system reclaims them on demand.

    >>> memory() > 0
    True
    """
    try:
        _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text().split())
        return (resident - shared) * resource.getpagesize()
    except FileNotFoundError:  # no /proc, as on macOS, which counts ru_maxrss in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def device_name() -> str:
    """Return the name of the device, for people.

    >>> device_name()  # doctest: +ELLIPSIS
    'cpu (...)'
    """
    return f"cpu ({platform.machine()})"
