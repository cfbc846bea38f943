"""The contracts of the stages: their methods, and the capabilities that they declare.

A stage is a dataclass that inherits from its contract. Its fields are its settings; its capabilities are class
attributes with defaults here. Tasks read these attributes and nothing else.
"""

from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from gpussl.records import Allocations, Answers, Array, Clustering, Dataset, OnProgress, PseudoLabels, Reading


class Source(Protocol):
    """A data set that can be read.

    Attributes
    ----------
    name : str
        Name of the data set, for people and for the lookup of published figures.
    """

    name: str

    @abstractmethod
    def load(self) -> Dataset:
        """Read the data set. Raise DataError if it is missing or corrupt."""
        ...


class Reader(Protocol):
    """Reads a person's data as points: all that a source has learnt about their form, saved with a model.

    Attributes
    ----------
    kind : str
        Name in saved files, and of the module.
    """

    kind: ClassVar[str] = ""

    @abstractmethod
    def read(self, source: Any, on_progress: OnProgress | None = None) -> Iterator[Reading]:
        """Read points in parts of bounded size, in the order of the source.

        Parameters
        ----------
        source : str, Path, or what else the kind of data allows, such as a DataFrame

        Raises
        ------
        DataError
            It does not have the form that the reader knows.
        """
        ...

    def records(self, source: Any, ids: Collection[str]) -> tuple[list[str], dict[str, list[str]]]:
        """Return what a person needs to see of some points: the names of fields, and their values by id.

        Empty if the id says it all, as the path of a picture does.
        """
        return [], {}

    def is_empty(self, X: np.ndarray) -> np.ndarray:
        """Return which of (n, d) points have nothing to judge them by, such as empty texts: (n,)."""
        return np.zeros(len(X), dtype=bool)


class Transform(Protocol):
    """A fitted step that maps points to points: a frozen dataclass of arrays and numbers, so that it can be saved.

    Attributes
    ----------
    kind : str
        Name in saved files, and of the module.
    slow_on : frozenset of str
        The kinds of devices, "cpu" and "cuda", on which mapping takes longer than reading the mapped points again. They
        are cached; each point is mapped by itself.
    rows_at_once : int or None
        Number of points to map between two signs of progress; None maps all at once.
    """

    kind: ClassVar[str] = ""
    slow_on: ClassVar[frozenset[str]] = frozenset()
    rows_at_once: ClassVar[int | None] = None

    @abstractmethod
    def transform(self, X: Array) -> Array:
        """Map (n, d) points to (n, k), on the device of `X`."""
        ...

    def transform_fitted(self, X: Array) -> Array:
        """The same for the points of the fit, without computing anything that is known already."""
        return self.transform(X)


class Representation(Protocol):
    """A step in the chain from raw values to the features used for clustering.

    Attributes
    ----------
    is_costly : bool
        Whether the fitted step is worth caching.
    needs_images : bool
        Whether the points must be images. If so, `image_shape` is a setting.
    takes_image_shape : bool
        Whether `image_shape` is a setting although the points need not be images.
    keeps_images : bool
        Whether the output of images is images.
    """

    is_costly: ClassVar[bool] = False
    needs_images: ClassVar[bool] = False
    takes_image_shape: ClassVar[bool] = False
    keeps_images: ClassVar[bool] = False

    @abstractmethod
    def fit(self, X: Array, seed: int, on_progress: OnProgress | None = None) -> Transform:
        """Fit to (n, d) points. Raise ConfigError if they do not suit the settings."""
        ...


class Clusterer(Protocol):
    """A partition of the points.

    Attributes
    ----------
    makes_clusters : bool
        Whether the partition has any clusters.
    has_n_clusters : bool
        Whether the number of clusters is a setting, `n_clusters`.
    """

    makes_clusters: ClassVar[bool] = True
    has_n_clusters: ClassVar[bool] = False

    def check_size(self, n: int) -> None:
        """Raise ConfigError if `n` points are too few."""
        return

    @abstractmethod
    def fit(self, X: Array, seed: int, on_progress: OnProgress | None = None) -> Clustering:
        """Cluster (n, d) points."""
        ...


