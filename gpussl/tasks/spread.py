"""Labels that spread along the graph of nearest neighbours, beside the probabilities of a model."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from gpussl import backend, seeds
from gpussl.classifier.holdout import stratified_folds
from gpussl.errors import ConfigError
from gpussl.propagate.graph import GraphPropagation
from gpussl.propagate.neighbor_graph import Graph, neighbor_graph
from gpussl.records import Answers
from gpussl.runtime import console
from gpussl.runtime.config import Job
from gpussl.tasks import prepare
from gpussl.tasks.prepare import Context, Data

MOST = 100_000  # points on a CPU: the time for the neighbours grows with their square
WEIGHTS = (0.0, 0.25, 0.5, 0.75)  # of spread labels beside the model
POWERS = (1, 2, 4, 8, 16, 32)  # shares are nearly equal where labels are few
N_FOLDS = 5
FLOOR = 1e-3  # of a probability, so that one mistake does not decide


@dataclass(frozen=True)
class Spreading:
    """Spread labels of all points, and how much they count.

    Attributes
    ----------
    propagation : GraphPropagation
    graph : Graph
    n_classes : int
    power : int
        Shares of the classes are raised to this power.
    weight : float
        Of the spread labels; the rest is the model's.

    Examples
    --------
    >>> from gpussl.propagate.neighbor_graph import neighbors
    >>> X, rule = np.array([[0.0], [1.0], [7.0], [8.0]]), GraphPropagation(n_neighbors=1)
    >>> spreading = Spreading(rule, neighbor_graph(neighbors(X, 1)), n_classes=2, weight=0.5)
    >>> known = Answers(np.array([0, 3]), np.array([0, 1]))
    >>> spreading.blended(np.full((4, 2), 0.5), known, np.arange(4)).tolist()
    [[0.75, 0.25], [0.75, 0.25], [0.25, 0.75], [0.25, 0.75]]
    """

    propagation: GraphPropagation
    graph: Graph
    n_classes: int
    power: int = 1
    weight: float = 0.0

    def blended(self, of_model: np.ndarray, known: Answers, places: np.ndarray) -> np.ndarray:
        """Mix the model's probabilities (m, c) of the points at `places` with labels that spread from the known ones.

        Points that no label reaches keep the model's.
        """
        return self.mixed(of_model, self.shares(known)[places])

    def shares(self, known: Answers) -> np.ndarray:
        """Return the share of each class at each point (n, c), 0 where no label reaches."""
        found = self.propagation.class_shares(self.graph, known.indices, known.labels, self.n_classes)
        return np.asarray(found)

    def mixed(self, of_model: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """The weighted mean of the model's probabilities (m, c) and the shares (m, c) raised to the power."""
        spread = shares**self.power
        totals = spread.sum(axis=1, keepdims=True)
        spread = np.where(totals > 0, spread / np.where(totals > 0, totals, 1), of_model)
        return (1 - self.weight) * of_model + self.weight * spread


def check(job: Job) -> None:
    """Raise ConfigError if the propagation of a job is none that suits a person's data.

    >>> from gpussl.runtime import config
    >>> check(config.job("classifier=[knn]", "cluster.n_clusters=5", "propagate=[cluster]"))
    Traceback (most recent call last):
    gpussl.errors.ConfigError: propagate: expected label_spreading, poisson or none with task=study, found cluster
    """
    others = [stage for stage in job.propagate.values() if stage.spreads and not isinstance(stage, GraphPropagation)]
    if others or len(job.propagate) > 1:
        found = ", ".join(job.propagate)
        raise ConfigError(f"propagate: expected label_spreading, poisson or none with task={job.task}, found {found}")


def fitted(run_on: Context, data: Data, known: Answers, of_model: np.ndarray) -> Spreading | None:
    """Decide by cross-validation how much spread labels count; None if they do not.

    Parameters
    ----------
    of_model : (m, c) array
        The probabilities that models without their labels give the labelled points; rows of NaN are left out.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.records import Dataset
    >>> from gpussl.tasks.example import on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_on = on_fruit(folder, "learn", "propagate=[label_spreading]")
    >>> X = np.concatenate([np.arange(20), 100 + np.arange(20)])[:, None].astype(float)
    >>> known = Answers(np.array([0, 9, 19, 20, 29, 39]), np.array([0, 0, 0, 1, 1, 1]))
    >>> fitted(run_on, Data(Dataset("two", X), X, None, "two"), known, np.full((6, 2), 0.5)).weight
    0.75
    """
    job, twin = run_on.job, run_on.twin
    rule = next((stage for stage in job.propagate.values() if isinstance(stage, GraphPropagation)), None)
    n = data.X_train.shape[0]
    if rule is None or rule.n_neighbors >= n:
        return None
    if twin.DEVICE == "cpu" and n > MOST:
        console.say(f"propagate: left out, for it is too slow on a CPU for more than {MOST:,} points; there are {n:,}")
        return None
    joined = neighbor_graph(prepare.neighbors(run_on, data, rule.n_neighbors))
    with run_on.monitor.stage("propagate", twin) as stage:
        found = _best(Spreading(rule, joined, of_model.shape[1]), of_model, known, run_on.seed("propagate"))
        stage.note = "not used" if found is None else f"weight {found.weight:.0%}"
    return found


def _best(plain: Spreading, of_model: np.ndarray, known: Answers, seed: int) -> Spreading | None:
    """The weight and the power of the smallest log-loss of the known labels (m,), each without its own; None for 0."""
    twin = backend.of(known.indices)
    indices, y = twin.to_numpy(known.indices), twin.to_numpy(known.labels)
    shares = np.zeros_like(of_model)
    folds = stratified_folds(y, indices, min(N_FOLDS, len(y)), seeds.generator(seed, "folds"))
    for fold in np.unique(folds):
        asked, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        some = Answers(twin.asarray(indices[others]), twin.asarray(y[others]))
        shares[asked] = plain.shares(some)[indices[asked]]
    counted = np.flatnonzero(np.isfinite(of_model).all(axis=1))
    candidates = [
        dataclasses.replace(plain, power=power, weight=weight)
        for weight in WEIGHTS
        for power in (POWERS if weight else POWERS[:1])
    ]
    best = min(candidates, key=lambda one: _log_loss(one.mixed(of_model[counted], shares[counted]), y[counted]))
    return best if best.weight else None


def _log_loss(proba: np.ndarray, y: np.ndarray) -> float:
    return float(-np.mean(np.log(np.maximum(proba[np.arange(len(y)), y], FLOOR))))
