"""The figures of runs and sweeps. No other file imports matplotlib."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gpussl.numeric.intervals import accuracy_interval, share_interval
from gpussl.records import MOST_FREQUENT, Allocations, Calibration, Dataset, Diagnostics, Result
from gpussl.report.results import PublishedOf
from gpussl.report.titles import result_title
from gpussl.runtime.store import atomic_path

DPI = 130
COLUMNS = 14  # images shown per class
NAME_LENGTH = 18  # of a name below an image
BINS = 20
COLORS = ("#1f6f8b", "#d1603d", "#5b8e3e", "#7a5195", "#c9a227", "#8a6552")


@dataclass(frozen=True)
class CurvePoint:
    """A mean accuracy of a sweep and half its interval, as shares, and the published accuracy in percent.

    Examples
    --------
    >>> CurvePoint(x=500, mean=0.82, half_width=0.01, published=81.4).mean
    0.82
    """

    x: float
    mean: float
    half_width: float | None
    published: float | None


@dataclass(frozen=True)
class LearningCurve:
    """Accuracies measured with several numbers of labels, and the curve fitted to them, as shares.

    Attributes
    ----------
    name : str
    sizes, accuracies, half_widths : (s,) array
        Number of training labels, accuracy, and half its 90 % interval.
    x, fitted, low, high : (m,) array
        Number of labels, the curve there, and its 90 % band.
    forecasts : list of int
        Numbers of labels with a forecast, ascending.

    Examples
    --------
    >>> x, fitted, halves = np.array([50, 100, 200]), np.array([0.7, 0.8, 0.85]), np.full(3, 0.02)
    >>> points, band = (x[:2], fitted[:2], halves[:2]), (fitted - halves, fitted + halves)
    >>> LearningCurve("random", *points, x, fitted, *band, forecasts=[200]).sizes
    array([ 50, 100])
    """

    name: str
    sizes: np.ndarray
    accuracies: np.ndarray
    half_widths: np.ndarray
    x: np.ndarray
    fitted: np.ndarray
    low: np.ndarray
    high: np.ndarray
    forecasts: Sequence[int]


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG. Equal figures give equal bytes.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Figure(figsize=(1, 1)), Path(folder) / "blank.png")
    ...     (Path(folder) / "blank.png").read_bytes()[1:4]
    b'PNG'
    """
    with atomic_path(path) as part:
        figure.savefig(part, format="png", dpi=DPI, metadata={"Software": None})


