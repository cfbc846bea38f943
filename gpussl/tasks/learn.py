"""Learn: train a model on the labels of a project, say how good it is, and predict all other points."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpussl import seeds
from gpussl.classifier.holdout import stratified_folds
from gpussl.classifier.model import Model
from gpussl.errors import ConfigError
from gpussl.numeric.arrays import row_blocks
from gpussl.numeric.intervals import accuracy_interval
from gpussl.protocols import Classifier
from gpussl.records import UNLABELLED, Answers
from gpussl.report import show, write_files, write_page
from gpussl.report.parts import File, Part, Table, Words
from gpussl.report.results import to_csv
from gpussl.runtime import console, environment, store
from gpussl.runtime.config import Job
from gpussl.tasks import choose, label, own, project, spread
from gpussl.tasks.own import OwnPoints
from gpussl.tasks.prepare import Context, Data
from gpussl.tasks.project import Project
from gpussl.tasks.spread import Spreading

N_FOLDS = 5
FEW = 5  # labels of a class below which its recall is not known
MODEL, PREDICTIONS = "model.safetensors", "predictions.csv"
BOUGHT, PROPAGATED, PREDICTED = "bought", "propagated", "predicted"


@dataclass(frozen=True)
class Checked:
    """What cross-fitting says of each random point: the class that a model of the other labels predicts.

    Attributes
    ----------
    y, predicted : (m,) int array
        Class numbers of all labelled points; -1 for the prediction of one that is not of the random sample.
    counts : (m,) int array
        How often the point is in the random sample: several times if copies of it are.

    Examples
    --------
    >>> Checked(np.array([0, 1]), np.array([0, 0]), np.array([3, 1])).accuracy
    0.75
    """

    y: np.ndarray
    predicted: np.ndarray
    counts: np.ndarray

    @property
    def n(self) -> int:
        """The number of random points, copies included."""
        return int(self.counts.sum())

    @property
    def sample(self) -> tuple[np.ndarray, np.ndarray]:
        """The class numbers of the random points, and the predicted ones: (n,) each."""
        drawn = np.repeat(np.arange(len(self.y)), self.counts)
        return self.y[drawn], self.predicted[drawn]

    @property
    def accuracy(self) -> float:
        """The share of the random points that is correct."""
        y, predicted = self.sample
        return float(np.mean(y == predicted)) if self.n else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy. Copies are right or wrong together, and count as fewer points."""
        if not self.n:
            return 0.0, 1.0
        return accuracy_interval(self.accuracy, self.n**2 / float(np.sum(self.counts**2)))


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
    ...     lines = (made.folder / "learned" / "1" / PREDICTIONS).read_text().splitlines()
    >>> len(lines), lines[1]
    (31, 'fruit 0,apple,1.0000,bought')
    """
    folder = label.project_of(run_on.job)
    made = project.opened(folder)  # before the lock, which would make the folder
    with project.locked(folder):
        points = own.read(run_on)
        own.take_known_labels(made, points)
        answers, names = own.known(made, points, run_on.twin)
        if len(names) < 2:
            found = f"{len(answers):,} labels of {names[0]!r} alone" if names else "none"
            raise ConfigError(
                f"{folder}: expected labels of at least two classes, found {found}; label more, with "
                f"gpussl choose {folder} and gpussl label {folder} FILE"
            )
        data = own.represent(run_on, points)
        with run_on.monitor.stage("train", run_on.twin) as stage:
            classifier = choose.fitted(run_on, data, answers)
            stage.note = f"{len(answers):,} labels of {len(names)} classes"
        spreading = _spreading(run_on, data, answers, classifier)
        checked = check_accuracy(run_on, random_sample(made, points), data, answers, spreading)
        model = model_of(data, classifier, names)
        numbers, certainty = _predict(run_on, data, answers, classifier, spreading)
        number = made.next_folder("learned").name
        parts = _parts(points, answers, names, checked, classifier, spreading)
        with project.whole(made.folder / "learned" / number) as work_folder:
            store.save(work_folder / MODEL, model)
            project.write_csv(
                work_folder / PREDICTIONS,
                _rows(run_on, made, points, answers, names, numbers, certainty, PROPAGATED if spreading else PREDICTED),
            )
            write_files(work_folder, parts)
            with console.warning("the page"):
                footer = (
                    f"gpussl {environment.versions()['gpussl']}, {', '.join(run_on.job.classifier)}, seed "
                    f"{run_on.job.seed}, {run_on.twin.device_name()}, {run_on.monitor.seconds():.0f} s"
                )
                write_page(work_folder, f"{made.folder.name}: model {number}", parts, footer)
        made.write_points(points.ids, points.copy_of)
    show(parts)
    where = made.folder / "learned" / number
    console.stdout.print(
        f"All {len(points.ids):,} points have a class in {where / PREDICTIONS}; the report is {where / 'report.html'}. "
        f"Label more with\n  gpussl choose {made.folder}\nor predict new data with\n  gpussl predict {made.folder} NEW",
        soft_wrap=True,
    )


def _spreading(run_on: Context, data: Data, answers: Answers, classifier: Classifier) -> Spreading | None:
    """How much labels count that spread to the other points; None if not at all."""
    if not any(stage.spreads for stage in run_on.job.propagate.values()):
        return None
    twin, seed = run_on.twin, run_on.seed("propagate")
    indices, y = twin.to_numpy(answers.indices), twin.to_numpy(answers.labels)

    def held_out() -> np.ndarray:
        if classifier.held_out_ is not None:
            return classifier.held_out_
        folds = stratified_folds(y, indices, min(N_FOLDS, len(y)), seeds.generator(seed, "held_out"))
        return _cross_fitted(run_on, data, answers, folds, len(classifier.classes_))

    with run_on.monitor.stage("propagate", twin) as stage:
        found = spread.fitted(run_on.job, twin, data, answers, held_out, seed)
        stage.note = "not used" if found is None else f"weight {found.weight:.0%}"
    return found


def _cross_fitted(
    run_on: Context,
    data: Data,
    answers: Answers,
    folds: np.ndarray,
    n_classes: int,
    spreading: Spreading | None = None,
) -> np.ndarray:
    """(m, n_classes): what models of the labels of all other folds say of each fold from 0; NaN for fold -1."""
    twin = run_on.twin
    indices, y = twin.to_numpy(answers.indices), twin.to_numpy(answers.labels)
    found = np.full((len(y), n_classes), np.nan)
    for fold in range(int(folds.max(initial=-1)) + 1):
        asked, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        present = np.unique(y[others])
        proba = np.zeros((len(asked), n_classes))
        if len(present) < 2:
            proba[:, present] = 1
        else:
            some = Answers(twin.asarray(indices[others]), twin.asarray(y[others]))
            model = choose.fitted(run_on, data, some, use=f"check/{fold}")
            X = data.X_train.take(twin.asarray(indices[asked]), axis=0)
            proba[:, model.classes_] = twin.to_numpy(model.predict_proba(X))
            if spreading is not None:
                proba = spreading.blended(proba, some, indices[asked])
        found[asked] = proba
    return found


def check_accuracy(
    run_on: Context, sample: Counter[int], data: Data, answers: Answers, spreading: Spreading | None
) -> Checked:
    """Predict each random point without its label, from as many others as possible.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks.example import answered, on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_on, made = on_fruit(folder, "learn"), answered(folder)
    ...     points = own.read(run_on)
    ...     answers, _ = own.known(made, points, run_on.twin)
    ...     check_accuracy(run_on, random_sample(made, points), own.represent(run_on, points), answers, None).n
    10
    """
    twin = run_on.twin
    indices, y = twin.to_numpy(answers.indices), twin.to_numpy(answers.labels)
    counts = np.array([sample[place] for place in indices.tolist()], dtype=np.int64)
    held = np.flatnonzero(counts)
    n_folds = min(N_FOLDS, len(held))
    folds = np.full(len(y), -1)  # all other labels are always learnt from, so that few are missing
    if n_folds:
        rng = seeds.generator(run_on.seed("check"), "folds")
        folds[held] = stratified_folds(y[held], indices[held], n_folds, rng)
    predicted = np.full(len(y), UNLABELLED)
    with run_on.monitor.stage("check", twin) as stage:
        proba = _cross_fitted(run_on, data, answers, folds, int(y.max()) + 1, spreading)
        predicted[held] = proba[held].argmax(axis=1)
        stage.note = f"{n_folds} folds of {len(held):,} random points"
    return Checked(y, predicted, counts)


def random_sample(made: Project, points: OwnPoints) -> Counter[int]:
    """Return the labelled points of the random sample by place, each with the number of its copies in the sample.

    It is that of the latest round of which all random points are answered, and of later rounds those random points that
    are: of the later sample, points that were labelled for another reason would be too many.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks.example import answered, on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_on = on_fruit(folder, "learn")
    ...     sample = random_sample(answered(folder), own.read(run_on))
    >>> sorted(sample)
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    places, answered = points.places(), made.log.current()
    done = {places[item] for item in answered if item in places}
    found: list[str] = []
    for asked in reversed(made.rounds()):
        sample = [item for item in asked.audit if item in places]
        if all(places[item] in done for item in sample):
            found += sample
            break
        random = {places[item] for item, why in asked.asked.items() if why == choose.RANDOM and item in places}
        found += [item for item in sample if places[item] in random & done]
    return Counter(places[item] for item in dict.fromkeys(found))


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


