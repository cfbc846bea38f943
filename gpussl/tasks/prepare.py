"""The stages that need no label: load, represent, cluster."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from array_api_compat import array_namespace

from gpussl import seeds
from gpussl.backend import cpu
from gpussl.cluster.consensus import consensus
from gpussl.errors import DataError
from gpussl.label.oracle import Oracle
from gpussl.numeric.arrays import row_blocks
from gpussl.numeric.rows import refuse_beyond
from gpussl.propagate import neighbor_graph
from gpussl.protocols import Representation, Transform, Twin
from gpussl.records import UNLABELLED, Array, Clustering, Dataset, Neighbors, Points
from gpussl.represent.pixels import scale
from gpussl.runtime import environment, store
from gpussl.runtime.config import Job
from gpussl.tasks import limits
from gpussl.tasks.check import check_data
from gpussl.tasks.monitor import Monitor

R = TypeVar("R", Clustering, Neighbors)


@dataclass(frozen=True)
class Data:
    """The data on the device.

    Attributes
    ----------
    dataset : Dataset
    X_train, X_test : (n, d) and (n_test, d) array
        `X_test` is None if there is no test set.
    fingerprint : str
        Identifies the training points by their source and all steps.
    steps : tuple of Transform
        The steps from the scaled raw values to these points.
    on_disk_beyond : int or None
        The memory limit in bytes beyond which points stay on disk; None: they never do.

    Examples
    --------
    >>> import numpy as np
    >>> from gpussl.represent.pca import PCA
    >>> X = np.eye(4, dtype=np.float32)
    >>> data = Data(Dataset("table", X), X, None, "table")
    >>> data.transformed(PCA(n_components=2).fit(X, seed=0), "table pca").X_train.shape
    (4, 2)
    """

    dataset: Dataset
    X_train: Array
    X_test: Array | None
    fingerprint: str
    steps: tuple[Transform, ...] = ()
    on_disk_beyond: int | None = None

    def transformed(self, fitted: Transform, fingerprint: str) -> "Data":
        """The data after one more step, which is fitted to the training points."""
        store.check_savable(type(fitted))  # before hours of training, not after
        return dataclasses.replace(
            self,
            X_train=fitted.transform_fitted(self.X_train),
            X_test=None if self.X_test is None else fitted.transform(self.X_test),
            fingerprint=fingerprint,
            steps=(*self.steps, fitted),
        )


class Loader:
    """Reads data and moves them to the device. The latest data stay there for the next job of a sweep.

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> loader, job = Loader(), config.job("classifier=[knn]")
    >>> [loader.load(job, cpu)[1] for _ in range(2)]  # whether the data were there
    [False, True]
    """

    def __init__(self) -> None:
        self._last: tuple[tuple[str, ...], Data] | None = None

    def load(self, job: Job, twin: Twin) -> tuple[Data, bool]:
        """Return the scaled data, and whether they were there already. ConfigError if they do not suit the job."""
        key = described(job.data), repr(job.memory_limit), twin.DEVICE
        if self._last is not None and self._last[0] == key:
            check_data(job, self._last[1].dataset)
            return self._last[1], True
        self._last = None  # released first: the device may not have room for both
        dataset = job.data.load()
        twin.release()
        room = twin.room(job.memory_limit)
        check_data(job, dataset)
        limits.check_device(dataset, room)
        data = _scaled(dataset, twin, job.memory_limit if room is None else None)
        twin.synchronize()
        self._last = key, data
        return data, False


of_the_sweep = Loader()  # shared by all jobs of a sweep, which run one after another


@dataclass(frozen=True)
class Context:
    """The context of all stages of a run.

    Attributes
    ----------
    seeds : dict of str to int
        The seeds derived so far, by use.

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> job = config.job("classifier=[knn]", "cluster.n_clusters=10", "cache=null", "device=cpu")
    >>> run_on = Context(job, cpu, Monitor(), open_cache(job, cpu), Loader())
    >>> run_on.seed("cluster") == run_on.seeds["cluster"]
    True
    """

    job: Job
    twin: Twin
    monitor: Monitor
    cache: store.Cache
    loader: Loader
    seeds: dict[str, int] = field(default_factory=dict)

    def seed(self, use: str) -> int:
        """Derive a seed from the seed of the run and its use. Names shown to users play no part."""
        self.seeds[use] = seeds.derive(self.job.seed, use)
        return self.seeds[use]


def described(stage: object) -> str:
    """Return the class of a stage with its module, and its settings: a part of cache keys.

    Examples
    --------
    >>> from gpussl.represent.pca import PCA
    >>> described(PCA(9))
    'gpussl.represent.pca:PCA(n_components=9)'
    """
    return f"{type(stage).__module__}:{stage!r}"


def open_cache(job: Job, twin: Twin) -> store.Cache:
    """Return the cache of stages for a job on a device.

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> open_cache(config.job("classifier=[knn]", "cache=null"), cpu).fetch("cluster", {}, lambda: 3).value
    3
    """
    return store.Cache(
        job.cache,
        {
            "versions": environment.versions(),
            "code": environment.source_digest(),
            "device": twin.device_name(),
            "threads": environment.threads(),
        },
    )


def load(run_on: Context) -> Data:
    """Return the scaled data on the device.

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> job = config.job("classifier=[knn]", "cluster.n_clusters=10", "cache=null", "device=cpu")
    >>> run_on = Context(job, cpu, Monitor(), open_cache(job, cpu), Loader())
    >>> load(run_on).X_train.shape
    (1297, 64)
    """
    with run_on.monitor.stage("load", cpu) as stage:
        data, was_there = run_on.loader.load(run_on.job, run_on.twin)
        kind = "points" if data.dataset.image_shape is None else "images"
        stage.note = (
            f"{data.dataset.name}: {len(data.dataset.X_train):,} training and {data.dataset.n_test:,} test {kind}"
        )
        stage.note += ", kept from the previous job" if was_there else ""
    return data


def oracle_of(dataset: Dataset) -> Oracle:
    """Return the oracle that sells the training labels. DataError if there are none.

    Examples
    --------
    >>> import numpy as np
    >>> oracle_of(Dataset("table", np.zeros((2, 3)), np.array([1, 0]))).buy(np.array([0]))
    array([1])
    """
    if dataset.y_train is None:
        raise DataError(f"data={dataset.name}: expected training labels to buy, found none; choose another data set")
    n_unknown = int((dataset.y_train < 0).sum())
    if n_unknown:
        raise DataError(f"data={dataset.name}: expected all training labels known, found {n_unknown:,} unknown")
    return Oracle(dataset.y_train)


def given_labels(dataset: Dataset) -> np.ndarray:
    """Return the class numbers (n,) that a person's data came with, -1 where unknown: they are paid for already.

    Examples
    --------
    >>> given_labels(Dataset("table", np.zeros((2, 3)))).tolist()
    [-1, -1]
    """
    return np.full(len(dataset.X_train), UNLABELLED) if dataset.y_train is None else np.asarray(dataset.y_train)


def _scaled(dataset: Dataset, twin: Twin, on_disk_beyond: int | None) -> Data:
    """The data on the device as float32. ConfigError if the test points exceed the memory limit."""
    X_train = scale(twin.asarray(dataset.X_train), dataset.max_value, on_disk_beyond)
    X_test = None
    if dataset.X_test is not None:
        refuse_beyond(on_disk_beyond, dataset.X_test.shape, "the test points", "take fewer")
        X_test = scale(twin.asarray(dataset.X_test), dataset.max_value)
    fingerprint = f"{store.digest(dataset.X_train)} {dataset.max_value}"
    return Data(dataset, X_train, X_test, fingerprint, on_disk_beyond=on_disk_beyond)


def represent_and_cluster(run_on: Context, pixels: Data) -> tuple[Data, Clustering]:
    """Return the represented data and their clusters. With several views, the first view and the consensus of all.

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> job = config.job("classifier=[knn]", "cluster.n_clusters=10", "cache=null", "device=cpu", "views=2")
    >>> run_on = Context(job, cpu, Monitor(), open_cache(job, cpu), Loader())
    >>> data, agreed = represent_and_cluster(run_on, load(run_on))
    >>> 0 < (agreed.labels >= 0).sum() < len(data.X_train)  # points on which the views disagree are in no cluster
    np.True_
    """
    data = represent(run_on, pixels)
    clusterings = [cluster(run_on, data)]
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
    """Apply the chain of representations. Costly steps are cached. Each further view has its own seeds.

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> job = config.job("classifier=[knn]", "cluster.n_clusters=10", "cache=null", "device=cpu", "represent=[pca]")
    >>> run_on = Context(job, cpu, Monitor(), open_cache(job, cpu), Loader())
    >>> represent(run_on, load(run_on)).X_train.shape
    (1297, 50)
    """
    for choice, step in run_on.job.represent.items():
        seed = run_on.seed(f"represent/{choice}" + (f"/{view}" if view else ""))
        name = f"represent {choice}" + (f" {view}" if view else "")
        with run_on.monitor.stage("represent", run_on.twin, name) as stage:
            data, stage.cached = _represent_once(run_on, data, step, seed)
            stage.note = f"{data.X_train.shape[1]} features"
    limits.check_early(run_on.job, data.dataset, data.X_train, data.on_disk_beyond)
    return data


def _represent_once(run_on: Context, data: Data, step: Representation, seed: int) -> tuple[Data, bool]:
    """The data after one step, and whether the fitted step comes from the cache."""
    if (step.needs_images or step.takes_image_shape) and data.dataset.image_shape is not None:
        step = dataclasses.replace(step, image_shape=list(data.dataset.image_shape))  # type: ignore[type-var]

    def fit() -> Transform:
        return step.fit(data.X_train, seed, run_on.monitor.advance)

    if not step.is_costly:
        fitted = fit()
        if run_on.twin.DEVICE in fitted.slow_on:
            return _mapped(run_on, data, fitted)
        return data.transformed(fitted, f"{data.fingerprint} {described(step)}"), False
    depends_on = {"data": data.fingerprint, "params": described(step), "seed": seed}
    fetched = run_on.cache.fetch("represent", depends_on, fit)
    return data.transformed(fetched.value, f"{data.fingerprint} {described(step)} {seed}"), fetched.cached


def _mapped(run_on: Context, data: Data, fitted: Transform) -> tuple[Data, bool]:
    """The data after a slow step, block by block, and whether the training points come from the cache."""
    store.check_savable(type(fitted))
    kind, arrays, values = store.pack(fitted)
    step = f"{kind} {store.digest(*arrays.values())} {json.dumps(values, sort_keys=True)}"

    def fetched(X: Array, fingerprint: str) -> store.Fetched:
        n = X.shape[0]

        def compute() -> Points:
            if fitted.rows_at_once is None:
                return Points(fitted.transform(X))
            parts = []
            for rows in row_blocks(n, 1, fitted.rows_at_once):
                parts.append(fitted.transform(X[rows, :]))
                run_on.monitor.advance(rows.stop, n, f"{rows.stop:,} of {n:,}")
            return Points(array_namespace(parts[0]).concat(parts))

        return run_on.cache.fetch("points", {"data": fingerprint, "step": step}, compute)

    train = fetched(data.X_train, data.fingerprint)
    X_test = data.X_test
    if X_test is not None:
        X_test = run_on.twin.asarray(fetched(X_test, store.digest(X_test)).value.X)
    made = dataclasses.replace(
        data,
        X_train=run_on.twin.asarray(train.value.X),
        X_test=X_test,
        fingerprint=f"{data.fingerprint} {step}",
        steps=(*data.steps, fitted),
    )
    return made, train.cached


def cluster(run_on: Context, data: Data, view: int = 0) -> Clustering:
    """Cluster the training points, or take their clustering from the cache.

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> job = config.job("classifier=[knn]", "cluster.n_clusters=10", "cache=null", "device=cpu")
    >>> run_on = Context(job, cpu, Monitor(), open_cache(job, cpu), Loader())
    >>> cluster(run_on, load(run_on)).centroids.shape
    (10, 64)
    """
    job, seed = run_on.job, run_on.seed(f"cluster/{view}" if view else "cluster")
    with run_on.monitor.stage("cluster", run_on.twin, f"cluster {view}" if view else "") as stage:
        fetched = run_on.cache.fetch(
            "cluster",
            {"data": data.fingerprint, "params": described(job.cluster), "seed": seed},
            lambda: job.cluster.fit(data.X_train, seed, on_progress=run_on.monitor.advance),
        )
        clustering = _to_device(fetched.value, run_on.twin)
        stage.cached = fetched.cached
        xp = array_namespace(clustering.labels)
        n_noise = int(xp.count_nonzero(clustering.labels < 0))
        n_clusters = clustering.centroids.shape[0]
        n_empty = n_clusters - len(xp.unique_values(clustering.labels[clustering.labels >= 0]))
        stage.note = (
            f"{n_clusters:,} clusters, "
            + (f"{n_empty:,} of them empty, " if n_empty else "")
            + f"{clustering.n_iter} iterations, "
            f"inertia {clustering.inertia:,.0f}" + (f", {n_noise:,} points in no cluster" if n_noise else "")
        )
    return clustering


def neighbors(run_on: Context, data: Data, n_neighbors: int) -> Neighbors:
    """Return the nearest neighbours of the training points, from the cache if they are there.

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> job = config.job("classifier=[knn]", "cluster.n_clusters=10", "cache=null", "device=cpu")
    >>> run_on = Context(job, cpu, Monitor(), open_cache(job, cpu), Loader())
    >>> neighbors(run_on, load(run_on), 3).indices.shape  # the point itself is the first
    (1297, 4)
    """
    with run_on.monitor.stage("neighbors", run_on.twin) as stage:
        fetched = run_on.cache.fetch(
            "neighbors",
            {"data": data.fingerprint, "n_neighbors": n_neighbors},
            lambda: neighbor_graph.neighbors(data.X_train, n_neighbors, run_on.monitor.advance),
        )
        stage.cached = fetched.cached
        stage.note = f"the {n_neighbors} nearest of each point"
        return _to_device(fetched.value, run_on.twin)


def _to_device(record: R, twin: Twin) -> R:
    """The same record with its arrays on the twin's device."""
    fields: dict[str, Any] = {item.name: getattr(record, item.name) for item in dataclasses.fields(record)}
    return type(record)(**{name: twin.asarray(v) if hasattr(v, "shape") else v for name, v in fields.items()})
