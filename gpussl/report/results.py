"""Results as tables of a report and as files for programs."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence

from gpussl.numeric.intervals import accuracy_interval
from gpussl.records import Allocations, Calibration, Result, Stage
from gpussl.report.parts import Table
from gpussl.report.titles import result_title

DECIMALS = {
    **dict.fromkeys(("label_accuracy", "train_accuracy", "test_accuracy", "balanced_accuracy"), 6),
    **dict.fromkeys(("fit_seconds", "predict_seconds"), 3),
}
HEADER = ("training labels", "classifier", "bought", "used", "correct", "test accuracy", "balanced", "published", "fit")
PUBLISHED = HEADER.index("published")
PublishedOf = Callable[[Result], float | None]  # the published accuracy of the same row, in percent


def to_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows with equal keys as CSV with a header. None becomes an empty cell.

    Examples
    --------
    >>> to_csv([{"seed": 0, "percentile": None, "fit_seconds": 0.12345}]).splitlines()
    ['seed,percentile,fit_seconds', '0,,0.123']
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _rounded(name, value) for name, value in row.items()})
    return out.getvalue()


def result_table(title: str, results: Sequence[Result], published_of: PublishedOf, sources: str, n_test: int) -> Table:
    """Return the table of results, with published accuracies beside ours.

    Parameters
    ----------
    sources : str
        Sources of the published accuracies.
    n_test : int
        Number of test points.

    Examples
    --------
    >>> result = Result("random", "none", "knn", None, 50, 50, None, 0, 1.0, 0.88, 0.1, 0.1, "cpu")
    >>> table = result_table("mine", [result], lambda result: None, "none known", n_test=500)
    >>> table.rows
    [('random labels', 'knn', '50', '50', '100.0 %', '88.00 %', '', '0.1 s')]
    >>> table.caption
    '95 % interval of an accuracy: about ±2.9 points; balanced: mean over classes'
    """
    low, high = accuracy_interval(results[0].test_accuracy, n_test)
    caption = f"95 % interval of an accuracy: about ±{50 * (high - low):.1f} points; balanced: mean over classes"
    rows = [_cells(result, published_of(result)) for result in results]
    if any(row[PUBLISHED] for row in rows):
        return Table(title, HEADER, rows, f"{caption}; published: {sources}")
    return Table(title, _without(HEADER), [_without(row) for row in rows], caption)


def _without(row: tuple[str, ...]) -> tuple[str, ...]:
    """A row without the column of published accuracies."""
    return row[:PUBLISHED] + row[PUBLISHED + 1 :]


def _cells(result: Result, published: float | None) -> tuple[str, ...]:
    """A result for people, under `HEADER`."""
    return (
        result_title(result),
        result.classifier,
        f"{result.n_labels:,}",
        f"{result.n_train:,}",
        _percent(result.label_accuracy, 1),
        _percent(result.test_accuracy, 2),
        _percent(result.balanced_accuracy, 2),
        "" if published is None else f"{published:.2f} %",
        f"{result.fit_seconds:.1f} s",
    )


def _percent(share: float | None, decimals: int) -> str:
    return "" if share is None else f"{100 * share:.{decimals}f} %"


def stage_table(stages: Sequence[Stage], reason: str) -> Table:
    """Return the table of stages with device and cost, for the terminal only.

    Parameters
    ----------
    reason : str
        Why the device was chosen.

    Examples
    --------
    >>> stages = [Stage("train", name, "cpu", seconds=1.5, peak_memory_bytes=2**20) for name in ("knn", "mlp")]
    >>> stage_table(stages, "device=cpu").rows
    [('train', 'cpu', '3.0', '1 MiB', '')]
    """
    grouped: dict[str, list[Stage]] = {}
    for stage in stages:
        grouped.setdefault(stage.group, []).append(stage)
    rows = []
    for group, parts in grouped.items():
        cached = sum(part.cached for part in parts)
        rows.append((
            group,
            parts[0].device,
            f"{sum(part.seconds for part in parts):.1f}",
            f"{max(part.peak_memory_bytes for part in parts) / 2**20:,.0f} MiB",
            f"{cached} of {len(parts)}" if cached else "",
        ))  # fmt: skip
    header = ("stage", "device", "seconds", "peak memory", "from cache")
    return Table("Stages", header, rows, reason, on_page=False)


def allocations_json(allocations: Allocations, class_names: Sequence[str]) -> str:
    """Return the best allocations of classes to clusters as JSON, with "" for a cluster without a class.

    Examples
    --------
    >>> found = Allocations((1, 0), score=8, n_points=10, method="enumeration", ranking=[(8, (1, 0))])
    >>> json.loads(allocations_json(found, ["cat", "dog"]))["ranking"]
    [{'accuracy': 0.8, 'class_of_cluster': ['dog', 'cat']}]
    """

    def names(classes: Sequence[int]) -> list[str]:
        return [class_names[number] if number >= 0 else "" for number in classes]

    described = {
        "judged_by": "the test labels that they are scored on: an upper bound for one-to-one names",
        "method": allocations.method,
        "accuracy": allocations.accuracy,
        "ranking": [
            {"accuracy": score / allocations.n_points, "class_of_cluster": names(classes)}
            for score, classes in allocations.ranking
        ],
    }
    return json.dumps(described, indent=1) + "\n"


def calibration_json(calibrations: Sequence[Calibration]) -> str:
    """Return the accuracy of propagated labels by their weight as JSON.

    Examples
    --------
    >>> import numpy as np
    >>> of_two_bins = (np.array([0, 30]), np.array([0.0, 0.9]), np.array([0.0, 0.8]))
    >>> found = json.loads(calibration_json([Calibration("cluster", *of_two_bins, error=0.1, is_weighted=True)]))
    >>> found["cluster"]["bins"]
    [{'from': 0.5, 'to': 1.0, 'labels': 30, 'mean_weight': 0.9, 'right': 0.8}]
    """
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
