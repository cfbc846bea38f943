"""A person's own data on the device, without copies, and the answers as arrays."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gpussl.backend import cpu
from gpussl.cluster.none import NoClustering
from gpussl.data.files import PROJECT
from gpussl.errors import ConfigError
from gpussl.label import labels_file
from gpussl.protocols import Source, Twin
from gpussl.records import Answers, Clustering, Dataset
from gpussl.runtime import console
from gpussl.runtime.config import Job
from gpussl.runtime.names import expanded
from gpussl.tasks import prepare
from gpussl.tasks.prepare import Context, Data
from gpussl.tasks.project import Project


@dataclass(frozen=True)
class OwnPoints:
    """All points that were read, and which of them are copies.

    Attributes
    ----------
    dataset : Dataset
        The points without copies; `train_ids` are their ids.
    ids : sequence of str
        The ids of all points, in the order of the source.
    place_of : (n,) int array
        The place of each of all points among those without copies.
    skipped : sequence of (str, str)
        The names of points that could not be read, each with the reason.
    labels : dict of str to str
        The classes that the data came with, by id.

    Examples
    --------
    >>> data = Dataset("mine", np.array([[1], [2], [1]]), train_ids=["a", "b", "c"])
    >>> points = without_copies(data)
    >>> points.dataset.train_ids, points.place_of.tolist(), points.copy_of
    (['a', 'b'], [0, 1, 0], {'c': 'a'})
    """

    dataset: Dataset
    ids: Sequence[str]
    place_of: np.ndarray
    skipped: Sequence[tuple[str, str]] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def copy_of(self) -> dict[str, str]:
        """The id that stands for each copy, by its own."""
        firsts = self.dataset.train_ids or ()
        pairs = ((item, firsts[place]) for item, place in zip(self.ids, self.place_of.tolist(), strict=True))
        return {item: first for item, first in pairs if item != first}

    def places(self) -> dict[str, int]:
        """The place of each point among those without copies, by id."""
        return dict(zip(self.ids, self.place_of.tolist(), strict=True))


@dataclass(frozen=True)
class Given(Source):
    """A data set that was read already.

    Examples
    --------
    >>> Given(name="mine", dataset=Dataset("mine", np.zeros((2, 1)))).load().name
    'mine'
    """

    name: str
    dataset: Dataset = field(repr=False)

    def load(self) -> Dataset:
        """Return it."""
        return self.dataset


def path_of(job: Job) -> Path:
    """Return the path of the data. ConfigError if they are not the user's own.

    >>> from gpussl.runtime import config
    >>> path_of(config.job("data=table", "data.path=/data/fruit.csv", "classifier=[knn]"))
    PosixPath('/data/fruit.csv')
    """
    path = job.data_settings.get("path")
    if not isinstance(path, str):
        raise ConfigError(
            f"data: expected your own data with task={job.task}, found {job.data.name}; name them with data=auto "
            "data.path=..."
        )
    return expanded(path).absolute()


def folder_for(job: Job) -> Path:
    """Return the folder of a new project: in the working directory, with the name of the data.

    >>> from gpussl.runtime import config
    >>> folder_for(config.job("data=table", "data.path=/data/fruit.csv", "classifier=[knn]"))
    PosixPath('fruit.gpussl')
    """
    path = path_of(job)
    name = path.name if path.is_dir() else path.stem
    return Path(f"{name or 'data'}{PROJECT}")


def data_settings(job: Job) -> dict[str, Any]:
    """Return the settings of the data for a project: `choice` is the name of the file of `conf/data`.

    >>> from gpussl.runtime import config
    >>> data_settings(config.job("data=table", "data.path=/data/fruit.csv", "classifier=[knn]"))["choice"]
    'table'
    """
    settings = {name: value for name, value in job.data_settings.items() if name != "_target_"}
    return {"choice": str(job.data_settings["_target_"]).split(".")[-2], **settings, "path": str(path_of(job))}


def without_copies(dataset: Dataset) -> OwnPoints:
    """Find the points with equal values; the first of them stands for all.

    >>> without_copies(Dataset("mine", np.zeros((3, 2)), train_ids=["a", "b", "c"])).dataset.X_train.shape
    (1, 2)
    """
    X = np.ascontiguousarray(dataset.X_train)
    ids = dataset.train_ids or [str(row) for row in range(len(X))]
    rows = X.view(np.uint8).reshape(len(X), -1)
    first_of: dict[bytes, int] = {}
    place_of = np.empty(len(X), dtype=np.int64)
    firsts: list[int] = []
    for row in range(len(X)):
        digest = hashlib.blake2b(rows[row].data, digest_size=16).digest()
        place = first_of.setdefault(digest, len(firsts))
        if place == len(firsts):
            firsts.append(row)
        place_of[row] = place
    kept = np.array(firsts, dtype=np.int64)
    unique = dataclasses.replace(
        dataset, X_train=X if len(kept) == len(X) else X[kept], y_train=None, train_ids=[ids[row] for row in firsts]
    )
    numbers = prepare.given_labels(dataset)
    labels = {ids[row]: dataset.class_names[numbers[row]] for row in np.flatnonzero(numbers >= 0).tolist()}
    return OwnPoints(unique, ids, place_of, dataset.skipped, labels)


def part(points: OwnPoints, places: np.ndarray) -> OwnPoints:
    """Return the points at some places (m,), without their copies.

    >>> points = without_copies(Dataset("mine", np.eye(3), train_ids=["a", "b", "c"]))
    >>> part(points, np.array([0, 2])).ids
    ['a', 'c']
    """
    dataset = points.dataset
    if len(places) == len(dataset.X_train):
        return points
    ids = [(dataset.train_ids or ())[place] for place in places.tolist()]
    fewer = dataclasses.replace(dataset, X_train=dataset.X_train[places], train_ids=ids)
    return OwnPoints(fewer, ids, np.arange(len(places)))


def read(run_on: Context) -> OwnPoints:
    """Read the data of a project, and find copies.

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> from gpussl.tasks.monitor import Monitor
    >>> job = config.job("data=digits", "classifier=[knn]", "cache=null")
    >>> len(read(Context(job, cpu, Monitor(), prepare.open_cache(job, cpu), prepare.Loader())).ids)
    1297
    """
    with run_on.monitor.stage("load", cpu) as stage:
        points = without_copies(run_on.job.data.load())
        n_copies = len(points.ids) - len(points.dataset.X_train)
        found = [f"{len(points.ids):,} points", *points.dataset.notes]
        if n_copies:
            found.append(f"{n_copies:,} exact copies of others")
        if points.skipped:
            found.append(f"{len(points.skipped):,} skipped")
        stage.note = "; ".join(found)
    return points


def cluster(run_on: Context, points: OwnPoints, n_clusters: int) -> tuple[Data, Clustering]:
    """Represent the points without copies, and cluster them.

    Raises
    ------
    ConfigError
        The clusterer has no number of clusters.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks.example import on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_on = on_fruit(folder, "learn")
    ...     points = read(run_on)
    >>> cluster(run_on, points, 3)[1].centroids.shape
    (3, 1)
    """
    if not run_on.job.cluster.has_n_clusters:
        raise ConfigError(
            f"cluster: expected one with n_clusters, found {type(run_on.job.cluster).__name__}; choose cluster=kmeans"
        )
    settings = dataclasses.replace(run_on.job.cluster, n_clusters=n_clusters)  # type: ignore[type-var]
    here = on_points(run_on, points, cluster=settings)
    data = prepare.represent(here, here.loader.load(here.job, here.twin)[0])
    return data, prepare.cluster(here, data)


def represent(run_on: Context, points: OwnPoints) -> Data:
    """Return the points without copies on the device, represented.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks.example import on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_on = on_fruit(folder, "learn")
    ...     points = read(run_on)
    >>> represent(run_on, points).X_train.shape
    (30, 1)
    """
    here = on_points(run_on, points, cluster=NoClustering())
    return prepare.represent(here, here.loader.load(here.job, here.twin)[0])


def on_points(run_on: Context, points: OwnPoints, **settings: object) -> Context:
    """Return the context with the points as its data.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks.example import on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_on = on_fruit(folder, "learn")
    ...     points = read(run_on)
    >>> on_points(run_on, points).job.data
    Given(name='table')
    """
    given = Given(points.dataset.name, points.dataset)
    return dataclasses.replace(run_on, job=dataclasses.replace(run_on.job, data=given, **settings))  # type: ignore[arg-type]


def known(project: Project, points: OwnPoints, twin: Twin) -> tuple[Answers, list[str]]:
    """Return the labels so far as arrays, and the names of the classes.

    The label of a copy counts for the point that stands for it; of different labels for copies, the last one counts.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks.example import answered, on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_on = on_fruit(folder, "learn")
    ...     answers, names = known(answered(folder), read(run_on), run_on.twin)
    >>> len(answers), names
    (10, ['apple', 'melon'])
    """
    places = points.places()
    labels = {places[item]: label for item, label in project.labels().items() if item in places}
    names = sorted(set(labels.values()))
    number_of = {name: number for number, name in enumerate(names)}
    indices = np.array(sorted(labels), dtype=np.int64)
    numbers = np.array([number_of[labels[place]] for place in indices.tolist()], dtype=np.int64)
    return Answers(twin.asarray(indices), twin.asarray(numbers)), names


def take_known_labels(project: Project, points: OwnPoints) -> int:
    """Take the labels that the data came with as answers, where there is none. Return the number of new ones.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks.example import answered
    >>> one = OwnPoints(Dataset("fruit", np.zeros((1, 1))), ["fruit 20"], np.array([0]), labels={"fruit 20": "apple"})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     take_known_labels(answered(folder), one)
    1
    """
    answered = project.log.current()
    n_new = project.answer({item: label for item, label in points.labels.items() if item not in answered}, by="data")
    for complaint in labels_file.similar_classes(list(points.labels.values())) if n_new else []:
        console.say(f"classes in the data: {complaint}")
    return n_new
