"""The frozen records that pass between stages.

Arrays are NumPy's or CuPy's, as the data are: n is the number of training images, d of features, k of clusters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from array_api_compat import array_namespace

Array = Any  # a NumPy, CuPy or other array-API array; its type decides where the work is done

Ranked = tuple[int, tuple[int, ...]]  # a score and its allocation
MOST_FREQUENT = "most_frequent"  # the classifier of the row that predicts the most frequent class, as in scikit-learn
UNLABELLED = -1  # as in scikit-learn's semi-supervised estimators
# takes the indices (m,) of points and returns their labels (m,), which are paid for
Buy = Callable[[Array], Array]
OnProgress = Callable[[int, int, str], None]  # takes the steps done, the most there can be, and a note


@dataclass(frozen=True)
class Dataset:
    """A data set as it was read, on the host.

    Only `label.oracle` reads `y_train`, and only `evaluate` reads `y_test`, so no other stage can learn from a label
    that was not paid for.

    Attributes
    ----------
    name : str
    X_train : (n, d) uint8 or float array
        Raw values: pixels, 0 to `max_value`, or any numbers if `max_value` is None.
    y_train : (n,) int64 array or None
        Class numbers from 0, or -1 for an unknown label; None if no label is known.
    X_test, y_test : (n_test, d) and (n_test,) array or None
        None without a test set.
    class_names : tuple of str
        Names of classes 0, 1, ...
    image_shape : (height, width) or (height, width, channels), or None
        None if the points are not images.
    max_value : float or None
        Upper end of the range of the raw values; None if they have no range.
    train_ids, test_ids : sequence of str or None
        The user's names for the points; None stands for row numbers.
    checksums : dict of str to str
        sha256 of the decompressed bytes of each part that was read, by name.
    reader : Reader or None
        Reads further data of the same form; None for a fixed data set.
    skipped : sequence of (str, str)
        The names of points that could not be read, each with the reason.
    notes : sequence of str
        What was found in the data, for people.

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
    reader: Any = None
    skipped: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()

    @property
    def n_test(self) -> int:
        """The number of test points."""
        return 0 if self.X_test is None else len(self.X_test)

    def id_of(self, index: int) -> str:
        """The user's name for a training point."""
        return str(index) if self.train_ids is None else self.train_ids[index]


