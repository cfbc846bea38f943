"""The report of a study."""

import dataclasses
from collections.abc import Sequence

from gpussl.numeric.intervals import accuracy_interval
from gpussl.records import Allocations, Calibration, Dataset, Diagnostics, Result
from gpussl.report import results as of_results
from gpussl.report.parts import File, Part, Picture, Words
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
    commonest_share: float,
) -> list[Part]:
    """Return the words, tables, figures and files of a study.

    Parameters
    ----------
    commonest_share : float
        Test accuracy of always predicting the most frequent class.

    Examples
    --------
    >>> import numpy as np
    >>> from gpussl.runtime import config
    >>> job, none = config.job("classifier=[knn]"), np.array([])
    >>> dataset = Dataset("table", np.zeros((90, 2)), X_test=np.zeros((50, 2)))
    >>> result = Result("random", "none", "knn", None, 9, 9, None, 0, 1.0, 0.88, 0.1, 0.1, "cpu")
    >>> found = parts(job, dataset, [result], Diagnostics(none, none, none, none, none, []), None, [], 0.3)
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
        Words(_beside_guessing(dataset, results, commonest_share)),
        of_results.result_table(title, results, published_of, sources, dataset.n_test),
        File("results.csv", of_results.to_csv([_row(result) for result in results])),
        *_pictures(job, dataset, results, published_of, diagnostics, allocations),
    ]
    if allocations is not None:
        found.append(File("allocations.json", of_results.allocations_json(allocations, dataset.class_names)))
    if any(calibration.is_weighted for calibration in calibrations):  # else the label accuracy says it all
        found.append(File("calibration.json", of_results.calibration_json(calibrations)))
        found.append(_calibration(calibrations))
    return found


def _row(result: Result) -> dict[str, object]:
    """A result as a row of `results.csv`, where its names say whether it is fair."""
    row = dataclasses.asdict(result)
    del row["is_fair"]
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


def _calibration(calibrations: Sequence[Calibration]) -> Picture:
    title = "Accuracy of propagated labels by their weight"
    return Picture("calibration", title, lambda figures: figures.calibration(calibrations))


def _summary(dataset: Dataset, results: Sequence[Result]) -> str:
    fair = _fair(results)
    if not fair:
        return f"{dataset.name}: every row used labels that were not bought, so none shows the accuracy on unseen data."
    with_clusters = [result for result in fair if result.n_clusters is not None]
    best = max(with_clusters or fair, key=lambda item: item.test_accuracy)
    points = _points(dataset)
    return (
        f"{dataset.name}: {best.n_labels:,} of {len(dataset.X_train):,} training {points} were labelled. The best row "
        f'is {best.classifier} with "{result_title(best)}": an accuracy of {best.test_accuracy:.2%} on '
        f"{dataset.n_test:,} test {points}. It is slightly optimistic, because the best row was chosen by it."
    )


def _beside_guessing(dataset: Dataset, results: Sequence[Result], commonest_share: float) -> str:
    """The accuracy of always predicting the most frequent class, and the rows that are not better."""
    no_better = [
        f"{result_title(result)} with {result.classifier}"
        for result in _fair(results)
        if accuracy_interval(result.test_accuracy, dataset.n_test)[0] <= commonest_share
    ]
    said = f"Always predicting the most frequent class gives {commonest_share:.2%}."
    return f"{said} By the 95 % interval, these rows are not better: {'; '.join(no_better)}." if no_better else said


def _fair(results: Sequence[Result]) -> list[Result]:
    """The results that used bought labels alone."""
    return [result for result in results if result.is_fair]
