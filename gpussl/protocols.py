"""The contracts of the stages: what each must have, and what it may say of itself.

A stage is a dataclass that names its contract as a base class. Its fields are its settings; what it can do is a class
attribute with a default here. Tasks ask these attributes and nothing else.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from gpussl.records import Allocations, Answers, Array, Clustering, Dataset, OnProgress, PseudoLabels


class Source(Protocol):
    """A data set that can be read.

    Attributes
    ----------
    name : str
        The data set's, for people and for published figures.
    """

    name: str

    def load(self) -> Dataset:
        """Read the data set. DataError if it is missing or broken."""
        ...


class Transform(Protocol):
    """A fitted step: points in, points out. A frozen dataclass of arrays and numbers, so that it can be saved.

    Attributes
    ----------
    kind : str
        Its name in saved files, and that of its module.
    """

    kind: ClassVar[str] = ""

    def transform(self, X: Array) -> Array:
        """(n, d) points -> (n, k), where `X` is."""
        ...

    def transform_fitted(self, X: Array) -> Array:
        """The same for the points it was fitted to, where they are known already."""
        return self.transform(X)


class Representation(Protocol):
    """A step of the chain from raw values to the features that clustering works on.

    Attributes
    ----------
    is_costly : bool
        Whether the fitted step is worth caching.
    needs_images : bool
        Whether the points must be images; `image_shape` is one of the settings then.
    keeps_images : bool
        Whether images stay images.
    """

    is_costly: ClassVar[bool] = False
    needs_images: ClassVar[bool] = False
    keeps_images: ClassVar[bool] = False

    def fit(self, X: Array, seed: int, on_progress: OnProgress | None = None) -> Transform:
        """Fit to (n, d) points. ConfigError if they do not suit the settings."""
        ...


class Clusterer(Protocol):
    """A partition of the points.

    Attributes
    ----------
    makes_clusters : bool
    has_n_clusters : bool
        Whether the number of clusters is a setting, `n_clusters`.
    """

    makes_clusters: ClassVar[bool] = True
    has_n_clusters: ClassVar[bool] = False

    def check_size(self, n: int) -> None:
        """Raise ConfigError if `n` points are too few."""
        return

    def fit(self, X: Array, seed: int, on_progress: OnProgress | None = None) -> Clustering:
        """Cluster (n, d) points."""
        ...


class Features(Protocol):
    """What classifiers learn from.

    Attributes
    ----------
    of_pixels : bool
        Whether it starts from the raw values, scaled, rather than from the represented points.
    needs_clusters : bool
    """

    of_pixels: ClassVar[bool] = False
    needs_clusters: ClassVar[bool] = False

    def fit(self, X: Array, clustering: Clustering) -> Transform:
        """Fit to (n, d) points and their clusters."""
        ...


class Selection(Protocol):
    """Which points to label, in rounds.

    Attributes
    ----------
    name : str
        As in the configuration and in tables.
    needs_clusters, one_per_cluster : bool
        Whether it works on clusters at all, and whether it asks for one label in each.
    knows_classes : bool
        Whether it is given the labels of all points as answers, unpaid: it stands for someone who knows the classes.
    n_labels : int or None
        Labels it asks for in all, where that is a setting.
    """

    name: ClassVar[str]
    needs_clusters: ClassVar[bool] = False
    one_per_cluster: ClassVar[bool] = False
    knows_classes: ClassVar[bool] = False

    @property
    def n_labels(self) -> int | None:
        """The setting, or None."""
        return None

    def check_size(self, n: int) -> None:
        """Raise ConfigError if `n` points are too few."""
        return

    def select(self, X: Array, clustering: Clustering, answers: Answers, n: int | None, seed: int) -> Array:
        """The points to ask for next.

        Parameters
        ----------
        X : (n_points, d) array
        clustering : Clustering
            Of the points.
        answers : Answers
            The labels known so far. None of these points is asked for again.
        n : int or None
            Ask for at most so many. None: for as many as the settings and this round say.
        seed : int

        Returns
        -------
        (m,) int array
            Indices, ascending and different; empty where there is nothing left to ask.
        """
        ...


class Propagation(Protocol):
    """From the labels that are known to labels for other points.

    Attributes
    ----------
    percentile : float or None
        The nearest share of each cluster that is reached, where there is a cut.
    needs_clusters : bool
    needs_all_points : bool
        Whether all points must be in memory at once.
    """

    needs_clusters: ClassVar[bool] = False
    needs_all_points: ClassVar[bool] = False

    @property
    def percentile(self) -> float | None:
        """The cut, or None."""
        return None

    def propagate(self, X: Array, clustering: Clustering, indices: Array, labels: Array) -> PseudoLabels:
        """Label what the labels (m,) of the points at `indices` (m,), ascending and different, reach.

        Parameters
        ----------
        X : (n, d) array
        clustering : Clustering
            Of the points.
        """
        ...


class Classifier(Protocol):
    """A classifier with scikit-learn's methods that works where its data are.

    Attributes
    ----------
    kind : str
        Its name in saved files, and that of its module.
    learns_from_unlabelled : bool
        Whether it makes use of points whose label is -1; others leave them out.
    learns_from_weights : bool
        Whether sample weights change anything.
    needs_images : bool
        Whether the points must be images; `image_shape` is one of the settings then.
    stops_by_test_labels : bool
        Whether test labels say when to stop: not honest, and called so in every row.
    classes_ : (n_classes,) array
        On the host.
    n_features_in_ : int
    """

    kind: ClassVar[str] = ""
    learns_from_unlabelled: ClassVar[bool] = False
    learns_from_weights: ClassVar[bool] = True
    needs_images: ClassVar[bool] = False
    stops_by_test_labels: ClassVar[bool] = False
    classes_: np.ndarray
    n_features_in_: int

    def fit(
        self,
        X: Array,
        y: Array,
        sample_weight: Array | None = None,
        *,
        groups: Array | None = None,
        on_progress: OnProgress | None = None,
    ) -> Self:
        """Fit to (n, d) points and their (n,) labels."""
        ...

    def predict(self, X: Array) -> Array:
        """(n, d) -> (n,) classes."""
        ...

    def predict_proba(self, X: Array) -> Array:
        """(n, d) -> (n, n_classes) probabilities of `classes_`."""
        ...

    def prepared(self, seed: int, image_shape: Sequence[int] | None, device: str) -> Self:
        """A copy that knows what its configuration cannot: the seed, the images' shape, the kind of device."""
        ...

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings."""
        ...


class Twin(Protocol):
    """One side of the seam between CPU and GPU: the modules `backend.cpu` and `backend.gpu`."""

    DEVICE: str
    HDBSCAN_COUNTS_ITSELF: bool
    HDBSCAN: Any
    LogisticRegression: Any
    sparse: Any

    def asarray(self, X: Array) -> Array:
        """`X` as an array of this device."""
        ...

    def to_numpy(self, X: Array) -> np.ndarray:
        """`X` as an array of the host."""
        ...

    def bincount(self, x: Array, n: int) -> Array:
        """How often each whole number from 0 to n - 1 occurs in (m,) numbers: (n,) int64."""
        ...

    def greedy_kmeans_plusplus(self, points: Array, weights: Array, draws: Array) -> Array:
        """Indices (k,) of weighted points (m, d) chosen by greedy k-means++ with random numbers (k, t)."""
        ...

    def kmeans(
        self, X: Array, starts: Array, max_iter: int, tol: float, on_progress: OnProgress | None = None
    ) -> tuple[Array, Array, int]:
        """Lloyd's algorithm from (m, k, d) starts: the best centroids (k, d), labels (n,), iterations."""
        ...

    def nearest_neighbors(self, X: Array, queries: Array, k: int, ties_by_index: bool = False) -> tuple[Array, Array]:
        """Indices and distances (m, k) of the nearest of (n, d) points to (m, d) queries."""
        ...

    def umap(self, X: Array, n_components: int, n_neighbors: int, min_dist: float, seed: int) -> Array:
        """UMAP's coordinates (n, n_components) of (n, d) points."""
        ...

    def synchronize(self) -> None:
        """Wait until the device has finished."""
        ...

    def release(self) -> None:
        """Give back memory kept for arrays to come."""
        ...

    def room(self, memory_limit: int | None) -> int | None:
        """Bytes that arrays may take on the device; None where what does not fit stays on disk."""
        ...

    def memory(self) -> int:
        """Bytes of device memory in use."""
        ...

    def device_name(self) -> str:
        """The device, for people."""
        ...

    def __hash__(self) -> int: ...


class Judge(Protocol):
    """Knows all true training labels, and says for reports how right others are: never for training."""

    @property
    def n_bought(self) -> int:
        """Different labels sold so far."""
        ...

    def accuracy(self, classes: Array) -> float:
        """Share of all training points whose class (n,) is the true one."""
        ...

    def correct(self, pseudo_labels: PseudoLabels) -> np.ndarray:
        """For each labelled point, in order, whether its label is the true one."""
        ...

    def best_allocation(self, clusters: Array, n_clusters: int, n_classes: int) -> Allocations:
        """The best way to name clusters (n,) by classes, each by another one."""
        ...
