"""Study: all labels are known, so labels, clusters and models from a few bought labels can be scored."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from array_api_compat import array_namespace

from gpussl.backend import cpu
from gpussl.classifier.model import Model
from gpussl.cluster.assign import assign
from gpussl.errors import ConfigError
from gpussl.evaluate import allocate
from gpussl.evaluate.accuracy import accuracy, fingerprint, most_frequent, score
from gpussl.evaluate.calibration import calibrate
from gpussl.evaluate.diagnose import diagnose
from gpussl.label.oracle import Oracle
from gpussl.label.rounds import ask_in_rounds
from gpussl.numeric.arrays import arange_like
from gpussl.numeric.clusters import cluster_names
from gpussl.propagate.cluster import ClusterPropagation
from gpussl.propagate.none import NoPropagation
from gpussl.protocols import Classifier
from gpussl.records import UNLABELLED, Allocations, Answers, Clustering, Dataset, Diagnostics, Result, TrainingSet
from gpussl.runtime import store
from gpussl.runtime.config import Job
from gpussl.select.all import All
from gpussl.select.random import Random
from gpussl.studies.watch import Watch
from gpussl.tasks import limits, prepare, study_parts
from gpussl.tasks.outcome import Outcome
from gpussl.tasks.prepare import Context, Data

CLUSTERING = "clustering.safetensors"


@dataclass(frozen=True)
class Labelling:
    """The bought labels, the oracle that sold them, and the training sets made from them.

    Examples
    --------
    >>> import numpy as np
    >>> Labelling(Answers(np.array([0]), np.array([1])), Oracle(np.array([1, 0])), training_sets=[]).bought.labels
    array([1])
    """

    bought: Answers
    oracle: Oracle
    training_sets: list[TrainingSet]


def check(job: Job) -> None:
    """Raise ConfigError if a job asks for advice.

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> check(config.job("+experiment=label_budget", "classifier=[knn]", "task=study"))
    Traceback (most recent call last):
    gpussl.errors.ConfigError: budget: expected none with task=study, found one; say task=advise, or leave it out
    """
    if job.budget is not None:
        raise ConfigError("budget: expected none with task=study, found one; say task=advise, or leave it out")


def work(run_on: Context, folder: Path) -> Outcome:
    """Run all stages, and save clustering, labels and models in `folder` as they are made.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.runtime import config
    >>> from gpussl.tasks.monitor import Monitor
    >>> job = config.job("classifier=[knn]", "cluster.n_clusters=10", "cache=null", "device=cpu")
    >>> run_on = Context(job, cpu, Monitor(), prepare.open_cache(job, cpu), prepare.Loader())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     outcome = work(run_on, Path(folder))
    ...     sorted(path.name for path in Path(folder).glob("models/*"))
    ['cluster-knn.safetensors', 'nearest-knn.safetensors', 'none-knn.safetensors', 'random-knn.safetensors']
    >>> [result.n_labels for result in outcome.results]
    [10, 10, 10, 10]
    """
    job, monitor = run_on.job, run_on.monitor
    pixels = prepare.load(run_on)
    dataset = pixels.dataset
    guessing = dataclasses.replace(most_frequent(dataset), seed=job.seed)  # no test set: DataError before the work
    represented, clustering = prepare.represent_and_cluster(run_on, pixels)
    labelling = _label(run_on, represented, clustering)
    if clustering.centroids.shape[0]:
        store.save(folder / CLUSTERING, clustering)
    allocations, results = _allocate(run_on, represented, clustering, labelling) if job.allocate else (None, [])
    data = _featurize(run_on, pixels if job.features.of_pixels else represented, clustering)
    limits.check_training(job, data.X_train, labelling.training_sets, data.on_disk_beyond)
    compared = {}
    for training_set in labelling.training_sets:
        store.save(folder / "labels" / f"{training_set.name}.safetensors", training_set.pseudo_labels)
        for name in job.classifier:
            classifier, fit_seconds = _train(run_on, data, training_set, name)
            store.save(folder / "models" / f"{training_set.name}-{name}.safetensors", _model(data, classifier))
            if classifier.compared_:
                compared[f"{training_set.name}, {name}"] = classifier.compared_
            results += _evaluate(run_on, data, labelling.oracle, training_set, name, classifier, fit_seconds)
    with monitor.stage("report", cpu, "diagnose"):
        diagnostics = _diagnose(run_on, represented, clustering, labelling)
        calibrations = calibrate(labelling.oracle, labelling.training_sets)
    parts = study_parts.parts(job, dataset, [*results, guessing], diagnostics, allocations, calibrations, compared)
    saved = "gpussl.load(path) reads the models, labels and clustering in this folder."
    return Outcome(dataset, parts, results, saved)


def _label(run_on: Context, data: Data, clustering: Clustering) -> Labelling:
    """Select points, buy their labels, propagate them by each method, and make the baselines."""
    job, monitor, oracle = run_on.job, run_on.monitor, prepare.oracle_of(data.dataset)
    with monitor.stage("select", run_on.twin) as stage:
        seed = run_on.seed("select")
        answers = ask_in_rounds(job.select, data.X_train, clustering, seed, oracle.buy, oracle.reveal)
        stage.note = f"{len(answers):,} of {clustering.labels.shape[0]:,} points"
    with monitor.stage("label", cpu) as stage:
        stage.note = f"{oracle.n_bought:,} labels bought"
    with monitor.stage("propagate", run_on.twin) as stage:
        training_sets = []
        for name, propagation in job.propagate.items():
            reached = propagation.propagate(data.X_train, clustering, answers.indices, answers.labels)
            training_sets.append(
                TrainingSet(
                    name=name,
                    select=job.select.name,
                    propagation=name,
                    pseudo_labels=reached,
                    n_bought=oracle.n_bought,
                    label_accuracy=float(oracle.correct(reached).mean()),
                    n_clusters=clustering.centroids.shape[0] or None,
                    percentile=propagation.percentile,
                )
            )
        training_sets += _baselines(run_on, data, clustering, oracle.n_bought)
        for training_set in training_sets:
            _refuse_one_class(training_set, data.dataset)
        stage.note = ", ".join(item.name for item in training_sets)
    return Labelling(answers, oracle, training_sets)


def _baselines(run_on: Context, data: Data, clustering: Clustering, n_labels: int) -> list[TrainingSet]:
    """The baselines of propagation: the same number of random labels, and all labels."""
    job = run_on.job
    selections = {"none": (), "random": (Random(n_labels),), "all": (Random(n_labels), All())}[job.baselines]
    training_sets = []
    for selection in selections:
        if clustering.centroids.shape[0] == 0 and selection.name == job.select.name:
            continue  # it would be compared with itself
        oracle = prepare.oracle_of(data.dataset)  # its own: labels bought for the clusters are not known here
        seed = run_on.seed(f"{selection.name} baseline")
        answers = ask_in_rounds(selection, data.X_train, clustering, seed, oracle.buy, oracle.reveal)
        labels = NoPropagation().propagate(data.X_train, clustering, answers.indices, answers.labels)
        training_sets.append(TrainingSet(selection.name, selection.name, "none", labels, oracle.n_bought, 1.0))
    return training_sets


def _refuse_one_class(training_set: TrainingSet, dataset: Dataset) -> None:
    """Raise ConfigError if the labels have only one class."""
    labels = training_set.pseudo_labels.labels
    classes = array_namespace(labels).unique_values(labels[labels != UNLABELLED])
    if classes.shape[0] < 2:
        raise ConfigError(
            f"{training_set.name}: expected training labels of at least two classes, found only "
            f"{dataset.class_names[int(classes[0])]} among the {training_set.n_bought} bought; buy more labels"
        )


def _allocate(
    run_on: Context, data: Data, clustering: Clustering, labelling: Labelling
) -> tuple[Allocations, list[Result]]:
    """Score the clusters as classes: named by the labels bought in them, and by the best of all allocations."""
    with run_on.monitor.stage("allocate", run_on.twin) as stage:
        start = time.perf_counter()
        clusters = assign(clustering, data.X_test)
        run_on.twin.synchronize()
        seconds, bought = time.perf_counter() - start, labelling.bought
        names = cluster_names(clustering, bought.indices, bought.labels)
        allocations, results = allocate.score_clusters(data.dataset, clustering, names, clusters, labelling.oracle)
        honest, *judged = (
            dataclasses.replace(result, seed=run_on.job.seed, predict_seconds=seconds) for result in results
        )
        honest = dataclasses.replace(honest, select=run_on.job.select.name)
        stage.note = (
            f"test accuracy {honest.test_accuracy:.2%} with names from {honest.n_labels:,} bought labels, at most "
            f"{judged[-1].test_accuracy:.2%} with one-to-one names ({allocations.method})"
        )
    return allocations, [honest, *judged]


def _featurize(run_on: Context, data: Data, clustering: Clustering) -> Data:
    """The data with the features that classifiers learn from."""
    with run_on.monitor.stage("features", run_on.twin) as stage:
        features = run_on.job.features
        made_of = f"{data.fingerprint} {prepare.described(features)}"
        if features.needs_clusters:
            made_of += f" {store.digest(clustering.centroids)}"
        data = data.transformed(features.fit(data.X_train, clustering, run_on.seed("features")), made_of)
        stage.note = f"{data.X_train.shape[1]} features"
    return data


def _train(run_on: Context, data: Data, training_set: TrainingSet, name: str) -> tuple[Classifier, float]:
    """A classifier fitted to a training set, perhaps from the cache, and the seconds that the fit took."""
    twin, monitor = run_on.twin, run_on.monitor
    known = training_set.pseudo_labels
    labels, xp = known.labels, array_namespace(known.labels)
    points = xp.nonzero(labels != UNLABELLED)[0]
    # a study's settings of a classifier have the seed of the classifier itself
    seed = run_on.seed(f"train/{training_set.name}/{name.removesuffix('_study')}")
    model: Any = run_on.job.classifier[name].prepared(seed, data.dataset.image_shape, twin.DEVICE)
    depends_on = {"data": data.fingerprint, "labels": store.digest(labels, known.sources, known.weights)}
    if model.learns_from_unlabelled:
        points = arange_like(labels.shape[0], labels)
    if model.stops_by_test_labels:
        depends_on["watch"] = fingerprint(data.dataset)
        model.watch = Watch(data.X_test, lambda predicted: accuracy(data.dataset, predicted))

    def fit() -> Classifier:
        y, groups, weights = (xp.take(of_all, points) for of_all in (labels, known.sources, known.weights))
        X = xp.take(data.X_train, points, axis=0)
        model.fit(X, y, weights, groups=groups, on_progress=monitor.advance)
        twin.synchronize()
        return model

    with monitor.stage("train", twin, f"train {training_set.name} {name}") as stage:
        fetched = run_on.cache.fetch("train", {**depends_on, "params": prepare.described(model)}, fit)
        stage.cached = fetched.cached
        stage.note = f"{int(xp.count_nonzero(labels != UNLABELLED)):,} labelled points"
    return fetched.value, fetched.seconds


def _model(data: Data, classifier: Classifier) -> Model:
    """The model to save: the classifier with all steps before it."""
    dataset = data.dataset
    n_features = int(dataset.X_train.shape[1])
    return Model(data.steps, classifier, tuple(dataset.class_names), n_features, dataset.image_shape, dataset.max_value)


def _evaluate(
    run_on: Context,
    data: Data,
    oracle: Oracle,
    training_set: TrainingSet,
    name: str,
    model: Classifier,
    fit_seconds: float,
) -> Sequence[Result]:
    """Score a model on the test labels and, with `score_training`, on the training points."""
    job = run_on.job
    with run_on.monitor.stage("evaluate", run_on.twin, f"evaluate {training_set.name} {name}") as stage:
        start = time.perf_counter()
        predicted = model.predict(data.X_test)
        run_on.twin.synchronize()
        predict_seconds = time.perf_counter() - start
        labels = training_set.pseudo_labels.labels
        result = Result(
            select=training_set.select,
            propagation=training_set.propagation,
            classifier=name,
            n_clusters=training_set.n_clusters,
            n_labels=training_set.n_bought,
            n_train=int(array_namespace(labels).count_nonzero(labels != UNLABELLED)),
            percentile=training_set.percentile,
            seed=job.seed,
            label_accuracy=training_set.label_accuracy,
            test_accuracy=0.0,  # scored below
            fit_seconds=fit_seconds,
            predict_seconds=predict_seconds,
            device=run_on.twin.device_name(),
            is_fair=not model.stops_by_test_labels,
        )
        result = score(data.dataset, predicted, result)
        only = "" if result.only_class is None else f", every point {result.only_class!r}"
        stage.note = f"test accuracy {result.test_accuracy:.2%}{only}"
        if not job.score_training:
            return [result]
        said = model.predict(data.X_train)
        result = dataclasses.replace(result, train_accuracy=oracle.accuracy(said))
        if not job.allocate:
            return [result]
        n_classes = len(data.dataset.class_names)
        return [result, allocate.name_by_training_labels(data.dataset, oracle, said, predicted, n_classes, result)]


def _diagnose(run_on: Context, data: Data, clustering: Clustering, labelling: Labelling) -> Diagnostics:
    """The diagnostics of bought labels and clusters for the report."""
    bought = labelling.bought
    spreading = ClusterPropagation() if clustering.centroids.shape[0] else NoPropagation()
    spread = spreading.propagate(data.X_train, clustering, bought.indices, bought.labels)
    seed = run_on.seed("report")
    return diagnose(data.dataset, clustering, bought.indices, bought.labels, spread, labelling.oracle, seed)