def _predict(
    run_on: Context, data: Data, answers: Answers, classifier: Classifier, spreading: Spreading | None
) -> tuple[np.ndarray, np.ndarray]:
    """The class number and its probability for each point (n,)."""
    twin, n = run_on.twin, data.X_train.shape[0]
    numbers, certainty = np.empty(n, dtype=np.int64), np.empty(n)
    with run_on.monitor.stage("predict", twin):
        shares = None if spreading is None else spreading.shares(answers)
        for rows in row_blocks(n, 4 * data.X_train.shape[1] * 8):
            proba = twin.to_numpy(classifier.predict_proba(data.X_train[rows, :]))
            if spreading is not None and shares is not None:
                proba = spreading.mixed(proba, shares[rows])
            numbers[rows], certainty[rows] = classifier.classes_[proba.argmax(axis=1)], proba.max(axis=1)
    return numbers, certainty


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
            rows.append((item, mine.get(item, names[bought[place]]), "1.0000", BOUGHT))
        else:
            rows.append((item, names[numbers[place]], f"{certainty[place]:.4f}", source))
    return rows


def _parts(
    points: OwnPoints,
    answers: Answers,
    names: Sequence[str],
    checked: Checked,
    classifier: Classifier,
    spreading: Spreading | None,
) -> list[Part]:
    """The report."""
    n_points = len(points.ids)
    first = f"{len(answers):,} of {n_points:,} points are labelled; {_others(spreading)}."
    sentences = [first, *_sentences(checked, names)]
    parts: list[Part] = [Words(sentence, is_answer=True) for sentence in sentences]
    parts.append(_of_classes(checked, names))
    parts.append(_confusion(checked, names))
    if classifier.compared_:
        parts.append(_compared(classifier.compared_))
    rare = [names[number] for number, count in enumerate(np.bincount(checked.y, minlength=len(names))) if count < FEW]
    if rare:
        shown = "; ".join(f"{name!r} has {int(np.sum(checked.y == names.index(name)))}" for name in rare[:10])
        parts.append(Words(f"Classes with fewer than {FEW} labels: {shown}. Their recall is not known."))
    if points.skipped:
        parts.append(Words(f"{len(points.skipped):,} points could not be read: see skipped.csv in the project."))
    parts.append(File("results.csv", to_csv([_result(checked, names)])))
    return parts


