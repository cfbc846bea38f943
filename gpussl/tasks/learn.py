"""Learn: train a model on the labels of a project, say how good it is, and predict all other points."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import numpy as np

from gpussl.classifier.model import Model
from gpussl.errors import ConfigError
from gpussl.evaluate import confident_learning
from gpussl.protocols import Classifier
from gpussl.records import Answers
from gpussl.report import show, write_files, write_page
from gpussl.runtime import console, environment, store
from gpussl.runtime.config import Job
from gpussl.tasks import accept, choose, estimate, label, learn_page, own, project, spread, student
from gpussl.tasks.accept import Accepting
from gpussl.tasks.learn_parts import parts_of
from gpussl.tasks.own import OwnPoints
from gpussl.tasks.prepare import Context, Data
from gpussl.tasks.project import Project
from gpussl.tasks.spread import Spreading
from gpussl.tasks.student import Student

MOST_DOUBTS = 1000


@dataclass(frozen=True)
class Trained:
    """All that was learnt from the labels.

    Attributes
    ----------
    classifier : Classifier
        Fitted to the labels.
    spreading : Spreading or None
        How much spread labels count beside it; None if not at all.
    shares : (n, n_classes) array or None
        Those that spread.
    student : Student or None
        The model for new data, if it is another.
    held_out : (m, n_classes) array or None
        The probabilities that models without their labels give the labelled points; rows of NaN are not known.

    Examples
    --------
    >>> from gpussl.classifier.knn import KNeighborsClassifier
    >>> Trained(KNeighborsClassifier()).for_new_data.kind
    'knn'
    """

    classifier: Classifier
    spreading: Spreading | None = None
    shares: np.ndarray | None = None
    student: Student | None = None
    held_out: np.ndarray | None = None

    @property
    def for_new_data(self) -> Classifier:
        """The classifier that predicts new data."""
        return self.classifier if self.student is None else self.student.classifier


def check(job: Job) -> None:
    """Raise ConfigError if a job does not suit the task.

    >>> from gpussl.runtime import config
    >>> check(config.job("+experiment=own_data", "task=learn", "project=mine.gpussl"))
    """
    choose.check(job)
    label.project_of(job)


def work(run_on: Context) -> None:
    """Train, check and predict; the results appear in the project as a whole.

    Raises
    ------
    GpusslError
        There are labels of fewer than two classes, or the data cannot be read.

    Examples
    --------
    >>> import contextlib, io, tempfile
    >>> from gpussl.tasks.example import answered, on_fruit
    >>> with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
    ...     made = answered(folder)
    ...     work(on_fruit(folder, "learn"))
    ...     lines = (made.folder / "learned" / "1" / project.PREDICTIONS).read_text().splitlines()
    >>> len(lines), lines[1]
    (31, 'fruit 0,apple,1.0000,bought')
    """
    folder = label.project_of(run_on.job)
    made = project.opened(folder)  # before the lock, which would make the folder
    with project.locked(folder):
        points = own.read(run_on)
        own.take_known_labels(made, points)
        made = made.snapshot()
        answers, names = own.known(made, points, run_on.twin)
        if len(names) < 2:
            found = f"{len(answers):,} labels of {names[0]!r} alone" if names else "none"
            raise ConfigError(
                f"{folder}: expected labels of at least two classes, found {found}; label more, with "
                f"gpussl choose {quote(str(folder))} and gpussl label {quote(str(folder))}"
            )
        data = own.represent(run_on, points)
        trained = train(run_on, data, answers)
        sample = estimate.random_sample(made, points)
        sizes = np.bincount(points.place_of, minlength=len(points.dataset.X_train))
        bought = run_on.twin.to_numpy(answers.indices)
        audit = None if run_on.job.accept is None else accept.audit_of(made, points, set(bought.tolist()))
        held = set() if audit is None else audit.places
        checked = estimate.check_accuracy(
            run_on, sample, data, answers, trained.spreading, sizes, held, is_whole=audit is not None
        )
        ahead = estimate.forecast(run_on, sample, data, answers, trained.spreading, checked)
        numbers, certainty = _predict(run_on, data, trained)
        accepting = accept.of_labels(run_on.job, made, points, bought, checked, audit)
        if accepting is not None and (crossed := checked.crossed) is not None and accepting.accepted.n_accepted:
            # the promise is about the labels of these models
            numbers[crossed.places], certainty[crossed.places] = crossed.numbers, crossed.chance
        number = made.next_folder("learned").name
        target = run_on.job.target
        of_model = trained.classifier, trained.spreading, trained.student
        parts = parts_of(points, names, checked, ahead, *of_model, accepting, target)
        source = project.PREDICTED if trained.spreading is None else project.PROPAGATED
        learnt = learn_page.Learnt(points, data, names, bought, numbers, certainty, source)
        doubted = _doubted(run_on, made, points, answers, names, trained)
        with project.whole(made.folder / "learned" / number) as work_folder:
            store.save(work_folder / project.MODEL, model_of(data, trained.for_new_data, names))
            rows = _rows(run_on, made, points, answers, names, numbers, certainty, source)
            store.write_csv(work_folder / project.PREDICTIONS, rows)
            if accepting is not None:
                _write_accepted(run_on, work_folder, points, rows, accepting)
            store.write_csv(work_folder / project.DOUBTS, doubted)
            write_files(work_folder, parts)
            with console.warning("the page"):
                footer = (
                    f"gpussl {environment.versions()['gpussl']}, {', '.join(run_on.job.classifier)}, seed "
                    f"{run_on.job.seed}, {run_on.twin.device_name()}, {run_on.monitor.seconds():.0f} s"
                )
                more = learn_page.parts(run_on, made, learnt, checked, ahead, doubted[1:], accepting)
                write_page(work_folder, f"{made.folder.name}: model {number}", [*parts, *more], footer)
        made.write_points(points.ids, points.copy_of)
    show(parts)
    where = made.folder / "learned" / number
    console.stdout.print(
        f"All {len(points.ids):,} points have a class in {where / project.PREDICTIONS}; the report is "
        f"{where / 'report.html'}. {_what_next(made, accepting is not None)}",
        soft_wrap=True,
    )


def _what_next(made: Project, has_accepted: bool) -> str:
    """The commands that may follow."""
    name = quote(str(made.folder))
    promise = (
        "" if has_accepted else f"find the labels of which 95 % are right with\n  gpussl learn {name} accept=0.95\n"
    )
    more = f"Label more with\n  gpussl choose {name}\n"
    return f"{more}{promise}or predict new data with\n  gpussl predict {name} NEW"


def train(run_on: Context, data: Data, answers: Answers) -> Trained:
    """Fit the classifier, let the labels spread, and fit a model for new data to what they say.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks.example import answered, on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_on, made = on_fruit(folder, "learn"), answered(folder)
    ...     points = own.read(run_on)
    ...     answers, _ = own.known(made, points, run_on.twin)
    ...     train(run_on, own.represent(run_on, points), answers).for_new_data.kind
    'knn'
    """
    with run_on.monitor.stage("train", run_on.twin) as stage:
        classifier = choose.fitted(run_on, data, answers)
        stage.note = f"{len(answers):,} labels of {len(classifier.classes_)} classes"
    held_out = estimate.held_out(run_on, data, answers, classifier)
    spreading = spread.fitted(run_on, data, answers, held_out)
    if spreading is None:
        return Trained(classifier, held_out=held_out)
    shares = spreading.shares(answers)
    with run_on.monitor.stage("student", run_on.twin) as stage:
        learner = student.fitted(run_on, data, answers, classifier, spreading, shares)
        stage.note = "not used" if learner is None else f"labels of {learner.n_points:,} points"
    return Trained(classifier, spreading, shares, learner, held_out)


def model_of(data: Data, classifier: Classifier, names: Sequence[str]) -> Model:
    """Return the classifier with all steps before it, from files to class names.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.classifier.knn import KNeighborsClassifier
    >>> from gpussl.tasks.example import on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_on = on_fruit(folder, "learn")
    ...     data = own.represent(run_on, own.read(run_on))
    ...     knn = KNeighborsClassifier(1).fit(data.X_train[[0, 29]], [0, 1])
    ...     model_of(data, knn, ["apple", "melon"]).predict(f"{folder}/fruit.csv")[:2].tolist()
    ['apple', 'melon']
    """
    dataset = data.dataset
    n_features = int(dataset.X_train.shape[1])
    form = dataset.image_shape, dataset.max_value, dataset.reader
    return Model(data.steps, classifier, tuple(names), n_features, *form)


def _predict(run_on: Context, data: Data, trained: Trained) -> tuple[np.ndarray, np.ndarray]:
    """The class number and its probability for each point (n,)."""
    everywhere = np.arange(data.X_train.shape[0])
    with run_on.monitor.stage("predict", run_on.twin):
        return estimate.predict(run_on, data, trained.classifier, everywhere, trained.spreading, trained.shares)


def _write_accepted(
    run_on: Context, folder: Path, points: OwnPoints, rows: Sequence[tuple[str, ...]], accepting: Accepting
) -> None:
    """Write the accepted labels, the others in the order of worth, ready to be answered, and what is worth auditing."""
    is_accepted, worth = accepting.is_accepted, accepting.accepted.worth_auditing[points.place_of]
    of_rows = is_accepted[points.place_of]
    if accepting.accepted.n_sample:  # without random labels, nothing is known of the others
        of_worth = ((points.ids[row],) for row in np.flatnonzero(worth).tolist())
        store.write_csv(folder / project.WORTH_AUDITING, [("id",), *of_worth])
    store.write_csv(folder / project.ACCEPTED, [rows[0], *(rows[1 + row] for row in np.flatnonzero(of_rows).tolist())])
    ids = points.dataset.train_ids or points.ids
    row_of = {item: row for row, (item, *_) in enumerate(rows[1:], start=1)}
    left = [rows[row_of[ids[place]]] for place in np.flatnonzero(~is_accepted).tolist()]
    left.sort(key=lambda row: float(row[2]))  # the likeliest wrong first
    fields, records = points.dataset.reader.records(own.path_of(run_on.job), {row[0] for row in left})
    lines = [[item, "", label, chance, *records.get(item, [])] for item, label, chance, _ in left]
    store.write_csv(
        folder / project.TO_CHECK, [project.header(("id", "label", "predicted", "probability"), fields), *lines]
    )


def _rows(
    run_on: Context,
    made: Project,
    points: OwnPoints,
    answers: Answers,
    names: Sequence[str],
    numbers: np.ndarray,
    certainty: np.ndarray,
    source: str,
) -> list[tuple[str, ...]]:
    """The rows of the predictions: every point, copies included, in the order of the data."""
    to_numpy = run_on.twin.to_numpy
    bought = dict(zip(to_numpy(answers.indices).tolist(), to_numpy(answers.labels).tolist(), strict=True))
    mine = made.labels()  # of copies with different labels, each keeps its own
    rows: list[tuple[str, ...]] = [("id", "label", "probability", "source")]
    for item, place in zip(points.ids, points.place_of.tolist(), strict=True):
        if place in bought:
            rows.append((item, mine.get(item, names[bought[place]]), "1.0000", project.BOUGHT))
        else:
            rows.append((item, names[numbers[place]], f"{certainty[place]:.4f}", source))
    return rows


def _doubted(
    run_on: Context, made: Project, points: OwnPoints, answers: Answers, names: Sequence[str], trained: Trained
) -> list[list[str]]:
    """The rows of the labels that are doubted, each with all that a person needs to see of the point."""
    first = ("id", "label", "predicted", "probability")
    if trained.held_out is None:
        return [list(first)]
    indices, y = run_on.twin.to_numpy(answers.indices), run_on.twin.to_numpy(answers.labels)
    places = points.places()
    item_at = {places[item]: item for item in made.labels() if item in places}
    found = [int(row) for row in confident_learning.order(trained.held_out, y)[:MOST_DOUBTS]]
    items = [item_at[int(indices[row])] for row in found]
    fields, records = points.dataset.reader.records(own.path_of(run_on.job), set(items))
    proba = trained.held_out
    rows = [
        [item, names[y[row]], names[proba[row].argmax()], f"{proba[row].max():.4f}", *records.get(item, [])]
        for item, row in zip(items, found, strict=True)
    ]
    return [project.header(first, fields), *rows]
