"""Advise: how many labels are enough, from a budget of labels that are bought to find it out.

No other label plays a part. The hold-out is a random sample of the data and counts as bought. Where labels are selected
at random all of them are that sample: each is scored by classifiers that learnt from other folds, so that none is spent
on scoring alone. Any other selection must not see the hold-out. It chooses from the rest, anew for each size as it
would with so many labels, and beside it as many random labels are learnt from, taken from the hold-out's other folds.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from gpussl import seeds
from gpussl.classifier.prepared import prepared
from gpussl.errors import ConfigError
from gpussl.evaluate import learning_curve as curves
from gpussl.evaluate.learning_curve import LEVEL, Curve, LabelBudget, Measured
from gpussl.features.represented import Represented
from gpussl.propagate.none import NoPropagation
from gpussl.protocols import Twin
from gpussl.records import Array, Buy, Clustering, OnProgress
from gpussl.runtime.config import Job

AHEAD = (1, 2, 4)  # multiples of the budget that accuracies are told for
OF_CLUSTERS = ("nearest_to_centroid", "typical")  # selections of one label a cluster

# takes the indices (m,) of points, and how many clusters if not as set
Cluster = Callable[[Array, int | None], Clustering]


@dataclass(frozen=True)
class Purchase:
    """What was bought, as indices on the host.

    Attributes
    ----------
    holdout : (h,) int array
    chosen : list of (m,) int array
        For each size, what a selection that is not random chose for it; empty for a random one.
    """

    holdout: np.ndarray
    chosen: list[np.ndarray]


@dataclass(frozen=True)
class Learner:
    """The classifier, and what it learns from: (n, d) features where `twin` is."""

    model: Any
    X: Array
    twin: Twin
    image_shape: tuple[int, int]
    seed: int

    def __call__(self, points: np.ndarray, labels: np.ndarray, asked: np.ndarray, name: str) -> np.ndarray:
        """The classes of the points `asked` (q,), learnt from the labels (m,) of `points` (m,)."""
        if len(np.unique(labels)) == 1:
            return np.full(len(asked), labels[0])  # there is nothing to tell apart
        twin = self.twin
        model = prepared(self.model, seeds.derive(self.seed, f"budget/{name}"), self.image_shape, twin.DEVICE)
        rows, queries = (self.X.take(twin.asarray(ids), axis=0) for ids in (points, asked))
        model.fit(rows, twin.asarray(labels), twin.asarray(points))
        return twin.to_numpy(model.predict(queries))


@dataclass(frozen=True)
class Forecast:
    """The accuracy to expect with n labels, as a share, and the interval that it lies in with probability `LEVEL`."""

    n_labels: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Advice:
    """What one selection's curve says.

    Attributes
    ----------
    measured : Measured
    half_widths : (s,) array
        Half the intervals of the accuracies measured.
    curve, draws : Curve
        The one that fits best, and many that are as likely as the points make them.
    forecasts : list of Forecast
    needed : tuple of float
        The labels that reach the target, and their interval: infinite where it is not reached.
    gain : tuple of float
        What twice the labels add, and its interval.
    p_reached, p_small : float
        The probabilities that the budget reaches the target, and that the gain is below what is worth it.
    is_enough : bool
        Stop.
    more : int
        Labels to buy else.
    """

    measured: Measured
    half_widths: np.ndarray
    curve: Curve
    draws: Curve
    forecasts: list[Forecast]
    needed: tuple[float, float, float]
    gain: tuple[float, float, float]
    p_reached: float
    p_small: float
    is_enough: bool
    more: int


@dataclass(frozen=True)
class Outcome:
    """What a budget was spent on and has shown: of the selection asked for first, and beside it of random labels."""

    budget: LabelBudget
    n_bought: int
    n_points: int
    advices: list[Advice]


def check_job(job: Job) -> None:
    """Raise ConfigError if a job asks for what a budget cannot be spent on."""
    alone, select, names = "the bought labels alone", job.select.name, ", ".join(job.classifier) or "none"
    if len(job.classifier) != 1:
        _refuse("classifier", "one, whose curve it is", names)
    (model,) = job.classifier.values()
    if getattr(model, "stopping", "") == "test":
        _refuse("classifier", "one that no test label stops", names)
    if getattr(model, "learns_from_unlabelled", False):
        _refuse("classifier", f"one that learns from {alone}", names)
    if not all(isinstance(stage, NoPropagation) for stage in job.propagate.values()):
        _refuse("propagate", f"none, for classifiers learn from {alone}", ", ".join(job.propagate))
    if job.allocate:
        _refuse("allocate", "false, for no test label is opened", "true")
    if job.score_training:
        _refuse("score_training", "false, for no label is opened that was not bought", "true")
    if job.views > 1:
        _refuse("views", "1", str(job.views))
    if not isinstance(job.features, Represented):
        _refuse("features", "represented or pixels", "distances to clusters that are others for each size")
    if select not in OF_CLUSTERS and not hasattr(job.select, "n_labels"):
        _refuse("select", "one that takes any number of labels", select)
    if getattr(job.select, "knows_classes", False):
        _refuse("select", "one that need not know the classes", select)
    if select in OF_CLUSTERS and not hasattr(job.cluster, "n_clusters"):
        _refuse("cluster", f"one with n_clusters, for select={select}", type(job.cluster).__name__)
    try:
        job.budget.check_plan(is_random=select == "random")
    except ConfigError as error:
        raise ConfigError(f"budget.{error}") from error


def _refuse(name: str, expected: str, found: str) -> None:
    raise ConfigError(f"{name}: expected with a budget {expected}, found {found}; choose another with {name}=...")


def choose(job: Job, X: Array, twin: Twin, buy: Buy, cluster: Cluster) -> Purchase:
    """Draw the hold-out from (n, d) points, and let the selection choose from the others for each size."""
    budget, is_random = job.budget, job.select.name == "random"
    rng = seeds.generator(job.seed, "budget/hold-out")
    holdout = rng.choice(X.shape[0], budget.n_holdout(is_random), replace=False)
    buy(twin.asarray(holdout))
    chosen: list[np.ndarray] = []
    if is_random:
        return Purchase(holdout, chosen)
    others = twin.asarray(np.setdiff1d(np.arange(X.shape[0]), holdout))
    rest = X.take(others, axis=0)
    clusters = functools.cache(lambda n_clusters: cluster(others, n_clusters))  # one for all sizes, or one for each
    for size in budget.sizes(is_random).tolist():
        select, n_clusters = of_size(job.select, size)
        clustering = clusters(n_clusters)
        seed = seeds.derive(job.seed, f"budget/select {size}")
        found = others[select.select(rest, clustering, seed, lambda places: buy(others[places]))]
        buy(found)
        chosen.append(twin.to_numpy(found))
    return Purchase(holdout, chosen)


def of_size(select: Any, size: int) -> tuple[Any, int | None]:
    """The selection of so many labels, and the clusters it takes: as many, or None for as many as are set."""
    if select.name in OF_CLUSTERS:
        return select, size
    return dataclasses.replace(select, n_labels=size), None


def measure(
    purchase: Purchase, labels_of: Callable[[np.ndarray], np.ndarray], job: Job, learn: Learner, advance: OnProgress
) -> list[Measured]:
    """Score classifiers that learnt from what was chosen, and beside it from as many random labels.

    Parameters
    ----------
    labels_of : callable
        Takes indices (m,) that were bought and answers their labels (m,).
    """
    budget, sizes = job.budget, job.budget.sizes(not purchase.chosen)
    holdout, y = purchase.holdout, labels_of(purchase.holdout)
    if len(np.unique(y)) == 1:
        raise ConfigError(
            f"budget.n_labels: expected labels of at least two classes, found one class among the {len(y)} of the "
            "hold-out; buy more labels"
        )
    total = len(sizes) * (budget.n_repeats * budget.n_folds + bool(purchase.chosen))
    correct = np.zeros((budget.n_repeats, len(sizes), len(y)), dtype=bool)
    rng, done = seeds.generator(job.seed, "budget/folds"), 0
    for repeat in range(budget.n_repeats):
        for fold, asked in enumerate(np.array_split(rng.permutation(len(y)), budget.n_folds)):
            others = rng.permutation(np.setdiff1d(np.arange(len(y)), asked))
            for place, size in enumerate(sizes.tolist()):
                taken = others[:size]
                said = learn(holdout[taken], y[taken], holdout[asked], f"random {repeat} {fold} {size}")
                correct[repeat, place, asked] = said == y[asked]
                done += 1
                advance(done, total, f"{size} random labels")
    measured = [Measured("random", sizes, correct, is_reused=True)]
    if purchase.chosen:
        hits = [learn(points, labels_of(points), holdout, f"chosen {len(points)}") == y for points in purchase.chosen]
        lengths = np.array([len(points) for points in purchase.chosen])  # an empty cluster has no label
        measured.insert(0, Measured(job.select.name, lengths, np.array(hits)[None], is_reused=False))
    return measured


def advise(measured: Measured, budget: LabelBudget, n_points: int, seed: int) -> Advice:
    """What follows from accuracies measured, for a budget spent on some of `n_points` training points."""
    n, rng = budget.n_labels, seeds.generator(seed, f"budget/{measured.select}")
    cov = curves.covariance(measured, rng)
    points = measured.sizes, measured.accuracies, cov + curves.drift(measured, n), n
    curve, draws = curves.fit(*points), curves.draw_curves(*points, rng)
    gains = draws.at(2 * n) - draws.at(n)
    needed = float(curve.labels_for(budget.target)[0])
    p_reached, p_small = float(np.mean(draws.at(n) >= budget.target)), float(np.mean(gains < budget.min_gain))
    left = n_points - n
    is_enough = max(p_reached, p_small) >= LEVEL or left == 0
    wanted = ceil(needed) - n if n < needed <= 2 * n else n
    return Advice(
        measured=measured,
        half_widths=curves.Z * np.sqrt(np.diag(cov)),
        curve=curve,
        draws=draws,
        forecasts=[
            Forecast(times * n, float(curve.at(times * n)), *curves.interval(draws.at(times * n))) for times in AHEAD
        ],
        needed=(needed, *curves.interval(draws.labels_for(budget.target))),
        gain=(float(curve.at(2 * n) - curve.at(n)), *curves.interval(gains)),
        p_reached=p_reached,
        p_small=p_small,
        is_enough=is_enough,
        more=0 if is_enough else min(wanted, left),
    )
