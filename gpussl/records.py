"""The frozen records that pass between stages.

Arrays are NumPy's or CuPy's, as the data are: n is the number of training images, d of features, k of clusters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from array_api_compat import array_namespace

Array = Any  # a NumPy, CuPy or any other array-API array; what it is decides where the work is done

Ranked = tuple[int, tuple[int, ...]]  # a score and its allocation
UNLABELLED = -1  # as in scikit-learn's semi-supervised estimators
# takes the indices (m,) of points and answers their labels (m,), which are paid for
Buy = Callable[[Array], Array]
OnProgress = Callable[[int, int, str], None]  # takes steps done, steps there are at most, and a note


@dataclass(frozen=True)
class Dataset:
    """A data set as it was read, on the host.

    `label.oracle` alone reads `y_train`, and `evaluate` alone reads `y_test`: no other stage can learn from a label
    that was not paid for.

    Attributes
    ----------
    name : str
    X_train : (n, d) uint8 or float array
        Raw values: pixels, 0 to `max_value`, or any numbers where `max_value` is None.
    y_train : (n,) int64 array or None
        Class numbers from 0, or -1 where a label is not known; None: no label is known.
    X_test, y_test : (n_test, d) and (n_test,) array or None
        None: there is no test set.
    class_names : tuple of str
        Of class 0, 1, ...
    image_shape : (height, width) or (height, width, channels), or None
        None: the points are no images.
    max_value : float or None
    train_ids, test_ids : sequence of str or None
        The user's names of the points; None: their row numbers.
    checksums : dict of str to str
        What was read, by name: sha256 of its decompressed bytes.

    Examples
    --------
    >>> import numpy as np
    >>> table = Dataset("table", np.zeros((2, 3)), np.array([0, 1]), class_names=("cat", "dog"))
    >>> table.id_of(1), table.n_test
    ('1', 0)
    """

    name: str
    X_train: Array
    y_train: Array | None = None
    X_test: Array | None = None
    y_test: Array | None = None
    class_names: tuple[str, ...] = ()
    image_shape: tuple[int, ...] | None = None
    max_value: float | None = None
    train_ids: Sequence[str] | None = None
    test_ids: Sequence[str] | None = None
    checksums: dict[str, str] = field(default_factory=dict)

    @property
    def n_test(self) -> int:
        """The number of test points."""
        return 0 if self.X_test is None else len(self.X_test)

    def id_of(self, index: int) -> str:
        """The user's name of a training point."""
        return str(index) if self.train_ids is None else self.train_ids[index]


@dataclass(frozen=True)
class Answers:
    """The labels that are known so far.

    Attributes
    ----------
    indices : (m,) int array
        The points, ascending and different.
    labels : (m,) int array
        Their class numbers.
    """

    indices: Array
    labels: Array

    def __len__(self) -> int:
        return int(self.indices.shape[0])


@dataclass(frozen=True)
class Clustering:
    """A partition of n points into k clusters, some of which may be empty.

    Attributes
    ----------
    centroids : (k, d) float array
    labels : (n,) int array
        The cluster of each point, 0 to k - 1, or -1 if it is in none.
    distances : (n,) float array
        Distance of each point to the centroid of its own cluster: Euclidean, or Mahalanobis in a mixture.
    inertia : float
        Sum of the squared distances.
    n_iter : int
        Iterations that were run.
    weights, covariances : (k,) and (k, d, d) float array, or None
        Of a mixture of Gaussians.
    """

    centroids: Array
    labels: Array
    distances: Array
    inertia: float
    n_iter: int
    weights: Array | None = None
    covariances: Array | None = None


@dataclass(frozen=True)
class PseudoLabels:
    """What is known, or guessed, of n points after labels were bought and propagated.

    Attributes
    ----------
    labels : (n,) int array
        A class number, or -1 where propagation did not reach.
    sources : (n,) int array
        The index of the point whose bought label this is, or -1. A bought point is its own source.
    weights : (n,) float32 array
        How sure each label is, 0 to 1: 1 if it was bought, 0 if there is none. Left out, 1 wherever there is one.
    """

    labels: Array
    sources: Array
    weights: Array = None

    def __post_init__(self) -> None:
        if self.weights is None:
            xp = array_namespace(self.labels)
            object.__setattr__(self, "weights", xp.astype(self.labels != UNLABELLED, xp.float32))