class Features(Protocol):
    """The features that classifiers learn from.

    Attributes
    ----------
    of_pixels : bool
        Whether the input is the scaled raw values rather than the represented points.
    needs_clusters : bool
        Whether the fit needs clusters.
    """

    of_pixels: ClassVar[bool] = False
    needs_clusters: ClassVar[bool] = False

    @abstractmethod
    def fit(self, X: Array, clustering: Clustering, seed: int) -> Transform:
        """Fit to (n, d) points and their clusters."""
        ...


class Selection(Protocol):
    """Which points to label, in rounds.

    Attributes
    ----------
    name : str
        Name in the configuration and in tables.
    needs_clusters, one_per_cluster : bool
        Whether it needs clusters, and whether it asks for one label in each.
    is_random : bool
        Whether the chosen points are a uniform random sample, so that accuracy on them is unbiased.
    knows_classes : bool
        Whether it receives the labels of all points as answers, without paying: it simulates someone who knows them.
    n_labels : int or None
        Total number of labels requested, if that is a setting.
    """

    name: ClassVar[str]
    needs_clusters: ClassVar[bool] = False
    one_per_cluster: ClassVar[bool] = False
    is_random: ClassVar[bool] = False
    knows_classes: ClassVar[bool] = False

    @property
    def n_labels(self) -> int | None:
        """The setting, or None."""
        return None

    def check_size(self, n: int) -> None:
        """Raise ConfigError if `n` points are too few."""
        return

    @abstractmethod
    def select(self, X: Array, clustering: Clustering, answers: Answers, n: int | None, seed: int) -> Array:
        """Return the points to ask for next.

        Parameters
        ----------
        X : (n_points, d) array
        clustering : Clustering
            The clusters of the points.
        answers : Answers
            The labels known so far. These points are not asked for again.
        n : int or None
            Upper limit of the number of points; None leaves it to the settings and the round.
        seed : int

        Returns
        -------
        (m,) int array
            Indices, distinct and ascending; empty if there is nothing left to ask.
        """
        ...


class Propagation(Protocol):
    """Extends known labels to other points.

    Attributes
    ----------
    percentile : float or None
        Share of each cluster that is labelled, nearest to the centroid first; None without a cut.
    spreads : bool
        Whether any point but the labelled ones gets a label.
    needs_clusters : bool
        Whether it needs clusters.
    needs_all_points : bool
        Whether all points must be in memory at once.
    """

    spreads: ClassVar[bool] = True
    needs_clusters: ClassVar[bool] = False
    needs_all_points: ClassVar[bool] = False

    @property
    def percentile(self) -> float | None:
        """The cut, or None."""
        return None

    @abstractmethod
    def propagate(self, X: Array, clustering: Clustering, indices: Array, labels: Array) -> PseudoLabels:
        """Propagate labels to other points.

        Parameters
        ----------
        X : (n, d) array
        clustering : Clustering
            The clusters of the points.
        indices : (m,) int array
            The labelled points, distinct and ascending.
        labels : (m,) int array
            Their labels.
        """
        ...


