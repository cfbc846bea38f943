"""The report of the task learn."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpussl.evaluate.advice import Advice
from gpussl.evaluate.learning_curve import LEVEL
from gpussl.numeric.intervals import share_interval
from gpussl.protocols import Classifier
from gpussl.report.parts import File, Part, Table, Words
from gpussl.report.results import to_csv
from gpussl.tasks.accept import Accepting
from gpussl.tasks.advise_parts import labels_needed
from gpussl.tasks.checked import Checked
from gpussl.tasks.own import OwnPoints
from gpussl.tasks.project import SUMMARY
from gpussl.tasks.spread import Spreading
from gpussl.tasks.student import Student

GAIN = "gain_of_doubling", "gain_low", "gain_high"  # columns of results.csv
LITTLE = 1.0  # points of accuracy that are hardly worth as many labels again
FEW = 5  # labels of a class below which its recall is not known


def parts_of(
    points: OwnPoints,
    names: Sequence[str],
    checked: Checked,
    ahead: Advice | None,
    classifier: Classifier,
    spreading: Spreading | None,
    student: Student | None,
    accepting: Accepting | None = None,
    target: float | None = None,
) -> list[Part]:
    """Return the report.

    Parameters
    ----------
    points : OwnPoints
        All points.
    names : sequence of str
        The classes.
    ahead : Advice or None
        What more labels would add, if it is known.
    classifier : Classifier
        The one that was fitted to the labels.
    spreading : Spreading or None
        How they spread, if they do.
    student : Student or None
        The model for new data, if it is another.
    accepting : Accepting or None
        Which labels are accepted, if that was asked for.
    target : float or None
        The accuracy that was asked for, as a share.

    Examples
    --------
    >>> from gpussl.classifier.knn import KNeighborsClassifier
    >>> from gpussl.records import Dataset
    >>> points = OwnPoints(Dataset("mine", np.zeros((4, 1))), list("abcd"), np.arange(4))
    >>> checked = Checked(np.array([0, 1]), np.array([0, 0]), np.array([1, 1]))
    >>> made = parts_of(points, ["cat", "dog"], checked, None, KNeighborsClassifier(), None, None)
    >>> made[0].text
    '2 of 4 points are labelled; the model predicts the others.'
    """
    n_points = len(points.ids)
    first = f"{len(checked.y):,} of {n_points:,} points are labelled; {_others(spreading, student)}."
    sentences = [first, *_sentences(checked, names), *_gain(ahead, n_points), *_aim(ahead, target, n_points)]
    if accepting is not None:
        sentences[1:1] = accepting.said
    parts: list[Part] = [Words(sentence, is_answer=True) for sentence in sentences]
    parts.append(_of_classes(checked, names))
    confused = _confusion(checked, names)
    parts += [confused] if confused.rows else []
    if classifier.compared_:
        parts.append(_compared(classifier.compared_))
    rare = [names[number] for number, count in enumerate(np.bincount(checked.y, minlength=len(names))) if count < FEW]
    if rare:
        shown = "; ".join(f"{name!r} has {int(np.sum(checked.y == names.index(name)))}" for name in rare[:10])
        parts.append(Words(f"Classes with fewer than {FEW} labels: {shown}. Their recall is not known."))
    if points.skipped:
        parts.append(Words(f"{len(points.skipped):,} points could not be read: see skipped.csv in the project."))
    parts.append(File("results.csv", to_csv([_result(checked, ahead, names, accepting)])))
    parts.append(File(SUMMARY, "".join(f"{sentence}\n" for sentence in sentences)))
    return parts


def _others(spreading: Spreading | None, student: Student | None) -> str:
    """Where the labels of the other points come from, and those of new data."""
    if spreading is None:
        return "the model predicts the others"
    new = "the model alone predicts new data"
    if student is not None:
        new = f"a network that learnt from the labels of {student.n_points:,} points predicts new data"
    return (
        "the labels spread to the others along the graph of nearest neighbours, with a weight of "
        f"{spreading.weight:.0%} beside the model; {new}"
    )


def _result(
    checked: Checked, ahead: Advice | None, names: Sequence[str], accepting: Accepting | None
) -> dict[str, Any]:
    (low, high), new = checked.interval, checked.as_new or checked
    return {
        "n_labels": len(checked.y),
        "n_classes": len(names),
        "n_random": checked.n,
        "accuracy": checked.accuracy if checked.n else None,
        "low": low,
        "high": high,
        "commonest": _commonest(checked)[1],
        "balanced_accuracy": _balanced(checked),
        "accuracy_new": new.accuracy if checked.n else None,
        "low_new": new.interval[0],
        "high_new": new.interval[1],
        "accept": None if accepting is None else accepting.accepted.target,
        "n_accepted": None if accepting is None else accepting.n_accepted,
    } | dict(zip(GAIN, (None, None, None) if ahead is None else ahead.gain, strict=True))


def _gain(ahead: Advice | None, n_points: int) -> list[str]:
    """What as many labels again would add."""
    if ahead is None:
        return []
    n = ahead.forecasts[0].n_labels
    points, low, high = (100 * value for value in ahead.gain)
    verdict = ""
    if high < LITTLE:
        verdict = " You may stop here."
    elif low > LITTLE:
        verdict = " It is worth labelling more."
    return [
        f"{min(n, n_points - n):,} labels more would add about {points:.1f} points to the accuracy (90 % interval: "
        f"{low:.1f} to {high:.1f}).{verdict}"
    ]


def _aim(ahead: Advice | None, target: float | None, n_points: int) -> list[str]:
    """How many labels reach the accuracy that was asked for."""
    if target is None:
        return []
    if ahead is None:
        return [
            f"How many labels an accuracy of {100 * target:g} % takes is not known: these are too few, or models of a "
            "part of them are no better than always saying the commonest class."
        ]
    if ahead.p_reached >= LEVEL:
        sure = f"with probability {ahead.p_reached:.2f}"
        return [f"An accuracy of {100 * target:g} % is reached {sure}: you may stop here."]
    return [labels_needed(ahead, target, "labels chosen like these", n_points)]


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
    if checked.as_new is not None:
        lowest, highest = checked.as_new.interval
        found.append(
            f"For new data: accuracy {checked.as_new.accuracy:.1%} (95 % interval: {lowest:.1%} to {highest:.1%})."
        )
    if low <= share:
        found.append("By the interval, the model may be no better than that: label more.")
    said = np.unique(checked.sample[1])
    if len(said) == 1:
        found.append(f"The model says {names[said[0]]!r} for every point.")
    return found


def _of_classes(checked: Checked, names: Sequence[str]) -> Table:
    rows = []
    for number, name in enumerate(names):
        of_class, said = checked.y == number, checked.predicted == number
        rows.append((
            name,
            f"{int(of_class.sum()):,}",
            f"{int(checked.counts[of_class].sum()):,}",
            _share(said[of_class], checked.counts[of_class]),
            _share(of_class[said], checked.counts[said]),
        ))  # fmt: skip
    caption = (
        f"Recall and precision on the {checked.n:,} random points, with 95 % intervals; balanced accuracy "
        f"{_balanced(checked):.1%}."
    )
    return Table("Classes", ("class", "labels", "random", "recall", "precision"), rows, caption, n_left=1)


def _share(is_right: np.ndarray, counts: np.ndarray) -> str:
    """The share that is right with its 95 % interval; copies are right or wrong together, and count as fewer points."""
    n = int(counts.sum())
    if n < FEW:
        return "not known"
    share = float(counts @ is_right / n)
    low, high = share_interval(share, n**2 / float(np.sum(counts**2)))
    return f"{share:.0%} ({low:.0%} to {high:.0%})"


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
