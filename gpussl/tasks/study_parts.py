"""The report of a study."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from gpussl.numeric.intervals import accuracy_interval, paired_difference
from gpussl.records import Allocations, Calibration, Dataset, Diagnostics, Result
from gpussl.report import results as of_results
from gpussl.report.parts import File, Part, Picture, Table, Words
from gpussl.report.titles import result_title
from gpussl.runtime.config import Job
from gpussl.studies import published


def parts(
    job: Job,
    dataset: Dataset,
    results: Sequence[Result],
    diagnostics: Diagnostics,
    allocations: Allocations | None,
    calibrations: Sequence[Calibration],
    compared: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> list[Part]:
    """Return the words, tables, figures and files of a study.

    Parameters
    ----------
    results : sequence of Result
        The rows; the last one always predicts the most frequent class.
    compared : mapping of str to rows, optional
        By the name of a model, the candidates that its classifier has compared.

    Examples
    --------
    >>> import numpy as np
    >>> from gpussl.records import MOST_FREQUENT
    >>> from gpussl.runtime import config
    >>> job, none = config.job("classifier=[knn]"), np.array([])
    >>> dataset = Dataset("table", np.zeros((90, 2)), X_test=np.zeros((50, 2)))
    >>> result = Result("random", "none", "knn", None, 9, 9, None, 0, 1.0, 0.88, 0.1, 0.1, "cpu")
    >>> guessing = dataclasses.replace(result, classifier=MOST_FREQUENT, test_accuracy=0.3, is_fair=False)
    >>> found = parts(job, dataset, [result, guessing], Diagnostics(none, none, none, none, none, []), None, [])
    >>> found[0].text.partition(". ")[0]
    'table: 9 of 90 training points were labelled'
    """

    def published_of(result: Result) -> float | None:
        entry = published.find(job.published, dataset.name, dataclasses.asdict(result))
        return None if entry is None else entry.accuracy

    title = f"{job.name}: test accuracy on {dataset.n_test:,} {_points(dataset)}, seed {job.seed}"
    sources = published.sources(job.published)
    found: list[Part] = [
        Words(_summary(dataset, results)),
        *(Words(sentence) for sentence in _beside_random(dataset, results)),
        Words(_beside_guessing(dataset, results)),
        of_results.result_table(title, results, published_of, sources, dataset.n_test),
        File("results.csv", of_results.to_csv([_row(result) for result in results])),
        *_pictures(job, dataset, results, published_of, diagnostics, allocations),
    ]
    if compared:
        found.append(_compared(compared))
    if allocations is not None:
        found.append(File("allocations.json", of_results.allocations_json(allocations, dataset.class_names)))
    if any(calibration.is_weighted for calibration in calibrations):  # else the label accuracy says it all
        found.append(File("calibration.json", of_results.calibration_json(calibrations)))
        found.append(_calibration(calibrations))
    return found


def _row(result: Result) -> dict[str, object]:
    """A result as a row of `results.csv`, where its names say whether it is fair."""
    row = dataclasses.asdict(dataclasses.replace(result, correct=None))
    del row["is_fair"], row["correct"]
    return row


def _points(dataset: Dataset) -> str:
    return "points" if dataset.image_shape is None else "images"


def _pictures(
    job: Job,
    dataset: Dataset,
    results: Sequence[Result],
    published_of: of_results.PublishedOf,
    diagnostics: Diagnostics,
    allocations: Allocations | None,
) -> list[Part]:
    heading = f"{job.name}, seed {job.seed}"
    found: list[Part] = [
        Picture("accuracy", "Test accuracy by training labels and classifier",
                lambda figures: figures.accuracy(heading, results, published_of, dataset.n_test)),
    ]  # fmt: skip
    if allocations is not None and allocations.counts is not None:
        scored = allocations
        title = "Scores of all allocations of classes to clusters"
        found.append(Picture("allocations", title, lambda figures: figures.allocations(scored, results)))
    if diagnostics.shown and dataset.image_shape is not None:
        title = "The largest clusters: the mean of each, and nine members"
        found.append(Picture("clusters", title, lambda figures: figures.clusters(dataset, diagnostics)))
    if len(diagnostics.correct):
        title = "Accuracy of propagated labels by distance to the centroid"
        found.append(Picture("label_accuracy", title, lambda figures: figures.label_accuracy(diagnostics)))
    if dataset.image_shape is not None:
        title = "Images with bought labels, by class"
        found.append(Picture("bought", title, lambda figures: figures.bought(dataset, diagnostics)))
    return found


def _compared(compared: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    cells = [
        (
            model,
            row["name"],
            f"{100 * row['accuracy']:.1f} %",
            f"{row['log_loss']:.3f}",
            f"{row['standard_error']:.3f}",
            "yes" if row["is_used"] else "",
        )
        for model, rows in compared.items()
        for row in rows
    ]
    header = ("model", "candidate", "accuracy", "log-loss", "standard error", "used")
    return Table("Candidates, compared by cross-validation on the training labels", header, cells)


def _calibration(calibrations: Sequence[Calibration]) -> Picture:
    title = "Accuracy of propagated labels by their weight"
    return Picture("calibration", title, lambda figures: figures.calibration(calibrations))


def _summary(dataset: Dataset, results: Sequence[Result]) -> str:
    fair = _fair(results)
    if not fair:
        return f"{dataset.name}: every row used labels that were not bought, so none shows the accuracy on unseen data."
    fewer = [result for result in fair if result.n_labels < len(dataset.X_train)]
    best = max(fewer or fair, key=_accuracy)
    points = _points(dataset)
    return (
        f"{dataset.name}: {best.n_labels:,} of {len(dataset.X_train):,} training {points} were labelled. The best row "
        f'is {best.classifier} with "{result_title(best)}": an accuracy of {best.test_accuracy:.2%} on '
        f"{dataset.n_test:,} test {points}. It is slightly optimistic, because the best row was chosen by it."
    )


def _beside_random(dataset: Dataset, results: Sequence[Result]) -> list[str]:
    """How much better the best row of chosen labels is than the best row of as many random labels, if there is one."""
    fair = _fair(results)
    random = [result for result in fair if result.select == "random" and result.propagation == "none"]
    others = [
        result for result in fair if result not in random and any(result.n_labels == row.n_labels for row in random)
    ]
    if not random or not others:
        return []
    best, beside = max(others, key=_accuracy), max(random, key=_accuracy)
    gap, low, high = (100 * share for share in paired_difference(best.correct, beside.correct))
    verdict = "so it may be chance" if low <= 0 <= high else "more than chance on these labels"
    return [
        f'The best row of chosen labels, {best.classifier} with "{result_title(best)}", has {best.test_accuracy:.2%}; '
        f"the best row of as many random labels, {beside.classifier}, has {beside.test_accuracy:.2%}. The difference "
        f"is {gap:+.2f} points (95 % interval over the test {_points(dataset)}: {low:+.2f} to {high:+.2f}), {verdict}; "
        "another seed draws other labels."
    ]


def _beside_guessing(dataset: Dataset, results: Sequence[Result]) -> str:
    """The accuracy of always predicting the most frequent class; the rows that are no better, or predict one class."""
    guessing = results[-1]
    fair = _fair(results)
    no_better = [
        _named(result)
        for result in fair
        if accuracy_interval(result.test_accuracy, dataset.n_test)[0] <= guessing.test_accuracy
    ]
    said = f"Always predicting the most frequent class gives {guessing.test_accuracy:.2%}."
    if no_better:
        said += f" By the 95 % interval, these rows are not better: {'; '.join(no_better)}."
    of_one_class = [f"{_named(result)} ({result.only_class})" for result in fair if result.only_class is not None]
    if of_one_class:
        said += f" These rows predict one class for every point: {'; '.join(of_one_class)}."
    return said


def _named(result: Result) -> str:
    return f"{result_title(result)} with {result.classifier}"


def _accuracy(result: Result) -> float:
    return result.test_accuracy


def _fair(results: Sequence[Result]) -> list[Result]:
    """The results that used bought labels alone."""
    return [result for result in results if result.is_fair]
