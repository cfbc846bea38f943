"""Prepare: load, represent, cluster. What needs no label."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from gpussl import seeds
from gpussl.backend import cpu
from gpussl.cluster.consensus import consensus
from gpussl.errors import ConfigError
from gpussl.protocols import Twin
from gpussl.records import Array, Clustering, Dataset, Representation
from gpussl.represent.pixels import scale
from gpussl.runtime import environment, store
from gpussl.runtime.config import Job
from gpussl.tasks import limits
from gpussl.tasks.monitor import Monitor


@dataclass(frozen=True)
class Data:
    """The data on the device: features of the training points (n, d) and of the test points (n_test, d).

    `fingerprint` names what the training features were made of.
    """

    dataset: Dataset
    X_train: Array
    X_test: Array
    fingerprint: str


class Loader:
    """Reads data and puts them on the device, where the last stay for the next job of a sweep that wants the same."""

    def __init__(self) -> None:
        self._last: tuple[tuple[str, ...], Data] | None = None

    def load(self, job: Job, twin: Twin) -> tuple[Data, bool]:
        """The data as pixels from 0 to 1, and whether they were there. ConfigError if they are too few for the job."""
        key = repr(job.data), repr(job.memory_limit), twin.DEVICE
        if self._last is not None and self._last[0] == key:
            _check_sizes(job, self._last[1].dataset)
            return self._last[1], True
        self._last = None  # before there are others: the device may have no room for both
        dataset = job.data.load()
        twin.release()
        room = twin.room(job.memory_limit)
        _check_sizes(job, dataset)
        limits.check_device(dataset, room)
        fingerprint = f"{store.digest(dataset.X_train)} {dataset.max_value}"
        X_train, X_test = twin.asarray(dataset.X_train), twin.asarray(dataset.X_test)
        on_disk_beyond = job.memory_limit if room is None else None
        data = Data(dataset, *scale(X_train, X_test, dataset.max_value, on_disk_beyond), fingerprint)
        twin.synchronize()
        self._last = key, data
        return data, False


of_the_sweep = Loader()  # one for all jobs of a sweep, which are run one after another


@dataclass(frozen=True)
class Context:
    """What every stage runs in."""

    job: Job
    twin: Twin
    monitor: Monitor
    cache: store.Cache
    loader: Loader


def open_cache(job: Job, twin: Twin) -> store.Cache:
    return store.Cache(
        job.cache,
        {"versions": environment.versions(), "code": environment.source_digest(), "device": twin.device_name()},
    )


def load(run_on: Context) -> Data:
    """The data on the device."""
    with run_on.monitor.stage("load", cpu) as stage:
        data, was_there = run_on.loader.load(run_on.job, run_on.twin)
        n, n_test = len(data.dataset.X_train), len(data.dataset.X_test)
        stage.note = f"{data.dataset.name}: {n:,} training and {n_test:,} test images"
        stage.note += ", of the job before" if was_there else ""
    return data


def _check_sizes(job: Job, dataset: Dataset) -> None:
    """Raise ConfigError if there are fewer points than the job needs."""
    for sized in (job.cluster, job.select):
        sized.check_size(len(dataset.X_train))


def represent_and_cluster(run_on: Context, pixels: Data) -> tuple[Data, Clustering]:
    """The data as they are represented, and their clusters; of several views the first, and what all agree on.

    Raises
    ------
    ConfigError
        There are several views, and no clusters to agree on.
    """
    data = represent(run_on, pixels)
    clusterings = [cluster(run_on, data)]
    if run_on.job.views > 1 and clusterings[0].centroids.shape[0] == 0:
        raise ConfigError("views: expected clusters to agree on, found none; choose some with cluster=..., or views=1")
    for view in range(1, run_on.job.views):
        clusterings.append(cluster(run_on, represent(run_on, pixels, view), view))
    if len(clusterings) == 1:
        return data, clusterings[0]
    with run_on.monitor.stage("consensus", run_on.twin) as stage:
        agreed = consensus(clusterings)
        n_agreed = int(array_namespace(agreed.labels).count_nonzero(agreed.labels >= 0))
        stage.note = f"{n_agreed:,} points on which {len(clusterings)} views agree"
    return data, agreed


def represent(run_on: Context, data: Data, view: int = 0) -> Data:
    """Take the data through the chain of representations; what is costly is taken from an earlier run if it can be.

    Each view of the data but the first has seeds of its own.
    """
    for choice, step in run_on.job.represent.items():
        name, seed = _of_view(run_on, f"represent {choice}", view)
        with run_on.monitor.stage(name, run_on.twin) as stage:
            data, stage.cached = _represent_once(run_on, data, step, seed)
            stage.note = f"{data.X_train.shape[1]} features"
    if run_on.twin.READS_IN_BLOCKS:
        limits.check_early(run_on.job, data.dataset, data.X_train)
    return data


def _represent_once(run_on: Context, data: Data, step: Any, seed: int) -> tuple[Data, bool]:
    """The data after one step, and whether an earlier run had made it."""
    if hasattr(step, "image_shape"):
        step = dataclasses.replace(step, image_shape=list(data.dataset.image_shape))

    def compute() -> Representation:
        return Representation(*step.fit_transform(data.X_train, data.X_test, seed, run_on.monitor.advance))

    fingerprint = f"{data.fingerprint} {step}"
    if not step.is_costly:
        made, cached = compute(), False
    else:
        fingerprint = f"{fingerprint} {seed}"
        test = store.digest(data.dataset.X_test)  # as read, on the host: the chain up to here is in the fingerprint
        depends_on = {"data": data.fingerprint, "test": test, "params": repr(step), "seed": seed}
        fetched = run_on.cache.fetch("represent", depends_on, compute)
        made, cached = _to_device(fetched.value, run_on.twin), fetched.cached
    return dataclasses.replace(data, X_train=made.train, X_test=made.test, fingerprint=fingerprint), cached


def cluster(run_on: Context, data: Data, view: int = 0) -> Clustering:
    """Cluster the training points, or take the clustering that an earlier run made of the same."""
    job, (name, seed) = run_on.job, _of_view(run_on, "cluster", view)
    with run_on.monitor.stage(name, run_on.twin) as stage:
        fetched = run_on.cache.fetch(
            "cluster",
            {"data": data.fingerprint, "params": repr(job.cluster), "seed": seed},
            lambda: job.cluster.fit(data.X_train, seed, on_progress=run_on.monitor.advance),
        )
        clustering = _to_device(fetched.value, run_on.twin)
        stage.cached = fetched.cached
        xp = array_namespace(clustering.labels)
        n_noise = int(xp.count_nonzero(clustering.labels < 0))
        stage.note = (
            f"{clustering.centroids.shape[0]:,} clusters, {clustering.n_iter} iterations, "
            f"inertia {clustering.inertia:,.0f}" + (f", {n_noise:,} points in none" if n_noise else "")
        )
    return clustering


def _of_view(run_on: Context, stage: str, view: int) -> tuple[str, int]:
    """The name of a stage for a view, the first without a number, and the seed that goes by it."""
    name = f"{stage} {view}" if view else stage
    return name, seeds.derive(run_on.job.seed, name.replace(" ", "/"))


def _to_device(record: Any, twin: Twin) -> Any:
    """The same record with its arrays on the twin's device."""
    fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    return type(record)(**{k: twin.asarray(v) if hasattr(v, "shape") else v for k, v in fields.items()})
