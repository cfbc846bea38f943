"""Results as tables: CSV for programs, rich's for the terminal."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence

from rich.table import Table

from gpussl.config import Job, Published
from gpussl.evaluate import accuracy_interval
from gpussl.monitor import Stage
from gpussl.records import Dataset, Result

DECIMALS = {"label_accuracy": 6, "test_accuracy": 6, "fit_seconds": 3}
NAMES = {
    "none": "bought labels alone",
    "cluster": "whole cluster",
    "nearest": "nearest share",
    "random": "random labels",
    "all": "all labels",
}


def title(result: Result) -> str:
    """How a result's training labels came about, for people."""
    name = NAMES.get(result.propagation, result.propagation)
    return f"nearest {result.percentile:g} %" if result.propagation == "nearest" else name


def to_csv(results: Sequence[Result]) -> str:
    """One row for each trained model; what does not apply is empty."""
    out = io.StringIO()
    names = [field.name for field in dataclasses.fields(Result)]
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for result in results:
        row = dataclasses.asdict(result)
        writer.writerow({name: _cell(name, value) for name, value in row.items()})
    return out.getvalue()


def published(result: Result, job: Job, data: str) -> Published | None:
    """The published figure of the same row, if there is one."""
    return find_published(job.published, data, type(job.select).__name__, dataclasses.asdict(result))


def find_published(entries: Sequence[Published], data: str, select: str, row: Mapping[str, object]) -> Published | None:
    """The first entry of which every condition that it states holds for a row."""
    for entry in entries:
        conditions = ("propagation", "classifier", "n_clusters", "n_labels", "percentile")
        stated = {name: getattr(entry, name) for name in conditions if getattr(entry, name) is not None}
        same_choice = row["n_clusters"] is None or select == entry.select
        if entry.data == data and same_choice and all(row[name] == value for name, value in stated.items()):
            return entry
    return None


def result_table(results: Sequence[Result], job: Job, dataset: Dataset) -> Table:
    """Each row ours beside the published figure."""
    low, high = accuracy_interval(results[0].test_accuracy, len(dataset.y_test))
    table = Table(
        title=f"{job.name}: test accuracy on {len(dataset.y_test):,} images, seed {job.seed}",
        caption=f"95 % interval of one accuracy: about ±{50 * (high - low):.1f} points; published: {sources(job)}",
    )
    table.add_column("training labels")
    table.add_column("classifier")
    for column in ("bought", "used", "right", "test accuracy", "published", "fit"):
        table.add_column(column, justify="right")
    for result in results:
        entry = published(result, job, dataset.name)
        table.add_row(
            title(result),
            result.classifier,
            f"{result.n_labels:,}",
            f"{result.n_train:,}",
            f"{100 * result.label_accuracy:.1f} %",
            f"{100 * result.test_accuracy:.2f} %",
            "" if entry is None else f"{entry.accuracy:.2f} %",
            f"{result.fit_seconds:.1f} s",
        )
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


def _cell(name: str, value: object) -> object:
    if value is None:
        return ""
    return f"{value:.{DECIMALS[name]}f}" if name in DECIMALS else value
