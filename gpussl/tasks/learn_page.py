"""What the page of a model shows beside its numbers: points, confusions, clusters and a map."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from shlex import quote
from typing import Any

import numpy as np

from gpussl import seeds
from gpussl.evaluate.advice import Advice
from gpussl.protocols import Representation
from gpussl.report.parts import Confusion, Gallery, Map, Part, Picture, Table
from gpussl.report.results import stage_table
from gpussl.represent.pca import PCA
from gpussl.tasks import accept, project
from gpussl.tasks.accept import Accepting
from gpussl.tasks.advise_parts import curve_of
from gpussl.tasks.checked import Checked
from gpussl.tasks.own import OwnPoints, path_of
from gpussl.tasks.prepare import Context, Data
from gpussl.tasks.project import Project
from gpussl.tasks.tiles import Tiles, pixels

MOST_ON_MAP, MOST_FITTED = 100_000, 20_000  # points
MOST_PICTURES = 500  # on the map
MOST_CLASSES = 30  # in the confusion matrix
MOST_DOUBTED, IN_CELL, MOST_CELLS, MOST_CLUSTERS = 40, 8, 40, 24  # that are shown


@dataclass(frozen=True)
class Learnt:
    """What is known of all points.

    Attributes
    ----------
    points : OwnPoints
    data : Data
    names : sequence of str
        The classes.
    bought : (m,) int array
        The places of the labelled points.
    numbers, certainty : (n,) array
        The class number of each point, and its probability.
    source : {"propagated", "predicted"}
        Where those of the other points come from.

    Examples
    --------
    >>> from gpussl.records import Dataset
    >>> dataset = Dataset("mine", np.zeros((2, 1)))
    >>> points, data = OwnPoints(dataset, ["a", "b"], np.arange(2)), Data(dataset, dataset.X_train, None, "mine")
    >>> Learnt(points, data, ["cat"], np.array([0]), np.zeros(2, dtype=int), np.ones(2), "predicted").ids
    ['a', 'b']
    """

    points: OwnPoints
    data: Data
    names: Sequence[str]
    bought: np.ndarray
    numbers: np.ndarray
    certainty: np.ndarray
    source: str

    @property
    def ids(self) -> Sequence[str]:
        """The ids of the points without copies."""
        return self.points.dataset.train_ids or self.points.ids


def parts(
    run_on: Context,
    made: Project,
    learnt: Learnt,
    checked: Checked,
    ahead: Advice | None,
    doubted: Sequence[Sequence[str]],
    accepting: Accepting | None = None,
) -> list[Part]:
    """Return what the page shows beside the numbers.

    Parameters
    ----------
    doubted : sequence of sequences of str
        The id, the label, the predicted class and its probability of each doubted label, the most doubted first.
    accepting : Accepting or None
        Which labels are accepted, if that was asked for.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks import own
    >>> from gpussl.tasks.example import answered, on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_on, made = on_fruit(folder, "learn"), answered(folder)
    ...     points = own.read(run_on)
    ...     data, few = own.represent(run_on, points), np.arange(10)
    ...     learnt = Learnt(points, data, ["a"], few, np.zeros(30, dtype=int), np.ones(30), "predicted")
    ...     found = parts(run_on, made, learnt, Checked(0 * few, 0 * few, 0 * few + 1), None, [])
    >>> [type(part).__name__ for part in found]
    ['Map', 'Table', 'Table']
    """
    points, ids = learnt.points, learnt.ids
    cells = _cells(checked, learnt.bought)
    groups = _groups(made, points)
    items = [ids[place] for shown in cells.values() for place in shown]
    items += [row[0] for row in doubted[:MOST_DOUBTED]] + [group[0] for group in groups]
    tiles = Tiles(points, path_of(run_on.job), items)
    found: list[Part] = []
    if accepting is not None and accepting.accepted.n_sample:
        found.append(accept.picture(accepting.accepted))
    if ahead is not None:
        found.append(Picture("curve", "Accuracy by number of labels, and the forecast", partial(_curve, ahead)))
    confused = _confusion(checked, learnt.names, ids, cells, tiles)
    found += [] if confused is None else [confused]
    if doubted:
        shown = [
            tiles.of(item, f"{label}; the model: {said} ({float(probability):.0%})")
            for item, label, said, probability, *_ in doubted[:MOST_DOUBTED]
        ]
        caption = (
            f"Models that did not see these labels say another class of {len(doubted):,} points; the surest first. "
            f"Look at them again with gpussl label {quote(str(made.folder))}, under “Second look”."
        )
        found.append(Gallery("Labels in doubt", shown, caption))
    if groups:
        found.append(_clusters(groups, learnt, tiles))
    if run_on.job.map != "none":
        found.append(_map(run_on, learnt))
    if points.skipped:
        rows = [(item, reason) for item, reason in points.skipped[:20]]
        found.append(Table("Points that could not be read", ("id", "reason"), rows, f"{len(points.skipped):,} in all"))
    stages = stage_table(run_on.monitor.stages, "")
    found.append(Table("Seconds by stage", stages.header, stages.rows))
    found.append(Table("Settings", ("setting", "value"), _settings(run_on)))
    return found


def _cells(checked: Checked, bought: np.ndarray) -> dict[tuple[int, int], list[int]]:
    """The places of random points that were predicted wrongly, by class and predicted class."""
    wrong = np.flatnonzero((checked.counts > 0) & (checked.predicted != checked.y))
    found: dict[tuple[int, int], list[int]] = {}
    for row in wrong.tolist():
        found.setdefault((int(checked.y[row]), int(checked.predicted[row])), []).append(int(bought[row]))
    largest = sorted(found.items(), key=lambda pair: -len(pair[1]))[:MOST_CELLS]
    return {cell: places[:IN_CELL] for cell, places in sorted(largest)}


def _confusion(
    checked: Checked, names: Sequence[str], ids: Sequence[str], cells: dict[tuple[int, int], list[int]], tiles: Tiles
) -> Confusion | None:
    """The confusion matrix of the random points; None if there are none, or too many classes to see anything."""
    if not checked.n or not 1 < len(names) <= MOST_CLASSES:
        return None
    y, predicted = checked.sample
    counts = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(counts, (y, predicted), 1)
    shown = {cell: [tiles.of(ids[place]) for place in places] for cell, places in cells.items()}
    caption = f"The {checked.n:,} random points, each predicted without its label."
    if shown:
        caption += " Press a number in a frame to see its points."
    return Confusion("Confusion matrix", names, counts.tolist(), shown, caption)


def _groups(made: Project, points: OwnPoints) -> list[list[str]]:
    """The look-alikes of the largest clusters of the first round, as far as they are still there."""
    known = points.places()
    found = [group for asked in made.rounds()[:1] for group in made.look_alikes(asked.number)]
    there = [[item for item in group if item in known] for group in found]
    return [group for group in there if group][:MOST_CLUSTERS]


def _clusters(groups: Sequence[Sequence[str]], learnt: Learnt, tiles: Tiles) -> Gallery:
    places, shown = learnt.points.places(), []
    for group in groups:
        said = Counter(learnt.names[learnt.numbers[places[item]]] for item in group)
        ((name, count),) = said.most_common(1)
        shown.append(tiles.of(group[0], f"{name}, {count / len(group):.0%}"))
    caption = (
        "The point nearest to the centre of each of the largest clusters of the first round, with the commonest "
        "predicted class among the points around it and its share: a cluster of several classes is worth more labels."
    )
    return Gallery("Clusters", shown, caption)


def _map(run_on: Context, learnt: Learnt) -> Map:
    """All points, or a random part of very many, in the plane."""
    rng = seeds.generator(run_on.seed("map"), "points")
    names, bought, X, dataset = learnt.names, learnt.bought, learnt.data.X_train, learnt.points.dataset
    n = len(learnt.numbers)
    others = np.setdiff1d(rng.permutation(n)[:MOST_ON_MAP], bought)
    places = np.sort(np.concatenate([rng.permutation(bought), rng.permutation(others)])[:MOST_ON_MAP]).astype(np.int64)
    xy = _plane(run_on, X.take(run_on.twin.asarray(places), axis=0) if len(places) < n else X)
    is_bought = np.isin(places, bought)
    sources = np.where(is_bought, 0, project.SOURCES.index(learnt.source))
    chance = 1 / max(2, len(names))
    doubt = np.where(is_bought, 0, (1 - learnt.certainty[places]) / (1 - chance))
    colours: dict[str, tuple[np.ndarray, Sequence[str]]] = {"doubt": (doubt, ()), "source": (sources, project.SOURCES)}
    if len(names) < 256:
        colours = {"class": (learnt.numbers[places], list(names)), **colours}
    pictures = {}
    if dataset.image_shape is not None:
        few = [*np.flatnonzero(is_bought)[: MOST_PICTURES // 2], *rng.permutation(len(places))[: MOST_PICTURES // 2]]
        pictures = {int(row): pixels(dataset, int(places[row])) for row in few}
    how = "by their first two principal components" if run_on.job.map == "pca" else "by UMAP"
    part = f"{len(places):,} of the {n:,} points" if len(places) < n else f"All {n:,} points"
    caption = f"{part}, {how}. Neighbours are alike; what is far apart may still be alike in other directions."
    return Map("Map", xy, [learnt.ids[place] for place in places.tolist()], colours, pictures, caption)


def _plane(run_on: Context, X: Any) -> np.ndarray:
    """(n, d) points in two dimensions."""
    n, d = X.shape
    twin, seed = run_on.twin, run_on.seed("map")
    if d < 2 or n < 3:
        flat = twin.to_numpy(X)[:, :1]
        return np.concatenate([flat, np.zeros_like(flat)], axis=1)
    with run_on.monitor.stage("map", twin):
        if run_on.job.map == "umap":
            return twin.to_numpy(twin.umap(X, 2, min(15, n - 1), 0.1, seed))
        few = np.sort(seeds.generator(seed, "few").permutation(n)[:MOST_FITTED])
        step: Representation = PCA(n_components=2)
        fitted = step.fit(X.take(twin.asarray(few), axis=0), seed)
        return np.asarray(twin.to_numpy(fitted.transform(X)))


def _curve(ahead: Advice, figures: Any) -> Any:
    n_labels = int(ahead.measured.sizes[-1])
    return figures.learning_curves("Random points, without their labels", [curve_of(ahead, figures)], n_labels)


def _settings(run_on: Context) -> list[tuple[str, str]]:
    job = run_on.job
    given = [(f"data.{name}", value) for name, value in job.data_settings.items() if not name.startswith("_")]
    rows = [(name, str(value)) for name, value in given if value not in (None, [], "", False)]
    stages = ("represent", job.represent), ("propagate", job.propagate), ("classifier", job.classifier)
    rows += [(name, ", ".join(map(str, chosen))) for name, chosen in stages]
    return [*rows, ("seed", str(job.seed))]
