"""Figures of a run. The only file that imports matplotlib."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gpussl.config import Job
from gpussl.evaluate import accuracy_interval
from gpussl.records import Dataset, Diagnostics, Result
from gpussl.report.tables import published, title
from gpussl.store import atomic_path

DPI = 130
COLUMNS = 14  # representatives shown of each class
BINS = 20
COLORS = ("#1f6f8b", "#d1603d", "#5b8e3e", "#7a5195")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, the same bytes for the same figure."""
    with atomic_path(path) as part:
        figure.savefig(part, format="png", dpi=DPI, metadata={"Software": None})


def accuracy(results: Sequence[Result], job: Job, dataset: Dataset) -> Figure:
    """Test accuracy by propagation and classifier, with its 95 % interval, and the published figures beside it."""
    rows = list(dict.fromkeys(title(result) for result in results))
    classifiers = list(dict.fromkeys(result.classifier for result in results))
    figure, axes = _figure(7.5, 1.6 + 0.55 * len(rows))
    spread = np.linspace(-0.16, 0.16, len(classifiers)) if len(classifiers) > 1 else [0.0]
    for result in results:
        index = classifiers.index(result.classifier)
        y = rows.index(title(result)) + spread[index]
        low, high = accuracy_interval(result.test_accuracy, len(dataset.y_test))
        color = COLORS[index % len(COLORS)]
        axes.plot([100 * low, 100 * high], [y, y], color=color, linewidth=2, alpha=0.6)
        axes.plot(100 * result.test_accuracy, y, "o", color=color, markersize=7)
        entry = published(result, job, dataset.name)
        if entry is not None:
            axes.plot(entry.accuracy, y, "D", markerfacecolor="white", markeredgecolor=color, markersize=6)
    for index, name in enumerate(classifiers):
        axes.plot([], [], "o", color=COLORS[index % len(COLORS)], label=name)
    if any(published(result, job, dataset.name) for result in results):
        axes.plot([], [], "D", markerfacecolor="white", markeredgecolor="#555", label="published")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(f"test accuracy in %, with its 95 % interval on {len(dataset.y_test):,} images")
    axes.set_title(f"{job.name}, seed {job.seed}", loc="left", fontweight="bold")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    axes.grid(axis="x", alpha=0.3)
    return figure


def representatives(dataset: Dataset, diagnostics: Diagnostics) -> Figure:
    """The representatives of the largest clusters, a row for each class that was bought."""
    order = np.argsort(-diagnostics.cluster_sizes, kind="stable")
    bought = diagnostics.representative_labels[order]
    classes = np.unique(bought)
    figure = Figure(figsize=(1.6 + 0.55 * COLUMNS, 0.7 + 0.62 * len(classes)), layout="constrained")
    grid = figure.subplots(len(classes), COLUMNS, squeeze=False)
    for row, number in enumerate(classes):
        members = order[bought == number]
        for column, axes in enumerate(grid[row]):
            axes.set_axis_off()
            if column < len(members):
                image = dataset.X_train[diagnostics.representatives[members[column]]]
                axes.imshow(image.reshape(dataset.image_shape), cmap="gray_r", vmin=0, vmax=dataset.max_value)
        grid[row, 0].text(
            -0.25, 0.5, f"{dataset.class_names[number]} ({len(members)})",
            transform=grid[row, 0].transAxes, ha="right", va="center",
        )  # fmt: skip
    figure.suptitle("Labels bought, by class: the representatives of the largest clusters", fontweight="bold")
    return figure


def label_accuracy(diagnostics: Diagnostics) -> Figure:
    """How right a propagated label is, by how near its point is to the centroid within its cluster."""
    figure, axes = _figure(7.5, 4)
    bins = np.minimum((diagnostics.nearness * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    right = np.bincount(bins, weights=diagnostics.correct, minlength=BINS)
    share = np.divide(right, counts, out=np.full(BINS, np.nan), where=counts > 0)
    cumulative = np.cumsum(right) / np.maximum(np.cumsum(counts), 1)
    edges = np.linspace(0, 100, BINS + 1)
    axes.stairs(100 * share, edges, color=COLORS[0], linewidth=2, baseline=None,
                label=f"of the points in each {100 / BINS:g} %")  # fmt: skip
    axes.plot(edges[1:], 100 * cumulative, "o-", color=COLORS[1], markersize=4, label="of all points up to there")
    axes.set_xlim(0, 100)
    axes.set_xlabel("distance percentile within the cluster (0: nearest the centroid)")
    axes.set_ylabel("right of the propagated labels, bought ones apart, %")
    axes.set_title("Propagated labels by distance to the centroid", loc="left", fontweight="bold")
    axes.legend(loc="lower left", frameon=False)
    axes.grid(axis="y", alpha=0.3)
    return figure


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
