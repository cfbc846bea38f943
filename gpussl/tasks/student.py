"""A model for new data that learns from labels that have spread: what the points know of each other stays in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpussl import seeds
from gpussl.classifier.mlp import MLPClassifier
from gpussl.protocols import Classifier
from gpussl.records import Answers
from gpussl.tasks.prepare import Context, Data
from gpussl.tasks.spread import Spreading

FEWEST, MOST = 1_000, 5_000  # points with labels that spread; of fewer, a network learns less than the model knows
# all points are learnt from: which epoch is the best cannot be seen on labels that are guessed
NETWORK = MLPClassifier(hidden_layer_sizes=[512, 256], min_held_out=2 * MOST)


@dataclass(frozen=True)
class Student:
    """A classifier, and the number of points whose labels it has learnt from.

    >>> Student(MLPClassifier(), n_points=5_000).n_points
    5000
    """

    classifier: Classifier
    n_points: int


def fitted(
    run_on: Context,
    data: Data,
    known: Answers,
    teacher: Classifier,
    spreading: Spreading,
    shares: np.ndarray,
    hidden: Sequence[int] = (),
    use: str = "student",
) -> Student | None:
    """Fit a multilayer perceptron to the known labels, and to those that the teacher and the graph give other points.

    Each label of another point counts as much as its probability. None if there are too few points for a network, or if
    a person has named the classifier instead of `auto`.

    Parameters
    ----------
    known : Answers
        The labels that the teacher was fitted to, and that spread.
    shares : (n, n_classes) array
        How they spread: see `Spreading.shares`.
    hidden : sequence of int
        Points that it must not learn from.
    use : str
        What its seed is for.

    References
    ----------
    Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", 2015: a student learns what a teacher says.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.classifier.auto import AutoClassifier
    >>> from gpussl.propagate.graph import GraphPropagation
    >>> from gpussl.propagate.neighbor_graph import neighbor_graph, neighbors
    >>> from gpussl.records import Dataset
    >>> from gpussl.tasks.example import on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_on = on_fruit(folder, "learn")
    >>> X = np.concatenate([np.linspace(0, 1, 600), np.linspace(3, 4, 600)])[:, None].astype(np.float32)
    >>> known = Answers(np.arange(0, 1200, 100), np.arange(12) // 6)
    >>> teacher = AutoClassifier().fit(X[known.indices], known.labels)
    >>> spreading = Spreading(GraphPropagation(), neighbor_graph(neighbors(X, 10)), n_classes=2, weight=0.5)
    >>> data = Data(Dataset("two", X), X, None, "two")
    >>> with run_on.monitor.stage("student", run_on.twin):
    ...     made = fitted(run_on, data, known, teacher, spreading, spreading.shares(known))
    >>> made.n_points, made.classifier.predict(np.array([[0.2], [3.5]], dtype=np.float32)).tolist()
    (1188, [0, 1])
    """
    twin, n = run_on.twin, data.X_train.shape[0]
    bought, labels = twin.to_numpy(known.indices), twin.to_numpy(known.labels)
    others = np.setdiff1d(np.arange(n), np.concatenate([bought, np.asarray(hidden, dtype=np.int64)]))
    if not teacher.compared_ or len(others) < FEWEST:
        return None
    seed = run_on.seed(use)
    taken = np.sort(seeds.generator(seed, "points").permutation(others)[:MOST])
    X = data.X_train.take(twin.asarray(np.concatenate([bought, taken])), axis=0)
    proba = np.zeros((len(taken), spreading.n_classes))
    proba[:, teacher.classes_] = twin.to_numpy(teacher.predict_proba(X[len(bought) :, :]))
    proba = spreading.mixed(proba, shares[taken])
    y = np.concatenate([labels, proba.argmax(axis=1)])
    weights = np.concatenate([np.ones(len(bought)), proba.max(axis=1)])
    network = NETWORK.prepared(seed, data.dataset.image_shape, twin.DEVICE)
    return Student(network.fit(X, y, weights, on_progress=run_on.monitor.advance), len(taken))
