"""What every stage must have, and what it may say of itself.

A stage is a dataclass that names its contract as a base class: its fields are its settings, and what it can do is a
typed class attribute with a default here. Tasks ask these attributes and nothing else.
"""

from typing import Any, Protocol

import numpy as np

from gpussl.records import Allocations, Array, OnProgress, PseudoLabels


class Twin(Protocol):
    """One side of the seam between CPU and GPU: the modules `backend.cpu` and `backend.gpu`."""

    DEVICE: str
    HDBSCAN_COUNTS_ITSELF: bool
    HDBSCAN: Any
    LogisticRegression: Any
    READS_IN_BLOCKS: bool
    sparse: Any

    def asarray(self, X: Array) -> Array:
        """`X` as an array of this device."""

    def to_numpy(self, X: Array) -> np.ndarray:
        """`X` as an array of the host."""

    def bincount(self, x: Array, n: int) -> Array:
        """How often each whole number from 0 to n - 1 occurs in (m,) numbers: (n,) int64."""

    def greedy_kmeans_plusplus(self, points: Array, weights: Array, draws: Array) -> Array:
        """Indices (k,) of weighted points (m, d) chosen by greedy k-means++ with random numbers (k, t)."""

    def kmeans(
        self, X: Array, starts: Array, max_iter: int, tol: float, on_progress: OnProgress | None = None
    ) -> tuple[Array, Array, int]:
        """Lloyd's algorithm from (m, k, d) starts: the best centroids (k, d), labels (n,), iterations."""

    def nearest_neighbors(self, X: Array, queries: Array, k: int, ties_by_index: bool = False) -> tuple[Array, Array]:
        """Indices and distances (m, k) of the nearest of (n, d) points to (m, d) queries."""

    def umap(
        self, X_train: Array, X_test: Array, n_components: int, n_neighbors: int, min_dist: float, seed: int
    ) -> tuple[Array, Array]:
        """UMAP's coordinates of the points it is fitted to, and of others."""

    def synchronize(self) -> None:
        """Wait until the device has finished."""

    def release(self) -> None:
        """Give back memory kept for arrays to come."""

    def room(self, memory_limit: int | None) -> int | None:
        """Bytes that arrays may take on the device; None where what does not fit stays on disk."""

    def memory(self) -> int:
        """Bytes of device memory in use."""

    def device_name(self) -> str:
        """The device, for people."""

    def __hash__(self) -> int: ...


class Judge(Protocol):
    """Knows all true training labels, and says for reports how right others are: never for training."""

    @property
    def n_bought(self) -> int:
        """Different labels sold so far."""

    def accuracy(self, classes: Array) -> float:
        """Share of all training points whose class (n,) is the true one."""

    def correct(self, pseudo_labels: PseudoLabels) -> np.ndarray:
        """For each labelled point, in order, whether its label is the true one."""

    def best_allocation(self, clusters: Array, n_clusters: int, n_classes: int) -> Allocations:
        """The best way to name clusters (n,) by classes, each by another one."""
