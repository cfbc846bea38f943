"""The way of the data: load, represent, cluster, select, label, propagate, train, evaluate, report."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import sklearn
from array_api_compat import array_namespace

from gpussl import backend, environment, evaluate, report, seeds, store
from gpussl.arrays import arange_like, group_bounds
from gpussl.backend import cpu
from gpussl.config import Job
from gpussl.errors import ConfigError
from gpussl.monitor import Monitor
from gpussl.oracle import Oracle
from gpussl.propagate import ClusterPropagation, NoPropagation, nearness
from gpussl.records import UNLABELLED, Array, Clustering, Dataset, Diagnostics, PseudoLabels, Result, TrainingSet
from gpussl.select import Random


@dataclass(frozen=True)
class Data:
    """The data on the device: features of the training points (n, d) and of the test points (n_test, d).

    `fingerprint` names what the training features were made of.
    """

    dataset: Dataset
    X_train: Array
    X_test: Array
    fingerprint: str


@dataclass(frozen=True)
class Context:
    """What every stage runs in."""

    job: Job
    twin: ModuleType
    monitor: Monitor
    cache: store.Cache


def run(job: Job, folder: Path) -> list[Result]:
    """Run a checked job and leave its artifacts in `folder`.

    Raises
    ------
    GpusslError
        The data, the device or a setting is not what it must be. The manifest, written last, is not there then.
    """
    twin, device_reason = backend.select(job.device)
    monitor = Monitor()
    run_on = Context(job, twin, monitor, _open_cache(job, twin))
    with report.claim(folder), monitor.live():
        data = _load(run_on)
        clustering = _cluster(run_on, data)
        training_sets, diagnostics = _label(run_on, data, clustering)
        store.save(folder / "clustering.safetensors", clustering)
        results = []
        for training_set in training_sets:
            store.save(folder / "labels" / f"{training_set.name}.safetensors", training_set.pseudo_labels)
            for name in job.classifier:
                model, fit_seconds = _train(run_on, data, training_set, name)
                store.save(folder / "models" / f"{training_set.name}-{name}.safetensors", model)
                results.append(_evaluate(run_on, data, training_set, name, model, fit_seconds))
        with monitor.stage("report", cpu):
            report.write(folder, job, data.dataset, results, diagnostics)
        report.finish(folder, job, data.dataset, monitor, results, device_reason)
    report.show(folder, job, data.dataset, results, monitor.stages, device_reason)
    return results


def _open_cache(job: Job, twin: ModuleType) -> store.Cache:
    return store.Cache(
        job.cache,
        {"versions": environment.versions(), "code": environment.source_digest(), "device": twin.device_name()},
    )


def _load(run_on: Context) -> Data:
    """Read the data, put them on the device, and make their features there."""
    job, twin, monitor = run_on.job, run_on.twin, run_on.monitor
    with monitor.stage("load", cpu) as stage:
        dataset = job.data.load()
        for sized in (job.cluster, job.select):
            sized.check_size(len(dataset.X_train))
        raw_digest = store.digest(dataset.X_train)
        stage.note = f"{dataset.name}: {len(dataset.X_train):,} training and {len(dataset.X_test):,} test images"
    with monitor.stage("represent", twin) as stage:
        X_train, X_test = (
            job.represent.transform(twin.asarray(X), dataset.max_value) for X in (dataset.X_train, dataset.X_test)
        )
        stage.note = f"{X_train.shape[1]} features"
    return Data(dataset, X_train, X_test, f"{raw_digest} {dataset.max_value} {job.represent}")


def _cluster(run_on: Context, data: Data) -> Clustering:
    """Cluster the training points, or take the clustering that an earlier run made of the same."""
    job, seed = run_on.job, seeds.derive(run_on.job.seed, "cluster")
    with run_on.monitor.stage("cluster", run_on.twin) as stage:
        fetched = run_on.cache.fetch(
            "cluster",
            {"data": data.fingerprint, "params": repr(job.cluster), "seed": seed},
            lambda: job.cluster.fit(data.X_train, seed),
        )
        clustering = _to_device(fetched.value, run_on.twin)
        stage.cached = fetched.cached
        stage.note = (
            f"{clustering.centroids.shape[0]:,} clusters, {clustering.n_iter} iterations, "
            f"inertia {clustering.inertia:,.0f}"
        )
    return clustering


def _to_device(record: Any, twin: ModuleType) -> Any:
    """The same record with its arrays on the twin's device."""
    fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    return type(record)(**{k: twin.asarray(v) if hasattr(v, "shape") else v for k, v in fields.items()})


def _label(run_on: Context, data: Data, clustering: Clustering) -> tuple[list[TrainingSet], Diagnostics]:
    """Select what to label, buy it, propagate it each way, and make the baselines; with what the report shows of it."""
    job, monitor, y_train = run_on.job, run_on.monitor, data.dataset.y_train
    with monitor.stage("select", run_on.twin) as stage:
        chosen = job.select.select(clustering, seeds.derive(job.seed, "select"))
        stage.note = f"{chosen.shape[0]:,} of {clustering.labels.shape[0]:,} points"
    with monitor.stage("label", cpu) as stage:
        oracle = Oracle(y_train)
        oracle.buy(chosen)
        stage.note = f"{oracle.n_bought:,} labels bought"
    with monitor.stage("propagate", run_on.twin) as stage:
        training_sets = [
            _training_set(name, propagation, clustering, chosen, oracle) for name, propagation in job.propagate.items()
        ]
        for name, indices in _baselines(job, clustering, oracle.n_bought).items():
            # each has a purse of its own: what was bought for clusters is not known here
            baseline = _training_set(name, NoPropagation(), clustering, indices, Oracle(y_train))
            training_sets.append(dataclasses.replace(baseline, n_clusters=None))
        for training_set in training_sets:
            _refuse_one_class(training_set, data.dataset)
        stage.note = ", ".join(item.name for item in training_sets)
        diagnostics = _diagnose(clustering, chosen, oracle)
    return training_sets, diagnostics