@dataclass(frozen=True)
class TrainingSet:
    """One way of getting training labels, with what it cost and what is known of it.

    Attributes
    ----------
    name : str
        Within the run: the propagation, or the baseline.
    select, propagation : str
        How the labels were chosen, and how they were propagated.
    pseudo_labels : PseudoLabels
    n_bought : int
        Labels bought from the oracle for it.
    label_accuracy : float
        Share of its labels that are right: for reports, never for training.
    n_clusters, percentile : int, float or None
        None where clusters play no part, or no cut is made.
    """

    name: str
    select: str
    propagation: str
    pseudo_labels: PseudoLabels
    n_bought: int
    label_accuracy: float
    n_clusters: int | None = None
    percentile: float | None = None


@dataclass(frozen=True)
class Diagnostics:
    """What the report shows of the labels bought and of the clusters, on the host.

    Attributes
    ----------
    bought : (m,) int array
        Indices of the bought points.
    bought_labels : (m,) int array
        Their classes.
    cluster_sizes : (m,) int array
        How many points each one's cluster has; 0 if it is in none.
    nearness : (r,) float array
        Of each point that propagation to whole clusters reaches, the bought ones apart: the share of its cluster that
        is nearer to the centroid, 0 to 1.
    correct : (r,) bool array
        Whether the label that reaches it is right.
    shown : list of ClusterExamples
        The largest clusters, largest first.
    """

    bought: Array
    bought_labels: Array
    cluster_sizes: Array
    nearness: Array
    correct: Array
    shown: list["ClusterExamples"]


@dataclass(frozen=True)
class Calibration:
    """How right the propagated labels of a training set are by their weight, the bought ones apart, on the host.

    Attributes
    ----------
    name : str
        Of the training set.
    counts : (b,) int array
        Labels in each of b equal bins of weights from 0 to 1.
    weights, accuracies : (b,) float64 array
        The mean weight of each bin's labels, and the share of them that are right; 0 where there are none.
    error : float
        The expected calibration error: the mean difference of those two, each bin counting as it has labels.
    is_weighted : bool
        Whether any weight is not 1.
    """

    name: str
    counts: Array
    weights: Array
    accuracies: Array
    error: float
    is_weighted: bool


@dataclass(frozen=True)
class ClusterExamples:
    """What one cluster looks like, on the host.

    Attributes
    ----------
    number : int
    size : int
    mean : (d,) float array
        The mean of its members' raw values: of k-means on pixels, the centroid.
    members : (m,) int array
        Indices of a few members, drawn at random.
    """

    number: int
    size: int
    mean: Array
    members: Array


@dataclass(frozen=True)
class Allocations:
    """What is known of the ways to name K clusters by K classes.

    Attributes
    ----------
    best : tuple of int
        The class of each cluster under the best allocation, or -1 if it gets none: one of the best where several are.
    score : int
        How many points the best one names rightly.
    n_points : int
    method : {"enumeration", "assignment"}
        Whether every allocation was scored, or only the best one found, by the assignment algorithm.
    ranking : list of (int, tuple of int)
        Scores and allocations of the best few, best first.
    counts : (score_max + 1,) int64 array or None
        How many allocations have each score, on the host; None if they were not enumerated.
    """

    best: tuple[int, ...]
    score: int
    n_points: int
    method: str
    ranking: list[Ranked] = field(default_factory=list)
    counts: Array | None = None

    @property
    def accuracy(self) -> float:
        """Share of the points that the best allocation names rightly."""
        return self.score / self.n_points


@dataclass(frozen=True)
class Result:
    """One trained model and how good it is: a row of `results.csv`.

    Accuracies are shares from 0 to 1. `label_accuracy` is that of the labels it was trained on; `train_accuracy` that
    of what it says itself of all training points, where that was asked for. `fit_seconds` are those of the fit when it
    was computed, also where it came from the cache.
    """

    select: str
    propagation: str
    classifier: str
    n_clusters: int | None
    n_labels: int
    n_train: int
    percentile: float | None
    seed: int
    label_accuracy: float
    test_accuracy: float
    fit_seconds: float
    predict_seconds: float
    device: str
    train_accuracy: float | None = None


@dataclass
class Stage:
    """What one stage of a run cost, filled in as it goes.

    Attributes
    ----------
    group : str
        The part of the run that it belongs to in tables.
    name : str
        For people.
    device : str
    seconds : float
        Wall-clock time, after the device has finished.
    peak_memory_bytes : int
        The most device memory in use, of samples taken every 10 ms.
    cached : bool
        Whether its result came from an earlier run.
    note : str
        For people: what came out.
    """

    group: str
    name: str
    device: str
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    cached: bool = False
    note: str = ""