def _others(spreading: Spreading | None) -> str:
    """Where the labels of the other points come from."""
    if spreading is None:
        return "the model predicts the others"
    return (
        "the labels spread to the others along the graph of nearest neighbours, with a weight of "
        f"{spreading.weight:.0%} beside the model. Both are in the accuracy below; the model predicts new data alone"
    )


def _result(checked: Checked, names: Sequence[str]) -> dict[str, Any]:
    low, high = checked.interval
    return {
        "n_labels": len(checked.y),
        "n_classes": len(names),
        "n_random": checked.n,
        "accuracy": checked.accuracy if checked.n else None,
        "low": low,
        "high": high,
        "commonest": _commonest(checked)[1],
        "balanced_accuracy": _balanced(checked),
    }


def _commonest(checked: Checked) -> tuple[int, float]:
    """The class that is commonest among the random points, and its share."""
    counts = np.bincount(checked.sample[0] if checked.n else checked.y)
    return int(counts.argmax()), float(counts.max() / counts.sum())


def _balanced(checked: Checked) -> float:
    """The mean recall of the classes among the random points; 0 if there are none."""
    y, predicted = checked.sample
    return float(np.mean([np.mean(predicted[y == number] == number) for number in np.unique(y)])) if checked.n else 0.0


def _sentences(checked: Checked, names: Sequence[str]) -> list[str]:
    """How good the model is, in words."""
    if not checked.n:
        return [
            "The accuracy is not known: none of the labelled points was drawn at random. Label the points whose why is "
            "random in to_label.csv, or choose more with audit=0.3."
        ]
    low, high = checked.interval
    number, share = _commonest(checked)
    found = [
        f"Accuracy {checked.accuracy:.1%} (95 % interval: {low:.1%} to {high:.1%}), measured on {checked.n:,} points "
        "drawn at random, each predicted without its label. Always saying "
        f"{names[number]!r} gives {share:.1%}."
    ]
    if low <= share:
        found.append("By the interval, the model may be no better than that: label more.")
    said = np.unique(checked.sample[1])
    if len(said) == 1:
        found.append(f"The model says {names[said[0]]!r} for every point.")
    return found


