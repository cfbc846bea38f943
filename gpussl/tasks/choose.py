"""Choose: which points a person should label next."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from shlex import quote

import numpy as np

from gpussl import seeds
from gpussl.cluster.none import NoClustering
from gpussl.errors import ConfigError
from gpussl.protocols import Classifier
from gpussl.records import Answers, Array, Clustering
from gpussl.report import write_page
from gpussl.report.parts import Gallery, Part, Table, Words
from gpussl.runtime import console, store
from gpussl.runtime.config import Job
from gpussl.select.doubtful import Doubtful
from gpussl.select.nearest_to_centroid import NearestToCentroid
from gpussl.tasks import own, project, spread
from gpussl.tasks.own import OwnPoints
from gpussl.tasks.prepare import Context, Data
from gpussl.tasks.project import Project, Round
from gpussl.tasks.tiles import Tiles

MIN_DEFAULT, MAX_DEFAULT, DEFAULT_SHARE = 50, 500, 0.01  # of labels in a round
MIN_TO_DOUBT = 20  # labels; a model of fewer knows too little to doubt
MOST_CLUSTERED, POINTS_IN_CLUSTER = 100_000, 100  # points: of more, and of more in each cluster, a random part
SHOWN = 100  # points on the page
REPRESENTATIVE, DOUBTFUL, RANDOM, AUDIT = "representative", "doubtful", "random", "audit"
CELL = 120  # characters of a cell on the page
IN_GROUP = 24  # look-alikes of a cluster


@dataclass(frozen=True)
class Chosen:
    """Points that are worth most, and why.

    Attributes
    ----------
    places : sequence of int
    why : {"representative", "doubtful"}
    groups : sequence of sequences of int
        The places of look-alikes, if the points were clustered.

    Examples
    --------
    >>> Chosen([3, 4], REPRESENTATIVE).groups
    ()
    """

    places: Sequence[int]
    why: str
    groups: Sequence[Sequence[int]] = ()


def check(job: Job) -> None:
    """Raise ConfigError if a job does not suit the task.

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> check(config.job("task=choose", "classifier=[knn,logistic]"))
    Traceback (most recent call last):
    gpussl.errors.ConfigError: classifier: expected exactly one with task=choose, found knn, logistic; choose one with
        classifier=[auto]
    """
    if len(job.classifier) != 1:
        raise ConfigError(
            f"classifier: expected exactly one with task={job.task}, found {', '.join(job.classifier) or 'none'}; "
            "choose one with classifier=[auto]"
        )
    (model,) = job.classifier.values()
    if model.learns_from_unlabelled or model.stops_by_test_labels:
        raise ConfigError(
            f"classifier: expected one that learns from labelled points alone with task={job.task}, found "
            f"{', '.join(job.classifier)}; choose classifier=[auto]"
        )
    if job.audit_more is not None and job.n_labels is not None:
        raise ConfigError(
            f"audit_more: expected no n_labels beside it, found {job.n_labels}; ask for {job.audit_more} labels to "
            "audit alone, or for a round with a share of random ones: n_labels=... audit=..."
        )
    spread.check(job)


def work(run_on: Context) -> None:
    """Choose the points of the next round, and write what to label.

    Raises
    ------
    GpusslError
        The data or a setting is wrong. A new project is then not made.

    Examples
    --------
    >>> import contextlib, io, tempfile
    >>> from gpussl.tasks.example import on_fruit
    >>> with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
    ...     run_on = on_fruit(folder, "choose", "n_labels=10")
    ...     work(run_on)
    ...     (asked,) = project.opened(run_on.job.project).rounds()
    >>> sorted(asked.asked.values()).count("random"), len(asked.asked)
    (3, 10)
    """
    job = run_on.job
    folder = job.project or own.folder_for(job)
    is_new = not project.is_project(folder)
    if not is_new and job.project is None:
        raise ConfigError(
            f"{folder}: expected no project of this name, found one; go on with gpussl choose {quote(str(folder))}, or "
            "name another with project=..."
        )
    points = own.read(run_on) if is_new else None  # a folder is made only for data that can be read
    with project.locked(folder):
        if is_new:
            made = project.create(folder, own.data_settings(job), project.remembered(job.overrides))
        else:
            made = project.opened(folder)
        try:
            points = points or own.read(run_on)
            own.take_known_labels(made, points)
            made = made.snapshot()
            worth = made.worth_auditing("learned") if job.audit_more else set()
            asked = _audit(run_on, made, points, worth) if worth else None
            look_alikes: list[list[str]] = []
            if asked is None:
                worth = set()
                asked, look_alikes = _choose(run_on, made, points)
            _write(run_on, made, points, asked, look_alikes, worth)
        except BaseException:
            if is_new:
                project.discard(made)
            raise
    path = made.round_folder(asked.number) / project.TO_LABEL
    console.stdout.print(
        f"{len(asked.asked):,} points to label are in {path}: {_kinds(asked)}. Look at them in "
        f"{path.with_name('report.html')}. Label them on a page with\n  gpussl label {quote(str(made.folder))}\nor "
        f"write the class of each into the column label, and go on with\n  gpussl label {quote(str(made.folder))} "
        f"{quote(str(path))}",
        soft_wrap=True,
    )


def _kinds(asked: Round) -> str:
    """What a round asks for, in words."""
    counts = Counter(asked.asked.values())
    kinds = {
        RANDOM: "random ones, which will tell the accuracy",
        AUDIT: "random ones of those that may be accepted",
        REPRESENTATIVE: "that stand for many others",
        DOUBTFUL: "that the labels so far leave in doubt",
    }
    told = [why for why in kinds if counts[why] or (why == RANDOM and not counts[AUDIT])]
    return ", and ".join(f"{counts[why]:,} {kinds[why]}" for why in told)


def n_default(n_points: int) -> int:
    """Return the number of labels in a round: 1 % of the points, but at least 50 and at most 500.

    >>> n_default(60_000), n_default(1_000), n_default(30)
    (500, 50, 30)
    """
    return min(n_points, max(MIN_DEFAULT, min(MAX_DEFAULT, ceil(DEFAULT_SHARE * n_points))))


def random_order(ids: Sequence[str], seed: int) -> np.ndarray:
    """Return the points (n,) in a random order that does not change when other points come and go.

    >>> order = random_order(["a", "b", "c"], seed=0)
    >>> sorted(order.tolist())
    [0, 1, 2]
    """
    salt = seeds.derive(seed, "audit").to_bytes(8, "big")
    keys = [hashlib.blake2b(item.encode("utf-8", "surrogateescape"), key=salt).digest() for item in ids]
    return np.array(sorted(range(len(ids)), key=keys.__getitem__), dtype=np.int64)


def _choose(run_on: Context, made: Project, points: OwnPoints) -> tuple[Round, list[list[str]]]:
    """The points of the next round, and look-alikes. The random ones are the first in a random order of all points."""
    job, rounds, places = run_on.job, made.rounds(), points.places()
    done = _done(made, points)
    n_points = len(points.dataset.X_train)
    n_left = n_points - len(done)
    n = min(job.audit_more or job.n_labels or n_default(n_points), n_left)
    if n == 0:
        raise ConfigError(
            f"{made.folder}: expected points that were not asked for yet, found none; learn from the labels"
        )
    if job.n_labels is None and job.audit_more is None:
        console.say(f"n_labels: {n:,}, the default for {n_points:,} points; another number with n_labels=...")
    wanted = round(job.audit * (n + sum(len(asked.asked) for asked in rounds)))
    wanted = len(points.ids) if job.audit_more else max(wanted, len(rounds[-1].audit) if rounds else 0)
    audit, random = _random_sample(run_on, points, done, n, wanted)
    audits = [item for asked in rounds for item in (*asked.audit, *asked.reasons(AUDIT))]
    hidden = {places[item] for item in (*audits, *audit) if item in places}
    reader, X = points.dataset.reader, np.asarray(points.dataset.X_train)
    empty = set() if reader is None else set(np.flatnonzero(reader.is_empty(X)).tolist())
    chosen = _select(run_on, made, points, done | set(random) | empty, hidden, n - len(random))
    order = _mixed(chosen.places, random, run_on.seed("order"))
    ids = points.dataset.train_ids or ()
    number = int(made.next_folder("rounds").name)
    drawn = set(random)
    asked = {ids[place]: RANDOM if place in drawn else chosen.why for place in order}
    return Round(number, asked, audit, run_on.seed("audit")), [
        [ids[place] for place in group] for group in chosen.groups
    ]


def region_of(points: OwnPoints, worth: set[str]) -> np.ndarray:
    """Return whether each point (n,) is one of those named, or has a copy that is.

    >>> from gpussl.records import Dataset
    >>> points = OwnPoints(Dataset("mine", np.zeros((2, 1))), ["a", "b", "copy of a"], np.array([0, 1, 0]))
    >>> region_of(points, {"copy of a"}).tolist()
    [True, False]
    """
    is_worth = np.array([item in worth for item in points.ids], dtype=bool)
    return np.isin(np.arange(len(points.dataset.X_train)), points.place_of[is_worth])


def _done(made: Project, points: OwnPoints) -> set[int]:
    """The places of all points that were asked for, or have an answer."""
    places = points.places()
    items = [*made.answers(), *(item for asked in made.rounds() for item in asked.asked)]
    return {places[item] for item in items if item in places}


def _audit(run_on: Context, made: Project, points: OwnPoints, worth: set[str]) -> Round | None:
    """A round of random points of those worth auditing: the first open ones in the random order.

    They are no sample of all points, so the accuracy is told by the same points as before. None if none is open, or all
    points are worth it.
    """
    region = region_of(points, worth)
    if region.all():
        return None
    rounds, done = made.rounds(), _done(made, points)
    found: dict[str, str] = {}
    for drawn in random_order(points.ids, run_on.seed("audit")).tolist():
        if len(found) == run_on.job.audit_more:
            break
        place = int(points.place_of[drawn])
        if region[place] and place not in done:
            done.add(place)
            found[(points.dataset.train_ids or points.ids)[place]] = AUDIT
    if not found:
        return None
    before = rounds[-1].audit if rounds else []
    return Round(int(made.next_folder("rounds").name), found, before, run_on.seed("audit"))


def _random_sample(
    run_on: Context, points: OwnPoints, done: set[int], n: int, wanted: int
) -> tuple[list[str], list[int]]:
    """The first `wanted` points of a random order of all, copies included, and the places to ask for: at most n.

    The order is that of the data as they are now: of data that have grown, the sample has its share of new ones.
    """
    sample: list[str] = []
    asked: list[int] = []
    for drawn in random_order(points.ids, run_on.seed("audit"))[:wanted].tolist():
        place = int(points.place_of[drawn])
        if place not in done and place not in asked:
            if len(asked) == n:
                break  # the sample ends where the labels do
            asked.append(place)
        sample.append(points.ids[drawn])
    return sample, asked


def _select(run_on: Context, made: Project, points: OwnPoints, done: set[int], audit: set[int], n: int) -> Chosen:
    """The points that are worth most.

    The choice does not see the random points and their labels: if it avoided their surroundings, a model would predict
    them worse than all others, and the accuracy on them would be too low.
    """
    twin, seed = run_on.twin, run_on.seed("select")
    if n == 0:
        return Chosen([], REPRESENTATIVE)
    everything, _ = own.known(made, points, twin)
    is_seen = twin.asarray(~np.isin(twin.to_numpy(everything.indices), list(audit)))
    answers = Answers(everything.indices[is_seen], everything.labels[is_seen])
    if len(answers) < MIN_TO_DOUBT or len(np.unique(twin.to_numpy(answers.labels))) < 2:
        before = np.array(sorted(done - audit), dtype=np.int64)
        n_clusters = min(len(points.dataset.X_train), n + len(before))
        places = _clustered(points, before, n_clusters, seed)
        data, clustering = own.cluster(run_on, own.part(points, places), n_clusters)
        asked_before = twin.asarray(np.searchsorted(places, before))
        nothing = Answers(asked_before, asked_before)
        found = places[twin.to_numpy(NearestToCentroid().select(data.X_train, clustering, nothing, n, seed))].tolist()
        first = [place for place in found if place not in done]
        # clusters may be empty, or their nearest points may be random ones already
        rest = sorted(set(range(len(points.dataset.X_train))) - done - set(first))
        more = seeds.generator(seed, "more").permutation(rest)[: n - len(first)].tolist()
        groups = [places[group].tolist() for group in _look_alikes(run_on, clustering)]
        return Chosen([*first, *(int(place) for place in more)], REPRESENTATIVE, groups)
    data = own.represent(run_on, points)
    asked_before = twin.asarray(np.array(sorted(done), dtype=np.int64))
    known = Answers(asked_before, asked_before, _doubt(run_on, data, answers))
    with run_on.monitor.stage("select", twin):
        chosen = Doubtful().select(data.X_train, NoClustering().fit(data.X_train, 0), known, n, seed)
    return Chosen([int(place) for place in twin.to_numpy(chosen).tolist()], DOUBTFUL)


def _look_alikes(run_on: Context, clustering: Clustering) -> list[np.ndarray]:
    """The points of each cluster that are nearest to its centroid, nearest first; the largest clusters first."""
    clusters, distances = (run_on.twin.to_numpy(array) for array in (clustering.labels, clustering.distances))
    order = np.lexsort((distances, clusters))
    order = order[clusters[order] >= 0]
    found = np.split(order, np.flatnonzero(np.diff(clusters[order])) + 1)
    return [group[:IN_GROUP] for group in sorted(found, key=len, reverse=True) if len(group) > 1]


def _clustered(points: OwnPoints, before: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
    """The places, in order, of the points that are clustered: all, or a random part and those asked before.

    A part with many points for each cluster has nearly the clusters of all points, in much less time.
    """
    n, n_random = len(points.dataset.X_train), max(MOST_CLUSTERED, POINTS_IN_CLUSTER * n_clusters)
    if n <= n_random:
        return np.arange(n)
    console.say(f"cluster: a random part of {n_random:,} of the {n:,} points")
    return np.union1d(before, seeds.generator(seed, "clustered").permutation(n)[:n_random])


def _doubt(run_on: Context, data: Data, answers: Answers) -> Array:
    """(n,): one minus the difference between the two largest probabilities, of a model of all labels so far."""
    with run_on.monitor.stage("train", run_on.twin) as stage:
        model = fitted(run_on, data, answers)
        proba = run_on.twin.to_numpy(model.predict_proba(data.X_train))
        stage.note = f"{len(answers):,} labels"
    largest = np.partition(proba, -2, axis=1)
    return run_on.twin.asarray(1 - (largest[:, -1] - largest[:, -2]))


def fitted(run_on: Context, data: Data, answers: Answers, use: str = "train") -> Classifier:
    """Return the classifier fitted to the labels so far. InputError for labels of one class.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks.example import on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_on = on_fruit(folder, "learn")
    ...     data = own.represent(run_on, own.read(run_on))
    >>> with run_on.monitor.stage("train", run_on.twin):
    ...     model = fitted(run_on, data, Answers(np.array([0, 29]), np.array([0, 1])))
    >>> model.predict(data.X_train[:2]).tolist()
    [0, 1]
    """
    (model,) = run_on.job.classifier.values()
    ready = model.prepared(run_on.seed(use), data.dataset.image_shape, run_on.twin.DEVICE)
    X = data.X_train.take(answers.indices, axis=0)
    return ready.fit(X, answers.labels, groups=answers.indices, on_progress=run_on.monitor.advance)


def _mixed(chosen: Sequence[int], random: Sequence[int], seed: int) -> list[int]:
    """All points in an order in which the random ones are spread among the others."""
    both = [*chosen, *random]
    return [both[place] for place in seeds.generator(seed, "mixed").permutation(len(both)).tolist()]


def _write(
    run_on: Context,
    made: Project,
    points: OwnPoints,
    asked: Round,
    look_alikes: Sequence[Sequence[str]],
    worth: set[str],
) -> None:
    """Write the round, which appears as a whole, and the states of all points."""
    shown = {*asked.asked, *(item for group in look_alikes for item in group)}
    path = own.path_of(run_on.job)
    fields, records = points.dataset.reader.records(path, shown)
    records = {item: [_one_break(cell) for cell in cells] for item, cells in records.items()}
    known = made.labels()
    with project.whole(made.round_folder(asked.number)) as work:
        rows = [[item, known.get(item, ""), why, *records.get(item, [])] for item, why in asked.asked.items()]
        store.write_csv(work / project.TO_LABEL, [project.header(("id", "label", "why"), fields), *rows])
        if look_alikes:
            groups = [(str(number), item) for number, group in enumerate(look_alikes) for item in group]
            store.write_csv(work / project.LOOK_ALIKES, [("group", "id"), *groups])
        if worth:
            store.write_csv(
                work / project.WORTH_AUDITING, [("id",), *((item,) for item in points.ids if item in worth)]
            )
        if fields:
            of_items = [[item, *cells] for item, cells in records.items()]
            store.write_csv(work / project.FIELDS, [project.header(("id",), fields), *of_items])
        project.write_round(work, asked)
        with console.warning("the page"):
            title = f"{made.folder.name}: round {asked.number}"
            write_page(work, title, _page(points, asked, path, fields, records), f"gpussl, seed {run_on.job.seed}")
    made.write_points(points.ids, points.copy_of)
    if points.skipped:
        store.write_csv(made.folder / "skipped.csv", [("id", "reason"), *points.skipped])


def _one_break(cell: str) -> str:
    """A cell with line breaks of one kind: a lone carriage return is not quoted in CSV."""
    return cell.replace("\r\n", "\n").replace("\r", "\n")


def _page(
    points: OwnPoints, asked: Round, path: Path, fields: Sequence[str], records: Mapping[str, Sequence[str]]
) -> list[Part]:
    """The page that shows what was chosen."""
    parts: list[Part] = [Words(f"{len(asked.asked):,} of {len(points.ids):,} points to label, in this order.")]
    shown = list(asked.asked)[:SHOWN]
    if len(shown) < len(asked.asked):
        parts.append(Words(f"The first {len(shown)} are shown; to_label.csv has all."))
    if points.dataset.image_shape is not None:
        tiles = Tiles(points, path, shown)
        parts.append(Gallery("What to label", [tiles.of(item, asked.asked[item]) for item in shown]))
    else:
        cells = [[item, asked.asked[item], *(cell[:CELL] for cell in records.get(item, []))] for item in shown]
        parts.append(Table("What to label", ["id", "why", *fields], cells, n_left=2 + len(fields)))
    return parts
