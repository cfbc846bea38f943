"""The frozen records that pass between stages.

Arrays are NumPy's or CuPy's, as the data are: n is the number of training images, d of features, k of clusters.
"""

from dataclasses import dataclass, field
from typing import Any

Array = Any  # a NumPy, CuPy or any other array-API array; what it is decides where the work is done

UNLABELLED = -1  # as in scikit-learn's semi-supervised estimators


@dataclass(frozen=True)
class Dataset:
    """A data set as it was read, on the host.

    Only `oracle` reads `y_train`, and only `evaluate` reads `y_test`: no other stage can learn from a label that was
    not paid for.

    Attributes
    ----------
    name : str
    X_train, X_test : (n, d) and (n_test, d) uint8 or float array
        Raw pixels, 0 to `max_value`.
    y_train, y_test : (n,) and (n_test,) int64 array
        Class numbers from 0.
    class_names : tuple of str
    image_shape : (height, width)
    max_value : float
    checksums : dict of str to str
        What was read, by name: sha256 of its decompressed bytes.
    """

    name: str
    X_train: Array
    y_train: Array
    X_test: Array
    y_test: Array
    class_names: tuple[str, ...]
    image_shape: tuple[int, int]
    max_value: float
    checksums: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Clustering:
    """A partition of n points into k clusters, some of which may be empty.

    Attributes
    ----------
    centroids : (k, d) float array
    labels : (n,) int array
        The cluster of each point, 0 to k - 1.
    distances : (n,) float array
        Euclidean distance of each point to the centroid of its own cluster.
    inertia : float
        Sum of the squared distances.
    n_iter : int
        Lloyd iterations that were run.
    """

    centroids: Array
    labels: Array
    distances: Array
    inertia: float
    n_iter: int


@dataclass(frozen=True)
class PseudoLabels:
    """What is known, or guessed, of n points after labels were bought and propagated.

    Attributes
    ----------
    labels : (n,) int array
        A class number, or -1 where propagation did not reach.
    sources : (n,) int array
        The index of the point whose bought label this is, or -1. A bought point is its own source.
    """

    labels: Array
    sources: Array


@dataclass(frozen=True)
class TrainingSet:
    """One way of getting training labels, with what it cost and what is known of it.

    Attributes
    ----------
    name : str
        The propagation, or the baseline.
    pseudo_labels : PseudoLabels
    n_bought : int
        Labels bought from the oracle for it.
    label_accuracy : float
        Share of its labels that are right: for reports, never for training.
    n_clusters, percentile : int, float or None
        None where clusters play no part, or no cut is made.
    """

    name: str
    pseudo_labels: PseudoLabels
    n_bought: int
    label_accuracy: float
    n_clusters: int | None = None
    percentile: float | None = None


@dataclass(frozen=True)
class Diagnostics:
    """What the report shows of the clustering and its representatives, on the host.

    Attributes
    ----------
    representatives : (m,) int array
        Indices of the bought points.
    representative_labels : (m,) int array
        Their classes.
    cluster_sizes : (m,) int array
        How many points each one's cluster has.
    nearness : (r,) float array
        Of each point that propagation to whole clusters reaches, the bought ones apart: the share of its cluster that
        is nearer to the centroid, 0 to 1.
    correct : (r,) bool array
        Whether the label that reaches it is right.
    """

    representatives: Array
    representative_labels: Array
    cluster_sizes: Array
    nearness: Array
    correct: Array


@dataclass(frozen=True)
class Result:
    """One trained model and how good it is: a row of `results.csv`.

    Accuracies are shares from 0 to 1. `label_accuracy` is that of the labels it was trained on.
    """

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
    device: str
