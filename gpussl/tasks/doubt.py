"""Doubt: which labels that the data came with may be wrong."""

from collections import Counter
from pathlib import Path

import numpy as np

from gpussl.errors import ConfigError
from gpussl.evaluate import confident_learning
from gpussl.records import Answers
from gpussl.report import write_page
from gpussl.report.parts import Gallery, Part, Words
from gpussl.runtime import console, store
from gpussl.runtime.config import Job
from gpussl.tasks import choose, estimate, own, project
from gpussl.tasks.own import OwnPoints
from gpussl.tasks.prepare import Context
from gpussl.tasks.tiles import Tiles

FEWEST = 20  # labels; models of fewer know too little to doubt
SHOWN = 100  # on the page


def check(job: Job) -> None:
    """Raise ConfigError if a job does not suit the task.

    Examples
    --------
    >>> from gpussl.runtime import config
    >>> check(config.job("+experiment=own_data", "task=doubt", "project=mine.gpussl"))
    Traceback (most recent call last):
    gpussl.errors.ConfigError: doubt: expected data with labels, found the project mine.gpussl; gpussl learn lists the
        doubtful labels of a project in doubts.csv
    """
    if job.project is not None:
        raise ConfigError(
            f"doubt: expected data with labels, found the project {job.project}; gpussl learn lists the doubtful "
            f"labels of a project in {project.DOUBTS}"
        )
    choose.check(job)


def work(run_on: Context) -> None:
    """List the labels of which models that have not seen them say another class, the most doubtful first.

    Raises
    ------
    GpusslError
        The data have too few labels, or something is in the folder of the results already.

    Examples
    --------
    >>> import contextlib, csv, io, tempfile
    >>> from gpussl.tasks.example import on_fruit
    >>> with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
    ...     run_on = on_fruit(folder, "doubt", "project=null", "data.label=kind", f"output={folder}/out")
    ...     with Path(folder, "fruit.csv").open("w", newline="") as file:
    ...         rows = [[f"fruit {n}", 10 * n + 500 * (n % 2), "plum" if n % 2 else "fig"] for n in range(30)]
    ...         rows[4][2] = "plum"
    ...         csv.writer(file).writerows([("id", "weight", "kind"), *rows])
    ...     work(run_on)
    ...     lines = Path(folder, "out", "doubts.csv").read_text().splitlines()
    >>> lines[1].split(",")[:3]
    ['fruit 4', 'plum', 'fig']
    """
    job = run_on.job
    folder = job.output or Path(f"{own.folder_for(job).stem}-doubts")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            f"{folder}: expected no folder or an empty one, found files; write to another with output=..."
        )
    points = own.read(run_on)
    answers, classes = _known(run_on, points)
    data = own.represent(run_on, points)
    with run_on.monitor.stage("train", run_on.twin) as stage:
        classifier = choose.fitted(run_on, data, answers)
        stage.note = f"{len(answers):,} labels of {len(classes)} classes"
    proba = estimate.held_out(run_on, data, answers, classifier, is_whole=True)
    items, names, of_items, y = _of_items(points, classes, proba, run_on.twin.to_numpy(answers.indices))
    lines = [
        [items[at], names[y[at]], names[of_items[at].argmax()], f"{of_items[at].max():.4f}"]
        for at in confident_learning.order(of_items, y).tolist()
    ]
    told = (
        f"Of {len(points.labels):,} labels {len(lines):,} are in doubt: models that did not see them say another class."
        f" By confident learning, about {confident_learning.n_wrong(of_items, y):,} are wrong."
    )
    path = own.path_of(job)
    fields, records = points.dataset.reader.records(path, {line[0] for line in lines})
    parts: list[Part] = [Words(told)]
    shown = lines[:SHOWN]
    tiles = Tiles(points, path, [line[0] for line in shown])
    found = [
        tiles.of(item, f"{label}; the models: {said} ({float(chance):.0%})") for item, label, said, chance in shown
    ]
    parts += [Gallery("Labels in doubt", found)] if found else []
    with project.whole(folder) as place:
        rows = [[*line, *records.get(line[0], [])] for line in lines]
        header = project.header(("id", "label", "predicted", "probability"), fields)
        store.write_csv(place / project.DOUBTS, [header, *rows])
        with console.warning("the page"):
            write_page(place, f"{path.name}: labels in doubt", parts, f"gpussl, seed {job.seed}")
    console.stdout.print(
        f"{told} They are in {folder / project.DOUBTS}, the most doubtful first; look at them in "
        f"{folder / 'report.html'}.",
        soft_wrap=True,
    )


def _known(run_on: Context, points: OwnPoints) -> tuple[Answers, list[str]]:
    """The labels of the points without copies, and the classes. Of different labels of copies the commonest counts."""
    places, labels = points.places(), points.labels
    said: dict[int, Counter[str]] = {}
    for item, label in labels.items():
        said.setdefault(places[item], Counter())[label] += 1
    label_of = {place: counts.most_common(1)[0][0] for place, counts in said.items()}
    classes = sorted(set(label_of.values()))
    if len(classes) < 2 or len(labels) < FEWEST:
        found = f"{len(labels):,} labels of {len(classes)} classes" if labels else "none"
        raise ConfigError(
            f"{own.path_of(run_on.job)}: expected {FEWEST} labels or more, of two classes, with the data, found {found}"
            "; name their column with data.label=..., or take the names of folders with data.labels=folders"
        )
    number_of = {name: number for number, name in enumerate(classes)}
    indices = np.array(sorted(label_of), dtype=np.int64)
    numbers = np.array([number_of[label_of[place]] for place in indices.tolist()], dtype=np.int64)
    return Answers(run_on.twin.asarray(indices), run_on.twin.asarray(numbers)), classes


def _of_items(
    points: OwnPoints, classes: list[str], proba: np.ndarray, indices: np.ndarray
) -> tuple[list[str], list[str], np.ndarray, np.ndarray]:
    """The ids, class names, probabilities and class numbers of all labels: each copy has a label of its own.

    A class that only outvoted copies have is one that no model says.
    """
    names = [*classes, *sorted(set(points.labels.values()) - set(classes))]
    number_of = {name: number for number, name in enumerate(names)}
    row_of = {int(place): row for row, place in enumerate(indices)}
    places, items = points.places(), list(points.labels)
    of_items = np.zeros((len(items), len(names)))
    of_items[:, : len(classes)] = proba[[row_of[places[item]] for item in items]]
    return items, names, of_items, np.array([number_of[points.labels[item]] for item in items])
