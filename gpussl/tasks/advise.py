"""Advise: how many labels are enough, estimated from a budget of bought labels and no others.

The hold-out is a random sample of the data and counts as bought. If labels are selected at random, all of them form the
hold-out: cross-validation scores each by classifiers trained on other folds, so none is spent on scoring alone. Any
other selection must not see the hold-out. It chooses from the rest, anew for each size, and is compared with the same
number of random labels from the other folds of the hold-out.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from gpussl import seeds
from gpussl.backend import cpu
from gpussl.cluster.none import NoClustering
from gpussl.errors import ConfigError
from gpussl.evaluate.advice import Findings, advise
from gpussl.evaluate.learning_curve import LabelBudget, Measured
from gpussl.label.oracle import Oracle
from gpussl.label.rounds import ask_in_rounds
from gpussl.protocols import Classifier, Selection, Twin
from gpussl.records import Array, Clustering, OnProgress
from gpussl.runtime import store
from gpussl.runtime.config import Job
from gpussl.tasks import advise_parts, prepare
from gpussl.tasks.outcome import Outcome
from gpussl.tasks.prepare import Context

# takes the indices (m,) of points, and the number of clusters, None for that of the settings
Cluster = Callable[[Array, int | None], Clustering]


@dataclass(frozen=True)
class Purchase:
    """The bought points, as indices on the host.

    Attributes
    ----------
    holdout : (h,) int array
    chosen : list of (m,) int array
        The points that the selection chose for each size; empty if it is random.

    Examples
    --------
    >>> Purchase(holdout=np.array([4, 7]), chosen=[]).holdout
    array([4, 7])
    """

    holdout: np.ndarray
    chosen: list[np.ndarray]


@dataclass(frozen=True)
class Learner:
    """The classifier with the (n, d) features that it learns from, on the device of `twin`.

    Examples
    --------
    >>> from gpussl.classifier.knn import KNeighborsClassifier
    >>> X = np.array([[0.0], [1.0], [0.2], [0.9]], dtype=np.float32)
    >>> learn = Learner(KNeighborsClassifier(n_neighbors=1), X, cpu, image_shape=None, seed=0)
    >>> learn(np.array([0, 1]), np.array([5, 6]), asked=np.array([2, 3]), name="random 0 0 2")
    array([5, 6])
    """

    model: Classifier
    X: Array
    twin: Twin
    image_shape: tuple[int, ...] | None
    seed: int

    def __call__(self, points: np.ndarray, labels: np.ndarray, asked: np.ndarray, name: str) -> np.ndarray:
        """Predict the classes (q,) of the points `asked` (q,) from the labels (m,) of `points` (m,)."""
        if len(np.unique(labels)) == 1:
            return np.full(len(asked), labels[0])  # classifiers need two classes
        twin = self.twin
        model = self.model.prepared(seeds.derive(self.seed, f"budget/{name}"), self.image_shape, twin.DEVICE)
        rows, queries = (self.X.take(twin.asarray(ids), axis=0) for ids in (points, asked))
        model.fit(rows, twin.asarray(labels), groups=twin.asarray(points))
        return twin.to_numpy(model.predict(queries))


def check(job: Job) -> None:
    """Raise ConfigError if a job does not suit the task.

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> check(config.job("+experiment=label_budget", "classifier=[knn]", "propagate=[cluster]"))
    Traceback (most recent call last):
    gpussl.errors.ConfigError: propagate: expected none with task=advise, found cluster; choose another with
        propagate=...
    """
    select, names = job.select.name, ", ".join(job.classifier) or "none"
    if job.budget is None:
        _refuse("budget", "settings, such as those of +experiment=label_budget,", "none")
    if len(job.classifier) != 1:
        _refuse("classifier", "exactly one", names)
    (model,) = job.classifier.values()
    if model.stops_by_test_labels:
        _refuse("classifier", "one that does not stop by the test labels", names)
    if model.learns_from_unlabelled:
        _refuse("classifier", "one that learns from labelled points alone", names)
    if any(stage.spreads for stage in job.propagate.values()):
        _refuse("propagate", "none", ", ".join(job.propagate))
    if job.allocate:
        _refuse("allocate", "false", "true")
    if job.score_training:
        _refuse("score_training", "false", "true")
    if job.views > 1:
        _refuse("views", "1", str(job.views))
    if job.features.needs_clusters:
        _refuse("features", "represented or pixels", "distances to clusters, which differ between sizes")
    if not job.select.one_per_cluster and job.select.n_labels is None:
        _refuse("select", "one that takes any number of labels", select)
    if job.select.knows_classes:
        _refuse("select", "one that does not know the classes in advance", select)
    if job.select.one_per_cluster and not job.cluster.has_n_clusters:
        _refuse("cluster", f"one with n_clusters for select={select}", type(job.cluster).__name__)
    try:
        _budget(job).check_plan(is_random=job.select.is_random)
    except ConfigError as error:
        raise ConfigError(f"budget.{error}") from error


def _refuse(name: str, expected: str, found: str) -> NoReturn:
    raise ConfigError(f"{name}: expected {expected} with task=advise, found {found}; choose another with {name}=...")


def _budget(job: Job) -> LabelBudget:
    assert job.budget is not None  # noqa: S101 - for the type checker: it was checked
    return job.budget


def work(run_on: Context, folder: Path) -> Outcome:
    """Spend a budget of labels to estimate how many are needed.

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> from gpussl.tasks.monitor import Monitor
    >>> small = ("budget.n_labels=60", "budget.n_folds=4", "budget.n_repeats=2", "budget.n_sizes=3")
    >>> job = config.job("+experiment=label_budget", "classifier=[knn]", "cache=null", "device=cpu", *small)
    >>> run_on = Context(job, cpu, Monitor(), prepare.open_cache(job, cpu), prepare.Loader())
    >>> print(work(run_on, Path()).parts[1].text.partition(":")[0])
    Go on, buy 60 more
    """
    job, twin, monitor, budget = run_on.job, run_on.twin, run_on.monitor, _budget(run_on.job)
    pixels = prepare.load(run_on)
    n_points = len(pixels.dataset.X_train)
    budget.check_size(n_points)
    data, oracle = prepare.represent(run_on, pixels), prepare.oracle_of(pixels.dataset)

    def cluster(points: Array, n_clusters: int | None) -> Clustering:
        settings = job.cluster
        if n_clusters is not None:
            settings = dataclasses.replace(job.cluster, n_clusters=n_clusters)  # type: ignore[type-var]
        fingerprint = f"{data.fingerprint} {store.digest(points)}"
        part = dataclasses.replace(data, X_train=data.X_train.take(points, axis=0), fingerprint=fingerprint)
        return prepare.cluster(dataclasses.replace(run_on, job=dataclasses.replace(job, cluster=settings)), part)

    purchase = choose(job, data.X_train, twin, oracle, cluster)
    (model,) = job.classifier.values()
    seen = pixels if job.features.of_pixels else data
    features = job.features.fit(seen.X_train, NoClustering().fit(seen.X_train, 0), run_on.seed("features"))
    X = features.transform_fitted(seen.X_train)
    learner = Learner(model, X, twin, pixels.dataset.image_shape, job.seed)
    with monitor.stage("train", twin) as stage:
        measured = measure(purchase, oracle.buy, job, learner, monitor.advance)
        stage.note = f"{oracle.n_bought:,} labels bought"
    with monitor.stage("advise", cpu):
        advices = [advise(item, budget, n_points, job.seed) for item in measured]
    return Outcome(pixels.dataset, advise_parts.parts(job.name, Findings(budget, oracle.n_bought, n_points, advices)))


def choose(job: Job, X: Array, twin: Twin, oracle: Oracle, cluster: Cluster) -> Purchase:
    """Draw the hold-out from (n, d) points, and let the selection choose from the others for each size.

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> job = config.job("+experiment=label_budget", "classifier=[knn]", "budget.n_labels=60")
    >>> oracle = Oracle(np.zeros(100, dtype=int))
    >>> purchase = choose(job, np.zeros((100, 2)), cpu, oracle, cluster=None)  # random labels need no clusters
    >>> purchase.holdout.shape, purchase.chosen, oracle.n_bought
    ((60,), [], 60)
    """
    budget, is_random = _budget(job), job.select.is_random
    rng = seeds.generator(job.seed, "budget/hold-out")
    holdout = rng.choice(X.shape[0], budget.n_holdout(is_random), replace=False)
    oracle.buy(twin.asarray(holdout))
    chosen: list[np.ndarray] = []
    if is_random:
        return Purchase(holdout, chosen)
    others = twin.asarray(np.setdiff1d(np.arange(X.shape[0]), holdout))
    rest = X.take(others, axis=0)
    clusters = functools.cache(lambda n_clusters: cluster(others, n_clusters))  # shared by all sizes, or one for each
    for size in budget.sizes(is_random).tolist():
        select, n_clusters = of_size(job.select, size)
        seed = seeds.derive(job.seed, f"budget/select {size}")

        def buy(places: Array) -> Array:
            return oracle.buy(others[places])

        answers = ask_in_rounds(select, rest, clusters(n_clusters), seed, buy, buy)
        chosen.append(twin.to_numpy(others[answers.indices]))
    return Purchase(holdout, chosen)


def of_size(select: Selection, size: int) -> tuple[Selection, int | None]:
    """Return the selection of `size` labels, and the number of clusters it needs; None for that of the settings.

    Examples
    --------
    >>> from gpussl.select.random import Random
    >>> of_size(Random(n_labels=100), 40)
    (Random(n_labels=40), None)
    """
    if select.one_per_cluster:
        return select, size
    return dataclasses.replace(select, n_labels=size), None  # type: ignore[type-var]


def measure(
    purchase: Purchase, labels_of: Callable[[np.ndarray], np.ndarray], job: Job, learn: Learner, advance: OnProgress
) -> list[Measured]:
    """Score classifiers trained on the chosen labels, and on the same number of random labels.

    Parameters
    ----------
    labels_of : callable
        Maps indices (m,) of bought points to their labels (m,).

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> small = ("budget.n_labels=60", "budget.n_folds=4", "budget.n_repeats=2", "budget.n_sizes=3")
    >>> job = config.job("+experiment=label_budget", "classifier=[knn]", *small)
    >>> parity = lambda indices: indices % 2
    >>> learn = lambda points, labels, asked, name: parity(asked)  # a classifier that is always correct
    >>> (found,) = measure(Purchase(np.arange(60), []), parity, job, learn, lambda done, total, note: None)
    >>> found.sizes, found.accuracies
    (array([11, 22, 45]), array([1., 1., 1.]))
    """
    budget = _budget(job)
    sizes = budget.sizes(not purchase.chosen)
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
    floor = float(np.unique(y, return_counts=True)[1].max() / len(y))
    measured = [Measured("random", sizes, correct, is_reused=True, floor=floor)]
    if purchase.chosen:
        hits = [learn(points, labels_of(points), holdout, f"chosen {len(points)}") == y for points in purchase.chosen]
        lengths = np.array([len(points) for points in purchase.chosen])  # fewer than asked for, if clusters are empty
        measured.insert(0, Measured(job.select.name, lengths, np.array(hits)[None], is_reused=False, floor=floor))
    return measured