@dataclass(frozen=True)
class Reading:
    """A part of a person's data, as it was read, on the host.

    Attributes
    ----------
    ids : list of str
        The user's names for the points.
    X : (n, d) array
        Raw values.
    skipped : list of (str, str)
        The names of points that could not be read, each with the reason.
    labels : list of str
        The class of each point, empty if unknown; an empty list if the data have no labels.
    counts : dict of str to int
        What was filled or changed, by description, with the number of cells or points.

    Examples
    --------
    >>> import numpy as np
    >>> len(Reading(["a.png", "b.png"], np.zeros((2, 9)), skipped=[("c.png", "0 bytes")]).ids)
    2
    """

    ids: list[str]
    X: Array
    skipped: list[tuple[str, str]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Answers:
    """The labels that are known so far.

    Attributes
    ----------
    indices : (m,) int array
        The points, distinct and ascending.
    labels : (m,) int array
        Their class numbers.
    doubt : (n,) float array or None
        For each of all points, how unsure a model of these labels is, from 0 to 1; None if there is no model.

    Examples
    --------
    >>> import numpy as np
    >>> len(Answers(indices=np.array([3, 7]), labels=np.array([1, 0])))
    2
    """

    indices: Array
    labels: Array
    doubt: Array = None

    def __len__(self) -> int:
        return int(self.indices.shape[0])


@dataclass(frozen=True)
class Clustering:
    """A partition of n points into k clusters; clusters may be empty.

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
        Iterations run.
    weights, covariances : (k,) and (k, d, d) float array, or None
        Parameters of a Gaussian mixture; None for any other clustering.

    Examples
    --------
    >>> import numpy as np
    >>> centroids, labels, distances = np.array([[1.0], [9.0]]), np.array([0, 0, 1]), np.array([1.0, 1.0, 0.0])
    >>> clustering = Clustering(centroids, labels, distances, inertia=2.0, n_iter=1)  # of the points 0, 2 and 9
    >>> clustering.centroids[clustering.labels].tolist()
    [[1.0], [1.0], [9.0]]
    """

    centroids: Array
    labels: Array
    distances: Array
    inertia: float
    n_iter: int
    weights: Array | None = None
    covariances: Array | None = None


@dataclass(frozen=True)
class Points:
    """Points that took long to compute, as they are kept in the cache.

    Attributes
    ----------
    X : (n, d) array

    Examples
    --------
    >>> import numpy as np
    >>> Points(np.zeros((2, 3))).X.shape
    (2, 3)
    """

    X: Array


@dataclass(frozen=True)
class Neighbors:
    """The nearest neighbours of n points among themselves, nearest first.

    Attributes
    ----------
    indices : (n, k) int array
        The point itself is usually the first.
    distances : (n, k) array

    Examples
    --------
    >>> import numpy as np
    >>> Neighbors(np.array([[0, 1], [1, 0]]), np.array([[0.0, 2.0], [0.0, 2.0]])).indices.shape
    (2, 2)
    """

    indices: Array
    distances: Array


@dataclass(frozen=True)
class PseudoLabels:
    """The labels of n points after some were bought and propagated to others.

    Attributes
    ----------
    labels : (n,) int array
        The class number of each point, or -1 if propagation did not reach it.
    sources : (n,) int array
        The index of the bought point that each label comes from, or -1. A bought point is its own source.
    weights : (n,) float32 array
        Confidence in each label, from 0 to 1: 1 for a bought label, 0 for none. Defaults to 1 for every label.

    Examples
    --------
    >>> import numpy as np
    >>> known = PseudoLabels(np.array([1, 1, -1]), np.array([0, 0, -1]))  # point 0 was bought, point 1 takes its label
    >>> known.weights.tolist()
    [1.0, 1.0, 0.0]
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
    """Training labels obtained in one way, with their cost and their accuracy.

    Attributes
    ----------
    name : str
        The propagation or the baseline; unique within the run.
    select, propagation : str
        How the labels were chosen, and how they were propagated.
    pseudo_labels : PseudoLabels
    n_bought : int
        Number of labels bought from the oracle.
    label_accuracy : float
        Share of correct labels: for reports, never for training.
    n_clusters, percentile : int, float or None
        None if there are no clusters, or no cut.

    Examples
    --------
    >>> import numpy as np
    >>> known = PseudoLabels(np.array([1, 1, -1]), np.array([0, 0, -1]))
    >>> training_set = TrainingSet("propagated", "random", "cluster", known, n_bought=1, label_accuracy=0.5)
    >>> training_set.n_bought, int((training_set.pseudo_labels.labels != UNLABELLED).sum())
    (1, 2)
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
    """What the report shows about the bought labels and the clusters, on the host.

    Attributes
    ----------
    bought : (m,) int array
        Indices of the bought points.
    bought_labels : (m,) int array
        Their classes.
    cluster_sizes : (m,) int array
        The size of each bought point's cluster; 0 if it is in none.
    nearness : (r,) float array
        For each point labelled by propagation to whole clusters, bought points excluded: the share of its cluster that
        is nearer to the centroid, 0 to 1.
    correct : (r,) bool array
        Whether its propagated label is correct.
    shown : list of ClusterExamples
        The largest clusters, largest first.

    Examples
    --------
    >>> import numpy as np
    >>> bought, classes, sizes = np.array([4]), np.array([1]), np.array([3])  # point 4, in a cluster of three
    >>> found = Diagnostics(bought, classes, sizes, np.array([0.3, 0.6]), np.array([True, False]), shown=[])
    >>> float(found.correct.mean())
    0.5
    """

    bought: Array
    bought_labels: Array
    cluster_sizes: Array
    nearness: Array
    correct: Array
    shown: list["ClusterExamples"]


@dataclass(frozen=True)
class Calibration:
    """The accuracy of a training set's propagated labels as a function of their weight, on the host.

    Bought labels are excluded.

    Attributes
    ----------
    name : str
        Name of the training set.
    counts : (b,) int array
        Number of labels in each of b equal bins of the weight, from 0 to 1.
    weights, accuracies : (b,) float64 array
        Mean weight and share of correct labels in each bin; 0 in an empty bin.
    error : float
        Expected calibration error: the mean absolute difference between the two, each bin weighted by its count.
    is_weighted : bool
        Whether any weight differs from 1.

    Examples
    --------
    >>> import numpy as np
    >>> counts, weights, accuracies = np.array([10, 30]), np.array([0.3, 0.9]), np.array([0.4, 0.7])
    >>> found = Calibration("graph", counts, weights, accuracies, error=0.175, is_weighted=True)
    >>> float(np.average(abs(found.weights - found.accuracies), weights=found.counts).round(3)) == found.error
    True
    """

    name: str
    counts: Array
    weights: Array
    accuracies: Array
    error: float
    is_weighted: bool


@dataclass(frozen=True)
class ClusterExamples:
    """One cluster and a few of its members, on the host.

    Attributes
    ----------
    number : int
    size : int
    mean : (d,) float array
        Mean of the members' raw values; for k-means on pixels, this is the centroid.
    members : (m,) int array
        Indices of a few members, drawn at random.

    Examples
    --------
    >>> import numpy as np
    >>> examples = ClusterExamples(number=0, size=120, mean=np.array([0.5, 2.0]), members=np.array([3, 8, 21]))
    >>> examples.size, len(examples.members)
    (120, 3)
    """

    number: int
    size: int
    mean: Array
    members: Array


@dataclass(frozen=True)
class Allocations:
    """The scores of one-to-one allocations of classes to clusters.

    Attributes
    ----------
    best : tuple of int
        The class of each cluster in the best allocation, or -1 for no class; any of the best if several tie.
    score : int
        Number of points to which the best allocation gives their true class.
    n_points : int
    method : {"enumeration", "assignment"}
        Whether every allocation was scored, or the assignment algorithm found only the best one.
    ranking : list of (int, tuple of int)
        Scores and allocations of the best few, best first.
    counts : (score_max + 1,) int64 array or None
        Number of allocations with each score, on the host; None without enumeration.

    Examples
    --------
    >>> found = Allocations(best=(1, 0), score=8, n_points=10, method="assignment")  # cluster 0 is class 1
    >>> found.accuracy
    0.8
    """

    best: tuple[int, ...]
    score: int
    n_points: int
    method: str
    ranking: list[Ranked] = field(default_factory=list)
    counts: Array | None = None

    @property
    def accuracy(self) -> float:
        """Share of the points to which the best allocation gives their true class."""
        return self.score / self.n_points


@dataclass(frozen=True)
class Result:
    """One trained model and its accuracy: a row of `results.csv`.

    Accuracies are shares from 0 to 1. `label_accuracy` is the accuracy of the labels that the model was trained on,
    `train_accuracy` that of its own predictions for all training points; None if those were not requested.
    `balanced_accuracy` is the mean over classes of the share of their test points that is correct. `only_class` is the
    name of the class that was predicted for every test point; None if there are several. `fit_seconds` is the time of
    the original fit, even if the model came from the cache. `correct` (n_test,) has whether each prediction was right.

    Examples
    --------
    >>> result = Result(
    ...     select="random", propagation="none", classifier="knn", n_clusters=None, n_labels=100, n_train=100,
    ...     percentile=None, seed=0, label_accuracy=1.0, test_accuracy=0.9, fit_seconds=0.1, predict_seconds=0.2,
    ...     device="cpu",
    ... )
    >>> f"{result.classifier} on {result.n_labels} labels: {result.test_accuracy:.0%}"
    'knn on 100 labels: 90%'
    """

    select: str
    propagation: str
    classifier: str
    n_clusters: int | None
    n_labels: int
    n_train: int
    percentile: float | None
    seed: int
    label_accuracy: float | None
    test_accuracy: float
    fit_seconds: float
    predict_seconds: float
    device: str
    train_accuracy: float | None = None
    is_fair: bool = True
    balanced_accuracy: float | None = None
    only_class: str | None = None
    correct: Array = field(default=None, repr=False, compare=False)


@dataclass
class Stage:
    """The cost of one stage of a run, filled in as the stage proceeds.

    Attributes
    ----------
    group : str
        Part of the run, for tables.
    name : str
        Display name.
    device : str
    seconds : float
        Wall-clock time until the device has finished.
    peak_memory_bytes : int
        Peak device memory in use, sampled every 10 ms.
    cached : bool
        Whether the result came from an earlier run.
    note : str
        Summary of the result, for people.

    Examples
    --------
    >>> stage = Stage(group="cluster", name="k-means", device="cpu")
    >>> stage.seconds = 1.5
    >>> stage
    Stage(group='cluster', name='k-means', device='cpu', seconds=1.5, peak_memory_bytes=0, cached=False, note='')
    """

    group: str
    name: str
    device: str
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    cached: bool = False
    note: str = ""
