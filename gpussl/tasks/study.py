"""The way of the data: load, represent, cluster (`prepare`), select, label, propagate, train, evaluate, report."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from array_api_compat import array_namespace

from gpussl import backend, report, seeds
from gpussl.backend import cpu
from gpussl.classifier.prepared import prepared
from gpussl.cluster.assign import assign
from gpussl.errors import ConfigError
from gpussl.evaluate import accuracy as evaluate
from gpussl.evaluate import allocate
from gpussl.evaluate.calibration import calibrate
from gpussl.evaluate.diagnose import diagnose
from gpussl.label.oracle import Oracle
from gpussl.numeric.allocations import Allocations
from gpussl.numeric.arrays import arange_like
from gpussl.numeric.clusters import cluster_names
from gpussl.propagate.cluster import ClusterPropagation
from gpussl.propagate.none import NoPropagation
from gpussl.records import UNLABELLED, Array, Clustering, Dataset, Result, TrainingSet
from gpussl.runtime import store
from gpussl.runtime.config import Job
from gpussl.select.all import All
from gpussl.select.random import Random
from gpussl.tasks import advise as advisor
from gpussl.tasks import limits, prepare
from gpussl.tasks.monitor import Monitor
from gpussl.tasks.prepare import Context, Data


@dataclass(frozen=True)
class Labelling:
    """The points (m,) whose labels were bought, who sold them, and what there is to learn from."""

    bought: Array
    oracle: Oracle
    training_sets: list[TrainingSet]


def run(job: Job, folder: Path, *, replace: bool = False, loader: prepare.Loader | None = None) -> list[Result]:
    """Run a checked job and leave its artifacts in `folder`, in place of another run's there if `replace`.

    Jobs that are given one `loader` find the data of the job before where they are.

    Raises
    ------
    GpusslError
        The data, the device or a setting is not what it must be. The manifest, written last, is not there then.
    """
    twin, device_reason = backend.select(job.device)
    monitor = Monitor()
    run_on = Context(job, twin, monitor, prepare.open_cache(job, twin), loader or prepare.Loader())
    if job.budget is not None:
        _advise(run_on, folder, device_reason, replace=replace)
        return []
    with report.claim(folder, replace=replace), monitor.live():
        pixels = prepare.load(run_on)
        data, clustering = prepare.represent_and_cluster(run_on, pixels)
        labelling = _label(run_on, data, clustering)
        if clustering.centroids.shape[0]:
            store.save(folder / "clustering.safetensors", clustering)
        allocations, results = _allocate(run_on, data, clustering, labelling) if job.allocate else (None, [])
        data = _featurize(run_on, pixels if job.features.of_pixels else data, clustering)
        if twin.READS_IN_BLOCKS:
            limits.check_training(job, data.X_train, labelling.training_sets)
        for training_set in labelling.training_sets:
            store.save(folder / "labels" / f"{training_set.name}.safetensors", training_set.pseudo_labels)
            for name in job.classifier:
                model, fit_seconds = _train(run_on, data, training_set, name)
                store.save(folder / "models" / f"{training_set.name}-{name}.safetensors", model)
                results += _evaluate(run_on, data, labelling.oracle, training_set, name, model, fit_seconds)
        with monitor.stage("report", cpu):
            seed = seeds.derive(job.seed, "report")
            bought, oracle = labelling.bought, labelling.oracle
            labels = oracle.buy(bought)
            spreading = ClusterPropagation() if clustering.centroids.shape[0] else NoPropagation()
            spread = spreading.propagate(data.X_train, clustering, bought, labels)
            diagnostics = diagnose(data.dataset, clustering, bought, labels, spread, oracle, seed)
            calibrations = calibrate(labelling.oracle, labelling.training_sets)
            report.write(folder, job, data.dataset, results, diagnostics, allocations, calibrations)
        report.finish(folder, job, data.dataset, monitor, results, device_reason)
    report.show(folder, job, data.dataset, results, monitor.stages, device_reason)
    return results


def _advise(run_on: Context, folder: Path, device_reason: str, *, replace: bool) -> None:
    """Spend a budget of labels to find out how many are needed, instead of the stages from clustering on."""
    job, twin, monitor = run_on.job, run_on.twin, run_on.monitor
    advisor.check_job(job)
    with report.claim(folder, replace=replace), monitor.live():
        pixels = prepare.load(run_on)
        n_points = len(pixels.dataset.X_train)
        job.budget.check_size(n_points)
        data, oracle = prepare.represent(run_on, pixels), Oracle(pixels.dataset.y_train)

        def cluster(points: Array, n_clusters: int | None) -> Clustering:
            settings = job.cluster if n_clusters is None else dataclasses.replace(job.cluster, n_clusters=n_clusters)
            fingerprint = f"{data.fingerprint} {store.digest(points)}"
            part = dataclasses.replace(data, X_train=data.X_train.take(points, axis=0), fingerprint=fingerprint)
            return prepare.cluster(dataclasses.replace(run_on, job=dataclasses.replace(job, cluster=settings)), part)

        purchase = advisor.choose(job, data.X_train, twin, oracle.buy, cluster)
        (model,) = job.classifier.values()
        X = (pixels if job.features.of_pixels else data).X_train
        learner = advisor.Learner(model, X, twin, pixels.dataset.image_shape, job.seed)
        with monitor.stage("train", twin) as stage:
            measured = advisor.measure(purchase, oracle.buy, job, learner, monitor.advance)
            stage.note = f"{oracle.n_bought:,} labels bought"
        with monitor.stage("report", cpu):
            advices = [advisor.advise(item, job.budget, n_points, job.seed) for item in measured]
            outcome = advisor.Outcome(job.budget, oracle.n_bought, n_points, advices)
            report.write_budget(folder, job, outcome)
        report.finish_budget(folder, job, pixels.dataset, monitor, outcome, device_reason)
    report.show_budget(folder, job, outcome, monitor.stages, device_reason)


def _label(run_on: Context, data: Data, clustering: Clustering) -> Labelling:
    """Select what to label, buy it, propagate it each way, and make the baselines."""
    job, monitor = run_on.job, run_on.monitor
    with monitor.stage("select", run_on.twin) as stage:
        oracle = Oracle(data.dataset.y_train)
        ask = oracle.reveal if getattr(job.select, "knows_classes", False) else oracle.buy
        chosen = job.select.select(data.X_train, clustering, seeds.derive(job.seed, "select"), ask)
        stage.note = f"{chosen.shape[0]:,} of {clustering.labels.shape[0]:,} points"
    with monitor.stage("label", cpu) as stage:
        oracle.buy(chosen)
        stage.note = f"{oracle.n_bought:,} labels bought"
    with monitor.stage("propagate", run_on.twin) as stage:
        training_sets = []
        for name, propagation in job.propagate.items():
            reached = propagation.propagate(data.X_train, clustering, chosen, oracle.buy(chosen))
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
        training_sets += _baselines(job, data, clustering, oracle.n_bought)
        for training_set in training_sets:
            _refuse_one_class(training_set, data.dataset)
        stage.note = ", ".join(item.name for item in training_sets)
    return Labelling(chosen, oracle, training_sets)


def _baselines(job: Job, data: Data, clustering: Clustering, n_labels: int) -> list[TrainingSet]:
    """What propagation is compared with: as many random labels, and all labels."""
    selections = {"none": (), "random": (Random(n_labels),), "all": (Random(n_labels), All())}[job.baselines]
    training_sets = []
    for selection in selections:
        if clustering.centroids.shape[0] == 0 and selection.name == job.select.name:
            continue  # it would be compared with its like
        oracle = Oracle(data.dataset.y_train)  # each has its own purse: what was bought for clusters is not known here
        seed = seeds.derive(job.seed, f"{selection.name} baseline")
        indices = selection.select(data.X_train, clustering, seed, oracle.buy)
        labels = NoPropagation().propagate(data.X_train, clustering, indices, oracle.buy(indices))
        training_sets.append(TrainingSet(selection.name, selection.name, "none", labels, oracle.n_bought, 1.0))
    return training_sets


def _refuse_one_class(training_set: TrainingSet, dataset: Dataset) -> None:
    """Raise ConfigError if there is nothing to tell apart."""
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
    """Score the clusters themselves: named by the labels bought in them, and by the best of all allocations."""
    with run_on.monitor.stage("allocate", run_on.twin) as stage:
        if clustering.centroids.shape[0] == 0:
            raise ConfigError("allocate=true: expected clusters, found none; choose some with cluster=...")
        start = time.perf_counter()
        clusters = assign(clustering, data.X_test)
        run_on.twin.synchronize()
        seconds = time.perf_counter() - start
        names = cluster_names(clustering, labelling.bought, labelling.oracle.buy(labelling.bought))
        allocations, results = allocate.score_clusters(data.dataset, clustering, names, clusters, labelling.oracle)
        honest, *judged = (
            dataclasses.replace(result, seed=run_on.job.seed, predict_seconds=seconds) for result in results
        )
        honest = dataclasses.replace(honest, select=run_on.job.select.name)
        stage.note = (
            f"test accuracy {honest.test_accuracy:.2%} named by {honest.n_labels:,} bought labels, one to one at most "
            f"{judged[-1].test_accuracy:.2%} ({allocations.method})"
        )
    return allocations, [honest, *judged]


def _featurize(run_on: Context, data: Data, clustering: Clustering) -> Data:
    """The data as the classifiers are to see them."""
    with run_on.monitor.stage("features", run_on.twin) as stage:
        features = run_on.job.features
        X_train, X_test = features.fit_transform(data.X_train, data.X_test, clustering)
        stage.note = f"{X_train.shape[1]} features"
    if X_train is data.X_train:
        return data
    made_of = f"{data.fingerprint} {features} {store.digest(clustering.centroids)}"
    return Data(data.dataset, X_train, X_test, made_of)


def _train(run_on: Context, data: Data, training_set: TrainingSet, name: str) -> tuple[Any, float]:
    """Fit one classifier to one training set, or take it from an earlier run; with the seconds the fit took."""
    twin, monitor = run_on.twin, run_on.monitor
    known = training_set.pseudo_labels
    labels, xp = known.labels, array_namespace(known.labels)
    points = xp.nonzero(labels != UNLABELLED)[0]
    seed = seeds.derive(run_on.job.seed, f"train/{training_set.name}/{name}")
    model = prepared(run_on.job.classifier[name], seed, data.dataset.image_shape, twin.DEVICE)
    depends_on = {"data": data.fingerprint, "labels": store.digest(labels, known.sources, known.weights)}
    if getattr(model, "learns_from_unlabelled", False):
        points = arange_like(labels.shape[0], labels)
    extra = {}
    if getattr(model, "stopping", "bought") == "test":
        extra["watch"] = evaluate.watch(data.dataset, data.X_test)
        depends_on["watch"] = extra["watch"].fingerprint

    def fit() -> Any:
        y, groups, weights = (xp.take(of_all, points) for of_all in (labels, known.sources, known.weights))
        model.fit(xp.take(data.X_train, points, axis=0), y, groups, weights, on_progress=monitor.advance, **extra)
        twin.synchronize()
        return model

    with monitor.stage(f"train {training_set.name} {name}", twin) as stage:
        fetched = run_on.cache.fetch("train", {**depends_on, "params": repr(model)}, fit)
        stage.cached = fetched.cached
        stage.note = f"{int(xp.count_nonzero(labels != UNLABELLED)):,} labelled points"
    return fetched.value, fetched.seconds


def _evaluate(
    run_on: Context, data: Data, oracle: Oracle, training_set: TrainingSet, name: str, model: Any, fit_seconds: float
) -> list[Result]:
    """Open the test labels, once for each model; and score what it says of the training points, if that is wanted."""
    job = run_on.job
    with run_on.monitor.stage(f"evaluate {training_set.name} {name}", run_on.twin) as stage:
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
            test_accuracy=evaluate.accuracy(data.dataset, predicted),
            fit_seconds=fit_seconds,
            predict_seconds=predict_seconds,
            device=run_on.twin.device_name(),
        )
        stage.note = f"test accuracy {result.test_accuracy:.2%}"
        if not job.score_training:
            return [result]
        said = model.predict(data.X_train)
        result = dataclasses.replace(result, train_accuracy=oracle.accuracy(said))
        if not job.allocate:
            return [result]
        n_classes = len(data.dataset.class_names)
        return [result, allocate.name_by_training_labels(data.dataset, oracle, said, predicted, n_classes, result)]
