"""What a study shows and writes."""

import dataclasses
from collections.abc import Sequence

from gpussl.numeric.intervals import accuracy_interval
from gpussl.records import Allocations, Calibration, Dataset, Diagnostics, Result
from gpussl.report import results as of_results
from gpussl.report.parts import File, Part, Picture, Words
from gpussl.report.titles import result_title
from gpussl.runtime.config import TEST_STOPPED, Job
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
    """A study's words, tables, figures and files.

    Parameters
    ----------
    commonest_share : float
        The test accuracy of always predicting the most frequent class.
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
        File("results.csv", of_results.to_csv([dataclasses.asdict(result) for result in results])),
        *_pictures(job, dataset, results, published_of, diagnostics, allocations),
    ]
    if allocations is not None:
        found.append(File("allocations.json", of_results.allocations_json(allocations, dataset.class_names)))
    if any(calibration.is_weighted for calibration in calibrations):  # else all is said by the label accuracy
        found.append(File("calibration.json", of_results.calibration_json(calibrations)))
        found.append(_calibration(calibrations))
    return found


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
    from gpussl.report import figures  # late: matplotlib takes a second

    heading = f"{job.name}, seed {job.seed}"
    found: list[Part] = [
        Picture("accuracy", "Test accuracy by training labels and classifier",
                lambda: figures.accuracy(heading, results, published_of, dataset.n_test)),
    ]  # fmt: skip
    if allocations is not None and allocations.counts is not None:
        scored = allocations
        title = "Scores of all ways to name the clusters"
        found.append(Picture("allocations", title, lambda: figures.allocations(scored, results)))
    if diagnostics.shown and dataset.image_shape is not None:
        title = "The largest clusters: the mean of each, and nine members"
        found.append(Picture("clusters", title, lambda: figures.clusters(dataset, diagnostics)))
    if len(diagnostics.correct):
        title = "Share of propagated labels that are right, by distance within the cluster"
        found.append(Picture("label_accuracy", title, lambda: figures.label_accuracy(diagnostics)))
    if dataset.image_shape is not None:
        title = "The points whose labels were bought, by class"
        found.append(Picture("bought", title, lambda: figures.bought(dataset, diagnostics)))
    return found


def _calibration(calibrations: Sequence[Calibration]) -> Picture:
    from gpussl.report import figures

    title = "Share of propagated labels that are right, by their weight"
    return Picture("calibration", title, lambda: figures.calibration(calibrations))


def _summary(dataset: Dataset, results: Sequence[Result]) -> str:
    fair = _fair(results)
    if not fair:
        return (
            f"{dataset.name}: every row here was made with labels that were not bought; none says how good it is on "
            "unseen data."
        )
    with_clusters = [result for result in fair if result.n_clusters is not None]
    best = max(with_clusters or fair, key=lambda item: item.test_accuracy)
    points = _points(dataset)
    return (
        f"{dataset.name}: {best.n_labels:,} labels were bought for {len(dataset.X_train):,} training {points}. Of the "
        f"rows that used them, {result_title(best)} with {best.classifier} did best: {best.test_accuracy:.2%} of "
        f"{dataset.n_test:,} test {points}. Picking the best row by its test accuracy flatters it a little."
    )


def _beside_guessing(dataset: Dataset, results: Sequence[Result], commonest_share: float) -> str:
    """What always guessing the commonest class gives, and which rows are no better than that."""
    no_better = [
        f"{result_title(result)} with {result.classifier}"
        for result in _fair(results)
        if accuracy_interval(result.test_accuracy, dataset.n_test)[0] <= commonest_share
    ]
    said = f"Always predicting the most frequent class gives {commonest_share:.2%}."
    return f"{said} No better than that, within the 95 % interval: {'; '.join(no_better)}." if no_better else said


def _fair(results: Sequence[Result]) -> list[Result]:
    """Those that saw only labels that were bought."""
    return [
        result
        for result in results
        if result.propagation != "best_allocation" and not result.classifier.endswith(TEST_STOPPED)
    ]