def _training_set(name: str, propagation: Any, clustering: Clustering, indices: Array, oracle: Oracle) -> TrainingSet:
    pseudo_labels = propagation.propagate(clustering, indices, oracle.buy(indices))
    return TrainingSet(
        name=name,
        pseudo_labels=pseudo_labels,
        n_bought=oracle.n_bought,
        label_accuracy=float(oracle.correct(pseudo_labels).mean()),
        n_clusters=clustering.centroids.shape[0],
        percentile=propagation.percentile,
    )


def _refuse_one_class(training_set: TrainingSet, dataset: Dataset) -> None:
    """Raise ConfigError if there is nothing to tell apart."""
    labels = training_set.pseudo_labels.labels
    classes = array_namespace(labels).unique_values(labels[labels != UNLABELLED])
    if classes.shape[0] < 2:
        raise ConfigError(
            f"{training_set.name}: expected training labels of at least two classes, found only "
            f"{dataset.class_names[int(classes[0])]} among the {training_set.n_bought} bought; buy more labels"
        )


def _baselines(job: Job, clustering: Clustering, n_labels: int) -> dict[str, Array]:
    """The points whose labels each baseline buys: as many at random, and all."""
    if job.baselines == "none":
        return {}
    random = Random(n_labels).select(clustering, seeds.derive(job.seed, "random baseline"))
    if job.baselines == "random":
        return {"random": random}
    return {"random": random, "all": arange_like(clustering.labels.shape[0], clustering.labels)}


def _diagnose(clustering: Clustering, chosen: Array, oracle: Oracle) -> Diagnostics:
    xp, to_numpy = array_namespace(chosen), backend.of(chosen).to_numpy
    sizes = group_bounds(xp.sort(clustering.labels), clustering.centroids.shape[0])[1]
    reached = ClusterPropagation().propagate(clustering, chosen, oracle.buy(chosen))
    everywhere = arange_like(clustering.labels.shape[0], clustering.labels)
    is_bought = reached.sources == everywhere  # right by construction, and so no sign of how far a label may go
    reached = PseudoLabels(xp.where(is_bought, UNLABELLED, reached.labels), reached.sources)
    return Diagnostics(
        representatives=to_numpy(chosen),
        representative_labels=to_numpy(oracle.buy(chosen)),
        cluster_sizes=to_numpy(xp.take(sizes, xp.take(clustering.labels, chosen))),
        nearness=to_numpy(nearness(clustering)[reached.labels != UNLABELLED]),
        correct=oracle.correct(reached),
    )


def _train(run_on: Context, data: Data, training_set: TrainingSet, name: str) -> tuple[Any, float]:
    """Fit one classifier to one training set, or take it from an earlier run; with the seconds the fit took."""
    twin, monitor = run_on.twin, run_on.monitor
    labels, sources = training_set.pseudo_labels.labels, training_set.pseudo_labels.sources
    xp = array_namespace(labels)
    labelled = xp.nonzero(labels != UNLABELLED)[0]
    model = sklearn.clone(run_on.job.classifier[name])
    model.random_state = seeds.derive(run_on.job.seed, f"train/{training_set.name}/{name}")

    def fit() -> Any:
        X, y, groups = xp.take(data.X_train, labelled, axis=0), xp.take(labels, labelled), xp.take(sources, labelled)
        model.fit(X, y, groups, on_progress=monitor.advance)
        twin.synchronize()
        return model

    with monitor.stage(f"train {training_set.name} {name}", twin) as stage:
        fetched = run_on.cache.fetch(
            "train",
            {"data": data.fingerprint, "labels": store.digest(labels, sources), "params": repr(model)},
            fit,
        )
        stage.cached, stage.note = fetched.cached, f"{labelled.shape[0]:,} points"
    return fetched.value, fetched.seconds


def _evaluate(
    run_on: Context, data: Data, training_set: TrainingSet, name: str, model: Any, fit_seconds: float
) -> Result:
    """Open the test labels, once for each model."""
    with run_on.monitor.stage(f"evaluate {training_set.name} {name}", run_on.twin) as stage:
        accuracy = evaluate.accuracy(data.dataset, model.predict(data.X_test))
        stage.note = f"test accuracy {accuracy:.2%}"
    labels = training_set.pseudo_labels.labels
    return Result(
        propagation=training_set.name,
        classifier=name,
        n_clusters=training_set.n_clusters,
        n_labels=training_set.n_bought,
        n_train=int(array_namespace(labels).count_nonzero(labels != UNLABELLED)),
        percentile=training_set.percentile,
        seed=run_on.job.seed,
        label_accuracy=training_set.label_accuracy,
        test_accuracy=accuracy,
        fit_seconds=fit_seconds,
        device=run_on.twin.device_name(),
    )
