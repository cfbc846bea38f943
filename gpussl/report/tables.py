"""Results as tables: CSV for programs, rich's for the terminal."""

import csv
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence

from rich.table import Table

from gpussl.numeric.allocations import Allocations
from gpussl.numeric.intervals import accuracy_interval
from gpussl.records import Calibration, Dataset, Result
from gpussl.runtime.config import Job, Published
from gpussl.tasks.monitor import Stage

DECIMALS = {"label_accuracy": 6, "train_accuracy": 6, "test_accuracy": 6, "fit_seconds": 3, "predict_seconds": 3}
SELECTED = {
    "nearest_to_centroid": "bought labels alone",
    "random": "random labels",
    "first": "first labels",
    "all": "all labels",
    "stratified": "as many of each class (classes known)",  # nobody finds them otherwise, so every row says it
    "typical": "the clusters' most typical",
    "coverage": "labels that cover most",
    "cluster_budget": "more labels for mixed clusters",
}
PROPAGATED = {"cluster": "whole cluster", "label_spreading": "along the graph", "poisson": "along the graph, Poisson"}
JUDGED = {  # the labels by which the best allocation is chosen
    "training_labels": "best one-to-one, by all training labels",
    "test_labels": "best one-to-one, by test labels: upper bound",
}
HEADER = ("training labels", "classifier", "bought", "used", "right", "test accuracy", "published", "fit")


def title(select: str, propagation: str, percentile: float | None) -> str:
    """How training labels came about, for people."""
    if propagation == "none":
        return SELECTED.get(select, select)
    if select == "stratified":
        return f"{SELECTED[select]}, {title('', propagation, percentile)}"
    if propagation == "nearest" and percentile is not None:
        return f"nearest {percentile:g} %"
    if propagation == "best_allocation":
        return JUDGED.get(select, propagation)
    return PROPAGATED.get(propagation, propagation)


def result_title(result: Result) -> str:
    """How a result's training labels came about, for people."""
    return title(result.select, result.propagation, result.percentile)


def to_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows of the same names as CSV with a header; None is empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _rounded(name, value) for name, value in row.items()})
    return out.getvalue()


def published(result: Result, job: Job, data: str) -> Published | None:
    """The published figure of the same row, if there is one."""
    return find_published(job.published, data, dataclasses.asdict(result))


def find_published(entries: Sequence[Published], data: str, row: Mapping[str, object]) -> Published | None:
    """The first entry of which every condition that it states holds for a row."""
    conditions = ("select", "propagation", "classifier", "n_clusters", "n_labels", "percentile")
    for entry in entries:
        stated = {name: getattr(entry, name) for name in conditions if getattr(entry, name) is not None}
        if entry.data == data and all(_meets(row[name], value) for name, value in stated.items()):
            return entry
    return None


def _meets(found: object, stated: object) -> bool:
    return found in stated if isinstance(stated, list) else found == stated


def cells(result: Result, job: Job, dataset: Dataset) -> tuple[str, ...]:
    """A result for people, under `HEADER`."""
    entry = published(result, job, dataset.name)
    return (
        result_title(result),
        result.classifier,
        f"{result.n_labels:,}",
        f"{result.n_train:,}",
        f"{100 * result.label_accuracy:.1f} %",
        f"{100 * result.test_accuracy:.2f} %",
        "" if entry is None else f"{entry.accuracy:.2f} %",
        f"{result.fit_seconds:.1f} s",
    )


def result_table(results: Sequence[Result], job: Job, dataset: Dataset) -> Table:
    """Each row ours beside the published figure."""
    low, high = accuracy_interval(results[0].test_accuracy, len(dataset.y_test))
    table = Table(
        title=f"{job.name}: test accuracy on {len(dataset.y_test):,} images, seed {job.seed}",
        caption=f"95 % interval of one accuracy: about ±{50 * (high - low):.1f} points; published: {sources(job)}",
    )
    for index, column in enumerate(HEADER):
        table.add_column(column, justify="left" if index < 2 else "right")
    for result in results:
        table.add_row(*cells(result, job, dataset))
    return table


def stage_table(stages: Sequence[Stage], reason: str) -> Table:
    """What each stage cost and where it ran; the parts of one stage added up."""
    table = Table(title="Stages", caption=reason)
    table.add_column("stage")
    for column in ("seconds", "peak memory", "from cache"):
        table.add_column(column, justify="right")
    table.add_column("device")
    for name, parts in by_stage(stages).items():
        cached = sum(part.cached for part in parts)
        table.add_row(
            name,
            f"{sum(part.seconds for part in parts):.1f}",
            f"{max(part.peak_memory_bytes for part in parts) / 2**20:,.0f} MiB",
            f"{cached} of {len(parts)}" if cached else "",
            parts[0].device,
        )
    return table


def by_stage(stages: Sequence[Stage]) -> dict[str, list[Stage]]:
    """Stages by the first word of their name, in order: "train none mlp" is a part of "train"."""
    grouped: dict[str, list[Stage]] = {}
    for stage in stages:
        grouped.setdefault(stage.name.split()[0], []).append(stage)
    return grouped


def sources(job: Job) -> str:
    """Where the published figures come from."""
    return ", ".join(dict.fromkeys(entry.source for entry in job.published)) or "none known"


def allocations_json(allocations: Allocations, class_names: Sequence[str]) -> str:
    """The best allocations of clusters to classes, for programs: "" for a cluster that has none."""

    def names(classes: Sequence[int]) -> list[str]:
        return [class_names[number] if number >= 0 else "" for number in classes]

    described = {
        "judged_by": "the test labels they are scored on: an upper bound for names given one to one",
        "method": allocations.method,
        "accuracy": allocations.accuracy,
        "ranking": [
            {"accuracy": score / allocations.n_points, "class_of_cluster": names(classes)}
            for score, classes in allocations.ranking
        ],
    }
    return json.dumps(described, indent=1) + "\n"


def calibration_json(calibrations: Sequence[Calibration]) -> str:
    """How right the propagated labels are by their weight, for programs."""
    described = {}
    for item in calibrations:
        edges = [number / len(item.counts) for number in range(len(item.counts) + 1)]
        described[item.name] = {
            "expected_calibration_error": item.error,
            "bins": [
                {"from": edges[i], "to": edges[i + 1], "labels": int(item.counts[i]),
                 "mean_weight": float(item.weights[i]), "right": float(item.accuracies[i])}
                for i in range(len(item.counts)) if item.counts[i]
            ],
        }  # fmt: skip
    return json.dumps(described, indent=1) + "\n"


def _rounded(name: str, value: object) -> object:
    if isinstance(value, float) and name in DECIMALS:
        return f"{value:.{DECIMALS[name]}f}"
    return "" if value is None else value