class Classifier(Protocol):
    """A classifier with scikit-learn's methods that works on the device of its data.

    Attributes
    ----------
    kind : str
        Name in saved files, and of the module.
    learns_from_unlabelled : bool
        Whether it learns from points with the label -1; other classifiers leave them out.
    learns_from_weights : bool
        Whether it uses sample weights.
    needs_images : bool
        Whether the points must be images. If so, `image_shape` is a setting.
    stops_by_test_labels : bool
        Whether test labels decide when training stops. That is not a fair evaluation, and every row says so.
    compared_ : sequence of dict
        The candidates that were compared in the fit, for a classifier that is made of others; empty otherwise.
    held_out_ : (m, n_classes) array or None
        Probabilities that the fit's cross-validation gives the m labelled points, on the host, NaN for points that it
        left out; None for a classifier that does not cross-validate itself. Not saved.
    classes_ : (n_classes,) array
        On the host.
    n_features_in_ : int
    """

    kind: ClassVar[str] = ""
    learns_from_unlabelled: ClassVar[bool] = False
    learns_from_weights: ClassVar[bool] = True
    needs_images: ClassVar[bool] = False
    stops_by_test_labels: ClassVar[bool] = False
    compared_: Sequence[dict[str, Any]] = ()
    held_out_: np.ndarray | None = None
    classes_: np.ndarray
    n_features_in_: int

    @abstractmethod
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

    @abstractmethod
    def predict(self, X: Array) -> Array:
        """(n, d) -> (n,) classes."""
        ...

    @abstractmethod
    def predict_proba(self, X: Array) -> Array:
        """(n, d) -> (n, n_classes) probabilities of `classes_`."""
        ...

    @abstractmethod
    def prepared(self, seed: int, image_shape: Sequence[int] | None, device: str) -> Self:
        """Return a copy with the settings that the configuration cannot know: seed, image shape and kind of device."""
        ...

    @abstractmethod
    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings."""
        ...


class Twin(Protocol):
    """The common interface of the modules `backend.cpu` and `backend.gpu`."""

    DEVICE: str
    HDBSCAN_COUNTS_ITSELF: bool
    HDBSCAN: Any
    LogisticRegression: Any
    sparse: Any

    def asarray(self, X: Array) -> Array:
        """`X` as an array on this device."""
        ...

    def to_numpy(self, X: Array) -> np.ndarray:
        """`X` as a NumPy array on the host."""
        ...

    def bincount(self, x: Array, n: int) -> Array:
        """Count the occurrences of each integer from 0 to n - 1 in x (m,): (n,) int64."""
        ...

    def greedy_kmeans_plusplus(self, points: Array, weights: Array, draws: Array) -> Array:
        """Choose k of (m, d) weighted points by greedy k-means++ with random numbers (k, t): their indices (k,)."""
        ...

    def kmeans(
        self, X: Array, starts: Array, max_iter: int, tol: float, on_progress: OnProgress | None = None
    ) -> tuple[Array, Array, int]:
        """Run Lloyd's algorithm from (m, k, d) starts: the best centroids (k, d), labels (n,) and iterations."""
        ...

    def nearest_neighbors(self, X: Array, queries: Array, k: int, ties_by_index: bool = False) -> tuple[Array, Array]:
        """Find the k of (n, d) points nearest to each of (m, d) queries: indices and distances, (m, k) each."""
        ...

    def umap(self, X: Array, n_components: int, n_neighbors: int, min_dist: float, seed: int) -> Array:
        """Embed (n, d) points with UMAP: (n, n_components)."""
        ...

    def synchronize(self) -> None:
        """Wait until the device has finished."""
        ...

    def release(self) -> None:
        """Free the memory that is pooled for future arrays."""
        ...

    def room(self, memory_limit: int | None) -> int | None:
        """Bytes available to arrays on the device; None if arrays that do not fit stay on disk."""
        ...

    def memory(self) -> int:
        """Bytes of device memory in use."""
        ...

    def device_name(self) -> str:
        """Name of the device, for people."""
        ...

    def __hash__(self) -> int: ...


class Judge(Protocol):
    """Knows all true training labels and measures accuracies for reports, never for training."""

    @property
    def n_bought(self) -> int:
        """Number of distinct labels sold so far."""
        ...

    def accuracy(self, classes: Array) -> float:
        """Share of correct classes (n,) among all training points."""
        ...

    def correct(self, pseudo_labels: PseudoLabels) -> np.ndarray:
        """Whether the label of each labelled point is correct, in order."""
        ...

    def best_allocation(self, clusters: Array, n_clusters: int, n_classes: int) -> Allocations:
        """The best one-to-one allocation of classes to clusters (n,)."""
        ...