def accuracy(title: str, results: Sequence[Result], published_of: PublishedOf, n_test: int) -> Figure:
    """Test accuracy by training labels and classifier, with its 95 % interval and the published accuracy.

    Examples
    --------
    >>> result = Result("random", "none", "knn", None, 50, 50, None, 0, 1.0, 0.88, 0.1, 0.1, "cpu")
    >>> figure = accuracy("mine", [result], published_of=lambda result: 86.0, n_test=500)
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['random labels']
    """
    guesses = [result for result in results if result.classifier == MOST_FREQUENT]
    results = [result for result in results if result.classifier != MOST_FREQUENT]
    rows = list(dict.fromkeys(result_title(result) for result in results))
    classifiers = list(dict.fromkeys(result.classifier for result in results))
    figure, axes = _figure(7.5, 1.6 + 0.55 * len(rows))
    spread = np.linspace(-0.16, 0.16, len(classifiers)) if len(classifiers) > 1 else [0.0]
    for result in results:
        index = classifiers.index(result.classifier)
        y = rows.index(result_title(result)) + spread[index]
        low, high = accuracy_interval(result.test_accuracy, n_test)
        color = COLORS[index % len(COLORS)]
        axes.plot([100 * low, 100 * high], [y, y], color=color, linewidth=2, alpha=0.6)
        axes.plot(100 * result.test_accuracy, y, "o", color=color, markersize=7)
        published = published_of(result)
        if published is not None:
            axes.plot(published, y, "D", markerfacecolor="white", markeredgecolor=color, markersize=6)
    for index, name in enumerate(classifiers):
        axes.plot([], [], "o", color=COLORS[index % len(COLORS)], label=_plain(name))
    if any(published_of(result) is not None for result in results):
        axes.plot([], [], "D", markerfacecolor="white", markeredgecolor="#555", label="published")
    for guess in guesses:
        if (
            guess.test_accuracy > min((result.test_accuracy for result in results), default=0.0) - 0.2
        ):  # or it would squeeze the rest
            axes.axvline(100 * guess.test_accuracy, color="#555", linestyle=":", label="most frequent class")
    axes.set_yticks(range(len(rows)), [_plain(row) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(f"test accuracy, %, with its 95 % interval on {n_test:,} images")
    axes.set_title(_plain(title), loc="left", fontweight="bold")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    axes.grid(axis="x", alpha=0.3)
    return figure


def precision(
    shares: np.ndarray, audited: np.ndarray, wrong: np.ndarray, target: float, accepted: float | None
) -> Figure:
    """The share of right labels by the share that is accepted, with its 95 % interval at each point by itself.

    Parameters
    ----------
    shares, audited, wrong : (s,) array
        The share of all labels above a threshold, the audited ones of these, and the wrong ones among them.
    target : float
    accepted : float or None
        The share that is accepted, if any.

    Examples
    --------
    >>> figure = precision(np.array([0.5, 1.0]), np.array([50, 100]), np.array([0, 8]), 0.95, 0.5)
    >>> figure.axes[0].get_xlabel()
    'accepted labels, %'
    """
    figure, axes = _figure(7.5, 3.6)
    ends = np.array([share_interval(1 - bad / n, n) for n, bad in zip(audited, wrong, strict=True)]).reshape(-1, 2)
    axes.fill_between(100 * shares, *(100 * ends.T), color=COLORS[0], alpha=0.2, linewidth=0)
    axes.plot(100 * shares, 100 * (1 - wrong / audited), color=COLORS[0], label="right among the random labels")
    axes.axhline(100 * target, color="#555", linestyle=":", label=f"wanted: {100 * target:.4g} %")
    if accepted is not None:
        axes.axvline(100 * accepted, color=COLORS[1], linewidth=2, label=f"accepted: {100 * accepted:.1f} %")
    axes.set_xlim(0, 100)
    axes.set_ylim(max(0, min(100 * target - 10, *(100 * (1 - wrong / audited)), 100) - 3), 100.5)
    axes.set_xlabel("accepted labels, %")
    axes.set_ylabel("right labels, %")
    axes.legend(loc="lower left", frameon=False)
    axes.grid(alpha=0.3)
    return figure


def bought(dataset: Dataset, diagnostics: Diagnostics) -> Figure:
    """The images with bought labels, one row per class, those of the largest clusters first.

    Examples
    --------
    >>> dataset = Dataset("two", np.eye(4), class_names=("cat", "dog"), image_shape=(2, 2), max_value=1.0)
    >>> none = np.array([])
    >>> of_two = Diagnostics(np.array([0, 3]), np.array([0, 1]), np.array([3, 1]), none, none, [])
    >>> [label.get_text() for label in bought(dataset, of_two).axes[0].get_yticklabels()]
    ['cat (1)', 'dog (1)']
    """
    order = np.argsort(-diagnostics.cluster_sizes, kind="stable")
    labels = diagnostics.bought_labels[order]
    rows = {}
    for number in np.unique(labels):
        members = diagnostics.bought[order[labels == number]]
        rows[f"{dataset.class_names[number]} ({len(members):,})"] = list(dataset.X_train[members[:COLUMNS]])
    of = ": the representatives of the largest clusters" if diagnostics.cluster_sizes.any() else ""
    return _gallery(rows, COLUMNS, f"Labels bought, by class{of}", dataset)


def clusters(dataset: Dataset, diagnostics: Diagnostics) -> Figure:
    """The largest clusters, one row each: the mean of all members, and a few members.

    Examples
    --------
    >>> from gpussl.records import ClusterExamples
    >>> dataset = Dataset("two", np.eye(4), class_names=("cat", "dog"), image_shape=(2, 2), max_value=1.0)
    >>> none, members = np.array([]), np.array([0, 3])
    >>> shown = [ClusterExamples(number=7, size=2, mean=dataset.X_train[members].mean(axis=0), members=members)]
    >>> figure = clusters(dataset, Diagnostics(none, none, none, none, none, shown))
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['cluster 7 (2)']
    """
    blank = np.zeros_like(diagnostics.shown[0].mean)
    rows = {
        f"cluster {cluster.number} ({cluster.size:,})": [cluster.mean, blank, *dataset.X_train[cluster.members]]
        for cluster in diagnostics.shown
    }
    columns = max(len(images) for images in rows.values())
    return _gallery(rows, columns, "Clusters: the mean of each, and members drawn at random", dataset)


def allocations(scored: Allocations, results: Sequence[Result]) -> Figure:
    """The distribution of the scores of all allocations, with the best one and the one by bought labels marked.

    Examples
    --------
    >>> counts = np.array([0, 0, 1, 0, 0, 0, 0, 0, 1])  # one allocation has a score of 2, one of 8
    >>> scored = Allocations((1, 0), score=8, n_points=10, method="enumeration", counts=counts)
    >>> allocations(scored, []).axes[0].get_title(loc="left")
    'All 2 one-to-one allocations of classes to clusters'
    """
    assert scored.counts is not None  # noqa: S101 - for the type checker: it is not drawn otherwise
    figure, axes = _figure(7.5, 4)
    present = np.flatnonzero(scored.counts)
    edges = np.linspace(present[0], present[-1] + 1, min(101, present[-1] - present[0] + 2))
    counts, _ = np.histogram(present, bins=edges, weights=scored.counts[present])
    axes.stairs(counts, 100 * edges / scored.n_points, color=COLORS[0], fill=True, alpha=0.6)
    axes.set_yscale("log")
    axes.axvline(100 * scored.accuracy, color=COLORS[1], linewidth=2,
                 label=f"the best, by the test labels: {100 * scored.accuracy:.2f} %")  # fmt: skip
    honest = next((result for result in results if result.classifier == "clusters"), None)
    if honest is not None:
        axes.axvline(100 * honest.test_accuracy, color=COLORS[2], linewidth=2, linestyle="--",
                     label=f"named by {honest.n_labels} bought labels: {100 * honest.test_accuracy:.2f} %")  # fmt: skip
    axes.set_xlabel("correctly named test points, %")
    axes.set_ylabel("allocations")
    axes.set_title(
        f"All {scored.counts.sum():,} one-to-one allocations of classes to clusters", loc="left", fontweight="bold"
    )
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
    return figure


def label_accuracy(diagnostics: Diagnostics) -> Figure:
    """The accuracy of propagated labels by the distance of their points to the centroid, as a rank in the cluster.

    Examples
    --------
    >>> none = np.array([])
    >>> of_four = Diagnostics(none, none, none, np.array([0.1, 0.4, 0.6, 0.9]), np.array([1, 1, 1, 0]) > 0, [])
    >>> label_accuracy(of_four).axes[0].lines[0].get_ydata()[-1]  # three of four are correct
    np.float64(75.0)
    """
    figure, axes = _figure(7.5, 4)
    bins = np.minimum((diagnostics.nearness * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    right = np.bincount(bins, weights=diagnostics.correct, minlength=BINS)
    share = np.divide(right, counts, out=np.full(BINS, np.nan), where=counts > 0)
    cumulative = np.cumsum(right) / np.maximum(np.cumsum(counts), 1)
    edges = np.linspace(0, 100, BINS + 1)
    axes.stairs(100 * share, edges, color=COLORS[0], linewidth=2, baseline=None,
                label=f"points within each {100 / BINS:g} %")  # fmt: skip
    axes.plot(edges[1:], 100 * cumulative, "o-", color=COLORS[1], markersize=4, label="all points up to there")
    axes.set_xlim(0, 100)
    axes.set_xlabel("distance percentile within the cluster (0: nearest the centroid)")
    axes.set_ylabel("correct propagated labels, without bought ones, %")
    axes.set_title("Accuracy of propagated labels by distance to the centroid", loc="left", fontweight="bold")
    axes.legend(loc="lower left", frameon=False)
    axes.grid(axis="y", alpha=0.3)
    return figure


def calibration(calibrations: Sequence[Calibration]) -> Figure:
    """The accuracy of propagated labels by their weight, above the number of labels with each weight.

    Examples
    --------
    >>> counts, weights, accuracies = np.array([10, 30]), np.array([0.4, 0.9]), np.array([0.3, 0.8])
    >>> figure = calibration([Calibration("cluster", counts, weights, accuracies, error=0.1, is_weighted=True)])
    >>> figure.axes[0].get_legend_handles_labels()[1]
    ['perfectly calibrated', 'cluster: calibration error 10.0 points']
    """
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes, below = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    axes.plot([0, 100], [0, 100], "--", color="#999", linewidth=1, label="perfectly calibrated")
    for index, item in enumerate(calibrations):
        used, color = item.counts > 0, COLORS[index % len(COLORS)]
        axes.plot(100 * item.weights[used], 100 * item.accuracies[used], "o-", color=color, markersize=5,
                  label=f"{_plain(item.name)}: calibration error {100 * item.error:.1f} points")  # fmt: skip
        edges = np.linspace(0, 100, len(item.counts) + 1)
        below.stairs(item.counts, edges, color=color, linewidth=2)
    axes.set_ylabel("correct labels, %")
    axes.set_ylim(-2, 102)
    axes.set_title("Accuracy of propagated labels by their weight, without bought ones", loc="left", fontweight="bold")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    below.set_xlabel("weight of the label, %")
    below.set_xlim(-2, 102)
    below.set_ylabel("labels")
    for part in (axes, below):
        part.grid(alpha=0.3)
        part.spines[["top", "right"]].set_visible(False)
    return figure


def learning_curves(
    title: str,
    curves: Sequence[LearningCurve],
    budget: int,
    target: float | None = None,
    needed: tuple[float, float, float] = (np.inf, np.inf, np.inf),
) -> Figure:
    """Hold-out accuracy by number of labels, with the fitted curve, dashed where it is a forecast.

    Parameters
    ----------
    budget : int
        Number of bought labels.
    target : float, optional
        Desired accuracy, as a share.
    needed : tuple of float
        Number of labels with which the first curve reaches it, and the 90 % interval of that number.

    Examples
    --------
    >>> x, fitted, halves = np.array([50, 100, 200]), np.array([0.7, 0.8, 0.85]), np.full(3, 0.02)
    >>> points, band = (x[:2], fitted[:2], halves[:2]), (fitted - halves, fitted + halves)
    >>> item = LearningCurve("random", *points, x, fitted, *band, forecasts=[200])
    >>> figure = learning_curves("mine", [item], budget=100, target=0.83, needed=(150, 120, 190))
    >>> [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    ['50', '100', '200']
    """
    figure, axes = _figure(8, 4.6)
    for index, item in enumerate(curves):
        _draw_curve(axes, item, COLORS[index % len(COLORS)])
    right = 1.12 * curves[0].forecasts[-1]
    if target is not None:
        _draw_target(axes, 100 * target, needed, right)
    axes.plot([], [], "--", color="#555", linewidth=2, label="forecast, with its 90 % band")
    axes.axvline(budget, color="#555", linewidth=1, linestyle=":")
    axes.annotate(f"budget: {budget:,}", (budget, 0), (4, 4), xycoords=("data", "axes fraction"),
                  textcoords="offset points", color="#555")  # fmt: skip
    axes.set_xscale("log")
    sizes = [int(size) for size in curves[0].sizes]
    axes.set_xlim(0.9 * min(sizes), right)
    ticks = _spread_out([*sizes, *curves[0].forecasts], is_log=True)
    axes.set_xticks(ticks, [f"{x:,g}" for x in ticks])
    axes.minorticks_off()
    axes.set_xlabel("training labels")
    axes.set_ylabel("accuracy on the hold-out, %")
    axes.set_title(_plain(title), loc="left", fontweight="bold")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    axes.grid(alpha=0.3)
    return figure


def _draw_target(axes: Axes, wanted: float, needed: tuple[float, float, float], right: float) -> None:
    axes.axhline(wanted, color="#555", linewidth=1)
    axes.annotate(f"target {wanted:g} %", (0, wanted), (4, 4), xycoords=("axes fraction", "data"),
                  textcoords="offset points", color="#555")  # fmt: skip
    best, low, high = needed
    if low < right:
        axes.plot([low, min(high, right)], [wanted, wanted], color="#222", linewidth=4, alpha=0.35,
                  solid_capstyle="butt", label="labels needed, 90 % interval")  # fmt: skip
        if best < right:
            axes.plot(best, wanted, "D", color="#222", markersize=6)


def _draw_curve(axes: Axes, item: LearningCurve, color: str) -> None:
    """The points and the curve of one selection, dashed beyond the points."""
    axes.fill_between(item.x, 100 * item.low, 100 * item.high, color=color, alpha=0.15, linewidth=0)
    for part, style in ((item.x <= item.sizes[-1], "-"), (item.x >= item.sizes[-1], "--")):
        axes.plot(item.x[part], 100 * item.fitted[part], style, color=color, linewidth=2)
    axes.errorbar(item.sizes, 100 * item.accuracies, yerr=100 * item.half_widths, fmt="o", color=color,
                  markersize=5, capsize=3, label=f"{_plain(item.name)}, 90 % interval")  # fmt: skip


def curve(lines: Mapping[str, Sequence[CurvePoint]], x_name: str) -> Figure:
    """Test accuracy by one setting of a sweep, with a line for each combination of labels and classifier.

    Parameters
    ----------
    lines : dict of str to list of CurvePoint
        The points of each line, by its name.
    x_name : str
        Name of x, for people. The axis is logarithmic if x spans a factor of eight.

    Examples
    --------
    >>> points = [CurvePoint(500, 0.79, 0.01, None), CurvePoint(2000, 0.82, 0.01, 80.2)]
    >>> curve({"random labels, mlp": points}, "labels bought").axes[0].get_title(loc="left")
    'Test accuracy by labels bought'
    """
    figure, axes = _figure(7.5, 4.2)
    for index, (name, points) in enumerate(lines.items()):
        color = COLORS[index % len(COLORS)]
        x, y = [point.x for point in points], [100 * point.mean for point in points]
        halves = [100 * point.half_width for point in points if point.half_width is not None]
        bars = None
        if len(halves) == len(points):  # intervals end at 0 and 100 %
            bars = [np.minimum(halves, y), np.minimum(halves, 100 - np.asarray(y))]
        axes.errorbar(x, y, yerr=bars, color=color, marker="o", markersize=4,
                      capsize=3, label=_plain(name))  # fmt: skip
        known = [(point.x, point.published) for point in points if point.published is not None]
        if known:
            axes.plot(*zip(*known, strict=True), "D", markerfacecolor="white", markeredgecolor=color, markersize=6)
    if any(point.published is not None for points in lines.values() for point in points):
        axes.plot([], [], "D", markerfacecolor="white", markeredgecolor="#555", label="published")
    every = sorted({point.x for points in lines.values() for point in points})
    is_log = every[0] > 0 and every[-1] / every[0] >= 8
    if is_log:
        axes.set_xscale("log")
    ticks = _spread_out(every, is_log)
    axes.set_xticks(ticks, [f"{x:,g}" for x in ticks])
    axes.minorticks_off()
    axes.set_xlabel(x_name)
    axes.set_ylabel("test accuracy, %")
    axes.set_title(f"Test accuracy by {x_name}", loc="left", fontweight="bold")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    axes.grid(alpha=0.3)
    return figure


def _spread_out(values: Sequence[float], is_log: bool) -> list[float]:
    """Ascending values that are at least a fifteenth of the axis apart, so that their labels do not touch."""
    places = np.log(values) if is_log else np.asarray(values)
    kept = [0]
    for index in range(1, len(places)):
        if places[index] - places[kept[-1]] >= (places[-1] - places[0]) / 15:
            kept.append(index)
    return [values[index] for index in kept]


def _gallery(rows: Mapping[str, Sequence[np.ndarray]], columns: int, title: str, dataset: Dataset) -> Figure:
    """Named rows of images, drawn as one image: the layout of hundreds of axes would take seconds."""
    assert dataset.image_shape is not None  # noqa: S101 - for the type checker: it is not drawn otherwise
    height, width, *colors = dataset.image_shape
    largest = dataset.max_value or max(float(np.max(image)) for images in rows.values() for image in images)
    gap = max(1, height // 10)
    picture = np.full((len(rows) * (height + gap), columns * (width + gap), *colors), largest if colors else 0.0)
    for i, images in enumerate(rows.values()):
        for j, image in enumerate(images):
            y, x = i * (height + gap), j * (width + gap)
            picture[y : y + height, x : x + width] = image.reshape(height, width, *colors)
    names_width = 0.5 + 0.12 * max(map(len, rows))
    figure = Figure(figsize=(names_width + 0.6 * columns, 0.6 + 0.62 * len(rows)), layout="constrained")
    axes = figure.subplots()
    if colors:
        axes.imshow(np.clip(picture[..., :3] / largest, 0, 1), interpolation="nearest")
    else:
        axes.imshow(picture, cmap="gray_r", vmin=0, vmax=largest, interpolation="nearest")
    axes.set_yticks(
        [i * (height + gap) + height / 2 for i in range(len(rows))], [_plain(row) for row in rows], fontsize=11
    )
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", fontweight="bold")
    return figure


def _plain(text: str) -> str:
    """A name with its dollars escaped: matplotlib would typeset the text between them as mathematics."""
    return text.replace("$", r"\$")


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