def _of_classes(checked: Checked, names: Sequence[str]) -> Table:
    rows = []
    y, predicted = checked.sample
    for number, name in enumerate(names):
        n, n_said = int(np.sum(y == number)), int(np.sum(predicted == number))
        hits = int(np.sum((y == number) & (predicted == number)))
        rows.append((
            name,
            f"{int(np.sum(checked.y == number)):,}",
            f"{n:,}",
            f"{hits / n:.0%}" if n >= FEW else "not known",
            f"{hits / n_said:.0%}" if n_said >= FEW else "not known",
        ))  # fmt: skip
    caption = f"Recall and precision on the {checked.n:,} random points; balanced accuracy {_balanced(checked):.1%}."
    return Table("Classes", ("class", "labels", "random", "recall", "precision"), rows, caption, n_left=1)


def _confusion(checked: Checked, names: Sequence[str]) -> Table:
    """The most frequent confusions of the random points."""
    pairs, counts = np.unique(np.stack(checked.sample), axis=1, return_counts=True)
    wrong = [
        (int(count), int(true), int(said)) for true, said, count in zip(*pairs, counts, strict=True) if true != said
    ]
    rows = [(names[true], names[said], f"{count:,}") for count, true, said in sorted(wrong, reverse=True)[:10]]
    return Table("Most frequent confusions of random points", ("label", "predicted", "points"), rows)


def _compared(rows: Sequence[dict[str, Any]]) -> Table:
    cells = [
        (row["name"], f"{100 * row['accuracy']:.1f} %", f"{row['log_loss']:.3f}", "yes" if row["is_used"] else "")
        for row in rows
    ]
    header = ("candidate", "accuracy", "log-loss", "used")
    return Table("Candidates, compared by cross-validation on the labels", header, cells, n_left=1)


def latest_model(folder: Path) -> Path:
    """Return the file of the latest model of a project. ConfigError if it has none.

    >>> latest_model(Path("nowhere"))
    Traceback (most recent call last):
    gpussl.errors.ConfigError: nowhere: expected a project, found none; make one with gpussl choose PATH
    """
    found = project.opened(folder).latest("learned")
    if found is None:
        raise ConfigError(f"{folder}: expected a model, found none; make one with gpussl learn {folder}")
    return found / MODEL
